import IPAMAPI
import KubernetesCore
import Testing

@testable import IPAMEngine

/// A pod and its node as they really are, and a controller that sees them late.
private struct World {
    /// Facts of one kind in the order of the truth; the store has come to one of them.
    struct Lagging<Fact: Equatable> {
        var history: [Fact]
        var position = 0

        var truth: Fact { history[history.count - 1] }
        var seen: Fact { history[position] }

        mutating func become(_ fact: Fact) { if fact != truth { history.append(fact) } }

        mutating func catchUp(using generator: inout SplitMix64) {
            position = Int.random(in: position..<history.count, using: &generator)
        }

        mutating func catchUpFully() { position = history.count - 1 }
    }

    // The pod exists before its ADD, and the store has not seen it yet.
    var pod = Lagging(history: [PodFact.absent, .present(uid: "pod-uid")])
    var node: Lagging<NodeFact>
    var agent: AgentFact
    var record: AllocationRecord
    var tracker = ReclaimTracker()
    var settings = ReclaimSettings()
    var now = Moment.seconds(1000)
    var released: ReclaimReason?
    var violations: [String] = []

    init(_ record: AllocationRecord, agent: AgentFact, lost: Duration?) {
        self.record = record
        self.agent = agent
        settings.nodeLostTimeout = lost
        node = Lagging(history: [IPAMEngineTests.node()])
    }

    var isAlive: Bool { record.isAlive(pod.truth) }

    mutating func changeTruth(using generator: inout SplitMix64) {
        switch Int.random(in: 0..<8, using: &generator) {
        case 0:
            // A UID that is gone never returns.
            guard isAlive else { return }
            let ends: [PodFact] = [.absent, .present(uid: "next"), .finished(uid: "pod-uid")]
            pod.become(ends.randomElement(using: &generator) ?? .absent)
        case 1...3:
            let states: [NodeFact] = [
                IPAMEngineTests.node(), IPAMEngineTests.node(ready: false), .absent,
                IPAMEngineTests.node(ready: false, outOfService: true),
                IPAMEngineTests.node(machine: "m2"), IPAMEngineTests.node("next", machine: "m2"),
                IPAMEngineTests.node("next"),
            ]
            become(states.randomElement(using: &generator) ?? .absent)
        default: break
        }
    }

    mutating func become(_ fact: NodeFact) { node.become(fact) }

    var isUp: Bool { node.truth == IPAMEngineTests.node() || node.truth == IPAMEngineTests.node("next") }

    /// Then the agent that reports is the other machine's.
    var isOtherMachine: Bool {
        if case .present(_, "m2", _, _) = node.truth { true } else { false }
    }

    /// What a reconciler does; a proof or a write fails now and then.
    mutating func reconcile(using generator: inout SplitMix64, failing: Bool = true) -> Moment? {
        let isFailing = failing && Int.random(in: 0..<4, using: &generator) == 0
        var action = tracker.observe(
            record, ReclaimFacts(pod: pod.seen, node: node.seen, agent: agent), settings: settings, now: now)
        if case .prove = action {
            if isFailing { return now }
            action = tracker.proved(
                record, ReclaimFacts(pod: pod.truth, node: node.truth, agent: agent), settings: settings, now: now)
        } else {
            switch action {
            case .release, .fence, .mark: violations.append("\(action) without a proof")
            default: break
            }
        }
        if isFailing, action != .nothing { return now }
        return carryOut(action)
    }

    private mutating func carryOut(_ action: ReclaimAction) -> Moment? {
        switch action {
        case .nothing: return nil
        case .wait(let moment): return moment
        case .prove: return now
        case .fence(let uid):
            if isAlive { violations.append("a live pod was fenced") }
            record = record.with {
                $0.state = .fenced
                $0.fencedNodeUID = uid
            }
        case .unfence:
            record = record.with {
                $0.state = .bound
                $0.fencedNodeUID = nil
            }
        case .mark(let reason): record = record.with { $0.reclaimMark = reason.rawValue }
        case .unmark: record = record.with { $0.reclaimMark = nil }
        case .release(let reason):
            if isAlive { violations.append("a live pod's address was released") }
            if agent == .reports, !isOtherMachine { violations.append("released although an agent reports") }
            if reason == .nodeLost {
                // How long it was down is what the store said, which may have missed that it was back meanwhile.
                if isUp { violations.append("lost while it reports") }
            } else if case .present(_, let machine, false, false) = node.truth, machine == "m1" {
                violations.append("released while the node is down")
            }
            released = reason
        }
        return now
    }
}

@Suite struct ReclaimSimulationTests {
    @Test(arguments: 0..<400 as Range<UInt64>)
    func `no order of events frees a live pod, and a gone one is freed in the end`(seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        let agent: AgentFact = seed % 5 == 0 ? .reports : .none
        var world = World(try record("10.0.0.1"), agent: agent, lost: seed % 3 == 0 ? .seconds(300) : nil)
        for _ in 0..<200 where world.released == nil {
            world.changeTruth(using: &generator)
            if Bool.random(using: &generator) { world.pod.catchUp(using: &generator) }
            if Bool.random(using: &generator) { world.node.catchUp(using: &generator) }
            world.now = world.now + .seconds(Int64.random(in: 0...40, using: &generator))
            // A restart forgets what was seen.
            if Int.random(in: 0..<20, using: &generator) == 0 { world.tracker = ReclaimTracker() }
            _ = world.reconcile(using: &generator)
        }
        #expect(world.violations.isEmpty)
        guard world.released == nil else { return }

        // From here on all is quiet: the pod gone, the node there, the stores up to date.
        if world.isAlive { world.pod.become(.absent) }
        world.become(node())
        world.pod.catchUpFully()
        world.node.catchUpFully()
        let quiet = world.now
        var steps = 0
        while world.released == nil, steps < 10, let next = world.reconcile(using: &generator, failing: false) {
            world.now = max(world.now, next)
            steps += 1
        }
        #expect(world.violations.isEmpty)
        #expect(world.now - quiet <= .seconds(30))
        if agent == .reports {
            #expect(world.record.reclaimMark != nil)
        } else {
            #expect(world.released != nil)
        }
    }

    @Test(arguments: 0..<100 as Range<UInt64>)
    func `a pod that lives keeps its address through any storm, and ends bound`(seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        var world = World(try record("10.0.0.1"), agent: .none, lost: seed % 2 == 0 ? .seconds(300) : nil)
        for _ in 0..<200 {
            let states: [NodeFact] = [node(), node(ready: false), .absent, node(ready: false, outOfService: true)]
            world.become(states.randomElement(using: &generator) ?? node())
            if Int.random(in: 0..<10, using: &generator) == 0 { world.pod.catchUp(using: &generator) }
            if Bool.random(using: &generator) { world.node.catchUp(using: &generator) }
            world.now = world.now + .seconds(Int64.random(in: 0...40, using: &generator))
            _ = world.reconcile(using: &generator)
        }
        world.become(node())
        world.pod.catchUpFully()
        world.node.catchUpFully()
        for _ in 0..<5 { _ = world.reconcile(using: &generator, failing: false) }
        #expect(world.violations.isEmpty)
        #expect(world.released == nil)
        #expect(world.record.state == .bound)
        #expect(world.tracker.isIdle)
    }
}
