import IPAMAPI
import IPAddressing
import JSONText
import KubernetesCore
import Testing

@testable import IPAMEngine

/// What is decided about blocks and about pools that are sliced.
@Suite struct BlockEditTests {
    private func sliced(
        _ subnet: String = "10.0.0.0/24", _ blocks: NodeBlocks = NodeBlocks(prefixLength: 26),
        ranges: [String] = [], exclude: [String] = [], gateway: String? = nil, routes: [IPPool.RouteSpec] = []
    ) throws -> ValidatedPool {
        try ValidatedPool(
            IPPool(
                metadata: ObjectMetadata(name: "blue", uid: "uid-blue", generation: 3),
                spec: IPPool.Spec(
                    subnet: subnet, ranges: ranges, exclude: exclude, gateway: gateway, routes: routes,
                    nodeBlocks: blocks)))
    }

    private func block(
        _ cidr: String, of pool: ValidatedPool, node: String = "n1"
    ) throws -> ValidatedBlock {
        ValidatedBlock(try IPPrefix(parsing: cidr), of: pool, node: node, machineID: "m")
    }

    @Test(arguments: [
        ("10.0.1.0/24", "", "10.0.1.0-24"), ("fd00:1::/64", "", "fd00-1---64"),
        ("10.0.1.0/24", "red", "red.10.0.1.0-24"),
        ("::/8", "", "0---8"), ("::5:0/112", "red", "red.0--5-0-112"),
    ])
    func `the name of a block is its CIDR in its network`(cidr: String, network: String, name: String) throws {
        let found = IPBlock.objectName(network: network, try IPPrefix(parsing: cidr))
        #expect(found == name)
        #expect(BerthAPI.isSubdomain(found))
    }

    // MARK: Slices

    @Test(
        arguments: [
            // Prefix, gateway, what of 10.0.0.64/26 can be had.
            (NodeBlocks(prefixLength: 26), "10.0.0.64", "10.0.0.127", nil),
            (NodeBlocks(prefixLength: 26, resultPrefix: .block), "10.0.0.65", "10.0.0.126", nil),
            (NodeBlocks(prefixLength: 26, gateway: .firstAddress), "10.0.0.64", "10.0.0.127", "10.0.0.65"),
            (
                NodeBlocks(prefixLength: 26, resultPrefix: .block, gateway: .firstAddress), "10.0.0.66", "10.0.0.126",
                "10.0.0.65"
            ),
        ] as [(NodeBlocks, String, String, String?)])
    func `a pool is narrowed to a block`(
        blocks: NodeBlocks, first: String, last: String, gateway: String?
    ) throws {
        let pool = try sliced("10.0.0.0/24", blocks)
        let narrowed = pool.narrowed(to: [try block("10.0.0.64/26", of: pool)], isLast: false)
        let slice = try #require(narrowed.first)
        #expect(narrowed.count == 1)
        #expect(slice.usable.first == (try address(first)))
        #expect(slice.usable.last == (try address(last)))
        #expect(slice.gateway?.description == gateway)
        #expect(gateway.map { slice.usable.contains(IPAddress($0) ?? slice.subnet.first) } != true)
        #expect(slice.subnet.length == (blocks.resultPrefix == .block ? 26 : 24))
        #expect(slice.spans(try address("10.0.0.100")))
        #expect(!slice.spans(try address("10.0.0.1")))
    }

    @Test func `several blocks are one alternative where results do not differ, and otherwise one each, in order`()
        throws
    {
        for (blocks, count) in [
            (NodeBlocks(prefixLength: 26), 1), (NodeBlocks(prefixLength: 26, resultPrefix: .block), 2),
            (NodeBlocks(prefixLength: 26, gateway: .firstAddress), 2),
        ] {
            let pool = try sliced("10.0.0.0/24", blocks)
            let own = [try block("10.0.0.128/26", of: pool), try block("10.0.0.0/26", of: pool)]
            let narrowed = pool.narrowed(to: own, isLast: false)
            #expect(narrowed.count == count)
            #expect(narrowed.flatMap { $0.slice?.blocks ?? [] } == ["10.0.0.128-26", "10.0.0.0-26"])
        }
    }

    @Test func `borrowing adds what is not the node's, once no block is free`() throws {
        let pool = try sliced("10.0.0.0/24", NodeBlocks(prefixLength: 26, borrowing: true))
        let own = [try block("10.0.0.128/26", of: pool)]
        #expect(pool.narrowed(to: own, isLast: false).count == 1)
        let narrowed = pool.narrowed(to: own, isLast: true)
        #expect(narrowed.map(\.usable.count) == [64, 190])
        #expect(narrowed[0].usable.intersection(narrowed[1].usable).isEmpty)
    }

    @Test func `free blocks are those that nothing overlaps, of which the pool has something to give`() throws {
        let pool = try sliced(ranges: ["10.0.0.10-10.0.0.150"])
        #expect(pool.blockCount == 3)
        func free(_ taken: [String]) throws -> [String] {
            let numbers = pool.freeBlocks(besides: try taken.map { try IPPrefix(parsing: $0) })
            return (0..<Int(numbers.count)).compactMap { numbers.element(at: UInt128($0)) }.compactMap {
                pool.block(at: $0)?.description
            }
        }
        #expect(try free([]) == ["10.0.0.0/26", "10.0.0.64/26", "10.0.0.128/26"])
        #expect(try free(["10.0.0.64/26"]) == ["10.0.0.0/26", "10.0.0.128/26"])
        #expect(try free(["10.0.0.0/25"]) == ["10.0.0.128/26"])
        #expect(try free(["10.0.0.66/31", "fd00::/64", "10.1.0.0/16"]) == ["10.0.0.0/26", "10.0.0.128/26"])
        #expect(try free(["10.0.0.0/8"]).isEmpty)
        let wide = try sliced("fd00::/16", NodeBlocks(prefixLength: 112))
        #expect(wide.freeBlocks(besides: []).count == wide.blockCount)
        #expect(wide.blockCount == 1 << 96)
    }

    @Test func `a hint that does not cover the block is none`() throws {
        let status = try IPPool.Status.hint(first: "10.0.0.0", bytes: 8, free: "10.0.0.9")
        let pool = try ValidatedPool(
            IPPool(
                metadata: ObjectMetadata(name: "blue", uid: "u", generation: 3),
                spec: IPPool.Spec(subnet: "10.0.0.0/24", nodeBlocks: NodeBlocks(prefixLength: 26)), status: status))
        #expect(pool.narrowed(to: [try block("10.0.0.0/26", of: pool)], isLast: false)[0].occupancy != nil)
        #expect(pool.narrowed(to: [try block("10.0.0.64/26", of: pool)], isLast: false)[0].occupancy == nil)
    }

    // MARK: Edits

    @Test(arguments: [
        (
            #"{"subnet": "10.0.0.0/24", "nodeBlocks": {"prefixLength": 24}}"#,
            "spec.nodeBlocks.prefixLength: 24 is not longer"
        ),
        (#"{"subnet": "10.0.0.0/24", "nodeBlocks": {"prefixLength": 33}}"#, "spec.nodeBlocks.prefixLength: "),
        (
            #"{"subnet": "10.0.0.0/24", "nodeBlocks": {"prefixLength": 26, "borrowing": true, "resultPrefix": "Block"}}"#,
            "spec.nodeBlocks.borrowing: "
        ),
        (
            #"{"subnet": "10.0.0.0/24", "nodeBlocks": {"prefixLength": 26, "borrowing": true, "gateway": "FirstAddress"}}"#,
            "spec.nodeBlocks.borrowing: "
        ),
        (
            #"{"subnet": "10.0.0.0/24", "nodeBlocks": {"prefixLength": 32, "gateway": "FirstAddress"}}"#,
            "spec.nodeBlocks.gateway: "
        ),
        (
            #"{"subnet": "10.0.0.0/24", "gateway": "10.0.0.1", "nodeBlocks": {"prefixLength": 26, "resultPrefix": "Block"}}"#,
            "spec.gateway: "
        ),
        (
            #"{"subnet": "10.0.0.0/24", "routes": [{"dst": "10.0.0.0/8", "gw": "10.0.0.9"}], "nodeBlocks": {"prefixLength": 26, "resultPrefix": "Block"}}"#,
            "spec.routes[0].gw: "
        ),
    ])
    func `a pool whose slicing makes no sense is refused`(spec: String, beginning: String) throws {
        let decision = PoolEdit.decide(
            old: nil, new: try poolObject(spec: spec), otherPools: [], index: LedgerIndex([]))
        guard case .refused(let message) = decision else {
            Issue.record("\(decision)")
            return
        }
        #expect(message.hasPrefix(beginning), "\(message)")
    }

    @Test func `the prefix length stays while blocks or allocations exist`() throws {
        let (old, new) = (
            #"{"subnet": "10.0.0.0/24", "nodeBlocks": {"prefixLength": 26}}"#,
            #"{"subnet": "10.0.0.0/24", "nodeBlocks": {"prefixLength": 27}}"#
        )
        func decide(_ blocks: [ValidatedBlock]) throws -> PoolEdit.Decision {
            PoolEdit.decide(
                old: try poolObject(spec: old), new: try poolObject(spec: new), otherPools: [], blocks: blocks,
                index: LedgerIndex([]))
        }
        #expect(try decide([]) == .allowed())
        let own = try block("10.0.0.64/26", of: try sliced())
        #expect(
            try decide([own])
                == .refused(
                    "spec.nodeBlocks.prefixLength: immutable while allocations or blocks exist, it is 26; nodes have blocks:"
                        + " 10.0.0.64-26 (n1)"))
    }

    @Test func `a block by hand that overlaps is refused with the names of both, and one beside the pool`() throws {
        let pool = try sliced()
        let others = [try block("10.0.0.64/26", of: pool, node: "n2")]
        func decide(_ cidr: String, _ network: String = "") throws -> PoolEdit.Decision {
            let prefix = try IPPrefix(parsing: cidr)
            let spec = IPBlock.Spec(pool: "blue", cidr: cidr, network: network, node: "n1")
            let name = IPBlock.objectName(network: network, prefix)
            return BlockEdit.decide(
                old: nil, new: ["metadata": ["name": .string(name)], "spec": spec.json], pools: [pool], blocks: others)
        }
        #expect(try decide("10.0.0.0/26") == .allowed())
        #expect(
            try decide("10.0.0.0/25")
                == .refused(
                    "spec.cidr: IPBlock \"10.0.0.0-25\" of node \"n1\" overlaps IPBlock \"10.0.0.64-26\" of node \"n2\""
                ))
        for (cidr, network) in [("10.0.1.0/26", ""), ("10.0.0.0/26", "red")] {
            guard case .refused(let message) = try decide(cidr, network) else {
                Issue.record("\(cidr)")
                continue
            }
            #expect(message.contains("is no part of IPPool \"blue\""))
        }
    }

    @Test func `the condition BlocksExhausted says whether a block is free`() throws {
        let pool = try sliced("10.0.0.0/24", NodeBlocks(prefixLength: 25))
        let first = try block("10.0.0.0/25", of: pool)
        func finding(_ blocks: [ValidatedBlock]?) -> Condition? {
            PoolCensus.status(of: pool, blocks: blocks, index: LedgerIndex([]), now: "2025-11-20T10:00:00Z").conditions
                .first { $0.type == "BlocksExhausted" }
        }
        #expect(finding(nil) == nil)
        #expect(finding([first])?.status == .false)
        let all = [first, try block("10.0.0.128/25", of: pool)]
        #expect(finding(all)?.status == .true)
        #expect(finding(all)?.message.contains("none of 2 blocks of /25 is free") == true)
    }
}
