import IPAMAPI
import IPAMController
import IPAMEngine
import JSONText
import KubernetesCore
import KubernetesRuntime
import TestSupport
import Testing

extension ControllerTests {
    /// Two replicas, of which one acts; servers and networks that fail them.
    @Suite("Leadership") struct LeadershipTests {
        @Test func `F4: when the leader ends in the middle of two hundred releases the other carries out the rest`()
            async throws
        {
            try await ControllerRig.idle { rig in
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                let (gone, living) = (
                    try await rig.makePods("gone", 200, on: node), try await rig.makePods("living", 20, on: node)
                )
                let leaked = try await rig.enter(
                    addresses: (1...200).map { rig.subnets.address4($0) }, pool: pool, node: node, pods: gone)
                let kept = try await rig.enter(
                    addresses: (201...220).map { rig.subnets.address4($0) }, pool: pool, node: node, pods: living)
                // As a StatefulSet does that is scaled down: without a DEL that reaches the plugin.
                try await rig.delete(gone)
                let end = Gate("the end of the first leader")
                let slow: @Sendable (inout ControllerSettings) -> Void = {
                    $0.reclaimRate = RateLimit(perSecond: 5, burst: 60)
                }
                let first = Task {
                    try await rig.withController(settings: slow) { running in
                        await end.pass()
                        return running.metric("berth_reclaimed_total{reason=\"PodDeleted\"}") ?? 0
                    }
                }
                defer { end.open() }
                try await end.reached()
                try await rig.withController(waitsForLeadership: false) { running in
                    _ = try await rig.ledger.wait("the first releases") { objects -> Bool? in
                        leaked.count(where: { objects[$0] == nil }) >= 40 ? true : nil
                    }
                    #expect(running.metric("berth_leader") == 0)
                    end.open()
                    let released = try await first.value
                    #expect(released > 0 && released < 200, "\(released)")
                    try await rig.ledger.waitUntilGone(leaked)
                    try await running.waitForMetric("berth_leader", 1)
                    let rest = running.metric("berth_reclaimed_total{reason=\"PodDeleted\"}") ?? 0
                    #expect(rest > 0 && rest + released <= 200, "\(rest), \(released)")
                }
                #expect(kept.allSatisfy { rig.ledger.state($0) == "Bound" })
            }
        }

        @Test func `a leader that is cut off does not write after another has taken over`() async throws {
            try await ControllerRig.idle(throughProxy: true) { rig in
                let proxy = try #require(rig.proxy)
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                let pods = try await rig.makePods("pod", 3, on: node)
                let names = try await rig.enter(
                    addresses: (1...3).map { rig.subnets.address4($0) }, pool: pool, node: node, pods: pods)
                try await rig.withController { first in
                    try await rig.controlPlane.delete(pods[0])
                    try await rig.ledger.waitUntilGone(names[0])
                    try await rig.withController(waitsForLeadership: false, passesProxy: false) { second in
                        // What is suspected by the first one now must not be freed by it later.
                        let writes = proxy.when(.verb("delete", "ipallocations.ipam.berth.dev"), .always, .hang)
                        try await rig.controlPlane.delete(pods[1])
                        await proxy.suspend()
                        try await rig.ledger.waitUntilGone(names[1])
                        try await second.waitForMetric("berth_leader", 1)
                        try await first.waitForMetric("berth_leader", 0)
                        proxy.clearLog()
                        writes.remove()
                        try await proxy.resume()
                        try await proxy.waitFor("the first one's look at the lease") {
                            $0.count("get", "leases.coordination.k8s.io") > 0
                        }
                        try await rig.controlPlane.delete(pods[2])
                        try await rig.ledger.waitUntilGone(names[2])
                        let ledger = proxy.log.filter {
                            $0.request.method != "GET"
                                && $0.request.action?.resource.hasSuffix("ipam.berth.dev") == true
                        }
                        #expect(ledger.isEmpty, "\(ledger)")
                        // It is counted a moment after the ledger shows it.
                        try await second.waitForMetric("berth_reclaimed_total{reason=\"PodDeleted\"}", 2)
                    }
                }
            }
        }

        @Test func `a watch that missed events finds out by a new list`() async throws {
            try await ControllerRig.run(throughProxy: true) { rig in
                let proxy = try #require(rig.proxy)
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                let pods = try await rig.makePods("pod", 3, on: node)
                let names = try await rig.enter(
                    addresses: (1...3).map { rig.subnets.address4($0) }, pool: pool, node: node, pods: pods)
                try await rig.ledger.waitForPool(pool, "is counted") { $0["status"]?["allocated"]?.int == 3 }
                // The watches cannot be resumed, and the pods' list waits: events are missed.
                let gate = Gate()
                proxy.when(.verb("watch", "pods"), .first(3), .status(410, "Expired"))
                proxy.when(.verb("list", "pods"), .always, .hold(gate))
                await proxy.resetConnections()
                try await gate.reached()
                try await rig.controlPlane.delete(pods[0])
                let successor = try await rig.recreate(pods[1])
                let kept = try await rig.enter(4, pool: pool, node: node, pod: successor)
                gate.open()
                try await rig.ledger.waitUntilGone(Array(names[..<2]))
                try await rig.waitForSentinel(pool: pool)
                #expect([names[2], kept].map { rig.ledger.state($0) } == ["Bound", "Bound"])
            }
        }

        @Test func `the controller goes on after the API server was restarted, and nothing live is freed`() async throws
        {
            try await ControllerRig.idle { rig in
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                let pods = try await rig.makePods("pod", 2, on: node)
                let names = try await rig.enter(
                    addresses: (1...2).map { rig.subnets.address4($0) }, pool: pool, node: node, pods: pods)
                try await rig.withController { running in
                    try await runChecked(
                        "\(Repository.root)/hack/control-plane.sh",
                        ["restart-apiserver", rig.controlPlane.folder])
                    try await rig.controlPlane.delete(pods[0])
                    try await rig.ledger.waitUntilGone(names[0])
                    try await rig.waitForSentinel(pool: pool)
                    #expect(rig.ledger.state(names[1]) == "Bound")
                    try await rig.ledger.waitForPool(pool, "is counted") { $0["status"]?["allocated"]?.int == 1 }
                    try await running.waitForMetric("berth_leader", 1)
                }
            }
        }

        @Test func `an agent that falls silent after the leader has changed is missed by the new one`() async throws {
            try await ControllerRig.idle { rig in
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                try await rig.makeAgent(node, seconds: 300)
                let pod = try await rig.makePod("gone", on: node)
                let name = try await rig.enter(1, pool: pool, node: node, pod: pod)
                try await rig.controlPlane.delete(pod)
                let end = Gate("the end of the first leader")
                let first = Task { try await rig.withController { _ in await end.pass() } }
                defer { end.open() }
                try await end.reached()
                // Nothing is left to do but to wait for the agent.
                try await rig.waitForMark(name, "PodDeleted")
                try await rig.withController(waitsForLeadership: false) { second in
                    try await second.waitForStores()
                    try await rig.renewAgent(node, seconds: 4)
                    end.open()
                    try await first.value
                    try await second.waitForMetric("berth_leader", 1)
                    try await rig.ledger.waitForState(name, "Fenced")
                }
            }
        }

        @Test func `a replica that does not lead keeps nothing of the changes that it sees`() async throws {
            try await ControllerRig.idle { rig in
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                try await rig.withController { _ in
                    try await rig.withController(waitsForLeadership: false) { second in
                        try await second.waitForStores()
                        let names = try await rig.enter(
                            addresses: (1...20).map { rig.subnets.address4($0) }, pool: pool, node: node,
                            state: .cooling)
                        try await rig.ledger.waitUntilGone(names)
                        try await rig.waitForSentinel(pool: pool)
                        for queue in ["reclaim", "cooldown", "status", "pools"] {
                            #expect(second.metric("berth_queue_depth{controller=\"\(queue)\"}") == 0)
                        }
                    }
                }
            }
        }
    }
}
