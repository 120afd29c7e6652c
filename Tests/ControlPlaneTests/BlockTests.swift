import IPAMAPI
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// Pools that are sliced into blocks as nodes see them, without a controller.
@Suite("Blocks", .controlPlane, .timeLimit(.minutes(10)))
struct BlockTests {
    @Test func `C1: each node gets a block of its own, and ADDs on a node stay in it`() async throws {
        try await BlockBench.run(["prefixLength": 28]) { bench in
            try await bench.withNode { other in
                var given: [String: [IPAddress]] = [:]
                for node in [bench.claims.node, other] {
                    for _ in 0..<5 { given[node.name, default: []] += try await bench.add(on: node) }
                }
                let blocks = try await bench.blocks()
                #expect(Set(blocks.map(\.spec.node)) == Set(given.keys))
                #expect(blocks.count == 2)
                #expect(!blocks[0].overlaps(blocks[1]))
                for block in blocks {
                    #expect(block.cidr.length == 28)
                    #expect(try #require(given[block.spec.node]).allSatisfy { block.cidr.contains($0) })
                    #expect(block.metadata.labels == block.spec.labels)
                }
            }
        }
    }

    @Test(arguments: NodeBlocks.ResultPrefix.allCases)
    func `C2: the result has the prefix of the subnet or of the block, as configured`(
        prefix: NodeBlocks.ResultPrefix
    ) async throws {
        try await BlockBench.run([
            "prefixLength": 28, "resultPrefix": .string(prefix.rawValue), "gateway": "FirstAddress",
        ]) { bench in
            let (sandbox, configuration) = (try bench.claims.node.newSandbox(), bench.configuration())
            let added = try await bench.claims.node.add(sandbox, configuration).checked()
            let block = try #require(try await bench.blocks().first)
            let length = prefix == .block ? 28 : 24
            let entry = try #require(added.result?["ips"]?.array?.first)
            #expect(entry["address"]?.string?.hasSuffix("/\(length)") == true)
            #expect(entry["gateway"]?.string == block.cidr.first.next?.description)
            try await bench.claims.node.check(sandbox, configuration, previous: added).checked()
            // Asked again, the same answer.
            let again = try await bench.claims.node.add(sandbox, configuration).checked()
            #expect(again.result == added.result)
        }
    }

    @Test func `the first address of a block is never allocated, and one more block is claimed when one is full`()
        async throws
    {
        try await BlockBench.run(["prefixLength": 29, "resultPrefix": "Block", "gateway": "FirstAddress"]) { bench in
            var given: [IPAddress] = []
            for _ in 0..<7 { given += try await bench.add() }
            #expect(Set(given).count == 7)
            let blocks = try await bench.blocks()
            #expect(blocks.count == 2, "five addresses fit in a block of eight")
            for address in given {
                let block = try #require(blocks.first { $0.cidr.contains(address) })
                let edges = [block.cidr.first, block.cidr.first.next, block.cidr.last]
                #expect(!edges.contains(address))
            }
        }
    }

    @Test func `C5: all blocks used: ADD on a new node fails with an exhaustion error, and others are unaffected`()
        async throws
    {
        try await BlockBench.run(["prefixLength": 25]) { bench in
            try await bench.withNode { second in
                _ = try await bench.add()
                _ = try await bench.add(on: second)
                try await bench.withNode { third in
                    let refused = try await third.add(try third.newSandbox(), bench.configuration(on: third))
                    #expect(refused.code == PluginCode.exhausted, "\(refused)")
                    #expect(
                        refused.failure?.message.contains("no block of /25 is free, it has 2 blocks") == true,
                        "\(refused)")
                }
                _ = try await bench.add()
                _ = try await bench.add(on: second)
            }
        }
    }

    @Test func `with borrowing a pool with as many pods as addresses fills to the last one`() async throws {
        let blocks: JSON = ["prefixLength": 30, "borrowing": true]
        try await BlockBench.run(blocks, ranges: (8, 15)) { bench in
            try await bench.withNode { second in
                var given = try await bench.add(on: second)
                for _ in 0..<7 { given += try await bench.add() }
                #expect(Set(given).count == 8)
                let refused = try await bench.claims.node.add(
                    try bench.claims.node.newSandbox(), bench.configuration())
                #expect(refused.code == PluginCode.exhausted, "\(refused)")
            }
        }
    }

    @Test func `the next pool serves when no block is free`() async throws {
        try await BlockBench.run(["prefixLength": 25], ranges: (8, 9)) { bench in
            let next = try await bench.claims.makePool()
            let configuration = bench.claims.node.configuration(pools: [bench.pool, next.name])
            var given: [String] = []
            for _ in 0..<3 {
                given += try await bench.claims.node.add(
                    try bench.claims.node.newSandbox(), configuration
                ).checked().addresses
            }
            #expect(given.prefix(2).allSatisfy { !next.addresses.contains($0) })
            #expect(next.addresses.contains(try #require(given.last)))
        }
    }

    @Test func `C7: a block that was assigned by hand gives a node its range, gateway and mask`() async throws {
        try await BlockBench.run(["prefixLength": 28, "resultPrefix": "Block", "gateway": "FirstAddress"]) { bench in
            let cidr = "\(bench.subnets.address4(128))/26"
            try await bench.assign(cidr, to: bench.claims.node.name)
            let added = try await bench.claims.node.add(
                try bench.claims.node.newSandbox(), bench.configuration()
            ).checked()
            let entry = try #require(added.result?["ips"]?.array?.first)
            let address = try IPAddress(parsing: try #require(added.addresses.first))
            #expect(try IPPrefix(parsing: cidr).contains(address))
            #expect(entry["address"]?.string == "\(address)/26")
            #expect(entry["gateway"]?.string == bench.subnets.address4(129))
            #expect(try await bench.blocks().count == 1)
        }
    }

    @Test func `C4: of two blocks by hand that overlap the later one is refused with the names of both`() async throws {
        try await BlockBench.run(["prefixLength": 28]) { bench in
            try await bench.withNode { second in
                let wide = try await bench.assign("\(bench.subnets.address4(0))/25", to: bench.claims.node.name)
                _ = try await bench.add()
                let narrow = try await bench.assign("\(bench.subnets.address4(64))/26", to: second.name)
                let refused = try await second.add(try second.newSandbox(), bench.configuration(on: second))
                #expect(refused.code == PluginCode.poolUnusable, "\(refused)")
                for name in [wide, narrow] {
                    #expect(refused.failure?.message.contains("IPBlock \"\(name)\"") == true, "\(refused)")
                }
                _ = try await bench.add()
            }
        }
    }

    @Test func `C4: nodes that claim blocks of two lengths at once, of pools that overlap, never share an address`()
        async throws
    {
        try await BlockBench.run(["prefixLength": 29]) { bench in
            let wide = try await bench.another("wide", ["prefixLength": 28])
            var nodes: [TestNode] = []
            for _ in 0..<5 {
                nodes.append(
                    try await TestNode(
                        bench.claims.controlPlane, through: bench.claims.proxy, settings: ["timeoutSeconds": 60]))
            }
            let given = try await concurrently((0..<20).map { (nodes[$0 % 5], $0 % 2 == 0 ? bench : wide) }) {
                node, bench in
                (node.name, bench.pool, try await bench.add(on: node))
            }
            let blocks = try await bench.blocks() + wide.blocks()
            for (index, block) in blocks.enumerated() {
                for other in blocks[(index + 1)...] { #expect(!block.overlaps(other), "\(block) \(other)") }
            }
            #expect(Set(given.flatMap(\.2)).count == 20)
            for (node, pool, addresses) in given {
                let owners = blocks.filter { block in addresses.allSatisfy { block.cidr.contains($0) } }
                #expect(owners.map(\.spec.node) == [node] && owners.map(\.spec.pool) == [pool])
            }
            for node in nodes { try node.remove() }
        }
    }

    @Test func `C3: a block that is Releasing is taken back before it is used`() async throws {
        try await BlockBench.run(["prefixLength": 25]) { bench in
            let sandbox = try bench.claims.node.newSandbox()
            let added = try await bench.claims.node.add(sandbox, bench.configuration()).checked()
            try await bench.claims.node.del(sandbox, bench.configuration(), previous: added).checked()
            let block = try #require(try await bench.blocks().first)
            _ = try await bench.claims.controlPlane.withAdmin {
                try $0.patch(
                    .ipBlocks, name: block.name, patch: .merge(["spec": ["state": "Releasing"]]), deadline: .soon)
            }
            // As some seconds do.
            try bench.forget()
            let address = try #require(try await bench.add().first)
            #expect(block.cidr.contains(address))
            #expect(try await bench.blocks().map(\.spec.state) == [.active])
        }
    }

    @Test func `C3, C10: 100 first ADDs of 20 nodes at once do not fail, and each node has its own block`() async throws
    {
        try await BlockBench.run(["prefixLength": 29]) { bench in
            var nodes: [TestNode] = []
            for _ in 0..<20 {
                nodes.append(
                    try await TestNode(
                        bench.claims.controlPlane, through: bench.claims.proxy, settings: ["timeoutSeconds": 60]))
            }
            let all = nodes
            let given = try await withThrowingTaskGroup(of: (String, [String]).self) { group in
                for node in all {
                    for _ in 0..<5 {
                        let sandbox = try node.newSandbox()
                        group.addTask {
                            let outcome = try await node.add(sandbox, bench.configuration(on: node)).checked()
                            return (node.name, outcome.addresses)
                        }
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(Set(given.flatMap(\.1)).count == 100)
            let blocks = try await bench.blocks()
            for (node, addresses) in given {
                let address = try IPAddress(parsing: try #require(addresses.first))
                #expect(blocks.first { $0.cidr.contains(address) }?.spec.node == node)
            }
            #expect(Set(blocks.map(\.spec.node)).count == 20)
            #expect(blocks.count == 20, "ADDs of one node share a block")
            for node in all { try node.remove() }
        }
    }

    @Test func `a claim from a block costs one request more, and none while the node remembers it`() async throws {
        try await BlockBench.run(["prefixLength": 28]) { bench in
            // A create may meet an address that is taken.
            func reads() -> [String] { bench.claims.proxy.log.verbs.filter { $0 != "create ipallocations" } }
            bench.claims.proxy.clearLog()
            _ = try await bench.add()
            // The node's own, those that are there, the claim, and whether it overlaps another one.
            #expect(
                reads().suffix(5)
                    == ["get ippools", "list ipblocks", "list ipblocks", "create ipblocks", "list ipblocks"])
            try bench.forget()
            bench.claims.proxy.clearLog()
            _ = try await bench.add()
            #expect(reads() == ["get ippools", "list ipblocks"])
            bench.claims.proxy.clearLog()
            _ = try await bench.add()
            #expect(reads() == ["get ippools"])
        }
    }

    @Test func `STATUS claims no block, and says when none is free`() async throws {
        try await BlockBench.run(["prefixLength": 25]) { bench in
            let node = bench.claims.node
            let status = PluginCall("STATUS", configuration: bench.configuration())
            let ready = try await node.runner.run(status)
            #expect(ready.succeeded, "\(ready)")
            #expect(try await bench.blocks().isEmpty)
            for host in [0, 128] { try await bench.assign("\(bench.subnets.address4(host))/25", to: "elsewhere") }
            let refused = try await node.runner.run(status)
            #expect(!refused.succeeded)
            #expect(refused.failure?.message.contains("no block of /25 is free") == true, "\(refused)")
        }
    }
}

/// A bench with one sliced pool of a /24.
struct BlockBench: Sendable {
    let claims: ClaimBench
    let subnets: TestSubnets
    let pool: String

    static func run(
        _ nodeBlocks: JSON, ranges: (Int, Int)? = nil, cooldown: String = "0s",
        isolation: isolated (any Actor)? = #isolation, _ body: (BlockBench) async throws -> Void
    ) async throws {
        try await ClaimBench.run { try await run(nodeBlocks, ranges: ranges, cooldown: cooldown, on: $0, body) }
    }

    static func run(
        _ nodeBlocks: JSON, ranges: (Int, Int)? = nil, cooldown: String = "0s", on claims: ClaimBench,
        isolation: isolated (any Actor)? = #isolation, _ body: (BlockBench) async throws -> Void
    ) async throws {
        let subnets = Subnets.next()
        let bench = BlockBench(claims: claims, subnets: subnets, pool: subnets.name("sliced"))
        try await bench.makePool(nodeBlocks, ranges: ranges, cooldown: cooldown)
        do {
            try await body(bench)
        } catch {
            try await bench.removeBlocks()
            throw error
        }
        try await bench.removeBlocks()
    }

    /// Makes another pool of the same subnet.
    func another(_ suffix: String, _ nodeBlocks: JSON, _ ranges: (Int, Int)? = nil) async throws -> BlockBench {
        let bench = BlockBench(claims: claims, subnets: subnets, pool: subnets.name(suffix))
        try await bench.makePool(nodeBlocks, ranges: ranges, cooldown: "0s")
        return bench
    }

    private func makePool(_ nodeBlocks: JSON, ranges: (Int, Int)?, cooldown: String) async throws {
        var spec: JSON = [
            "subnet": .string(subnets.subnet4), "cooldown": .string(cooldown), "nodeBlocks": nodeBlocks,
        ]
        if let ranges {
            spec["ranges"] = [.string("\(subnets.address4(ranges.0))-\(subnets.address4(ranges.1))")]
        }
        let object: JSON = [
            "apiVersion": .string(BerthAPI.apiVersion), "kind": "IPPool",
            "metadata": [
                "name": .string(pool), "labels": [ControlPlane.testLabel: .string(claims.label)],
            ], "spec": spec,
        ]
        let name = pool
        _ = try await claims.controlPlane.withAdmin {
            try $0.create(.ipPools, name: name, object: object, deadline: .soon)
        }
        try await claims.controlPlane.compileNothing(into: pool)
    }

    func withNode(isolation: isolated (any Actor)? = #isolation, _ body: (TestNode) async throws -> Void) async throws {
        try await claims.withNode { try await body($0) }
    }

    func configuration(on node: TestNode? = nil) -> JSON { (node ?? claims.node).configuration(pools: [pool]) }

    func add(on node: TestNode? = nil) async throws -> [IPAddress] {
        let node = node ?? claims.node
        return try await node.add(try node.newSandbox(), configuration(on: node)).checked().addresses.map {
            try IPAddress(parsing: $0)
        }
    }

    func blocks() async throws -> [ValidatedBlock] {
        let options = ListOptions(labelSelector: "\(LabelKey.pool)=\(pool)")
        return try await claims.controlPlane.withAdmin { client in
            try client.list(.ipBlocks, options: options, deadline: .soon).items.map {
                try ValidatedBlock(try IPBlock($0))
            }
        }
    }

    /// Assigns a block by hand, as in config/samples.
    @discardableResult
    func assign(_ cidr: String, to node: String) async throws -> String {
        let spec = IPBlock.Spec(pool: pool, cidr: cidr, node: node)
        let name = IPBlock.objectName(network: "", try IPPrefix(parsing: cidr))
        let object: JSON = [
            "apiVersion": .string(BerthAPI.apiVersion), "kind": "IPBlock",
            "metadata": [
                "name": .string(name), "labels": [LabelKey.pool: .string(pool), LabelKey.node: .string(node)],
            ], "spec": spec.json,
        ]
        _ = try await claims.controlPlane.withAdmin {
            try $0.create(.ipBlocks, name: name, object: object, deadline: .soon)
        }
        return name
    }

    /// Lets the node forget what it remembers of LISTs.
    func forget() throws {
        let folder = "\(claims.node.journal)/pools"
        for name in try Files.names(in: folder) where name.hasSuffix(".blocks") {
            var json = try JSON(parsing: Array(try Files.text("\(folder)/\(name)").utf8))
            json["at"] = 0
            try Files.write("\(folder)/\(name)", json.description)
        }
    }

    /// Those of all pools of the subnet.
    private func removeBlocks() async throws {
        let subnet = try IPPrefix(parsing: subnets.subnet4)
        try await claims.controlPlane.withAdmin { client in
            for object in try client.list(.ipBlocks, deadline: .soon).items {
                let block = try ValidatedBlock(try IPBlock(object))
                guard subnet.contains(block.cidr.address) else { continue }
                _ = try client.delete(.ipBlocks, name: block.name, preconditions: nil, deadline: .soon)
            }
        }
    }
}
