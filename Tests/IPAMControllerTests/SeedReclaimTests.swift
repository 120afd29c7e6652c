import IPAMAPI
import IPAMController
import JSONText
import KubernetesClient
import KubernetesCore
import Synchronization
import TestSupport
import Testing

extension ControllerTests {
    /// What users of k8s-ipam and of Spiderpool must find here of plugin and controller together: the plugin's process
    /// claims, and the controller frees.
    @Suite("Seed: plugin and controller") struct SeedReclaimTests {
        /// Lends a rig with a running controller, and a node whose plugin is the real one.
        private static func run(
            _ body: @Sendable @escaping (ControllerRig, TestNode) async throws -> Void
        ) async throws {
            try await ControllerRig.run { rig in
                let name = try await rig.makeNode()
                try await withTestNode(rig.controlPlane, name: name, machineID: name, settings: ["timeoutSeconds": 60])
                {
                    try await body(rig, $0)
                }
            }
        }

        /// Makes a pool that the controller has looked at.
        private static func makePool(_ rig: ControllerRig, _ spec: JSON) async throws
            -> String
        {
            let pool = try await rig.makePool("pool", spec)
            try await rig.ledger.waitForPool(pool, "is compiled") { $0["status"]?["reservedGeneration"]?.int == 1 }
            return pool
        }

        /// Ranges that leave addresses for what the tests enter by themselves.
        private static func below100(_ rig: ControllerRig) -> JSON {
            ["ranges": [.string("\(rig.subnets.address4(10))-\(rig.subnets.address4(99))")]]
        }

        private static func name(_ outcome: PluginOutcome) throws -> String { try #require(outcome.addresses.first) }

        @Test func `K6: in a pool full of addresses whose pods are gone without a DEL an ADD succeeds in the end`()
            async throws
        {
            try await Self.run { rig, node in
                let pool = try await Self.makePool(rig, ["ranges": [.string(rig.subnets.address4(8) + "/31")]])
                let configuration = node.configuration(pools: [pool])
                let pods = try await rig.makePods("old", 2, on: node.name)
                var held: [String] = []
                for pod in pods {
                    let added = try await node.add(try node.newSandbox(pod: pod), configuration).checked()
                    held.append(try Self.name(added))
                }
                let next = try await rig.makePod("next", on: node.name)
                let full = try await node.add(try node.newSandbox(pod: next), configuration)
                #expect(full.failure?.code == 101, "\(full)")
                // The plugin is not there to be called any more.
                try await rig.delete(pods)
                try await rig.ledger.waitUntilGone(held)
                try await rig.ledger.waitForPool(pool, "has room") { $0["status"]?["free"]?.int == 2 }
                let added = try await node.add(try node.newSandbox(pod: next), configuration).checked()
                #expect(held.contains(try Self.name(added)))
            }
        }

        @Test
        func `a namespace that is at its quota gets nothing more, but of the pool behind, and others do`()
            async throws
        {
            try await Self.run { rig, node in
                let range = "\(rig.subnets.address4(10))-\(rig.subnets.address4(19))"
                let pool = try await Self.makePool(rig, ["namespaceQuota": 1, "ranges": [.string(range)]])
                let behind = rig.subnets.address4(20)
                let backup = try await rig.makePool("backup", ["ranges": [.string(behind)]])
                let (alone, both) = (
                    node.configuration(pools: [pool]), node.configuration(pools: [pool, backup])
                )
                let first = try node.newSandbox(pod: try await rig.makePod("web-0", on: node.name))
                let own = try Self.name(try await node.add(first, alone).checked())
                try await rig.ledger.waitForPool(pool, "has counted") {
                    $0["status"]?["namespacesAtQuota"] == [["namespace": "default", "used": 1]]
                }
                let next = try node.newSandbox(pod: try await rig.makePod("web-1", on: node.name))
                let refused = try await node.add(next, alone)
                #expect(refused.failure?.code == 101, "\(refused)")
                let reason =
                    "IPPool \"\(pool)\" gives a namespace 1 address (spec.namespaceQuota), and \"default\" uses 1"
                #expect(refused.failure?.message.contains(reason) == true, "\(refused)")
                #expect(try await Self.name(try node.add(next, both).checked()) == behind)
                // Who has an address keeps it, and another namespace gets its first.
                #expect(try await Self.name(try node.add(first, both).checked()) == own)
                let team = rig.subnets.name("team")
                try await rig.controlPlane.makeNamespace(team)
                let stranger = try await rig.controlPlane.makePod("web-0", namespace: team, node: node.name)
                rig.made.withLock { $0.pods.append(stranger) }
                try await node.add(try node.newSandbox(pod: stranger), alone).checked()
                // What comes back counts no more.
                try await node.delAgain(first, alone).checked()
                try await rig.ledger.waitForPool(pool, "has counted again") {
                    $0["status"]?["namespacesAtQuota"] == [["namespace": .string(team), "used": 1]]
                }
                let last = try node.newSandbox(pod: try await rig.makePod("web-2", on: node.name))
                try await node.add(last, alone).checked()
            }
        }

        @Test
        func `S26: a namespace that is deleted gives its addresses back, and its namesakes elsewhere keep theirs`()
            async throws
        {
            try await Self.run { rig, node in
                let pool = try await Self.makePool(rig, Self.below100(rig))
                let configuration = node.configuration(pools: [pool])
                let team = rig.subnets.name("team")
                try await rig.controlPlane.makeNamespace(team)
                var sandboxes: [TestSandbox] = []
                var (doomed, kept): ([String], [String]) = ([], [])
                for index in 0..<3 {
                    let namesake = try await rig.makePod("web-\(index)", on: node.name)
                    let pod = try await rig.controlPlane.makePod(namesake.name, namespace: team, node: node.name)
                    for (pod, isDoomed) in [(namesake, false), (pod, true)] {
                        let sandbox = try node.newSandbox(pod: pod)
                        let address = try Self.name(try await node.add(sandbox, configuration).checked())
                        if isDoomed { doomed.append(address) } else { kept.append(address) }
                        sandboxes.append(sandbox)
                    }
                }
                try await Self.deleteNamespace(team, rig)
                try await rig.ledger.waitUntilGone(doomed)
                try await rig.waitForSentinel(pool: pool)
                #expect(kept.allSatisfy { rig.ledger.state($0) == "Bound" })
                // The runtime's own calls come late, and find nothing to do.
                for sandbox in sandboxes where sandbox.pod?.namespace == team {
                    try await node.delAgain(sandbox, configuration).checked()
                }
                #expect(
                    try await rig.controlPlane.allocations(pool: pool).map { "\($0.spec.address)" }.sorted()
                        == kept.sorted())
            }
        }

        /// Does what the controller manager does, which does not run here.
        private static func deleteNamespace(_ namespace: String, _ rig: ControllerRig) async throws {
            let plane = rig.controlPlane
            try await plane.kubectl(["delete", "namespace", namespace, "--wait=false"])
            try await plane.kubectl(["delete", "pods", "--all", "-n", namespace, "--grace-period=0", "--force"])
            let object: JSON = [
                "apiVersion": "v1", "kind": "Namespace", "metadata": ["name": .string(namespace)],
                "spec": ["finalizers": []],
            ]
            try await plane.kubectl(
                ["replace", "--raw", "/api/v1/namespaces/\(namespace)/finalize", "-f", "-"],
                stdin: object.description)
        }

        @Test func `S29: a record with a wrong pod name is freed, and one with a wrong container goes with its pod`()
            async throws
        {
            try await Self.run { rig, node in
                let pool = try await Self.makePool(rig, Self.below100(rig))
                let configuration = node.configuration(pools: [pool])
                let pod = try await rig.makePod("web", on: node.name)
                let sandbox = try node.newSandbox(pod: pod)
                let own = try Self.name(try await node.add(sandbox, configuration).checked())
                let wrongName = try await rig.enter(
                    101, pool: pool, node: node.name,
                    pod: TestPod(namespace: pod.namespace, name: "\(pod.name)-gone", uid: pod.uid, node: pod.node))
                let wrongUID = try await rig.enter(102, pool: pool, node: node.name, pod: pod, podUID: "another")
                let wrongContainer = try await rig.enter(103, pool: pool, node: node.name, pod: pod)
                try await rig.ledger.waitUntilGone([wrongName, wrongUID])
                try await rig.waitForSentinel(pool: pool)
                // Of two containers of a pod that lives the controller does not know which is dead.
                #expect([own, wrongContainer].map { rig.ledger.state($0) } == ["Bound", "Bound"])
                // The DEL frees what its container has, and nothing else of its pod.
                try await node.del(sandbox, configuration).checked()
                try await rig.ledger.waitUntilGone(own)
                #expect(rig.ledger.state(wrongContainer) == "Bound")
                try await rig.controlPlane.delete(pod)
                try await rig.ledger.waitUntilGone(wrongContainer)
            }
        }

        @Test
        func `S24: many pools at once are made, serve, and are deleted; only those in use stay until they are not`()
            async throws
        {
            try await Self.run { rig, node in
                // As many of 6 addresses as there are in a /24.
                let names = (0..<32).map { rig.subnets.name("batch-\($0)") }
                let objects = names.enumerated().map { index, name -> JSON in
                    [
                        "apiVersion": .string(BerthAPI.apiVersion), "kind": "IPPool",
                        "metadata": ["name": .string(name)],
                        "spec": ["subnet": .string("\(rig.subnets.address4(8 * index))/29"), "cooldown": "0s"],
                    ]
                }
                rig.made.withLock { $0.pools += names }
                try await rig.controlPlane.apply(["apiVersion": "v1", "kind": "List", "items": .array(objects)])
                for name in names {
                    try await rig.ledger.waitForPool(name, "is ready") {
                        $0["status"]?["free"]?.int == 6 && condition($0, "Ready")?["status"] == "True"
                            && $0["metadata"]?["finalizers"]?.array?.isEmpty == false
                    }
                }
                let configuration = node.configuration(pools: [names[3], names[17]])
                let sandboxes = try (0..<8).map { _ in try node.newSandbox() }
                for sandbox in sandboxes { try await node.add(sandbox, configuration).checked() }
                try await rig.controlPlane.kubectl(["delete", "ippools", "--wait=false"] + names)
                let used = Set([names[3], names[17]])
                for name in names where !used.contains(name) { try await rig.ledger.waitUntilPoolIsGone(name) }
                for name in used {
                    try await rig.ledger.waitForPool(name, "waits") { condition($0, "Ready")?["reason"] == "Deleting" }
                }
                let refused = try await node.add(try node.newSandbox(), configuration)
                #expect(refused.failure?.code == 100, "\(refused)")
                for sandbox in sandboxes { try await node.del(sandbox, configuration).checked() }
                for name in used { try await rig.ledger.waitUntilPoolIsGone(name) }
            }
        }
    }
}
