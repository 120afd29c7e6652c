package import IPAMEngine
package import KubernetesCore

/// What the controller's rules say about a holder that seems to be gone.
package enum LeakVerdict: Hashable, Sendable {
    /// Proven: whoever may, can free it.
    case releasable(ReclaimReason)
    /// The node's agent frees it when the sandbox is dead, and nobody else does.
    case agentDecides(ReclaimReason)
    /// Nobody speaks for the machine, whose sandboxes may run on.
    case nodeIsSilent(ReclaimReason)
    /// The facts have not spoken against the holder for long enough.
    case tooEarly(ReclaimReason)

    package var reason: ReclaimReason {
        switch self {
        case .releasable(let reason), .agentDecides(let reason), .nodeIsSilent(let reason), .tooEarly(let reason):
            reason
        }
    }
}

/// Judges holders by the rules of the controller, with one ``ReclaimTracker`` for each: first suspected, then, after the
/// grace period, judged by what was read at the API server.
package struct LeakJudge: Sendable {
    private let settings: ReclaimSettings
    private var trackers: [String: ReclaimTracker] = [:]

    package init(gracePeriod: Duration) { settings = ReclaimSettings(gracePeriod: gracePeriod) }

    /// Takes in what lists showed. Nil when nothing is to be said against the holder.
    package mutating func suspect(
        _ record: AllocationRecord, _ facts: ReclaimFacts, now: Moment
    ) -> ReclaimReason? {
        var tracker = trackers[record.name] ?? ReclaimTracker()
        let action = tracker.observe(record, facts, settings: settings, now: now)
        trackers[record.name] = tracker.isIdle ? nil : tracker
        return tracker.candidacy?.reason ?? Self.marked(record, facts, action)
    }

    /// Takes in what was read of the pod and the Node just now. Nil when nothing is to be said against the holder.
    package mutating func judge(
        _ record: AllocationRecord, _ facts: ReclaimFacts, now: Moment
    ) -> LeakVerdict? {
        var tracker = trackers[record.name] ?? ReclaimTracker()
        defer { trackers[record.name] = tracker.isIdle ? nil : tracker }
        var action = tracker.observe(record, facts, settings: settings, now: now)
        if case .prove = action { action = tracker.proved(record, facts, settings: settings, now: now) }
        if let reason = Self.marked(record, facts, action) { return .agentDecides(reason) }
        switch action {
        case .release(let reason): return .releasable(reason)
        case .mark(let reason): return .agentDecides(reason)
        case .fence: return tracker.candidacy.map { .nodeIsSilent($0.reason) }
        case .wait, .prove: return tracker.candidacy.map { .tooEarly($0.reason) }
        case .nothing:
            guard let reason = tracker.candidacy?.reason else { return nil }
            // Proved, and still nothing to do: the agent has been told, or the machine is silent.
            return facts.agent == .reports ? .agentDecides(reason) : .nodeIsSilent(reason)
        case .unfence, .unmark: return nil
        }
    }

    /// What the controller has pointed out to an agent that reports, and that is still so.
    private static func marked(
        _ record: AllocationRecord, _ facts: ReclaimFacts, _ action: ReclaimAction
    ) -> ReclaimReason? {
        guard action == .nothing, facts.agent == .reports, record.attachmentDigest != nil,
            let mark = record.reclaimMark
        else { return nil }
        return ReclaimReason(rawValue: mark)
    }
}
