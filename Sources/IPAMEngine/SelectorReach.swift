package import IPAMAPI
package import IPAddressing
import KubernetesCore

/// What of a Node pools may select by.
package struct NodeTraits: Hashable, Sendable {
    package var name: String
    package var labels: [String: String]
    package var addresses: [IPAddress]

    package init(name: String, labels: [String: String] = [:], addresses: [IPAddress] = []) {
        self.name = name
        self.labels = labels
        self.addresses = addresses
    }
}

/// What of a Namespace pools may select by.
package struct NamespaceTraits: Hashable, Sendable {
    package var name: String
    package var labels: [String: String]

    package init(name: String, labels: [String: String] = [:]) {
        self.name = name
        self.labels = labels
    }
}

extension PoolSelectors {
    /// The most warnings about patterns.
    private static let maximumWarnings = 5

    /// Whether it matters which namespaces there are.
    package var looksAtNamespaces: Bool { !namespaces.isEmpty || namespaceSelector != nil }

    /// By what of it no node is served, as the nodes are now. They may come: nobody is refused for this.
    ///
    /// - Parameter nodes: Every node there is. Of none nothing is said.
    package func warnings(nodes all: [NodeTraits]) -> [String] {
        guard !all.isEmpty else { return [] }
        var warnings = Self.unmatched(nodes, all.map(\.name), "spec.nodes", "node")
        for subnet in nodeSubnets where !all.contains(where: { $0.addresses.contains(where: subnet.contains) }) {
            warnings.append("spec.nodeSubnets: no node has an address in \(subnet) at present")
        }
        warnings += Self.unmet(nodeSelector, all.map(\.labels), "spec.nodeSelector", "node")
        if warnings.isEmpty {
            let facts = all.map {
                SelectionFacts(
                    node: $0.name, nodeLabels: $0.labels, nodeAddresses: $0.addresses, isRehearsal: true)
            }
            let isServed = facts.contains { nodeMismatch($0) == nil }
            return isServed
                ? [] : ["spec: no node meets nodes, nodeSubnets and nodeSelector together at present: it serves nobody"]
        }
        return Self.bounded(warnings, "node")
    }

    /// By what of it no namespace is served, as the namespaces are now.
    ///
    /// - Parameter namespaces: Every namespace there is. Of none nothing is said.
    package func warnings(namespaces all: [NamespaceTraits]) -> [String] {
        guard !all.isEmpty else { return [] }
        let warnings =
            Self.unmatched(namespaces, all.map(\.name), "spec.namespaces", "namespace")
            + Self.unmet(namespaceSelector, all.map(\.labels), "spec.namespaceSelector", "namespace")
        if warnings.isEmpty {
            let isServed = all.contains { namespace in
                (namespaces.isEmpty || namespaces.contains { $0.matches(namespace.name) })
                    && namespaceSelector?.matches(namespace.labels) != false
            }
            let warning = "spec: no namespace meets namespaces and namespaceSelector together at present"
            return isServed ? [] : ["\(warning): it serves nobody"]
        }
        return Self.bounded(warnings, "namespace")
    }

    private static func unmatched(
        _ patterns: [NamePattern], _ names: [String], _ field: String, _ kind: String
    ) -> [String] {
        patterns.filter { pattern in !names.contains { pattern.matches($0) } }
            .map { "\(field): \($0.text.debugDescription) matches no \(kind) at present" }
    }

    private static func unmet(
        _ selector: LabelSelector?, _ all: [[String: String]], _ field: String, _ kind: String
    ) -> [String] {
        guard let selector, !all.contains(where: { selector.matches($0) }) else { return [] }
        let subject = all.count == 1 ? "the only \(kind) does not have" : "none of \(all.count) \(kind)s has"
        return ["\(field): \(subject) such labels at present\(hint(selector, all, kind))"]
    }

    /// The first requirement that none meets at all, which may be misspelt.
    private static func hint(_ selector: LabelSelector, _ all: [[String: String]], _ kind: String) -> String {
        for (key, value) in selector.matchLabels.sorted(by: { $0.key < $1.key })
        where !all.contains(where: { $0[key] == value }) {
            return all.contains { $0[key] != nil } ? ": \(key)=\(value)" : ": no \(kind) has the label \(key)"
        }
        return ""
    }

    private static func bounded(_ warnings: [String], _ kind: String) -> [String] {
        let rest = warnings.count - maximumWarnings
        return warnings.prefix(maximumWarnings) + (rest > 0 ? ["more that matches no \(kind): \(rest)"] : [])
    }
}
