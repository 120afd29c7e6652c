package import KubernetesCore

package struct LeaderElectionLimits: Hashable, Sendable {
    /// How long others wait, after they saw the last renewal, before they take the lease. In whole seconds.
    package let leaseDuration: Duration
    /// How long after its last renewal was sent a leader acts.
    package let renewDeadline: Duration
    /// Between two renewals, and between two looks at the lease of another; the latter randomly up to twice as long.
    package let retryPeriod: Duration
    /// For giving the lease back at the end.
    package let releaseTimeout: Duration

    /// Nil unless `retryPeriod` < `renewDeadline` < `leaseDuration`, with at least a second between the last two.
    package init?(
        leaseDuration: Duration, renewDeadline: Duration, retryPeriod: Duration,
        releaseTimeout: Duration = .seconds(2)
    ) {
        guard retryPeriod > .zero, retryPeriod < renewDeadline, renewDeadline + .seconds(1) <= leaseDuration,
            leaseDuration.components.attoseconds == 0, releaseTimeout > .zero
        else { return nil }
        self.leaseDuration = leaseDuration
        self.renewDeadline = renewDeadline
        self.retryPeriod = retryPeriod
        self.releaseTimeout = releaseTimeout
    }

    /// 15, 10 and 2 seconds, as Kubernetes' own controllers have them.
    package init() {
        leaseDuration = .seconds(15)
        renewDeadline = .seconds(10)
        retryPeriod = .seconds(2)
        releaseTimeout = .seconds(2)
    }
}

/// Who leads, agreed on by a coordination.k8s.io Lease: what one candidate does next.
///
/// Flow: read the Lease. Nobody's, or unchanged for as long as its holder wants to be believed: write ourselves in, on
/// condition of the state that was read. Ours: renew it every `retryPeriod`. Another's: look again later. At the end
/// write ourselves out.
///
/// Guarantees: at most one candidate leads at a time. A leader counts from the moment *before* its renewal was sent, and
/// stops acting `renewDeadline` after it; another counts from the moment when it *saw* that renewal, which is later, and
/// waits `leaseDuration`, which is longer. Each counts by its own clock; no time that another machine wrote is ever
/// compared. Every write is conditional, so of two that write at once one fails.
///
/// Assumptions: no clock runs faster than another by the factor `leaseDuration / renewDeadline`. An identity belongs to
/// one process, not to a pod or a host that starts anew. What a leader still does when its time is up ends within
/// `leaseDuration - renewDeadline`, or is itself conditional on what it has read.
///
/// Caveats: any write to the Lease counts as a renewal, so somebody who edits it every few seconds keeps a dead leader's
/// place. A write whose answer was lost counts as not made until a read shows it; for that time nobody may lead. Who
/// deletes the Lease lets another lead at once, while the leader learns of it only by its next renewal.
///
/// Errors: failures are tried again; they only ever shorten the time for which we lead.
package struct LeaderElection: Sendable {
    package enum Input: Equatable, Sendable {
        /// The beginning, and the end of each wait.
        case wake
        /// Nil when there is no Lease.
        case read(LeaseRecord?)
        /// The write was made; the Lease after it.
        case written(LeaseRecord)
        /// Another has written first: nothing was written.
        case conflict
        /// No answer, or one that says nothing about the Lease. A write may have been made.
        case failed
        /// Give the lease back and stop.
        case stop
    }

    package enum Action: Equatable, Sendable {
        /// To be ended by the deadline.
        case read(deadline: Moment)
        case write(LeaseWrite, deadline: Moment)
        case wait(until: Moment)
        case finished
        /// The input answers no action; nothing has changed.
        case ignore
    }

    package enum Phase: Hashable, Sendable {
        case idle
        case reading
        case writing(LeaseWrite, sent: Moment)
        case stopped
    }

    /// The state of the Lease as last seen, and when by our own clock it was first seen so.
    private struct Observation: Hashable, Sendable {
        var record: LeaseRecord
        var since: Moment
    }

    package let identity: String
    package let limits: LeaderElectionLimits
    package private(set) var phase = Phase.idle
    private var observed: Observation?
    /// When the last renewal that was confirmed had been sent.
    private var renewed: Moment?
    /// Set when the lease is to be given back.
    private var stopBy: Moment?
    private var releases = 0
    /// The second is for a renewal that was committed although its answer was lost.
    private static let maximumReleases = 2

    package init(identity: String, limits: LeaderElectionLimits = LeaderElectionLimits()) {
        self.identity = identity
        self.limits = limits
    }

    /// Until when we may act as the leader; nil when we are not. Look at it before every act.
    package var leadsUntil: Moment? { renewed.map { $0 + limits.renewDeadline } }

    package func isLeading(now: Moment) -> Bool { leadsUntil.map { now < $0 } ?? false }

    /// For messages: who holds the Lease, as far as we know.
    package var holder: String? { observed?.record.holder }

    package mutating func handle(
        _ input: Input, now: Moment, using generator: inout some RandomNumberGenerator
    ) -> Action {
        if let until = leadsUntil, now >= until { renewed = nil }
        switch (phase, input) {
        case (.stopped, _): return .ignore
        case (.idle, .stop):
            beginStop(now: now)
            return release(now: now)
        // The request that is on its way decides what there is to give back.
        case (.reading, .stop), (.writing, .stop):
            beginStop(now: now)
            return .ignore
        case (.idle, .wake): return act(now: now)
        case (.reading, .read(let record)):
            observe(record, now: now)
            return stopBy == nil ? decide(now: now, using: &generator) : release(now: now)
        case (.reading, .failed): return stopBy == nil ? retry(now: now, using: &generator) : release(now: now)
        case (.writing(.release, _), .written), (.writing(.release, _), .failed): return finish()
        case (.writing(_, let sent), .written(let record)):
            observe(record, now: now)
            guard stopBy == nil else { return release(now: now) }
            renewed = now < sent + limits.renewDeadline ? sent : nil
            return pause(until: sent + limits.retryPeriod)
        // It may have been an earlier write of our own, whose answer was lost.
        case (.writing, .conflict): return read(now: now)
        case (.writing, .failed): return stopBy == nil ? retry(now: now, using: &generator) : read(now: now)
        case (.idle, _), (.reading, _), (.writing, _): return .ignore
        }
    }

    /// A leader writes without a read: it knows the state, and a conflict tells it otherwise.
    private mutating func act(now: Moment) -> Action {
        if renewed != nil, let record = observed?.record, record.holder == identity {
            return write(.renew(record), now: now)
        }
        return read(now: now)
    }

    private mutating func observe(_ record: LeaseRecord?, now: Moment) {
        if record?.holder != identity { renewed = nil }
        guard let record else {
            observed = nil
            return
        }
        guard observed?.record != record else { return }
        observed = Observation(record: record, since: now)
    }

    private mutating func decide(now: Moment, using generator: inout some RandomNumberGenerator) -> Action {
        guard let observed else { return write(.create, now: now) }
        guard let holder = observed.record.holder else { return write(.take(observed.record), now: now) }
        // Ours by a write whose answer was lost, or by one that was confirmed too late.
        if holder == identity { return write(.renew(observed.record), now: now) }
        let free = observed.since + max(observed.record.duration, .seconds(1))
        guard now < free else { return write(.take(observed.record), now: now) }
        let look = now + limits.retryPeriod * Double.random(in: 1...2, using: &generator)
        // Those who wait for the same moment are told apart by the condition of their writes.
        return pause(until: min(look, free))
    }

    private mutating func retry(now: Moment, using generator: inout some RandomNumberGenerator) -> Action {
        pause(until: now + limits.retryPeriod * Double.random(in: 0.25...1, using: &generator))
    }

    private mutating func beginStop(now: Moment) {
        renewed = nil
        stopBy = stopBy ?? now + limits.releaseTimeout
    }

    private mutating func release(now: Moment) -> Action {
        guard releases < Self.maximumReleases, let stopBy, now < stopBy, let record = observed?.record,
            record.holder == identity
        else { return finish() }
        releases += 1
        return write(.release(record), now: now)
    }

    private mutating func finish() -> Action {
        renewed = nil
        phase = .stopped
        return .finished
    }

    private mutating func pause(until moment: Moment) -> Action {
        phase = .idle
        return .wait(until: moment)
    }

    private mutating func read(now: Moment) -> Action {
        phase = .reading
        return .read(deadline: deadline(now: now))
    }

    private mutating func write(_ write: LeaseWrite, now: Moment) -> Action {
        phase = .writing(write, sent: now)
        return .write(write, deadline: deadline(now: now))
    }

    private func deadline(now: Moment) -> Moment {
        let limit = now + limits.renewDeadline / 2
        return [limit, leadsUntil, stopBy].compactMap(\.self).min() ?? limit
    }
}
