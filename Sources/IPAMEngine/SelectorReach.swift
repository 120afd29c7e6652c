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

extension PoolSelectors {
    /// The most warnings about patterns.
    private static let maximumWarnings = 5

    /// By what of it no node is served, as the nodes are now. They may come: nobody is refused for this.
    ///
    /// - Parameter nodes: Every node there is. Of none nothing is said.
    package func warnings(nodes all: [NodeTraits]) -> [String] {
        guard !all.isEmpty else { return [] }
        var warnings: [String] = []
        for pattern in nodes where !all.contains(where: { pattern.matches($0.name) }) {
            warnings.append("spec.nodes: \(pattern.text.debugDescription) matches no node at present")
        }
        for subnet in nodeSubnets where !all.contains(where: { $0.addresses.contains(where: subnet.contains) }) {
            warnings.append("spec.nodeSubnets: no node has an address in \(subnet) at present")
        }
        if let nodeSelector, !all.contains(where: { nodeSelector.matches($0.labels) }) {
            let count = all.count == 1 ? "the only node" : "none of \(all.count) nodes"
            warnings.append("spec.nodeSelector: \(count) has such labels at present\(Self.hint(nodeSelector, all))")
        }
        if warnings.isEmpty {
            let facts = all.map {
                SelectionFacts(
                    node: $0.name, nodeLabels: $0.labels, nodeAddresses: $0.addresses, isRehearsal: true)
            }
            let isServed = facts.contains { nodeMismatch($0) == nil }
            return isServed
                ? [] : ["spec: no node meets nodes, nodeSubnets and nodeSelector together at present: it serves nobody"]
        }
        let rest = warnings.count - Self.maximumWarnings
        return warnings.prefix(Self.maximumWarnings) + (rest > 0 ? ["more that matches no node: \(rest)"] : [])
    }

    /// The first requirement that no node meets at all, which may be misspelt.
    private static func hint(_ selector: LabelSelector, _ nodes: [NodeTraits]) -> String {
        for (key, value) in selector.matchLabels.sorted(by: { $0.key < $1.key })
        where !nodes.contains(where: { $0.labels[key] == value }) {
            return nodes.contains { $0.labels[key] != nil } ? ": \(key)=\(value)" : ": no node has the label \(key)"
        }
        return ""
    }
}
