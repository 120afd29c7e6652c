import IPAMAPI
import IPAMEngine
import IPAddressing
import KubernetesCore
import Testing

@testable import IPAMLedger

/// Plays the part of `Ledger.run` for one slot: asks it, and feeds it answers, on a clock that the test moves.
struct SlotDriver {
    var slot: ClaimSlot
    var generator = SplitMix64(seed: 7)
    var now = moment(1000)
    let deadline = moment(1008)
    /// What the slot wanted last.
    private(set) var request: APIRequest?

    init(_ slot: ClaimSlot) { self.slot = slot }

    init(_ pools: [ValidatedPool], exact: String? = nil, isDryRun: Bool = false) throws {
        slot = ClaimSlot(
            SlotPlan(pools: pools, exact: try exact.map { try address($0) }), claimant: claimant,
            claimedAt: "2025-11-20T09:07:05Z", isDryRun: isDryRun)
    }

    /// One address, 10.0.0.5, which the slot tries first.
    static func one(exact: Bool = false) throws -> SlotDriver {
        try SlotDriver([pool("10.0.0.4/30", strategy: .sequential, free: "10.0.0.5")], exact: exact ? "10.0.0.5" : nil)
    }

    /// What it wants next, as text: `create 10.0.0.5`, `wait 2 s`, `scan everything of blue`, `finished`.
    mutating func ask() -> String {
        request = nil
        slot.choose(using: &generator)
        if case .needsScan(let source, let scope) = slot.state {
            return "scan \(scope) of \(slot.sources[source].pool.name)"
        }
        switch slot.next(now: now, remaining: deadline - now) {
        case .send(let request):
            self.request = request
            return "\(request.subject.verb) \(request.subject.name ?? "")"
        case .wait(let until): return "wait \((until - now).briefDescription)"
        case .finished: return "finished"
        }
    }

    mutating func answer(_ answer: Answer) throws {
        let request = try #require(request, "an answer without a request")
        slot.receive(try answer.result(for: request), wasSentTwice: answer.isTwice, now: now, using: &generator)
        self.request = nil
    }

    /// Asks until there is a request, passing the time where the slot waits, and answers it.
    mutating func next(_ answer: Answer) throws {
        while request == nil {
            _ = ask()
            guard request == nil else { break }
            guard case .wait(let until) = slot.next(now: now, remaining: deadline - now) else {
                Issue.record("no request to answer with \(answer): \(slot.state.brief)")
                return
            }
            now = until
        }
        try self.answer(answer)
    }

    mutating func learn(free: String, cooling: String = "", source: Int = 0) throws {
        let pool = slot.sources[source].pool
        let free = try addresses(free)
        let scan = PoolScan(
            poolUID: pool.uid, poolGeneration: pool.generation, freeCount: UInt128(free.count), free: free,
            cooling: try addresses(cooling),
            counts: PoolCounts(usable: pool.usable.count, allocated: 1, cooling: 1, held: 0))
        slot.learn(scan, source: source)
    }

    /// A scan of a pool of which nothing is allocated.
    mutating func learnAll(free: String) throws {
        let (pool, free) = (slot.sources[0].pool, try addresses(free))
        slot.learn(
            PoolScan(
                poolUID: pool.uid, poolGeneration: pool.generation, freeCount: UInt128(free.count), free: free,
                cooling: [], counts: PoolCounts(usable: pool.usable.count, allocated: 0, cooling: 0, held: 0)),
            source: 0)
    }

    /// For example `10.0.0.5 v1; 10.0.0.6 late`.
    var records: String { slot.journalRecords.map(\.brief).joined(separator: "; ") }
}

extension ClaimSlot.State {
    var brief: String {
        switch self {
        case .choosing: "choosing"
        case .creating(_, let mayExist): mayExist ? "creating again" : "creating"
        case .reading(_, let mayBeOurs): mayBeOurs ? "reading what may be ours" : "reading"
        case .cooling: "cooling"
        case .takingOver: "taking over"
        case .needsScan: "needs a scan"
        case .held: "held"
        case .failed(.api): "failed: api"
        case .failed(.exhausted): "failed: exhausted"
        case .failed(.addressRefused): "failed: refused"
        case .failed(.malformed): "failed: malformed"
        case .failed: "failed"
        }
    }
}
