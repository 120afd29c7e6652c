import IPAMAPI
import IPAMController
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

extension ControllerTests {
    /// A pool lives for as long as somebody has an address of it.
    @Suite("The life of pools") struct PoolLifeTests {
        private static func delete(_ rig: ControllerRig, _ pool: String) async throws {
            _ = try await rig.controlPlane.withAdmin {
                try $0.delete(.ipPools, name: pool, preconditions: nil, deadline: .soon)
            }
        }

        @Test func `a pool that is deleted while in use stays until its last address is released`() async throws {
            try await ControllerRig.run { rig in
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                let names = [
                    try await rig.enter(10, pool: pool, node: node, origin: .manual),
                    try await rig.enter(11, pool: pool, node: node, state: .cooling, cooldown: 3600),
                ]
                try await rig.ledger.waitForPool(pool, "has the finalizer") {
                    $0["metadata"]?["finalizers"] == [.string(PoolLifeReconciler.finalizer)]
                }
                try await Self.delete(rig, pool)
                try await rig.ledger.waitForPool(pool, "says that it waits") { object in
                    let ready = condition(object, "Ready")
                    return ready?["reason"] == "Deleting"
                        && ready?["message"]?.string?.contains("allocations that it waits for: 2") == true
                }
                for name in names {
                    try await rig.waitForSentinel(name == names[0] ? 250 : 251, pool: pool)
                    #expect(rig.ledger.pools.value[pool] != nil)
                    _ = try await rig.controlPlane.withAdmin {
                        try $0.delete(.ipAllocations, name: name, preconditions: nil, deadline: .soon)
                    }
                }
                try await rig.ledger.waitUntilPoolIsGone(pool)
            }
        }

        @Test func `a pool without allocations goes at once, and finalizers of others are left to them`() async throws {
            try await ControllerRig.run { rig in
                let (free, foreign) = (try await rig.makePool("free"), try await rig.makePool("foreign"))
                try await rig.patch(.ipPools, foreign, ["metadata": ["finalizers": ["example.com/theirs"]]])
                for pool in [free, foreign] {
                    try await rig.ledger.waitForPool(pool, "has the finalizer") {
                        $0["metadata"]?["finalizers"]?.array?.contains(.string(PoolLifeReconciler.finalizer)) == true
                    }
                    try await Self.delete(rig, pool)
                }
                try await rig.ledger.waitUntilPoolIsGone(free)
                try await rig.ledger.waitForPool(foreign, "has only their finalizer") {
                    $0["metadata"]?["finalizers"] == ["example.com/theirs"]
                }
            }
        }

        @Test func `an inline pool that nobody uses is deleted after its lifetime; one in use and others are not`()
            async throws
        {
            try await ControllerRig.run(settings: { $0.inlinePoolLifetime = .seconds(1) }) { rig in
                let (unused, used) = (try await rig.makePool("unused"), try await rig.makePool("used"))
                let (cooling, plain) = (try await rig.makePool("cooling"), try await rig.makePool("plain"))
                let holder = try await rig.enter(10, pool: used, node: "n", origin: .manual)
                try await rig.enter(11, pool: cooling, node: "n", state: .cooling, cooldown: 3600)
                for pool in [unused, used, cooling] {
                    try await rig.patch(.ipPools, pool, ["metadata": ["labels": [LabelKey.inline: "true"]]])
                }
                try await rig.ledger.waitUntilPoolIsGone(unused)
                try await rig.waitForSentinel(pool: plain)
                for pool in [used, cooling, plain] { #expect(rig.ledger.pools.value[pool] != nil) }
                // Its lifetime without an allocation begins with the last one's end.
                _ = try await rig.controlPlane.withAdmin {
                    try $0.delete(.ipAllocations, name: holder, preconditions: nil, deadline: .soon)
                }
                try await rig.ledger.waitUntilPoolIsGone(used)
            }
        }
    }
}

/// A condition of a pool.
func condition(_ pool: JSON, _ type: String) -> JSON? {
    pool["status"]?["conditions"]?.array?.first { $0["type"]?.string == type }
}

extension ObservedLedger {
    func waitUntilPoolIsGone(_ name: String) async throws {
        _ = try await pools.wait(for: "the end of pool \(name)", within: .seconds(120)) { pools -> Bool? in
            pools[name] == nil ? true : nil
        }
    }
}
