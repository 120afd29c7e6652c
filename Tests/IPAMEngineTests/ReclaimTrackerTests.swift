import IPAMAPI
import KubernetesCore
import Testing

@testable import IPAMEngine

/// A node that reports, unless something else is said.
func node(
    _ uid: String = "node-uid", machine: String = "m1", ready: Bool = true, outOfService: Bool = false
) -> NodeFact {
    .present(uid: uid, machineID: machine, isReady: ready, isOutOfService: outOfService)
}

let alive = PodFact.present(uid: "pod-uid")

/// The named scenarios, step by step. The grace period is 30 s.
@Suite struct ReclaimTrackerTests {
    /// One allocation, its tracker and a clock.
    struct Run {
        var record: AllocationRecord
        var tracker = ReclaimTracker()
        var settings = ReclaimSettings()
        var now = Moment.seconds(1000)
        var agent = AgentFact.none
        var knownNodeUID: String?

        init(_ record: AllocationRecord) { self.record = record }

        mutating func observe(_ pod: PodFact, _ node: NodeFact, after seconds: Int = 0) -> ReclaimAction {
            now = now + .seconds(seconds)
            return tracker.observe(record, facts(pod, node), settings: settings, now: now)
        }

        mutating func proved(_ pod: PodFact, _ node: NodeFact, after seconds: Int = 0) -> ReclaimAction {
            now = now + .seconds(seconds)
            return tracker.proved(record, facts(pod, node), settings: settings, now: now)
        }

        /// What the proof brings that is asked for when the grace period is over.
        mutating func judge(_ pod: PodFact, _ node: NodeFact) -> ReclaimAction {
            let deadline = now + settings.gracePeriod
            let first = observe(pod, node)
            if first == .wait(until: deadline) {
                guard case .prove = observe(pod, node, after: 30) else { return .nothing }
            } else if case .prove = first {
                // The grace period is over already.
            } else {
                return first
            }
            return proved(pod, node)
        }

        private func facts(_ pod: PodFact, _ node: NodeFact) -> ReclaimFacts {
            ReclaimFacts(pod: pod, node: node, agent: agent, knownNodeUID: knownNodeUID)
        }
    }

    // MARK: Pods

    @Test(
        arguments: [
            (.absent, .podDeleted), (.present(uid: "other"), .podReplaced), (.finished(uid: "pod-uid"), .podFinished),
            (.finished(uid: "other"), .podReplaced),
            (.present(uid: "other", configHash: "another"), .podReplaced),
        ] as [(PodFact, ReclaimReason)])
    func `an address of a pod that is gone is released after the grace period and a proof`(
        pod: PodFact, reason: ReclaimReason
    ) throws {
        var run = Run(try record("10.0.0.1"))
        #expect(run.observe(pod, node()) == .wait(until: .seconds(1030)))
        #expect(run.observe(pod, node(), after: 29) == .wait(until: .seconds(1030)))
        #expect(run.observe(pod, node(), after: 1) == .prove(reason))
        #expect(run.proved(pod, node()) == .release(reason))
    }

    @Test(arguments: [alive, .present(uid: "mirror-uid", configHash: "pod-uid")])
    func `a live pod keeps its address, whatever its node does`(pod: PodFact) throws {
        for fact in [node(), node(ready: false), node(machine: "m2"), node(outOfService: true), .absent] {
            var run = Run(try record("10.0.0.1"))
            #expect(run.observe(pod, fact) == .nothing)
            #expect(run.tracker.isIdle)
        }
    }

    @Test func `a pod that appears again within the grace period is not suspected any more`() throws {
        var run = Run(try record("10.0.0.1"))
        #expect(run.observe(.absent, node()) == .wait(until: .seconds(1030)))
        #expect(run.observe(alive, node(), after: 20) == .nothing)
        #expect(run.observe(.absent, node(), after: 20) == .wait(until: .seconds(1070)))
    }

    @Test func `a proof that finds the pod keeps the address, and the matter is looked at again later`() throws {
        var run = Run(try record("10.0.0.1"))
        _ = run.observe(.absent, node())
        #expect(run.observe(.absent, node(), after: 30) == .prove(.podDeleted))
        #expect(run.proved(alive, node(), after: 1) == .wait(until: .seconds(1061)))
        #expect(run.tracker.isIdle)
        #expect(run.observe(.absent, node(), after: 30) == .wait(until: .seconds(1091)))
    }

    @Test func `a proof that failed, or a write after it, is asked for again`() throws {
        var run = Run(try record("10.0.0.1"))
        _ = run.observe(.absent, node())
        #expect(run.observe(.absent, node(), after: 30) == .prove(.podDeleted))
        #expect(run.observe(.absent, node(), after: 1) == .prove(.podDeleted))
        #expect(run.proved(.absent, node()) == .release(.podDeleted))
        #expect(run.observe(.absent, node(), after: 1) == .prove(.podDeleted))
    }

    @Test func `a proof that was not asked for is not taken`() throws {
        var run = Run(try record("10.0.0.1"))
        #expect(run.proved(.absent, node()) == .nothing)
        _ = run.observe(.absent, node())
        #expect(run.proved(.absent, node(), after: 60) == .nothing)
        _ = run.observe(.absent, node())
        _ = run.observe(alive, node())
        #expect(run.proved(.absent, node()) == .nothing)
    }

    @Test func `an address that somebody else took over has a grace period of its own`() throws {
        var run = Run(try record("10.0.0.1"))
        _ = run.observe(.absent, node())
        #expect(run.observe(.absent, node(), after: 30) == .prove(.podDeleted))
        run.record = run.record.with { $0.pod?.uid = "next" }
        #expect(run.proved(.absent, node()) == .nothing)
        #expect(run.observe(.absent, node(), after: 1) == .wait(until: .seconds(1061)))
    }

    @Test(arguments: [AllocationState.cooling, .held])
    func `what no attachment holds is not reclaimed`(state: AllocationState) throws {
        var run = Run(try record("10.0.0.1", state: state))
        #expect(run.judge(.absent, .absent) == .nothing)
    }

    @Test func `what is being deleted, entered by hand, or of no known node is not reclaimed`() throws {
        for record in [
            try record("10.0.0.1", deleted: true), try record("10.0.0.1", origin: .manual),
            try record("10.0.0.1", node: ""),
        ] {
            for fact in [node(), node(ready: false), node(outOfService: true), .absent] {
                var run = Run(record)
                run.settings.nodeLostTimeout = .seconds(1)
                #expect(run.judge(.absent, fact) == .nothing)
            }
        }
    }

    // MARK: Nodes

    @Test func `while its node does not report, the address of a gone pod is fenced, not freed`() throws {
        var run = Run(try record("10.0.0.1"))
        #expect(run.judge(.absent, node(ready: false)) == .fence(nodeUID: "node-uid"))
        run.record = run.record.with {
            $0.state = .fenced
            $0.fencedNodeUID = "node-uid"
        }
        #expect(run.observe(.absent, node(ready: false)) == .nothing)
        #expect(run.observe(.absent, node(ready: false), after: 1_000_000) == .nothing)

        // It is back: the grace period starts anew.
        let back = run.now
        #expect(run.observe(.absent, node()) == .wait(until: back + .seconds(30)))
        #expect(run.observe(.absent, node(), after: 30) == .prove(.podDeleted))
        #expect(run.proved(.absent, node()) == .release(.podDeleted))
    }

    @Test func `a node that is silent when it is asked has its allocation fenced after another grace period`() throws {
        var run = Run(try record("10.0.0.1"))
        _ = run.observe(.absent, node())
        #expect(run.observe(.absent, node(), after: 30) == .prove(.podDeleted))
        #expect(run.proved(.absent, node(ready: false)) == .wait(until: .seconds(1060)))
        #expect(run.observe(.absent, node(ready: false), after: 30) == .prove(.podDeleted))
        #expect(run.proved(.absent, node(ready: false)) == .fence(nodeUID: "node-uid"))
    }

    @Test func `a fenced allocation whose pod is alive is bound again when its node is back`() throws {
        var run = Run(try record("10.0.0.1", state: .fenced, fenced: "node-uid"))
        #expect(run.observe(alive, node(ready: false)) == .nothing)
        #expect(run.observe(alive, .absent) == .nothing)
        #expect(run.observe(alive, node()) == .unfence)
    }

    @Test func `a proof that finds the pod of a fenced allocation alive binds it again`() throws {
        var run = Run(try record("10.0.0.1", state: .fenced, fenced: "node-uid"))
        _ = run.observe(.absent, node())
        #expect(run.observe(.absent, node(), after: 30) == .prove(.podDeleted))
        #expect(run.proved(alive, node()) == .unfence)
    }

    @Test func `with its node deleted the address of a gone pod is released`() throws {
        for state in [AllocationState.bound, .fenced] {
            var run = Run(try record("10.0.0.1", state: state, fenced: "node-uid"))
            #expect(run.judge(.absent, .absent) == .release(.nodeDeleted))
        }
    }

    @Test func `a node out of service releases what its gone pods held`() throws {
        var run = Run(try record("10.0.0.1", state: .fenced, fenced: "node-uid"))
        #expect(run.judge(.absent, node(ready: false, outOfService: true)) == .release(.nodeOutOfService))
    }

    @Test func `a node that does not report for longer than allowed is lost`() throws {
        var run = Run(try record("10.0.0.1"))
        run.settings.nodeLostTimeout = .seconds(300)
        #expect(run.judge(.absent, node(ready: false)) == .fence(nodeUID: "node-uid"))
        run.record = run.record.with {
            $0.state = .fenced
            $0.fencedNodeUID = "node-uid"
        }
        #expect(run.observe(.absent, node(ready: false)) == .wait(until: .seconds(1300)))
        #expect(run.observe(.absent, node(ready: false), after: 270) == .prove(.nodeLost))
        #expect(run.proved(.absent, node(ready: false)) == .release(.nodeLost))
    }

    @Test func `a node that came back in time is not lost`() throws {
        var run = Run(try record("10.0.0.1", state: .fenced, fenced: "node-uid"))
        run.settings.nodeLostTimeout = .seconds(300)
        #expect(run.observe(.absent, node(ready: false)) == .wait(until: .seconds(1300)))
        #expect(run.observe(.absent, node(), after: 299) == .wait(until: .seconds(1329)))
        #expect(run.observe(.absent, node(ready: false), after: 2) == .wait(until: .seconds(1601)))
    }

    // MARK: Machines

    @Test func `another machine under the same node does not speak for the first one`() throws {
        var run = Run(try record("10.0.0.1"))
        #expect(run.judge(.absent, node(machine: "m2")) == .fence(nodeUID: "node-uid"))
    }

    @Test func `another machine under another node means that the first node was deleted`() throws {
        var fenced = Run(try record("10.0.0.1", state: .fenced, fenced: "node-uid"))
        #expect(fenced.judge(.absent, node("next", machine: "m2")) == .release(.nodeDeleted))
        var remembered = Run(try record("10.0.0.1"))
        remembered.knownNodeUID = "node-uid"
        #expect(remembered.judge(.absent, node("next", machine: "m2", ready: false)) == .release(.nodeDeleted))
        // An annotation of an earlier holder says nothing.
        var stale = Run(try record("10.0.0.1", fenced: "node-uid"))
        #expect(stale.judge(.absent, node("next", machine: "m2")) == .fence(nodeUID: "next"))
    }

    @Test func `the same machine under another node still speaks for itself`() throws {
        var silent = Run(try record("10.0.0.1", state: .fenced, fenced: "node-uid"))
        #expect(silent.judge(.absent, node("next", ready: false)) == .nothing)
        var ready = Run(try record("10.0.0.1", state: .fenced, fenced: "node-uid"))
        #expect(ready.judge(.absent, node("next")) == .release(.podDeleted))
    }

    @Test func `without a machine ID the UID of the node is the machine`() throws {
        for (ours, theirs) in [("", "m1"), ("m1", ""), ("", "")] {
            var same = Run(try record("10.0.0.1", state: .fenced, machineID: ours, fenced: "node-uid"))
            #expect(same.judge(.absent, node(machine: theirs)) == .release(.podDeleted))
            var other = Run(try record("10.0.0.1", state: .fenced, machineID: ours, fenced: "node-uid"))
            #expect(other.judge(.absent, node("next", machine: theirs, ready: false)) == .release(.nodeDeleted))
        }
    }

    // MARK: Static pods and containers

    @Test(arguments: [AllocationOrigin.static, .container])
    func `what lives with its machine is freed only with it`(origin: AllocationOrigin) throws {
        let record = try record("10.0.0.1", origin: origin)
        for fact in [node(), node(ready: false), node(machine: "m2")] {
            var run = Run(record)
            #expect(run.judge(.absent, fact) == .nothing)
            #expect(run.tracker.isIdle)
        }
        var deleted = Run(record)
        #expect(deleted.judge(.absent, .absent) == .release(.nodeDeleted))
        var off = Run(record)
        #expect(
            off.judge(.present(uid: "other"), node(ready: false, outOfService: true)) == .release(.nodeOutOfService))
        var lost = Run(record)
        lost.settings.nodeLostTimeout = .seconds(300)
        #expect(lost.observe(.absent, node(ready: false)) == .wait(until: .seconds(1300)))
        #expect(lost.observe(.absent, node(ready: false), after: 300) == .prove(.nodeLost))
        #expect(lost.proved(.absent, node(ready: false)) == .release(.nodeLost))
    }

    @Test func `a mirror pod keeps a static pod's address also when its node is gone`() throws {
        var run = Run(try record("10.0.0.1", origin: .static))
        #expect(run.judge(.present(uid: "mirror", configHash: "pod-uid"), .absent) == .nothing)
        #expect(run.judge(.absent, .absent) == .release(.nodeDeleted))
    }

    @Test func `a fenced static pod is bound again when its node is back`() throws {
        var run = Run(try record("10.0.0.1", state: .fenced, origin: .static, fenced: "node-uid"))
        #expect(run.observe(.absent, node()) == .unfence)
    }

    @Test func `an allocation of origin Pod that names no pod lives with its machine`() throws {
        var run = Run(try record("10.0.0.1", pod: nil))
        #expect(run.judge(.absent, node()) == .nothing)
        #expect(run.judge(.absent, .absent) == .release(.nodeDeleted))
    }

    // MARK: The agent

    @Test func `where an agent reports, a candidate is marked for it, once`() throws {
        var run = Run(try record("10.0.0.1"))
        run.agent = .reports
        // The kubelet's word does not count beside the agent's.
        #expect(run.judge(.absent, node(ready: false)) == .mark(.podDeleted))
        run.record = run.record.with { $0.reclaimMark = "PodDeleted" }
        #expect(run.observe(.absent, node()) == .nothing)
        #expect(run.observe(.absent, node(), after: 1000) == .nothing)
        #expect(run.observe(alive, node()) == .unmark)
    }

    @Test func `where the agent is silent, a candidate is fenced, although the kubelet is ready`() throws {
        var run = Run(try record("10.0.0.1", mark: "PodDeleted"))
        run.agent = .silent
        #expect(run.judge(.absent, node()) == .fence(nodeUID: "node-uid"))
    }

    @Test func `an agent on another machine does not speak for the first one`() throws {
        var run = Run(try record("10.0.0.1"))
        run.agent = .reports
        #expect(run.judge(.absent, node(machine: "m2")) == .fence(nodeUID: "node-uid"))
    }

    @Test func `an agent that reports although its node is deleted is left to free what it sees`() throws {
        var run = Run(try record("10.0.0.1"))
        run.agent = .reports
        #expect(run.judge(.absent, .absent) == .mark(.podDeleted))
        run.agent = .silent
        #expect(run.judge(.absent, .absent) == .release(.nodeDeleted))
    }

    @Test func `a mark is taken back before anything else only when the pod is alive`() throws {
        var run = Run(try record("10.0.0.1", state: .fenced, mark: "PodDeleted", fenced: "node-uid"))
        #expect(run.observe(alive, node(ready: false)) == .unmark)
        #expect(run.observe(alive, node()) == .unfence)
    }

    @Test func `the candidacy tells the reason and since when`() throws {
        var run = Run(try record("10.0.0.1"))
        #expect(run.tracker.candidacy == nil)
        _ = run.observe(.absent, node())
        _ = run.observe(.present(uid: "other"), node(), after: 10)
        #expect(run.tracker.candidacy?.reason == .podReplaced)
        #expect(run.tracker.candidacy?.since == .seconds(1000))
    }
}
