import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import Synchronization
import TestSupport
import Testing

extension ControllerTests {
    /// Reservations come into force by the status of the pools, and their own status says when.
    @Suite("Compiling reservations") struct ReservationCompilingTests {
        private static func isEnforced(_ object: JSON) -> Bool {
            let condition = condition(object, ReservationCensus.enforced)
            return condition?["status"] == "True"
                && condition?["observedGeneration"]?.int == object["metadata"]?["generation"]?.int
        }

        private static func reserved(_ pool: JSON) -> [String] {
            pool["status"]?["reserved"]?.array?.compactMap(\.string) ?? []
        }

        private static func isCompiled(_ pool: JSON) -> Bool {
            pool["status"]?["reservedGeneration"]?.int == pool["metadata"]?["generation"]?.int
        }

        @Test func `a reservation is compiled, the plugin obeys, and when it is deleted its address is free`()
            async throws
        {
            try await ControllerRig.run { rig in
                let pool = try await rig.makePool("pool", ["ranges": [.string(rig.subnets.address4(10) + "/31")]])
                let reservation = try await rig.reserve([rig.subnets.address4(10)])
                try await rig.ledger.waitForReservation(reservation, "is in force", Self.isEnforced)
                try await withTestNode(rig.controlPlane, settings: ["timeoutSeconds": 60]) { node in
                    let configuration = node.configuration(pools: [pool])
                    let added = try await node.add(try node.newSandbox(), configuration).checked()
                    #expect(added.addresses == [rig.subnets.address4(11)])
                    let refused = try await node.add(try node.newSandbox(), configuration)
                    #expect(refused.failure?.code == 101, "\(refused)")
                    _ = try await rig.controlPlane.withAdmin {
                        try $0.delete(.ipReservations, name: reservation, preconditions: nil, deadline: .soon)
                    }
                    try await rig.ledger.waitForPool(pool, "reserves nothing") {
                        Self.isCompiled($0) && Self.reserved($0).isEmpty && $0["status"]?["free"]?.int == 1
                    }
                    let freed = try await node.add(try node.newSandbox(), configuration).checked()
                    #expect(freed.addresses == [rig.subnets.address4(10)])
                }
            }
        }

        @Test func `counts and occupancy are without what is reserved, and rule and counts are of one generation`()
            async throws
        {
            try await ControllerRig.run { rig in
                let range = "\(rig.subnets.address4(8))-\(rig.subnets.address4(15))"
                let pool = try await rig.makePool("pool", ["ranges": [.string(range)]])
                _ = try await rig.reserve([rig.subnets.address4(8), rig.subnets.address4(9)], "a")
                _ = try await rig.reserve(["\(rig.subnets.address4(12))-13"], "b", ["purpose": "dns"])
                let both = "\(rig.subnets.address4(12))-\(rig.subnets.address4(13))"
                try await rig.ledger.waitForPool(pool, "is compiled and counted") { object in
                    Self.isCompiled(object) && isCurrent(object)
                        && Self.reserved(object) == [
                            "\(rig.subnets.address4(8))-\(rig.subnets.address4(9))", both,
                        ]
                        && object["status"]?["reservedFor"] == [["purpose": "dns", "ranges": [.string(both)]]]
                        && object["status"]?["capacity"]?.int == 4 && object["status"]?["free"]?.int == 4
                }
                let read = try IPPool(try #require(rig.ledger.pools.value[pool]))
                let hint = try #require(try ValidatedPool(read).occupancy)
                for host in 8...15 {
                    let address = try IPAddress(parsing: rig.subnets.address4(host))
                    #expect(hint.isTaken(address) == [8, 9, 12, 13].contains(host), "\(address)")
                }
                try await rig.patch(.ipPools, pool, ["spec": ["cooldown": "1s"]])
                try await rig.ledger.waitForPool(pool, "is compiled again") {
                    Self.isCompiled($0) && isCurrent($0) && $0["metadata"]?["generation"]?.int == 2
                        && Self.reserved($0).count == 2
                }
            }
        }

        @Test func `K5: a reservation over addresses that are held is taken, and names the holders until they go`()
            async throws
        {
            try await ControllerRig.run { rig in
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                let pod = try await rig.makePod("web", on: node)
                let name = try await rig.enter(10, pool: pool, node: node, pod: pod)
                let byHand = try await rig.enter(11, pool: pool, node: node, origin: .manual)
                let reservation = try await rig.reserve(["\(rig.subnets.address4(10))-20"])
                try await rig.ledger.waitForReservation(reservation, "names both") { object in
                    Self.isEnforced(object) && object["status"]?["holderCount"]?.int == 2
                        && object["status"]?["holders"] == [
                            [
                                "allocation": .string(name), "pool": .string(pool), "node": .string(node),
                                "pod": .string("\(pod.namespace)/\(pod.name)"),
                            ],
                            ["allocation": .string(byHand), "pool": .string(pool), "node": .string(node)],
                        ]
                }
                #expect(rig.ledger.state(name) == "Bound")
                // Its pod goes: the address is freed as any other, and not given again.
                try await rig.controlPlane.delete(pod)
                try await rig.ledger.waitUntilGone(name)
                try await rig.ledger.waitForReservation(reservation, "names one") {
                    $0["status"]?["holderCount"]?.int == 1
                        && $0["status"]?["holders"]?.array?.first?["allocation"]?.string == byHand
                }
            }
        }

        @Test func `Enforced is false until every pool has compiled it, and stays true while pools are made`()
            async throws
        {
            try await ControllerRig.run { rig in
                let pools = [
                    try await rig.makePool("a"), try await rig.makePool("b"),
                    try await rig.makePool("c", ["network": "other"]),
                ]
                let reservation = try await rig.reserve([rig.subnets.address4(9)])
                try await rig.ledger.waitForReservation(reservation, "is in force", Self.isEnforced)
                for pool in pools {
                    try await rig.ledger.waitForPool(pool, "has it") { Self.reserved($0) == [rig.subnets.address4(9)] }
                }
                let since = condition(
                    try #require(rig.ledger.reservations.value[reservation]), "Enforced")?["lastTransitionTime"]
                let late = try await rig.makePool("late")
                try await rig.ledger.waitForPool(late, "has it") { Self.reserved($0) == [rig.subnets.address4(9)] }
                // An edit of the reservation begins anew.
                try await rig.patch(
                    .ipReservations, reservation, ["spec": ["ranges": [.string(rig.subnets.address4(8))]]])
                try await rig.ledger.waitForReservation(reservation, "is in force again") { object in
                    Self.isEnforced(object) && object["metadata"]?["generation"]?.int == 2
                        && condition(object, "Enforced")?["message"] == "every claim in 4 IPPools obeys it"
                }
                #expect(since != nil)
                for pool in pools + [late] {
                    #expect(Self.reserved(try #require(rig.ledger.pools.value[pool])) == [rig.subnets.address4(8)])
                }
            }
        }

        @Test func `a store of reservations that lags does not take one out of a pool`() async throws {
            try await ControllerRig.idle(throughProxy: true) { rig in
                rig.proxy?.when(.verb("watch", "ipreservations.ipam.berth.dev"), .always, .hang)
                try await rig.withController { _ in
                    // The controller never hears of it but by a list of its own.
                    let reservation = try await rig.reserve([rig.subnets.address4(9)])
                    let pool = try await rig.makePool()
                    try await rig.ledger.waitForPool(pool, "is compiled") { Self.isCompiled($0) }
                    #expect(
                        Self.reserved(try #require(rig.ledger.pools.value[pool])) == [rig.subnets.address4(9)])
                    // What would change the counts is written, and leaves the rule as it is.
                    try await rig.enter(20, pool: pool, node: "n", origin: .manual)
                    try await rig.ledger.waitForPool(pool, "is counted") { $0["status"]?["allocated"]?.int == 1 }
                    #expect(
                        Self.reserved(try #require(rig.ledger.pools.value[pool])) == [rig.subnets.address4(9)])
                    #expect(rig.ledger.reservations.value[reservation]?["status"] == nil, "nothing is promised")
                }
            }
        }

        @Test func `more ranges than a status holds stop the pool, visibly, until they are fewer`() async throws {
            try await ControllerRig.run { rig in
                let subnet = "fd00:6:6:\(rig.subnets.address6(1).split(separator: ":")[2])::/64"
                let prefix = subnet.dropLast(5)
                let pool = try await rig.makePool("wide", ["subnet": .string(subnet)])
                let texts = (0..<1025).map { "\(prefix)::\(String($0 * 2 + 1, radix: 16))" }
                var names: [String] = []
                for start in stride(from: 0, to: texts.count, by: 256) {
                    names.append(
                        try await rig.reserve(Array(texts[start..<min(start + 256, texts.count)]), "r\(start)"))
                }
                try await rig.ledger.waitForPool(pool, "serves nothing") {
                    condition($0, "Ready")?["reason"] == "TooManyReservedRanges" && Self.reserved($0) == [subnet]
                        && $0["status"]?["free"]?.int == 0
                }
                let last = try #require(names.last)
                _ = try await rig.controlPlane.withAdmin {
                    try $0.delete(.ipReservations, name: last, preconditions: nil, deadline: .soon)
                }
                try await rig.ledger.waitForPool(pool, "serves again") {
                    condition($0, "Ready")?["status"] == "True" && Self.reserved($0).count == 1024
                }
            }
        }

        @Test func `kubectl apply refuses a reservation that makes no sense, and warns of holders and missing pools`()
            async throws
        {
            try await AdmissionRig.run { admission in
                let rig = admission.rig
                let pool = try await rig.makePool()
                let name = try await rig.enter(10, pool: pool, node: "n1", origin: .manual)
                try await rig.ledger.waitForPool(pool, "is counted") { $0["status"]?["allocated"]?.int == 1 }
                func apply(_ suffix: String, _ spec: JSON) async throws -> ProcessOutcome {
                    let reservation = rig.subnets.name(suffix)
                    rig.made.withLock { $0.reservations.append(reservation) }
                    return try await admission.kubectl(
                        ["apply", "--validate=false", "-f", "-"],
                        stdin: [
                            "apiVersion": "ipam.berth.dev/v1alpha1", "kind": "IPReservation",
                            "metadata": ["name": .string(reservation)], "spec": spec,
                        ])
                }
                let refused = try await apply("wrong", ["ranges": ["10.0.0.9-10.0.0.300"]])
                #expect(!refused.succeeded)
                #expect(refused.errorText.contains("spec.ranges[0]"), "\(refused)")
                #expect(refused.errorText.contains("10.0.0.300"), "\(refused)")
                let taken = try await apply(
                    "right",
                    ["ranges": [.string("\(rig.subnets.address4(8))-20")], "pools": [.string(pool), "missing"]])
                #expect(taken.succeeded, "\(taken)")
                #expect(taken.errorText.contains("Warning: in use, and left to who has it: \(name)"), "\(taken)")
                #expect(taken.errorText.contains("Warning: there is no IPPool \"missing\""), "\(taken)")
            }
        }
    }
}
