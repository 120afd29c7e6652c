package import IPAMAPI
import IPAddressing
import KubernetesCore

/// Says of a reservation how far it is in force, and who has addresses inside.
package enum ReservationCensus {
    /// The condition that the controller sets.
    package static let enforced = "Enforced"

    /// The status of a reservation as pools and ledger have it.
    ///
    /// Enforced is True when the compiled rule of every pool that is concerned contains the reservation. Once it is, it
    /// stays so for this generation of the reservation while a pool is made or edited: until the pool is compiled anew,
    /// claims read the reservations themselves.
    ///
    /// - Parameters:
    ///   - pools: All there are; those that the reservation is not about are passed over.
    ///   - now: RFC 3339, for a condition that changes.
    package static func status(
        of reservation: IPReservation, pools: [IPPool], index: LedgerIndex, now: String
    ) -> IPReservation.Status {
        let generation = reservation.metadata.generation
        let valid = ValidatedReservation(reading: reservation)
        let concerned = pools.compactMap { Concern($0, valid) }.sorted { $0.pool.metadata.name < $1.pool.metadata.name }
        let (holders, count) = holders(of: valid, in: concerned, index)
        let (status, reason, message) = finding(valid, pools, concerned, wasEnforced: isEnforced(reservation))
        let previous = reservation.status?.conditions ?? []
        let condition = Condition(
            type: enforced, status: status, reason: reason, message: message, lastTransitionTime: now,
            observedGeneration: generation
        ).keepingTime(of: previous)
        return IPReservation.Status(
            observedGeneration: generation, holderCount: count, holders: holders,
            conditions: [condition] + previous.filter { $0.type != enforced })
    }

    /// Whether the controller said so of the reservation as it is now.
    package static func isEnforced(_ reservation: IPReservation) -> Bool {
        reservation.status?.conditions.contains {
            $0.type == enforced && $0.status == .true && $0.observedGeneration == reservation.metadata.generation
        } ?? false
    }

    private static func finding(
        _ reservation: ValidatedReservation, _ pools: [IPPool], _ concerned: [Concern], wasEnforced: Bool
    ) -> (Condition.Status, reason: String, message: String) {
        if let problem = reservation.problem {
            return (.false, "Invalid", "\(problem); the rest of the reservation is in force")
        }
        let lagging = concerned.filter { !$0.isCompiled && !(wasEnforced && !$0.pool.hasCompiledReservations) }
        guard lagging.isEmpty else {
            let names = PoolCensus.list(lagging.map { "\"\($0.pool.metadata.name)\"" })
            return (.false, "Compiling", "not yet in the compiled rule of \(noun(lagging.count)) \(names)")
        }
        let known = Set(pools.map(\.metadata.name))
        let missing = reservation.pools.subtracting(known).sorted().map { "\"\($0)\"" }
        let note = missing.isEmpty ? "" : "; there is no IPPool \(PoolCensus.list(missing))"
        guard !concerned.isEmpty else { return (.true, "NoPool", "no pool has an address of it\(note)") }
        return (.true, "Compiled", "every claim in \(concerned.count) \(noun(concerned.count)) obeys it\(note)")
    }

    private static func noun(_ count: Int) -> String { count == 1 ? "IPPool" : "IPPools" }

    private static func holders(
        of reservation: ValidatedReservation, in concerned: [Concern], _ index: LedgerIndex
    ) -> ([IPReservation.Holder], count: Int) {
        var sets: [String: [IPFamily: IPSet]] = [:]
        for concern in concerned {
            let family = concern.inside.family
            let known = sets[concern.pool.spec.network]?[family] ?? IPSet(family: family)
            sets[concern.pool.spec.network, default: [:]][family] = known.union(concern.inside)
        }
        var (records, count) = ([AllocationRecord](), 0)
        for (network, families) in sets.sorted(by: { $0.key < $1.key }) {
            for set in [families[.v4], families[.v6]].compactMap(\.self) {
                let found = index.holders(in: set, network: network, limit: IPReservation.Status.maximumHolders)
                records += found.records
                count += found.count
            }
        }
        let holders = records.prefix(IPReservation.Status.maximumHolders).map { record in
            IPReservation.Holder(
                allocation: record.name, pool: record.pool, pod: record.pod.map { "\($0.namespace)/\($0.name)" },
                node: record.node.isEmpty ? nil : record.node)
        }
        return (holders, count)
    }

    /// A pool that a reservation is about, and what of it is in the pool's subnet.
    private struct Concern {
        let pool: IPPool
        let inside: IPSet
        /// Whether the compiled rule keeps all of it, from everybody but its purpose.
        let isCompiled: Bool

        init?(_ pool: IPPool, _ reservation: ValidatedReservation) {
            guard reservation.isAbout(pool: pool.metadata.name, network: pool.spec.network),
                let subnet = try? IPPrefix(parsing: pool.spec.subnet)
            else { return nil }
            let inside = reservation.addresses(subnet.family).intersection(subnet.range)
            guard !inside.isEmpty else { return nil }
            func set(_ texts: [String]) -> IPSet {
                IPSet(family: subnet.family, ranges: texts.compactMap { try? IPRange(parsing: $0) })
            }
            let others = (pool.status?.reservedFor ?? []).filter { $0.purpose != reservation.purpose }
            self.pool = pool
            self.inside = inside
            isCompiled =
                pool.hasCompiledReservations
                && inside.subtracting(set(pool.status?.reserved ?? [])).isEmpty
                && inside.intersection(set(others.flatMap(\.ranges))).isEmpty
        }
    }
}
