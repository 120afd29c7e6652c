import IPAMAPI
import IPAMEngine
import IPAddressing
import KubernetesCore
import Testing

@testable import IPAMLedger

/// Claims, crashes and releases of one attachment against random answers and events.
///
/// Whatever is ours or may become ours is in the journal; what was returned stays ours until a DEL; and when the journal
/// is empty nothing is ours and nothing can become it.
@Suite struct ClaimSlotModelTests {
    @Test(arguments: 0..<1000 as Range<UInt64>)
    func `whatever is ours or may become ours is written down, and is given back`(seed: UInt64) throws {
        var life = try Life(seed: seed)
        for _ in 0..<life.random(0...20) { life.happen("before") }
        for _ in 0..<life.random(1...5) {
            if life.model.generator.chance(70) { try life.add() } else { try life.del() }
        }
        for _ in 0..<60 where !life.journal.isEmpty {
            try life.del()
            life.happen("after a DEL", atMost: 30)
        }
        #expect(life.journal.isEmpty, "never settled: \(life.journal.map(\.brief))")
        for _ in 0..<20 { life.happen("after everything was released", atMost: 30) }
    }
}

/// One attachment's life, as `Ledger+Claim` and `Ledger+Release` lead it.
private struct Life {
    var model: NameModel
    /// What is on the disk: the entry's records and phase, and whether a DEL was begun since the last claim.
    private(set) var journal: [JournalEntry.Record] = []
    private var phase = JournalEntry.Phase.claiming
    private var isDeleted = false
    /// What an ADD returned, with no DEL since.
    private var inUse: [String] = []
    private let plans: [SlotPlan]
    private static let names = ["10.0.0.5", "10.0.0.6", "10.0.0.7"]

    init(seed: UInt64) throws {
        model = NameModel(seed: seed)
        let low = try pool("10.0.0.4/30", named: "low")
        let high = try pool("10.0.0.6/31", named: "high")
        let exact = try address("10.0.0.6")
        plans =
            [
                [SlotPlan(pools: [low])], [SlotPlan(pools: [low, high])], [SlotPlan(pools: [high], exact: exact)],
                [SlotPlan(pools: [low]), SlotPlan(pools: [high])],
                [SlotPlan(pools: [low]), SlotPlan(pools: [high], exact: exact)],
                [SlotPlan(pools: [low]), SlotPlan(pools: [low])],
            ].randomElement(using: &model.generator) ?? []
    }

    mutating func random(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &model.generator) }

    /// A process is killed at one moment of some thirty.
    private mutating func isKilled() -> Bool { model.generator.chance(3) }

    mutating func happen(_ when: String, atMost seconds: Int = 1) {
        model.happen(among: Self.names, atMost: seconds)
        if let lack = model.lack(of: journal) { Issue.record("\(when): \(lack)") }
        for name in inUse where model.objects[name]?.holder != .ours { Issue.record("\(when): \(name) was lost") }
    }

    // MARK: ADD

    mutating func add() throws {
        let deadline = model.now + .seconds(random(4...20))
        var leftover: [JournalEntry.Record] = []
        for record in journal {
            let found = try model.objects[record.name].map {
                try allocation(record.name, $0.holder, version: $0.version, uid: $0.uid, pool: $0.pool)
            }
            if let record = record.seen(found, by: claimant, at: model.now) { leftover.append(record) }
        }
        let isIntact = phase == .bound && !isDeleted
        let held = Set(leftover.filter { $0.version != nil }.map(\.name))
        let phase = held.isEmpty ? JournalEntry.Phase.claiming : phase
        let mode: ReleaseMode = phase == .claiming ? .delete : .cool

        var slots = plans.map { ClaimSlot($0, claimant: claimant, claimedAt: "") }
        let surplus = slots.resume(leftover, isIntact: isIntact)
        guard let carried = try release(surplus, mode, deadline: deadline) else { return }
        slots.leave(Set(carried.map(\.name)))
        guard let isDone = try run(&slots, carried, phase, deadline: deadline) else { return }
        if isDone {
            write(slots, carried, .bound)
            isDeleted = false
            let given = slots.compactMap(\.held)
            #expect(Set(given.map(\.name)).count == plans.count, "one address was given twice")
            inUse = given.map(\.name)
            return
        }
        let records = (slots.flatMap(\.journalRecords) + carried).merged
        let kept = isIntact && phase == .bound ? held : []
        guard
            let left = try release(
                records.filter { !kept.contains($0.name) }, mode, deadline: deadline + .seconds(2))
        else { return }
        journal = records.filter { kept.contains($0.name) } + left
        self.phase = phase
    }

    private mutating func write(_ slots: [ClaimSlot], _ carried: [JournalEntry.Record], _ phase: JournalEntry.Phase) {
        journal = (slots.flatMap(\.journalRecords) + carried).merged
        self.phase = phase
        #expect(Set(journal.map(\.name)).count == journal.count)
    }

    /// Whether every slot is held; nil when the process was killed.
    private mutating func run(
        _ slots: inout [ClaimSlot], _ carried: [JournalEntry.Record], _ phase: JournalEntry.Phase, deadline: Moment
    ) throws -> Bool? {
        while model.now < deadline {
            for index in slots.indices { choose(index, &slots) }
            if slots.contains(where: { $0.failure != nil }) { return false }
            var requests: [(slot: Int, request: APIRequest)] = []
            for index in slots.indices {
                if case .send(let request) = slots[index].next(now: model.now, remaining: deadline - model.now) {
                    requests.append((index, request))
                }
            }
            if slots.allSatisfy({ $0.held != nil }) { return true }
            if !requests.isEmpty { write(slots, carried, phase) }
            if isKilled() { return nil }
            for (index, request) in requests {
                let answer = try model.answer(request, deadline: deadline)
                slots[index].receive(
                    try answer.result(for: request), wasSentTwice: answer.isTwice, now: model.now,
                    using: &model.generator)
            }
            if isKilled() { return nil }
            happen("claiming")
            let current = (slots.flatMap(\.journalRecords) + carried).merged
            if let lack = model.lack(of: current) { Issue.record("about to write: \(lack)") }
        }
        return false
    }

    private mutating func choose(_ index: Int, _ slots: inout [ClaimSlot]) {
        let taken = slots.names(besides: index)
        slots[index].choose(avoiding: taken, using: &model.generator)
        while case .needsScan(let source, _) = slots[index].state {
            let allocations = model.objects.compactMap {
                name, object -> (address: IPAddress, state: AllocationState?)? in
                guard let address = AllocationName(objectName: name)?.address else { return nil }
                return (address, object.holder == .cooling ? .cooling : .bound)
            }
            let pool = slots[index].sources[source].pool
            slots[index].learn(
                PoolScan(pool: pool, allocations: allocations, using: &model.generator), source: source)
            slots[index].choose(avoiding: taken, using: &model.generator)
        }
    }

    // MARK: DEL

    mutating func del() throws {
        inUse = []
        isDeleted = true
        guard let left = try release(journal, phase == .claiming ? .delete : .cool, deadline: model.now + .seconds(3))
        else { return }
        journal = left
    }

    /// Releases records and returns those that were not settled; nil when the process was killed.
    private mutating func release(
        _ records: [JournalEntry.Record], _ mode: ReleaseMode, deadline: Moment
    ) throws -> [JournalEntry.Record]? {
        let clock = Clock(model.now)
        var releases = records.map {
            Release($0, of: attachment, machineID: "m1", mode: mode, releasedAt: "", now: { clock.now })
        }
        var isFinished = false
        while model.now < deadline, !isFinished {
            isFinished = true
            for index in releases.indices {
                switch releases[index].next(remaining: deadline - model.now) {
                case .send(let request):
                    isFinished = false
                    let answer = try model.answer(request, deadline: deadline)
                    releases[index].receive(try answer.result(for: request), wasSentTwice: answer.isTwice)
                case .pause: isFinished = false
                case .finished: break
                }
            }
            if isKilled() { return nil }
            happen("releasing")
            clock.now = model.now
        }
        return releases.filter { !$0.isSettled }.map(\.record)
    }

    private final class Clock {
        var now: Moment
        init(_ now: Moment) { self.now = now }
    }
}
