import IPAMAPI
import IPAMController
import IPAMEngine
import JSONText
import KubernetesCore
import TestSupport
import Testing

extension ControllerTests {
    /// A node that does not report keeps its addresses, whatever else is known, until somebody can say that it is dead.
    @Suite("Fencing") struct FencingTests {
        /// A pool, a node that does not report, and an address of a pod on it that is gone: fenced by now.
        private struct Fenced {
            let pool: String
            let node: String
            let nodeUID: String
            let name: String
        }

        private static func fenced(_ rig: ControllerRig, machineID: String? = nil) async throws -> Fenced {
            let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
            let uid = try await rig.nodeUID(node)
            let pod = try await rig.makePod("gone", on: node)
            let name = try await rig.enter(10, pool: pool, node: node, pod: pod, machineID: machineID)
            try await rig.setNode(node, isReady: false)
            try await rig.controlPlane.delete(pod)
            try await rig.ledger.waitForState(name, "Fenced")
            return Fenced(pool: pool, node: node, nodeUID: uid, name: name)
        }

        private static func annotation(_ rig: ControllerRig, _ name: String, _ key: String) -> String? {
            rig.ledger.allocations.value[name]?["metadata"]?["annotations"]?[key]?.string
        }

        @Test func `C15: the address of a pod that went on a silent node is fenced, and freed once the node is back`()
            async throws
        {
            try await ControllerRig.run { rig in
                let fenced = try await Self.fenced(rig)
                #expect(Self.annotation(rig, fenced.name, AnnotationKey.fencedNodeUID) == fenced.nodeUID)
                let message = try await rig.ledger.waitForEvent(about: fenced.pool, reason: "Fenced")
                #expect(message.contains("fenced \(fenced.name)"))
                try await rig.waitForSentinel(pool: fenced.pool)
                #expect(rig.ledger.state(fenced.name) == "Fenced")
                let label = rig.ledger.allocations.value[fenced.name]?["metadata"]?["labels"]?[LabelKey.state]
                #expect(label == "Fenced")
                let back = ContinuousClock.now
                try await rig.setNode(fenced.node, isReady: true)
                try await rig.ledger.waitUntilGone(fenced.name)
                // The grace period begins anew.
                #expect(ContinuousClock.now - back >= ControllerRig.gracePeriod)
            }
        }

        @Test func `C15: what is fenced is freed when its node is force-removed`() async throws {
            try await ControllerRig.run { rig in
                let fenced = try await Self.fenced(rig)
                try await rig.deleteNode(fenced.node)
                try await rig.ledger.waitUntilGone(fenced.name)
                _ = try await rig.ledger.waitForEvent(about: fenced.pool, reason: "NodeDeleted")
            }
        }

        @Test func `what is fenced is freed when an administrator takes the node out of service`() async throws {
            try await ControllerRig.run { rig in
                let fenced = try await Self.fenced(rig)
                try await rig.takeOutOfService(fenced.node)
                try await rig.ledger.waitUntilGone(fenced.name)
                _ = try await rig.ledger.waitForEvent(about: fenced.pool, reason: "NodeOutOfService")
            }
        }

        @Test func `with a node-lost timeout what is fenced is freed after it`() async throws {
            try await ControllerRig.run(settings: { $0.reclaim.nodeLostTimeout = .seconds(3) }) { rig in
                let begin = ContinuousClock.now
                let fenced = try await Self.fenced(rig)
                try await rig.ledger.waitUntilGone(fenced.name)
                #expect(ContinuousClock.now - begin >= .seconds(3))
                _ = try await rig.ledger.waitForEvent(about: fenced.pool, reason: "NodeLost")
            }
        }

        @Test func `a fenced address whose pod lives is bound again when the node is back, not before`() async throws {
            try await ControllerRig.run { rig in
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                try await rig.setNode(node, isReady: false)
                let pod = try await rig.makePod("pod", on: node)
                let name = try await rig.enter(10, pool: pool, node: node, pod: pod, state: .fenced)
                try await rig.patch(
                    .ipAllocations, name, ["metadata": ["annotations": [AnnotationKey.fencedNodeUID: "1"]]])
                try await rig.waitForSentinel(pool: pool)
                #expect(rig.ledger.state(name) == "Fenced")
                try await rig.setNode(node, isReady: true)
                try await rig.ledger.waitForState(name, "Bound")
                #expect(Self.annotation(rig, name, AnnotationKey.fencedNodeUID) == nil)
                try await rig.waitForSentinel(251, pool: pool)
                #expect(rig.ledger.state(name) == "Bound")
            }
        }

        @Test
        func `W10: after a reboot the pod that a StatefulSet made anew keeps its address, its predecessor does not`()
            async throws
        {
            try await ControllerRig.run { rig in
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                let first = try await rig.makePod("web-0", on: node)
                let old = try await rig.enter(10, pool: pool, node: node, pod: first)
                try await rig.setNode(node, isReady: false)
                let second = try await rig.recreate(first)
                try await rig.ledger.waitForState(old, "Fenced")
                try await rig.setNode(node, isReady: true)
                let new = try await rig.enter(11, pool: pool, node: node, pod: second)
                try await rig.ledger.waitUntilGone(old)
                _ = try await rig.ledger.waitForEvent(about: pool, reason: "PodReplaced")
                try await rig.waitForSentinel(pool: pool)
                #expect(rig.ledger.state(new) == "Bound")
            }
        }

        @Test func `another machine under the node's name does not speak for the first one, until its Node is deleted`()
            async throws
        {
            try await ControllerRig.run { rig in
                let fenced = try await Self.fenced(rig, machineID: "the-first")
                try await rig.setNode(fenced.node, isReady: true, machineID: "the-second")
                try await rig.waitForSentinel(pool: fenced.pool)
                #expect(rig.ledger.state(fenced.name) == "Fenced")
                try await rig.deleteNode(fenced.node)
                try await rig.ledger.waitUntilGone(fenced.name)
            }
        }

        @Test func `a Node that was made anew for another machine frees what the first one had`() async throws {
            try await ControllerRig.run { rig in
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode("n", machineID: "the-first"))
                let pod = try await rig.makePod("gone", on: node)
                let name = try await rig.enter(10, pool: pool, node: node, pod: pod, machineID: "the-first")
                try await rig.waitForSentinel(pool: pool)
                try await rig.setNode(node, isReady: false)
                try await rig.controlPlane.delete(pod)
                try await rig.ledger.waitForState(name, "Fenced")
                try await rig.deleteNode(node)
                try await rig.makeNode("n", machineID: "the-second")
                try await rig.ledger.waitUntilGone(name)
            }
        }

        @Test func `addresses of containers and static pods are freed with their node, and only then`() async throws {
            try await ControllerRig.run { rig in
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                let other = try await rig.makeNode("other")
                let mirror = try await rig.makePod("static", on: node, configHash: "0123456789abcdef0123456789abcdef")
                let names = [
                    try await rig.enter(10, pool: pool, node: node, origin: .container),
                    try await rig.enter(
                        11, pool: pool, node: node, pod: mirror, podUID: "0123456789abcdef0123456789abcdef",
                        origin: .static),
                ]
                let kept = try await rig.enter(12, pool: pool, node: other, origin: .container)
                try await rig.controlPlane.delete(mirror)
                try await rig.setNode(node, isReady: false)
                try await rig.waitForSentinel(pool: pool)
                #expect(names.map { rig.ledger.state($0) } == ["Bound", "Bound"])
                try await rig.deleteNode(node)
                for name in names { try await rig.ledger.waitUntilGone(name) }
                try await rig.waitForSentinel(251, pool: pool)
                #expect(rig.ledger.state(kept) == "Bound")
            }
        }

        @Test func `where a node agent reports, the controller only marks what seems to be nobody's`() async throws {
            try await ControllerRig.idle { rig in
                try await rig.withController { running in
                    let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                    try await rig.makeAgent(node, seconds: 300)
                    let pod = try await rig.makePod("gone", on: node)
                    let name = try await rig.enter(10, pool: pool, node: node, pod: pod)
                    try await rig.controlPlane.delete(pod)
                    try await rig.waitForMark(name, "PodDeleted")
                    _ = try await rig.ledger.waitForEvent(about: pool, reason: "Marked")
                    try await rig.waitForSentinel(pool: pool)
                    #expect(rig.ledger.state(name) == "Bound")
                    try await running.waitForMetric("berth_allocations_marked{reason=\"PodDeleted\"}", 1)
                }
            }
        }

        /// The watch of the Leases may lag behind an agent that has begun a moment ago.
        @Test func `an agent that the watch does not know yet is read before anything is freed`() async throws {
            try await ControllerRig.idle(throughProxy: true) { rig in
                let proxy = try #require(rig.proxy)
                proxy.when(.verb("watch", "leases.coordination.k8s.io"), .always, .hang)
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                try await rig.withController { _ in
                    try await rig.makeAgent(node, seconds: 300)
                    let pod = try await rig.makePod("gone", on: node)
                    let name = try await rig.enter(10, pool: pool, node: node, pod: pod)
                    try await rig.controlPlane.delete(pod)
                    try await rig.waitForSentinel(pool: pool)
                    try await rig.waitForSentinel(251, pool: pool)
                    #expect(rig.ledger.state(name) == "Bound")
                }
            }
        }

        @Test
        func `what an agent that fell silent had is fenced though its kubelet reports, and marked when it is back`()
            async throws
        {
            try await ControllerRig.run { rig in
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                try await rig.makeAgent(node, seconds: 1)
                let pod = try await rig.makePod("gone", on: node)
                let name = try await rig.enter(10, pool: pool, node: node, pod: pod)
                try await rig.controlPlane.delete(pod)
                try await rig.ledger.waitForState(name, "Fenced")
                try await rig.waitForSentinel(pool: pool)
                #expect(rig.ledger.state(name) == "Fenced")
                try await rig.renewAgent(node, seconds: 300)
                try await rig.waitForMark(name, "PodDeleted")
            }
        }
    }
}
