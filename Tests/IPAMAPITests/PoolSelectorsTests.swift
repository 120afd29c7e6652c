import IPAMAPI
import KubernetesCore
import Testing

@Suite struct PoolSelectorsTests {
    private func problems(_ key: String, _ value: String = "") throws -> [String] {
        let selector = LabelSelector(matchLabels: [key: value])
        return try PoolSelectors(IPPool.Selection(podSelector: selector)).labelProblems.map(\.description)
    }

    @Test(arguments: [
        "a", "A", "7", "app.kubernetes.io/name", "a_b.c-d", "example.com/Name_1", String(repeating: "x", count: 63),
        "\(String(repeating: "x", count: 253))/y",
    ])
    func `a name, after a DNS name or without, is a label key`(key: String) throws {
        #expect(try problems(key) == [])
    }

    @Test(arguments: [
        "", "a b", "-a", "a.", "a/", "/a", "a/b/c", "Example.com/a", "a_b/c", "\u{E4}",
        String(repeating: "x", count: 64),
        "\(String(repeating: "x", count: 254))/y",
    ])
    func `what is no label key is named`(key: String) throws {
        #expect(try problems(key) == ["spec.podSelector.matchLabels: \(key.debugDescription) is not a label key"])
    }

    @Test(arguments: ["", "a", "A_b.c-9", String(repeating: "x", count: 63)])
    func `what fits a label is a label value`(value: String) throws {
        #expect(try problems("tier", value) == [])
    }

    @Test(arguments: ["a b", "-", ".a", "a/b", String(repeating: "x", count: 64)])
    func `what is no label value is named`(value: String) throws {
        #expect(
            try problems("tier", value)
                == ["spec.podSelector.matchLabels: \"\(value)\" is not a label value (of \"tier\")"])
    }

    @Test func `every selector is looked at, and a pool with such a one makes sense all the same`() throws {
        let selection = IPPool.Selection(
            podSelector: LabelSelector(matchLabels: ["a b": "c d", "tier": "web"]),
            namespaceSelector: LabelSelector(matchExpressions: [
                .init("ok", .exists), .init("not ok", .exists), .init("tier", .isIn, ["web", "x y"]),
            ]),
            nodeSelector: LabelSelector(matchLabels: ["zone": "-"]))
        let spec = IPPool.Spec(subnet: "10.0.0.0/24", selection: selection)
        let pool = try ValidatedPool(IPPool(metadata: ObjectMetadata(name: "blue"), spec: spec))
        #expect(
            pool.selectors.labelProblems.map(\.description) == [
                "spec.podSelector.matchLabels: \"a b\" is not a label key",
                "spec.podSelector.matchLabels: \"c d\" is not a label value (of \"a b\")",
                "spec.namespaceSelector.matchExpressions[1].key: \"not ok\" is not a label key",
                "spec.namespaceSelector.matchExpressions[2].values: \"x y\" is not a label value (of \"tier\")",
                "spec.nodeSelector.matchLabels: \"-\" is not a label value (of \"zone\")",
            ])
    }
}
