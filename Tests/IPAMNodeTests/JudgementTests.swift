import IPAMAPI
import IPAMEngine
import IPAMLedger
import IPAMNode
import KubernetesCore
import Testing

private func at(_ seconds: Int) -> Moment { Moment(nanoseconds: 0) + .seconds(1000 + seconds) }

private let pod = PodReference(namespace: "shop", name: "web-0", uid: "u1")

@Suite("What follows from the facts about a sandbox")
struct SandboxVerdictTests {
    private static func present(_ namespace: NamespaceFact, isOfThisBoot: Bool = true) -> SandboxFacts.Entry {
        .present(isOfThisBoot: isOfThisBoot, namespace: namespace, since: at(0))
    }

    private static func facts(
        _ entry: SandboxFacts.Entry, whole: Bool = true, origin: AllocationOrigin = .pod, _ fact: PodFact? = .absent
    ) -> SandboxFacts {
        SandboxFacts(entry: entry, isJournalWhole: whole, origin: origin, pod: pod, podFact: fact)
    }

    @Test(arguments: [
        // The namespace decides, whatever the API server says of the pod.
        (facts(present(.there), .absent), SandboxVerdict.alive),
        (facts(present(.there), .present(uid: "u1")), .alive),
        (facts(present(.gone), .present(uid: "u1")), .dead(.sandboxGone)),
        (facts(present(.other), .present(uid: "u1")), .dead(.sandboxReplaced)),
        (facts(present(.gone), nil), .dead(.sandboxGone)),
        (facts(present(.gone), origin: .static, .absent), .dead(.sandboxGone)),
        (facts(present(.gone), origin: .container, nil), .dead(.sandboxGone)),
        // What cannot be examined is not dead.
        (facts(present(.unknown("permission denied")), .absent), .unknown),
        (facts(.torn, .absent), .unknown),
        // A boot ends every sandbox.
        (facts(present(.there, isOfThisBoot: false), .present(uid: "u1")), .dead(.nodeRebooted)),
        (facts(present(.unknown("?"), isOfThisBoot: false), nil), .dead(.nodeRebooted)),
        (facts(present(.notRecorded, isOfThisBoot: false), origin: .static, nil), .dead(.nodeRebooted)),
        // Where none was recorded, the pod decides.
        (facts(present(.notRecorded), .present(uid: "u1")), .alive),
        (facts(present(.notRecorded), .present(uid: "other", configHash: "u1")), .alive),
        (facts(present(.notRecorded), .absent), .dead(.podGone)),
        (facts(present(.notRecorded), .present(uid: "u2")), .dead(.podGone)),
        (facts(present(.notRecorded), .finished(uid: "u1")), .dead(.podGone)),
        (facts(present(.notRecorded), nil), .unknown),
        // So it does where the recorded one may be there unseen.
        (facts(present(.obscured), .present(uid: "u1")), .alive),
        (facts(present(.obscured), .absent), .dead(.podGone)),
        (facts(present(.obscured), nil), .unknown),
        (facts(present(.obscured), origin: .static, .absent), .unknown),
        (facts(present(.obscured, isOfThisBoot: false), .present(uid: "u1")), .dead(.nodeRebooted)),
        // But not for what no pod of the API server stands for.
        (facts(present(.notRecorded), origin: .static, .absent), .unknown),
        (facts(present(.notRecorded), origin: .container, .absent), .unknown),
        // Without an entry the same, as long as the journal can be believed.
        (facts(.absent, .present(uid: "u1")), .alive),
        (facts(.absent, .absent), .dead(.podGone)),
        (facts(.absent, nil), .unknown),
        (facts(.absent, whole: false, .absent), .unknown),
        (facts(.absent, origin: .static, .absent), .unknown),
        (facts(.absent, origin: .container, .absent), .unknown),
    ])
    func `each case has one verdict`(facts: SandboxFacts, verdict: SandboxVerdict) {
        #expect(SandboxVerdict(facts) == verdict)
    }

    @Test func `a container without a pod is never freed for want of an entry`() {
        var facts = Self.facts(.absent, .absent)
        facts.pod = nil
        #expect(SandboxVerdict(facts) == .unknown)
    }
}

@Suite("When a dead sandbox is released")
struct DeathTrackerTests {
    private let settings = JudgementSettings()
    private let subject = DeathTracker.Subject(bootID: "b", since: at(-600), podUID: "u1")

    private func look(
        _ tracker: inout DeathTracker, _ second: Int, _ verdict: SandboxVerdict, _ process: ProcessFact = .none,
        subject other: DeathTracker.Subject? = nil
    ) -> DeathTracker.Action {
        tracker.observe(
            verdict, sawNamespace: verdict == .alive, process: process, subject: other ?? subject, settings: settings,
            now: at(second))
    }

    @Test(arguments: [DeathCause.nodeRebooted, .sandboxGone, .sandboxReplaced])
    func `two looks with the confirmation time in between ask for the proof`(cause: DeathCause) {
        var tracker = DeathTracker()
        #expect(look(&tracker, 0, .dead(cause)) == .wait(until: at(5)))
        #expect(look(&tracker, 4, .dead(cause)) == .wait(until: at(5)))
        #expect(look(&tracker, 5, .dead(cause)) == .prove(cause))
        // Until the proof was given.
        #expect(look(&tracker, 6, .dead(cause)) == .prove(cause))
    }

    @Test func `where only the pod speaks, the grace period must pass`() {
        var tracker = DeathTracker()
        #expect(look(&tracker, 0, .dead(.podGone)) == .wait(until: at(30)))
        #expect(look(&tracker, 29, .dead(.podGone)) == .wait(until: at(30)))
        #expect(look(&tracker, 30, .dead(.podGone)) == .prove(.podGone))
    }

    @Test(arguments: [SandboxVerdict.alive, .unknown])
    func `a look that finds otherwise begins anew`(verdict: SandboxVerdict) {
        var tracker = DeathTracker()
        _ = look(&tracker, 0, .dead(.sandboxGone))
        #expect(look(&tracker, 4, verdict) == .nothing)
        #expect(look(&tracker, 6, .dead(.sandboxGone)) == .wait(until: at(11)))
    }

    @Test(arguments: [ProcessFact.some, .unknown("permission denied")])
    func `nothing is dead while a process names the container, or while that is not known`(process: ProcessFact) {
        for cause in DeathCause.allCases {
            var tracker = DeathTracker()
            for second in 0..<200 { #expect(look(&tracker, second, .dead(cause), process) == .nothing) }
            #expect(!tracker.isSuspected)
        }
    }

    @Test func `another life of the attachment is judged by itself`() {
        var tracker = DeathTracker()
        _ = look(&tracker, 0, .dead(.sandboxGone))
        let next = DeathTracker.Subject(bootID: "b", since: at(-500), podUID: "u1")
        #expect(look(&tracker, 5, .dead(.sandboxGone), subject: next) == .wait(until: at(10)))
    }

    @Test func `another cause begins anew`() {
        var tracker = DeathTracker()
        _ = look(&tracker, 0, .dead(.sandboxGone))
        #expect(look(&tracker, 5, .dead(.sandboxReplaced)) == .wait(until: at(10)))
    }

    @Test func `a namespace that was never seen, of an ADD that has just begun, is given time`() {
        let young = DeathTracker.Subject(bootID: "b", since: at(-1), podUID: "u1")
        var tracker = DeathTracker()
        #expect(look(&tracker, 0, .dead(.sandboxGone), subject: young) == .wait(until: at(59)))
        #expect(look(&tracker, 58, .dead(.sandboxGone), subject: young) == .wait(until: at(59)))
        #expect(look(&tracker, 59, .dead(.sandboxGone), subject: young) == .prove(.sandboxGone))
    }

    @Test func `one that was seen is not`() {
        let young = DeathTracker.Subject(bootID: "b", since: at(-1), podUID: "u1")
        var tracker = DeathTracker()
        _ = look(&tracker, 0, .alive, subject: young)
        #expect(look(&tracker, 1, .dead(.sandboxGone), subject: young) == .wait(until: at(6)))
        #expect(look(&tracker, 6, .dead(.sandboxGone), subject: young) == .prove(.sandboxGone))
    }

    @Test func `an ADD of which nobody knows when it began is old`() {
        let rebuilt = DeathTracker.Subject(bootID: "b", since: Moment(nanoseconds: .min), podUID: "u1")
        var tracker = DeathTracker()
        #expect(look(&tracker, 0, .dead(.sandboxGone), subject: rebuilt) == .wait(until: at(5)))
    }
}

@Suite("When the ledger is asked about an address in use")
struct LossTrackerTests {
    private let settings = JudgementSettings()
    private let dead = Attachment(networkName: "net", containerID: "dead", interface: "eth0")

    @Test func `what the watch misses is asked about after a moment`() {
        var tracker = LossTracker()
        #expect(tracker.observe(isMissing: true, settings: settings, now: at(0)) == .wait(until: at(1)))
        #expect(tracker.observe(isMissing: true, settings: settings, now: at(1)) == .ask(taking: nil))
    }

    @Test func `a watch that lagged asks nothing`() {
        var tracker = LossTracker()
        _ = tracker.observe(isMissing: true, settings: settings, now: at(0))
        #expect(tracker.observe(isMissing: false, settings: settings, now: at(1)) == .nothing)
        #expect(tracker.observe(isMissing: true, settings: settings, now: at(2)) == .wait(until: at(3)))
    }

    @Test func `from a dead holder it is taken only after it was found dead twice`() {
        var tracker = LossTracker()
        _ = tracker.observe(isMissing: true, settings: settings, now: at(0))
        _ = tracker.observe(isMissing: true, settings: settings, now: at(1))
        #expect(tracker.learned(.heldByDead(dead), now: at(1)) == false)
        #expect(tracker.observe(isMissing: true, settings: settings, now: at(5)) == .wait(until: at(6)))
        #expect(tracker.observe(isMissing: true, settings: settings, now: at(6)) == .ask(taking: dead))
    }

    @Test func `another dead holder is another one`() {
        var tracker = LossTracker()
        _ = tracker.learned(.heldByDead(dead), now: at(0))
        let other = Attachment(networkName: "net", containerID: "other", interface: "eth0")
        _ = tracker.learned(.heldByDead(other), now: at(5))
        #expect(tracker.observe(isMissing: true, settings: settings, now: at(6)) == .wait(until: at(10)))
    }

    @Test func `a conflict is told once for each holder, and looked at again`() {
        var tracker = LossTracker()
        #expect(tracker.learned(.conflict(with: "a"), now: at(0)) == true)
        #expect(tracker.conflict == "a")
        #expect(tracker.observe(isMissing: true, settings: settings, now: at(29)) == .wait(until: at(30)))
        #expect(tracker.observe(isMissing: true, settings: settings, now: at(30)) == .ask(taking: nil))
        #expect(tracker.learned(.conflict(with: "a"), now: at(30)) == false)
        #expect(tracker.learned(.conflict(with: "b"), now: at(60)) == true)
        #expect(tracker.observe(isMissing: false, settings: settings, now: at(61)) == .nothing)
        #expect(tracker.conflict == nil)
    }
}
