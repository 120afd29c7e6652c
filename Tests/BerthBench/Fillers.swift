import IPAMAPI
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import Synchronization
import TestSupport

/// Allocations in bulk, of attachments that are not there.
enum Fillers {
    /// For people; nothing depends on it.
    static let time = "2026-01-01T00:00:00Z"

    private static let connections = 4
    /// Requests side by side on one connection.
    private static let batch = 24
    private static let reportInterval = 5_000

    struct Pool: Sendable {
        let name: String
        let uid: String
    }

    /// What an ADD would record, for a sandbox on a node that is not there either.
    static func spec(_ address: IPAddress, of pool: Pool) -> IPAllocation.Spec {
        let digits = String(address.value, radix: 16)
        let id = String(repeating: "0", count: 64 - digits.count) + digits
        return spec(
            address, of: pool, node: "filler-\(address.value % 500)", machineID: String(id.suffix(32)),
            attachment: Attachment(networkName: "net", containerID: id, interface: "eth0"),
            pod: PodReference(
                namespace: "filler", name: "filler-\(digits)", uid: "00000000-0000-0000-0000-\(id.suffix(12))"))
    }

    static func spec(
        _ address: IPAddress, of pool: Pool, node: String, machineID: String, attachment: Attachment,
        pod: PodReference
    ) -> IPAllocation.Spec {
        IPAllocation.Spec(
            state: .bound, origin: .pod, pool: pool.name, poolUID: pool.uid, address: address, network: "",
            node: node, machineID: machineID, attachment: attachment, pod: pod, claim: nil, cooldownSeconds: 0,
            claimedAt: time, releasedAt: nil)
    }

    static func create(_ specs: [IPAllocation.Spec], _ controlPlane: ControlPlane) async throws {
        try await perform(
            specs, "allocations made", controlPlane, { $0 == 201 },
            { .create(.ipAllocations, name: $0.objectName, object: $0.newObject()) })
    }

    /// Creates objects of any kind.
    static func make(_ requests: [APIRequest], _ what: String, _ controlPlane: ControlPlane) async throws {
        try await perform(requests, what, controlPlane, { $0 == 201 }, { $0 })
    }

    static func change(_ requests: [APIRequest], _ what: String, _ controlPlane: ControlPlane) async throws {
        try await perform(requests, what, controlPlane, { $0 == 200 }, { $0 })
    }

    static func delete(_ names: [String], _ controlPlane: ControlPlane) async throws {
        try await perform(
            names, "allocations deleted", controlPlane, { $0 == 200 || $0 == 404 },
            { .delete(.ipAllocations, name: $0, preconditions: nil) })
    }

    /// Sends a request for each item, many side by side over a few connections.
    private static func perform<Item: Sendable>(
        _ items: [Item], _ what: String, _ controlPlane: ControlPlane,
        _ isSuccess: @escaping @Sendable (Int) -> Bool, _ request: @escaping @Sendable (Item) -> APIRequest
    ) async throws {
        let configuration = try controlPlane.adminConfiguration()
        let work = Work(items, what)
        try await withThrowingTaskGroup { group in
            for _ in 0..<connections {
                group.addTask {
                    try await controlPlane.withConnection(configuration) { connection in
                        while let part = work.next(batch) {
                            try send(part.map(request), over: connection, isSuccess)
                            work.finished(part.count)
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    /// Items that are handed out in parts, each once.
    private final class Work<Item: Sendable>: Sendable {
        private let items: [Item]
        private let what: String
        private let nextIndex = Atomic(0)
        private let doneCount = Atomic(0)

        init(_ items: [Item], _ what: String) {
            self.items = items
            self.what = what
        }

        func next(_ count: Int) -> ArraySlice<Item>? {
            let start = nextIndex.add(count, ordering: .relaxed).oldValue
            return start < items.count ? items[start..<min(start + count, items.count)] : nil
        }

        func finished(_ count: Int) {
            let (before, after) = doneCount.add(count, ordering: .relaxed)
            if before / reportInterval < after / reportInterval { say("  \(after) of \(items.count) \(what)") }
        }
    }

    /// Sends again what the server was too busy for.
    private static func send(
        _ requests: [APIRequest], over connection: Connection, _ isSuccess: (Int) -> Bool
    ) throws {
        var requests = requests
        let deadline = Moment.now() + .seconds(120)
        while !requests.isEmpty {
            let replies = connection.perform(requests, deadline: deadline)
            var again: [APIRequest] = []
            for (request, reply) in zip(requests, replies) {
                let response = try reply.get()
                if isSuccess(response.status) { continue }
                guard response.status == 429, Moment.now() < deadline else {
                    throw TestSetUpError(
                        "\(request.subject): \(response.status) \(String(decoding: response.body, as: UTF8.self))")
                }
                again.append(request)
            }
            if !again.isEmpty { (Moment.now() + .seconds(1)).sleep() }
            requests = again
        }
    }
}
