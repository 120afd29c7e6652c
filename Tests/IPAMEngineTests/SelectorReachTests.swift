import IPAMAPI
import IPAddressing
import JSONText
import KubernetesCore
import Testing

@testable import IPAMEngine

/// What is warned of when a pool selects nodes, as these are now.
@Suite struct SelectorReachTests {
    private func nodes() throws -> [NodeTraits] {
        [
            NodeTraits(name: "worker-1", labels: ["zone": "a", "disk": "ssd"], addresses: [try address("10.1.0.1")]),
            NodeTraits(name: "worker-2", labels: ["zone": "b"], addresses: [try address("10.2.0.1")]),
        ]
    }

    private func warnings(_ selection: IPPool.Selection, _ nodes: [NodeTraits]) throws -> [String] {
        try PoolSelectors(selection).warnings(nodes: nodes)
    }

    @Test(
        arguments: [
            (.init(), []), (.init(nodes: ["worker-*"]), []), (.init(nodeSubnets: ["10.1.0.0/16"]), []),
            (.init(nodeSelector: LabelSelector(matchLabels: ["zone": "a"])), []),
            (.init(nodeSelector: LabelSelector()), []),
            (
                .init(nodes: ["worker-1", "rack9-*", "worker-[7-9]"]),
                [
                    "spec.nodes: \"rack9-*\" matches no node at present",
                    "spec.nodes: \"worker-[7-9]\" matches no node at present",
                ]
            ),
            (
                .init(nodeSubnets: ["10.1.0.0/16", "10.9.0.0/16"]),
                ["spec.nodeSubnets: no node has an address in 10.9.0.0/16 at present"]
            ),
            (
                .init(nodeSelector: LabelSelector(matchLabels: ["zone": "c"])),
                ["spec.nodeSelector: none of 2 nodes has such labels at present: zone=c"]
            ),
            (
                .init(nodeSelector: LabelSelector(matchLabels: ["zome": "a"])),
                ["spec.nodeSelector: none of 2 nodes has such labels at present: no node has the label zome"]
            ),
            // Each requirement is met, by different nodes.
            (
                .init(nodeSelector: LabelSelector(matchLabels: ["zone": "b", "disk": "ssd"])),
                ["spec.nodeSelector: none of 2 nodes has such labels at present"]
            ),
            (
                .init(
                    nodeSelector: LabelSelector(matchLabels: ["zone": "a"]), nodes: ["worker-2"]),
                ["spec: no node meets nodes, nodeSubnets and nodeSelector together at present: it serves nobody"]
            ),
        ] as [(IPPool.Selection, [String])])
    func `what no node meets is named`(selection: IPPool.Selection, expected: [String]) throws {
        #expect(try warnings(selection, nodes()) == expected)
        // Nobody knows the nodes.
        #expect(try warnings(selection, []).isEmpty)
    }

    @Test(
        arguments: [
            (.init(), []), (.init(namespaces: ["team-*"]), []), (.init(nodes: ["no-such"]), []),
            (.init(namespaceSelector: LabelSelector(matchLabels: ["team": "a"])), []),
            (.init(namespaceSelector: LabelSelector()), []),
            (
                .init(namespaces: ["team-a", "taem-*"]),
                ["spec.namespaces: \"taem-*\" matches no namespace at present"]
            ),
            (
                .init(namespaceSelector: LabelSelector(matchLabels: ["team": "c"])),
                ["spec.namespaceSelector: none of 2 namespaces has such labels at present: team=c"]
            ),
            (
                .init(namespaceSelector: LabelSelector(matchLabels: ["taem": "a"])),
                [
                    "spec.namespaceSelector: none of 2 namespaces has such labels at present: no namespace has the"
                        + " label taem"
                ]
            ),
            (
                .init(namespaceSelector: LabelSelector(matchLabels: ["team": "a"]), namespaces: ["team-b"]),
                ["spec: no namespace meets namespaces and namespaceSelector together at present: it serves nobody"]
            ),
        ] as [(IPPool.Selection, [String])])
    func `what no namespace meets is named`(selection: IPPool.Selection, expected: [String]) throws {
        let selectors = try PoolSelectors(selection)
        let namespaces = ["a", "b"].map { NamespaceTraits(name: "team-\($0)", labels: ["team": $0]) }
        #expect(selectors.warnings(namespaces: namespaces) == expected)
        #expect(selectors.looksAtNamespaces || expected.isEmpty)
        // Nobody knows the namespaces.
        #expect(selectors.warnings(namespaces: []).isEmpty)
    }

    @Test func `of one node, and of one namespace, it is said that they do not have the labels`() throws {
        let missing = LabelSelector(matchLabels: ["zome": "a"])
        let other = LabelSelector(matchLabels: ["zone": "b"])
        let node = [NodeTraits(name: "worker-1", labels: ["zone": "a"])]
        #expect(
            try warnings(.init(nodeSelector: missing), node) == [
                "spec.nodeSelector: the only node does not have such labels at present: no node has the label zome"
            ])
        #expect(
            try warnings(.init(nodeSelector: other), node)
                == ["spec.nodeSelector: the only node does not have such labels at present: zone=b"])
        let namespace = [NamespaceTraits(name: "shop", labels: ["zone": "a"])]
        #expect(
            try PoolSelectors(.init(namespaceSelector: missing)).warnings(namespaces: namespace) == [
                "spec.namespaceSelector: the only namespace does not have such labels at present: no namespace has the"
                    + " label zome"
            ])
        #expect(
            try PoolSelectors(.init(namespaceSelector: other)).warnings(namespaces: namespace)
                == ["spec.namespaceSelector: the only namespace does not have such labels at present: zone=b"])
    }

    @Test func `only an edit of the spec asks for the namespaces`() throws {
        let plain = try poolObject(spec: #"{"subnet": "10.0.0.0/24"}"#)
        let selecting = try poolObject(spec: #"{"subnet": "10.0.0.0/24", "namespaces": ["shop"]}"#)
        #expect(PoolEdit.selectors(old: plain, new: selecting)?.looksAtNamespaces == true)
        #expect(PoolEdit.selectors(old: nil, new: plain)?.looksAtNamespaces == false)
        #expect(PoolEdit.selectors(old: selecting, new: selecting) == nil)
        #expect(PoolEdit.selectors(old: selecting, new: nil) == nil)
        #expect(PoolEdit.selectors(old: nil, new: try poolObject(spec: "{}")) == nil)
    }

    @Test func `many patterns make few warnings, and an edit of the pool is allowed all the same`() throws {
        let patterns = (0..<9).map { "rack\($0)-*" }
        let found = try warnings(.init(nodes: patterns), nodes())
        #expect(found.count == 6)
        #expect(found.last == "more that matches no node: 4")
        let decision = PoolEdit.decide(
            old: nil, new: try poolObject(spec: #"{"subnet": "10.0.0.0/24", "nodes": ["rack1-*"]}"#), otherPools: [],
            nodes: try nodes(), index: LedgerIndex([]))
        #expect(decision == .allowed(warnings: ["spec.nodes: \"rack1-*\" matches no node at present"]))
    }

    @Test func `a block for a node that is not there is warned of`() throws {
        let pool = try ValidatedPool(
            IPPool(
                metadata: ObjectMetadata(name: "blue", uid: "u", generation: 3),
                spec: IPPool.Spec(subnet: "10.0.0.0/24", nodeBlocks: NodeBlocks(prefixLength: 26))))
        let spec = IPBlock.Spec(pool: "blue", cidr: "10.0.0.0/26", node: "n7")
        let new: JSON = ["metadata": ["name": "10.0.0.0-26"], "spec": spec.json]
        func decide(_ nodes: Set<String>) -> PoolEdit.Decision {
            BlockEdit.decide(old: nil, new: new, pools: [pool], blocks: [], nodes: nodes)
        }
        #expect(decide(["n7"]) == .allowed())
        #expect(decide([]) == .allowed())
        #expect(decide(["n1"]) == .allowed(warnings: ["spec.node: there is no node \"n7\" at present"]))
    }
}
