import IPAMAPI
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// Sliced pools among others: when a block is claimed, and what is tried before what cools.
@Suite("Blocks among other pools", .controlPlane, .timeLimit(.minutes(10)))
struct BlockOrderTests {
    @Test func `who asks for an address of one family gets one of the node's next block of the other`() async throws {
        try await BlockBench.run(["prefixLength": 25], ranges: (126, 129)) { bench in
            let (next, v6) = (try await bench.claims.makePool(size: 1), try await bench.claims.makePool(.v6))
            let node = bench.claims.node
            func configuration(_ pools: [String], _ address: String? = nil) -> JSON {
                var configuration = node.configuration(pools: pools)
                if let address { configuration["runtimeConfig"] = ["ips": [.string(address)]] }
                return configuration
            }
            // The first block is full, and so is the pool that comes after the sliced one.
            for _ in 0..<2 { _ = try await bench.add() }
            _ = try await node.add(try node.newSandbox(), configuration([next.name])).checked()
            let added = try await node.add(
                try node.newSandbox(), configuration([v6.name, bench.pool, next.name], v6.addresses[3])
            ).checked()
            #expect(added.addresses.contains(v6.addresses[3]) && added.addresses.count == 2)
            #expect(try await bench.blocks().count == 2)
        }
    }

    @Test func `behind a pool that serves no block is claimed, nor does one that overlaps do harm`() async throws {
        try await BlockBench.run(["prefixLength": 25]) { bench in
            let (first, node) = (try await bench.claims.makePool(size: 2, cooldown: "0s"), bench.claims.node)
            let configuration = node.configuration(pools: [first.name, bench.pool])
            func add() async throws -> PluginOutcome {
                try await node.add(try node.newSandbox(), configuration)
            }
            #expect(first.addresses.contains(try await add().checked().addresses[0]))
            #expect(try await bench.blocks().isEmpty)
            // Which is asked for once in a while.
            #expect(bench.claims.proxy.log.count("list", "ipblocks.ipam.berth.dev") == 1)
            try await bench.assign("\(bench.subnets.address4(0))/26", to: node.name)
            try bench.forget()
            let wide = try await bench.assign("\(bench.subnets.address4(0))/25", to: "another")
            #expect(first.addresses.contains(try await add().checked().addresses[0]))
            // Now it is the sliced one's turn.
            let refused = try await add()
            #expect(refused.code == PluginCode.poolUnusable, "\(refused)")
            #expect(refused.failure?.message.contains(wide) == true, "\(refused)")
            _ = try await bench.claims.controlPlane.withAdmin {
                try $0.delete(.ipBlocks, name: wide, preconditions: nil, deadline: .soon)
            }
            #expect(try await add().checked().addresses.count == 1)
        }
    }

    @Test func `a node without a block finds the one that is left, behind however many pools without`() async throws {
        try await BlockBench.run(["prefixLength": 25], ranges: (8, 9)) { bench in
            try await bench.assign("\(bench.subnets.address4(0))/25", to: "another")
            var pools = [bench.pool]
            for index in 0..<11 {
                pools.append(try await bench.another("p\(index)", ["prefixLength": 25], (10, 11)).pool)
            }
            let last = try await bench.another("last", ["prefixLength": 25])
            let node = bench.claims.node
            let configuration = node.configuration(pools: pools + [last.pool])
            _ = try await node.add(try node.newSandbox(), configuration).checked()
            #expect(try await last.blocks().count == 1)
        }
    }

    @Test func `what a claim asks for is given from a block behind a pool that has room`() async throws {
        try await BlockBench.run(["prefixLength": 25], ranges: (8, 9)) { bench in
            let (first, node) = (try await bench.claims.makePool(), bench.claims.node)
            let (name, address) = (Subnets.next().name, bench.subnets.address4(9))
            let object: JSON = [
                "apiVersion": .string(BerthAPI.apiVersion), "kind": "IPClaim",
                "metadata": ["name": .string(name), "namespace": "default"],
                "spec": ["addresses": [.string(address)]],
            ]
            _ = try await bench.claims.controlPlane.withAdmin {
                try $0.create(.ipClaims, namespace: "default", name: name, object: object, deadline: .soon)
            }
            let pod = try await bench.claims.controlPlane.makePod(
                Subnets.next().name, node: node.name, labels: [ControlPlane.testLabel: bench.claims.label],
                annotations: [AnnotationKey.claim: name])
            let configuration = node.configuration(pools: [first.name, bench.pool])
            let added = try await node.add(try node.newSandbox(pod: pod), configuration).checked()
            #expect(added.addresses == [address])
            _ = try await bench.claims.controlPlane.withAdmin {
                try $0.delete(.ipClaims, namespace: "default", name: name, preconditions: nil, deadline: .soon)
            }
        }
    }

    @Test func `blocks in which others are do not keep what cools in the node's own from being taken over`()
        async throws
    {
        try await BlockBench.run(["prefixLength": 31], ranges: (8, 39), cooldown: "300s") { bench in
            let (node, configuration) = (bench.claims.node, bench.configuration())
            let given = try await fillBlock(bench)
            // A pool without blocks has all others of these addresses.
            let others = (8...39).map { bench.subnets.address4($0) }.filter { !given.map(\.address).contains($0) }
            for address in others {
                let spec = IPAllocation.Spec(
                    state: .bound, origin: .manual, pool: "another", poolUID: "u",
                    address: try IPAddress(parsing: address),
                    network: "", node: "", machineID: "", attachment: nil, pod: nil, claim: nil, cooldownSeconds: 0,
                    claimedAt: nil, releasedAt: nil)
                let object = spec.newObject()
                _ = try await bench.claims.controlPlane.withAdmin {
                    try $0.create(.ipAllocations, name: spec.objectName, object: object, deadline: .soon)
                }
            }
            try await node.del(given[0].sandbox, configuration).checked()
            try Files.removeTree("\(node.journal)/pools")
            try Files.makeFolder("\(node.journal)/pools")
            #expect(try await bench.add().map(\.description) == [given[0].address])
            for address in others { try await bench.claims.deleteAllocation(address) }
        }
    }

    @Test func `what cools in a block rests while the node can have another one, and after that is taken over`()
        async throws
    {
        try await BlockBench.run(["prefixLength": 31], ranges: (8, 11), cooldown: "300s") { bench in
            let (node, configuration) = (bench.claims.node, bench.configuration())
            let given = try await fillBlock(bench)
            try await node.del(given[0].sandbox, configuration).checked()
            for _ in 0..<2 { #expect(try await bench.add().map(\.description) != [given[0].address]) }
            #expect(try await bench.blocks().count == 2)
            #expect(try await bench.add().map(\.description) == [given[0].address])
        }
    }

    /// Takes the two addresses of the node's first block.
    private func fillBlock(_ bench: BlockBench) async throws -> [(sandbox: TestSandbox, address: String)] {
        var given: [(sandbox: TestSandbox, address: String)] = []
        for _ in 0..<2 {
            let sandbox = try bench.claims.node.newSandbox()
            let added = try await bench.claims.node.add(sandbox, bench.configuration()).checked()
            given.append((sandbox, added.addresses[0]))
        }
        return given
    }
}
