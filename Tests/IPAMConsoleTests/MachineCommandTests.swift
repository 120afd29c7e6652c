import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// What `explain` says of virtual machines and of pods that refer to IPAMClaims, on a real API server.
@Suite("kubectl berth on virtual machines", .controlPlane, .timeLimit(.minutes(3)))
struct MachineCommandTests {
    private func launcher(
        _ suffix: String, of instance: TestOwner, on node: String, _ rig: ConsoleRig, labels: [String: String] = [:]
    ) async throws -> TestPod {
        try await rig.controlPlane.makePod(
            rig.subnets.name(suffix), node: node, labels: labels, owner: instance)
    }

    @Test func `explain shows the pod that a guest migrates to what the source has, and another pod why not`()
        async throws
    {
        try await ControlPlane.kubeVirt.value
        try await ConsoleRig.run(["strategy": "Sequential"]) { rig in
            let node = try await rig.makeNode()
            let name = rig.subnets.name("vm")
            let machine = try await rig.controlPlane.makeMachine(name, namespace: "default")
            let instance = try await rig.controlPlane.makeInstance(name, namespace: "default", of: machine)
            func explain(_ pod: TestPod) async throws -> String {
                try await rig.kubectlBerth(["explain", pod.name, "-n", "default", "--pools", rig.pool]).outputText
            }
            let source = try await launcher("a", of: instance, on: node, rig)
            let first = try await explain(source)
            #expect(first.contains("made by itself for VirtualMachine \"\(name)\""), "\(first)")

            let claim = try await rig.makeClaim(
                "vm", ["interface": "eth0", "networkName": "blue", "retention": ["policy": "UntilOwnerDeleted"]],
                labels: [LabelKey.automatic: "true"],
                holder: IPClaim.Holder(
                    pod: source.name, podUID: source.uid, interface: "eth0", attachment: "a", node: node,
                    machineID: node))
            let owner: JSON = [
                "apiVersion": .string(machine.apiVersion), "kind": .string(machine.kind), "name": .string(machine.name),
                "uid": .string(machine.uid),
            ]
            _ = try await rig.controlPlane.withAdmin {
                try $0.patch(
                    .ipClaims, namespace: "default", name: claim.name,
                    patch: .merge(["metadata": ["ownerReferences": [owner]]]), deadline: .soon)
            }
            try await rig.enter(7, node: node, pod: source) { object in
                object["spec"]?["claim"] = claim.json
                object["metadata"]?["labels"]?[LabelKey.claim] = .string(claim.uid)
            }
            let target = try await launcher(
                "b", of: instance, on: node, rig, labels: [KubeVirt.migrationLabel: "j1"])
            let moved = try await explain(target)
            let address = rig.subnets.address4(7)
            #expect(moved.contains("\(address) of \(rig.pool), which pod \(source.name) has, from which the guest"))
            let outcome = "→ \(address) of \(rig.pool), which IPClaim default/\(claim.name) keeps"
            #expect(moved.contains(outcome), "\(moved)")
            #expect(moved.contains("kept until VirtualMachine \"\(name)\" is deleted"), "\(moved)")
            let other = try await explain(try await launcher("c", of: instance, on: node, rig))
            #expect(other.contains("is held by pod \"default/\(source.name)\""), "\(other)")
            try await rig.controlPlane.delete(instance)
            try await rig.controlPlane.delete(machine)
            let late = try await explain(target)
            #expect(late.contains("VirtualMachineInstance \"default/\(name)\", which the pod is of, does not exist"))
        }
    }

    @Test func `explain follows a reference to an IPAMClaim, and says where it cannot`() async throws {
        try await ControlPlane.ipamClaims.value
        try await ConsoleRig.run(["strategy": "Sequential"]) { rig in
            let node = try await rig.makeNode()
            let name = rig.subnets.name("blue")
            let list: JSON = [["name": "blue", "interface": "eth0", "ipam-claim-reference": .string(name)]]
            let pod = try await rig.makePod(
                "a", on: node, annotations: [IPAMClaimReference.annotation: list.description])
            let arguments = ["explain", pod.name, "-n", "default", "--pools", rig.pool]
            let missing = try await rig.kubectlBerth(arguments)
            #expect(missing.outputText.contains("IPAMClaim \"default/\(name)\", which does not exist"), "\(missing)")
            try await rig.controlPlane.makeIPAMClaim(name, ips: ["\(rig.subnets.address4(9))/24"])
            let found = try await rig.kubectlBerth(arguments)
            #expect(found.outputText.contains("made by itself for IPAMClaim \"\(name)\""), "\(found)")
            #expect(found.outputText.contains("→ \(rig.subnets.address4(9)) of \(rig.pool)"), "\(found)")
            try await rig.controlPlane.deleteIPAMClaim(name)
        }
    }
}
