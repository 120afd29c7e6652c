import IPAMAPI
package import IPAMEngine
import IPAddressing
package import KubernetesCore

/// The ledger and the cluster beside it, as lists showed them.
package struct ClusterPicture: Sendable {
    package var allocations: [String: LedgerEntry] = [:]
    package var unreadable: [String: UnreadableAllocation] = [:]
    package var pools: [String: PoolEntry] = [:]
    package var pods: [PodKey: PodEntry] = [:]
    package var nodes: [String: NodeFact] = [:]
    package var agents = AgentRoster()
    /// Nil where the server does not know the kind.
    package var claims: [PodKey: ClaimEntry]?
    /// Nil where the server does not know the kind.
    package var blocks: [BlockEntry]?

    package init() {}

    package init(
        _ ledger: LedgerView, pools: [PoolEntry], pods: [PodEntry], nodes: [(name: String, fact: NodeFact)],
        agents: AgentRoster, claims: [ClaimEntry]? = nil, blocks: [BlockEntry]? = nil
    ) {
        replaceLedger(with: ledger)
        self.pools = Dictionary(pools.map { ($0.name, $0) }) { $1 }
        self.pods = Dictionary(pods.map { ($0.key, $0) }) { $1 }
        self.nodes = Dictionary(nodes.map { ($0.name, $0.fact) }) { $1 }
        self.agents = agents
        self.claims = claims.map { claims in Dictionary(claims.map { ($0.key, $0) }) { $1 } }
        self.blocks = blocks
    }

    package func facts(about record: AllocationRecord, now: Moment) -> ReclaimFacts {
        let pod = record.pod.flatMap { pods[PodKey(namespace: $0.namespace, name: $0.name)] }
        return ReclaimFacts(
            pod: pod?.fact ?? .absent, node: nodes[record.node] ?? .absent,
            agent: agents.fact(node: record.node, machineID: record.machineID, now: now))
    }

    mutating func replaceLedger(with ledger: LedgerView) {
        allocations = Dictionary(ledger.entries.map { ($0.name, $0) }) { $1 }
        unreadable = Dictionary(ledger.unreadable.map { ($0.name, $0) }) { $1 }
    }

    mutating func replace(_ name: String, with object: LedgerObject?) {
        allocations[name] = nil
        unreadable[name] = nil
        switch object {
        case .entry(let entry): allocations[name] = entry
        case .unreadable(let allocation): unreadable[name] = allocation
        case nil: break
        }
    }
}

/// Compares the ledger with the cluster. Lists lag behind one another, so that everything it finds must be looked at
/// again (``CheckRun``).
///
/// What pods show of their addresses is compared in the default network alone: a pod does not say on which wire it has
/// an address.
package enum LedgerCheck {
    /// Everything but holders that are gone.
    package static func findings(in picture: ClusterPicture) -> [Finding] {
        var findings: [Finding] = []
        for allocation in picture.unreadable.values { findings.append(finding(about: allocation, picture)) }
        for entry in picture.allocations.values { findings += self.findings(about: entry, picture) }
        let ofPods = addressesOfPods(picture)
        for pod in picture.pods.values where pod.isLive && !pod.usesHostNetwork {
            findings += self.findings(about: pod, ofPods[pod.key] ?? [], picture)
        }
        findings += ClaimCheck.findings(in: picture) + BlockCheck.findings(in: picture)
        return sorted(findings)
    }

    package static func sorted(_ findings: [Finding]) -> [Finding] {
        func rank(_ finding: Finding) -> Int { Finding.Category.allCases.firstIndex(of: finding.category) ?? 0 }
        func isLess(_ a: Finding, _ b: Finding) -> Bool {
            if rank(a) != rank(b) { return rank(a) < rank(b) }
            if a.block != b.block { return a.block < b.block }
            let (x, y) = (AllocationName(objectName: a.allocation), AllocationName(objectName: b.allocation))
            if let x, let y, x != y { return (x.network, x.address) < (y.network, y.address) }
            return (a.allocation, a.reason, a.message) < (b.allocation, b.reason, b.message)
        }
        return findings.sorted(by: isLess)
    }

    // MARK: Strangers

    private static func finding(about allocation: UnreadableAllocation, _ picture: ClusterPicture) -> Finding {
        let (name, right) = (allocation.name, allocation.rightName)
        func make(_ kind: Finding.Kind, _ message: String) -> Finding {
            Finding(
                kind, allocation: name, address: allocation.address.map { "\($0)" } ?? "", pool: allocation.pool,
                message: message)
        }
        guard let right, right != name else {
            return make(.unreadable, "it cannot be understood: \(allocation.problem)")
        }
        if picture.allocations[right] != nil || picture.unreadable[right] != nil {
            return make(
                .sameAddressTwice, "its spec names the address of allocation \(right), which exists: delete this one")
        }
        let effect =
            AllocationName(objectName: name) == nil
            ? "its name is not that of an address, so it keeps none"
            : "the address of its name counts as taken, and that of its spec can be given"
        return make(.wrongName, "\(effect): an allocation of the address in its spec is called \(right)")
    }

    private static func findings(about entry: LedgerEntry, _ picture: ClusterPicture) -> [Finding] {
        var findings: [Finding] = []
        if let problem = entry.labelProblems.first {
            let more = entry.labelProblems.count > 1 ? " (and \(entry.labelProblems.count - 1) more)" : ""
            findings.append(Finding(.labelsDisagree, entry, "label \(problem)\(more)"))
        }
        let record = entry.record
        guard let pool = picture.pools[record.pool] else {
            findings.append(Finding(.poolMissing, entry, "there is no IPPool \"\(record.pool)\""))
            return findings
        }
        if !record.poolUID.isEmpty, record.poolUID != pool.pool.metadata.uid {
            findings.append(
                Finding(.otherPoolUID, entry, "it belongs to an earlier IPPool \"\(record.pool)\" of another UID"))
        } else if let valid = pool.valid, let problem = valid.strayness(of: record) {
            let isElsewhere = record.network != valid.network
            findings.append(
                Finding(
                    .outsidePool, entry,
                    isElsewhere
                        ? "it is \(problem), and IPPool \"\(record.pool)\" is not"
                        : "it is outside of IPPool \"\(record.pool)\""))
        }
        return findings
    }

    // MARK: Pods

    private static func addressesOfPods(_ picture: ClusterPicture) -> [PodKey: [LedgerEntry]] {
        var entries: [PodKey: [LedgerEntry]] = [:]
        for entry in picture.allocations.values {
            guard let key = entry.podKey, entry.attachment != nil else { continue }
            entries[key, default: []].append(entry)
        }
        return entries
    }

    /// - Parameter entries: What the ledger gives to the pod's name.
    private static func findings(
        about pod: PodEntry, _ entries: [LedgerEntry], _ picture: ClusterPicture
    ) -> [Finding] {
        pod.addresses.compactMap { finding(about: $0, of: pod, picture) }
            + entries.compactMap { finding(about: $0, notIn: pod, entries) }
    }

    private static func finding(about address: IPAddress, of pod: PodEntry, _ picture: ClusterPicture) -> Finding? {
        let name = AllocationName(address).objectName
        if let entry = picture.allocations[name] {
            guard entry.attachment != nil else {
                // A claim or an entry by hand may reserve what a pod of somebody else's plugin has.
                guard entry.record.state == .cooling else { return nil }
                return Finding(
                    .addressReleased, entry, pod: pod.key,
                    "the pod reports it, and the ledger says that it is released: another pod may get it")
            }
            if pod.isNamed(by: entry.record.pod) || entry.record.origin == .manual { return nil }
            if isMigration(between: pod, and: entry, picture) { return nil }
            return Finding(
                .addressOfAnother, entry, pod: pod.key,
                "the pod reports it, and the ledger gives it to \(entry.holderText)")
        }
        guard picture.unreadable[name] == nil, let pool = picture.poolOfDefaultNetwork(containing: address) else {
            return nil
        }
        return Finding(
            .unknownAddress, allocation: name, address: "\(address)", pool: pool, pod: pod.key, node: pod.node,
            message:
                "the pod reports an address of IPPool \"\(pool)\" that the ledger does not know: another may get it")
    }

    /// Both pods are of one guest, which runs in one of them at a time.
    private static func isMigration(
        between pod: PodEntry, and entry: LedgerEntry, _ picture: ClusterPicture
    ) -> Bool {
        guard let instance = pod.machine?.instance.uid, let key = entry.podKey, let holder = picture.pods[key] else {
            return false
        }
        return holder.isNamed(by: entry.record.pod) && holder.machine?.instance.uid == instance
    }

    /// What the pod itself shows of the interface: Multus' word, else, of `eth0`, kubelet's.
    ///
    /// Kubelet shows one address of each family at most, so it is asked for any of those that the attachment has.
    private static func finding(
        about entry: LedgerEntry, notIn pod: PodEntry, _ entries: [LedgerEntry]
    ) -> Finding? {
        guard let attachment = entry.attachment, pod.isNamed(by: entry.record.pod),
            entry.record.state == .bound || entry.record.state == .fenced
        else { return nil }
        let address = entry.record.address
        let shown = pod.interfaces[attachment.interface] ?? (attachment.interface == "eth0" ? pod.addresses : [])
        guard !shown.isEmpty, !shown.contains(address) else { return nil }
        let siblings = entries.filter {
            $0.attachment == attachment && $0.record.address.family == address.family
        }
        if siblings.contains(where: { shown.contains($0.record.address) }) { return nil }
        // Of the other family nothing is shown where the runtime does not tell it.
        guard shown.contains(where: { $0.family == address.family }) else { return nil }
        let list = shown.map(\.description).joined(separator: ", ")
        return Finding(
            .addressNotInPod, entry,
            "the pod has \(list) on \(attachment.interface) instead: the sandbox that held this one was replaced")
    }
}

extension ClusterPicture {
    /// The first pool by name.
    fileprivate func poolOfDefaultNetwork(containing address: IPAddress) -> String? {
        var found: String?
        for (name, entry) in pools {
            guard let pool = entry.valid, pool.network.isEmpty, pool.configured.contains(address) else { continue }
            found = min(found ?? name, name)
        }
        return found
    }
}

extension LedgerEntry {
    /// Half a sentence: who holds it.
    package var holderText: String {
        // Its last pod is gone, or will come back for it.
        if record.state == .held, let claim { return "claim \(claim.namespace)/\(claim.name)" }
        if let pod = record.pod {
            let kind = record.origin == .static ? "static pod" : "pod"
            let node = record.node.isEmpty ? "" : " on node \(record.node)"
            return "\(kind) \(pod.namespace)/\(pod.name)\(node)"
        }
        if record.origin == .manual { return "nobody but an entry by hand" }
        if let attachment {
            let node = record.node.isEmpty ? "" : " on node \(record.node)"
            return "container \(attachment.containerID.prefix(12))\(node)"
        }
        if let claim { return "claim \(claim.namespace)/\(claim.name)" }
        return "nobody"
    }
}
