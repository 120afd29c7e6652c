import IPAMAPI
import IPAMEngine
import JSONText
import KubernetesCore
import Testing

@testable import IPAMLedger

/// What a slot makes of addresses that are kept for the claimant's IPClaim.
@Suite struct ClaimSlotAdoptTests {
    private static let ours = ClaimReference(namespace: "shop", name: "web", uid: "claim-1")
    private static let others = ClaimReference(namespace: "shop", name: "web", uid: "claim-2")

    private func driver(exact: String? = nil, of claim: ClaimReference? = Self.ours) throws -> SlotDriver {
        var holder = claimant
        holder.claim = claim
        let pool = try pool("10.0.0.0/28", strategy: .sequential, free: "10.0.0.5")
        return SlotDriver(
            ClaimSlot(
                SlotPlan(pools: [pool], exact: try exact.map { try address($0) }), claimant: holder,
                claimedAt: "2025-11-20T09:07:05Z"))
    }

    private func kept(
        _ text: String, for claim: ClaimReference = Self.ours, _ state: AllocationState = .held, pool: String = "blue",
        version: String = "7"
    ) throws -> JSON {
        var json = try allocation(text, .coolingElsewhere, version: version, pool: pool)
        json["spec"]?["state"] = .string(state.rawValue)
        json["spec"]?["claim"] = claim.json
        return json
    }

    @Test func `what is kept is taken over at once, on condition of the version that was read`() throws {
        var driver = try driver()
        #expect(driver.slot.adopt(try IPAllocation(kept("10.0.0.9"))))
        #expect(!driver.slot.isUndecided)
        #expect(driver.ask() == "update 10.0.0.9")
        let body = try JSON(parsing: try #require(driver.request?.body))
        #expect(body["metadata"]?["resourceVersion"]?.string == "7")
        #expect(body["spec"]?["claim"]?["uid"]?.string == "claim-1")
        #expect(driver.slot.journalRecords.map(\.isKept) == [true])
        try driver.answer(.object(.ours))
        #expect(driver.slot.held?.name == "10.0.0.9")
        #expect(driver.slot.journalRecords.map(\.isKept) == [true])
        #expect(driver.slot.journalRecords.map(\.claim) == [Self.ours])
    }

    @Test(arguments: ["10.0.0.15", "10.0.9.9"])
    func `F5: what its pools do not give any more is left alone`(address: String) throws {
        var driver = try driver()
        #expect(!driver.slot.adopt(try IPAllocation(kept(address))))
        #expect(driver.ask() == "create 10.0.0.5")
    }

    @Test func `what is kept in another pool, or is not the address that must be, is left alone`() throws {
        var one = try driver()
        #expect(!one.slot.adopt(try IPAllocation(kept("10.0.0.9", pool: "green"))))
        var exact = try driver(exact: "10.0.0.8")
        #expect(!exact.slot.adopt(try IPAllocation(kept("10.0.0.9"))))
        #expect(exact.slot.adopt(try IPAllocation(kept("10.0.0.8"))))
        var leaving = try driver()
        leaving.slot.leave(["10.0.0.9"])
        #expect(!leaving.slot.adopt(try IPAllocation(kept("10.0.0.9"))), "its release is under way")
    }

    @Test func `what changed meanwhile is read anew, and taken if it still is the claim's`() throws {
        var driver = try driver()
        #expect(driver.slot.adopt(try IPAllocation(kept("10.0.0.9"))))
        try driver.next(.conflict)
        #expect(driver.ask() == "get 10.0.0.9")
        let request = try #require(driver.request)
        driver.slot.receive(
            .success(try kept("10.0.0.9", version: "8")), wasSentTwice: false, now: driver.now,
            using: &driver.generator)
        #expect(driver.ask() == "update 10.0.0.9", "after \(request.subject)")
        let body = try JSON(parsing: try #require(driver.request?.body))
        #expect(body["metadata"]?["resourceVersion"]?.string == "8")
    }

    @Test func `what another claim keeps by now is given up for a new address, and not journalled as kept`() throws {
        var driver = try driver()
        #expect(driver.slot.adopt(try IPAllocation(kept("10.0.0.9"))))
        try driver.next(.conflict)
        _ = driver.ask()
        driver.slot.receive(
            .success(try kept("10.0.0.9", for: Self.others)), wasSentTwice: false, now: driver.now,
            using: &driver.generator)
        #expect(driver.ask() == "create 10.0.0.5")
        #expect(driver.slot.journalRecords.map(\.isKept) == [false])
    }

    @Test(arguments: [nil, "10.0.0.9"], [AllocationState.bound, .fenced])
    func `where another attachment has taken what is kept, the slot fails and takes nothing new`(
        exact: String?, state: AllocationState
    ) throws {
        var driver = try driver(exact: exact)
        #expect(driver.slot.adopt(try IPAllocation(kept("10.0.0.9"))))
        try driver.next(.conflict)
        _ = driver.ask()
        var taken = try kept("10.0.0.9", state, version: "8")
        taken["spec"]?["attachment"] = otherAttachment.json
        driver.slot.receive(.success(taken), wasSentTwice: false, now: driver.now, using: &driver.generator)
        guard case .claimBusy(let text)? = driver.slot.failure else {
            Issue.record("\(driver.slot.state.brief)")
            return
        }
        #expect(text.contains("10.0.0.9") && text.contains("shop/web") && text.contains("is not released yet"))
        #expect(driver.slot.journalRecords.isEmpty, "its own take-over can be committed no more")
    }

    @Test func `what was never answered stays in the journal when another attachment has taken what is kept`() throws {
        var driver = try driver()
        #expect(driver.slot.adopt(try IPAllocation(kept("10.0.0.9"))))
        try driver.next(.conflict)
        try driver.next(.notFound)
        // It was freed, so that the slot creates it anew, and is not told whether it did.
        try driver.next(.timeout)
        try driver.next(.alreadyExists)
        _ = driver.ask()
        var taken = try kept("10.0.0.9", .bound, version: "8")
        taken["spec"]?["attachment"] = otherAttachment.json
        driver.slot.receive(.success(taken), wasSentTwice: false, now: driver.now, using: &driver.generator)
        #expect(driver.slot.failure != nil)
        #expect(driver.records == "10.0.0.9 late")
        #expect(driver.slot.journalRecords.map(\.isKept) == [true])
    }

    @Test func `what a deferred pool keeps is taken, and nothing new is chosen from it`() throws {
        var holder = claimant
        holder.claim = Self.ours
        let plan = SlotPlan(
            pools: [try pool("10.0.0.0/28", named: "green", strategy: .sequential, free: "10.0.0.5")],
            deferred: [try pool("10.0.1.0/28", strategy: .sequential, free: "10.0.1.2")])
        var keeping = SlotDriver(ClaimSlot(plan, claimant: holder, claimedAt: "2025-11-20T09:07:05Z"))
        #expect(try keeping.slot.names(of: address("10.0.1.9")) == ["10.0.1.9"])
        #expect(keeping.slot.adopt(try IPAllocation(kept("10.0.1.9"))))
        #expect(keeping.ask() == "update 10.0.1.9")
        var choosing = SlotDriver(ClaimSlot(plan, claimant: holder, claimedAt: "2025-11-20T09:07:05Z"))
        #expect(choosing.ask() == "create 10.0.0.5")
        try choosing.next(.alreadyExists)
        #expect(choosing.ask().hasPrefix("scan"))
        try choosing.learn(free: "")
        #expect(choosing.ask() == "finished")
        #expect(choosing.slot.state.brief == "failed: exhausted")
    }

    // MARK: Quotas

    private func atQuota() throws -> SlotDriver {
        var holder = claimant
        holder.claim = Self.ours
        let plan = SlotPlan(
            pools: [
                try pool("10.0.1.0/28", isAtQuota: true),
                try pool("10.0.0.0/28", named: "green", strategy: .sequential, free: "10.0.0.5"),
            ])
        return SlotDriver(ClaimSlot(plan, claimant: holder, claimedAt: "2025-11-20T09:07:05Z"))
    }

    @Test func `what is kept of a pool at its quota is taken, also after an ADD that was killed`() throws {
        var driver = try atQuota()
        #expect(driver.slot.adopt(try IPAllocation(kept("10.0.1.9"))))
        #expect(driver.ask() == "update 10.0.1.9")

        var record = try record("10.0.1.9", until: moment(2000))
        record.isKept = true
        var again = try atQuota()
        var isTakenUp = again.slot.resume(record)
        #expect(isTakenUp)
        #expect(again.ask() == "create 10.0.1.9")
        try again.answer(.alreadyExists)
        #expect(again.slot.state.brief == "reading what may be ours")
        var fresh = try atQuota()
        record.isKept = false
        isTakenUp = fresh.slot.resume(record)
        #expect(!isTakenUp)
    }

    @Test func `where what is kept of a pool at its quota is gone by then, the next pool serves`() throws {
        var driver = try atQuota()
        #expect(driver.slot.adopt(try IPAllocation(kept("10.0.1.9"))))
        _ = driver.ask()
        try driver.answer(.notFound)
        try driver.next(.notFound)
        #expect(driver.ask() == "create 10.0.0.5")
    }

    // MARK: Guests that migrate

    private static let source = PodName(pod: "launcher-a", podUID: "p0")

    private func running(_ text: String, version: String = "7", podUID: String = "p0") throws -> JSON {
        var json = try kept(text, .bound, version: version)
        json["spec"]?["attachment"] = otherAttachment.json
        json["spec"]?["pod"] = PodReference(namespace: "shop", name: "launcher-a", uid: podUID).json
        return json
    }

    private func arriving(_ subnet: String = "10.0.0.0/28", isClosed: Bool = false) throws -> SlotDriver {
        var holder = claimant
        holder.claim = Self.ours
        let pool = try pool(subnet, ranges: isClosed ? ["10.0.0.1-10.0.0.2"] : [], strategy: .sequential)
        let plan = SlotPlan(pools: isClosed ? [] : [pool], closed: isClosed ? [pool] : [])
        var driver = SlotDriver(ClaimSlot(plan, claimant: holder, claimedAt: "2025-11-20T09:07:05Z"))
        driver.slot.migrate(from: Self.source)
        return driver
    }

    @Test(arguments: [false, true])
    func `what a guest has is taken over from its pod, also where its pool gives nothing new`(isClosed: Bool) throws {
        var driver = try arriving(isClosed: isClosed)
        #expect(driver.slot.adopt(try IPAllocation(running("10.0.0.9"))))
        #expect(driver.ask() == "update 10.0.0.9")
        try driver.next(.conflict)
        _ = driver.ask()
        driver.slot.receive(
            .success(try running("10.0.0.9", version: "8")), wasSentTwice: false, now: driver.now,
            using: &driver.generator)
        #expect(driver.ask() == "update 10.0.0.9", "it is the source's still")
        let body = try JSON(parsing: try #require(driver.request?.body))
        #expect(body["metadata"]?["resourceVersion"]?.string == "8")
        try driver.answer(.object(.ours))
        #expect(driver.slot.held?.name == "10.0.0.9")
    }

    @Test func `another pod's is not taken, and the slot fails rather than taking another address`() throws {
        var waiting = try arriving()
        #expect(waiting.slot.adopt(try IPAllocation(running("10.0.0.9"))))
        try waiting.next(.conflict)
        _ = waiting.ask()
        waiting.slot.receive(
            .success(try running("10.0.0.9", podUID: "p7")), wasSentTwice: false, now: waiting.now,
            using: &waiting.generator)
        guard case .claimBusy? = waiting.slot.failure else {
            Issue.record("\(waiting.slot.state.brief)")
            return
        }
        var lost = try arriving()
        #expect(lost.slot.adopt(try IPAllocation(running("10.0.0.9"))))
        try lost.next(.conflict)
        _ = lost.ask()
        lost.slot.receive(
            .success(try kept("10.0.0.9", for: Self.others)), wasSentTwice: false, now: lost.now,
            using: &lost.generator)
        guard case .claimBusy(let text)? = lost.slot.failure else {
            Issue.record("\(lost.slot.state.brief)")
            return
        }
        #expect(text.contains("10.0.0.9") && text.contains("launcher-a"))
        #expect(lost.slot.journalRecords.isEmpty, "its own take-over can be committed no more")
    }

    @Test(arguments: [Self.others, nil as ClaimReference?])
    func `an exact address that a claim keeps is nobody else's`(claim: ClaimReference?) throws {
        var driver = try driver(exact: "10.0.0.9", of: claim)
        try driver.next(.alreadyExists)
        _ = driver.ask()
        driver.slot.receive(
            .success(try kept("10.0.0.9")), wasSentTwice: false, now: driver.now, using: &driver.generator)
        #expect(driver.slot.state.brief == "failed: refused")
    }

    @Test func `an exact address that is kept for the claim itself is taken without a wait`() throws {
        var driver = try driver(exact: "10.0.0.9")
        try driver.next(.alreadyExists)
        _ = driver.ask()
        driver.slot.receive(
            .success(try kept("10.0.0.9")), wasSentTwice: false, now: driver.now, using: &driver.generator)
        #expect(driver.ask() == "update 10.0.0.9")
    }

    @Test func `what cools is the claim's too, after the wait that is due to everyone`() throws {
        var driver = try driver()
        #expect(driver.slot.adopt(try IPAllocation(kept("10.0.0.9", .cooling))))
        #expect(driver.ask() == "get 10.0.0.9")
        driver.slot.receive(
            .success(try kept("10.0.0.9", .cooling)), wasSentTwice: false, now: driver.now, using: &driver.generator)
        #expect(driver.ask() == "wait 2 s")
    }

    // MARK: Releases

    @Test(arguments: [
        (ReleaseMode.cool, true, true, ReleaseMode.Outcome.held), (.cool, true, false, .held),
        (.delete, true, true, .held), (.delete, true, false, .deleted), (.cool, false, false, .deleted),
        (.delete, false, false, .deleted),
    ])
    func `a release gives back what is a claim's, unless it was never used`(
        mode: ReleaseMode, isClaimed: Bool, isKept: Bool, outcome: ReleaseMode.Outcome
    ) throws {
        var record = try record("10.0.0.9", cooldown: 0)
        record.isKept = isKept
        #expect(mode.outcome(isClaimed: isClaimed, record) == outcome)
    }

    @Test func `the journal remembers the claim, and knows entries without one`() throws {
        var record = try record("10.0.0.9", version: "7")
        record.claim = Self.ours
        record.isKept = true
        #expect(try JournalEntry.Record(JSONFields(record.json)) == record)
        var older = record.json
        older["claim"] = nil
        older["kept"] = nil
        let read = try JournalEntry.Record(JSONFields(older))
        #expect(read.claim == nil && !read.isKept)
    }
}
