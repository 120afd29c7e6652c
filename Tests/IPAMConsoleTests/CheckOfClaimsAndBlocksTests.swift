import IPAMAPI
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// What `kubectl berth check` finds of IPClaims and IPBlocks, on a real API server.
@Suite("kubectl berth check of claims and blocks", .controlPlane, .timeLimit(.minutes(3)))
struct CheckOfClaimsAndBlocksTests {
    private func found(_ rig: ConsoleRig, _ arguments: String...) async throws -> [String] {
        let (json, status) = try await rig.answer(["check", rig.pool, "--grace-period=0s"] + arguments)
        let findings = (json["findings"]?.array ?? []).map { finding in
            let object = finding["block"]?.string ?? finding["allocation"]?.string ?? ""
            return "\(finding["reason"]?.string ?? "") \(object)"
        }
        #expect(status == (findings.isEmpty ? 0 : 1))
        return findings
    }

    @discardableResult
    private func enter(
        _ host: Int, for claim: ClaimReference, node: String = "", pod: TestPod? = nil,
        state: AllocationState = .held, cooldown: Int = 0, _ rig: ConsoleRig
    ) async throws -> String {
        try await rig.enter(host, node: node, pod: pod, state: state, cooldown: cooldown) { object in
            object["spec"]?["claim"] = claim.json
            object["metadata"]?["labels"]?[LabelKey.claim] = .string(claim.uid)
        }
    }

    private func delete(_ claim: ClaimReference, _ rig: ConsoleRig) async throws {
        _ = try await rig.controlPlane.withAdmin {
            try $0.delete(
                .ipClaims, namespace: claim.namespace, name: claim.name, preconditions: nil, deadline: .soon)
        }
    }

    @Test func `What is kept for a claim that is gone is found, and --fix releases it as the controller does`()
        async throws
    {
        try await ConsoleRig.run { rig in
            let node = try await rig.makeNode()
            let pod = try await rig.makePod("web", on: node)
            let present = try await rig.makeClaim("present")
            let gone = try await rig.makeClaim("gone")
            let replaced = try await rig.makeClaim("replaced")
            try await enter(1, for: present, rig)
            let inUse = try await enter(2, for: gone, node: node, pod: pod, state: .bound, rig)
            let leaks = [
                try await enter(3, for: gone, rig), try await enter(4, for: gone, cooldown: 10, rig),
                try await enter(5, for: replaced, rig),
            ]
            #expect(try await found(rig) == [])
            try await delete(gone, rig)
            try await delete(replaced, rig)
            _ = try await rig.makeClaim("replaced")
            #expect(try await found(rig) == leaks.map { "ClaimMissing \($0)" })

            let fixed = try await rig.answer(["check", rig.pool, "--grace-period=0s", "--fix", "--yes"])
            #expect(fixed.status == 0)
            #expect(
                fixed.json["fixed"]?.array?.map { $0["result"]?.string } == Array(repeating: "Released", count: 3))
            #expect(try await !rig.exists(leaks[0]))
            #expect(try await rig.read(leaks[1]).spec.state == .cooling)
            #expect(try await rig.read(leaks[1]).spec.claim == nil)
            #expect(try await !rig.exists(leaks[2]))
            #expect(try await rig.exists(inUse))
            #expect(try await found(rig) == [])
        }
    }

    @Test func `What a pod that is there has of a claim that another one holds is found, and never mended`()
        async throws
    {
        try await ConsoleRig.run { rig in
            let node = try await rig.makeNode()
            let user = try await rig.makePod("user", on: node)
            let other = try await rig.makePod("other", on: node)
            let holder = IPClaim.Holder(
                pod: other.name, podUID: other.uid, interface: "eth0", attachment: "a", node: node, machineID: node)
            let claim = try await rig.makeClaim("vip", holder: holder)
            try await enter(1, for: claim, rig)
            let address = try await enter(2, for: claim, node: node, pod: user, state: .bound, rig)
            #expect(try await found(rig) == ["ClaimDisagrees \(address)"])
            #expect(try await found(rig, "--fix", "--yes") == ["ClaimDisagrees \(address)"])
            let shown = try await rig.kubectlBerth(["check", rig.pool, "--grace-period=0s", "-o", "yaml"])
            #expect(shown.outputText.contains("reason: ClaimDisagrees\n"), "\(shown)")
            #expect(shown.outputText.contains("name: \(claim.name)\n"), "\(shown)")

            var right = holder
            (right.pod, right.podUID) = (user.name, user.uid)
            try await rig.patchStatus(.ipClaims, claim.name, ["holder": right.json], namespace: "default")
            #expect(try await found(rig) == [])
        }
    }

    @Test func `Blocks that overlap, or are of an earlier pool or of no node, are found`() async throws {
        try await ConsoleRig.run(["nodeBlocks": ["prefixLength": 28]]) { rig in
            let node = try await rig.makeNode()
            func cidr(_ host: Int, _ length: Int) -> String { "\(rig.subnets.address4(host))/\(length)" }
            let outer = try await rig.makeBlock(cidr(0, 27), node: node)
            try await rig.makeBlock(cidr(32, 28), node: node, machineID: node)
            #expect(try await found(rig) == [])
            let inner = try await rig.makeBlock(cidr(16, 28), node: node, machineID: node)
            let earlier = try await rig.makeBlock(cidr(64, 28), node: node, poolUID: "an-earlier-one")
            let nodeless = try await rig.makeBlock(cidr(80, 28), node: rig.subnets.name("no-node"))
            // The controller has minutes to return what nodes made.
            try await rig.makeBlock(cidr(96, 28), node: rig.subnets.name("no-node"), machineID: "m")
            let all = [
                "BlocksOverlap \(outer)", "BlocksOverlap \(inner)", "BlockOfNoPool \(earlier)",
                "BlockOfNoNode \(nodeless)",
            ]
            #expect(try await found(rig).sorted() == all.sorted())
            #expect(try await found(rig, "--fix", "--yes").sorted() == all.sorted())
            let named = try await rig.kubectlBerth(["check", rig.pool, "--grace-period=0s", "-o", "name"])
            #expect(named.outputText.contains("ipblock.ipam.berth.dev/\(inner)\n"), "\(named)")
        }
    }

    @Test func `An address in use that is in no block of its node is found where the pool does not lend`() async throws
    {
        try await ConsoleRig.run(["nodeBlocks": ["prefixLength": 28]]) { rig in
            let node = try await rig.makeNode()
            let other = try await rig.makeNode("other")
            let pod = try await rig.makePod("web", on: node)
            try await rig.makeBlock("\(rig.subnets.address4(0))/28", node: node, machineID: node)
            try await rig.makeBlock("\(rig.subnets.address4(16))/28", node: other, machineID: other)
            try await rig.enter(1, node: node, pod: pod)
            let foreign = try await rig.enter(17, node: node, pod: pod)
            let stray = try await rig.enter(99, node: node, pod: pod)
            #expect(try await found(rig) == ["OutsideBlocks \(foreign)", "OutsideBlocks \(stray)"])
            _ = try await rig.controlPlane.withAdmin {
                try $0.patch(
                    .ipPools, name: rig.pool, patch: .merge(["spec": ["nodeBlocks": ["borrowing": true]]]),
                    deadline: .soon)
            }
            #expect(try await found(rig) == [])
        }
    }

    @Test func `A server that knows neither claims nor blocks has nothing to be said of them`() async throws {
        try await ConsoleRig.run { rig in
            let claim = try await rig.makeClaim("gone")
            let leak = try await enter(1, for: claim, rig)
            try await delete(claim, rig)
            #expect(try await found(rig) == ["ClaimMissing \(leak)"])
            try await rig.controlPlane.withFaultProxy { proxy in
                for kind in ["ipclaims", "ipblocks"] {
                    proxy.when(
                        .verb("list", "\(kind).ipam.berth.dev"), .always,
                        .respond(
                            status: 404, headers: [("content-type", "text/plain; charset=utf-8")],
                            body: Array("404 page not found\n".utf8)))
                }
                try await Files.withTemporaryFolder { folder in
                    let viewer = try await rig.kubeconfig(of: "berth-viewer", in: folder, through: proxy)
                    let outcome = try await rig.kubectlBerth(
                        ["check", rig.pool, "--grace-period=0s"], environment: ["KUBECONFIG": viewer])
                    #expect(outcome.ending == .exited(0), "\(outcome)")
                    #expect(outcome.outputText.hasSuffix(": all in order\n"), "\(outcome)")
                }
            }
        }
    }
}
