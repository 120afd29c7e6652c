import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesCore
import Testing

@testable import IPAMConsole

@Suite struct LedgerCheckTests {
    /// What is found, as `REASON ALLOCATION`.
    private func found(_ picture: ClusterPicture) -> [String] {
        LedgerCheck.findings(in: picture).map { "\($0.reason) \($0.allocation)" }
    }

    @Test func `A ledger that agrees with the cluster has nothing to be found`() throws {
        let entries = [
            try entry("10.0.0.7"),
            try entry("10.0.0.8", state: .cooling, pod: nil),
            try entry("10.0.0.9", origin: .manual, node: "", pod: nil),
            try entry("10.0.0.7", network: "red", pool: "red", interface: "net1"),
        ]
        let pools = [pool(), pool("red", IPPool.Spec(subnet: "10.0.0.0/24", network: "red"))]
        #expect(found(picture(entries, pods: [try pod(["10.0.0.7"])], pools: pools)) == [])
    }

    // MARK: Strangers

    @Test func `An allocation of no pool, of an earlier pool, or outside of its pool is a stranger`() throws {
        let entries = [
            try entry("10.0.0.7", pool: "gone"),
            try entry("10.0.0.8", poolUID: "uid-of-an-earlier-one"),
            try entry("10.1.0.9"),
            try entry("10.0.0.10", network: "red"),
            // Without a UID it may be of any pool of the name.
            try entry("10.0.0.11", poolUID: ""),
        ]
        #expect(
            found(picture(entries)) == [
                "PoolMissing 10.0.0.7", "OtherPoolUID 10.0.0.8", "OutsidePool 10.1.0.9", "OutsidePool red.10.0.0.10",
            ])
    }

    @Test func `What is excluded since, and the gateway, lies outside of the pool`() throws {
        let spec = IPPool.Spec(
            subnet: "10.0.0.0/24", ranges: ["10.0.0.1-10.0.0.20"], exclude: ["10.0.0.8"], gateway: "10.0.0.1")
        let entries = try ["10.0.0.1", "10.0.0.8", "10.0.0.9", "10.0.0.21"].map { try entry($0) }
        #expect(
            found(picture(entries, pools: [pool("blue", spec)])) == [
                "OutsidePool 10.0.0.1", "OutsidePool 10.0.0.8", "OutsidePool 10.0.0.21",
            ])
    }

    @Test func `Of a pool that makes no sense nobody can say what lies outside`() throws {
        #expect(found(picture([try entry("10.9.0.7")], pools: [pool("blue", IPPool.Spec(subnet: "no"))])) == [])
    }

    @Test func `An object whose name is not its address keeps the address of its name alone`() throws {
        let wrong = UnreadableAllocation(
            name: "10.0.0.7", problem: "spec.address", address: IPAddress("10.0.0.8"), pool: "blue")
        #expect(found(picture(unreadable: [wrong])) == ["WrongName 10.0.0.7"])
        #expect(
            LedgerCheck.findings(in: picture(unreadable: [wrong])).map(\.message) == [
                "the address of its name counts as taken, and that of its spec can be given: an allocation of the"
                    + " address in its spec is called 10.0.0.8"
            ])
        let nameless = UnreadableAllocation(
            name: "mine", problem: "spec.address", address: IPAddress("10.0.0.8"), pool: "blue")
        #expect(
            LedgerCheck.findings(in: picture(unreadable: [nameless])).map(\.message) == [
                "its name is not that of an address, so it keeps none: an allocation of the address in its spec is"
                    + " called 10.0.0.8"
            ])
        // There is an allocation of the address beside it.
        #expect(found(picture([try entry("10.0.0.8")], unreadable: [wrong])) == ["SameAddressTwice 10.0.0.7"])
        let junk = UnreadableAllocation(name: "10.0.0.9", problem: "spec.state: missing")
        #expect(found(picture(unreadable: [junk])) == ["Unreadable 10.0.0.9"])
    }

    @Test func `Labels that disagree with the spec are found, once for an allocation`() throws {
        let finding = LedgerCheck.findings(
            in: picture([try entry("10.0.0.7", labels: ["a is \"b\", the spec says \"c\"", "d is missing"])]))
        #expect(finding.map(\.reason) == ["LabelsDisagree"])
        #expect(finding.first?.message == "label a is \"b\", the spec says \"c\" (and 1 more)")
    }

    // MARK: Duplicates

    @Test func `A pod that reports the address of another is a duplicate`() throws {
        let other = PodReference(namespace: "shop", name: "other", uid: "other-uid")
        let entries = [try entry("10.0.0.7", pod: other)]
        let picture = picture(entries, pods: [try pod(["10.0.0.7"])])
        #expect(found(picture) == ["AddressOfAnother 10.0.0.7"])
        let finding = try #require(LedgerCheck.findings(in: picture).first)
        #expect(finding.pod == .web0)
        #expect(finding.category == .duplicate)
        #expect(finding.message == "the pod reports it, and the ledger gives it to pod shop/other on node n1")
    }

    @Test func `Both pods of a guest that migrates may report its address`() throws {
        func machine(_ uid: String) -> VirtualMachinePod {
            VirtualMachinePod(
                instance: OwnerReference(
                    apiVersion: "kubevirt.io/v1", kind: "VirtualMachineInstance", name: "vm1", uid: uid))
        }
        let target = PodKey(namespace: "shop", name: "target")
        let entries = [try entry("10.0.0.7", pod: PodReference(namespace: "shop", name: "target", uid: "target-uid"))]
        let source = try pod(["10.0.0.7"], machine: machine("v1"))
        for (uid, expected) in [("v1", []), ("v2", ["AddressOfAnother 10.0.0.7"])] {
            let other = try pod(key: target, fact: .present(uid: "target-uid"), machine: machine(uid))
            #expect(found(picture(entries, pods: [source, other])) == expected)
        }
        // Of the pod that the ledger names nothing is known but its name.
        let successor = try pod(key: target, fact: .present(uid: "another"), machine: machine("v1"))
        #expect(found(picture(entries, pods: [source, successor])).contains("AddressOfAnother 10.0.0.7"))
    }

    @Test(arguments: [
        // An earlier pod of the name.
        (PodFact.present(uid: "successor"), ["AddressOfAnother 10.0.0.7"]),
        // A static pod is named by the kubelet's own UID.
        (.present(uid: "mirror", configHash: "pod-uid"), []),
        // A finished pod shows the addresses that it had.
        (.finished(uid: "another"), []),
    ])
    func `A pod is known by its UID`(_ fact: PodFact, _ expected: [String]) throws {
        #expect(found(picture([try entry("10.0.0.7")], pods: [try pod(["10.0.0.7"], fact: fact)])) == expected)
    }

    @Test func `An address that a pod reports and the ledger has released may be given to another`() throws {
        let entries = [try entry("10.0.0.7", state: .cooling)]
        #expect(found(picture(entries, pods: [try pod(["10.0.0.7"])])) == ["AddressReleased 10.0.0.7"])
    }

    @Test func `What somebody entered by hand or keeps for a claim, a pod may have`() throws {
        let claim = ClaimReference(namespace: "shop", name: "c", uid: "u")
        for entry in [
            try entry("10.0.0.7", origin: .manual, pod: nil),
            try entry("10.0.0.7", state: .held, pod: nil, claim: claim),
        ] {
            #expect(found(picture([entry], pods: [try pod(["10.0.0.7"])])) == [])
        }
    }

    @Test func `A pod that has another address than the ledger gives it had its sandbox replaced`() throws {
        let entries = [try entry("10.0.0.7", container: "old"), try entry("10.0.0.8", container: "new")]
        #expect(found(picture(entries, pods: [try pod(["10.0.0.8"])])) == ["AddressNotInPod 10.0.0.7"])
    }

    @Test(
        arguments: [
            // The runtime tells one address of each family.
            (["10.0.0.7"], "10.0.0.8", [:]),
            // It tells nothing of the other one.
            (["fd00::1"], "10.0.0.8", [:]),
            // Nothing yet.
            ([], "10.0.0.8", [:]),
        ] as [([String], String, [String: [String]])])
    func `What a pod does not tell is no evidence`(
        _ addresses: [String], _ second: String, _ interfaces: [String: [String]]
    ) throws {
        let entries = [try entry("10.0.0.7"), try entry(second)]
        #expect(
            found(picture(entries, pods: [try pod(addresses, interfaces: interfaces)]))
                .filter { $0.hasPrefix("AddressNotInPod") } == [])
    }

    @Test func `Of other interfaces only Multus tells`() throws {
        let entries = [try entry("10.0.0.7", interface: "net1")]
        #expect(found(picture(entries, pods: [try pod(["10.9.9.9"])])) == [])
        let shown = try pod(["10.9.9.9"], interfaces: ["net1": ["10.0.0.8"]])
        #expect(found(picture(entries, pods: [shown])) == ["AddressNotInPod 10.0.0.7"])
        let right = try pod(["10.9.9.9"], interfaces: ["net1": ["10.0.0.7"]])
        #expect(found(picture(entries, pods: [right])) == [])
    }

    @Test func `A pod's address in a pool that the ledger does not know is a stranger`() throws {
        let reporting = try pod(["10.0.0.7"])
        #expect(found(picture(pods: [reporting])) == ["UnknownAddress 10.0.0.7"])
        // Not in a pool.
        #expect(found(picture(pods: [try pod(["10.9.0.7"])])) == [])
        // The gateway is never given.
        let spec = IPPool.Spec(subnet: "10.0.0.0/24", gateway: "10.0.0.7")
        #expect(found(picture(pods: [reporting], pools: [pool("blue", spec)])) == [])
        // It may be on another wire than a pool of a named network.
        let red = pool("red", IPPool.Spec(subnet: "10.0.0.0/24", network: "red"))
        #expect(found(picture(pods: [reporting], pools: [red])) == [])
        // The node's own.
        #expect(found(picture(pods: [try pod(["10.0.0.7"], hostNetwork: true)])) == [])
        // The object is there, though nobody can read it.
        let junk = UnreadableAllocation(name: "10.0.0.7", problem: "spec.state: missing")
        #expect(found(picture(unreadable: [junk], pods: [reporting])) == ["Unreadable 10.0.0.7"])
    }

    @Test func `Findings come by category, network and address`() throws {
        let other = PodReference(namespace: "shop", name: "other", uid: "other-uid")
        let entries = [
            try entry("10.1.0.9", pod: other), try entry("10.1.0.10", pod: other),
            try entry("10.1.0.1", network: "red", pod: other), try entry("10.0.0.200", pod: other),
        ]
        #expect(
            found(picture(entries, pods: [try pod(["10.0.0.200"])])) == [
                "AddressOfAnother 10.0.0.200", "OutsidePool 10.1.0.9", "OutsidePool 10.1.0.10",
                "OutsidePool red.10.1.0.1",
            ])
    }

    @Test func `Labels are compared with what the plugin writes`() throws {
        let spec = IPAllocation.Spec(
            state: .bound, origin: .pod, pool: "blue", poolUID: "u", address: try IPAddress(parsing: "10.0.0.7"),
            network: "", node: "n1", machineID: "m",
            attachment: IPAMAPI.Attachment(networkName: "net", containerID: "c", interface: "eth0"), pod: .web0,
            claim: nil, cooldownSeconds: 10, claimedAt: nil, releasedAt: nil)
        var json = spec.newObject()
        json["metadata"]?["uid"] = "u"
        json["metadata"]?["resourceVersion"] = "1"
        #expect(try LedgerEntry(json, sharing: StringPool()).labelProblems == [])
        json["metadata"]?["labels"]?[LabelKey.node] = "n2"
        json["metadata"]?["labels"]?[LabelKey.state] = nil
        json["metadata"]?["labels"]?[LabelKey.network] = "red"
        #expect(
            try LedgerEntry(json, sharing: StringPool()).labelProblems == [
                "ipam.berth.dev/node is \"n2\", the spec says \"n1\"",
                "ipam.berth.dev/state is missing; the spec says \"Bound\"",
                "ipam.berth.dev/network is \"red\", and the spec says nothing of it",
            ])
        // What was entered by hand needs none.
        json["spec"]?["origin"] = "Manual"
        json["metadata"]?["labels"] = [:]
        #expect(try LedgerEntry(json, sharing: StringPool()).labelProblems == [])
    }

    @Test func `A pod is read as far as it concerns addresses`() throws {
        let json = try JSON(
            parsing: """
                {"metadata": {"namespace": "shop", "name": "web-0", "uid": "u", "annotations":
                {"k8s.v1.cni.cncf.io/network-status":
                "[{\\"name\\": \\"a\\", \\"interface\\": \\"net1\\", \\"ips\\": [\\"10.0.0.9\\", \\"?\\"]}]"}},
                "spec": {"nodeName": "n1"}, "status": {"phase": "Running", "podIP": "10.0.0.7",
                "podIPs": [{"ip": "10.0.0.7"}, {"ip": "FD00::7"}]}}
                """)
        let entry = try PodEntry(json)
        #expect(entry.fact == .present(uid: "u"))
        #expect(entry.addresses.map(\.description) == ["10.0.0.7", "fd00::7"])
        #expect(entry.interfaces.mapValues { $0.map(\.description) } == ["net1": ["10.0.0.9"]])
    }
}
