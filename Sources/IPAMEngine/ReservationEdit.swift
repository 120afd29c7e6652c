package import IPAMAPI
import IPAddressing
package import JSONText
import KubernetesCore

/// Whether an administrator may create or change a reservation, and what to tell them about it.
///
/// Addresses in use are no reason to refuse: a reservation takes nothing from anybody.
package enum ReservationEdit {
    /// - Parameters:
    ///   - old: The IPReservation as it is; nil when it is created.
    ///   - new: The IPReservation as it shall be; nil when it is deleted.
    ///   - pools: All there are.
    ///   - others: The other reservations; may contain this one.
    package static func decide(
        old: JSON?, new: JSON?, pools: [IPPool], others: [ValidatedReservation], index: LedgerIndex
    ) -> PoolEdit.Decision {
        // What leaves the spec as it is, is always allowed.
        guard var new, old?["spec"] != new["spec"] else { return .allowed() }
        new["status"] = nil
        do {
            let reservation = try IPReservation(new)
            return .allowed(
                warnings: warnings(reservation, try ValidatedReservation(reservation), pools, others, index))
        } catch let error as PoolProblem {
            return .refused(error.description)
        } catch let error as JSONDecodingError {
            return .refused(error.description)
        } catch {
            return .refused("\(error)")
        }
    }

    private static func warnings(
        _ reservation: IPReservation, _ valid: ValidatedReservation, _ pools: [IPPool],
        _ others: [ValidatedReservation], _ index: LedgerIndex
    ) -> [String] {
        var warnings: [String] = []
        let missing = valid.pools.subtracting(pools.map(\.metadata.name)).sorted()
        if !missing.isEmpty { warnings.append("there is no IPPool \(PoolCensus.list(missing.map { "\"\($0)\"" }))") }
        let status = ReservationCensus.status(of: reservation, pools: pools, index: index, now: "")
        if missing.isEmpty, status.conditions.contains(where: { $0.reason == "NoPool" }) {
            warnings.append("no IPPool has an address of it at present: it reserves nothing")
        }
        if let count = status.holderCount, count > 0 {
            let names = status.holders.prefix(PoolCensus.maximumNamed).map { holder in
                holder.allocation + (holder.pod.map { " (\($0))" } ?? "")
            }
            let rest = count - names.count
            warnings.append(
                "in use, and left to who has it: \(names.joined(separator: ", "))\(rest > 0 ? " and \(rest) more" : "")"
            )
        }
        let clashes = others.filter { other in
            other.name != valid.name && other.purpose != valid.purpose && other.shares(with: valid)
        }
        if !clashes.isEmpty {
            let names = PoolCensus.list(clashes.map { "\"\($0.name)\"" }.sorted())
            warnings.append("overlaps IPReservation \(names), of another purpose: what is in both is given to nobody")
        }
        return warnings
    }
}

extension ValidatedReservation {
    /// Whether two reservations may have an address of one pool in common.
    fileprivate func shares(with other: ValidatedReservation) -> Bool {
        let isOfOnePool = pools.isEmpty || other.pools.isEmpty || !pools.isDisjoint(with: other.pools)
        let isOfOneNetwork = network == nil || other.network == nil || network == other.network
        return isOfOnePool && isOfOneNetwork
            && !(v4.intersection(other.v4).isEmpty && v6.intersection(other.v6).isEmpty)
    }
}
