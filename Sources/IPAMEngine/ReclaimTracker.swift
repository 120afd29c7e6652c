import IPAMAPI
package import KubernetesCore

/// When one allocation is to be freed, as a state machine without I/O.
///
/// - Flow: facts that speak against the holder make it suspected. When they have done so for the grace period, a proof
///   is asked for. What it finds decides: released when the machine reports or is out of the way, fenced when the
///   machine does not report, marked when the machine's agent reports, kept when the pod is there.
/// - Guarantees: nothing is released, fenced or marked but by ``proved(_:_:settings:now:)``. Nothing is released whose
///   pod is there; nor anything of a machine that does not report, but after the timeout that the administrator set.
///   The grace period starts anew when the machine begins to report, and whenever the facts speak for the holder.
/// - Assumptions: one tracker for an allocation, asked by one caller at a time. The facts given to `proved` were read at
///   the API server after the `prove` that they answer. Writes are conditional on the record's `resourceVersion`.
/// - Caveats: the grace period and the timeout are counted from when this tracker saw the facts, so a restart of the
///   controller begins them anew.
/// - Errors: none. A proof or write that failed leaves the tracker where it was: the next ``observe(_:_:settings:now:)``
///   asks for the proof again.
package struct ReclaimTracker: Hashable, Sendable {
    /// Whom the suspicion is about: an address that was taken over is another's.
    struct Holder: Hashable, Sendable {
        var attachmentDigest: String?
        var pod: PodReference?
        var node: String
        var machineID: String

        init(_ record: AllocationRecord) {
            attachmentDigest = record.attachmentDigest
            pod = record.pod
            node = record.node
            machineID = record.machineID
        }
    }

    struct Suspicion: Hashable, Sendable {
        var reason: ReclaimReason
        /// Who could speak for the machine. When that changes, the grace period starts anew.
        var verdict: NodeVerdict
        var since: Moment
        var holder: Holder
    }

    enum Phase: Hashable, Sendable {
        case kept
        /// Waiting until the grace period is over.
        case suspected(Suspicion)
        /// A proof was asked for.
        case proving(Suspicion)
        /// The record says Fenced, and the machine does not report. Waiting for it, or for the timeout.
        case fenced(Suspicion)

        var suspicion: Suspicion? {
            switch self {
            case .kept: nil
            case .suspected(let suspicion), .proving(let suspicion), .fenced(let suspicion): suspicion
            }
        }
    }

    private(set) var phase: Phase

    package init() { phase = .kept }

    init(phase: Phase) { self.phase = phase }

    /// Nothing is remembered: a new tracker would do as well.
    package var isIdle: Bool { phase == .kept }

    /// Why the holder is suspected, and since when; nil when it is not.
    package var candidacy: (reason: ReclaimReason, since: Moment)? {
        phase.suspicion.map { ($0.reason, $0.since) }
    }

    /// Takes in the facts as the stores have them, which may lag.
    package mutating func observe(
        _ record: AllocationRecord, _ facts: ReclaimFacts, settings: ReclaimSettings, now: Moment
    ) -> ReclaimAction {
        let verdict = NodeVerdict(record, facts)
        guard let reason = record.suspicion(facts, verdict, settings) else {
            phase = .kept
            return Self.amends(record, verdict, isAlive: record.isAlive(facts.pod))
        }
        if verdict == .agentReports, record.reclaimMark != nil {
            phase = .kept
            return .nothing
        }
        let suspicion = suspicion(reason, verdict, record, now)
        if verdict == .silent, record.state == .fenced || record.livesWithMachine {
            return wait(record, suspicion, settings, now)
        }
        let deadline = suspicion.since + settings.gracePeriod
        guard now >= deadline else {
            phase = .suspected(suspicion)
            return .wait(until: deadline)
        }
        phase = .proving(suspicion)
        return .prove(reason)
    }

    /// Takes in the facts as they were read at the API server, in answer to ``ReclaimAction/prove(_:)``.
    package mutating func proved(
        _ record: AllocationRecord, _ facts: ReclaimFacts, settings: ReclaimSettings, now: Moment
    ) -> ReclaimAction {
        guard case .proving(let asked) = phase, asked.holder == Holder(record) else { return .nothing }
        let verdict = NodeVerdict(record, facts)
        guard let reason = record.suspicion(facts, verdict, settings) else {
            phase = .kept
            let amends = Self.amends(record, verdict, isAlive: record.isAlive(facts.pod))
            // The stores lag, and will say so when they have caught up; should they not, this is looked at again.
            return amends == .nothing ? .wait(until: now + settings.gracePeriod) : amends
        }
        let suspicion = suspicion(reason, verdict, record, now)
        let deadline = suspicion.since + settings.gracePeriod
        guard verdict == asked.verdict, now >= deadline else {
            phase = .suspected(suspicion)
            return .wait(until: max(deadline, now))
        }
        switch verdict {
        case .deleted, .outOfService, .kubeletReports:
            phase = .proving(suspicion)
            return .release(reason)
        case .agentReports:
            phase = .proving(suspicion)
            return record.reclaimMark == nil ? .mark(reason) : .nothing
        case .silent:
            if let timeout = settings.nodeLostTimeout, now >= suspicion.since + max(timeout, settings.gracePeriod) {
                phase = .proving(suspicion)
                return .release(.nodeLost)
            }
            if record.state == .bound, !record.livesWithMachine, case .present(let uid, _, _, _) = facts.node {
                phase = .proving(suspicion)
                return .fence(nodeUID: record.rememberedNodeUID(facts) ?? uid)
            }
            return wait(record, suspicion, settings, now)
        }
    }

    /// Waits for a silent machine, until the timeout if there is one.
    private mutating func wait(
        _ record: AllocationRecord, _ suspicion: Suspicion, _ settings: ReclaimSettings, _ now: Moment
    ) -> ReclaimAction {
        phase = record.state == .fenced ? .fenced(suspicion) : .suspected(suspicion)
        guard let timeout = settings.nodeLostTimeout else { return .nothing }
        let deadline = suspicion.since + max(timeout, settings.gracePeriod)
        guard now >= deadline else { return .wait(until: deadline) }
        phase = .proving(suspicion)
        return .prove(.nodeLost)
    }

    /// The suspicion that the facts raise: the one that is there already, unless it is about something else.
    private func suspicion(
        _ reason: ReclaimReason, _ verdict: NodeVerdict, _ record: AllocationRecord, _ now: Moment
    ) -> Suspicion {
        let holder = Holder(record)
        var since = now
        if let known = phase.suspicion, known.holder == holder, known.verdict == verdict { since = known.since }
        return Suspicion(reason: reason, verdict: verdict, since: since, holder: holder)
    }

    /// What is to be taken back of what was written about a holder that nothing is to be said against.
    ///
    /// These writes free nothing, so that they need no proof.
    private static func amends(_ record: AllocationRecord, _ verdict: NodeVerdict, isAlive: Bool) -> ReclaimAction {
        guard record.isReclaimable else { return .nothing }
        if record.state == .fenced, verdict.reports { return .unfence }
        return record.reclaimMark != nil && isAlive ? .unmark : .nothing
    }
}
