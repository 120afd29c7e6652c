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
        state: BlockState = .active, minute: Int? = nil
    ) throws -> ValidatedBlock {
        let new = ValidatedBlock(
            try IPPrefix(parsing: cidr), of: try valid(entry), node: node, machineID: machineID, state: state)
        guard let minute else { return new }
        return try ValidatedBlock(
            IPBlock(
                metadata: ObjectMetadata(name: new.name, creationTimestamp: "2026-01-02T03:0\(minute):00Z"),
                spec: new.spec))
    }

    private func reason(
        _ entries: [PoolEntry], _ blocks: [ValidatedBlock], taken: [String: AllocationState] = [:],
        requested: [String] = [], node: String = "n1", claim: ClaimFinding = ClaimFinding()
    ) throws -> SelectionReasoning {
        var generator = FixedGenerator()
        var addresses: [IPAddress: AllocationState?] = [:]
        for (text, state) in taken { addresses[try IPAddress(parsing: text)] = state }
        let facts = SelectionFacts(node: node)
        let input = SelectionReasoning.Input(
            request: try PoolRequest(named(entries.map(\.name)), facts: facts), facts: facts,
            requested: try requested.map { try IPAddress(parsing: $0) },
            pools: Dictionary(uniqueKeysWithValues: entries.map { ($0.name, $0) }), taken: ["": addresses],
            blocks: blocks, machineID: "m1", claim: claim)
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

    private let other = pool("other", IPPool.Spec(subnet: "10.1.0.0/30", strategy: .sequential))

    @Test func `What cools in its blocks rests while another block, or a pool behind, has something`() throws {
        let blue = sliced()
        let own = try block("10.0.0.0/30", of: blue)
        let taken: [String: AllocationState] = [
            "10.0.0.1": .bound, "10.0.0.2": .cooling, "10.0.0.3": .bound,
        ]
        let claims = try reason([blue, other], [own], taken: taken)
        #expect(claims.slots[0].outcome == .address(try IPAddress(parsing: "10.0.0.4"), pool: "blue", isOnly: true))
        #expect(claims.slots[0].considered.map(\.verdict) == [.chosen, .notNeeded])
        let blocks = [own, try block("10.0.0.4/30", of: blue, node: "n2", machineID: "m2")]
        let behind = try reason([blue, other], blocks, taken: taken)
        #expect(behind.slots[0].outcome == .address(try IPAddress(parsing: "10.1.0.1"), pool: "other", isOnly: true))
        var full = taken
        (full["10.1.0.1"], full["10.1.0.2"]) = (.bound, .cooling)
        let last = try reason([blue, other], blocks, taken: full)
        #expect(last.slots[0].outcome == .takeOver(try IPAddress(parsing: "10.0.0.2"), pool: "blue"))
        #expect(last.slots[0].considered.map(\.verdict) == [.chosen, .skipped])
        // It borrows before it takes over, and what others' blocks have cooling comes after its own.
        let borrowing = sliced(true)
        let borrowed = try reason([borrowing, other], blocks, taken: full)
        #expect(
            borrowed.slots[0].outcome == .address(try IPAddress(parsing: "10.0.0.4"), pool: "blue", isOnly: true))
    }

    @Test func `Behind a pool that may serve the node claims nothing until that is used up`() throws {
        let blue = sliced()
        #expect(
            try reason([other, blue], []).slots[0].considered.map(\.verdict) == [.chosen, .notNeeded])
        let full = try reason([other, blue], [], taken: ["10.1.0.1": .bound, "10.1.0.2": .cooling])
        #expect(full.slots[0].outcome == .address(try IPAddress(parsing: "10.0.0.1"), pool: "blue", isOnly: true))
        // For what a claim asks for, and for what the pod itself does, a block is claimed wherever the pool is.
        let claim = IPClaim(
            metadata: ObjectMetadata(name: "vip", namespace: "shop", uid: "c1"),
            spec: IPClaim.Spec(addresses: ["10.0.0.1"]))
        let finding = ClaimFinding(
            .named(annotation: "a"), key: PodKey(namespace: "shop", name: "vip"), claim: claim)
        #expect(try reason([other, blue], [], claim: finding).isServed)
        #expect(try reason([blue, other], [], claim: finding).isServed)
        #expect(try reason([other, blue], [], requested: ["10.0.0.1"]).isServed)
        // Of another pool the node may yet have more: that comes first.
        let green = pool(
            "green",
            IPPool.Spec(subnet: "10.2.0.0/29", strategy: .sequential, nodeBlocks: NodeBlocks(prefixLength: 30)))
        let two = try reason(
            [blue, green], [try block("10.0.0.0/30", of: blue), try block("10.2.0.0/30", of: green)],
            taken: ["10.0.0.1": .bound, "10.0.0.2": .bound, "10.0.0.3": .bound])
        #expect(two.slots[0].outcome == .address(try IPAddress(parsing: "10.0.0.4"), pool: "blue", isOnly: true))
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
        #expect(share.json["blocks"]?.array?.first?["leftOut"] == false)
    }

    @Test func `A block that overlaps an older one is not used, and refuses an ADD that must claim another`() throws {
        let blue = sliced()
        let later = try block("10.0.0.0/30", of: blue, machineID: "", minute: 5)
        let older = try block("10.0.0.0/31", of: blue, node: "n2", machineID: "m2", minute: 4)
        let text =
            "IPBlock \"10.0.0.0-30\" of node \"n1\" overlaps IPBlock \"10.0.0.0-31\" of node \"n2\": delete one of them"
        let alone = try reason([blue, other], [later, older])
        #expect(alone.refusal == "IPPool \"blue\": \(text)")
        #expect(
            alone.text(Style()) == """
                  IPv4
                    1. blue    in the way: \(text)
                         block 10.0.0.0/30   Active, by hand, 0 of 3 used; not used, for it overlaps IPBlock "10.0.0.0-31" of node "n2", which is older: delete one of them
                    2. other   not needed: it could serve
                    → nothing: nothing is given

                """)
        // Another block of the node serves while it has room.
        let second = try block("10.0.0.4/30", of: blue, minute: 1)
        let served = try reason([blue], [later, older, second])
        #expect(served.slots[0].outcome == .address(try IPAddress(parsing: "10.0.0.4"), pool: "blue", isOnly: true))
        let none = try reason(
            [blue], [later, older, second], taken: ["10.0.0.4": .bound, "10.0.0.5": .bound, "10.0.0.6": .cooling])
        #expect(none.refusal == "IPv4: IPPool \"blue\": \(text)")
        #expect(try reason([other, blue], [later, older], requested: ["10.0.0.1"]).refusal == alone.refusal)

        let behind = try reason([other, blue], [later, older])
        #expect(behind.slots[0].considered.map(\.verdict) == [.chosen, .notNeeded])
        #expect(behind.slots[0].considered[1].share?.json["conflict"]?.string == text)
        let taken: [String: AllocationState] = ["10.1.0.1": .bound, "10.1.0.2": .bound]
        let room = try reason([other, blue], [later, older, second], taken: taken)
        #expect(room.slots[0].outcome == .address(try IPAddress(parsing: "10.0.0.4"), pool: "blue", isOnly: true))
        let last = pool("last", IPPool.Spec(subnet: "10.3.0.0/30"))
        let full = try reason([other, blue, last], [later, older], taken: taken)
        #expect(full.refusal == "IPv4: IPPool \"blue\": \(text)")
        #expect(full.slots[0].considered.map(\.verdict) == [.skipped, .fatal, .skipped])
        #expect(
            full.slots[0].considered[1].reason
                == "this node's blocks are not in use, and the node claims no other one: \(text)")
    }

    @Test func `Of two blocks that overlap the older one is used, and of those of one moment the first by name`() throws
    {
        let blue = sliced()
        for minutes in [(4, 5), (4, 4)] {
            let own = try block("10.0.0.0/30", of: blue, minute: minutes.0)
            let other = try block("10.0.0.0/31", of: blue, node: "n2", machineID: "m2", minute: minutes.1)
            let share = try #require(try reason([blue], [own, other]).slots[0].considered[0].share)
            #expect(share.conflict == nil)
            #expect(share.isUsable)
        }
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
