package import KubernetesCore

/// When a file of the host is to be written, as a state machine without I/O.
///
/// Flow: whoever keeps the file looks at it, says what it found, and does what it is told.
///
/// Guarantees: a file that is missing or of no use is written at once. What another agent wrote that is about to take
/// this one's place is left alone, so that two agents of different versions or tokens never write in turn.
///
/// Caveats: what somebody changed by hand into something else that works is put right after ``patience``.
package struct FileKeeper: Hashable, Sendable {
    package enum Found: Hashable, Sendable {
        case missing
        /// What this agent would write.
        case same
        /// Something else that works.
        case other
        /// Something that does not work, or not for long.
        case broken
        /// Something that is not Berth's.
        case foreign
    }

    package enum Action: Hashable, Sendable {
        case none
        case write
        /// It is not ours to replace.
        case refuse
    }

    /// How long another content is left alone that works.
    package static let patience: Duration = .seconds(60)

    /// Whether the file has been as this agent wants it, once, or was told to be made so.
    private var hasSettled = false
    private var otherSince: Moment?

    package init() {}

    /// - Parameter isAlone: No other agent of the node has been seen lately: by the Lease, nor a later one by its stamp
    ///   (``AgentPresence``).
    package mutating func decide(_ found: Found, isAlone: Bool, now: Moment) -> Action {
        let action = action(found, isAlone: isAlone, now: now)
        if found == .same || action == .write { hasSettled = true }
        return action
    }

    private mutating func action(_ found: Found, isAlone: Bool, now: Moment) -> Action {
        let since = otherSince
        otherSince = nil
        switch found {
        case .same: return .none
        case .foreign: return .refuse
        case .missing, .broken: return .write
        case .other:
            // A new agent comes with what is to be there from now on.
            guard hasSettled else { return .write }
            if isAlone, let since, now - since >= Self.patience { return .write }
            otherSince = isAlone ? since ?? now : now
            return .none
        }
    }

    /// What it was told to do could not be done.
    package mutating func failed() { hasSettled = false }
}
