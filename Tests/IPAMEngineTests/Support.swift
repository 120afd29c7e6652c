import IPAMAPI
import IPAddressing
import KubernetesCore
import Testing

@testable import IPAMEngine

/// A small generator with a seed (Steele, Lea and Flood 2014), so that a failing property can be run again.
struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

func address(_ text: String) throws -> IPAddress { try IPAddress(parsing: text) }

/// Addresses with spaces between them.
func addresses(_ text: String) throws -> [IPAddress] {
    try text.split(separator: " ").map { try IPAddress(parsing: $0) }
}

/// A pool of generation 3.
func pool(
    _ subnet: String, named name: String = "blue", ranges: [String] = [], exclude: [String] = [],
    gateway: String? = nil, network: String = "", strategy: PoolStrategy = .random, disabled: Bool = false,
    deleted: Bool = false, status: IPPool.Status? = nil
) throws -> ValidatedPool {
    try ValidatedPool(
        IPPool(
            metadata: ObjectMetadata(
                name: name, uid: "uid-\(name)", resourceVersion: "1", generation: 3,
                deletionTimestamp: deleted ? "2025-11-20T09:07:05Z" : nil),
            spec: IPPool.Spec(
                subnet: subnet, ranges: ranges, exclude: exclude, gateway: gateway, network: network,
                strategy: strategy, disabled: disabled),
            status: status))
}

extension IPPool.Status {
    /// A hint from `first` on that shows the bits of so many bytes as taken, but for the addresses in `free`.
    static func hint(
        first: String, bytes: Int, free: String, generation: Int = 3
    ) throws -> IPPool.Status {
        var occupancy = try #require(
            Occupancy(first: address(first), bitmap: [UInt8](repeating: 0xff, count: bytes)))
        for address in try addresses(free) {
            occupancy.set(try #require(occupancy.index(of: address)), taken: false)
        }
        return IPPool.Status(occupancy: IPPool.OccupancyWindow(occupancy), observedGeneration: generation)
    }
}

extension CandidateSource.Choice {
    var address: IPAddress? {
        if case .address(let address) = self { address } else { nil }
    }
}

extension CandidateSource {
    /// Every address that it offers when each one is refused, and what it says in the end.
    mutating func drain(
        using generator: inout some RandomNumberGenerator, limit: Int = 10_000
    ) -> (offered: [IPAddress], end: Choice?) {
        var offered: [IPAddress] = []
        for _ in 0..<limit {
            let choice = next(using: &generator)
            guard let address = choice.address else { return (offered, choice) }
            offered.append(address)
            strike(address)
        }
        return (offered, nil)
    }
}
