import IPAMAPI
import IPAMEngine
import JSONText
import KubernetesCore

extension Ledger {
    /// How long what a LIST of the reservations told about a pool is used by other ADDs of the node.
    private static var reservationMemory: Duration { .seconds(5) }

    /// The pools as a claim may use them: with the reservations in force, and for a purpose those that are for it.
    ///
    /// Flow: the controller compiles reservations into the status of each pool, and marks it with the generation that it
    /// compiled for. Where every pool is compiled, no request is made. For the others, such as a pool that was made a
    /// moment ago, or all of them where no controller runs, the reservations are listed once, and the result is left on
    /// the node for its other ADDs.
    ///
    /// Guarantees: when an IPReservation says Enforced, every ADD that begins from then on obeys it. For what is
    /// remembered was listed after the very generation of the pool had been read for which it is used; and for a pool of
    /// that generation Enforced is said only once it is compiled, after which what is remembered is not looked at. The
    /// LIST itself is a consistent read, not one of the server's cache.
    ///
    /// Assumptions: the pools were read before this is called. Those that were listed come from the server's cache: for
    /// them "begins" is later by what that cache lags.
    ///
    /// Caveats: where no controller says Enforced, a reservation is obeyed ``reservationMemory`` after it was made.
    ///
    /// Errors: reservations that cannot be read fail the ADD, with one exception. A server that does not serve their kind
    /// has none of them: it is the one that served the pools just now, and so it has read the CRDs; that of
    /// reservations was not there when it last did, and with a CRD its objects are gone. Where it was installed meanwhile,
    /// nobody says Enforced of this pool before it is compiled.
    func enforceReservations(
        on pools: [IPPool], purpose: String?, deadline: Moment
    ) throws(LedgerError) -> [ValidatedPool] {
        var rules: [String: ReservationRule] = [:]
        if pools.contains(where: { !$0.hasCompiledReservations }) {
            let locked = try journal.withLock(.pool(uid: "reservations"), until: deadline) { () throws(LedgerError) in
                try readRules(of: pools.filter { !$0.hasCompiledReservations }, deadline: deadline)
            }
            guard let locked else { throw .deadline("another ADD of this node was listing the IPReservations") }
            rules = locked
        }
        var validated: [ValidatedPool] = []
        for pool in pools {
            do throws(PoolProblem) {
                let ruled = rules[pool.metadata.uid]?.applied(to: pool) ?? pool
                validated.append(try ValidatedPool(ruled, purpose: purpose))
            } catch {
                throw .poolUnusable("IPPool \"\(pool.metadata.name)\" is invalid: \(error)")
            }
        }
        return validated
    }

    /// The rules of pools by their UIDs, from this node's memory or from the API server.
    private func readRules(of pools: [IPPool], deadline: Moment) throws(LedgerError) -> [String: ReservationRule] {
        var rules: [String: ReservationRule] = [:]
        for pool in pools { rules[pool.metadata.uid] = rememberedRule(of: pool) }
        let unknown = pools.filter { rules[$0.metadata.uid] == nil }
        guard !unknown.isEmpty else { return rules }
        log.log(.debug, "listing reservations", [("pool", unknown[0].metadata.name), ("pools", "\(unknown.count)")])
        let at = transport.now()
        let reservations = try listReservations(deadline: deadline)
        for pool in unknown {
            let rule = ReservationRule(reservations, pool: pool)
            rules[pool.metadata.uid] = rule
            // What a dry run would make is never seen again.
            guard !pool.metadata.resourceVersion.isEmpty else { continue }
            var record = rule.json
            record["at"] = .int(at.nanoseconds)
            record["generation"] = .int(pool.metadata.generation)
            journal.writeScanRecord(record, pool: Self.ruleKey(pool))
        }
        return rules
    }

    private func listReservations(deadline: Moment) throws(LedgerError) -> [ValidatedReservation] {
        do throws(LedgerError) {
            let json = try ask([.list(.ipReservations)], deadline: deadline)[0].orThrow()
            var reservations: [ValidatedReservation] = []
            for item in json["items"]?.array ?? [] {
                do throws(JSONDecodingError) {
                    reservations.append(ValidatedReservation(reading: try IPReservation(item)))
                } catch {
                    // The schema keeps such a one out; what it would reserve nobody can say.
                    let name = item["metadata"]?["name"]?.string ?? ""
                    throw LedgerError.poolUnusable("IPReservation \"\(name)\" cannot be read: \(error)")
                }
            }
            return reservations
        } catch {
            if case .api(let failure, _) = error, failure.isUnserved { return [] }
            throw error
        }
    }

    private static func ruleKey(_ pool: IPPool) -> String { "\(pool.metadata.uid).reservations" }

    private func rememberedRule(of pool: IPPool) -> ReservationRule? {
        guard let record = journal.scanRecord(pool: Self.ruleKey(pool)), let at = record["at"]?.int,
            transport.now() - Moment(nanoseconds: Int64(at)) < Self.reservationMemory,
            record["generation"]?.int == pool.metadata.generation
        else { return nil }
        return ReservationRule(record)
    }
}
