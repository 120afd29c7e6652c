import IPAMAPI
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// What the executable says of IPClaims and IPBlocks, on a real API server.
@Suite("kubectl berth on claims and blocks", .controlPlane, .timeLimit(.minutes(3)))
struct ClaimCommandTests {
    private func keep(_ host: Int, for claim: ClaimReference, _ rig: ConsoleRig) async throws {
        try await rig.enter(host, node: "", pod: nil, state: .held) { object in
            object["spec"]?["claim"] = claim.json
            object["metadata"]?["labels"]?[LabelKey.claim] = .string(claim.uid)
        }
    }

    @Test func `explain shows the claim that a pod names, what is kept for it, and who has it instead`() async throws {
        try await ConsoleRig.run(["strategy": "Sequential"]) { rig in
            let node = try await rig.makeNode()
            let name = rig.subnets.name("vip")
            let pod = try await rig.makePod("b", on: node, annotations: ["ipam.berth.dev/claim": name])
            let missing = try await rig.answer(["explain", pod.name, "-n", "default", "--pools", rig.pool])
            #expect(missing.status == 1)
            #expect(
                missing.json["networks"]?.array?.first?["refusal"]?.string
                    == "IPClaim \"default/\(name)\", which pod \"default/\(pod.name)\" names, does not exist")

            let claim = try await rig.makeClaim("vip")
            try await keep(7, for: claim, rig)
            let kept = try await rig.kubectlBerth(["explain", pod.name, "-n", "default", "--pools", rig.pool])
            #expect(
                kept.outputText == """
                    Pod default/\(pod.name)

                    pools \(rig.pool) (--pools)
                      claim: default/\(name), named by annotation ipam.berth.dev/claim
                        keeps \(rig.subnets.address4(7)) of \(rig.pool)
                        kept until the claim is deleted
                      IPv4
                        1. \(rig.pool)   chosen: \(rig.subnets.address4(7)) is kept for the pod
                        → \(rig.subnets.address4(7)) of \(rig.pool), which IPClaim default/\(name) keeps

                    """)

            let other = try await rig.makePod("a", on: node)
            let holder = IPClaim.Holder(
                pod: other.name, podUID: other.uid, interface: "eth0", attachment: "a", node: node, machineID: node)
            try await rig.patchStatus(.ipClaims, name, ["holder": holder.json], namespace: "default")
            let busy = try await rig.answer(["explain", pod.name, "-n", "default", "--pools", rig.pool])
            #expect(busy.status == 1)
            let refusal = busy.json["networks"]?.array?.first?["refusal"]?.string ?? ""
            #expect(refusal.contains("is held by pod \"default/\(other.name)\""), "\(refusal)")
            #expect(refusal.contains("pod \"default/\(pod.name)\""), "\(refusal)")
            #expect(busy.json["networks"]?.array?.first?["claim"]?["origin"] == "Annotation")
        }
    }

    @Test func `explain tells a claim that a pod gets by itself, and who turned it off`() async throws {
        try await ConsoleRig.run(["stickiness": "Pods"]) { rig in
            let node = try await rig.makeNode()
            let sticky = try await rig.makePod("sticky", on: node)
            let shown = try await rig.answer(["explain", sticky.name, "-n", "default", "--pools", rig.pool])
            #expect(shown.json["networks"]?.array?.first?["claim"]?["origin"] == "Automatic")
            #expect(shown.json["networks"]?.array?.first?["claim"]?["exists"] == false)

            let claim = try await rig.makeClaim(
                "own", ["pod": .string(sticky.name), "interface": "eth0", "networkName": "blue"],
                labels: [LabelKey.automatic: "true"])
            try await keep(9, for: claim, rig)
            let kept = try await rig.kubectlBerth(["explain", sticky.name, "-n", "default", "--pools", rig.pool])
            #expect(kept.outputText.contains("which IPClaim default/\(claim.name) keeps"), "\(kept)")

            let off = try await rig.makePod("off", on: node, annotations: ["ipam.berth.dev/sticky": "false"])
            let turned = try await rig.kubectlBerth(["explain", off.name, "-n", "default", "--pools", rig.pool])
            let line = "  claim: none, annotation ipam.berth.dev/sticky of the pod turns claims off\n"
            #expect(turned.outputText.contains(line), "\(turned)")
        }
    }

    @Test func `explain is about one interface where one is named`() async throws {
        try await ConsoleRig.run { rig in
            let node = try await rig.makeNode()
            let name = rig.subnets.name("vip")
            let pod = try await rig.makePod("b", on: node, annotations: ["ipam.berth.dev/claim.net1": name])
            _ = try await rig.makeClaim("vip", ["interface": "net1"])
            let first = try await rig.answer(["explain", pod.name, "-n", "default", "--pools", rig.pool])
            #expect(first.json["networks"]?.array?.first?["claim"]?["origin"] == "None")
            let second = try await rig.answer([
                "explain", pod.name, "-n", "default", "--pools", rig.pool, "--interface", "net1",
            ])
            #expect(second.json["networks"]?.array?.first?["interface"] == "net1")
            #expect(
                second.json["networks"]?.array?.first?["claim"]?["annotation"] == "ipam.berth.dev/claim.net1")
        }
    }

    @Test func `who tells of a claim what is kept for it and who uses it`() async throws {
        try await ConsoleRig.run { rig in
            let claim = try await rig.makeClaim("vip", ["addresses": [.string(rig.subnets.address4(8))]])
            try await keep(7, for: claim, rig)
            let named = try await rig.answer(["who", "claim/\(claim.name)", "-n", "default"])
            #expect(named.status == 0)
            #expect(named.json["claims"]?.array?.first?["phase"] == "Held")
            #expect(named.json["claims"]?.array?.first?["missing"] == [.string(rig.subnets.address4(8))])
            #expect(named.json["holders"]?.array?.count == 1)
            let bare = try await rig.kubectlBerth(["who", claim.name, "-n", "default"])
            #expect(bare.outputText.hasPrefix("IPClaim default/\(claim.name): Held\n"), "\(bare)")
            #expect(bare.outputText.contains(rig.subnets.address4(7)))
            let nobody = try await rig.kubectlBerth(["who", "claim/no-such", "-n", "default"])
            #expect(nobody.ending == .exited(1))
            #expect(nobody.outputText == "there is no IPClaim default/no-such\n")
        }
    }

    @Test func `release refuses what a claim keeps, also by force, and frees what one kept that is gone`() async throws
    {
        try await ConsoleRig.run { rig in
            let (kept, asked) = (rig.subnets.address4(7), rig.subnets.address4(8))
            let claim = try await rig.makeClaim("vip", ["addresses": [.string(asked)]])
            try await keep(7, for: claim, rig)
            try await keep(8, for: claim, rig)
            let deletion = "kubectl delete ipclaim -n default \(claim.name)"
            for arguments in [["--yes"], ["--yes", "--force"]] {
                let refused = try await rig.kubectlBerth(["release", kept] + arguments)
                #expect(refused.ending == .exited(2))
                #expect(
                    refused.errorText == """
                        error: refused to release \(kept): it is kept for claim default/\(claim.name)
                          → \(deletion)

                        """)
            }
            let wish = try await rig.kubectlBerth(["release", asked, "--yes", "--force"])
            #expect(wish.ending == .exited(2))
            #expect(wish.errorText.contains(", which asks for it (spec.addresses)\n"), "\(wish)")
            #expect(
                wish.errorText.hasSuffix(
                    "→ \(deletion), and take it out of spec.addresses of the claim if you make that anew\n"),
                "\(wish)")
            #expect(try await rig.read(kept).spec.state == .held)

            _ = try await rig.controlPlane.withAdmin {
                try $0.delete(
                    .ipClaims, namespace: claim.namespace, name: claim.name, preconditions: nil, deadline: .soon)
            }
            let released = try await rig.kubectlBerth(["release", kept, "--yes"])
            #expect(released.outputText == "released \(kept): it is free\n", "\(released)")
            #expect(try await !rig.exists(kept))
        }
    }

    @Test func `explain and status show what a node has of a pool in blocks`() async throws {
        try await ConsoleRig.run(["strategy": "Sequential", "nodeBlocks": ["prefixLength": 26]]) { rig in
            let node = try await rig.makeNode()
            let pod = try await rig.makePod("web", on: node)
            let cidr = rig.subnets.address4(64) + "/26"
            try await rig.makeBlock(cidr, node: node)
            try await rig.enter(64, node: node, pod: nil, origin: .container)
            let outcome = try await rig.kubectlBerth(["explain", pod.name, "-n", "default", "--pools", rig.pool])
            #expect(
                outcome.outputText == """
                    Pod default/\(pod.name)

                    pools \(rig.pool) (--pools)
                      IPv4
                        1. \(rig.pool)   chosen: 63 of 64 addresses are free in this node's blocks
                             block \(cidr)   Active, by hand, 1 of 64 used
                             when they are full the node claims one of the 3 blocks of /26 that are free, of 4
                        → \(rig.subnets.address4(65)) of \(rig.pool)

                    """)
            let answer = try await rig.answer(["explain", pod.name, "-n", "default", "--pools", rig.pool])
            let share = answer.json["networks"]?.array?.first?["slots"]?.array?.first?["considered"]?.array?.first?[
                "nodeBlocks"]
            #expect(share?["next"] == "Claim")
            #expect(share?["blocks"]?.array?.first?["used"] == 1)
            let status = try await rig.answer(["status", rig.pool])
            let blocks = status.json["nodeBlocks"]?.array?.first
            #expect(blocks?["used"] == 1)
            #expect(blocks?["free"] == 3)
            #expect(blocks?["nodes"]?.array?.first?["name"]?.string == node)
        }
    }
}
