import JSONText
import KubernetesCore
import Testing

@Suite struct LabelSelectorTests {
    private func selector(_ text: String) throws -> LabelSelector {
        try LabelSelector(try JSONFields(try JSON(parsing: text)))
    }

    @Test func `without requirements everything is selected`() {
        #expect(LabelSelector().matches([:]))
        #expect(LabelSelector().matches(["a": "b"]))
        #expect(LabelSelector().requirementCount == 0)
    }

    @Test(
        arguments: [
            // In and NotIn.
            (#"{"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}"#, ["a": "2"], true),
            (#"{"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}"#, ["a": "3"], false),
            (#"{"matchExpressions": [{"key": "a", "operator": "In", "values": ["1"]}]}"#, [:], false),
            (#"{"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}"#, ["a": "1"], false),
            (#"{"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}"#, ["a": "2"], true),
            (#"{"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}"#, [:], true),
            // Exists and DoesNotExist.
            (#"{"matchExpressions": [{"key": "a", "operator": "Exists"}]}"#, ["a": ""], true),
            (#"{"matchExpressions": [{"key": "a", "operator": "Exists"}]}"#, ["b": ""], false),
            (#"{"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}"#, ["b": ""], true),
            (#"{"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}"#, ["a": ""], false),
            // All must hold.
            (#"{"matchLabels": {"a": "1", "b": "2"}}"#, ["a": "1", "b": "2", "c": "3"], true),
            (#"{"matchLabels": {"a": "1", "b": "2"}}"#, ["a": "1"], false),
            (
                #"{"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}]}"#, ["a": "1"],
                false
            ),
        ] as [(String, [String: String], Bool)])
    func `requirements are those of Kubernetes`(text: String, labels: [String: String], isMatch: Bool) throws {
        #expect(try selector(text).matches(labels) == isMatch)
    }

    @Test func `what does not hold is written as kubectl takes it`() throws {
        let text = """
            {"matchLabels": {"tier": "web"}, "matchExpressions": [
            {"key": "zone", "operator": "In", "values": ["a", "b"]}, {"key": "old", "operator": "DoesNotExist"},
            {"key": "rack", "operator": "Exists"}, {"key": "os", "operator": "NotIn", "values": ["x"]}]}
            """
        let selector = try selector(text)
        var labels = ["old": "1", "os": "x"]
        #expect(selector.unmet(by: labels) == "tier=web")
        labels["tier"] = "web"
        #expect(selector.unmet(by: labels) == "zone in (a,b)")
        labels["zone"] = "b"
        #expect(selector.unmet(by: labels) == "!old")
        labels["old"] = nil
        #expect(selector.unmet(by: labels) == "rack")
        labels["rack"] = "7"
        #expect(selector.unmet(by: labels) == "os notin (x)")
        labels["os"] = "y"
        #expect(selector.unmet(by: labels) == nil)
        #expect(selector.requirementCount == 5)
        #expect(try LabelSelector(JSONFields(selector.json)) == selector)
    }

    @Test(
        arguments: [
            (#"{"matchExpressions": [{"key": "a", "operator": "In"}]}"#, "matchExpressions[0].values"),
            (
                #"{"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["1"]}]}"#,
                "matchExpressions[0].values"
            ),
            (#"{"matchExpressions": [{"key": "", "operator": "Exists"}]}"#, "matchExpressions[0].key"),
        ])
    func `a requirement that makes no sense is named`(text: String, member: String) throws {
        #expect(try selector(text).problem?.member == member)
    }

    @Test func `an operator that nobody knows is an error`() {
        #expect(throws: JSONDecodingError.self) {
            try selector(#"{"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}"#)
        }
    }
}
