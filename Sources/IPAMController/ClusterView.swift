package import IPAMAPI
package import IPAMEngine
import IPAddressing
import JSONText
package import KubernetesClient
package import KubernetesCore
package import KubernetesRuntime
import Synchronization

/// What the controller knows of the cluster: stores that watchers keep equal to the API server, and what follows from
/// them.
///
/// Guarantees: who observes a store finds the ledger's index, the valid pools and the agents' table as new as what it is
/// told.
///
/// Assumptions: the watchers of `watchScopes` run.
///
/// Caveats: everything may lag. Before something is freed, it is read at the API server.
package final class ClusterView: Sendable {
    package let pools: ObjectStore<IPPool>
    package let reservations: ObjectStore<IPReservation>
    package let blocks: ObjectStore<IPBlock>
    package let allocations: ObjectStore<AllocationRecord>
    package let pods: ObjectStore<PodMark>
    /// Of the pods those in the phases Succeeded and Failed: their metadata does not tell.
    package let succeeded: ObjectStore<PodMark>
    package let failed: ObjectStore<PodMark>
    package let nodes: ObjectStore<NodeMark>
    package let agents: ObjectStore<AgentMark>
    package let claims: ObjectStore<IPClaim>
    package let statefulSets: ObjectStore<StatefulSetMark>

    fileprivate struct Derived {
        var index = LedgerIndex()
        var holders = HolderIndex()
        var pools: [String: ValidatedPool] = [:]
        var reservations: [String: ValidatedReservation] = [:]
        var blocks: [String: ValidatedBlock] = [:]
        var agents = AgentTable()
        var history = NodeHistory()
    }

    private let derived = Mutex(Derived())
    private let clock: any AsyncClock

    package init(clock: any AsyncClock = BootClock()) {
        self.clock = clock
        let strings = StringPool()
        pools = ObjectStore { try Self.pool($0) }
        reservations = ObjectStore { try Self.reservation($0) }
        blocks = ObjectStore { try IPBlock($0) }
        allocations = ObjectStore(
            decode: { try AllocationRecord($0, sharing: strings) },
            index: { _, record in
                (record.node.isEmpty ? [] : [record.node]) + (record.claim.map { [Self.index(ofClaim: $0.uid)] } ?? [])
            })
        pods = ObjectStore { PodMark($0) }
        succeeded = ObjectStore { PodMark($0) }
        failed = ObjectStore { PodMark($0) }
        nodes = ObjectStore { NodeMark($0) }
        agents = ObjectStore { AgentMark($0) }
        claims = ObjectStore(
            decode: { try IPClaim($0) }, index: { _, claim in claim.statefulSet.map { [$0.uid] } ?? [] })
        statefulSets = ObjectStore { try StatefulSetMark($0) }
        allocations.observe { [self] deltas in
            derived.withLock { derived in
                derived.index.apply(deltas)
                for delta in deltas { derived.holders.apply(delta) }
            }
        }
        pools.observe { [self] deltas in
            derived.withLock { derived in
                for delta in deltas { derived.apply(delta) }
            }
        }
        reservations.observe { [self] deltas in
            derived.withLock { derived in
                for delta in deltas { derived.apply(delta) }
            }
        }
        blocks.observe { [self] deltas in
            derived.withLock { derived in
                for delta in deltas { derived.apply(delta) }
            }
        }
        nodes.observe { [self] deltas in
            derived.withLock { derived in
                for case .added(let key, let object) in deltas { derived.observe(key, object) }
                for case .changed(let key, _, let object) in deltas { derived.observe(key, object) }
            }
        }
        agents.observe { [self] deltas in
            let now = self.clock.now()
            derived.withLock { derived in
                for delta in deltas { derived.agents.observe(delta, now: now) }
            }
        }
    }

    /// A status that somebody else wrote, and that cannot be read, is as good as none: the controller writes it anew. But
    /// what is reserved is a rule, and holds all the same.
    static func pool(_ json: JSON) throws -> IPPool {
        if let pool = try? IPPool(json) { return pool }
        var json = json
        json["status"] = json["status"]?["reserved"].map { ["reserved": $0] }
        if let pool = try? IPPool(json) { return pool }
        json["status"] = nil
        return try IPPool(json)
    }

    private static func reservation(_ json: JSON) throws -> IPReservation {
        if let reservation = try? IPReservation(json) { return reservation }
        var json = json
        json["status"] = nil
        return try IPReservation(json)
    }

    // MARK: Reservations

    /// Those that can be read, each with what makes sense of it.
    package var validReservations: [ValidatedReservation] { derived.withLock { Array($0.reservations.values) } }

    /// The names of the reservations inside of which these allocations may be.
    package func reservations(concernedBy records: [AllocationRecord]) -> [String] {
        derived.withLock { derived in
            derived.reservations.values.filter { reservation in
                records.contains { reservation.addresses($0.address.family).contains($0.address) }
            }.map(\.name)
        }
    }

    // MARK: Blocks

    /// Those that make sense.
    package var validBlocks: [ValidatedBlock] { derived.withLock { Array($0.blocks.values) } }

    // MARK: Nodes

    /// What pools may select nodes by. Empty before the nodes were listed, and where one of them cannot be read.
    package var nodeTraits: [NodeTraits] {
        guard nodes.hasSynced, nodes.problems.isEmpty else { return [] }
        return nodes.objects.map { key, object in
            NodeTraits(name: key.name, labels: object.value.labels, addresses: object.value.addresses)
        }
    }

    // MARK: The ledger

    /// Lends the index, while nobody changes it. The body must be short.
    package func withIndex<Value: Sendable>(_ body: (LedgerIndex) throws -> Value) rethrows -> Value {
        try derived.withLock { try body($0.index) }
    }

    /// The pools that make sense.
    package var validPools: [ValidatedPool] { derived.withLock { Array($0.pools.values) } }

    /// The same as whoever names a purpose sees them; empty for none.
    package func validPools(purpose: String) -> [ValidatedPool] {
        guard !purpose.isEmpty else { return validPools }
        return pools.objects.compactMap { try? ValidatedPool($0.object.value, purpose: purpose) }
    }

    /// Whether there is a pool, and it is not being deleted.
    package func stays(pool name: String) -> Bool {
        switch pools[ObjectKey(name: name)] {
        case .absent: false
        case .unreadable: true
        case .present(let object): !object.value.metadata.isBeingDeleted
        }
    }

    /// Whether it is known what of a pool is reserved.
    package func hasRule(_ pool: ValidatedPool) -> Bool {
        guard case .present(let object) = pools[ObjectKey(name: pool.name)] else { return false }
        return object.uid == pool.uid && object.value.hasCompiledReservations
    }

    package func validPool(_ name: String) -> ValidatedPool? { derived.withLock { $0.pools[name] } }

    /// The names of the pools whose status a change of these allocations may change.
    package func pools(concernedBy records: [AllocationRecord]) -> Set<String> {
        derived.withLock { derived in
            var names = Set(records.map(\.pool))
            for pool in derived.pools.values where !names.contains(pool.name) {
                if records.contains(where: { pool.isConcerned(by: $0) }) { names.insert(pool.name) }
            }
            return names
        }
    }

    // MARK: Facts

    /// What decides about an allocation, as far as the stores know; nil where they cannot say.
    package func facts(about record: AllocationRecord) -> ReclaimFacts? {
        guard let pod = podFact(record.pod), let node = nodeFact(record.node) else { return nil }
        let now = clock.now()
        return derived.withLock { derived in
            derived.facts(
                record, pod, node, derived.agents.fact(node: record.node, machineID: record.machineID, now: now))
        }
    }

    /// The same with the pod, the node and the Lease of its agent as they were read at the API server.
    package func facts(
        about record: AllocationRecord, pod: PodFact, node: NodeFact, agent lease: StoredObject<AgentMark>?
    ) -> ReclaimFacts {
        let now = clock.now()
        return derived.withLock { derived in
            let agent = derived.agents.fact(node: record.node, machineID: record.machineID, read: lease, now: now)
            return derived.facts(record, pod, node, agent)
        }
    }

    private func podFact(_ pod: PodReference?) -> PodFact? {
        guard let pod else { return .absent }
        let key = ObjectKey(namespace: pod.namespace, name: pod.name)
        switch pods[key] {
        case .absent: return .absent
        case .unreadable: return nil
        case .present(let object):
            for store in [succeeded, failed] {
                if case .present(let finished) = store[key], finished.uid == object.uid {
                    return .finished(uid: object.uid, configHash: object.value.configHash)
                }
            }
            return .present(uid: object.uid, configHash: object.value.configHash)
        }
    }

    private func nodeFact(_ name: String) -> NodeFact? {
        switch nodes[ObjectKey(name: name)] {
        case .absent: .absent
        case .unreadable: nil
        case .present(let object): NodeFact(object.value, uid: object.uid)
        }
    }

    /// When the agent of a node will be silent unless it renews its Lease; nil where there is none.
    package func agentSilence(node: String) -> Moment? { derived.withLock { $0.agents.silence(of: node) } }

    // MARK: Which allocations something concerns

    /// No node has a name with a slash.
    private static func index(ofClaim uid: String) -> String { "claim/\(uid)" }

    package func allocations(ofClaim uid: String) -> [StoredObject<AllocationRecord>] {
        allocations.keys(indexedBy: Self.index(ofClaim: uid)).compactMap { key in
            if case .present(let object) = allocations[key] { object } else { nil }
        }
    }

    /// The claims that ask for addresses which a pool may give.
    package func claimsThatAsk(pool name: String) -> [ClaimReference] {
        claims.objects.map(\.object.value).filter { claim in
            !claim.spec.addresses.isEmpty && (claim.spec.pools.isEmpty || claim.spec.pools.contains(name))
        }.map(\.reference)
    }

    /// The claims of a name that something is kept for.
    package func claims(named key: ObjectKey) -> [ClaimReference] {
        var references: Set<ClaimReference> = []
        for case let claim? in allocations.objects.map(\.object.value.claim)
        where claim.namespace == key.namespace && claim.name == key.name { references.insert(claim) }
        return references.sorted { $0.uid < $1.uid }
    }

    /// The claims that a StatefulSet owns.
    package func claims(ofStatefulSet uid: String) -> [ClaimReference] {
        claims.keys(indexedBy: uid).compactMap { claims.value($0)?.reference }
    }

    package func allocations(ofPod key: ObjectKey) -> Set<String> {
        derived.withLock { $0.holders.allocations(of: key) }
    }

    package func allocations(onNode name: String) -> Set<ObjectKey> { allocations.keys(indexedBy: name) }
}

extension ClusterView.Derived {
    fileprivate func facts(
        _ record: AllocationRecord, _ pod: PodFact, _ node: NodeFact, _ agent: AgentFact
    ) -> ReclaimFacts {
        ReclaimFacts(
            pod: pod, node: node, agent: agent,
            knownNodeUID: history.uid(ofMachine: record.machineID, node: record.node))
    }

    fileprivate mutating func apply(_ delta: ObjectDelta<IPPool>) {
        switch delta {
        case .added(let key, let object), .changed(let key, _, let object):
            pools[key.name] = try? ValidatedPool(object.value)
        case .deleted(let key, _), .unreadable(let key, _, _): pools[key.name] = nil
        }
    }

    fileprivate mutating func apply(_ delta: ObjectDelta<IPReservation>) {
        switch delta {
        case .added(let key, let object), .changed(let key, _, let object):
            reservations[key.name] = ValidatedReservation(reading: object.value)
        case .deleted(let key, _), .unreadable(let key, _, _): reservations[key.name] = nil
        }
    }

    fileprivate mutating func apply(_ delta: ObjectDelta<IPBlock>) {
        switch delta {
        case .added(let key, let object), .changed(let key, _, let object):
            blocks[key.name] = try? ValidatedBlock(object.value)
        case .deleted(let key, _), .unreadable(let key, _, _): blocks[key.name] = nil
        }
    }

    fileprivate mutating func observe(_ key: ObjectKey, _ object: StoredObject<NodeMark>) {
        history.observe(node: key.name, uid: object.uid, machineID: object.value.machineID)
    }
}

extension LedgerIndex {
    /// Takes in what a store of allocations tells, many additions at once.
    fileprivate mutating func apply(_ deltas: [ObjectDelta<AllocationRecord>]) {
        var added: [AllocationRecord] = []
        func flush(_ index: inout LedgerIndex) {
            index.insert(contentsOf: added)
            added = []
        }
        for delta in deltas {
            switch delta {
            case .added(_, let object): added.append(object.value)
            case .changed(_, let old, let new):
                flush(&self)
                replace(old.value, with: new.value)
            case .deleted(let key, let old):
                flush(&self)
                if let old {
                    remove(old.value)
                } else if let name = AllocationName(objectName: key.name) {
                    remove(name)
                }
            case .unreadable(let key, _, let old):
                flush(&self)
                if let old { remove(old.value) }
                if let name = AllocationName(objectName: key.name) { insert(unreadable: name) }
            }
        }
        flush(&self)
    }
}
