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
    ///
    /// - Parameter interface: The one in the pod to explain; nil for all that are known.
    package func explanation(
        of key: PodKey, _ source: ExplainSource, interface: String? = nil
    ) throws -> ExplainReport {
        guard let json = try read(.pods, namespace: key.namespace, name: key.name) else {
            throw ConsoleError("there is no pod \(key)", remedy: "name its namespace with -n")
        }
        let pod = try PodEntry(json)
        var notes: [String] = []
        if pod.usesHostNetwork { notes.append("It uses its node's network: no CNI plugin is called for it.") }
        if pod.node.isEmpty { notes.append("It is not scheduled yet.") }
        if !pod.isLive { notes.append("It has finished: nothing is claimed for it any more.") }
        var sources: [NetworkSource]
        switch source {
        case .pools(let names):
            sources = [try NetworkSource(pools: names)]
            sources[0].interface = interface ?? sources[0].interface
        case .document(let document, let name):
            switch try NetworkSource.read(
                document, title: "configuration \(name)", interface: interface ?? NetworkSource.firstInterface)
            {
            case .berth(let source): sources = [source]
            case .other(let what): throw ConsoleError("configuration \(name) \(what), not from berth")
            }
        case .annotations:
            (sources, notes) = try annotated(json, key, notes, interface: interface)
            if let interface { sources = try Self.only(interface, of: sources, key) }
        }
        let found = try rules(for: sources)
        var parts: [ExplainReport.Part] = []
        var taken: [String: [IPAddress: AllocationState?]] = [:]
        var generator = SystemRandomNumberGenerator()
        let (explained, allFacts) = try facts(of: pod, json)
        let blocks = found.pools.values.contains { $0.pool.spec.nodeBlocks != nil } ? try self.blocks() : []
        func note(_ text: String) {
            if !notes.contains(text) { notes.append(text) }
        }
        for source in sources {
            let facts = allFacts.of(source)
            let request: PoolRequest
            do throws(SelectionError) {
                request = try PoolRequest(source.demand, families: source.families, facts: facts)
            } catch {
                parts.append(ExplainReport.Part(source, SelectionReasoning(slots: [], refusal: "\(error)")))
                continue
            }
            let pools = found.pools.merging(source.newPools(besides: found.pools, found.reservations)) { $1 }
            for network in Set(pools.values.map(\.pool.spec.network)) where taken[network] == nil {
                taken[network] = Dictionary(try self.taken(network: network).map { ($0.address, $0.state) }) { $1 }
            }
            var asking = source
            if asking.requested.isEmpty { asking.requested = request.addresses }
            var input = SelectionReasoning.Input(
                request: request, facts: facts, staticAddresses: asking.staticAddresses, requested: asking.requested,
                pools: pools.serving(request.purpose), taken: taken, blocks: blocks, machineID: explained.machineID)
            if let purpose = request.purpose {
                let isVain = !input.pools.values.contains { $0.valid?.purpose != nil }
                let what =
                    isVain
                    ? "for which nothing is reserved: ordinary addresses are given"
                    : "and gets what is reserved for it where there is any"
                note("It names the purpose \"\(purpose)\", \(what).")
            }
            let serving = SelectionReasoning.servingPools(input, using: &generator)
            if !serving.isEmpty { input.claim = try claim(of: explained, source, pools: serving) }
            if let claim = input.claim.claim {
                switch ClaimPurpose(claim, named: request.purpose) {
                case .asPod: break
                case .instead(let purpose):
                    input.pools = pools.serving(purpose)
                    note("Its IPClaim names the purpose \"\(purpose)\", and gets what is reserved for it.")
                case .conflict(let text): input.claim.obstacle = input.claim.obstacle ?? text
                }
            }
            parts.append(
                ExplainReport.Part(
                    asking, SelectionReasoning(input, using: &generator), level: request.levelText,
                    claim: input.claim))
        }
        if pod.node.isEmpty {
            let considered = Set(parts.flatMap(\.reasoning.slots).flatMap(\.considered).map(\.name))
            for name in considered.sorted() where found.pools[name]?.pool.spec.nodeBlocks != nil {
                notes.append(
                    "IPPool \"\(name)\" is given to nodes in blocks: what the pod's node will have of it is not known yet."
                )
            }
        }
        return ExplainReport(pod: key, parts: parts, held: try held(by: pod), notes: notes)
    }

    /// The pools with what is reserved in force, and the reservations where they are wanted, for no pool has them yet.
    private func rules(
        for sources: [NetworkSource]
    ) throws -> (pools: [String: PoolEntry], reservations: [ValidatedReservation]) {
        let entries = try self.pools()
        var pools = Dictionary(entries.map { ($0.name, $0) }) { $1 }
        let isCompiled = entries.allSatisfy(\.pool.hasCompiledReservations)
        guard !isCompiled || sources.contains(where: { !$0.newPools(besides: pools, []).isEmpty }) else {
            return (pools, [])
        }
        let reservations = try self.reservations()
        pools = pools.mapValues { $0.ruled(by: reservations) }
        return (pools, reservations)
    }

    private static func only(
        _ interface: String, of sources: [NetworkSource], _ key: PodKey
    ) throws(ConsoleError) -> [NetworkSource] {
        let found = sources.filter { $0.interface == interface }
        guard found.isEmpty else { return found }
        let known = sources.map(\.interface).joined(separator: ", ")
        throw ConsoleError(
            "berth serves no interface \"\(interface)\" of pod \(key)",
            remedy: known.isEmpty ? "it serves none that the API knows of" : "there is \(known)")
    }

    /// What pools may select the pod by.
    private func facts(of pod: PodEntry, _ json: JSON) throws -> (ExplainedPod, SelectionFacts) {
        func marks(_ object: JSON?) -> SelectionFacts.Marks {
            let fields = object.flatMap { try? JSONFields($0) }
            let metadata = fields.flatMap { try? ObjectMetadata($0) }
            return .init(labels: metadata?.labels ?? [:], annotations: metadata?.annotations ?? [:])
        }
        var facts = SelectionFacts(
            pod: .init(namespace: pod.key.namespace, name: pod.key.name, marks: marks(json)), node: pod.node)
        let namespace = try read(.namespaces, name: pod.key.namespace)
        facts.namespace = marks(namespace)
        var explained = ExplainedPod(
            entry: pod, metadata: try ObjectMetadata(try JSONFields(json)), namespace: namespace)
        if !pod.node.isEmpty, let node = try read(.nodes, name: pod.node) {
            facts.nodeLabels = marks(node).labels
            let machineID = NodeMark(node).machineID
            explained.machineID = machineID.isEmpty ? nil : machineID
            facts.nodeAddresses = (node["status"]?["addresses"]?.array ?? []).compactMap {
                $0["address"]?.string.flatMap { IPAddress($0) }
            }
        }
        return (explained, facts)
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
        _ pod: JSON, _ key: PodKey, _ earlier: [String], interface: String?
    ) throws -> ([NetworkSource], notes: [String]) {
        let annotations = pod["metadata"]?["annotations"]
        var sources: [NetworkSource] = []
        var notes = earlier
        var wanted: [(network: MultusNetwork, interface: String)] = []
        if let text = annotations?[MultusNetwork.defaultAnnotation]?.string {
            wanted += try MultusNetwork.parse(text, namespace: key.namespace).map { ($0, NetworkSource.firstInterface) }
        }
        if let text = annotations?[MultusNetwork.annotation]?.string {
            for (index, network) in try MultusNetwork.parse(text, namespace: key.namespace).enumerated() {
                wanted.append((network, network.interface ?? "net\(index + 1)"))
            }
        }
        guard !wanted.isEmpty else {
            if annotations?.object?.members.contains(where: { $0.name.hasPrefix(AnnotationKey.pools) }) == true {
                notes.append(
                    "The node's network configuration is not known; give it with --config. This is as if it named none."
                )
                let interface = interface ?? NetworkSource.firstInterface
                return (
                    [NetworkSource(title: "interface \(interface)", demand: .defaults, interface: interface)], notes
                )
            }
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
                document, title: title, name: network.name, interface: interface, requested: network.addresses)
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

extension [String: PoolEntry] {
    /// As a claim for a purpose sees them; nil: for none.
    fileprivate func serving(_ purpose: String?) -> Self { mapValues { PoolEntry($0.pool, purpose: purpose) } }
}

extension SelectionFacts {
    /// What counts for one configuration.
    func of(_ source: NetworkSource) -> SelectionFacts {
        var facts = self
        (facts.interface, facts.network, facts.master) = (source.interface, source.network, source.master)
        // Pools may look at its labels all the same.
        if !source.heedsNamespace { facts.namespace?.annotations = [:] }
        return facts
    }
}
