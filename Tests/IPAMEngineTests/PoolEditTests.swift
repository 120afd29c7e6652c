import IPAMAPI
import IPAddressing
import JSONText
import KubernetesCore
import Testing

@testable import IPAMEngine

@Suite struct PoolEditTests {
    private static let plain = #"{"subnet": "10.0.0.0/24"}"#
    private static let remedy =
        "; drain them first (spec.draining, or end these pods), or reserve them with an IPReservation"

    private func decide(
        _ old: String?, _ new: String?, others: [ValidatedPool] = [], records: [AllocationRecord] = []
    ) throws -> PoolEdit.Decision {
        PoolEdit.decide(
            old: try old.map { try poolObject(spec: $0) }, new: try new.map { try poolObject(spec: $0) },
            otherPools: others, index: LedgerIndex(records))
    }

    // MARK: The spec

    @Test(arguments: [
        (#"{"subnet": "10.0.0.1/24"}"#, "spec.subnet: "), (#"{"subnet": "FD00::/64"}"#, "spec.subnet: "),
        ("{}", "spec.subnet: "),
        (#"{"subnet": "10.0.0.0/24", "ranges": ["10.0.1.1"]}"#, "spec.ranges[0]: "),
        (#"{"subnet": "10.0.0.0/24", "gateway": "10.0.1.1"}"#, "spec.gateway: "),
        (#"{"subnet": "10.0.0.0/24", "exclude": ["10.0.0.0/24"]}"#, "spec: no address"),
        (#"{"subnet": "10.0.0.0/24", "routes": [{"dst": "fd00::/64"}]}"#, "spec.routes[0].dst: "),
        (#"{"subnet": "10.0.0.0/24", "network": "1x"}"#, "spec.network: "),
        (#"{"subnet": "10.0.0.0/24", "cooldown": "soon"}"#, "spec.cooldown: "),
    ])
    func `a pool that makes no sense is neither created nor made`(spec: String, beginning: String) throws {
        for decision in [try decide(nil, spec), try decide(#"{"subnet": "10.0.0.0/99"}"#, spec)] {
            guard case .refused(let message) = decision else {
                Issue.record("\(decision)")
                continue
            }
            #expect(message.hasPrefix(beginning), "\(message)")
        }
    }

    @Test func `a pool that makes sense is created and edited`() throws {
        #expect(try decide(nil, Self.plain) == .allowed())
        #expect(try decide(Self.plain, #"{"subnet": "10.0.0.0/24", "gateway": "10.0.0.1"}"#) == .allowed())
    }

    @Test func `subnet and network stay what they are`() throws {
        #expect(
            try decide(Self.plain, #"{"subnet": "10.0.0.0/23"}"#)
                == .refused(
                    "spec.subnet: immutable, it is \"10.0.0.0/24\"; make another pool for \"10.0.0.0/23\""))
        #expect(
            try decide(Self.plain, #"{"subnet": "10.0.0.0/24", "network": "red"}"#)
                == .refused("spec.network: immutable, it is \"\"; make another pool for \"red\""))
        #expect(try decide(Self.plain, #"{"subnet": "10.0.0.0/24", "network": ""}"#) == .allowed())
    }

    @Test func `what was never in force can be repaired`() throws {
        #expect(try decide(#"{"subnet": "10.0.0.1/24"}"#, Self.plain) == .allowed())
        #expect(try decide(#"{"subnet": "10.0.0.0/24", "network": "1x"}"#, Self.plain) == .allowed())
        #expect(try decide(#"{"subnet": 7}"#, Self.plain) == .allowed())
    }

    @Test func `what leaves the spec as it is is always allowed`() throws {
        let nonsense = #"{"subnet": 7, "ranges": "all"}"#
        let index = LedgerIndex([try record("10.0.0.1")])
        func decide(_ old: JSON, _ new: JSON) -> PoolEdit.Decision {
            PoolEdit.decide(old: old, new: new, otherPools: [], index: index)
        }
        for spec in [nonsense, Self.plain, #"{"subnet": "10.0.0.1/24"}"#] {
            let old = try poolObject(spec: spec, finalizers: #"["ipam.berth.dev/in-use"]"#, deleted: true)
            #expect(decide(old, try poolObject(spec: spec, deleted: true)) == .allowed())
            #expect(decide(old, try poolObject(spec: spec, annotations: #"{"a": "b"}"#)) == .allowed())
            #expect(decide(old, try poolObject(spec: spec, status: #"{"reserved": ["x"]}"#)) == .allowed())
        }
    }

    @Test func `a status with rubbish in it does not stand in the way of an edit`() throws {
        let edit = PoolEdit.decide(
            old: try poolObject(spec: Self.plain, status: #"{"free": "many"}"#),
            new: try poolObject(
                spec: #"{"subnet": "10.0.0.0/24", "disabled": true}"#, status: #"{"reserved": ["x"]}"#),
            otherPools: [], index: LedgerIndex())
        #expect(edit == .allowed())
    }

    @Test func `selectors by labels that can never be are refused, and those that are there hinder nothing`() throws {
        let good = #"{"subnet": "10.0.0.0/24", "podSelector": {"matchLabels": {"app.kubernetes.io/name": "web"}}}"#
        let bad = #"{"subnet": "10.0.0.0/24", "podSelector": {"matchLabels": {"a b": "c"}}}"#
        let refused = PoolEdit.Decision.refused("spec.podSelector.matchLabels: \"a b\" is not a label key")
        #expect(try decide(nil, good) == .allowed())
        #expect(try decide(nil, bad) == refused)
        #expect(try decide(Self.plain, bad) == refused)
        #expect(try decide(#"{"subnet": 7}"#, bad) == refused)
        // It is in force, as far as it can be.
        let draining = bad.replacing("{\"subnet\"", with: "{\"draining\": true, \"subnet\"")
        #expect(try decide(bad, draining) == .allowed())
        #expect(try decide(bad, Self.plain) == .allowed())
        let another = #"{"subnet": "10.0.0.0/24", "podSelector": {"matchLabels": {"a b": "c", "d": "-"}}}"#
        #expect(
            try decide(bad, another)
                == .refused("spec.podSelector.matchLabels: \"-\" is not a label value (of \"d\")"))
    }

    // MARK: Addresses in use

    @Test func `an edit that drops addresses in use is refused and names their holders`() throws {
        let edit = #"{"subnet": "10.0.0.0/24", "ranges": ["10.0.0.100-10.0.0.200"]}"#
        let one = [
            try record("10.0.0.7"), try record("10.0.0.8", state: .cooling), try record("10.0.0.100"),
            try record("10.0.0.9", pool: "green"), try record("10.0.0.10", network: "red"),
            // It was outside before, and is no worse off.
            try record("10.0.1.7"),
        ]
        #expect(
            try decide(Self.plain, edit, records: one)
                == .refused("spec: the pool would lose 1 address in use: 10.0.0.7 (shop/web-0 on n1)\(Self.remedy)"))
        let more = [
            try record("10.0.0.1", state: .held, node: "", pod: nil),
            try record("10.0.0.2", origin: .manual, node: "", pod: nil),
            try record("10.0.0.3", origin: .container, pod: nil), try record("10.0.0.20", state: .fenced),
            try record("10.0.0.4"), try record("10.0.0.6"),
        ]
        #expect(
            try decide(Self.plain, edit, records: one + more)
                == .refused(
                    "spec: the pool would lose 7 addresses in use: 10.0.0.1 (kept for a claim), 10.0.0.2 (entered by"
                        + " hand), 10.0.0.3 (a container on n1), 10.0.0.4 (shop/web-0 on n1), 10.0.0.6 (shop/web-0 on"
                        + " n1) and 2 more\(Self.remedy)"))
    }

    @Test(arguments: [
        #"{"subnet": "10.0.0.0/24", "exclude": ["10.0.0.6/31"]}"#,
        #"{"subnet": "10.0.0.0/24", "ranges": ["10.0.0.9"]}"#,
    ])
    func `an address in use can become neither excluded nor outside of the ranges`(edit: String) throws {
        let used = [try record("10.0.0.7")]
        #expect(
            try decide(Self.plain, edit, records: used)
                == .refused("spec: the pool would lose 1 address in use: 10.0.0.7 (shop/web-0 on n1)\(Self.remedy)"))
        #expect(try decide(Self.plain, edit) == .allowed())
    }

    @Test func `an address in use can not become the gateway, and the message says whose it is`() throws {
        let edit = #"{"subnet": "10.0.0.0/24", "gateway": "10.0.0.7"}"#
        func refusal(_ holder: String, _ wayOut: String) -> PoolEdit.Decision {
            .refused(
                "spec.gateway: 10.0.0.7 is in use (\(holder)): choose an address that is free (kubectl berth free blue),"
                    + " or \(wayOut)")
        }
        func decided(_ used: AllocationRecord) throws -> PoolEdit.Decision {
            try decide(Self.plain, edit, records: [used])
        }
        #expect(try decided(try record("10.0.0.7")) == refusal("shop/web-0 on n1", "end the pod"))
        #expect(
            try decided(try record("10.0.0.7", origin: .container, pod: nil))
                == refusal("a container on n1", "end the container"))
        #expect(
            try decided(try record("10.0.0.7", origin: .manual, node: "", pod: nil))
                == refusal("entered by hand", "delete its entry (kubectl delete ipallocation 10.0.0.7)"))
        let claim = ClaimReference(namespace: "default", name: "database", uid: "claim-uid")
        #expect(
            try decided(try record("10.0.0.7", state: .held).with { $0.claim = claim })
                == refusal("kept for claim default/database", "delete the claim"))
        #expect(try decided(try record("10.0.0.7", network: "red")) == .allowed())
        #expect(try decide(Self.plain, edit) == .allowed())
        // What is lost beside it is named, too.
        let more = #"{"subnet": "10.0.0.0/24", "gateway": "10.0.0.7", "exclude": ["10.0.0.8"]}"#
        guard
            case .refused(let both) = try decide(
                Self.plain, more, records: [try record("10.0.0.8"), try record("10.0.0.7")])
        else {
            Issue.record("allowed")
            return
        }
        #expect(
            both.hasSuffix(
                ", or end the pod; spec: the pool would lose 1 address in use: 10.0.0.8 (shop/web-0 on n1)"
                    + Self.remedy),
            "\(both)")
    }

    @Test func `of a pool that made no sense everything that names it counts`() throws {
        #expect(
            try decide(#"{"subnet": "10.0.0.1/24"}"#, Self.plain, records: [try record("10.0.1.7")])
                == .refused("spec: the pool would lose 1 address in use: 10.0.1.7 (shop/web-0 on n1)\(Self.remedy)"))
    }

    // MARK: Deletion

    @Test func `a pool in use is deleted only by force`() throws {
        let used = LedgerIndex([try record("10.0.0.7"), try record("10.0.0.8", state: .fenced)])
        func delete(_ object: JSON, _ index: LedgerIndex) -> PoolEdit.Decision {
            PoolEdit.decide(old: object, new: nil, otherPools: [], index: index)
        }
        let object = try poolObject(spec: Self.plain)
        #expect(
            delete(object, used)
                == .refused(
                    "the pool has 2 addresses in use: 10.0.0.7 (shop/web-0 on n1), 10.0.0.8 (shop/web-0 on n1);"
                        + " to delete it all the same: kubectl annotate ippool blue"
                        + " ipam.berth.dev/force-delete=true"))
        #expect(delete(object, LedgerIndex()) == .allowed())
        #expect(delete(object, LedgerIndex([try record("10.0.0.7", state: .cooling)])) == .allowed())
        #expect(delete(try poolObject(spec: Self.plain, deleted: true), used) == .allowed())
        #expect(
            delete(try poolObject(spec: Self.plain, annotations: #"{"ipam.berth.dev/force-delete": "true"}"#), used)
                == .allowed(warnings: [
                    "pool \"blue\" still has 2 addresses in use, and stays until they are released"
                ]))
        for spec in [#"{"subnet": 7}"#, Self.plain] {
            let refused = try poolObject(spec: spec, annotations: #"{"ipam.berth.dev/force-delete": "yes"}"#)
            guard case .refused = delete(refused, used) else {
                Issue.record("deleted")
                continue
            }
        }
    }

    // MARK: Overlaps

    @Test func `pools of one network that overlap are warned of`() throws {
        let others = [
            try pool("10.0.0.0/16", named: "wide", ranges: ["10.0.0.0-10.0.0.9"]),
            try pool("10.0.0.0/24", named: "blue"), try pool("10.0.0.0/24", named: "red", network: "red"),
            try pool("fd00::/64", named: "v6"), try pool("10.0.1.0/24", named: "beside"),
            try pool("10.0.0.0/24", named: "holes", ranges: ["10.0.0.1", "10.0.0.3", "10.0.0.5", "10.0.0.7"]),
        ]
        #expect(
            try decide(nil, Self.plain, others: others)
                == .allowed(warnings: [
                    "overlaps pool \"holes\" (10.0.0.1, 10.0.0.3, 10.0.0.5 and 1 more)",
                    "overlaps pool \"wide\" (10.0.0.1-10.0.0.9)",
                ]))
        #expect(try decide(Self.plain, Self.plain, others: others) == .allowed())
        let many = try (1...7).map { try pool("10.0.0.0/24", named: "p\($0)") }
        guard case .allowed(let warnings) = try decide(nil, Self.plain, others: many) else {
            Issue.record("refused")
            return
        }
        #expect(warnings.count == 6)
        #expect(warnings.last == "more pools that overlap: 2")
    }
}
