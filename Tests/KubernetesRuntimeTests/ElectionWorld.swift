import KubernetesCore
import KubernetesRuntime

/// A Lease that is written on condition of its version: all that an election needs to be true of the API server.
struct LeaseModel {
    private(set) var record: LeaseRecord?
    private var lastVersion = 0

    /// The record after the write; nil when the condition does not hold.
    mutating func write(_ write: LeaseWrite, by identity: String, duration: Duration) -> LeaseRecord? {
        switch write {
        case .create: record == nil ? put(identity, duration, transitions: 0) : nil
        case .take(let seen): seen == record ? put(identity, duration, transitions: seen.transitions + 1) : nil
        case .renew(let seen): seen == record ? put(identity, duration, transitions: seen.transitions) : nil
        case .release(let seen): seen == record ? put(nil, .seconds(1), transitions: seen.transitions) : nil
        }
    }

    private mutating func put(_ holder: String?, _ duration: Duration, transitions: Int) -> LeaseRecord? {
        lastVersion += 1
        record = LeaseRecord(
            uid: "u", resourceVersion: "\(lastVersion)", holder: holder, duration: duration, transitions: transitions)
        return record
    }
}

/// Candidates, their clocks, and what lies between them and the Lease, as a sequence of events in true time.
struct ElectionWorld {
    struct Faults {
        /// Of a hundred: requests that never arrive, answers that never come back, requests with which a time begins for
        /// which a candidate is cut off, candidates that sleep past a moment, those that are stopped or crash at one.
        var lostRequests: Int
        var lostAnswers: Int
        var cuts: Int
        var sleeps: Int
        var ends: Int
        /// For each way, in milliseconds; more than a candidate waits for an answer.
        var delays: [ClosedRange<Int>]

        static let many = Faults(
            lostRequests: 5, lostAnswers: 10, cuts: 5, sleeps: 3, ends: 1,
            delays: [0...20, 0...20, 0...5000, 0...30_000])
        static let none = Faults(lostRequests: 0, lostAnswers: 0, cuts: 0, sleeps: 0, ends: 0, delays: [0...20])
    }

    private enum Event {
        case wake(Int)
        case request(Int, ticket: Int, LeaderElection.Action)
        case answer(Int, ticket: Int, LeaderElection.Input)
        case begin(Int)
    }

    private struct Candidate {
        var machine: LeaderElection
        /// Of its clock in nanoseconds, and how much faster than true time it runs.
        let offset: Int64
        let rate: Double
        /// The request that is on its way; nil when none is.
        var ticket: Int?
        /// Until then no answer reaches it, and hardly a request leaves it.
        var cutUntil: Int64 = 0
        var isGone = false
        var wasLeading = false

        func moment(_ time: Int64) -> Moment { Moment(nanoseconds: offset + Int64(Double(time) * rate)) }

        func time(_ moment: Moment) -> Int64 { Int64(Double(moment.nanoseconds - offset) / rate) + 1 }
    }

    private var faults: Faults
    private var generator: SeededGenerator
    private var lease = LeaseModel()
    private var candidates: [Candidate] = []
    private var events: [(time: Int64, event: Event)] = []
    private var time: Int64 = 0
    private var lastTicket = 0
    private(set) var terms = 0
    /// Moments at which more than one led.
    private(set) var overlaps: [String] = []

    init(seed: UInt64, faults: Faults) {
        self.faults = faults
        generator = SeededGenerator(seed: seed)
        for _ in 0..<Int.random(in: 2...3, using: &generator) { add(after: 0) }
    }

    // MARK: What a test does

    var holder: String? { lease.record?.holder }

    /// The identities of those who may act now.
    var leaders: [String] {
        candidates.filter { !$0.isGone && $0.machine.isLeading(now: $0.moment(time)) }.map(\.machine.identity)
    }

    mutating func run(seconds: Int) {
        let end = time + Int64(seconds) * 1_000_000_000
        while let index = events.indices.min(by: { events[$0].time < events[$1].time }), events[index].time <= end {
            let next = events.remove(at: index)
            time = max(time, next.time)
            handle(next.event)
            look()
        }
        time = end
    }

    /// From now on nothing is lost or late, nor does anybody end.
    mutating func calm() { faults = .none }

    mutating func stop(_ identity: String) {
        guard let index = index(identity) else { return }
        give(.stop, to: index)
    }

    mutating func crash(_ identity: String) {
        guard let index = index(identity) else { return }
        end(index)
    }

    private func index(_ identity: String) -> Int? { candidates.firstIndex { $0.machine.identity == identity } }

    // MARK: Events

    private mutating func add(after delay: Int64) {
        // The fastest clock and the slowest differ by nearly the fifteen tenths that the limits allow.
        candidates.append(
            Candidate(
                machine: LeaderElection(identity: "c\(candidates.count)"),
                offset: Int64.random(in: 0...1_000_000_000_000, using: &generator),
                rate: [0.82, 1, 1.22].randomElement(using: &generator) ?? 1))
        schedule(.begin(candidates.count - 1), at: time + delay)
    }

    private mutating func schedule(_ event: Event, at moment: Int64) {
        var moment = max(moment, time)
        if happens(faults.sleeps) { moment += milliseconds(0...25_000) }
        events.append((moment, event))
    }

    private mutating func happens(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &generator) < percent }

    private mutating func milliseconds(_ range: ClosedRange<Int>) -> Int64 {
        Int64(Int.random(in: range, using: &generator)) * 1_000_000
    }

    private mutating func delay() -> Int64 { milliseconds(faults.delays.randomElement(using: &generator) ?? 0...0) }

    private mutating func handle(_ event: Event) {
        switch event {
        case .begin(let index): give(.wake, to: index)
        case .wake(let index):
            guard !candidates[index].isGone, candidates[index].machine.phase == .idle else { return }
            guard !happens(faults.ends) else {
                return Bool.random(using: &generator) ? end(index) : give(.stop, to: index)
            }
            give(.wake, to: index)
        case .request(let index, let ticket, let action):
            let input = serve(action, by: candidates[index].machine)
            let isLost = candidates[index].cutUntil > time || happens(faults.lostAnswers)
            if !isLost { schedule(.answer(index, ticket: ticket, input), at: time + delay()) }
        case .answer(let index, let ticket, let input):
            guard !candidates[index].isGone, candidates[index].ticket == ticket else { return }
            candidates[index].ticket = nil
            give(input, to: index)
            if happens(faults.ends) { give(.stop, to: index) }
        }
    }

    private mutating func serve(_ action: LeaderElection.Action, by machine: LeaderElection) -> LeaderElection.Input {
        switch action {
        case .read: .read(lease.record)
        case .write(let write, _):
            lease.write(write, by: machine.identity, duration: machine.limits.leaseDuration).map { .written($0) }
                ?? .conflict
        case .wait, .finished, .ignore: .failed
        }
    }

    private mutating func give(_ input: LeaderElection.Input, to index: Int) {
        guard !candidates[index].isGone else { return }
        let now = candidates[index].moment(time)
        let action = candidates[index].machine.handle(input, now: now, using: &generator)
        switch action {
        case .wait(let until): schedule(.wake(index), at: candidates[index].time(until))
        case .read(let deadline), .write(_, let deadline):
            lastTicket += 1
            candidates[index].ticket = lastTicket
            schedule(.answer(index, ticket: lastTicket, .failed), at: candidates[index].time(deadline))
            if happens(faults.cuts) { candidates[index].cutUntil = time + milliseconds(5000...40_000) }
            let isCut = candidates[index].cutUntil > time
            // Some pass even then.
            if isCut ? happens(10) : !happens(faults.lostRequests) {
                schedule(.request(index, ticket: lastTicket, action), at: time + delay())
            }
        case .finished: end(index)
        // The answer on its way goes on.
        case .ignore: break
        }
    }

    private mutating func end(_ index: Int) {
        candidates[index].isGone = true
        // A new process, of another name.
        add(after: milliseconds(0...10_000))
    }

    private mutating func look() {
        let leaders = leaders
        if leaders.count > 1 { overlaps.append("\(leaders) at \(time)") }
        for index in candidates.indices {
            let isLeading = leaders.contains(candidates[index].machine.identity)
            if isLeading, !candidates[index].wasLeading { terms += 1 }
            candidates[index].wasLeading = isLeading
        }
    }
}
