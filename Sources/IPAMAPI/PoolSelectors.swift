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

    /// Keys and values of selectors that no label can have. They make nothing fail: nobody is served by them, and whoever
    /// writes the pool is told.
    package var labelProblems: [PoolProblem] {
        [
            ("spec.podSelector", podSelector), ("spec.namespaceSelector", namespaceSelector),
            ("spec.nodeSelector", nodeSelector),
        ].flatMap { field, selector in selector.map { Self.labelProblems($0, field: field) } ?? [] }
    }

    private static func labelProblems(_ selector: LabelSelector, field: String) -> [PoolProblem] {
        var problems: [PoolProblem] = []
        func checkKey(_ key: String, _ field: String) {
            guard !isLabelKey(key) else { return }
            problems.append(PoolProblem(field: field, message: "\(key.debugDescription) is not a label key"))
        }
        func checkValue(_ value: String, of key: String, _ field: String) {
            guard !LabelValue.isValid(value) else { return }
            problems.append(
                PoolProblem(
                    field: field,
                    message: "\(value.debugDescription) is not a label value (of \(key.debugDescription))"))
        }
        for (key, value) in selector.matchLabels.sorted(by: { $0.key < $1.key }) {
            checkKey(key, "\(field).matchLabels")
            checkValue(value, of: key, "\(field).matchLabels")
        }
        for (index, requirement) in selector.matchExpressions.enumerated() {
            let field = "\(field).matchExpressions[\(index)]"
            checkKey(requirement.key, "\(field).key")
            for value in requirement.values { checkValue(value, of: requirement.key, "\(field).values") }
        }
        return problems
    }

    /// Whether Kubernetes takes a text as the key of a label: a name of at most 63 letters, digits, `-`, `_` and `.` with a
    /// letter or digit at both ends, after a DNS-1123 subdomain and `/` or without.
    private static func isLabelKey(_ text: String) -> Bool {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard let name = parts.last, parts.count <= 2, !name.isEmpty else { return false }
        return LabelValue.isValid(name) && (parts.count == 1 || BerthAPI.isSubdomain(parts[0]))
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
