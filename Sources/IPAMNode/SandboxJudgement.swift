package import IPAMAPI
package import IPAMEngine
package import KubernetesCore

/// Why a sandbox is held to be dead. The raw values are reasons of Events and labels of metrics.
package enum DeathCause: String, Hashable, Sendable, CaseIterable {
    /// It was made before this boot.
    case nodeRebooted = "NodeRebooted"
    /// Its network namespace is gone.
    case sandboxGone = "SandboxGone"
    /// Another network namespace is at its path.
    case sandboxReplaced = "SandboxReplaced"
    /// Nothing is known of its network namespace, and its pod is gone.
    case podGone = "PodGone"

    /// Half a sentence.
    package var explanation: String {
        switch self {
        case .nodeRebooted: "the node was restarted since"
        case .sandboxGone: "its network namespace is gone"
        case .sandboxReplaced: "its network namespace is another one by now"
        case .podGone: "its pod is gone, and so are its processes"
        }
    }
}

/// What is known of one attachment of the node.
package struct SandboxFacts: Hashable, Sendable {
    package enum Entry: Hashable, Sendable {
        case absent
        case torn
        /// `since`: when its ADD began.
        case present(isOfThisBoot: Bool, namespace: NamespaceFact, since: Moment)
    }

    package var entry: Entry
    /// Whether an attachment without an entry can be taken for one of which this node knows nothing.
    package var isJournalWhole: Bool
    package var origin: AllocationOrigin
    package var pod: PodReference?
    /// What the API server says of the pod; nil where it cannot be said.
    package var podFact: PodFact?

    package init(
        entry: Entry, isJournalWhole: Bool = true, origin: AllocationOrigin = .pod, pod: PodReference? = nil,
        podFact: PodFact? = nil
    ) {
        self.entry = entry
        self.isJournalWhole = isJournalWhole
        self.origin = origin
        self.pod = pod
        self.podFact = podFact
    }
}

/// What follows from the facts, but for the processes, which speak against a death.
package enum SandboxVerdict: Hashable, Sendable {
    case alive
    /// Nothing can be said, and so nothing is done.
    case unknown
    case dead(DeathCause)

    /// A network namespace that is there is alive, whatever the API server says of its pod. One that is gone is dead,
    /// also while its pod lives: the pod has another sandbox by now, or will have. A boot ends every sandbox. Where no
    /// namespace was recorded, or the one that was may be there unseen, the pod decides, and what no pod of the API
    /// server stands for is never freed.
    package init(_ facts: SandboxFacts) {
        self =
            switch facts.entry {
            case .torn: .unknown
            case .present(isOfThisBoot: false, _, _): .dead(.nodeRebooted)
            case .present(_, .there, _): .alive
            case .present(_, .gone, _): .dead(.sandboxGone)
            case .present(_, .other, _): .dead(.sandboxReplaced)
            case .present(_, .unknown, _): .unknown
            case .present(_, .notRecorded, _), .present(_, .obscured, _): Self.byPod(facts)
            case .absent: facts.isJournalWhole ? Self.byPod(facts) : .unknown
            }
    }

    private static func byPod(_ facts: SandboxFacts) -> SandboxVerdict {
        guard facts.origin == .pod, let pod = facts.pod, let fact = facts.podFact else { return .unknown }
        switch fact {
        case .absent: return .dead(.podGone)
        case .present(let uid, let configHash):
            return pod.uid == uid || pod.uid == configHash ? .alive : .dead(.podGone)
        case .finished: return .dead(.podGone)
        }
    }
}

package struct JudgementSettings: Hashable, Sendable {
    /// Between the two looks that a death takes.
    package var confirmation: Duration = .seconds(5)
    /// How long a pod must be gone where nothing else is known of its sandbox.
    package var gracePeriod: Duration = .seconds(30)
    /// How old an ADD must be before the namespace that it named, and that this agent never saw, can be gone.
    package var minimumAge: Duration = .seconds(60)
    /// Folders of the host in which the agent is known to see what a runtime mounts. It learns others by seeing.
    package var visibleFolders: Set<String> = ["/proc"]
    /// How long the watch of the ledger may lag.
    package var watchLag: Duration = .seconds(1)

    package init() {}
}

/// When one attachment is to be released, as a state machine without I/O.
///
/// - Flow: a look that finds the sandbox dead makes it suspected. A look that finds so again, when the confirmation time
///   has passed (the grace period, where only the pod speaks), asks for the proof: one more look, under the lock.
/// - Guarantees: nothing is asked for after one look alone, nor while a process names the container, nor while anything
///   is unknown. A look that finds otherwise begins anew, and so does another ADD of the same attachment.
/// - Assumptions: one tracker for an attachment, asked by one caller at a time.
/// - Caveats: times are counted from when this tracker saw the facts, so a restart of the agent begins them anew.
package struct DeathTracker: Hashable, Sendable {
    /// Which life of the attachment the suspicion is about.
    package struct Subject: Hashable, Sendable {
        /// Of the entry; nil without one.
        package var bootID: String?
        package var since: Moment?
        package var podUID: String?

        package init(bootID: String? = nil, since: Moment? = nil, podUID: String? = nil) {
            self.bootID = bootID
            self.since = since
            self.podUID = podUID
        }
    }

    package enum Action: Hashable, Sendable {
        case nothing
        /// Look again at that moment.
        case wait(until: Moment)
        /// Look once more, under the attachment's lock, and release what it holds if nothing has changed.
        case prove(DeathCause)
    }

    private struct Suspicion: Hashable {
        var cause: DeathCause
        var since: Moment
        var subject: Subject
    }

    private var suspicion: Suspicion?
    /// The life of which this agent has seen the namespace.
    private var seenAlive: Subject?

    package init() {}

    package var isSuspected: Bool { suspicion != nil }

    /// Whether this agent has seen the namespace of that life of the attachment.
    package func hasSeen(_ subject: Subject) -> Bool { seenAlive == subject }

    /// Takes in one look.
    ///
    /// - Parameters:
    ///   - sawNamespace: Whether its network namespace was seen at its path.
    ///   - process: Is asked for only where the sandbox seems to be dead.
    package mutating func observe(
        _ verdict: SandboxVerdict, sawNamespace: Bool, process: ProcessFact, subject: Subject,
        settings: JudgementSettings, now: Moment
    ) -> Action {
        if sawNamespace { seenAlive = subject }
        guard case .dead(let cause) = verdict, process == .none else {
            suspicion = nil
            return .nothing
        }
        if suspicion?.subject != subject || suspicion?.cause != cause {
            suspicion = Suspicion(cause: cause, since: now, subject: subject)
        }
        let since = suspicion?.since ?? now
        let due = max(since + settings.confirmation, earliest(cause, subject, since: since, settings))
        return now >= due ? .prove(cause) : .wait(until: due)
    }

    private func earliest(
        _ cause: DeathCause, _ subject: Subject, since: Moment, _ settings: JudgementSettings
    ) -> Moment {
        switch cause {
        case .nodeRebooted: since
        case .podGone: since + settings.gracePeriod
        case .sandboxGone, .sandboxReplaced:
            // The mount of a runtime may be hidden from the agent; one that it has seen is not.
            if seenAlive == subject { since } else { (subject.since ?? since) + settings.minimumAge }
        }
    }
}
