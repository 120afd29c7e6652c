import IPAMAPI
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

@testable import IPAMConsole

/// What comes between the looks of a `check`, on a real API server.
@Suite(.controlPlane, .timeLimit(.minutes(3)))
struct CheckRunTests {
    /// Looks twice, without the time between that it asks for.
    private func found(
        _ rig: ConsoleRig, gracePeriod: Duration = .seconds(30),
        between: @escaping @Sendable (Client) throws -> Void = { _ in }
    ) async throws -> [String] {
        let pool = rig.pool
        return try await rig.controlPlane.withAdmin { client in
            var run = CheckRun(
                ClusterReader(client, timeout: .seconds(20)), systemNamespace: "berth-system",
                gracePeriod: gracePeriod)
            let began = client.transport.now()
            guard let moment = try run.firstLook(pools: [pool]) else { return [] }
            #expect(moment >= began + gracePeriod)
            try between(client)
            return try run.secondLook().map { "\($0.reason) \($0.block)\($0.allocation)" }
        }
    }

    private func enter(_ host: Int, for claim: ClaimReference, node: String, pod: TestPod?, _ rig: ConsoleRig)
        async throws -> String
    {
        try await rig.enter(host, node: node, pod: pod, state: pod == nil ? .held : .bound) { object in
            object["spec"]?["claim"] = claim.json
            object["metadata"]?["labels"]?[LabelKey.claim] = .string(claim.uid)
        }
    }

    @Test func `What controller and nodes have ended by the second look is not found`() async throws {
        try await ConsoleRig.run(["nodeBlocks": ["prefixLength": 28]]) { rig in
            let node = try await rig.makeNode()
            let pod = try await rig.makePod("web", on: node)
            let outer = try await rig.makeBlock("\(rig.subnets.address4(0))/27", node: node, machineID: node)
            let inner = try await rig.makeBlock("\(rig.subnets.address4(16))/28", node: node, machineID: node)
            let holder = IPClaim.Holder(
                pod: "another", podUID: "another", interface: "eth0", attachment: "a", node: node, machineID: node)
            let claim = try await rig.makeClaim("vip", holder: holder)
            let gone = ClaimReference(namespace: "default", name: rig.subnets.name("gone"), uid: "gone")
            let kept = try await enter(1, for: gone, node: "", pod: nil, rig)
            let held = try await enter(2, for: claim, node: node, pod: pod, rig)
            let stray = try await rig.enter(99, node: node, pod: pod)
            #expect(
                try await found(rig).sorted()
                    == [
                        "BlocksOverlap \(outer)", "BlocksOverlap \(inner)", "ClaimDisagrees \(held)",
                        "ClaimMissing \(kept)", "OutsideBlocks \(stray)",
                    ].sorted())

            var right = holder
            (right.pod, right.podUID) = (pod.name, pod.uid)
            let status: JSON = ["holder": right.json]
            let after = try await found(rig) { client in
                for name in [kept, stray] {
                    _ = try client.delete(.ipAllocations, name: name, preconditions: nil, deadline: .soon)
                }
                _ = try client.delete(.ipBlocks, name: inner, preconditions: nil, deadline: .soon)
                _ = try client.patch(
                    .ipClaims, namespace: "default", name: claim.name, patch: .merge(["status": status]),
                    subresource: "status", deadline: .soon)
            }
            #expect(after == [])
        }
    }

    @Test func `A claim that the address is kept for by the second look is another matter`() async throws {
        try await ConsoleRig.run { rig in
            let present = try await rig.makeClaim("present")
            let gone = ClaimReference(namespace: "default", name: present.name, uid: "gone")
            let other = ClaimReference(namespace: "default", name: rig.subnets.name("other"), uid: "gone-too")
            let name = try await enter(1, for: gone, node: "", pod: nil, rig)
            for claim in [other, present] {
                let patch: JSON = [
                    "metadata": ["labels": [LabelKey.claim: .string(claim.uid)]], "spec": ["claim": claim.json],
                ]
                let found = try await found(rig) { client in
                    _ = try client.patch(.ipAllocations, name: name, patch: .merge(patch), deadline: .soon)
                }
                #expect(found == [])
            }
        }
    }

    @Test func `A block that the controller should have returned is found by who waits for as long`() async throws {
        try await ConsoleRig.run(["nodeBlocks": ["prefixLength": 28]]) { rig in
            let (node, noNode) = (try await rig.makeNode(), rig.subnets.name("no-node"))
            let nodeless = try await rig.makeBlock("\(rig.subnets.address4(0))/28", node: noNode, machineID: "m")
            let earlier = try await rig.makeBlock(
                "\(rig.subnets.address4(16))/28", node: node, machineID: node, poolUID: "an-earlier-one")
            let all = ["BlockOfNoNode \(nodeless)", "BlockOfNoPool \(earlier)"].sorted()
            #expect(try await found(rig, gracePeriod: BlockCheck.returnTime - .seconds(1)) == [])
            #expect(try await found(rig, gracePeriod: BlockCheck.returnTime).sorted() == all)

            // A pod has come to the block that seemed to be empty.
            let spec = IPAllocation.Spec(
                state: .bound, origin: .container, pool: rig.pool, poolUID: "",
                address: try IPAddress(parsing: rig.subnets.address4(3)), network: "", node: noNode, machineID: "m",
                attachment: IPAMAPI.Attachment(networkName: "net", containerID: "c", interface: "eth0"), pod: nil,
                claim: nil, cooldownSeconds: 0, claimedAt: nil, releasedAt: nil)
            let object = spec.newObject()
            let left = try await found(rig, gracePeriod: BlockCheck.returnTime) { client in
                _ = try client.create(.ipAllocations, name: spec.objectName, object: object, deadline: .soon)
            }
            #expect(left == ["BlockOfNoPool \(earlier)"])
        }
    }

    @Test func `What is kept for another claim since it was found is left alone`() async throws {
        try await ConsoleRig.run { rig in
            let present = try await rig.makeClaim("present")
            let gone = ClaimReference(namespace: "default", name: rig.subnets.name("gone"), uid: "gone")
            let name = try await enter(1, for: gone, node: "", pod: nil, rig)
            let pool = rig.pool
            let outcomes = try await rig.controlPlane.withAdmin { client in
                var run = CheckRun(
                    ClusterReader(client, timeout: .seconds(20)), systemNamespace: "berth-system", gracePeriod: .zero)
                _ = try run.firstLook(pools: [pool])
                let findings = try run.secondLook()
                _ = try client.patch(
                    .ipAllocations, name: name, patch: .merge(["spec": ["claim": present.json]]), deadline: .soon)
                return try run.release(findings, timestamp: "2026-01-02T03:04:05Z")
            }
            let holder = "claim default/\(present.name)"
            #expect(
                outcomes == [.init(allocation: name, result: .left("\(holder): the proof no longer holds"))])
            #expect(try await rig.exists(name))
        }
    }
}
