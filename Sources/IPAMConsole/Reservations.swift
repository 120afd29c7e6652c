package import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore

extension PoolEntry {
    /// The pool as a claim sees it that reads the reservations itself, as it does where none are compiled for the pool's
    /// present generation.
    ///
    /// - Parameter purpose: What the claimant names, if anything.
    package func ruled(by reservations: [ValidatedReservation], purpose: String? = nil) -> PoolEntry {
        let ruled = pool.hasCompiledReservations ? pool : ReservationRule(reservations, pool: pool).applied(to: pool)
        return PoolEntry(ruled, purpose: purpose)
    }
}

extension ValidatedPool {
    /// How many of its addresses reservations keep from whoever names no purpose.
    package var reservedCount: UInt128 { purpose == nil ? configured.count - usable.count : 0 }
}

extension ValidatedReservation {
    /// `IPReservation gateways ("routers"), for the purpose "dns"`
    package var title: String {
        let why = reason.map { " (\($0.debugDescription))" } ?? ""
        return "IPReservation \(name)\(why)\(purpose.map { ", for the purpose \"\($0)\"" } ?? "")"
    }
}

extension ClusterReader {
    /// The reservations. None where the server knows no such kind, or shows them to others only.
    package func reservations() throws -> [ValidatedReservation] {
        do throws(APIError) {
            return try perform(.list(.ipReservations))["items"]?.array.map { items in
                items.compactMap { (try? IPReservation($0)).map { ValidatedReservation(reading: $0) } }
            } ?? []
        } catch {
            guard error.isUnserved || error.isForbidden else { throw ConsoleError(error) }
            return []
        }
    }

    /// One sentence for each that some pool does not obey yet, or that nobody compiles. None where the server knows no such
    /// kind, or shows them to others only.
    func unenforcedReservations() throws -> [String] {
        do throws(APIError) {
            let items = try perform(.list(.ipReservations))["items"]?.array ?? []
            return items.compactMap { try? IPReservation($0) }.sorted { $0.metadata.name < $1.metadata.name }.compactMap
            {
                reservation in
                guard let reason = EnforcementGap(reservation) else { return nil }
                let condition = reservation.status?.conditions.first { $0.type == ReservationCensus.enforced }
                let message = condition.map { ": \($0.message)" } ?? ""
                return "IPReservation \(reservation.metadata.name) is not in force everywhere (\(reason.rawValue))"
                    + message
            }
        } catch {
            guard error.isUnserved || error.isForbidden else { throw ConsoleError(error) }
            return []
        }
    }

    /// The pools with what is reserved in force.
    package func ruledPools() throws -> [PoolEntry] {
        let pools = try pools()
        guard pools.contains(where: { !$0.pool.hasCompiledReservations }) else { return pools }
        let reservations = try reservations()
        return pools.map { $0.ruled(by: reservations) }
    }
}
