import IPAMAPI
import JSONText
import KubernetesCore
import TestSupport
import Testing

extension ControllerTests {
    /// Addresses that were released become free after their cooldown, and not before.
    @Suite("Cooldowns") struct CooldownTests {
        @Test func `a cooldown ends after its time, and not before`() async throws {
            try await ControllerRig.idle { rig in
                try await rig.withController { running in
                    let pool = try await rig.makePool()
                    let begin = ContinuousClock.now
                    let name = try await rig.enter(10, pool: pool, node: "n", state: .cooling, cooldown: 2)
                    let long = try await rig.enter(11, pool: pool, node: "n", state: .cooling, cooldown: 3600)
                    try await rig.ledger.waitUntilGone(name)
                    let took = ContinuousClock.now - begin
                    #expect(took >= .seconds(2), "\(took)")
                    #expect(rig.ledger.state(long) == "Cooling")
                    try await running.waitForMetric("berth_cooldowns_ended_total", 1)
                }
            }
        }

        @Test func `two thousand cooldowns that end at once all end`() async throws {
            try await ControllerRig.idle { rig in
                let subnet = Subnets.nextLarge()
                let pool = try await rig.makePool("pool", ["subnet": .string(subnet), "cooldown": "1s"])
                let prefix = subnet.split(separator: ".").prefix(2).joined(separator: ".")
                let addresses = (0..<2000).map { "\(prefix).\(1 + $0 / 200).\(1 + $0 % 200)" }
                let names = try await rig.enter(
                    addresses: addresses, pool: pool, node: "n", state: .cooling, cooldown: 1)
                try await rig.withController { running in
                    try await rig.ledger.waitUntilGone(names)
                    try await running.waitForMetric("berth_cooldowns_ended_total", 2000)
                    try await rig.ledger.waitForPool(pool, "nothing cools") {
                        $0["status"]?["cooling"]?.int == 0 && $0["status"]?["free"]?.int == 65_534
                    }
                }
            }
        }

        @Test func `an address that is taken over in the moment in which its cooldown ends stays`() async throws {
            try await ControllerRig.run(throughProxy: true) { rig in
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                let pod = try await rig.makePod("next", on: node)
                let gate = Gate()
                rig.proxy?.when(.verb("delete", "ipallocations.ipam.berth.dev"), .first(1), .hold(gate))
                let name = try await rig.enter(10, pool: pool, node: node, state: .cooling, cooldown: 1)
                try await gate.reached()
                let holder: JSON = ["networkName": "net", "containerID": "c-next", "interface": "eth0"]
                try await rig.patch(
                    .ipAllocations, name,
                    [
                        "metadata": ["labels": [LabelKey.state: "Bound"]],
                        "spec": ["state": "Bound", "attachment": holder, "pod": pod.reference.json],
                    ])
                gate.open()
                try await rig.waitForSentinel(pool: pool)
                #expect(rig.ledger.state(name) == "Bound")
                let other = try await rig.enter(11, pool: pool, node: node, state: .cooling, cooldown: 1)
                try await rig.ledger.waitUntilGone(other)
                #expect(rig.ledger.state(name) == "Bound")
            }
        }

        @Test func `what is Held for no claim, and would be for good, begins to cool`() async throws {
            try await ControllerRig.run { rig in
                let pool = try await rig.makePool()
                let manual = try await rig.enter(10, pool: pool, node: "n", origin: .manual, state: .held)
                let lost = try await rig.enter(11, pool: pool, node: "n", state: .held, cooldown: 3600)
                let used = try await rig.enter(12, pool: pool, node: "n", state: .held)
                try await rig.ledger.waitUntilGone(used)
                try await rig.ledger.waitForState(lost, "Cooling")
                #expect(rig.ledger.state(manual) == "Held")
            }
        }

        @Test func `a cooldown begins anew with another controller, and ends`() async throws {
            try await ControllerRig.idle { rig in
                let pool = try await rig.makePool()
                let name = try await rig.enter(10, pool: pool, node: "n", state: .cooling, cooldown: 8)
                try await rig.withController { _ in
                    let first = try await rig.enter(11, pool: pool, node: "n", state: .cooling, cooldown: 1)
                    try await rig.ledger.waitUntilGone(first)
                }
                let restart = ContinuousClock.now
                try await rig.withController { _ in
                    try await rig.ledger.waitUntilGone(name)
                    #expect(ContinuousClock.now - restart >= .seconds(8))
                }
            }
        }
    }
}

extension ObservedLedger {
    func waitUntilGone(_ names: [String]) async throws {
        _ = try await wait("the release of \(names.count) addresses") { objects -> Bool? in
            names.allSatisfy { objects[$0] == nil } ? true : nil
        }
    }
}
