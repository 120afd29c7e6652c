import IPAMAPI
import IPAMEngine
import KubernetesCore
import Testing

@testable import IPAMLedger

/// What a slot makes of names that an earlier ADD of the attachment left behind.
@Suite struct ClaimSlotResumeTests {
    @Test func `what the attachment was seen in is held without a request`() throws {
        var driver = try SlotDriver.one()
        #expect(driver.slot.resume(try record("10.0.0.6", version: "7")))
        #expect(driver.ask() == "finished")
        #expect(driver.slot.held?.version == ObjectVersion(uid: "u1", resourceVersion: "7"))
        #expect(driver.records == "10.0.0.6 v7")
    }

    @Test func `a create that may still be committed is repeated and not forgotten`() throws {
        var driver = try SlotDriver.one()
        #expect(driver.slot.resume(try record("10.0.0.6", until: moment(2000))))
        #expect(driver.slot.journalRecords.map(\.mayCommitUntil) == [moment(2000)])
        #expect(driver.ask() == "create 10.0.0.6")
        #expect(driver.slot.journalRecords.map(\.mayCommitUntil) == [moment(2000)], "later than the new one's limit")
        try driver.answer(.alreadyExists)
        #expect(driver.slot.state.brief == "reading what may be ours")
        try driver.next(.object(.ours))
        #expect(driver.records == "10.0.0.6 v7 late", "how many creates were sent is not known")
    }

    @Test func `a create that may still be committed is written down when another one has the address`() throws {
        var driver = try SlotDriver.one()
        #expect(driver.slot.resume(try record("10.0.0.6", until: moment(1030))))
        try driver.next(.alreadyExists)
        try driver.next(.object(.other))
        #expect(driver.slot.state.brief == "choosing")
        #expect(driver.records == "10.0.0.6 late")
    }

    @Test func `a held address keeps the limit of a create that may still be committed`() throws {
        var driver = try SlotDriver.one()
        #expect(driver.slot.resume(try record("10.0.0.6", version: "7", until: moment(1030))))
        #expect(driver.records == "10.0.0.6 v7 late")
    }

    @Test(arguments: [("10.0.0.5", "green"), ("10.0.9.9", "blue")])
    func `a name of another pool, or outside of its subnet, is not taken up`(name: String, pool: String) throws {
        var driver = try SlotDriver.one()
        #expect(!driver.slot.resume(try record(name, pool: pool, version: "7")))
        #expect(driver.ask() == "create 10.0.0.5")
    }

    @Test func `what is held stays held when the pool's ranges exclude it by now, and is not created again`() throws {
        var driver = try SlotDriver([pool("10.0.0.0/28", ranges: ["10.0.0.5"], free: "10.0.0.5")])
        #expect(!driver.slot.resume(try record("10.0.0.9", until: moment(2000))))
        #expect(driver.slot.resume(try record("10.0.0.9", version: "7")))
        #expect(driver.ask() == "finished")
        #expect(driver.records == "10.0.0.9 v7")
    }

    @Test func `what is held of a pool that takes no new claims stays held, and nothing else is chosen from it`() throws
    {
        let (open, closed) = (try pool("10.0.1.0/28", named: "open", free: ""), try pool("10.0.0.0/28", disabled: true))
        let plan = try SlotPlan.slot(from: [closed, open])
        var resumed = SlotDriver(ClaimSlot(plan, claimant: claimant, claimedAt: ""))
        #expect(!resumed.slot.resume(try record("10.0.0.9", until: moment(2000))))
        #expect(resumed.slot.resume(try record("10.0.0.9", version: "7")))
        #expect(resumed.slot.held?.pool.name == "blue")
        var fresh = SlotDriver(ClaimSlot(plan, claimant: claimant, claimedAt: ""))
        #expect(fresh.ask() == "scan cooling of open")
        try fresh.learn(free: "")
        #expect(fresh.ask() == "finished")
        #expect(fresh.slot.failure?.description.contains("blue") == false)
    }

    @Test func `what is held is released as what it was taken for, whatever the pod's claim is by now`() throws {
        let claim = ClaimReference(namespace: "shop", name: "web-0", uid: "c1")
        var claiming = claimant
        claiming.claim = claim
        let plan = SlotPlan(pools: [try pool("10.0.0.0/28", free: "10.0.0.5")])
        var driver = SlotDriver(ClaimSlot(plan, claimant: claiming, claimedAt: ""))
        #expect(driver.slot.resume(try record("10.0.0.6", version: "7")))
        #expect(driver.slot.journalRecords.map(\.claim) == [nil])

        driver = SlotDriver(ClaimSlot(plan, claimant: claiming, claimedAt: ""))
        #expect(driver.slot.resume(try record("10.0.0.6", until: moment(2000))))
        #expect(driver.ask() == "create 10.0.0.6")
        try driver.answer(.alreadyExists)
        try driver.next(.object(.ours))
        #expect(driver.slot.held != nil)
        #expect(driver.slot.journalRecords.map(\.claim) == [nil], "an earlier create was the one that was committed")

        driver = SlotDriver(ClaimSlot(plan, claimant: claiming, claimedAt: ""))
        #expect(driver.ask() == "create 10.0.0.5")
        try driver.answer(.done())
        #expect(driver.slot.journalRecords.map(\.claim) == [claim])
    }

    @Test func `a slot takes up one name`() throws {
        var driver = try SlotDriver.one()
        #expect(driver.slot.resume(try record("10.0.0.5", version: "7")))
        #expect(!driver.slot.resume(try record("10.0.0.6", version: "8")))
        #expect(driver.records == "10.0.0.5 v7")
    }

    @Test func `a slot that must have an address takes up no other one`() throws {
        var driver = try SlotDriver.one(exact: true)
        #expect(!driver.slot.resume(try record("10.0.0.6", version: "8")))
        #expect(driver.slot.resume(try record("10.0.0.5", version: "7")))
    }

    // MARK: All slots of an attachment

    private func slots(_ exact: String?...) throws -> [ClaimSlot] {
        try exact.map { try SlotDriver([pool("10.0.0.0/28", free: "10.0.0.9")], exact: $0).slot }
    }

    @Test func `names that no slot can use are the surplus`() throws {
        var slots = try slots(nil)
        let leftover = [
            try record("10.0.0.5", version: "7"), try record("10.0.0.6", version: "8"),
            try record("fd00-0000-0000-0000-0000-0000-0000-0001", pool: "six", version: "9"),
        ]
        #expect(slots.resume(leftover, isIntact: true) == Array(leftover.dropFirst()))
        #expect(slots[0].held?.name == "10.0.0.5")
    }

    @Test func `the address that one slot must have is not held by another one`() throws {
        var slots = try slots(nil, "10.0.0.6")
        #expect(slots.resume([try record("10.0.0.6", version: "8")], isIntact: true).isEmpty)
        #expect(slots[0].held == nil)
        #expect(slots[1].held?.name == "10.0.0.6")
    }

    @Test func `the address that one slot must have, from a pool that was replaced, is surplus`() throws {
        var slots = try slots(nil, "10.0.0.6")
        let leftover = [try record("10.0.0.6", pool: "green", version: "8")]
        #expect(slots.resume(leftover, isIntact: true) == leftover)
    }

    @Test func `every slot takes up one of the names`() throws {
        var slots = try slots(nil, nil)
        let leftover = [try record("10.0.0.5", version: "7"), try record("10.0.0.6", version: "8")]
        #expect(slots.resume(leftover, isIntact: true).isEmpty)
        #expect(slots.compactMap(\.held?.name) == ["10.0.0.5", "10.0.0.6"])
    }
}
