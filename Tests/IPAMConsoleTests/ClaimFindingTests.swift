import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesCore
import Testing

@testable import IPAMConsole

/// What `explain`, `who` and `status` say of IPClaims.
@Suite struct ClaimFindingTests {
    private let key = PodKey(namespace: "shop", name: "vip")

    private func claim(_ spec: IPClaim.Spec = IPClaim.Spec(), unmet: String? = nil) -> IPClaim {
        let condition = unmet.map {
            Condition(
                type: "Ready", status: .false, reason: "AddressTaken", message: $0,
                lastTransitionTime: "2026-01-02T03:04:05Z")
        }
        return IPClaim(
            metadata: ObjectMetadata(name: "vip", namespace: "shop", uid: "c1"), spec: spec,
            status: IPClaim.Status(conditions: condition.map { [$0] } ?? []))
    }

    private func kept(_ text: String, _ state: AllocationState = .held, pool: String = "b") throws -> IPAllocation.Spec
    {
        IPAllocation.Spec(
            state: state, origin: .pod, pool: pool, poolUID: "uid-\(pool)", address: try IPAddress(parsing: text),
            network: "", node: "", machineID: "", attachment: nil, pod: nil,
            claim: ClaimReference(namespace: "shop", name: "vip", uid: "c1"), cooldownSeconds: 10, claimedAt: nil,
            releasedAt: nil)
    }

    /// - Parameter limited: Pools of which the namespace has its quota.
    private func reason(
        _ finding: ClaimFinding, requested: [String] = [], limited: Set<String> = []
    ) throws -> SelectionReasoning {
        var generator = FixedGenerator()
        let facts = SelectionFacts(pod: .init(namespace: "shop", name: "web-0"), node: "n1")
        let used = IPPool.Status(namespacesAtQuota: [.init(namespace: "shop", used: 1)])
        let pools = [("a", "10.0.0.0/30"), ("b", "10.0.1.0/30")].map { name, subnet in
            pool(
                name,
                IPPool.Spec(
                    subnet: subnet, strategy: .sequential, namespaceQuota: limited.contains(name) ? 1 : nil),
                status: used)
        }
        var taken: [IPAddress: AllocationState?] = [:]
        for spec in finding.kept { taken[spec.address] = spec.state }
        let input = SelectionReasoning.Input(
            request: try PoolRequest(named(["a", "b"]), facts: facts), facts: facts,
            requested: try requested.map { try IPAddress(parsing: $0) },
            pools: Dictionary(uniqueKeysWithValues: pools.map { ($0.name, $0) }), taken: ["": taken], claim: finding)
        return SelectionReasoning(input, using: &generator)
    }

    @Test func `What a claim keeps comes before what is free in an earlier pool`() throws {
        let reasoning = try reason(
            ClaimFinding(.named(annotation: "a"), key: key, claim: claim(), kept: [try kept("10.0.1.2")]))
        #expect(
            reasoning.text(Style()) == """
                  IPv4
                    1. a   not needed: 10.0.1.2 of another pool is kept for the pod
                    2. b   chosen: 10.0.1.2 is kept for the pod
                    → 10.0.1.2 of b, which IPClaim shop/vip keeps

                """)
        #expect(reasoning.json["slots"]?.array?.first?["outcome"]?["result"] == "Kept")
    }

    @Test func `What is kept is given although the namespace has its quota, and nothing else is`() throws {
        let finding = ClaimFinding(.named(annotation: "a"), key: key, claim: claim(), kept: [try kept("10.0.1.2")])
        #expect(
            try reason(finding, limited: ["b"]).slots[0].outcome
                == .kept(try IPAddress(parsing: "10.0.1.2"), pool: "b", claim: key))
        let other = try reason(
            ClaimFinding(.named(annotation: "a"), key: key, claim: claim()), limited: ["a", "b"])
        let text = #"gives a namespace 1 address (spec.namespaceQuota), and "shop" uses 1"#
        #expect(other.slots[0].considered.map(\.reason) == [text, text])
        #expect(other.refusal == #"IPv4: IPPool "a" \#(text); IPPool "b" \#(text)"#)
    }

    @Test func `What no pool of the interface gives is left alone`() throws {
        let reasoning = try reason(
            ClaimFinding(
                .named(annotation: "a"), key: key, claim: claim(), kept: [try kept("10.9.0.2", pool: "elsewhere")]))
        #expect(reasoning.slots[0].outcome == .address(try IPAddress(parsing: "10.0.0.1"), pool: "a", isOnly: true))
    }

    @Test func `The pools and addresses of a claim bind the pod`() throws {
        let pools = try reason(
            ClaimFinding(.named(annotation: "a"), key: key, claim: claim(IPClaim.Spec(pools: ["b"]))))
        #expect(pools.slots[0].considered[0].reason == "is none of those that IPClaim shop/vip names (spec.pools)")
        #expect(pools.slots[0].outcome == .address(try IPAddress(parsing: "10.0.1.1"), pool: "b", isOnly: true))
        let elsewhere = try reason(
            ClaimFinding(.named(annotation: "a"), key: key, claim: claim(IPClaim.Spec(pools: ["c"]))))
        #expect(
            elsewhere.refusal
                == "IPClaim \"shop/vip\" is for IPPool \"c\" (spec.pools), and this interface is served by"
                + " IPPool \"a\", IPPool \"b\"")
        let wish = try reason(
            ClaimFinding(.named(annotation: "a"), key: key, claim: claim(IPClaim.Spec(addresses: ["10.0.1.1"]))))
        #expect(wish.slots[0].outcome == .address(try IPAddress(parsing: "10.0.1.1"), pool: "b", isOnly: true))
    }

    @Test func `Whatever is free, a claim that another pod has ends the search`() throws {
        let finding = ClaimFinding(.named(annotation: "a"), key: key, claim: claim(), obstacle: "is held by another")
        let reasoning = try reason(finding)
        #expect(reasoning.refusal == "is held by another")
        #expect(!reasoning.isServed)
    }

    @Test func `Each sort of claim says why it is so`() throws {
        #expect(ClaimFinding().lines.isEmpty)
        #expect(ClaimFinding(.none(because: "it is off")).lines == ["claim: none, it is off"])
        let automatic = ClaimFinding(.automatic("StatefulSet \"web\""), key: key)
        #expect(
            automatic.lines == [
                "claim: shop/vip, made by itself for StatefulSet \"web\"", "  it is not there yet: an ADD makes it",
            ])
        let named = ClaimFinding(
            .named(annotation: "ipam.berth.dev/claim"), key: key,
            claim: claim(IPClaim.Spec(retention: .init(.period, seconds: 7200)), unmet: "10.0.1.1 is taken"),
            kept: [try kept("10.0.1.2")])
        #expect(
            named.lines == [
                "claim: shop/vip, named by annotation ipam.berth.dev/claim", "  keeps 10.0.1.2 of b",
                "  not met: 10.0.1.1 is taken", "  kept for 2h0m0s after the last use",
            ])
        #expect(named.json["unmet"] == "10.0.1.1 is taken")
    }

    @Test func `status counts claims, and names those that do not get what they ask for`() throws {
        let section = ClaimSection(
            [claim(), claim(unmet: "10.0.1.1 is taken")], states: ["c1": [.held]])
        #expect(section.counts == [.held: 1, .unmet: 1])
        #expect(section.text == "\nIPClaims: 1 unmet, 1 held\n")
        #expect(section.problems == ["IPClaim shop/vip: 10.0.1.1 is taken"])
    }

    @Test func `A claim is asked about by its name`() throws {
        #expect(try HolderQuery("claim/vip", namespace: "shop") == .claim(key))
        #expect(try HolderQuery("ipc/shop/vip", namespace: "other") == .claim(key))
        #expect(throws: ConsoleError.self) { try HolderQuery("claim/shop/", namespace: "other") }
    }
}
