import IPAMAPI
import IPAMEngine
import JSONText
import KubernetesCore
import Testing

@testable import IPAMConsole

@Suite struct LeakJudgeTests {
    /// The verdict without a grace period.
    private func verdict(
        _ entry: LedgerEntry, pod: PodFact = .absent, node: NodeFact = .ready, agent: AgentFact = .none
    ) -> LeakVerdict? {
        var judge = LeakJudge(gracePeriod: .zero)
        return judge.judge(entry.record, ReclaimFacts(pod: pod, node: node, agent: agent), now: .seconds(100))
    }

    @Test func `Whoever is there leaks nothing`() throws {
        #expect(verdict(try entry("10.0.0.7"), pod: .present(uid: "pod-uid")) == nil)
        #expect(verdict(try entry("10.0.0.7"), pod: .present(uid: "pod-uid"), node: .absent) == nil)
        #expect(verdict(try entry("10.0.0.7"), pod: .present(uid: "pod-uid"), node: .notReady) == nil)
    }

    @Test(arguments: [
        (PodFact.absent, ReclaimReason.podDeleted), (.present(uid: "other"), .podReplaced),
        (.finished(uid: "pod-uid"), .podFinished), (.finished(uid: "other"), .podReplaced),
    ])
    func `Who is gone from a node that reports is released`(_ pod: PodFact, _ reason: ReclaimReason) throws {
        #expect(verdict(try entry("10.0.0.7"), pod: pod) == .releasable(reason))
    }

    @Test func `Where the node is gone or out of service, nobody runs any more`() throws {
        let off = NodeFact.present(uid: "n1-uid", machineID: "m1", isReady: false, isOutOfService: true)
        for origin in [AllocationOrigin.pod, .static, .container] {
            #expect(verdict(try entry("10.0.0.7", origin: origin), node: .absent) == .releasable(.nodeDeleted))
            #expect(verdict(try entry("10.0.0.7", origin: origin), node: off) == .releasable(.nodeOutOfService))
        }
    }

    @Test func `Nothing of a node that does not report is released`() throws {
        #expect(verdict(try entry("10.0.0.7"), node: .notReady) == .nodeIsSilent(.podDeleted))
        #expect(verdict(try entry("10.0.0.7", state: .fenced), node: .notReady) == .nodeIsSilent(.podDeleted))
        // Another machine has the name of the node.
        let other = NodeFact.present(uid: "n1-uid", machineID: "m2", isReady: true, isOutOfService: false)
        #expect(verdict(try entry("10.0.0.7"), node: other) == .nodeIsSilent(.podDeleted))
        // An agent that fell silent: the kubelet's word does not count in its place.
        #expect(verdict(try entry("10.0.0.7"), agent: .silent) == .nodeIsSilent(.podDeleted))
    }

    @Test func `Where an agent reports, it decides`() throws {
        #expect(verdict(try entry("10.0.0.7"), agent: .reports) == .agentDecides(.podDeleted))
        #expect(
            verdict(try entry("10.0.0.7", mark: "PodReplaced"), agent: .reports) == .agentDecides(.podReplaced))
        #expect(verdict(try entry("10.0.0.7"), node: .absent, agent: .reports) == .agentDecides(.podDeleted))
        // It has not taken the mark of an earlier holder away yet.
        #expect(
            verdict(try entry("10.0.0.7", mark: "PodDeleted"), pod: .present(uid: "pod-uid"), agent: .reports) == nil)
    }

    @Test func `What stands for no pod of the API lives as long as its machine`() throws {
        #expect(verdict(try entry("10.0.0.7", origin: .static)) == nil)
        #expect(verdict(try entry("10.0.0.7", origin: .container, pod: nil)) == nil)
        #expect(verdict(try entry("10.0.0.7", origin: .manual), node: .absent) == nil)
        #expect(verdict(try entry("10.0.0.7", state: .cooling)) == nil)
        #expect(verdict(try entry("10.0.0.7", node: "")) == nil)
    }

    @Test func `The grace period must pass, and begins anew when the facts change`() throws {
        let record = try entry("10.0.0.7").record
        let gone = ReclaimFacts(pod: .absent, node: .ready)
        var judge = LeakJudge(gracePeriod: .seconds(30))
        #expect(judge.suspect(record, gone, now: .seconds(100)) == .podDeleted)
        #expect(judge.judge(record, gone, now: .seconds(129)) == .tooEarly(.podDeleted))
        #expect(judge.judge(record, gone, now: .seconds(130)) == .releasable(.podDeleted))

        var returning = LeakJudge(gracePeriod: .seconds(30))
        let silent = ReclaimFacts(pod: .absent, node: .notReady)
        #expect(returning.suspect(record, silent, now: .seconds(100)) == .podDeleted)
        #expect(returning.judge(record, gone, now: .seconds(140)) == .tooEarly(.podDeleted))

        var alive = LeakJudge(gracePeriod: .seconds(30))
        #expect(alive.suspect(record, gone, now: .seconds(100)) == .podDeleted)
        let there = ReclaimFacts(pod: .present(uid: "pod-uid"), node: .ready)
        #expect(alive.judge(record, there, now: .seconds(140)) == nil)
    }

    @Test func `Another holder of the address is not suspected for as long`() throws {
        let gone = ReclaimFacts(pod: .absent, node: .ready)
        var judge = LeakJudge(gracePeriod: .seconds(30))
        _ = judge.suspect(try entry("10.0.0.7").record, gone, now: .seconds(100))
        let successor = try entry("10.0.0.7", container: "c2").record
        #expect(judge.judge(successor, gone, now: .seconds(140)) == .tooEarly(.podDeleted))
    }

    @Test func `An agent counts for as long as its Lease says, from when it was seen renewed`() throws {
        let mark = AgentMark(
            ["metadata": ["annotations": ["ipam.berth.dev/machine-id": "m1"]], "spec": ["leaseDurationSeconds": 40]])
        let sighting = AgentSighting(mark: mark, resourceVersion: "1", since: .seconds(100))
        #expect(sighting.fact(machineID: "m1", now: .seconds(139)) == .reports)
        #expect(sighting.fact(machineID: "", now: .seconds(139)) == .reports)
        #expect(sighting.fact(machineID: "m1", now: .seconds(140)) == .silent)
        #expect(sighting.fact(machineID: "m2", now: .seconds(100)) == .silent)
    }

    // MARK: Releases by a person

    @Test func `A person needs force for what somebody may use`() throws {
        func decision(
            _ entry: LedgerEntry, pod: PodFact = .absent, node: NodeFact = .ready, agent: AgentFact = .none
        ) -> ReleaseDecision {
            ReleaseDecision(entry, ReclaimFacts(pod: pod, node: node, agent: agent), now: .seconds(1))
        }
        let claim = ClaimReference(namespace: "shop", name: "c", uid: "u")
        #expect(
            decision(try entry("10.0.0.7"), pod: .present(uid: "pod-uid"))
                == .needsForce("pod shop/web-0 on node n1 is there and may use it"))
        #expect(decision(try entry("10.0.0.7")) == .allowed("the pod is deleted"))
        #expect(
            decision(try entry("10.0.0.7"), node: .notReady)
                == .needsForce("the pod is deleted; its node does not report and may still use it"))
        #expect(
            decision(try entry("10.0.0.7"), agent: .reports)
                == .needsForce("the pod is deleted; the node's agent frees it when the sandbox is dead"))
        #expect(
            decision(try entry("10.0.0.7", origin: .container, pod: nil, container: "0123456789abcdef"))
                == .needsForce("nothing proves that container 0123456789ab on node n1 is gone"))
        #expect(decision(try entry("10.0.0.7", origin: .manual, pod: nil)) == .allowed("it was entered by hand"))
        #expect(decision(try entry("10.0.0.7", state: .cooling)) == .allowed("it was released, and rests"))
        #expect(
            decision(try entry("10.0.0.7", state: .held, pod: nil, claim: claim))
                == .needsForce("it is kept for claim shop/c"))
    }

    @Test func `A release is conditional, and ends in cooldown, at the claim, or at once`() throws {
        let claim = ClaimReference(namespace: "shop", name: "c", uid: "u")
        let patch = try entry("10.0.0.7").releaseRequest(at: "2026-01-02T03:04:05Z")
        #expect(patch.method == .patch)
        #expect(patch.isConditional)
        let body = String(decoding: patch.body ?? [], as: UTF8.self)
        #expect(body.contains(#""resourceVersion":"7""#))
        #expect(body.contains(#""state":"Cooling""#))
        let held = try entry("10.0.0.7", claim: claim, cooldown: 0).releaseRequest(at: "t")
        #expect(String(decoding: held.body ?? [], as: UTF8.self).contains(#""state":"Held""#))
        for entry in [
            try entry("10.0.0.7", cooldown: 0), try entry("10.0.0.7", state: .cooling),
            try entry("10.0.0.7", origin: .manual),
        ] {
            let request = entry.releaseRequest(at: "t")
            #expect(request.method == .delete)
            #expect(
                String(decoding: request.body ?? [], as: UTF8.self)
                    .contains(#""preconditions":{"uid":"uid-10.0.0.7","resourceVersion":"7"}"#))
        }
    }
}
