import IPAMAPI
import IPAMEngine
import JSONText
import KubernetesClient
import KubernetesCore
package import KubernetesRuntime
import Synchronization

/// Keeps the status of reservations: whether every pool enforces them, and who has addresses inside.
///
/// Flow: `ReservationCensus` compares the reservation with the compiled rules that the pools' statuses have.
///
/// Guarantees: Enforced becomes True only after a consistent LIST of the pools, for the store of pools may lag behind
/// that of reservations. At most one write for each reservation in `ControllerSettings.statusInterval`.
package final class ReservationReconciler: Reconciler {
    private let view: ClusterView
    private let writer: LedgerWriter
    private let interval: Duration
    private let written = Mutex<[String: Moment]>([:])

    package init(_ view: ClusterView, _ writer: LedgerWriter, interval: Duration) {
        self.view = view
        self.writer = writer
        self.interval = interval
    }

    package func reconcile(_ name: String) async throws -> Requeue {
        guard case .present(let object) = view.reservations[ObjectKey(name: name)] else {
            written.withLock { $0[name] = nil }
            return .whenChanged
        }
        let now = writer.client.clock.now()
        if let next = written.withLock({ $0[name] }).map({ $0 + interval }), now < next { return .after(next - now) }
        var reservation = object.value
        var status = status(of: reservation, view.pools.objects.map(\.object.value))
        guard status != reservation.status else { return .whenChanged }
        let wasEnforced = ReservationCensus.isEnforced(reservation)
        reservation.status = status
        if ReservationCensus.isEnforced(reservation), !wasEnforced {
            let list = try await writer.client.list(.ipPools, deadline: try writer.deadline())
            status = self.status(of: object.value, list.items.compactMap { try? ClusterView.pool($0) })
            guard status != object.value.status else { return .after(interval) }
        }
        let metadata = ObjectMetadata(name: name, uid: object.uid, resourceVersion: object.resourceVersion)
        var json = status.json
        for member in ["holders", "holderCount", "conditions"] where json[member] == nil { json[member] = .null }
        let deadline = try writer.deadline()
        do throws(APIError) {
            _ = try await writer.client.patch(
                .ipReservations, name: name, patch: Patch.merge(["status": json]).conditional(on: metadata),
                subresource: "status", deadline: deadline)
        } catch {
            if error.isConflict || error.isNotFound || error.namesAnotherObject { return .after(interval) }
            throw error
        }
        written.withLock { $0[name] = now }
        return .whenChanged
    }

    private func status(of reservation: IPReservation, _ pools: [IPPool]) -> IPReservation.Status {
        let timestamp = writer.timestamp
        return view.withIndex {
            ReservationCensus.status(of: reservation, pools: pools, index: $0, now: timestamp)
        }
    }
}
