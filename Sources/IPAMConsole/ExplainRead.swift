import IPAMAPI
import IPAMEngine
import IPAddressing
package import JSONText
import KubernetesClient
import KubernetesCore

extension ResourceType {
    /// Multus' kind.
    static let networkAttachmentDefinitions = ResourceType(
        group: "k8s.cni.cncf.io", version: "v1", plural: "network-attachment-definitions",
        kind: "NetworkAttachmentDefinition", isNamespaced: true)
}

/// Where `explain` is to take the pod's network configuration from.
package enum ExplainSource: Hashable, Sendable {
    /// What Multus would read: the pod's annotations.
    case annotations
    case pools([String])
    /// A file's content.
    case document(JSON, name: String)
}

extension ClusterReader {
    /// What `explain` shows.
    package func explanation(of key: PodKey, _ source: ExplainSource) throws -> ExplainReport {
        guard let json = try read(.pods, namespace: key.namespace, name: key.name) else {
            throw ConsoleError("there is no pod \(key)", remedy: "name its namespace with -n")
        }
        let pod = try PodEntry(json)
        var notes: [String] = []
        if pod.usesHostNetwork { notes.append("It uses its node's network: no CNI plugin is called for it.") }
        if pod.node.isEmpty { notes.append("It is not scheduled yet.") }
        if !pod.isLive { notes.append("It has finished: nothing is claimed for it any more.") }
        let sources: [NetworkSource]
        switch source {
        case .pools(let names):
            sources = [NetworkSource(title: "pools \(names.joined(separator: ", ")) (--pools)", demand: .named(names))]
        case .document(let document, let name):
            switch try NetworkSource.read(document, title: "configuration \(name)") {
            case .berth(let source): sources = [source]
            case .other(let what): throw ConsoleError("configuration \(name) \(what), not from berth")
            }
        case .annotations: (sources, notes) = try annotated(json, key, notes)
        }
        let purpose = json["metadata"]?["annotations"]?[AnnotationKey.purpose]?.string
        if let purpose {
            notes.append(
                ValidatedReservation.isPurpose(purpose)
                    ? "It names the purpose \"\(purpose)\", and gets what is reserved for it where there is any."
                    : "ADD fails: annotation \(AnnotationKey.purpose): \(ValidatedReservation.purposeProblem(purpose))")
        }
        let pools = Dictionary(try ruledPools().map { ($0.name, PoolEntry($0.pool, purpose: purpose)) }) { $1 }
        var taken: [String: [IPAddress: AllocationState?]] = [:]
        let networks = Set(sources.flatMap(\.poolNames).compactMap { pools[$0]?.pool.spec.network })
        for network in networks.union(sources.flatMap(\.inlineNetworks)) {
            taken[network] = Dictionary(try self.taken(network: network).map { ($0.address, $0.state) }) { $1 }
        }
        var generator = SystemRandomNumberGenerator()
        let parts = sources.map { source in
            let input = SelectionReasoning.Input(
                demand: source.demand, staticAddresses: source.staticAddresses, requested: source.requested,
                pools: pools, taken: taken)
            return ExplainReport.Part(source, SelectionReasoning(input, using: &generator))
        }
        return ExplainReport(pod: key, parts: parts, held: try held(by: pod), notes: notes)
    }

    /// What the pod holds on its node.
    private func held(by pod: PodEntry) throws -> [LedgerEntry] {
        guard !pod.node.isEmpty else { return [] }
        return try ledger("\(LabelKey.node)=\(LabelValue.fitting(pod.node))").entries
            .filter { pod.isNamed(by: $0.record.pod) && $0.attachment != nil }
            .sorted { ($0.record.network, $0.record.address) < ($1.record.network, $1.record.address) }
    }

    /// The networks that the pod's annotations name, which Multus would attach it to.
    private func annotated(
        _ pod: JSON, _ key: PodKey, _ earlier: [String]
    ) throws -> ([NetworkSource], notes: [String]) {
        let annotations = pod["metadata"]?["annotations"]
        var sources: [NetworkSource] = []
        var notes = earlier
        var wanted: [(network: MultusNetwork, interface: String)] = []
        if let text = annotations?[MultusNetwork.defaultAnnotation]?.string {
            wanted += try MultusNetwork.parse(text, namespace: key.namespace).map { ($0, "eth0") }
        }
        if let text = annotations?[MultusNetwork.annotation]?.string {
            for (index, network) in try MultusNetwork.parse(text, namespace: key.namespace).enumerated() {
                wanted.append((network, network.interface ?? "net\(index + 1)"))
            }
        }
        guard !wanted.isEmpty else {
            throw ConsoleError(
                "the API does not say which network configuration pod \(key) gets: it has no annotation"
                    + " \(MultusNetwork.annotation)",
                remedy: "give the node's with --config /etc/cni/net.d/FILE, or pools with --pools NAME,…")
        }
        for (network, interface) in wanted {
            let title = "NetworkAttachmentDefinition \(network.namespace)/\(network.name) (interface \(interface))"
            guard let object = try definition(network) else {
                throw ConsoleError("\(title) does not exist", remedy: "Multus fails for this pod, too")
            }
            let text = object["spec"]?["config"]?.string ?? ""
            guard !text.isEmpty else {
                notes.append("\(title) leaves its configuration to a file on the node: give that with --config.")
                continue
            }
            guard let document = try? JSON(parsing: Array(text.utf8)) else {
                throw ConsoleError("\(title): spec.config is not JSON")
            }
            switch try NetworkSource.read(
                document, title: title, name: network.name, requested: network.addresses)
            {
            case .berth(let source): sources.append(source)
            case .other(let what): notes.append("\(title) \(what), not from berth.")
            }
        }
        return (sources, notes)
    }

    private func definition(_ network: MultusNetwork) throws(ConsoleError) -> JSON? {
        do throws(APIError) {
            return try perform(
                .get(.networkAttachmentDefinitions, namespace: network.namespace, name: network.name))
        } catch {
            if error.isNotFound { return nil }
            guard error.isUnserved else { throw ConsoleError(error) }
            throw ConsoleError(
                "the cluster has no NetworkAttachmentDefinitions: Multus is not installed",
                remedy: "give the node's configuration with --config /etc/cni/net.d/FILE, or pools with --pools NAME,…")
        }
    }
}
