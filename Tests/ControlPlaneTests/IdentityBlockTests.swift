import IPAMAPI
import IPAddressing
import JSONText
import KubernetesCore
import TestSupport
import Testing

/// Identities in pools that are sliced into blocks.
@Suite("Identity in blocks", .controlPlane, .timeLimit(.minutes(10)))
struct IdentityBlockTests {
    @Test(arguments: NodeBlocks.ResultPrefix.allCases, NodeBlocks.Gateway.allCases)
    func `a StatefulSet's pod on another node gets an address of that node's block, and its former one back`(
        prefix: NodeBlocks.ResultPrefix, gateway: NodeBlocks.Gateway
    ) async throws {
        let blocks: JSON = [
            "prefixLength": 28, "resultPrefix": .string(prefix.rawValue), "gateway": .string(gateway.rawValue),
        ]
        try await run(blocks) { identity, bench in
            try await bench.withNode { other in
                let here = identity.bench.node
                let first = try await identity.live(on: here, [bench.pool])
                let second = try await identity.live(on: other, [bench.pool])
                let third = try await identity.live(on: here, [bench.pool])
                let (one, two) = (try #require(first.addresses.first), try #require(second.addresses.first))
                let nodes = try await bench.blocks().reduce(into: [:]) { $0[$1.spec.node] = $1.cidr }
                let (own, others) = (try #require(nodes[here.name]), try #require(nodes[other.name]))
                #expect(own.contains(try IPAddress(parsing: one)))
                #expect(others.contains(try IPAddress(parsing: two)))
                let entry = try #require(second.result?["ips"]?.array?.first)
                #expect(entry["address"]?.string == "\(two)/\(prefix == .block ? 28 : 24)")
                #expect(
                    entry["gateway"]?.string == (gateway == .firstAddress ? others.first.next?.description : nil))
                // Nobody frees it here, so that it is the claim's still.
                #expect(third.addresses == [one])
                #expect(try await identity.allocation(two)?.spec.state == .held)
            }
        }
    }

    @Test(arguments: NodeBlocks.ResultPrefix.allCases)
    func `an address that a claim asks for is given on the node of its block, and refused on another one`(
        prefix: NodeBlocks.ResultPrefix
    ) async throws {
        try await run(["prefixLength": 28, "resultPrefix": .string(prefix.rawValue)]) { identity, bench in
            let here = identity.bench.node
            try await bench.assign("\(bench.subnets.address4(32))/28", to: here.name)
            let wish = bench.subnets.address4(37)
            try await identity.makeClaim("vip", ["addresses": [.string(wish)]])
            let added = try await identity.live("a", claim: "vip", on: here, [bench.pool])
            #expect(added.addresses == [wish])
            try await bench.withNode { other in
                let pod = try await identity.pod(
                    "b", isOwned: false, on: other, annotations: [AnnotationKey.claim: "vip"])
                let refused = try await other.add(
                    try identity.sandbox(of: pod, on: other), other.configuration(pools: [bench.pool]))
                #expect(refused.code == PluginCode.addressRefused, "\(refused)")
                // Where the block is the subnet, the pool is another one for each node.
                let reason = prefix == .subnet ? "outside of this node's blocks" : "does not contain it"
                for text in [wish, reason, "/vip"] {
                    #expect("\(refused)".contains(text), "\(refused)")
                }
            }
            #expect(try await identity.allocation(wish)?.spec.state == .held)
        }
    }

    @Test func `an address that a claim asks for is honoured in a pool behind a sliced one`() async throws {
        try await run(["prefixLength": 28]) { identity, bench in
            let behind = try await identity.bench.makePool()
            try await identity.makeClaim("vip", ["addresses": [.string(behind.addresses[7])]])
            try await identity.makeClaim("there", ["pools": [.string(behind.name)]])
            let pools = [bench.pool, behind.name]
            let here = identity.bench.node
            let wished = try await identity.live("a", claim: "vip", on: here, pools)
            #expect(wished.addresses == [behind.addresses[7]])
            let again = try await identity.live("a", claim: "vip", on: here, pools)
            #expect(again.addresses == wished.addresses)
            let there = try await identity.live("b", claim: "there", on: here, pools)
            #expect(Set(there.addresses).isSubset(of: behind.addresses))
            let any = try await identity.live("c", isOwned: false, on: here, pools)
            #expect(Set(any.addresses).isDisjoint(with: behind.addresses), "whoever asks for nothing is of a block")
        }
    }

    @Test func `what is kept in a pool behind a sliced one is given again when blocks are free`() async throws {
        try await run(["prefixLength": 25], ranges: (8, 8)) { identity, bench in
            let behind = try await identity.bench.makePool()
            let (here, pools) = (identity.bench.node, [bench.pool, behind.name])
            let stranger = try here.newSandbox()
            let taken = try await here.add(stranger, bench.configuration()).checked()
            let added = try await identity.live(on: here, pools)
            #expect(Set(added.addresses).isSubset(of: behind.addresses))
            try await here.del(stranger, bench.configuration(), previous: taken).checked()
            let again = try await identity.live(on: here, pools)
            #expect(again.addresses == added.addresses)
        }
    }

    private func run(
        _ nodeBlocks: JSON, ranges: (Int, Int)? = nil, isolation: isolated (any Actor)? = #isolation,
        _ body: (IdentityBench, BlockBench) async throws -> Void
    ) async throws {
        try await IdentityBench.run { identity in
            try await BlockBench.run(nodeBlocks, ranges: ranges, on: identity.bench) { try await body(identity, $0) }
        }
    }
}

extension IdentityBench {
    /// The life of a pod from ADD to its end.
    ///
    /// - Parameter claim: What it names; nil: one of the set, or of nobody.
    fileprivate func live(
        _ name: String = "web-0", claim: String? = nil, isOwned: Bool = true, on node: TestNode, _ pools: [String]
    ) async throws -> PluginOutcome {
        let pod = try await pod(
            name, isOwned: isOwned && claim == nil, on: node,
            annotations: claim.map { [AnnotationKey.claim: $0] } ?? [:])
        let (sandbox, configuration) = (try sandbox(of: pod, on: node), node.configuration(pools: pools))
        let added = try await node.add(sandbox, configuration).checked()
        try await node.del(sandbox, configuration, previous: added).checked()
        try await bench.controlPlane.delete(pod)
        return added
    }
}
