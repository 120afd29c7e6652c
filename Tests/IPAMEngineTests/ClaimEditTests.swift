import IPAMAPI
import IPAddressing
import JSONText
import KubernetesCore
import Testing

@testable import IPAMEngine

@Suite struct ClaimEditTests {
    private func decide(
        _ spec: JSON, old: JSON? = nil, taken: [String: AllocationRecord] = [:], others: [IPClaim] = [],
        purposes: Set<String> = []
    ) throws -> PoolEdit.Decision {
        func object(_ spec: JSON) -> JSON {
            ["metadata": ["name": "vip", "namespace": "shop", "uid": "c1"], "spec": spec]
        }
        return ClaimEdit.decide(
            old: old.map(object), new: object(spec), pools: [try pool("10.0.0.0/24", named: "blue")],
            others: others, purposes: purposes
        ) { taken[$0] }
    }

    private func message(_ decision: PoolEdit.Decision) -> String {
        switch decision {
        case .allowed(let warnings): warnings.joined(separator: "; ")
        case .refused(let message): "refused: \(message)"
        }
    }

    @Test(
        arguments: [
            (["addresses": ["10.0.0.9", "10.0.0.09"]], "spec.addresses[1]"),
            (["addresses": ["fd00::1", "fd00:0::1"]], "spec.addresses[0]"),
            (["addresses": ["10.0.0.9", "10.0.0.9"]], "twice"), (["addresses": ["10.0.1.9"]], "10.0.1.9"),
            (["addresses": ["10.0.1.9"], "pools": ["blue"]], "IPPool \"blue\" (10.0.0.0/24) does not contain it"),
            (["retention": ["policy": "For"]], "for"),
            (["retention": ["policy": "UntilClaimDeleted", "for": "1h"]], "for"),
            (["retention": ["policy": "Ever"]], "Ever"), (["purpose": "E gress"], "spec.purpose: "),
        ] as [(JSON, String)])
    func `what makes no sense is refused with its field`(spec: JSON, text: String) throws {
        let message = message(try decide(spec))
        #expect(message.hasPrefix("refused: ") && message.contains(text), "\(message)")
    }

    @Test func `K5: an address that another holds is refused with its holder, and an own one is not`() throws {
        let spec: JSON = ["addresses": ["10.0.0.9"]]
        let taken = try record("10.0.0.9")
        #expect(message(try decide(spec, taken: ["10.0.0.9": taken])).contains("pod shop/web-0"))
        #expect(try decide(spec, taken: ["10.0.0.9": taken.with { $0.state = .cooling }]) == .allowed())
        let own = taken.with { $0.claim = ClaimReference(namespace: "shop", name: "vip", uid: "c1") }
        #expect(try decide(spec, taken: ["10.0.0.9": own]) == .allowed())
        // Metadata and status never wait for a spec to be repaired.
        #expect(try decide(spec, old: spec, taken: ["10.0.0.9": taken]) == .allowed())
    }

    @Test func `an address that another claim asks for is refused with its name, before anybody keeps it`() throws {
        func other(_ name: String, _ addresses: [String], deleted: Bool = false) -> IPClaim {
            IPClaim(
                metadata: ObjectMetadata(
                    name: name, namespace: "shop", uid: "u-\(name)",
                    deletionTimestamp: deleted ? "2025-11-20T09:07:05Z" : nil),
                spec: IPClaim.Spec(addresses: addresses))
        }
        let spec: JSON = ["addresses": ["10.0.0.9"]]
        #expect(
            message(try decide(spec, others: [other("db", ["10.0.0.9"])]))
                == "refused: spec.addresses[0]: 10.0.0.9 is what IPClaim \"shop/db\" asks for, too")
        // Itself, another address, one that no pool gives to the other, and one that goes.
        for claim in [
            other("vip", ["10.0.0.9"]), other("db", ["10.0.0.8"]), other("db", ["10.9.0.9"]),
            other("db", ["10.0.0.9"], deleted: true),
        ] {
            #expect(try decide(spec, others: [claim]) == .allowed(), "\(claim)")
        }
    }

    @Test func `a purpose that nothing is reserved for is warned of`() throws {
        let spec: JSON = ["purpose": "egress"]
        #expect(
            message(try decide(spec))
                == "spec.purpose: no IPReservation is for \"egress\": ordinary addresses are given")
        #expect(try decide(spec, purposes: ["egress"]) == .allowed())
    }

    @Test func `a pool that is not there is warned of`() throws {
        #expect(message(try decide(["addresses": ["10.9.0.1"], "pools": ["later"]])).contains("later"))
    }
}
