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
        let sighting = AgentSighting(.web0, mark: mark, resourceVersion: "1", since: .seconds(100))
        #expect(sighting.fact(machineID: "m1", now: .seconds(139)) == .reports)
        #expect(sighting.fact(machineID: "", now: .seconds(139)) == .reports)
        #expect(sighting.fact(machineID: "m1", now: .seconds(140)) == .silent)
        #expect(sighting.fact(machineID: "m2", now: .seconds(100)) == .silent)
    }

    // MARK: Releases by a person

    @Test func `A person needs force for what somebody may use`() throws {
        func decision(
            _ entry: LedgerEntry, pod: PodFact = .absent, node: NodeFact = .ready, agent: AgentFact = .none,
            blindness: ConsoleError? = nil
        ) -> ReleaseDecision {
            ReleaseDecision(
                entry, ReclaimFacts(pod: pod, node: node, agent: agent), blindness: blindness, claim: nil, source: nil,
                now: .seconds(1))
        }
        #expect(
            decision(try entry("10.0.0.7"), pod: .present(uid: "pod-uid"))
                == .needsForce("pod shop/web-0 on node n1 is there and may use it"))
        // The kubelet may be ending the sandbox.
        for (pod, what) in [
            (PodFact.absent, "the pod is deleted"), (.present(uid: "other"), "another pod has its name"),
            (.finished(uid: "pod-uid"), "the pod has finished"),
        ] {
            #expect(
                decision(try entry("10.0.0.7"), pod: pod)
                    == .needsForce(
                        "\(what), for all that is known since a moment ago, and its sandbox may still run:"
                            + " berth-controller frees it after its grace period",
                        remedy:
                            "wait for that, or run `kubectl berth check --fix`, which looks twice; --force overrides"
                    ))
        }
        let off = NodeFact.present(uid: "n1-uid", machineID: "m1", isReady: false, isOutOfService: true)
        #expect(decision(try entry("10.0.0.7"), node: .absent) == .allowed("the node is deleted"))
        #expect(decision(try entry("10.0.0.7"), node: off) == .allowed("the node is out of service"))
        let blindness = ConsoleError("nobody knows", remedy: "look")
        #expect(
            decision(try entry("10.0.0.7"), node: .absent, blindness: blindness)
                == .needsForce("the node is deleted, but nobody knows", remedy: "look; --force overrides"))
        #expect(
            decision(try entry("10.0.0.7", state: .cooling), blindness: blindness)
                == .allowed("it was released, and rests"))
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
    }

    private static let reference = ClaimReference(namespace: "shop", name: "c", uid: "u")

    private func decision(
        keptFor claim: ClaimReference? = Self.reference, _ found: IPClaim?, source: PodEntry? = nil,
        migratedFrom: PodName? = nil
    ) throws -> ReleaseDecision {
        let entry = try entry("10.0.0.7", state: .held, claim: claim, migratedFrom: migratedFrom)
        return ReleaseDecision(
            entry, ReclaimFacts(pod: .absent, node: .ready), claim: found, source: source, now: .seconds(1))
    }

    private func claim(
        uid: String = "u", _ addresses: [String] = [], _ retention: IPClaim.Retention = .init()
    ) -> IPClaim {
        IPClaim(
            metadata: ObjectMetadata(name: "c", namespace: "shop", uid: uid),
            spec: IPClaim.Spec(addresses: addresses, retention: retention))
    }

    @Test func `What is kept for a claim is the claim's to give, whoever insists`() throws {
        let deletion = "kubectl delete ipclaim -n shop c"
        #expect(try decision(claim()) == .refused("it is kept for claim shop/c", remedy: deletion))
        #expect(try decision(claim(["10.0.0.8"])) == .refused("it is kept for claim shop/c", remedy: deletion))
        let asked = "it is kept for claim shop/c, which asks for it (spec.addresses)"
        #expect(
            try decision(claim(["10.0.0.8", "10.0.0.7"]))
                == .refused(
                    asked, remedy: "\(deletion), and take it out of spec.addresses of the claim if you make that anew"))
        #expect(
            try decision(claim(["10.0.0.7"], .init(.period, seconds: 7200)))
                == .refused(
                    asked,
                    remedy: "take it out of spec.addresses of the claim (kubectl edit ipclaim -n shop c), which frees"
                        + " it 2h0m0s later, or at once: \(deletion)"))
    }

    @Test func `What is kept for a claim that is gone is released, unless a guest may use it`() throws {
        #expect(try decision(nil) == .allowed("it is kept for IPClaim \"shop/c\", which does not exist"))
        #expect(
            try decision(claim(uid: "another", ["10.0.0.7"]))
                == .allowed("it is kept for an earlier IPClaim \"shop/c\" of another UID"))
        #expect(try decision(keptFor: nil, nil) == .allowed("it is kept for no claim"))
        let source = PodName(pod: "web-0", podUID: "pod-uid")
        #expect(
            try decision(nil, source: try pod(), migratedFrom: source)
                == .needsForce("pod shop/web-0, from which a virtual machine migrated, is there and may use it"))
        #expect(
            try decision(nil, source: try pod(fact: .present(uid: "another")), migratedFrom: source)
                == .allowed("it is kept for IPClaim \"shop/c\", which does not exist"))
        #expect(
            try decision(claim(), source: try pod(), migratedFrom: source)
                == .refused("it is kept for claim shop/c", remedy: "kubectl delete ipclaim -n shop c"))
    }

    @Test func `What was kept for a claim leaves it, and rests or is deleted`() throws {
        let kept = try entry("10.0.0.7", state: .held, claim: Self.reference)
        let patch = kept.releaseRequest(at: "t")
        let body = String(decoding: patch.body ?? [], as: UTF8.self)
        #expect(patch.method == .patch && patch.isConditional)
        #expect(body.contains(#""claim":null"#) && body.contains(#""state":"Cooling""#), "\(body)")
        #expect(ReleaseReport(kept).text(Style(), isWide: false) == "released 10.0.0.7: it rests for 10s\n")
        let atOnce = try entry("10.0.0.7", state: .held, claim: Self.reference, cooldown: 0)
        #expect(atOnce.releaseRequest(at: "t").method == .delete)
        #expect(ReleaseReport(atOnce).text(Style(), isWide: false) == "released 10.0.0.7: it is free\n")
        let bound = try entry("10.0.0.7", claim: Self.reference, cooldown: 0)
        #expect(ReleaseReport(bound).text(Style(), isWide: false) == "released 10.0.0.7: it is kept for its claim\n")
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
