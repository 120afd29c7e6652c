package import IPAddressing
package import KubernetesCore

/// Whom a pool is for: everything that is given must hold, and what is not given does not matter.
package struct PoolSelectors: Hashable, Sendable {
    package let isDefault: Bool
    package let allowsPodSelection: Bool
    package let podSelector: LabelSelector?
    package let namespaceSelector: LabelSelector?
    package let nodeSelector: LabelSelector?
    package let namespaces: [NamePattern]
    package let nodes: [NamePattern]
    package let interfaces: [NamePattern]
    package let networks: [NamePattern]
    package let masters: [NamePattern]
    package let nodeSubnets: [IPPrefix]

    package init(_ selection: IPPool.Selection) throws(PoolProblem) {
        isDefault = selection.isDefault
        allowsPodSelection = selection.allowPodSelection
        podSelector = try Self.checked(selection.podSelector, field: "spec.podSelector")
        namespaceSelector = try Self.checked(selection.namespaceSelector, field: "spec.namespaceSelector")
        nodeSelector = try Self.checked(selection.nodeSelector, field: "spec.nodeSelector")
        namespaces = try Self.patterns(selection.namespaces, field: "spec.namespaces")
        nodes = try Self.patterns(selection.nodes, field: "spec.nodes")
        interfaces = try Self.patterns(selection.interfaces, field: "spec.interfaces")
        networks = try Self.patterns(selection.networks, field: "spec.networks")
        masters = try Self.patterns(selection.masters, field: "spec.masters")
        var subnets: [IPPrefix] = []
        for (index, text) in selection.nodeSubnets.enumerated() {
            subnets.append(try PoolText.prefix(text, field: "spec.nodeSubnets[\(index)]"))
        }
        nodeSubnets = subnets
    }

    /// How much is asked of those whom the pool serves: the labels that its selectors look at, and its lists. Among
    /// default pools the more specific one comes first.
    package var specificity: Int {
        let labels = [podSelector, namespaceSelector, nodeSelector].reduce(0) { $0 + ($1?.requirementCount ?? 0) }
        let lists = [namespaces, nodes, interfaces, networks, masters].count { !$0.isEmpty }
        return labels + lists + (nodeSubnets.isEmpty ? 0 : 1)
    }

    private static func checked(_ selector: LabelSelector?, field: String) throws(PoolProblem) -> LabelSelector? {
        if let problem = selector?.problem {
            throw PoolProblem(field: "\(field).\(problem.member)", message: problem.text)
        }
        return selector
    }

    private static func patterns(_ texts: [String], field: String) throws(PoolProblem) -> [NamePattern] {
        var patterns: [NamePattern] = []
        for (index, text) in texts.enumerated() {
            do {
                patterns.append(try NamePattern(parsing: text))
            } catch {
                throw PoolProblem(field: "\(field)[\(index)]", message: "\(error)")
            }
        }
        return patterns
    }
}
