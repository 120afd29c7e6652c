import JSONText
package import KubernetesCore

extension IPPool {
    /// Whom a pool is for, as it is written down, member by member of `spec`. Whether it makes sense is for
    /// ``PoolSelectors`` to say.
    package struct Selection: Hashable, Sendable {
        /// Serves those for whom neither an annotation nor the network configuration names a pool.
        package var isDefault: Bool
        /// Pods and namespaces may name it in annotations where the network configuration does not list it.
        package var allowPodSelection: Bool
        package var podSelector: LabelSelector?
        package var namespaceSelector: LabelSelector?
        package var nodeSelector: LabelSelector?
        /// Patterns of names of namespaces, and in what follows of nodes, interfaces in the pod, networks (the `name` of
        /// the network configuration) and interfaces of the node (its `master`).
        package var namespaces: [String]
        package var nodes: [String]
        package var interfaces: [String]
        package var networks: [String]
        package var masters: [String]
        /// Prefixes, one of which must contain an address of the node itself.
        package var nodeSubnets: [String]

        package init(
            isDefault: Bool = false, allowPodSelection: Bool = false, podSelector: LabelSelector? = nil,
            namespaceSelector: LabelSelector? = nil, nodeSelector: LabelSelector? = nil, namespaces: [String] = [],
            nodes: [String] = [], interfaces: [String] = [], networks: [String] = [], masters: [String] = [],
            nodeSubnets: [String] = []
        ) {
            self.isDefault = isDefault
            self.allowPodSelection = allowPodSelection
            self.podSelector = podSelector
            self.namespaceSelector = namespaceSelector
            self.nodeSelector = nodeSelector
            self.namespaces = namespaces
            self.nodes = nodes
            self.interfaces = interfaces
            self.networks = networks
            self.masters = masters
            self.nodeSubnets = nodeSubnets
        }
    }
}

extension IPPool.Selection {
    /// Reads the members of `spec`.
    init(_ fields: JSONFields) throws(JSONDecodingError) {
        func selector(_ name: String) throws(JSONDecodingError) -> LabelSelector? {
            try fields.fields(name).map { fields throws(JSONDecodingError) in try LabelSelector(fields) }
        }
        self.init(
            isDefault: try fields.bool("default") ?? false,
            allowPodSelection: try fields.bool("allowPodSelection") ?? false, podSelector: try selector("podSelector"),
            namespaceSelector: try selector("namespaceSelector"), nodeSelector: try selector("nodeSelector"),
            namespaces: try fields.strings("namespaces") ?? [], nodes: try fields.strings("nodes") ?? [],
            interfaces: try fields.strings("interfaces") ?? [], networks: try fields.strings("networks") ?? [],
            masters: try fields.strings("masters") ?? [], nodeSubnets: try fields.strings("nodeSubnets") ?? [])
    }

    /// Adds the members to a `spec`, without those that say nothing.
    func add(to spec: inout JSON) {
        if isDefault { spec["default"] = true }
        if allowPodSelection { spec["allowPodSelection"] = true }
        spec["podSelector"] = podSelector?.json
        spec["namespaceSelector"] = namespaceSelector?.json
        spec["nodeSelector"] = nodeSelector?.json
        for (name, texts) in [
            ("namespaces", namespaces), ("nodes", nodes), ("nodeSubnets", nodeSubnets), ("interfaces", interfaces),
            ("networks", networks), ("masters", masters),
        ] where !texts.isEmpty {
            spec[name] = .strings(texts)
        }
    }
}
