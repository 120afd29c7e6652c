import IPAMAPI
import IPAMEngine
import IPAddressing
import KubernetesClient
import KubernetesCore

extension ClusterReader {
    /// What `who` shows.
    ///
    /// - Parameter wallClock: Seconds since 1970, for ages.
    package func holders(
        _ query: HolderQuery, systemNamespace: String, wallClock: Int64
    ) throws -> HolderReport {
        switch query {
        case .address(let address):
            let pools = try ruledPools()
            let names = AllocationName.names(of: address, in: pools)
            let found = try names.compactMap { try allocation($0.objectName) }
            let vacancies =
                found.isEmpty ? try vacancies(of: address, network: nil, pools: pools) : []
            return try report(found, pools, systemNamespace, wallClock, vacancies: vacancies)
        case .allocation(let name):
            let pools = try ruledPools()
            let found = try allocation(name.objectName)
            let vacancies =
                found == nil ? try vacancies(of: name.address, network: name.network, pools: pools) : []
            return try report(found.map { [$0] } ?? [], pools, systemNamespace, wallClock, vacancies: vacancies)
        case .pod(let key):
            let pod = try holders(ofPod: key, systemNamespace, wallClock)
            guard pod.holders.isEmpty else { return pod }
            return try holders(ofClaim: key, systemNamespace, wallClock) ?? pod
        case .node(let name):
            return try holders(onNode: name, systemNamespace, wallClock)
        case .claim(let key):
            return try holders(ofClaim: key, systemNamespace, wallClock)
                ?? HolderReport([], notes: ["there is no IPClaim \(key)"], wallClock: wallClock)
        case .name(let key):
            let pod = try holders(ofPod: key, systemNamespace, wallClock)
            if !pod.holders.isEmpty { return pod }
            let node = try holders(onNode: key.name, systemNamespace, wallClock)
            if !node.holders.isEmpty { return node }
            if let claim = try holders(ofClaim: key, systemNamespace, wallClock) { return claim }
            return HolderReport([], notes: pod.notes + node.notes, wallClock: wallClock)
        }
    }

    /// Where a pool keeps the address for a reservation, the reservations are read, to name it.
    private func vacancies(of address: IPAddress, network: String?, pools: [PoolEntry]) throws -> [Vacancy] {
        let isReserved = pools.contains { entry in
            entry.valid.map { $0.configured.contains(address) && !$0.usable.contains(address) } ?? false
        }
        return Vacancy.vacancies(
            of: address, network: network, pools: pools, reservations: isReserved ? try reservations() : [])
    }

    private func holders(
        ofPod key: PodKey, _ systemNamespace: String, _ wallClock: Int64
    ) throws -> HolderReport {
        let pod = try pod(key)
        let ledger = try ledger()
        let entries = ledger.entries.filter { $0.podKey == key && $0.record.state != .cooling }
        if entries.isEmpty {
            let what =
                switch pod {
                case nil: "there is no pod \(key), and no address is held by one of that name"
                case let pod? where pod.usesHostNetwork: "pod \(key) uses its node's network, and holds no address"
                case .some: "pod \(key) holds no address"
                }
            return HolderReport([], notes: [what], wallClock: wallClock)
        }
        return try report(
            entries.map { .entry($0) }, try pools(), systemNamespace, wallClock, pods: pod.map { [$0] } ?? [])
    }

    private func holders(
        onNode name: String, _ systemNamespace: String, _ wallClock: Int64
    ) throws -> HolderReport {
        let found = try ledger("\(LabelKey.node)=\(LabelValue.fitting(name))").entries.filter { $0.record.node == name }
        if found.isEmpty {
            let isThere = try node(name) != .absent
            return HolderReport(
                [], notes: [isThere ? "nothing on node \(name) holds an address" : "there is no node \(name)"],
                wallClock: wallClock)
        }
        return try report(found.map { .entry($0) }, try pools(), systemNamespace, wallClock)
    }

    /// Nil where there is no such claim.
    private func holders(
        ofClaim key: PodKey, _ systemNamespace: String, _ wallClock: Int64
    ) throws -> HolderReport? {
        guard let claim = try claim(key) else { return nil }
        let found = try ledger("\(LabelKey.claim)=\(LabelValue.fitting(claim.metadata.uid))").entries.filter {
            $0.claim?.uid == claim.metadata.uid
        }
        var report = try report(found.map { .entry($0) }, try pools(), systemNamespace, wallClock)
        report.claims = [ClaimSummary(claim, found.map(\.record))]
        return report
    }

    /// - Parameter pods: What was read of pods already.
    private func report(
        _ objects: [LedgerObject], _ pools: [PoolEntry], _ systemNamespace: String, _ wallClock: Int64,
        vacancies: [Vacancy] = [], pods: [PodEntry] = []
    ) throws -> HolderReport {
        let ledger = LedgerView(objects)
        let known = Set(pods.map(\.key))
        let keys = Set(ledger.entries.compactMap(\.podKey)).subtracting(known).sorted()
        let podJSON = try read(keys.map { .get(.pods, namespace: $0.namespace, name: $0.name) }, what: "pods")
        let nodes = Set(ledger.entries.map(\.record.node)).subtracting([""]).sorted()
        let nodeJSON = try read(nodes.map { .get(.nodes, name: $0) }, what: "nodes")
        let picture = ClusterPicture(
            ledger, pools: pools, pods: pods + (try podJSON.compactMap { try $0.map { try PodEntry($0) } }),
            nodes: zip(nodes, nodeJSON).map { ($0, $1.map(Self.nodeFact) ?? .absent) },
            agents: (try? agents(systemNamespace: systemNamespace)) ?? AgentRoster())
        // Pods may have addresses beside those that were asked for: what is said of them is not asked for either.
        let holders = Self.explained(ledger.entries, picture, now: now(), wallClock: wallClock)
        let notes = ledger.unreadable.map { "allocation \($0.name) exists and cannot be understood: \($0.problem)" }
        return HolderReport(holders, vacancies: vacancies, notes: notes, wallClock: wallClock)
    }

    /// The findings are made once for all, for a node may have hundreds.
    private static func explained(
        _ entries: [LedgerEntry], _ picture: ClusterPicture, now: Moment, wallClock: Int64
    ) -> [Holder] {
        let problems = Dictionary(grouping: LedgerCheck.findings(in: picture), by: \.allocation)
        return entries.map { entry in
            let facts = picture.facts(about: entry.record, now: now)
            return Holder(
                entry, why: Holder.why(entry, facts, now: now, wallClock: wallClock),
                problems: (problems[entry.name] ?? []).map(\.message))
        }
    }
}
