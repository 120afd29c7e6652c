import IPAMAPI
import IPAMEngine
import JSONText
import KubernetesCore
import TestSupport
import Testing

extension ControllerTests {
    /// Addresses of pods that are gone become free; those of pods that live never do.
    @Suite("Reclaiming") struct ReclaimTests {
        @Test func `C15: the address of a pod that was force-removed without a DEL is freed, and an event says so`()
            async throws
        {
            try await ControllerRig.run { rig in
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                let (gone, living) = (
                    try await rig.makePod("gone", on: node), try await rig.makePod("living", on: node)
                )
                let freed = try await rig.enter(10, pool: pool, node: node, pod: gone)
                let kept = try await rig.enter(11, pool: pool, node: node, pod: living)
                try await rig.controlPlane.delete(gone)
                try await rig.ledger.waitUntilGone(freed)
                let message = try await rig.ledger.waitForEvent(about: pool, reason: "PodDeleted")
                #expect(message.contains("reclaimed \(freed) of pod default/\(gone.name) on node \(node)"))
                #expect(rig.ledger.state(kept) == "Bound")
            }
        }

        @Test func `an address that was in use cools before it is free`() async throws {
            try await ControllerRig.run { rig in
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                let pod = try await rig.makePod("pod", on: node)
                let name = try await rig.enter(10, pool: pool, node: node, pod: pod, cooldown: 3600)
                try await rig.controlPlane.delete(pod)
                try await rig.ledger.waitForState(name, "Cooling")
                let object = try #require(rig.ledger.allocations.value[name])
                #expect(object["spec"]?["attachment"] == nil)
                #expect(object["metadata"]?["labels"]?[LabelKey.state] == "Cooling")
                #expect(object["metadata"]?["labels"]?[LabelKey.attachment] == nil)
            }
        }

        @Test func `a pod that was deleted while the controller was down is found when it starts`()
            async throws
        {
            try await ControllerRig.idle { rig in
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                let (gone, living) = (
                    try await rig.makePod("gone", on: node), try await rig.makePod("living", on: node)
                )
                let freed = try await rig.enter(10, pool: pool, node: node, pod: gone)
                let kept = try await rig.enter(11, pool: pool, node: node, pod: living)
                try await rig.controlPlane.delete(gone)
                try await rig.withController { _ in
                    try await rig.ledger.waitUntilGone(freed)
                    #expect(rig.ledger.state(kept) == "Bound")
                }
            }
        }

        @Test func `a pod of the same name with another UID does not keep the address of the first`() async throws {
            try await ControllerRig.run { rig in
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                let first = try await rig.makePod("stateful-0", on: node)
                let freed = try await rig.enter(10, pool: pool, node: node, pod: first)
                let second = try await rig.recreate(first)
                let kept = try await rig.enter(11, pool: pool, node: node, pod: second)
                try await rig.ledger.waitUntilGone(freed)
                _ = try await rig.ledger.waitForEvent(about: pool, reason: "PodReplaced")
                #expect(rig.ledger.state(kept) == "Bound")
            }
        }

        @Test func `F4: the addresses of a StatefulSet that is scaled down, then deleted, are freed, and only these`()
            async throws
        {
            try await ControllerRig.run { rig in
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                let pods = try await rig.makePods("web", 4, on: node)
                let names = try await rig.enter(
                    addresses: (10...13).map { rig.subnets.address4($0) }, pool: pool, node: node, pods: pods)
                for part in [2..<4, 0..<2] {
                    try await rig.delete(Array(pods[part]))
                    try await rig.ledger.waitUntilGone(Array(names[part]))
                    #expect(names[..<part.lowerBound].allSatisfy { rig.ledger.state($0) == "Bound" })
                }
            }
        }

        @Test(arguments: ["Succeeded", "Failed"])
        func `the address of a pod that has finished is freed, also when it was evicted`(phase: String) async throws {
            try await ControllerRig.run { rig in
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                let pod = try await rig.makePod("job", on: node)
                let name = try await rig.enter(10, pool: pool, node: node, pod: pod)
                try await rig.setPhase(pod, phase)
                try await rig.ledger.waitUntilGone(name)
                _ = try await rig.ledger.waitForEvent(about: pool, reason: "PodFinished")
            }
        }

        @Test func `two attachments of one live pod are both left alone`() async throws {
            try await ControllerRig.run { rig in
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                let pod = try await rig.makePod("pod", on: node)
                let names = [
                    try await rig.enter(10, pool: pool, node: node, pod: pod),
                    try await rig.enter(11, pool: pool, node: node, pod: pod),
                ]
                try await rig.waitForSentinel(pool: pool)
                #expect(names.map { rig.ledger.state($0) } == ["Bound", "Bound"])
            }
        }

        @Test func `an allocation that comes before its pod's event is not taken for a leak`() async throws {
            try await ControllerRig.run(throughProxy: true) { rig in
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                // The watch of pods is silent; the ledger's is not.
                let isPods = RequestMatcher.path("/api/v1/pods")
                let gate = Gate()
                rig.proxy?.when(isPods, .always, .hold(gate))
                await rig.proxy?.resetConnections()
                let pod = try await rig.makePod("young", on: node)
                let name = try await rig.enter(10, pool: pool, node: node, pod: pod)
                // By now the grace period has passed for it too, and the live read found the pod.
                let other = try await rig.makePod("other", on: node)
                let sentinel = try await rig.enter(11, pool: pool, node: node, pod: other, podUID: "another")
                try await rig.ledger.waitUntilGone(sentinel)
                #expect(rig.ledger.state(name) == "Bound")
                gate.open()
            }
        }

        @Test func `what was entered by hand, or is a static pod's or a container's, stays`() async throws {
            try await ControllerRig.run { rig in
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                let manual = try await rig.enter(10, pool: pool, node: node, origin: .manual)
                let held = try await rig.enter(11, pool: pool, node: node, origin: .manual, state: .held)
                let mirror = try await rig.makePod("static", on: node, configHash: "0123456789abcdef0123456789abcdef")
                let own = try await rig.enter(
                    12, pool: pool, node: node, pod: mirror, podUID: "0123456789abcdef0123456789abcdef",
                    origin: .static)
                let container = try await rig.enter(13, pool: pool, node: node, origin: .container)
                try await rig.controlPlane.delete(mirror)
                try await rig.waitForSentinel(pool: pool)
                #expect(
                    [manual, held, own, container].map { rig.ledger.state($0) } == ["Bound", "Held", "Bound", "Bound"])
            }
        }

        @Test func `W10: a release of the controller does not touch an address that was taken over meanwhile`()
            async throws
        {
            try await ControllerRig.run(throughProxy: true) { rig in
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                let (gone, next) = (try await rig.makePod("gone", on: node), try await rig.makePod("next", on: node))
                let name = try await rig.enter(10, pool: pool, node: node, pod: gone)
                let gate = Gate()
                rig.proxy?.when(.verb("delete", "ipallocations.ipam.berth.dev"), .first(1), .hold(gate))
                try await rig.controlPlane.delete(gone)
                try await gate.reached()
                try await rig.patch(
                    .ipAllocations, name,
                    [
                        "spec": [
                            "attachment": ["containerID": "c-next"],
                            "pod": ["name": .string(next.name), "uid": .string(next.uid)],
                        ]
                    ])
                gate.open()
                try await rig.waitForSentinel(pool: pool)
                #expect(rig.ledger.state(name) == "Bound")
                #expect(rig.ledger.allocations.value[name]?["spec"]?["pod"]?["name"]?.string == next.name)
            }
        }
    }
}
