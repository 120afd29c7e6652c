import Glibc
import IPAMAPI
import IPAMNode
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// Readiness, token and Lease on a real API server.
@Suite("The agent", .timeLimit(.minutes(2)))
struct AgentTests {
    @Test(.controlPlane) func `on an empty node an ADD works as soon as the agent says so`() async throws {
        try await NodeRig.run { rig in
            let pool = try await rig.makePool()
            for path in [rig.node.tokenFile, rig.node.kubeconfig, "\(rig.node.folder)/berth.conf"] {
                try Files.remove(path)
            }
            try await rig.withAgent { agent in
                try await agent.waitUntilReady()
                let pod = try await rig.makePod("first")
                let installed = PluginRunner(executable: "\(rig.node.folder)/bin/berth")
                let sandbox = try await rig.makeSandbox(pod)
                try await installed.run(rig.node.call("ADD", sandbox, rig.node.configuration(pools: [pool]))).checked()
                #expect(agent.metric("berth_node_ready") == 1)
                #expect(agent.metric("berth_node_token_writes_total") == 1)
                #expect((agent.metric("berth_node_token_expiration_timestamp_seconds") ?? 0) > 1_700_000_000)
                let state = try NodeState.read(from: "\(rig.node.folder)/run/state.json")
                #expect(state.problem(now: .now(), bootID: HostMachine.bootID) == nil)
            }
        }
    }

    @Test(.controlPlane) func `the Lease says which machine the agent looks after, and stays when it ends`()
        async throws
    {
        try await NodeRig.run { rig in
            try await rig.withAgent { agent in
                let mark = AgentMark(try await rig.ledger.waitForLease(rig.node.name))
                #expect(mark.isAgents)
                #expect(mark.machineID == rig.node.machineID)
                #expect(mark.duration == .seconds(4))
                try await agent.waitForMetric(#"berth_node_lease_renewals_total{result="renewed"}"#, atLeast: 3)
            }
            let left = try await rig.controlPlane.withAdmin { [name = rig.node.name] in
                try $0.get(.leases, namespace: "berth-system", name: name, deadline: .soon)
            }
            #expect(AgentMark(left).machineID == rig.node.machineID)
        }
    }

    @Test(.controlPlane) func `the Lease goes with the DaemonSet of the agent's pod`() async throws {
        try await NodeRig.run { rig in
            let name = rig.subnets.name("agent")
            let owner: JSON = [
                "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "berth-node",
                "uid": "11111111-2222-3333-4444-555555555555", "controller": true,
            ]
            let pod: JSON = [
                "apiVersion": "v1", "kind": "Pod",
                "metadata": [
                    "name": .string(name), "namespace": "berth-system", "ownerReferences": [owner],
                ],
                "spec": [
                    "nodeName": .string(rig.node.name), "automountServiceAccountToken": false,
                    "containers": [["name": "none", "image": "none"]],
                ],
            ]
            _ = try await rig.controlPlane.withAdmin {
                try $0.create(.pods, namespace: "berth-system", name: name, object: pod, deadline: .soon)
            }
            try await rig.withAgent({ $0.pod = name }) { _ in
                let lease = try await rig.ledger.waitForLease(rig.node.name)
                let reference = try #require(lease["metadata"]?["ownerReferences"]?.array?.first)
                #expect(reference["kind"] == "DaemonSet")
                #expect(reference["uid"] == owner["uid"])
                // It must not keep the DaemonSet from going.
                #expect(reference["blockOwnerDeletion"]?.bool != true)
            }
            try await rig.controlPlane.kubectl(
                ["delete", "pod", "--namespace=berth-system", "--grace-period=0", "--force", name])
        }
    }

    @Test(.controlPlane) func `a Lease that is not an agent's is left alone`() async throws {
        try await NodeRig.run { rig in
            let name = rig.node.name
            let object: JSON = [
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": ["name": .string(name), "namespace": "berth-system"],
                "spec": ["holderIdentity": "somebody"],
            ]
            _ = try await rig.controlPlane.withAdmin {
                try $0.create(.leases, namespace: "berth-system", name: name, object: object, deadline: .soon)
            }
            try await rig.withAgent { agent in
                try await agent.waitForMetric(#"berth_node_lease_renewals_total{result="failed"}"#, atLeast: 2)
            }
            let left = try await rig.controlPlane.withAdmin {
                try $0.get(.leases, namespace: "berth-system", name: name, deadline: .soon)
            }
            #expect(left["spec"]?["holderIdentity"] == "somebody")
        }
    }

    // MARK: Readiness

    @Test(.controlPlane) func `an API server that does not answer, and a token that it refuses, are said`() async throws
    {
        try await NodeRig.run(throughProxy: true) { rig in
            let proxy = try #require(rig.proxy)
            try await rig.withAgent { agent in
                try await agent.waitUntilReady()
                await proxy.suspend()
                _ = try await agent.waitForProblem("api")
                try await proxy.resume()
                try await agent.waitUntilReady()
                // One that another cluster has signed.
                let token = try await rig.controlPlane.token(of: .node)
                let unsigned = token.split(separator: ".").dropLast().joined(separator: ".")
                try Files.write("\(rig.node.folder)/agent-token", "\(unsigned).c2lnbmF0dXJl")
                let problem = try await agent.waitForProblem("api", containing: "401")
                #expect(problem.contains("it does not accept the token"))
                try Files.write("\(rig.node.folder)/agent-token", try await rig.controlPlane.token(of: .node))
                try await agent.waitUntilReady()
            }
        }
    }

    @Test(.controlPlane) func `a missing permission is named`() async throws {
        try await NodeRig.run { rig in
            let account = ServiceAccount(namespace: "default", name: "berth-test-reader")
            try await rig.controlPlane.apply(
                """
                apiVersion: v1
                kind: ServiceAccount
                metadata: {name: \(account.name), namespace: \(account.namespace)}
                ---
                apiVersion: rbac.authorization.k8s.io/v1
                kind: ClusterRoleBinding
                metadata: {name: \(account.name)}
                roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: berth-node}
                subjects: [{kind: ServiceAccount, name: \(account.name), namespace: \(account.namespace)}]
                """)
            try Files.write("\(rig.node.folder)/agent-token", try await rig.controlPlane.token(of: account))
            try await rig.withAgent { agent in
                let problem = try await agent.waitForProblem("api", containing: "may not create")
                #expect(problem.contains("the plugin may not create ipallocations"))
            }
        }
    }

    @Test(.controlPlane) func `a journal that cannot be written is said`() async throws {
        try await NodeRig.run { rig in
            try Files.write("\(rig.node.folder)/a-file", "")
            try await rig.withAgent({ $0.paths.journalFolder = "\(rig.node.folder)/a-file/journal" }) { agent in
                let problem = try await agent.waitForProblem("journal", containing: "a-file")
                #expect(problem.contains("Not a directory"))
            }
        }
    }

    @Test(.controlPlane) func `a machine ID that is missing is said, and waited for`() async throws {
        try await NodeRig.run { rig in
            let path = "\(rig.node.folder)/machine-id"
            try Files.remove(path)
            try await rig.withAgent { agent in
                #expect(try await agent.waitForProblem("machine-id").contains(path))
                try Files.write(path, rig.node.machineID)
                try await agent.waitUntilReady()
                _ = try await rig.ledger.waitForLease(rig.node.name)
            }
        }
    }

    // MARK: Tokens

    @Test(.controlPlane) func `a renewed token is what the plugin shows next`() async throws {
        try await NodeRig.run { rig in
            try await rig.withAgent { agent in
                try await agent.waitUntilReady()
                let renewed = try await rig.controlPlane.newToken(of: .node, lifetime: .seconds(7_200))
                try Files.write("\(rig.node.folder)/agent-token", renewed)
                try await agent.waitForMetric("berth_node_token_writes_total", 2)
                #expect(try Files.text(rig.node.tokenFile) == renewed)
                try await agent.waitUntilReady()
            }
        }
    }

    /// Two pods of the DaemonSet overlap; then the old one's token dies with it.
    @Test(.controlPlane) func `two agents do not write in turn, and the one that stays has its token in place`()
        async throws
    {
        try await NodeRig.run { rig in
            let (old, new) = (try await rig.makeAgentPod("agent-old"), try await rig.makeAgentPod("agent-new"))
            let tokens = [try await rig.token(boundTo: old), try await rig.token(boundTo: new)]
            let files = ["\(rig.node.folder)/token-old", "\(rig.node.folder)/token-new"]
            for (file, token) in zip(files, tokens) { try Files.write(file, token) }
            let pool = try await rig.makePool()
            try await rig.withAgent({ $0.paths.tokenFile = files[0] }) { first in
                try await first.waitUntilReady()
                #expect(try Files.text(rig.node.tokenFile) == tokens[0])
                try await rig.withAgent({ $0.paths.tokenFile = files[1] }) { second in
                    try await second.waitUntilReady()
                    for _ in 0..<5 {
                        try await first.waitForLook()
                        try await second.waitForLook()
                        #expect(try Files.text(rig.node.tokenFile) == tokens[1])
                    }
                    #expect(second.metric("berth_node_token_writes_total") == 1)
                    // The other way round: what the new one wrote dies with it, and the old one is still there.
                    try await rig.controlPlane.delete(new)
                    try await first.waitForMetric("berth_node_token_writes_total", 2)
                }
                try await first.waitUntilReady()
                #expect(try Files.text(rig.node.tokenFile) == tokens[0])
                _ = try await rig.start("after", pool: pool)
            }
        }
    }
}

extension NodeRig {
    /// A token that the API server refuses once the pod is gone, as kubelet projects it.
    fileprivate func token(boundTo pod: TestPod) async throws -> String {
        let request = APIRequest.create(
            .serviceAccounts, namespace: pod.namespace, name: Self.boundAccount,
            object: [
                "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                "spec": [
                    "expirationSeconds": 43_200,
                    "boundObjectRef": [
                        "apiVersion": "v1", "kind": "Pod", "name": .string(pod.name), "uid": .string(pod.uid),
                    ],
                ],
            ],
            subresource: "token")
        let answer = try await controlPlane.withAdmin { try $0.perform(request, deadline: .soon) }
        return answer["status"]?["token"]?.string ?? ""
    }

    private static let boundAccount = "berth-test-bound"

    /// A pod that runs as the account, for only to such a one its tokens are bound.
    fileprivate func makeAgentPod(_ suffix: String) async throws -> TestPod {
        let name = subnets.name(suffix)
        let object: JSON = [
            "apiVersion": "v1", "kind": "Pod", "metadata": ["name": .string(name), "namespace": "default"],
            "spec": [
                "nodeName": .string(node.name), "automountServiceAccountToken": false,
                "serviceAccountName": .string(Self.boundAccount),
                "containers": [["name": "none", "image": "none"]],
            ],
        ]
        try await makeAccount(in: "default")
        let pod = try await controlPlane.withAdmin {
            try $0.create(.pods, namespace: "default", name: name, object: object, deadline: .soon)
        }
        return remember(
            TestPod(namespace: "default", name: name, uid: pod["metadata"]?["uid"]?.string ?? "", node: node.name))
    }

    private func makeAccount(in namespace: String) async throws {
        var text = """
            apiVersion: v1
            kind: ServiceAccount
            metadata: {name: \(Self.boundAccount), namespace: \(namespace)}
            """
        for role in ["berth-node", "berth-plugin"] {
            text += """

                ---
                apiVersion: rbac.authorization.k8s.io/v1
                kind: ClusterRoleBinding
                metadata: {name: \(Self.boundAccount)-\(role)}
                roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: \(role)}
                subjects: [{kind: ServiceAccount, name: \(Self.boundAccount), namespace: \(namespace)}]
                """
        }
        try await controlPlane.apply(text)
    }
}
