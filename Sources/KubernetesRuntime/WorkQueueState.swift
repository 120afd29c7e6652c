package import KubernetesCore

/// How much work is done at once, and how soon again.
package struct WorkLimits: Hashable, Sendable {
    /// Keys that run side by side.
    package var concurrency: Int
    /// Of one key after failures in a row.
    package var backoff: Backoff
    /// Of all starts together; nil for none.
    package var rate: RateLimit?

    package init(
        concurrency: Int = 4, backoff: Backoff = Backoff(base: .milliseconds(100), cap: .seconds(60)),
        rate: RateLimit? = nil
    ) {
        self.concurrency = concurrency
        self.backoff = backoff
        self.rate = rate
    }
}

/// What comes after one run of a key.
package enum WorkOutcome: Hashable, Sendable {
    case done
    /// Run it again after this time, or earlier when it is added.
    case again(after: Duration)
    /// Run it again after a pause that grows with the failures in a row, and is not shorter than `retryAfter`, or earlier
    /// when it is added.
    case failed(retryAfter: Duration?)
}

/// Which key runs next, and when: the decisions of `WorkQueue`.
///
/// | Added while the key is | Effect |
/// |---|---|
/// | unknown | it waits for its moment |
/// | waiting | the earlier of the two moments counts |
/// | running | it runs once more, at the earliest of the moments added, after this run has ended |
///
/// Guarantees: a key waits or runs at most once, and never runs twice at once. What is added is run after that, unless
/// the queue stops. Keys whose moment has come run in the order of their moments. No more than `concurrency` keys run.
package struct WorkQueueState<Key: Hashable & Sendable>: Sendable {
    package enum Step: Equatable, Sendable {
        /// Begin this key. `late` is how long it was due.
        case run(Key, late: Duration)
        /// Ask again at the moment, or when something was added or has finished; nil when only that can help.
        case wait(until: Moment?)
    }

    private struct Ticket: Comparable {
        let due: Moment
        let number: UInt64

        static func < (a: Ticket, b: Ticket) -> Bool { (a.due, a.number) < (b.due, b.number) }
    }

    private let limits: WorkLimits
    private var waiting: [Key: Ticket] = [:]
    /// All of `waiting`, and tickets that an earlier one has replaced.
    private var heap = MinimumHeap<Ticket, Key>()
    private var lastNumber: UInt64 = 0
    /// When the key is to run again, if it was added meanwhile.
    private var active: [Key: Moment?] = [:]
    private var failures: [Key: Int] = [:]
    private var bucket: TokenBucket?

    package init(_ limits: WorkLimits = WorkLimits()) {
        self.limits = limits
        bucket = limits.rate.map { TokenBucket($0) }
    }

    /// Keys that wait, those for a later moment too.
    package var depth: Int { waiting.count }
    package var running: Int { active.count }
    package var isEmpty: Bool { waiting.isEmpty && active.isEmpty }

    package mutating func add(_ key: Key, at due: Moment) {
        if let again = active[key] {
            active[key] = .some(min(again ?? due, due))
            return
        }
        if let ticket = waiting[key], ticket.due <= due { return }
        lastNumber += 1
        let ticket = Ticket(due: due, number: lastNumber)
        waiting[key] = ticket
        heap.insert(ticket, key)
        // Otherwise a key that is added again and again, each time earlier, would fill the heap.
        if heap.count > 2 * waiting.count + 64 { heap = MinimumHeap(waiting.map { ($0.value, $0.key) }) }
    }

    package mutating func next(now: Moment) -> Step {
        guard active.count < limits.concurrency else { return .wait(until: nil) }
        while let (ticket, key) = heap.first {
            guard waiting[key] == ticket else {
                heap.removeFirst()
                continue
            }
            guard ticket.due <= now else { return .wait(until: ticket.due) }
            if let free = bucket?.take(now: now) { return .wait(until: free) }
            heap.removeFirst()
            waiting[key] = nil
            active[key] = .some(nil)
            return .run(key, late: now - ticket.due)
        }
        return .wait(until: nil)
    }

    package mutating func finish(
        _ key: Key, _ outcome: WorkOutcome, now: Moment, using generator: inout some RandomNumberGenerator
    ) {
        guard let again = active.removeValue(forKey: key) else { return }
        if let again { add(key, at: again) }
        switch outcome {
        case .done: failures[key] = nil
        case .again(let delay):
            failures[key] = nil
            add(key, at: now + delay)
        case .failed(let retryAfter):
            let count = failures[key, default: 0]
            failures[key] = count + 1
            let delay = limits.backoff.delay(attempt: count, using: &generator)
            add(key, at: now + max(delay, limits.backoff.bounded(retryAfter)))
        }
    }
}

/// A binary heap, the smallest priority first.
struct MinimumHeap<Priority: Comparable & Sendable, Element: Sendable>: Sendable {
    private var nodes: [(priority: Priority, element: Element)] = []

    init() {}

    init(_ nodes: [(Priority, Element)]) {
        // Sorted is a heap.
        self.nodes = nodes.sorted { $0.0 < $1.0 }
    }

    var count: Int { nodes.count }
    var first: (Priority, Element)? { nodes.first }

    mutating func insert(_ priority: Priority, _ element: Element) {
        nodes.append((priority, element))
        var index = nodes.count - 1
        while index > 0 {
            let parent = (index - 1) / 2
            guard nodes[index].priority < nodes[parent].priority else { return }
            nodes.swapAt(index, parent)
            index = parent
        }
    }

    mutating func removeFirst() {
        guard let last = nodes.popLast(), !nodes.isEmpty else { return }
        nodes[0] = last
        var index = 0
        while true {
            let left = 2 * index + 1
            guard left < nodes.count else { return }
            let right = left + 1
            let child = right < nodes.count && nodes[right].priority < nodes[left].priority ? right : left
            guard nodes[child].priority < nodes[index].priority else { return }
            nodes.swapAt(index, child)
            index = child
        }
    }
}
