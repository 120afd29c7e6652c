import IPAMAPI
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// `kubectl berth check` on a real API server.
@Suite("kubectl berth check", .controlPlane, .timeLimit(.minutes(3)))
struct CheckCommandTests {
    private func found(_ rig: ConsoleRig, _ arguments: String...) async throws -> [String] {
        let (json, status) = try await rig.answer(["check", rig.pool, "--grace-period=0s"] + arguments)
        let findings = (json["findings"]?.array ?? []).map { finding in
            "\(finding["reason"]?.string ?? "") \(finding["allocation"]?.string ?? "")"
        }
        #expect(status == (findings.isEmpty ? 0 : 1))
        return findings
    }

    @Test func `A ledger in order has nothing to be found`() async throws {
        try await ConsoleRig.run { rig in
            let node = try await rig.makeNode()
            let pod = try await rig.makePod("web", on: node, reporting: [rig.subnets.address4(7)])
            try await rig.enter(7, node: node, pod: pod)
            try await rig.enter(8, node: "", pod: nil, origin: .manual)
            #expect(try await found(rig) == [])
            let outcome = try await rig.kubectlBerth(["check", rig.pool])
            #expect(outcome.outputText.hasSuffix(": all in order\n"))
        }
    }

    @Test func `Duplicates and strangers are found`() async throws {
        try await ConsoleRig.run { rig in
            let node = try await rig.makeNode()
            let a = try await rig.makePod("a", on: node, reporting: [rig.subnets.address4(1)])
            let b = try await rig.makePod("b", on: node, reporting: [rig.subnets.address4(1)])
            try await rig.enter(1, node: node, pod: a)
            // The sandbox of b was replaced, and a has what it reports.
            let old = try await rig.enter(2, node: node, pod: b)
            let released = try await rig.enter(3, node: node, pod: a, state: .cooling, cooldown: 10)
            let c = try await rig.makePod("c", on: node, reporting: [rig.subnets.address4(3)])
            let unknown = try await rig.makePod("d", on: node, reporting: [rig.subnets.address4(4)])
            let earlier = try await rig.enter(5, node: node, pod: c, poolUID: "an-earlier-one")
            let wrongLabel = try await rig.enter(6, node: node, pod: unknown) { object in
                object["metadata"]?["labels"]?[LabelKey.node] = "another"
            }
            #expect(
                try await found(rig) == [
                    "AddressOfAnother \(rig.subnets.address4(1))", "AddressNotInPod \(old)",
                    "AddressReleased \(released)", "AddressNotInPod \(earlier)", "AddressNotInPod \(wrongLabel)",
                    "UnknownAddress \(rig.subnets.address4(4))", "OtherPoolUID \(earlier)",
                    "LabelsDisagree \(wrongLabel)",
                ])
        }
    }

    @Test func `Two objects of one address are found where the server lets them be`() async throws {
        try await ConsoleRig.run { rig in
            let node = try await rig.makeNode()
            let pod = try await rig.makePod("a", on: node)
            try await rig.enter(1, node: node, pod: pod)
            var wasRefused = false
            do {
                try await rig.enter(1, node: node, pod: pod) { object in
                    object["metadata"]?["name"] = .string(rig.subnets.address4(2))
                }
            } catch let error as APIError where error.disposition == .invalid {
                // From 1.25 on the schema's rules keep it out.
                wasRefused = true
            }
            #expect(try await found(rig) == (wasRefused ? [] : ["SameAddressTwice \(rig.subnets.address4(2))"]))
        }
    }

    @Test func `--fix releases proven leaks and nothing else`() async throws {
        try await ConsoleRig.run { rig in
            let node = try await rig.makeNode()
            let silent = try await rig.makeNode("silent", isReady: false)
            let agented = try await rig.makeNode("agented")
            try await rig.makeAgent(agented)
            let here = try await rig.makePod("here", on: node)
            let kept = [
                try await rig.enter(1, node: node, pod: here),
                try await rig.enter(2, node: node, pod: nil, origin: .container),
                try await rig.enter(3, node: "", pod: nil, origin: .manual),
            ]
            let gone = try await rig.makePod("gone", on: node)
            let replaced = try await rig.makePod("replaced", on: node)
            let finished = try await rig.makePod("finished", on: node)
            try await rig.patchStatus(.pods, finished.name, ["phase": "Succeeded"], namespace: "default")
            let leaks = [
                try await rig.enter(11, node: node, pod: gone), try await rig.enter(12, node: node, pod: replaced),
                try await rig.enter(13, node: node, pod: finished),
                try await rig.enter(14, node: rig.subnets.name("no-node"), pod: nil, origin: .container),
            ]
            let cooled = try await rig.enter(15, node: node, pod: gone, cooldown: 10)
            let unproven = [
                try await rig.enter(21, node: silent, pod: gone), try await rig.enter(22, node: agented, pod: gone),
            ]
            try await rig.controlPlane.delete(gone)
            _ = try await rig.controlPlane.recreate(replaced)

            let all = [
                "PodDeleted \(leaks[0])", "PodReplaced \(leaks[1])", "PodFinished \(leaks[2])",
                "NodeDeleted \(leaks[3])", "PodDeleted \(cooled)", "PodDeleted \(unproven[0])",
                "PodDeleted \(unproven[1])",
            ]
            #expect(try await found(rig) == all)
            let unconfirmed = try await rig.kubectlBerth(["check", rig.pool, "--grace-period=0s", "--fix"])
            #expect(unconfirmed.ending == .exited(2))
            #expect(try await found(rig) == all)

            let fixed = try await rig.answer(["check", rig.pool, "--grace-period=0s", "--fix", "--yes"])
            #expect(fixed.status == 1)
            #expect(
                fixed.json["fixed"]?.array?.map { $0["result"]?.string } == Array(repeating: "Released", count: 5))
            for name in kept + unproven { #expect(try await rig.exists(name)) }
            for name in leaks { #expect(try await !rig.exists(name)) }
            #expect(try await rig.read(cooled).spec.state == .cooling)
            #expect(
                try await found(rig, "--fix", "--yes")
                    == ["PodDeleted \(unproven[0])", "PodDeleted \(unproven[1])"])
        }
    }

    @Test func `Who is gone is found after the grace period, too`() async throws {
        try await ConsoleRig.run { rig in
            let node = try await rig.makeNode()
            let pod = try await rig.makePod("web", on: node)
            let name = try await rig.enter(7, node: node, pod: pod)
            try await rig.controlPlane.delete(pod)
            let outcome = try await rig.kubectlBerth(["check", rig.pool, "--grace-period=2s"])
            #expect(outcome.ending == .exited(1))
            #expect(outcome.outputText.contains("Leak      PodDeleted   \(name)"))
        }
    }

    @Test func `Who may only look cannot mend`() async throws {
        try await ConsoleRig.run { rig in
            let node = try await rig.makeNode()
            let pod = try await rig.makePod("web", on: node)
            let name = try await rig.enter(7, node: node, pod: pod)
            try await rig.controlPlane.delete(pod)
            try await Files.withTemporaryFolder { folder in
                let viewer = try await rig.kubeconfig(of: "berth-viewer", in: folder)
                let looked = try await rig.kubectlBerth(
                    ["check", rig.pool, "--grace-period=0s"], environment: ["KUBECONFIG": viewer])
                #expect(looked.ending == .exited(1))
                #expect(looked.outputText.contains("PodDeleted"))
                let mended = try await rig.kubectlBerth(
                    ["check", rig.pool, "--grace-period=0s", "--fix", "--yes"], environment: ["KUBECONFIG": viewer])
                #expect(mended.ending == .exited(1))
                #expect(mended.outputText.contains("failed \(name): "))
                #expect(mended.outputText.contains("403 Forbidden"))
                #expect(try await rig.exists(name))

                let operatorConfig = try await rig.kubeconfig(of: "berth-operator", in: folder)
                let done = try await rig.kubectlBerth(
                    ["check", rig.pool, "--grace-period=0s", "--fix", "--yes"],
                    environment: ["KUBECONFIG": operatorConfig])
                #expect(done.ending == .exited(0))
                #expect(try await !rig.exists(name))
            }
        }
    }
}

extension ConsoleRig {
    /// The kubeconfig of a new service account that has one ClusterRole.
    ///
    /// - Parameter proxy: What is between; nil for nothing.
    func kubeconfig(of role: String, in folder: String, through proxy: FaultProxy? = nil) async throws -> String {
        let account = ServiceAccount(namespace: "default", name: subnets.name(role))
        try await controlPlane.apply(
            """
            apiVersion: v1
            kind: ServiceAccount
            metadata: {name: \(account.name), namespace: default}
            ---
            apiVersion: rbac.authorization.k8s.io/v1
            kind: ClusterRoleBinding
            metadata: {name: \(account.name)}
            roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: \(role)}
            subjects: [{kind: ServiceAccount, name: \(account.name), namespace: default}]
            """)
        try await controlPlane.waitForPermission(of: account, resource: BerthAPI.group)
        let admin = try controlPlane.adminConfiguration()
        let config: JSON = [
            "clusters": [
                [
                    "name": "c",
                    "cluster": [
                        "server": .string(proxy?.url ?? admin.server.url),
                        "certificate-authority-data": .string(
                            Base64.encode(proxy.map { Array($0.caPEM.utf8) } ?? admin.caPEM ?? [])),
                    ],
                ]
            ],
            "users": [["name": "u", "user": ["token": .string(try await controlPlane.token(of: account))]]],
            "contexts": [["name": "x", "context": ["cluster": "c", "user": "u"]]], "current-context": "x",
        ]
        let path = "\(folder)/\(role)"
        try Files.write(path, config.description)
        return path
    }
}
