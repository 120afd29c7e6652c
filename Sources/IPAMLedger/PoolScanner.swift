import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesCore

/// LISTs of a pool's allocations, rationed for the node as a whole.
///
/// - Flow: take the pool's lock, use what another ADD of this node learned in the last ``interval``, else LIST and
///   leave the result for the others.
/// - Guarantees: a node lists a pool at most once in ``interval`` for each scope, however many ADDs are waiting.
/// - Assumptions: what a LIST from the server's cache says may be stale; a create or a conditional write decides.
/// - Caveats: allocations of an overlapping pool are not seen.
enum PoolScanner {
    enum Scope: String, Sendable {
        case everything
        /// Only addresses in cooldown: the occupancy hint said already that nothing is free.
        case cooling
    }

    static let interval: Duration = .seconds(5)
    /// How long what a LIST saw free is worth more than a random probe.
    static let memory: Duration = .seconds(60)

    /// Of the record that a LIST leaves on the node.
    static func key(_ pool: ValidatedPool, _ scope: Scope) -> String {
        let slice = pool.slice.map { "\($0.key)." } ?? ""
        return "\(pool.uid).\(pool.purpose.map { "\($0)." } ?? "")\(slice)\(scope.rawValue)"
    }

    /// The LIST: rows of names and states instead of objects, a tenth of the size, and from the server's cache.
    static func request(_ pool: ValidatedPool, _ scope: Scope) -> APIRequest {
        var selector = "\(LabelKey.pool)=\(LabelValue.fitting(pool.name))"
        if scope == .cooling { selector += ",\(LabelKey.state)=\(AllocationState.cooling.rawValue)" }
        var request = APIRequest.list(
            .ipAllocations, options: ListOptions(labelSelector: selector, resourceVersion: "0"))
        request.query.append(APIRequest.QueryItem("includeObject", "None"))
        request.headers = [
            APIRequest.Header("Accept", "application/json;as=Table;g=meta.k8s.io;v=v1")
        ]
        return request
    }

    /// Reads the names and states out of the server's table; rows that cannot be understood are left out.
    static func allocations(inTable json: JSON) -> [(address: IPAddress, state: AllocationState?)] {
        let columns = (json["columnDefinitions"]?.array ?? []).map { $0["name"]?.string?.lowercased() }
        guard let nameColumn = columns.firstIndex(of: "name") else { return [] }
        let stateColumn = columns.firstIndex(of: "state")
        return (json["rows"]?.array ?? []).compactMap { row in
            guard let cells = row["cells"]?.array, cells.indices.contains(nameColumn),
                let name = cells[nameColumn].string.flatMap({ AllocationName(objectName: $0) })
            else { return nil }
            let state = stateColumn.flatMap { cells.indices.contains($0) ? cells[$0].string : nil }
            return (name.address, state.flatMap { AllocationState(rawValue: $0) })
        }
    }
}

extension Ledger {
    /// What is free and cooling in a pool, from this node's memory or from the API server.
    mutating func scan(
        _ pool: ValidatedPool, _ scope: PoolScanner.Scope, deadline: Moment
    ) throws(LedgerError) -> PoolScan {
        let key = PoolScanner.key(pool, scope)
        let scan = try journal.withLock(.pool(uid: key), until: deadline) { () throws(LedgerError) in
            try scanAlone(pool, scope, key: key, deadline: deadline)
        }
        guard let scan else { throw .deadline("another ADD of this node was listing IPPool \"\(pool.name)\"") }
        return scan
    }

    /// What the last LIST of the pool told this node, unless that is too long ago.
    func rememberedScan(_ pool: ValidatedPool, _ scope: PoolScanner.Scope, maximumAge: Duration) -> PoolScan? {
        guard let record = journal.scanRecord(pool: PoolScanner.key(pool, scope)), let at = record["at"]?.int,
            transport.now() - Moment(nanoseconds: Int64(at)) < maximumAge,
            let scan = PoolScan(record), scan.poolGeneration == pool.generation
        else { return nil }
        return scan
    }

    private mutating func scanAlone(
        _ pool: ValidatedPool, _ scope: PoolScanner.Scope, key: String, deadline: Moment
    ) throws(LedgerError) -> PoolScan {
        if let scan = rememberedScan(pool, scope, maximumAge: PoolScanner.interval) { return scan }
        log.log(.debug, "listing a pool", [("pool", pool.name), ("scope", scope.rawValue)])
        let at = transport.now()
        let json = try ask([PoolScanner.request(pool, scope)], deadline: deadline)[0].orThrow()
        var scan = PoolScan(
            pool: pool, allocations: PoolScanner.allocations(inTable: json), using: &generator)
        if scope == .cooling { scan.forgetFree(keeping: pool.statusCounts) }
        var record = scan.json
        record["at"] = .int(at.nanoseconds)
        journal.writeScanRecord(record, pool: key)
        return scan
    }
}

extension PoolScan {
    /// A LIST of the cooling ones alone says nothing of what is free.
    fileprivate mutating func forgetFree(keeping counts: PoolCounts?) {
        free = []
        freeCount = 0
        if let counts { self.counts = counts }
    }

    fileprivate var json: JSON {
        [
            "poolUID": .string(poolUID), "generation": .int(poolGeneration), "freeCount": .string(String(freeCount)),
            "free": .strings(free.map(\.description)), "cooling": .strings(cooling.map(\.description)),
            "usable": .string(String(counts.usable)), "allocated": .int(counts.allocated),
            "coolingCount": .int(counts.cooling), "held": .int(counts.held),
        ]
    }

    fileprivate init?(_ json: JSON) {
        guard let poolUID = json["poolUID"]?.string, let generation = json["generation"]?.int,
            let freeCount = json["freeCount"]?.string.flatMap({ UInt128($0) }),
            let usable = json["usable"]?.string.flatMap({ UInt128($0) })
        else { return nil }
        func addresses(_ name: String) -> [IPAddress] {
            (json[name]?.array ?? []).compactMap { $0.string.flatMap { IPAddress($0) } }
        }
        self.init(
            poolUID: poolUID, poolGeneration: generation, freeCount: freeCount, free: addresses("free"),
            cooling: addresses("cooling"),
            counts: PoolCounts(
                usable: usable, allocated: json["allocated"]?.int ?? 0, cooling: json["coolingCount"]?.int ?? 0,
                held: json["held"]?.int ?? 0))
    }
}
