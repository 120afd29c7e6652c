import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesCore
import Testing

@testable import IPAMConsole

@Suite struct BlockCheckTests {
    private func found(_ picture: ClusterPicture) -> [String] {
        LedgerCheck.findings(in: picture).map { "\($0.reason) \($0.object)" }
    }

    /// A block of the pool `blue` that the machine of the node `n1` has made.
    private func block(
        _ cidr: String, pool: String = "blue", poolUID: String = "", network: String = "", node: String = "n1",
        machineID: String = "m1", name: String? = nil
    ) throws -> BlockEntry {
        let prefix = try IPPrefix(parsing: cidr)
        let spec = IPBlock.Spec(
            pool: pool, poolUID: poolUID, cidr: cidr, network: network, node: node, machineID: machineID)
        return BlockEntry([
            "metadata": ["name": .string(name ?? IPBlock.objectName(network: network, prefix)), "uid": "u"],
            "spec": spec.json,
        ])
    }

    private func sliced(_ name: String = "blue", borrowing: Bool = false) -> PoolEntry {
        pool(
            name,
            IPPool.Spec(subnet: "10.0.0.0/24", nodeBlocks: NodeBlocks(prefixLength: 28, borrowing: borrowing)))
    }

    @Test func `Blocks that agree with pools, nodes and the ledger have nothing to be found`() throws {
        let entries = [try entry("10.0.0.7"), try entry("10.0.0.39", state: .cooling, pod: nil)]
        let blocks = [try block("10.0.0.0/28"), try block("10.0.0.16/28"), try block("10.0.1.0/28", network: "red")]
        let pools = [sliced(), pool("red", IPPool.Spec(subnet: "10.0.1.0/24", network: "red"))]
        let red = try block("10.0.1.0/28", pool: "red", network: "red")
        #expect(found(picture(entries, pools: pools, blocks: blocks.dropLast() + [red])) == [])
    }

    // MARK: Blocks

    @Test func `Blocks of one network that overlap are both found, whatever their pools`() throws {
        let blocks = [
            try block("10.0.0.0/24", pool: "wide", node: "n2", machineID: ""), try block("10.0.0.16/28"),
            try block("10.0.0.64/26", node: "n1"), try block("10.0.0.80/28"),
            try block("10.0.0.0/28", pool: "red", network: "red"), try block("10.1.0.0/28", pool: "wide"),
        ]
        let pools = [
            sliced(), pool("wide", IPPool.Spec(subnet: "10.0.0.0/8")),
            pool("red", IPPool.Spec(subnet: "10.0.0.0/24", network: "red")),
        ]
        let findings = LedgerCheck.findings(
            in: picture(pools: pools, nodes: ["n1": .ready, "n2": .ready], blocks: blocks))
        let outer = "it overlaps IPBlock \"10.0.0.0-24\" of node \"n2\""
        #expect(
            findings.map { "\($0.reason) \($0.block): \($0.message)" } == [
                "BlocksOverlap 10.0.0.0-24: it overlaps IPBlock \"10.0.0.16-28\" of node \"n1\" (and 2 more): delete one"
                    + " of them",
                "BlocksOverlap 10.0.0.16-28: \(outer): delete one of them",
                "BlocksOverlap 10.0.0.64-26: \(outer) (and 1 more): delete one of them",
                "BlocksOverlap 10.0.0.80-28: \(outer) (and 1 more): delete one of them",
            ])
        #expect(findings.map(\.pool) == ["wide", "blue", "blue", "blue"])
    }

    @Test func `A block by hand of a pool that is gone, or another, or does not have it, stays`() throws {
        let blocks = [
            try block("10.0.0.0/28", pool: "gone", machineID: ""),
            try block("10.0.0.16/28", poolUID: "an-earlier-one", machineID: ""),
            try block("10.1.0.0/28", machineID: ""), try block("10.0.0.32/28", network: "red", machineID: ""),
        ]
        let findings = LedgerCheck.findings(in: picture(pools: [sliced()], blocks: blocks))
        let stays = ", and a block by hand stays until somebody deletes it"
        #expect(
            findings.map(\.message) == [
                "there is no IPPool \"gone\"\(stays)",
                "it belongs to an earlier IPPool \"blue\" of another UID\(stays)",
                "it is no part of IPPool \"blue\": 10.0.0.0/24 in network \"\"\(stays)",
                "it is no part of IPPool \"blue\": 10.0.0.0/24 in network \"\"\(stays)",
            ])
        #expect(Set(findings.map(\.reason)) == ["BlockOfNoPool"])
        #expect(findings.allSatisfy { $0.mayBeUnderWay && !$0.isReturned })
        // Of a pool that makes no sense nobody can say what is a part of it.
        let senseless = [pool("blue", IPPool.Spec(subnet: "no"))]
        #expect(found(picture(pools: senseless, blocks: [try block("10.1.0.0/28")])) == [])
    }

    @Test func `A block by hand of a node that is gone stays`() throws {
        let blocks = [try block("10.0.0.0/28", node: "n9", machineID: "")]
        let finding = try #require(LedgerCheck.findings(in: picture(pools: [sliced()], blocks: blocks)).first)
        #expect(finding.reason == "BlockOfNoNode")
        #expect(finding.node == "n9")
        #expect(
            finding.message == "there is no node \"n9\", and a block by hand stays until somebody deletes it")
    }

    @Test func `Of a block that a node made, the controller has time to return it once it is empty`() throws {
        let blocks = [try block("10.0.0.0/28", pool: "gone"), try block("10.0.0.16/28", node: "n9")]
        let findings = LedgerCheck.findings(in: picture(pools: [sliced()], blocks: blocks))
        #expect(findings.map(\.reason) == ["BlockOfNoNode", "BlockOfNoPool"].reversed())
        #expect(findings.allSatisfy { $0.isReturned })
        #expect(
            findings.last?.message == "there is no node \"n9\", it is empty, and the controller has not returned it")
        let entries = [try entry("10.0.0.17", node: "n9"), try entry("10.0.0.18", state: .cooling, node: "n9")]
        for entry in entries {
            #expect(found(picture([entry], pools: [sliced()], blocks: [blocks[1]])) == [])
        }
    }

    @Test func `A block that nobody understands is found, and counts for nothing`() throws {
        let blocks = [
            try block("10.0.0.0/28", name: "mine"), BlockEntry(["metadata": ["name": "10.0.0.16-28"], "spec": [:]]),
        ]
        let findings = LedgerCheck.findings(in: picture(pools: [sliced()], blocks: blocks))
        #expect(
            findings.map { "\($0.reason) \($0.object)" } == [
                "Unreadable ipblock/10.0.0.16-28", "Unreadable ipblock/mine",
            ])
        #expect(
            findings.last?.message
                == "nobody claims from it, for it cannot be understood: metadata.name: \"mine\" is not \"10.0.0.0-28\","
                + " after its network and CIDR")
    }

    // MARK: Addresses

    @Test func `An address in use outside of the blocks of its node is a stranger`() throws {
        let blocks = [try block("10.0.0.0/28"), try block("10.0.0.16/28", node: "n2", machineID: "m2")]
        let claim = ClaimReference(namespace: "shop", name: "db", uid: "claim-uid")
        let entries = [
            try entry("10.0.0.7"), try entry("10.0.0.17"), try entry("10.0.0.99", claim: claim),
            // Nobody uses it: what a claim keeps stays where it is.
            try entry("10.0.0.100", state: .held, claim: claim), try entry("10.0.0.101", state: .cooling),
            try entry("10.0.0.102", origin: .manual, node: "n1", pod: nil),
        ]
        let nodes = ["n1": NodeFact.ready, "n2": .ready]
        let findings = LedgerCheck.findings(in: picture(entries, pools: [sliced()], nodes: nodes, blocks: blocks))
        #expect(
            findings.map { "\($0.reason) \($0.allocation): \($0.message)" } == [
                "OutsideBlocks 10.0.0.17: it is in no block that node n1 has of IPPool \"blue\", but in IPBlock"
                    + " \"10.0.0.16-28\" of node \"n2\"",
                "OutsideBlocks 10.0.0.99: it is in no block that node n1 has of IPPool \"blue\"",
            ])
        #expect(findings.allSatisfy { $0.mayBeUnderWay && $0.isAboutBlocks })
        // A pool that lends, one that is not sliced, and a server that knows no blocks.
        #expect(found(picture(entries, pools: [sliced(borrowing: true)], nodes: nodes, blocks: blocks)) == [])
        #expect(found(picture(entries, pools: [pool()], nodes: nodes, blocks: blocks)) == [])
        #expect(found(picture(entries, pools: [sliced()], nodes: nodes)) == [])
    }

    @Test func `Another machine of the node's name has other blocks, and one by hand is any machine's`() throws {
        let entries = [try entry("10.0.0.7", machineID: "m1")]
        for (owner, expected) in [("m2", ["OutsideBlocks 10.0.0.7"]), ("", [])] {
            let blocks = [try block("10.0.0.0/28", machineID: owner)]
            #expect(found(picture(entries, pools: [sliced()], blocks: blocks)) == expected)
        }
        // Which machine it is on is not known.
        let unknown = [try entry("10.0.0.7", machineID: "")]
        #expect(found(picture(unknown, pools: [sliced()], blocks: [try block("10.0.0.0/28", machineID: "m2")])) == [])
    }
}
