import IPAMAPI
import IPAMEngine
import JSONText
import KubernetesCore
import Testing

@testable import IPAMConsole

@Suite struct ClaimCheckTests {
    private static let claim = ClaimReference(namespace: "shop", name: "db", uid: "claim-uid")
    private static let key = PodKey(namespace: "shop", name: "db")
    private static let other = PodReference(namespace: "shop", name: "other", uid: "other-uid")

    private func found(_ picture: ClusterPicture) -> [String] {
        LedgerCheck.findings(in: picture).map { "\($0.reason) \($0.allocation)" }
    }

    private func claim(_ holder: IPClaim.Holder? = nil, uid: String = "claim-uid") -> ClaimEntry {
        ClaimEntry(Self.key, uid: uid, holder: holder)
    }

    private func holder(
        _ pod: PodReference = .web0, interface: String = "eth0", migratedFrom: PodName? = nil
    ) -> IPClaim.Holder {
        IPClaim.Holder(
            pod: pod.name, podUID: pod.uid, interface: interface, attachment: "a", node: "n1", machineID: "m1",
            migratedFrom: migratedFrom)
    }

    private func kept(_ text: String, state: AllocationState = .held, migratedFrom: PodName? = nil) throws
        -> LedgerEntry
    {
        try entry(text, state: state, claim: Self.claim, migratedFrom: migratedFrom)
    }

    private var otherPod: PodEntry {
        get throws {
            try pod(key: PodKey(namespace: "shop", name: "other"), fact: .present(uid: "other-uid"), node: "n2")
        }
    }

    // MARK: Claims that are gone

    @Test func `What is kept for a claim that is gone is a leak, also where another has its name`() throws {
        for (claims, message) in [
            ([], "it is kept for IPClaim \"shop/db\", which does not exist"),
            ([claim(uid: "another")], "it is kept for an earlier IPClaim \"shop/db\" of another UID"),
        ] {
            let finding = try #require(
                LedgerCheck.findings(in: picture([try kept("10.0.0.7")], claims: claims)).first)
            #expect(finding.reason == "ClaimMissing")
            #expect(finding.category == .leak)
            #expect(finding.message == message)
            #expect(finding.claim == Self.claim)
            #expect(finding.isFixable && finding.mayBeUnderWay)
        }
        #expect(found(picture([try kept("10.0.0.7")], claims: [claim()])) == [])
    }

    @Test func `What is in use outlives its claim, and what cools ends by itself`() throws {
        for state in [AllocationState.bound, .fenced, .cooling] {
            let entries = [try kept("10.0.0.7", state: state)]
            #expect(found(picture(entries, pods: [try pod()], claims: [])) == [])
        }
    }

    @Test func `A server that knows no claims says nothing of them`() throws {
        #expect(found(picture([try kept("10.0.0.7")])) == [])
    }

    @Test(arguments: [
        (PodFact.present(uid: "other-uid"), []), (.present(uid: "its-successor"), ["ClaimMissing 10.0.0.7"]),
        (.finished(uid: "other-uid"), ["ClaimMissing 10.0.0.7"]),
    ])
    func `While a guest may run where it migrated from, nobody frees what it had`(
        _ source: PodFact, _ expected: [String]
    ) throws {
        let entries = [try kept("10.0.0.7", migratedFrom: PodName(pod: "other", podUID: "other-uid"))]
        let pods = [try pod(key: PodKey(namespace: "shop", name: "other"), fact: source)]
        #expect(found(picture(entries, pods: pods, claims: [])) == expected)
    }

    @Test func `The release is the controller's: into cooldown without the claim, or at once`() throws {
        let cooling = try kept("10.0.0.7").abandonRequest
        #expect(cooling.path.hasSuffix("/ipallocations/10.0.0.7"))
        let patch = try JSON(parsing: cooling.body ?? [])
        #expect(patch["spec"] == ["state": "Cooling", "claim": .null])
        #expect(patch["metadata"]?["resourceVersion"] == "7")
        let atOnce = try entry("10.0.0.7", state: .held, claim: Self.claim, cooldown: 0).abandonRequest
        #expect(atOnce.method == .delete)
    }

    // MARK: Holders

    @Test func `What a pod that is there has of a claim that another one holds disagrees`() throws {
        let entries = [try kept("10.0.0.7", state: .bound), try kept("10.0.0.8")]
        let claims = [claim(holder(Self.other))]
        let finding = try #require(LedgerCheck.findings(in: picture(entries, pods: [try pod()], claims: claims)).first)
        #expect(finding.reason == "ClaimDisagrees")
        #expect(finding.category == .stranger)
        #expect(finding.pod == .web0)
        #expect(!finding.isFixable && finding.mayBeUnderWay)
        #expect(
            finding.message
                == "IPClaim \"shop/db\" is held by interface eth0 of pod shop/other on node n1, and interface eth0 of pod"
                + " shop/web-0 on node n1, which is there, has this address of it")
    }

    @Test func `The holder, and who waits for what a pod that is gone has, disagree with nobody`() throws {
        let entries = [try kept("10.0.0.7", state: .bound)]
        #expect(found(picture(entries, pods: [try pod()], claims: [claim(holder())])) == [])
        // Nobody has written a holder, as where the status was lost.
        #expect(found(picture(entries, pods: [try pod()], claims: [claim()])) == [])
        let waiting = [claim(holder(Self.other))]
        #expect(found(picture(entries, claims: waiting)) == [])
        #expect(found(picture(entries, pods: [try pod(fact: .finished(uid: "pod-uid"))], claims: waiting)) == [])
        #expect(found(picture(entries, pods: [try pod(fact: .present(uid: "successor"))], claims: waiting)) == [])
    }

    @Test func `Another interface of the holder's pod is another user`() throws {
        let entries = [try entry("10.0.0.7", interface: "net1", claim: Self.claim)]
        #expect(
            found(picture(entries, pods: [try pod()], claims: [claim(holder())])) == ["ClaimDisagrees 10.0.0.7"])
    }

    @Test func `Either pod of a guest that migrates may have the addresses`() throws {
        let source = PodName(pod: "web-0", podUID: "pod-uid")
        let target = holder(Self.other, migratedFrom: source)
        let entries = [
            try kept("10.0.0.7", state: .bound),
            try entry("10.0.0.8", pod: Self.other, claim: Self.claim, migratedFrom: source),
        ]
        let pods = [try pod(), try otherPod]
        #expect(found(picture(entries, pods: pods, claims: [claim(target)])) == [])
        // The claim may be deleted meanwhile.
        #expect(found(picture(entries, pods: pods, claims: [])) == [])
    }

    @Test func `Two that use one claim are found where no holder is written, and where the claim is gone`() throws {
        let entries = [
            try kept("10.0.0.7", state: .bound), try entry("10.0.0.8", node: "n2", pod: Self.other, claim: Self.claim),
        ]
        for claims in [[claim()], []] {
            let findings = LedgerCheck.findings(
                in: picture(entries, pods: [try pod(), try otherPod], claims: claims))
            #expect(
                findings.map(\.message) == [
                    "interface eth0 of pod shop/web-0 on node n1 has this address of IPClaim \"shop/db\", and interface"
                        + " eth0 of pod shop/other on node n2 has 10.0.0.8",
                    "interface eth0 of pod shop/other on node n2 has this address of IPClaim \"shop/db\", and interface"
                        + " eth0 of pod shop/web-0 on node n1 has 10.0.0.7",
                ])
            // All addresses of one interface are one user's.
            #expect(found(picture([entries[0]], pods: [try pod(), try otherPod], claims: claims)) == [])
        }
    }

    @Test func `A claim that cannot be read is there`() throws {
        let unreadable = ClaimEntry([
            "metadata": ["namespace": "shop", "name": "db", "uid": "claim-uid"], "spec": ["retention": "?"],
        ])
        #expect(unreadable == ClaimEntry(Self.key, uid: "claim-uid"))
        #expect(found(picture([try kept("10.0.0.7")], claims: [unreadable])) == [])
    }
}
