import KubernetesCore

/// The account of the writes that a slot sends for one name: what of them may yet be committed.
///
/// A create whose answer never came may be committed at any time until its limit: it is refused while the name exists, and
/// may succeed when that is gone. A take-over can be committed only while the allocation is in the version that was read.
///
/// - Guarantees: ``until`` is nil only when no write that was sent can be committed any more, or was and is known.
/// - Assumptions: ``send(deadline:)`` comes before each write, and one of the others when its answer is there.
struct WriteAccount: Hashable, Sendable {
    /// As good as any greater number: the object that shows up tells the fate of one create, and not of the others.
    private static let uncountable = 2

    /// Until when a write may be committed that no answer told the fate of; nil when none is open.
    private(set) var until: Moment?
    /// How many creates were sent of which no answer told what became of them.
    private var openCreates = 0
    /// Whether a take-over was sent of which no answer told what became of it.
    private(set) var hasOpenTakeOver = false

    init() {}

    /// An earlier ADD sent creates of the name, who knows how many, and one may be committed until then.
    init(resuming until: Moment) {
        self.until = until
        openCreates = Self.uncountable
    }

    /// Whether a create may have been made, or may yet be.
    var hasOpenCreates: Bool { openCreates > 0 }

    /// A write is about to be sent, of a caller that gives up at the deadline.
    mutating func send(deadline: Moment) {
        until = max(deadline + JournalEntry.commitSlack, until ?? deadline)
    }

    /// - Parameter wasSentTwice: The transport had to repeat it, and one copy was made: what became of the other one is
    ///   open.
    mutating func createWasMade(wasSentTwice: Bool) {
        if wasSentTwice { openCreates += 1 }
        nameWasOurs()
    }

    mutating func createFailed(_ error: APIError, wasSentTwice: Bool) {
        if wasSentTwice { openCreates += 1 }
        if error.mayHaveCommitted { openCreates += 1 }
        settle()
    }

    mutating func takeOverWasMade() { nameWasOurs() }

    /// - Returns: Whether the allocation may be ours by now.
    mutating func takeOverFailed(_ error: APIError, wasSentTwice: Bool) -> Bool {
        let mayBeOurs = hasOpenTakeOver || wasSentTwice || error.mayHaveCommitted
        // In another version by now: no take-over is open any more, and an earlier one may have been made.
        hasOpenTakeOver = error.isConflict || error.isNotFound ? false : mayBeOurs
        settle()
        return mayBeOurs
    }

    /// A read showed that the name is ours, which tells what became of one create.
    mutating func foundOurs() {
        openCreates = max(openCreates - 1, 0)
        nameWasOurs()
    }

    /// A read showed that somebody else has the name.
    ///
    /// - Parameter mayBeInVersion: The allocation may be in the version that a take-over is conditional on.
    mutating func foundOthers(mayBeInVersion: Bool) {
        if !mayBeInVersion { hasOpenTakeOver = false }
        settle()
    }

    /// A take-over comes next: when the name is ours afterwards, that may be its doing, and tells of no create.
    mutating func willTakeOver() {
        if openCreates > 0 { openCreates = Self.uncountable }
    }

    private mutating func nameWasOurs() {
        hasOpenTakeOver = false
        settle()
    }

    private mutating func settle() {
        if openCreates == 0, !hasOpenTakeOver { until = nil }
    }
}
