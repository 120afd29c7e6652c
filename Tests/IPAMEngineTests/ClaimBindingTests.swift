import IPAMAPI
import IPAddressing
import JSONText
import KubernetesCore
import Testing

@testable import IPAMEngine

@Suite struct ClaimBindingTests {
    private func decide(_ held: IPClaim.Holder?, gone: Set<String> = []) -> ClaimBinding {
        ClaimBinding(ipClaim(holder: held), candidate: claimHolder(), networkName: "net", gone: gone)
    }

    @Test func `who may become the holder`() {
        #expect(decide(nil) == .bind)
        #expect(decide(claimHolder()) == .bound)
        // Another sandbox of the same pod, and another machine of the node's name.
        #expect(decide(claimHolder(attachment: "a0")) == .bind)
        // An earlier pod of the name: the candidate's own was read.
        #expect(decide(claimHolder(uid: "u0", attachment: "a0")) == .bind)
        let other = claimHolder("db-0", uid: "u0", attachment: "a0")
        #expect(decide(other) == .prove(other.podName))
        #expect(decide(other, gone: ["u0"]) == .bind)
        #expect(decide(other, gone: ["u1"]) == .prove(other.podName))
    }

    @Test func `a pod that a claim is not for holds it never, whoever wrote so`() {
        let claim = ipClaim(
            holder: claimHolder("db-0", uid: "u0", attachment: "a0"), spec: IPClaim.Spec(pod: claimHolder().pod))
        #expect(ClaimBinding(claim, candidate: claimHolder(), networkName: "net", gone: []) == .bind)
    }

    @Test func `one claim serves one interface`() {
        guard case .refuse(let text) = decide(claimHolder(interface: "net1", attachment: "a0")) else {
            Issue.record("it was not refused")
            return
        }
        #expect(text.contains("net1") && text.contains("eth0") && text.contains("shop/vip"))
    }

    @Test func `a claim that is being deleted waits, and is nobody's`() {
        let decision = ClaimBinding(
            ipClaim(isBeingDeleted: true), candidate: claimHolder(), networkName: "net", gone: [])
        #expect(decision == .wait("IPClaim \"shop/vip\" is being deleted"))
    }

    @Test(arguments: [
        (IPClaim.Spec(interface: "net1"), "net1"), (IPClaim.Spec(networkName: "red"), "red"),
        (IPClaim.Spec(pod: "web-1"), "web-1"),
    ])
    func `a claim for something else is refused, whoever holds it`(spec: IPClaim.Spec, quoted: String) {
        let decision = ClaimBinding(
            ipClaim(holder: claimHolder(), spec: spec), candidate: claimHolder(), networkName: "net", gone: [])
        guard case .refuse(let text) = decision else {
            Issue.record("\(decision)")
            return
        }
        #expect(text.contains(quoted))
    }
}

@Suite struct ClaimInventoryTests {
    private static let mine = IPAMAPI.Attachment(networkName: "net", containerID: "c1", interface: "eth0")
    private static let others = IPAMAPI.Attachment(networkName: "net", containerID: "c0", interface: "eth0")

    private func allocation(
        _ text: String, _ state: AllocationState, uid: String = "c1", by attachment: IPAMAPI.Attachment? = nil,
        isBeingDeleted: Bool = false
    ) throws -> IPAllocation {
        let spec = IPAllocation.Spec(
            state: state, origin: .pod, pool: "blue", poolUID: "p", address: try address(text), network: "", node: "n1",
            machineID: "m1", attachment: attachment, pod: nil,
            claim: ClaimReference(namespace: "shop", name: "vip", uid: uid), cooldownSeconds: 10, claimedAt: nil,
            releasedAt: nil)
        var json = spec.newObject()
        if isBeingDeleted { json["metadata"]?["deletionTimestamp"] = "2025-11-20T09:07:05Z" }
        return try IPAllocation(json)
    }

    @Test func `what is held comes before what cools, and another claim's is not there`() throws {
        let inventory = ClaimInventory(
            [
                try allocation("10.0.0.1", .cooling), try allocation("10.0.0.3", .held),
                try allocation("10.0.0.2", .held), try allocation("10.0.0.4", .held, uid: "c2"),
                try allocation("10.0.0.5", .held, isBeingDeleted: true),
            ], of: ipClaim().reference, attachment: Self.mine)
        #expect(inventory.kept.map(\.metadata.name) == ["10.0.0.2", "10.0.0.3", "10.0.0.1"])
        #expect(inventory.occupied == nil)
    }

    @Test(arguments: [AllocationState.bound, .fenced])
    func `what another attachment has is occupied, and what this one has is not`(state: AllocationState) throws {
        let own = try allocation("10.0.0.1", state, by: Self.mine)
        let other = try allocation("10.0.0.2", state, by: Self.others)
        let reference = ipClaim().reference
        #expect(ClaimInventory([own], of: reference, attachment: Self.mine).occupied == nil)
        #expect(ClaimInventory([own, other], of: reference, attachment: Self.mine).occupied == other)
    }
}
