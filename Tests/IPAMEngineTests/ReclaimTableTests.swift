import IPAMAPI
import KubernetesCore
import Testing

@testable import IPAMEngine

/// Every phase with every combination of facts, judged by rules that are written down here once more, apart from the
/// code.
@Suite struct ReclaimTableTests {
    static let grace: Duration = .seconds(30)
    static let lost: Duration = .seconds(300)
    static let now = Moment.seconds(10_000)

    static let pods: [PodFact] = [
        .absent, .present(uid: "pod-uid"), .present(uid: "mirror", configHash: "pod-uid"), .present(uid: "other"),
        .finished(uid: "pod-uid"), .finished(uid: "other"),
    ]

    static let nodes: [NodeFact] =
        [.absent]
        + ["node-uid", "other-node"].flatMap { uid in
            ["m1", "m2", ""].flatMap { machine in
                [true, false].flatMap { ready in
                    [true, false].map { node(uid, machine: machine, ready: ready, outOfService: $0) }
                }
            }
        }

    /// For how long: not at all, less than the grace period, no less than it, no less than the timeout.
    static let ages: [Int] = [0, 29, 30, 300]

    static func phases(_ record: AllocationRecord) -> [ReclaimTracker.Phase] {
        var phases: [ReclaimTracker.Phase] = [.kept]
        for verdict in NodeVerdict.allCases {
            for age in ages {
                let suspicion = ReclaimTracker.Suspicion(
                    reason: .podDeleted, verdict: verdict, since: now - .seconds(age),
                    holder: ReclaimTracker.Holder(record))
                phases += [.suspected(suspicion), .proving(suspicion), .fenced(suspicion)]
            }
        }
        return phases
    }

    /// One line of the table, in words of the rules.
    struct Line: CustomStringConvertible {
        var record: AllocationRecord
        var facts: ReclaimFacts
        var settings: ReclaimSettings
        var phase: ReclaimTracker.Phase

        var description: String { "\(record.fields) \(facts) \(settings) \(phase)" }

        var isAlive: Bool {
            facts.pod == .present(uid: "pod-uid") || facts.pod == .present(uid: "mirror", configHash: "pod-uid")
        }

        private var present: (uid: String, machineID: String, isReady: Bool, isOutOfService: Bool)? {
            guard case .present(let uid, let machineID, let isReady, let isOutOfService) = facts.node else {
                return nil
            }
            return (uid, machineID, isReady, isOutOfService)
        }

        /// Of the machines m1 and m2 the allocation is on m1, or on nobody knows which.
        var isOtherMachine: Bool { present?.machineID == "m2" && record.machineID == "m1" }

        var isSurelySameMachine: Bool { present?.machineID == "m1" && record.machineID == "m1" }

        var agentReports: Bool { facts.agent == .reports && !isOtherMachine }

        var rememberedUID: String? { record.state == .fenced ? "node-uid" : facts.knownNodeUID }

        var nodeIsGone: Bool {
            guard let present else { return true }
            guard let rememberedUID, !isSurelySameMachine else { return false }
            return present.uid != rememberedUID
        }

        var nodeReports: Bool {
            guard let present, !nodeIsGone, !isOtherMachine else { return false }
            return facts.agent == .reports || facts.agent == .none && present.isReady
        }

        var nodeIsOff: Bool { present?.isOutOfService ?? false }

        var isReclaimable: Bool {
            record.origin != .manual && (record.state == .bound || record.state == .fenced) && !record.isBeingDeleted
        }

        /// For how long the phase has been about something.
        var age: Duration { phase.suspicion.map { ReclaimTableTests.now - $0.since } ?? .zero }

        var isProving: Bool { if case .proving = phase { true } else { false } }

        var timeIsUp: Bool { settings.nodeLostTimeout.map { age >= $0 } ?? false }

        /// The rules that an action breaks.
        func violations(_ action: ReclaimAction, isProof: Bool) -> [String] {
            var broken: [String] = []
            func rule(_ text: String, _ holds: Bool) { if !holds { broken.append(text) } }
            if !isReclaimable { rule("what is not reclaimable is left alone", action == .nothing || isQuiet(action)) }
            switch action {
            case .release(let reason):
                rule("released only by a proof that was asked for", isProof && isProving)
                rule("a live pod's address is never released", !isAlive)
                rule("released only after the grace period", age >= ReclaimTableTests.grace)
                rule("an agent that reports frees by itself", !agentReports)
                rule("released only when the node allows it", nodeReports || nodeIsGone || nodeIsOff || timeIsUp)
                rule("lost only after the timeout", reason != .nodeLost || timeIsUp && !nodeReports)
                if record.origin != .pod {
                    rule("what lives with its machine is freed with it", !nodeReports)
                    rule("for a reason of the node", [.nodeDeleted, .nodeOutOfService, .nodeLost].contains(reason))
                }
            case .fence(let uid):
                rule("fenced only by a proof", isProof && isProving)
                rule("only candidates are fenced", !isAlive && record.origin == .pod)
                rule("fenced only while the node does not report", !nodeReports && !nodeIsGone && !nodeIsOff)
                rule("fenced once", record.state == .bound)
                rule("with the UID of the node", uid == rememberedUID ?? present?.uid)
            case .unfence:
                rule("only what is fenced is bound again", record.state == .fenced)
                rule("only when the node reports", nodeReports || agentReports)
                rule("not for a pod that is gone", isAlive || record.origin != .pod)
            case .mark:
                rule("marked only by a proof", isProof && isProving)
                rule("marked for an agent that reports", agentReports)
                rule("only candidates are marked", !isAlive && record.origin == .pod)
                rule("marked once", record.reclaimMark == nil)
            case .unmark:
                rule("only a mark is taken back", record.reclaimMark != nil)
                rule("only from a live pod", isAlive)
            case .prove:
                rule("a proof is asked for by what stores say", !isProof)
                rule("after the grace period", age >= ReclaimTableTests.grace)
                rule("not for a live pod", !isAlive)
            case .wait(let moment):
                rule("a wait ends in the future", moment > ReclaimTableTests.now)
            case .nothing:
                break
            }
            return broken
        }

        /// A proof that finds that nothing is to be done may ask to be looked at again.
        private func isQuiet(_ action: ReclaimAction) -> Bool { if case .wait = action { isProving } else { false } }

        /// What must not be forgotten: an observation of a candidate that could be freed leads to a proof in the end.
        func omission(_ action: ReclaimAction, isProof: Bool) -> String? {
            guard !isProof, isReclaimable, !isAlive, record.origin == .pod else { return nil }
            guard nodeReports || nodeIsGone || nodeIsOff || timeIsUp || record.state == .bound else { return nil }
            if agentReports, record.reclaimMark != nil { return nil }
            switch action {
            case .prove, .wait: return nil
            default: return "a candidate is forgotten"
            }
        }
    }

    static func lines(
        _ state: AllocationState, _ origin: AllocationOrigin, machineID: String, deleted: Bool
    ) throws -> [Line] {
        var lines: [Line] = []
        for mark in [nil, "PodDeleted"] as [String?] {
            let record = try record(
                "10.0.0.1", state: state, origin: origin, machineID: machineID,
                pod: PodReference(namespace: "shop", name: "web-0", uid: "pod-uid"), deleted: deleted, mark: mark,
                fenced: state == .fenced ? "node-uid" : nil)
            let phases = phases(record)
            for timeout in [nil, lost] as [Duration?] {
                let settings = ReclaimSettings(gracePeriod: grace, nodeLostTimeout: timeout)
                for pod in pods {
                    for node in nodes {
                        for agent in [AgentFact.none, .reports, .silent] {
                            // Of a fenced allocation the annotation says it.
                            for known in state == .bound && agent == .none ? [nil, "node-uid"] : [nil] as [String?] {
                                let facts = ReclaimFacts(pod: pod, node: node, agent: agent, knownNodeUID: known)
                                lines += phases.map {
                                    Line(record: record, facts: facts, settings: settings, phase: $0)
                                }
                            }
                        }
                    }
                }
            }
        }
        return lines
    }

    private static func check(_ lines: [Line]) -> (Set<String>, String?, actions: Int) {
        var broken: Set<String> = []
        var example: String?
        var actions = 0
        for line in lines {
            for isProof in [false, true] {
                var tracker = ReclaimTracker(phase: line.phase)
                let action =
                    isProof
                    ? tracker.proved(line.record, line.facts, settings: line.settings, now: now)
                    : tracker.observe(line.record, line.facts, settings: line.settings, now: now)
                var found = line.violations(action, isProof: isProof)
                found += line.omission(action, isProof: isProof).map { [$0] } ?? []
                if !found.isEmpty, example == nil { example = "\(action) for \(line), proof: \(isProof)" }
                broken.formUnion(found)
                if action != .nothing { actions += 1 }
            }
        }
        return (broken, example, actions)
    }

    @Test(arguments: [AllocationState.bound, .fenced], [AllocationOrigin.pod, .static, .container])
    func `no combination of phase and facts breaks a rule`(state: AllocationState, origin: AllocationOrigin) throws {
        for machineID in ["m1", ""] {
            let lines = try Self.lines(state, origin, machineID: machineID, deleted: false)
            let (broken, example, actions) = Self.check(lines)
            #expect(broken.isEmpty, "\(example ?? "")")
            #expect(actions > 0)
        }
    }

    @Test func `what is not reclaimable is left alone, whatever the phase and the facts`() throws {
        var lines = try Self.lines(.bound, .manual, machineID: "m1", deleted: false)
        lines += try Self.lines(.cooling, .pod, machineID: "m1", deleted: false)
        lines += try Self.lines(.held, .pod, machineID: "m1", deleted: false)
        lines += try Self.lines(.bound, .pod, machineID: "m1", deleted: true)
        let (broken, example, _) = Self.check(lines)
        #expect(broken.isEmpty, "\(example ?? "")")
    }
}
