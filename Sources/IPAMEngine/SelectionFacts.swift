package import IPAMAPI
package import IPAddressing
import KubernetesCore

/// What is known of whoever asks for addresses, as far as pools may select by it.
package struct SelectionFacts: Hashable, Sendable {
    /// Labels and annotations of an object.
    package struct Marks: Hashable, Sendable {
        package var labels: [String: String]
        package var annotations: [String: String]

        package init(labels: [String: String] = [:], annotations: [String: String] = [:]) {
            self.labels = labels
            self.annotations = annotations
        }
    }

    package struct Pod: Hashable, Sendable {
        package var namespace: String
        package var name: String
        /// Empty for a static pod whose mirror is not in the API yet.
        package var marks: Marks

        package init(namespace: String, name: String, marks: Marks = Marks()) {
            self.namespace = namespace
            self.name = name
            self.marks = marks
        }
    }

    /// Nil for a container that is no pod of the cluster: no pool that selects pods or namespaces is for it.
    package var pod: Pod?
    /// Nil where it was not read.
    package var namespace: Marks?
    package var node: String
    /// Nil where they were not read.
    package var nodeLabels: [String: String]?
    /// The node's own.
    package var nodeAddresses: [IPAddress]
    /// In the pod, `CNI_IFNAME`.
    package var interface: String
    /// The `name` of the network configuration.
    package var network: String
    /// The interface of the node that the main plugin works on, where its configuration names one.
    package var master: String?
    /// It is only asked whether the node would serve somebody: what pools ask of pods, namespaces and interfaces counts
    /// as given.
    package var isRehearsal: Bool

    package init(
        pod: Pod? = nil, namespace: Marks? = nil, node: String = "", nodeLabels: [String: String]? = nil,
        nodeAddresses: [IPAddress] = [], interface: String = "eth0", network: String = "", master: String? = nil,
        isRehearsal: Bool = false
    ) {
        self.pod = pod
        self.namespace = namespace
        self.node = node
        self.nodeLabels = nodeLabels
        self.nodeAddresses = nodeAddresses
        self.interface = interface
        self.network = network
        self.master = master
        self.isRehearsal = isRehearsal
    }
}

extension PoolSelectors {
    /// Why the pool is not for whoever asks: a predicate of the pool that names what differs. Nil when it is.
    ///
    /// What was not read does not match: nothing is given on a guess.
    package func mismatch(_ facts: SelectionFacts) -> String? {
        if let mismatch = nodeMismatch(facts) { return mismatch }
        if !facts.isRehearsal, let mismatch = podMismatch(facts) { return mismatch }
        if !networks.isEmpty, !networks.contains(where: { $0.matches(facts.network) }) {
            return "is for networks \(Self.list(networks)) (spec.networks), this one is \"\(facts.network)\""
        }
        if !masters.isEmpty, !masters.contains(where: { $0.matches(facts.master ?? "") }) {
            let master = facts.master.map { "this network's is \"\($0)\"" } ?? "this network names none"
            return "is for the master interfaces \(Self.list(masters)) (spec.masters), \(master)"
        }
        return nil
    }

    private func podMismatch(_ facts: SelectionFacts) -> String? {
        if let podSelector {
            guard let pod = facts.pod else { return "is for pods (spec.podSelector), this is none" }
            if let unmet = podSelector.unmet(by: pod.marks.labels) {
                return "is for pods with \(unmet) (spec.podSelector), not for \"\(pod.namespace)/\(pod.name)\""
            }
        }
        if !namespaces.isEmpty {
            guard let pod = facts.pod, namespaces.contains(where: { $0.matches(pod.namespace) }) else {
                return "is for namespaces \(Self.list(namespaces)) (spec.namespaces)\(Self.that(facts.pod?.namespace))"
            }
        }
        if let namespaceSelector {
            guard let namespace = facts.namespace else {
                return "is for namespaces with labels (spec.namespaceSelector), and there is none to look at"
            }
            if let unmet = namespaceSelector.unmet(by: namespace.labels) {
                return "is for namespaces with \(unmet) (spec.namespaceSelector)\(Self.that(facts.pod?.namespace))"
            }
        }
        if !interfaces.isEmpty, !interfaces.contains(where: { $0.matches(facts.interface) }) {
            return "is for interfaces \(Self.list(interfaces)) (spec.interfaces), this one is \"\(facts.interface)\""
        }
        return nil
    }

    func nodeMismatch(_ facts: SelectionFacts) -> String? {
        if !nodes.isEmpty, !nodes.contains(where: { $0.matches(facts.node) }) {
            return "is for nodes \(Self.list(nodes)) (spec.nodes), this one is \"\(facts.node)\""
        }
        if !nodeSubnets.isEmpty,
            !facts.nodeAddresses.contains(where: { address in nodeSubnets.contains { $0.contains(address) } })
        {
            let subnets = nodeSubnets.map(\.description).joined(separator: ", ")
            let addresses = facts.nodeAddresses.map(\.description).joined(separator: ", ")
            return "is for nodes with an address in \(subnets) (spec.nodeSubnets), node \"\(facts.node)\" has"
                + " \(addresses.isEmpty ? "none" : addresses)"
        }
        if let nodeSelector {
            guard let labels = facts.nodeLabels else {
                return "is for nodes with labels (spec.nodeSelector), and those of node \"\(facts.node)\" are not known"
            }
            if let unmet = nodeSelector.unmet(by: labels) {
                return "is for nodes with \(unmet) (spec.nodeSelector), not for \"\(facts.node)\""
            }
        }
        return nil
    }

    private static func list(_ patterns: [NamePattern]) -> String { patterns.map(\.text).joined(separator: ", ") }

    private static func that(_ namespace: String?) -> String { namespace.map { ", not for \"\($0)\"" } ?? "" }
}
