import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesCore
import Testing

@testable import IPAMConsole

/// What `explain` says of pools that are given to nodes in blocks.
@Suite struct NodeShareTests {
    private func sliced(_ borrowing: Bool = false, _ subnet: String = "10.0.0.0/29") -> PoolEntry {
        pool(
            "blue",
            IPPool.Spec(
                subnet: subnet, strategy: .sequential,
                nodeBlocks: NodeBlocks(prefixLength: 30, borrowing: borrowing)))
    }

    private func block(
        _ cidr: String, of entry: PoolEntry, node: String = "n1", machineID: String = "m1",
        state: BlockState = .active
    ) throws -> ValidatedBlock {
        ValidatedBlock(
            try IPPrefix(parsing: cidr), of: try valid(entry), node: node, machineID: machineID, state: state)
    }

    private func reason(
        _ entries: [PoolEntry], _ blocks: [ValidatedBlock], taken: [String: AllocationState] = [:],
        requested: [String] = [], node: String = "n1"
    ) throws -> SelectionReasoning {
        var generator = FixedGenerator()
        var addresses: [IPAddress: AllocationState?] = [:]
        for (text, state) in taken { addresses[try IPAddress(parsing: text)] = state }
        let facts = SelectionFacts(node: node)
        let input = SelectionReasoning.Input(
            request: try PoolRequest(named(entries.map(\.name)), facts: facts), facts: facts,
            requested: try requested.map { try IPAddress(parsing: $0) },
            pools: Dictionary(uniqueKeysWithValues: entries.map { ($0.name, $0) }), taken: ["": addresses],
            blocks: blocks, machineID: "m1")
        return SelectionReasoning(input, using: &generator)
    }

    @Test func `The node's own blocks serve, and others' are not touched`() throws {
        let blue = sliced()
        let blocks = [
            try block("10.0.0.4/30", of: blue), try block("10.0.0.0/30", of: blue, node: "n2", machineID: "m2"),
        ]
        #expect(
            try reason([blue], blocks, taken: ["10.0.0.4": .bound]).text(Style()) == """
                  IPv4
                    1. blue   chosen: 2 of 3 addresses are free in this node's blocks
                         block 10.0.0.4/30   Active, 1 of 3 used
                         when they are full the node gets nothing: none of 2 blocks of /30 is free
                    → 10.0.0.5 of blue

                """)
    }

    @Test func `A node without a block, or with full ones, claims the next`() throws {
        let blue = sliced()
        let first = try reason([blue], [])
        #expect(first.slots[0].outcome == .address(try IPAddress(parsing: "10.0.0.1"), pool: "blue", isOnly: true))
        #expect(
            first.slots[0].considered[0].reason
                == "node \"n1\" has no block: the node claims one of the 2 blocks of /30 that are free, of 2")
        let full = try reason(
            [blue], [try block("10.0.0.0/30", of: blue)],
            taken: ["10.0.0.1": .bound, "10.0.0.2": .bound, "10.0.0.3": .bound])
        #expect(full.slots[0].outcome == .address(try IPAddress(parsing: "10.0.0.4"), pool: "blue", isOnly: true))
        #expect(full.slots[0].considered[0].share?.next == .claim)
    }

    @Test func `What cools in its blocks is taken over before another one is claimed`() throws {
        let blue = sliced()
        let reasoning = try reason(
            [blue, pool("other", IPPool.Spec(subnet: "10.1.0.0/24"))], [try block("10.0.0.0/30", of: blue)],
            taken: ["10.0.0.1": .bound, "10.0.0.2": .cooling, "10.0.0.3": .bound])
        #expect(reasoning.slots[0].outcome == .takeOver(try IPAddress(parsing: "10.0.0.2"), pool: "blue"))
        #expect(reasoning.slots[0].considered.map(\.verdict) == [.chosen, .notNeeded])
    }

    @Test func `A block on its way back is taken back before a free one is claimed`() throws {
        let blue = sliced()
        let resting = try block("10.0.0.4/30", of: blue, state: .releasing)
        let share = try #require(try reason([blue], [resting]).slots[0].considered[0].share)
        #expect(share.next == .takeBack("10.0.0.4-30"))
        #expect(share.blocks.map(\.state) == [.releasing])
    }

    @Test func `Without a free block the node borrows where it may, and else the next pool serves`() throws {
        for borrowing in [true, false] {
            let blue = sliced(borrowing)
            let others = try ["10.0.0.0/30", "10.0.0.4/30"].map {
                try block($0, of: blue, node: "n2", machineID: "m2")
            }
            let reasoning = try reason([blue, pool("other", IPPool.Spec(subnet: "10.1.0.0/24"))], others)
            guard case .address(_, let name, _) = reasoning.slots[0].outcome else {
                Issue.record("\(reasoning)")
                continue
            }
            #expect(name == (borrowing ? "blue" : "other"))
            #expect(reasoning.slots[0].considered[0].share?.next == (borrowing ? .borrow : .nothing))
        }
    }

    @Test func `Another machine's blocks are not the node's, those by hand are, and one that overlaps is named`() throws
    {
        let blue = sliced()
        let blocks = [
            try block("10.0.0.0/30", of: blue, machineID: ""), try block("10.0.0.4/30", of: blue, machineID: "m9"),
            try block("10.0.0.0/31", of: blue, node: "n2", machineID: "m2"),
        ]
        let share = try #require(try reason([blue], blocks).slots[0].considered[0].share)
        #expect(share.blocks.map(\.name) == ["10.0.0.0-30"])
        #expect(share.blocks[0].isByHand)
        #expect(share.blocks[0].overlap == "IPBlock \"10.0.0.0-31\" of node \"n2\"")
        #expect(share.json["blocks"]?.array?.first?["byHand"] == true)
    }

    @Test func `A requested address must be in a block of the node`() throws {
        let blue = sliced()
        let reasoning = try reason([blue], [try block("10.0.0.0/30", of: blue)], requested: ["10.0.0.5"])
        #expect(reasoning.refusal?.contains("outside of this node's blocks") == true, "\(reasoning)")
    }

    @Test func `Without a node there is no share`() throws {
        #expect(try reason([sliced()], [], node: "").slots[0].considered[0].share == nil)
    }

    @Test func `status counts blocks by pool and node`() throws {
        let blue = sliced()
        let blocks = [
            try block("10.0.0.0/30", of: blue), try block("10.0.0.4/30", of: blue, node: "n2", state: .releasing),
        ]
        let report = StatusReport(
            [StatusReport.Pool(blue, PoolFigures(counting: [], in: try valid(blue)))], blocks: blocks)
        #expect(
            report.text(Style(), isWide: false).contains(
                """
                BLOCKS OF   SIZE   USED   RELEASING   FREE   TOTAL   NODES
                blue        /30       1           1      0       2       2

                """))
        #expect(report.text(Style(), isWide: true).contains("blue        n2        0           1         0"))
        #expect(report.problems.contains { $0.hasPrefix("IPPool blue has no free block of /30: ") })
        #expect(report.json["nodeBlocks"]?.array?.first?["nodes"]?.array?.count == 2)
    }
}
