import IPAMAPI
import IPAMEngine
import IPAMLedger
import KubernetesClient
import KubernetesCore
import KubernetesRuntime
import Logging

/// What the agent's stores said when a pass began.
struct NodeSnapshot: Sendable {
    /// Those of this node and machine, by the attachment that holds them.
    var held: [Attachment: [IPAllocation]] = [:]
    /// All of the node's label, by their names; nil for those that cannot be read.
    var allocations: [String: IPAllocation?] = [:]
    var pods: [ObjectKey: PodFact] = [:]
    /// Those whose state is not known.
    var unreadablePods: Set<ObjectKey> = []

    func fact(_ pod: PodReference) -> PodFact? {
        let key = ObjectKey(namespace: pod.namespace, name: pod.name)
        return unreadablePods.contains(key) ? nil : pods[key] ?? .absent
    }
}

/// How a pass ended.
struct PassSummary: Sendable {
    /// Why the agent cannot judge; nil when it can.
    var problem: String?
    var alive = 0
    var dead = 0
    var unknown = 0
    var suspected = 0
    var conflicts = 0
    var owedReleases = 0
    /// When to look again, when nothing changes before.
    var next: Moment?

    mutating func wake(at moment: Moment) { next = min(next ?? moment, moment) }
}

/// One look at all sandboxes of the node, and what follows from it.
///
/// - Flow: make the journal whole, make the releases that are owed, hold the journal's entries and the ledger's
///   allocations against the sandboxes, release what dead ones hold, and ask the ledger about what live ones lack.
/// - Guarantees: those of ``DeathTracker``, ``LossTracker``, `Ledger.reclaim` and `Ledger.restore`: everything that is
///   decided here is judged once more under the attachment's lock, from what is there then.
/// - Assumptions: one pass at a time, on one thread.
/// - Caveats: a pass that runs out of time leaves the rest to the next one.
/// - Errors: an attachment that could not be dealt with is reported and comes again; the others are not touched.
struct SandboxPass {
    /// For all that a pass does.
    static let duration: Duration = .seconds(15)
    /// Under the lock of one attachment: less than a DEL waits for it.
    static let patience: Duration = .seconds(2)
    /// How old what was seen of the processes may be when it decides.
    static let processMemory: Duration = .seconds(2)
    /// The most releases that earlier calls could not make, in one pass.
    static let debts = 64

    let node: String
    let machineID: String
    let settings: JudgementSettings
    let probe: SandboxProbe
    let reports: NodeReports
    var ledger: Ledger
    private var deaths: [String: DeathTracker] = [:]
    private var losses: [String: LossTracker] = [:]
    /// In which namespaces were seen.
    private var folders: Set<String>

    init(
        node: String, machineID: String, settings: JudgementSettings, probe: SandboxProbe, reports: NodeReports,
        ledger: Ledger
    ) {
        self.node = node
        self.machineID = machineID
        self.settings = settings
        self.probe = probe
        self.reports = reports
        self.ledger = ledger
        folders = settings.visibleFolders
    }

    /// One attachment of the node, from the journal or the ledger.
    private struct Candidate {
        let attachment: Attachment
        let lookup: Journal.Lookup
        let listed: [IPAllocation]
        let verdict: SandboxVerdict
        let sawNamespace: Bool
        let subject: DeathTracker.Subject
        let pod: PodReference?

        var digest: String { attachment.digest }
        var entry: JournalEntry? {
            if case .entry(let entry) = lookup { entry } else { nil }
        }

        /// What the control groups of its processes are called after. Where only the pod speaks, any process of the pod
        /// speaks against it: some runtimes keep none for the sandbox itself.
        func marks(_ cause: DeathCause) -> Set<String> {
            var marks: Set = [attachment.containerID]
            if cause == .podGone, let uid = pod?.uid, !uid.isEmpty {
                marks.insert(uid)
                // As systemd has it in the names of slices.
                marks.insert(String(uid.map { $0 == "-" ? "_" : $0 }))
            }
            return marks
        }
    }

    mutating func run(_ snapshot: NodeSnapshot) -> PassSummary {
        let start = ledger.transport.now()
        let deadline = start + Self.duration
        var summary = PassSummary()
        // Before the journal is touched: where the host cannot be seen, it may be another host's.
        if let problem = probe.problem() {
            summary.problem = "the sandboxes of the host cannot be seen: \(problem)"
            return summary
        }
        do throws(LedgerError) {
            try ledger.ensureWhole(deadline: start + Self.duration / 2)
        } catch {
            summary.problem = "the journal is not whole: \(error)"
            return summary
        }
        ledger.settleDebts(limit: Self.debts, deadline: min(deadline, ledger.transport.now() + Self.duration / 3))
        summary.owedReleases = ledger.journal.releasing().count
        let candidates: [Candidate]
        let census: NamespaceCensus
        do throws(JournalError) {
            let known = try known(snapshot)
            census = self.census(known)
            folders = census.folders
            candidates = known.map { candidate($0, census, snapshot) }
        } catch {
            summary.problem = "\(error)"
            return summary
        }
        releaseDead(candidates, census, deadline: deadline, &summary)
        restoreLost(candidates, snapshot, deadline: deadline, &summary)
        return summary
    }

    // MARK: Facts

    private struct Known {
        let attachment: Attachment
        let lookup: Journal.Lookup
        let listed: [IPAllocation]
    }

    private func known(_ snapshot: NodeSnapshot) throws(JournalError) -> [Known] {
        var known: [Known] = []
        var seen: Set<String> = []
        for digest in ledger.journal.digests() {
            let lookup = try ledger.journal.entry(for: digest)
            guard case .entry(let entry) = lookup else { continue }
            seen.insert(digest)
            known.append(
                Known(
                    attachment: entry.attachment, lookup: lookup, listed: snapshot.held[entry.attachment] ?? []))
        }
        for (attachment, listed) in snapshot.held where seen.insert(attachment.digest).inserted {
            // A torn entry was passed over above.
            let lookup = try ledger.journal.entry(for: attachment.digest)
            known.append(Known(attachment: attachment, lookup: lookup, listed: listed))
        }
        return known
    }

    private func census(_ known: [Known]) -> NamespaceCensus {
        NamespaceCensus(
            known.compactMap { known in
                guard case .entry(let entry) = known.lookup, let namespace = entry.netns,
                    entry.bootID == ledger.journal.bootID
                else { return nil }
                return (namespace, probe.examine(namespace))
            }, folders: folders, inhabited: probe.inhabitedNamespaces)
    }

    private func candidate(_ known: Known, _ census: NamespaceCensus, _ snapshot: NodeSnapshot) -> Candidate {
        let facts = facts(known.lookup, known.listed, census) { snapshot.fact($0) }
        var sawNamespace = false
        if case .present(isOfThisBoot: true, .there, _) = facts.entry { sawNamespace = true }
        return Candidate(
            attachment: known.attachment, lookup: known.lookup, listed: known.listed, verdict: SandboxVerdict(facts),
            sawNamespace: sawNamespace, subject: subject(known.lookup, facts.pod), pod: facts.pod)
    }

    private func subject(_ lookup: Journal.Lookup, _ pod: PodReference?) -> DeathTracker.Subject {
        var subject = DeathTracker.Subject(podUID: pod?.uid)
        if case .entry(let entry) = lookup { (subject.bootID, subject.since) = (entry.bootID, entry.since) }
        return subject
    }

    private func facts(
        _ lookup: Journal.Lookup, _ listed: [IPAllocation], _ census: NamespaceCensus,
        pod read: (PodReference) -> PodFact?
    ) -> SandboxFacts {
        var facts = SandboxFacts(entry: .absent, origin: listed.first?.spec.origin ?? .pod)
        facts.pod = listed.first?.spec.pod
        switch lookup {
        case .absent: break
        case .torn: facts.entry = .torn
        case .entry(let entry):
            facts.pod = entry.pod ?? facts.pod
            var namespace = probe.examine(entry.netns)
            if let recorded = entry.netns {
                let wasSeen = deaths[entry.attachment.digest]?.hasSeen(subject(lookup, facts.pod)) ?? false
                namespace = census.fact(recorded, namespace, wasSeen: wasSeen)
            }
            facts.entry = .present(
                isOfThisBoot: entry.bootID == ledger.journal.bootID, namespace: namespace, since: entry.since)
        }
        facts.podFact = facts.pod.flatMap(read)
        return facts
    }

    // MARK: The dead

    private mutating func releaseDead(
        _ candidates: [Candidate], _ census: NamespaceCensus, deadline: Moment, _ summary: inout PassSummary
    ) {
        var suspects: Set<String> = []
        for candidate in candidates {
            switch candidate.verdict {
            case .alive: summary.alive += 1
            case .unknown: summary.unknown += 1
            case .dead(let cause):
                summary.dead += 1
                suspects.formUnion(candidate.marks(cause))
            }
        }
        let processes = probe.processes(named: suspects)
        let seenAt = ledger.transport.now()
        var trackers: [String: DeathTracker] = [:]
        var proofs: [(Candidate, DeathCause)] = []
        for candidate in candidates {
            var tracker = deaths[candidate.digest] ?? DeathTracker()
            var process = ProcessFact.unknown("not looked for")
            if case .dead(let cause) = candidate.verdict {
                process = processes.fact(candidate.marks(cause))
                // Nothing could be freed, so the Lease must not say that this agent judges.
                if case .unknown(let problem) = process {
                    summary.problem = "the processes of the host cannot be seen: \(problem)"
                }
            }
            switch tracker.observe(
                candidate.verdict, sawNamespace: candidate.sawNamespace, process: process,
                subject: candidate.subject, settings: settings, now: seenAt)
            {
            case .nothing: break
            case .wait(let moment): summary.wake(at: moment)
            case .prove(let cause): proofs.append((candidate, cause))
            }
            if tracker.isSuspected { summary.suspected += 1 }
            trackers[candidate.digest] = tracker
        }
        deaths = trackers
        for (candidate, cause) in proofs {
            guard ledger.transport.now() < deadline else { return summary.wake(at: deadline) }
            prove(candidate, cause, census, processes: processes, seenAt: seenAt, deadline: deadline)
        }
    }

    private mutating func prove(
        _ candidate: Candidate, _ cause: DeathCause, _ census: NamespaceCensus, processes: [String: ProcessFact],
        seenAt: Moment, deadline: Moment
    ) {
        let attachment = candidate.attachment
        let limit = min(deadline, ledger.transport.now() + Self.patience)
        do throws(LedgerError) {
            let judge = self
            let outcome = try ledger.reclaim(attachment, listed: candidate.listed, deadline: limit) {
                found throws(LedgerError) in
                try judge.isStillDead(candidate, cause, found, census, processes, seenAt: seenAt, deadline: limit)
            }
            switch outcome {
            case .busy, .kept: deaths[candidate.digest] = nil
            case .released(let records):
                deaths[candidate.digest] = nil
                reports.released(records, of: attachment, candidate.pod, cause)
            case .owed(let count, let records):
                deaths[candidate.digest] = nil
                reports.released(records, of: attachment, candidate.pod, cause)
                reports.owed(count, of: attachment, cause)
            }
        } catch {
            reports.failed("a dead sandbox could not be dealt with", attachment, error)
        }
    }

    /// The same question once more, of what is there now. Where only the pod speaks, it is read at the API server.
    private func isStillDead(
        _ candidate: Candidate, _ cause: DeathCause, _ found: Journal.Lookup, _ census: NamespaceCensus,
        _ processes: [String: ProcessFact], seenAt: Moment, deadline: Moment
    ) throws(LedgerError) -> Bool {
        if case .entry(let entry) = found {
            guard entry.bootID == candidate.subject.bootID, entry.since == candidate.subject.since else { return false }
        } else if candidate.entry != nil {
            return false
        }
        var podFact: PodFact?
        if cause == .podGone, let pod = candidate.pod { podFact = try readPod(pod, deadline: deadline) }
        let isFresh = ledger.transport.now() - seenAt < Self.processMemory
        let census = isFresh ? census : census.with(probe.inhabitedNamespaces())
        let facts = facts(found, candidate.listed, census) { _ in podFact }
        guard SandboxVerdict(facts) == .dead(cause) else { return false }
        let marks = candidate.marks(cause)
        return (isFresh ? processes : probe.processes(named: marks)).fact(marks) == .none
    }

    private func readPod(_ pod: PodReference, deadline: Moment) throws(LedgerError) -> PodFact {
        do {
            let json = try Client(ledger.transport).get(
                .pods, namespace: pod.namespace, name: pod.name, deadline: deadline)
            return try PodFact(json)
        } catch let error as APIError {
            if error.isNotFound { return .absent }
            throw .api(error, attempts: 1)
        } catch {
            throw .malformed(name: "pod \(pod.namespace)/\(pod.name)", problem: "\(error)")
        }
    }

    // MARK: The lost

    private mutating func restoreLost(
        _ candidates: [Candidate], _ snapshot: NodeSnapshot, deadline: Moment, _ summary: inout PassSummary
    ) {
        var trackers: [String: LossTracker] = [:]
        for candidate in candidates {
            guard candidate.verdict == .alive, let entry = candidate.entry, entry.phase == .bound,
                !ledger.journal.isReleasing(candidate.digest)
            else { continue }
            for record in entry.held {
                let key = "\(candidate.digest)/\(record.name)"
                var tracker = losses[key] ?? LossTracker()
                let isMissing = isMissing(record, of: entry, snapshot)
                switch tracker.observe(isMissing: isMissing, settings: settings, now: ledger.transport.now()) {
                case .nothing: break
                case .wait(let moment): summary.wake(at: moment)
                case .ask(let holder):
                    if ledger.transport.now() < deadline {
                        ask(&tracker, record, entry, taking: holder, deadline: deadline)
                    }
                    summary.wake(at: ledger.transport.now() + settings.watchLag)
                }
                if tracker.conflict != nil { summary.conflicts += 1 }
                trackers[key] = tracker
            }
        }
        losses = trackers
    }

    private func isMissing(_ record: JournalEntry.Record, of entry: JournalEntry, _ snapshot: NodeSnapshot) -> Bool {
        guard let found = snapshot.allocations[record.name] else { return true }
        // One that cannot be read is there, and not ours to judge.
        guard let allocation = found else { return false }
        let spec = allocation.spec
        return spec.attachment != entry.attachment || spec.node != node || spec.machineID != machineID
            || spec.state == .cooling || allocation.metadata.isBeingDeleted
    }

    private mutating func ask(
        _ tracker: inout LossTracker, _ record: JournalEntry.Record, _ entry: JournalEntry, taking holder: Attachment?,
        deadline: Moment
    ) {
        let attachment = entry.attachment
        let witness = Witness(probe: probe, journal: ledger.journal)
        do throws(LedgerError) {
            let finding = try ledger.restore(
                attachment, name: record.name, taking: holder, witness: witness,
                deadline: min(deadline, ledger.transport.now() + Self.patience))
            let isNewConflict = tracker.learned(finding, now: ledger.transport.now())
            if finding == .restored { reports.restored(record, of: attachment, entry.pod) }
            if isNewConflict, case .conflict(let other) = finding {
                reports.conflict(record, of: attachment, entry.pod, with: other)
            }
        } catch {
            reports.failed("the ledger could not be asked about an address in use", attachment, error)
        }
    }

    /// Sees sandboxes for the ledger.
    private struct Witness: SandboxWitness {
        let probe: SandboxProbe
        let journal: Journal

        func isAlive(_ entry: JournalEntry) -> Bool { probe.examine(entry.netns) == .there }

        /// While the journal is whole, one without an entry holds nothing on this node.
        func isDead(_ attachment: Attachment, _ found: Journal.Lookup) -> Bool {
            switch found {
            case .torn: return false
            case .absent: if (try? journal.isWhole()) != true { return false }
            case .entry(let entry):
                if entry.bootID == journal.bootID {
                    switch probe.examine(entry.netns) {
                    case .gone, .other: break
                    case .there, .notRecorded, .obscured, .unknown: return false
                    }
                    guard case .inodes(let inhabited) = probe.inhabitedNamespaces(), let namespace = entry.netns,
                        !inhabited.contains(namespace.inode)
                    else { return false }
                }
            }
            return probe.processes(named: [attachment.containerID]).fact([attachment.containerID]) == .none
        }
    }
}
