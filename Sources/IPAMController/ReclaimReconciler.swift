import IPAMAPI
package import IPAMEngine
import IPAMOperation
import JSONText
import KubernetesClient
package import KubernetesCore
package import KubernetesRuntime
import Synchronization

/// What reclaiming looks at again.
package enum ReclaimKey: Hashable, Sendable {
    /// An allocation by its name.
    case allocation(String)
    /// Everything on a node, for its agent may have fallen silent.
    case node(String)
}

/// Frees the addresses of pods and nodes that are gone.
///
/// Flow: `ReclaimTracker` judges an allocation by what the stores know. When it asks for a proof, the pod, the Node and
/// the Lease of the node's agent are read at the API server, and what it then decides is written, on condition of the
/// state that was judged.
///
/// Guarantees: those of `ReclaimTracker`. Not more than `ControllerSettings.reclaimRate` proofs are made.
///
/// Assumptions: runs only on the leader.
///
/// Caveats: a term of leadership begins without memory, so that grace periods begin anew.
///
/// Errors: an allocation that could not be proved or written comes again; the others are not touched.
package final class ReclaimReconciler: Reconciler {
    private let view: ClusterView
    private let writer: LedgerWriter
    private let settings: ControllerSettings
    private let journal: ReclaimJournal
    private let trackers = Mutex<[String: ReclaimTracker]>([:])
    private let turns: Mutex<ProofTurns>

    package init(
        _ view: ClusterView, _ writer: LedgerWriter, settings: ControllerSettings, journal: ReclaimJournal
    ) {
        self.view = view
        self.writer = writer
        self.settings = settings
        self.journal = journal
        turns = Mutex(ProofTurns(settings.reclaimRate))
    }

    /// A term of leadership begins.
    package func forget() { trackers.withLock { $0 = [:] } }

    /// How many allocations are suspected to be nobody's, by the reason.
    package var candidates: [ReclaimReason: Int] {
        trackers.withLock { trackers in
            trackers.values.reduce(into: [:]) { counts, tracker in
                if let reason = tracker.candidacy?.reason { counts[reason, default: 0] += 1 }
            }
        }
    }

    package func reconcile(_ key: ReclaimKey) async throws -> Requeue {
        switch key {
        case .node(let name): return lookAtNode(name)
        case .allocation(let name):
            guard case .present(let object) = view.allocations[ObjectKey(name: name)] else {
                trackers.withLock { $0[name] = nil }
                return .whenChanged
            }
            // What the stores cannot say will be said by a change, or is still not known then.
            guard let facts = view.facts(about: object.value) else { return .after(settings.reclaim.gracePeriod) }
            let action = track(name) { tracker, now in
                tracker.observe(object.value, facts, settings: settings.reclaim, now: now)
            }
            return try await carryOut(action, object)
        }
    }

    private func track(
        _ name: String, _ body: (inout ReclaimTracker, Moment) -> ReclaimAction
    ) -> ReclaimAction {
        let now = writer.client.clock.now()
        return trackers.withLock { trackers in
            var tracker = trackers[name] ?? ReclaimTracker()
            let action = body(&tracker, now)
            trackers[name] = tracker.isIdle ? nil : tracker
            return action
        }
    }

    private func lookAtNode(_ name: String) -> Requeue {
        guard let silence = view.agentSilence(node: name) else { return .whenChanged }
        let now = writer.client.clock.now()
        let isSilent = now >= silence
        // An agent that renews may have been silent before: what was held against it is looked at anew.
        let concerned = view.allocations(onNode: name).filter { isSilent || isSuspected($0) }
        journal.enqueue(concerned.map { .allocation($0.name) })
        return isSilent ? .whenChanged : .after(silence - now)
    }

    private func isSuspected(_ key: ObjectKey) -> Bool {
        trackers.withLock { $0[key.name] != nil } || view.allocations.value(key)?.state == .fenced
    }

    // MARK: Actions

    private func carryOut(
        _ action: ReclaimAction, _ object: StoredObject<AllocationRecord>
    ) async throws -> Requeue {
        let record = object.value
        switch action {
        case .nothing: return .whenChanged
        case .wait(let until): return .after(max(until - writer.client.clock.now(), .zero))
        case .prove: return try await prove(object)
        case .fence(let nodeUID):
            return settled(try await writer.fence(object, nodeUID: nodeUID)) {
                journal.fenced(record, reason(of: record), lease: agentLease(node: record.node))
            }
        case .unfence:
            return settled(try await writer.unfence(object)) { journal.unfenced(record) }
        case .mark(let reason):
            return settled(try await writer.mark(object, reason)) { journal.marked(record, reason) }
        case .unmark:
            return settled(try await writer.mark(object, nil)) { journal.unmarked(record) }
        case .release(let reason):
            let since = trackers.withLock { $0[record.name]?.candidacy?.since }
            return settled(try await writer.release(object)) {
                journal.released(record, reason, after: since.map { writer.client.clock.now() - $0 } ?? .zero)
            }
        }
    }

    private func agentLease(node: String) -> String? {
        view.agentSilence(node: node).map { _ in "\(settings.agentNamespace)/\(node)" }
    }

    private func reason(of record: AllocationRecord) -> ReclaimReason {
        trackers.withLock { $0[record.name]?.candidacy?.reason } ?? .podDeleted
    }

    private func settled(_ outcome: WriteOutcome, _ tell: () -> Void) -> Requeue {
        switch outcome {
        case .done:
            tell()
            return .whenChanged
        // The stores will tell what has changed; should they not, it is looked at again.
        case .overtaken: return .after(settings.reclaim.gracePeriod)
        }
    }

    private func prove(_ object: StoredObject<AllocationRecord>) async throws -> Requeue {
        let now = writer.client.clock.now()
        let waiting = trackers.withLock(\.count)
        if let turn = turns.withLock({ $0.take(now: now, waiting: waiting) }) { return .after(turn - now) }
        let record = object.value
        let deadline = try writer.deadline()
        async let pod = readPod(record, deadline)
        async let node = readNode(record, deadline)
        async let agent = readAgent(record, deadline)
        let facts = view.facts(
            about: record, pod: try await pod, node: try await node, agent: try await agent)
        let action = track(record.name) { tracker, now in
            tracker.proved(record, facts, settings: settings.reclaim, now: now)
        }
        return try await carryOut(action, object)
    }

    private func readPod(_ record: AllocationRecord, _ deadline: Moment) async throws -> PodFact {
        guard let pod = record.pod else { return .absent }
        let json = try await writer.client.read(.pods, namespace: pod.namespace, name: pod.name, deadline: deadline)
        return try json.map { try PodFact($0) } ?? .absent
    }

    private func readNode(_ record: AllocationRecord, _ deadline: Moment) async throws -> NodeFact {
        guard let json = try await writer.client.read(.nodes, name: record.node, deadline: deadline) else {
            return .absent
        }
        return NodeFact(NodeMark(json), uid: json["metadata"]?["uid"]?.string ?? "")
    }

    private func readAgent(
        _ record: AllocationRecord, _ deadline: Moment
    ) async throws -> StoredObject<AgentMark>? {
        let json = try await writer.client.read(
            .leases, namespace: settings.agentNamespace, name: record.node, deadline: deadline)
        guard let json else { return nil }
        let metadata = try ObjectMetadata(try JSONFields(json))
        return StoredObject(uid: metadata.uid, resourceVersion: metadata.resourceVersion, value: AgentMark(json))
    }
}

/// Keeps the rate of proofs. Who must wait is given a moment of their own: thousands that came again at the same one would
/// do nothing but wait in turn.
package struct ProofTurns: Sendable {
    private let interval: Duration
    private var bucket: TokenBucket
    private var last = Moment(nanoseconds: 0)

    package init(_ rate: RateLimit) {
        interval = .seconds(1) / rate.perSecond
        bucket = TokenBucket(rate)
    }

    /// Nil when a proof may be made now, otherwise when to ask again.
    ///
    /// - Parameter waiting: How many may be waiting at most: moments that were given to some who did not come are given
    ///   again.
    package mutating func take(now: Moment, waiting: Int) -> Moment? {
        guard let free = bucket.take(now: now) else { return nil }
        last = max(last + interval, free)
        if last > free + interval * max(waiting, 1) { last = free }
        return last
    }
}
