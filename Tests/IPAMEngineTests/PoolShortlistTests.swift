import IPAMAPI
import IPAddressing
import JSONText
import KubernetesCore
import Testing

@testable import IPAMEngine

@Suite struct PoolShortlistTests {
    private struct Scene {
        var pools: [IPPool]
        var demand: PoolDemand
        var facts: SelectionFacts
        var families: [IPFamily]?
    }

    /// Pools of all kinds of selectors, few of which are for anybody.
    private static func scene(_ seed: UInt64) throws -> Scene {
        var random = SplitMix64(seed: seed)
        func maybe<Value>(_ chance: Int, _ value: Value) -> Value? {
            Int.random(in: 0..<chance, using: &random) == 0 ? value : nil
        }
        func label() -> LabelSelector {
            LabelSelector(matchLabels: ["rack": "r\(Int.random(in: 0..<3, using: &random))"])
        }
        var pools: [IPPool] = []
        for index in 0..<Int.random(in: 0..<30, using: &random) {
            let selection = IPPool.Selection(
                isDefault: Bool.random(using: &random), allowPodSelection: Bool.random(using: &random),
                podSelector: maybe(4, label()), namespaceSelector: maybe(6, label()), nodeSelector: maybe(4, label()),
                namespaces: maybe(5, ["shop", "o*"]) ?? [], nodes: maybe(5, ["n[1-2]"]) ?? [],
                interfaces: maybe(8, ["net1"]) ?? [], nodeSubnets: maybe(6, ["192.0.2.0/24"]) ?? [])
            let spec = IPPool.Spec(
                subnet: Bool.random(using: &random) ? "10.\(index).0.0/24" : "fd00:\(index + 1)::/64",
                disabled: maybe(6, true) ?? false, draining: maybe(8, true) ?? false, selection: selection)
            let labels = maybe(8, [LabelKey.inline: "true"]) ?? [:]
            pools.append(
                IPPool(
                    metadata: ObjectMetadata(name: "p\(index)", uid: "u\(index)", generation: 1, labels: labels),
                    spec: spec))
        }
        let marks = ["rack": "r\(Int.random(in: 0..<3, using: &random))"]
        let named = try ["p1*", "p2", "p?"].map { try NamePattern(parsing: $0) }
        let annotations = maybe(3, ["ipam.berth.dev/pools": "p2*,p1?"]) ?? [:]
        return Scene(
            pools: pools, demand: Bool.random(using: &random) ? .defaults : .named(named),
            facts: SelectionFacts(
                pod: .init(namespace: "shop", name: "web", marks: .init(labels: marks, annotations: annotations)),
                namespace: .init(labels: marks), node: "n\(Int.random(in: 1...3, using: &random))", nodeLabels: marks,
                nodeAddresses: [try IPAddress(parsing: "192.0.2.\(Int.random(in: 1...9, using: &random))")]),
            families: maybe(4, [.v4]))
    }

    @Test(arguments: 0..<300)
    func `what is chosen from the shortlist is what is chosen from all pools`(seed: UInt64) throws {
        let scene = try Self.scene(seed)
        let request = try PoolRequest(scene.demand, families: scene.families, facts: scene.facts)
        let outlines = try scene.pools.map { pool in
            try PoolOutline(PoolOutline.reduced(json(pool)))
        }
        let readings = Dictionary(
            uniqueKeysWithValues: try scene.pools.map {
                ($0.metadata.name, PoolSelection.Reading.success(try ValidatedPool($0)))
            })
        let all = PoolSelection(request.list, request, pools: readings, facts: scene.facts)
        let shortlist = PoolShortlist(request.list, request, outlines: outlines, facts: scene.facts)
        let few = PoolSelection(
            request.list, request,
            pools: readings.filter { name, _ in shortlist.outlines.contains { $0.name == name } },
            facts: scene.facts)
        guard all.problem == nil else {
            // What it says wants all pools.
            #expect(few.problem != nil)
            return
        }
        #expect(try few.plans().map(\.pools) == all.plans().map(\.pools))
        let open = try all.plans().flatMap(\.pools).map(\.name)
        #expect(Set(open).isSubset(of: shortlist.outlines.filter { !$0.isClosed }.map(\.name)))
    }

    @Test func `the first of each family are read, and all that are closed`() throws {
        let outlines = try (0..<40).map { index in
            let spec = IPPool.Spec(
                subnet: index % 2 == 0 ? "10.\(index).0.0/24" : "fd00:\(index + 1)::/64", disabled: index >= 38,
                selection: .init(isDefault: true))
            let number = index < 10 ? "0\(index)" : "\(index)"
            return try PoolOutline(
                json(IPPool(metadata: ObjectMetadata(name: "p\(number)", uid: "u", generation: 1), spec: spec)))
        }
        let facts = SelectionFacts()
        let request = try PoolRequest(.defaults, facts: facts)
        let first = PoolShortlist(nil, request, outlines: outlines.shuffled(), facts: facts).first
        #expect(first.names == (0..<16).map { $0 < 10 ? "p0\($0)" : "p\($0)" } + ["p38", "p39"])
        #expect(first.isCut)
        #expect(!PoolShortlist(nil, request, outlines: outlines[..<16], facts: facts).first.isCut)
    }

    @Test func `an outline knows whether its pool takes new claims`() throws {
        func outline(_ change: (inout IPPool) -> Void) throws -> PoolOutline {
            var pool = IPPool(
                metadata: ObjectMetadata(name: "p", uid: "u", generation: 3), spec: .init(subnet: "10.0.0.0/8"))
            change(&pool)
            return try PoolOutline(PoolOutline.reduced(json(pool)))
        }
        #expect(try !outline { _ in }.isClosed)
        #expect(try outline { $0.spec.disabled = true }.isClosed)
        #expect(try outline { $0.spec.draining = true }.isClosed)
        #expect(try outline { $0.metadata.deletionTimestamp = "2030-01-01T00:00:00Z" }.isClosed)
        #expect(try outline { $0.spec.stickiness = .pods }.stickiness == .pods)
        #expect(throws: (any Error).self) { try outline { $0.spec.selection.nodes = ["[1"] } }
    }

    /// As the server gives it.
    private func json(_ pool: IPPool) -> JSON {
        var json = pool.newObject()
        json["metadata"]?["uid"] = .string(pool.metadata.uid)
        json["metadata"]?["generation"] = .int(pool.metadata.generation)
        json["metadata"]?["deletionTimestamp"] = pool.metadata.deletionTimestamp.map { .string($0) }
        json["status"] = ["capacity": 1]
        return json
    }
}
