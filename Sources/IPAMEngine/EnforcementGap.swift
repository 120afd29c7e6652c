package import IPAMAPI
import KubernetesCore

/// Why an IPReservation is not known to be in force in every pool.
package enum EnforcementGap: String, Hashable, Sendable, CaseIterable {
    /// Pools lag behind.
    case compiling = "Compiling"
    /// What of it makes no sense reserves nothing.
    case invalid = "Invalid"
    /// No controller has said anything of it as it now is.
    case unknown = "Unknown"

    /// Nil where it is in force.
    package init?(_ reservation: IPReservation) {
        guard !ReservationCensus.isEnforced(reservation) else { return nil }
        let condition = reservation.status?.conditions.first {
            $0.type == ReservationCensus.enforced && $0.observedGeneration == reservation.metadata.generation
        }
        self = condition.flatMap { EnforcementGap(rawValue: $0.reason) } ?? .unknown
    }
}
