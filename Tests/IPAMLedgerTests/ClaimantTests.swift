import IPAMAPI
import IPAddressing
import JSONText
import KubernetesCore
import Testing

@testable import IPAMLedger

@Suite struct ClaimantTests {
    @Test(arguments: [
        (Holder.ours, true), (.other, false), (.cooling, false), (.deleting, false), (.oursDeleting, false),
        (.otherMachine, false),
    ])
    func `an allocation is held by the attachment that it names on this machine`(holder: Holder, isHeld: Bool) throws {
        #expect(claimant.holds(try IPAllocation(try allocation("10.0.0.5", holder))) == isHeld)
    }

    @Test(
        arguments: [
            ("node", "n2", false), ("machineID", "m2", false), ("state", "Fenced", true), ("state", "Held", true),
            ("state", "Cooling", false), ("pool", "green", true),
        ] as [(String, String, Bool)])
    func `node, machine and state tell too`(member: String, value: String, isHeld: Bool) throws {
        var json = try allocation("10.0.0.5", .ours)
        json["spec"]?[member] = .string(value)
        #expect(claimant.holds(try IPAllocation(json)) == isHeld)
    }

    @Test(arguments: ["networkName", "containerID", "interface"])
    func `each part of the attachment tells`(member: String) throws {
        var json = try allocation("10.0.0.5", .ours)
        json["spec"]?["attachment"]?[member] = "other"
        #expect(!claimant.holds(try IPAllocation(json)))
    }

    @Test func `what a claimant enters is what it holds`() throws {
        let pool = try pool("10.0.0.0/24", network: "wire")
        var json = claimant.spec(try address("10.0.0.5"), of: pool, claimedAt: "2025-11-20T09:07:05Z").newObject()
        json["metadata"]?["uid"] = "u1"
        json["metadata"]?["resourceVersion"] = "1"
        let allocation = try IPAllocation(json)
        #expect(claimant.holds(allocation))
        #expect(allocation.metadata.name == "wire.10.0.0.5")
        #expect(JournalEntry.Record(allocation).brief == "wire.10.0.0.5 v1")
        #expect(
            HeldAddress(
                pool: pool, address: try address("10.0.0.5"),
                version: ObjectVersion(uid: "u1", resourceVersion: "1")
            ).name == "wire.10.0.0.5")
    }
}
