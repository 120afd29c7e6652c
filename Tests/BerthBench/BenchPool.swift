import IPAMAPI
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport

/// An IPPool of the benchmark and what of it is taken.
struct BenchPool: Sendable {
    let name: String
    let uid: String
    let generation: Int
    let range: IPRange
    /// Made by the benchmark itself, so known without asking. What ADDs of a moment hold is not part of it.
    private(set) var taken: Set<IPAddress> = []

    var size: Int { Int(range.upper.value - range.lower.value) + 1 }

    /// - Parameter cooldown: With `0s`, a DEL leaves the pool as the ADD found it.
    init(
        _ controlPlane: ControlPlane, _ name: String, subnet: String, range: IPRange, cooldown: String
    ) async throws {
        let object: JSON = [
            "apiVersion": .string(BerthAPI.apiVersion), "kind": "IPPool", "metadata": ["name": .string(name)],
            "spec": [
                "subnet": .string(subnet), "ranges": [.string("\(range.lower)-\(range.upper)")],
                "cooldown": .string(cooldown),
            ],
        ]
        let created = try await controlPlane.withAdmin {
            try ObjectMetadata(JSONFields($0.create(.ipPools, name: name, object: object, deadline: .soon)))
        }
        self.name = name
        uid = created.uid
        generation = created.generation
        self.range = range
        try await removeHint(controlPlane)
    }

    /// The first `size` addresses of a subnet of its own; of a /16 all that are usable.
    static func make(
        _ controlPlane: ControlPlane, _ name: String, size: Int = 65_534, length: Int = 16, cooldown: String
    ) async throws -> BenchPool {
        let first = try IPPrefix(parsing: Subnets.nextLarge()).first
        guard let lower = first.advanced(by: 1), let upper = first.advanced(by: UInt128(size)),
            let range = IPRange(lower: lower, upper: upper)
        else { throw TestSetUpError("\(first)/\(length) is smaller than \(size)") }
        return try await BenchPool(
            controlPlane, name, subnet: "\(first)/\(length)", range: range, cooldown: cooldown)
    }

    /// Takes addresses at random until `count` are taken.
    mutating func fill(_ controlPlane: ControlPlane, to count: Int) async throws {
        var generator = SplitMix64(seed: UInt64(count))
        var new: Set<IPAddress> = []
        while taken.count + new.count < min(count, size) {
            let offset = UInt128(UInt64.random(in: 0..<UInt64(size), using: &generator))
            if let address = range.lower.advanced(by: offset), !taken.contains(address) { new.insert(address) }
        }
        let pool = Fillers.Pool(name: name, uid: uid)
        try await Fillers.create(new.sorted().map { Fillers.spec($0, of: pool) }, controlPlane)
        taken.formUnion(new)
    }

    /// Publishes the hint as the controller does: the window with the most room.
    func publishHint(_ controlPlane: ControlPlane) async throws {
        guard let occupancy else { throw TestSetUpError("\(name): no window") }
        let counts = IPPool.Status(
            capacity: size, allocated: taken.count, cooling: 0, held: 0, free: size - taken.count,
            occupancy: IPPool.OccupancyWindow(occupancy), reservedGeneration: generation,
            observedGeneration: generation)
        try await write(counts, controlPlane)
    }

    /// As in a cluster without a controller, but for the reservations, which claims would have to list.
    func removeHint(_ controlPlane: ControlPlane) async throws {
        try await write(IPPool.Status(reservedGeneration: generation), controlPlane)
    }

    private func write(_ status: IPPool.Status?, _ controlPlane: ControlPlane) async throws {
        try await controlPlane.withAdmin { [name] client in
            var object = try client.get(.ipPools, name: name, deadline: .soon)
            object["status"] = status?.json
            _ = try client.updateStatus(.ipPools, name: name, object: object, deadline: .soon)
        }
    }

    private var occupancy: Occupancy? {
        let width = Occupancy.maximumCount
        let windows = stride(from: 0, to: size, by: width).compactMap { offset -> Occupancy? in
            let count = min(width, size - offset)
            guard let first = range.lower.advanced(by: UInt128(offset)),
                var window = Occupancy(first: first, bitmap: [UInt8](repeating: 0, count: (count + 7) / 8))
            else { return nil }
            // The bits that fill up the last byte stand for addresses beyond the range.
            for index in count..<window.count { window.set(index, taken: true) }
            return window
        }
        return windows.map { window in
            var window = window
            for address in taken {
                if let index = window.index(of: address) { window.set(index, taken: true) }
            }
            return window
        }.max { $0.freeCount < $1.freeCount }
    }
}
