import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesCore
import TestSupport
import Testing

@testable import IPAMConsole

/// Berth in another namespace than the console is told.
@Suite struct AgentRosterTests {
    private func sighting(_ namespace: String, machineID: String = "m1", since: Int64 = 100) -> AgentSighting {
        let mark = AgentMark([
            "metadata": ["annotations": ["ipam.berth.dev/machine-id": .string(machineID)]],
            "spec": ["leaseDurationSeconds": 40],
        ])
        return AgentSighting(
            PodKey(namespace: namespace, name: "n1"), mark: mark, resourceVersion: namespace, since: .seconds(since))
    }

    @Test func `Of several Leases of a node the one counts that forbids most`() {
        func fact(_ sightings: AgentSighting..., node: String = "n1") -> AgentFact {
            AgentRoster(sightings).fact(node: node, machineID: "m1", now: .seconds(120))
        }
        #expect(fact() == .none)
        #expect(fact(sighting("a"), node: "n2") == .none)
        #expect(fact(sighting("a")) == .reports)
        let (stale, foreign) = (sighting("b", since: 1), sighting("c", machineID: "m2"))
        #expect(fact(stale) == .silent)
        #expect(fact(foreign) == .silent)
        for order in [[sighting("a"), stale, foreign], [foreign, stale, sighting("a")]] {
            #expect(AgentRoster(order).fact(node: "n1", machineID: "m1", now: .seconds(120)) == .reports)
        }
        #expect(fact(stale, foreign) == .silent)
    }

    @Test func `A Lease keeps its time by its namespace and version`() {
        let roster = AgentRoster([sighting("a"), sighting("b", since: 7)])
        let lease = PodKey(namespace: "b", name: "n1")
        #expect(roster.sighting(of: lease, resourceVersion: "b")?.since == .seconds(7))
        #expect(roster.sighting(of: lease, resourceVersion: "a") == nil)
        #expect(roster.patience(node: "n1") == .seconds(40))
        #expect(roster.patience(node: "n2") == nil)
    }
}

/// The same on a real API server.
@Suite("kubectl berth where Berth is elsewhere", .controlPlane, .timeLimit(.minutes(3)))
struct AgentNamespaceTests {
    @Test func `An agent of another namespace keeps what its node has`() async throws {
        try await ConsoleRig.run { rig in
            let node = try await rig.makeNode()
            try await rig.makeAgent(node, version: "0.0.9", namespace: "kube-node-lease")
            let pod = try await rig.makePod("web", on: node)
            let name = try await rig.enter(7, node: node, pod: pod)
            try await rig.controlPlane.delete(pod)
            let text = "the pod is deleted; the node's agent frees it when the sandbox is dead"

            let fixed = try await rig.answer(["check", rig.pool, "--grace-period=0s", "--fix", "--yes"])
            #expect(fixed.status == 1)
            #expect(fixed.json["fixed"] == [])
            #expect(fixed.json["findings"]?.array?.first?["message"]?.string == text)
            let refused = try await rig.kubectlBerth(["release", name, "--yes"])
            #expect(refused.ending == .exited(2))
            #expect(refused.errorText == "error: refused to release \(name): \(text)\n  → --force overrides\n")
            let who = try await rig.answer(["who", name])
            #expect(who.json["holders"]?.array?.first?["why"]?.string == text)
            #expect(try await rig.read(name).spec.state == .bound)

            let components = try await rig.answer(["version"]).json["components"]?.array ?? []
            #expect(components.first { $0["place"]?.string == node }?["version"] == "0.0.9")
        }
    }

    @Test func `Who may look in one namespace alone must name that of Berth to release anything`() async throws {
        try await ConsoleRig.run { rig in
            let noNode = rig.subnets.name("no-node")
            let name = try await rig.enter(7, node: noNode, pod: nil, origin: .container)
            try await Files.withTemporaryFolder { folder in
                let config = try await rig.kubeconfigOfOneNamespace("default", in: folder)
                func run(_ arguments: String...) async throws -> ProcessOutcome {
                    try await rig.kubectlBerth(
                        arguments + ["--system-namespace=default"], environment: ["KUBECONFIG": config])
                }
                let problem =
                    "nobody knows which nodes have an agent: Leases may be listed in namespace default alone, and nothing"
                    + " of Berth is there"
                let remedy =
                    "name the namespace of Berth with --system-namespace, or bind the ClusterRole berth-viewer to this"
                    + " user in the whole cluster"
                let fixing = try await run("check", rig.pool, "--grace-period=0s", "--fix", "--yes")
                #expect(fixing.ending == .exited(2))
                #expect(
                    fixing.errorText == "error: refused to release anything: \(problem)\n  → \(remedy)\n", "\(fixing)")
                let releasing = try await run("release", name, "--yes")
                #expect(releasing.ending == .exited(2))
                #expect(
                    releasing.errorText
                        == "error: refused to release \(name): the node is deleted, but \(problem)\n"
                        + "  → \(remedy); --force overrides\n", "\(releasing)")
                #expect(try await rig.exists(name))
                let looking = try await run("check", rig.pool, "--grace-period=0s")
                #expect(looking.ending == .exited(1))
                #expect(
                    looking.errorText.hasPrefix("warning: --fix would be refused to release anything: nobody knows"),
                    "\(looking)")

                try await rig.makeAgent(rig.subnets.name("another"), namespace: "default")
                let fixed = try await run("check", rig.pool, "--grace-period=0s", "--fix", "--yes")
                #expect(fixed.ending == .exited(0), "\(fixed)")
                #expect(try await !rig.exists(name))
            }
        }
    }

    @Test func `status names a controller that was killed`() async throws {
        try await ConsoleRig.run { rig in
            try await rig.makeLease(
                "berth-controller", namespace: "kube-public",
                [
                    "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                    "metadata": ["name": "berth-controller", "namespace": "kube-public"],
                    "spec": [
                        "holderIdentity": "a_1", "leaseDurationSeconds": 15,
                        "renewTime": "2026-01-02T03:04:05.000000Z",
                    ],
                ])
            let status = try await rig.answer(["status", rig.pool, "--system-namespace=kube-public"])
            #expect(
                status.json["problems"]?.array?.compactMap(\.string).contains(
                    "no replica of berth-controller leads, last was a_1: nothing is reclaimed or counted") == true,
                "\(status)")
        }
    }
}

extension ConsoleRig {
    /// The kubeconfig of a new service account that may do everything with the ledger, and sees Leases of one namespace.
    fileprivate func kubeconfigOfOneNamespace(_ namespace: String, in folder: String) async throws -> String {
        let role = subnets.name("narrow")
        try await controlPlane.apply(
            """
            apiVersion: rbac.authorization.k8s.io/v1
            kind: ClusterRole
            metadata: {name: \(role)}
            rules:
            - {apiGroups: [ipam.berth.dev], resources: ['*'], verbs: ['*']}
            - {apiGroups: [''], resources: [pods, nodes], verbs: [get, list]}
            ---
            apiVersion: rbac.authorization.k8s.io/v1
            kind: Role
            metadata: {name: \(role), namespace: \(namespace)}
            rules:
            - {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, list]}
            ---
            apiVersion: rbac.authorization.k8s.io/v1
            kind: RoleBinding
            metadata: {name: \(role), namespace: \(namespace)}
            roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: \(role)}
            subjects: [{kind: ServiceAccount, name: \(subnets.name(role)), namespace: default}]
            """)
        return try await kubeconfig(of: role, in: folder)
    }
}
