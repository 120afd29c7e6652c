import IPAMAPI
import IPAMEngine
import JSONText
import KubernetesClient
import KubernetesCore
package import KubernetesRuntime

/// Keeps the status of reservations: whether every pool enforces them, and who has addresses inside.
///
/// Flow: `ReservationCensus` compares the reservation with the compiled rules that the pools' statuses have.
///
/// Guarantees: Enforced becomes True only after a consistent LIST of the pools, for the store of pools may lag behind
/// that of reservations. At most one write for each reservation in `ControllerSettings.statusInterval`.
package final class ReservationReconciler: Reconciler {
    private let view: ClusterView
    private let writer: LedgerWriter
    private let pace: WritePace

    package init(_ view: ClusterView, _ writer: LedgerWriter, interval: Duration) {
        self.view = view
        self.writer = writer
        pace = WritePace(interval)
    }

    package func reconcile(_ name: String) async throws -> Requeue {
        guard case .present(let object) = view.reservations[ObjectKey(name: name)] else {
            pace.forget(name)
            return .whenChanged
        }
        // Before the first list nobody seems to have an address.
        guard view.allocations.hasSynced else { return .after(.seconds(1)) }
        let now = writer.client.clock.now()
        if let pause = pace.pause(name, now: now) { return .after(pause) }
        var reservation = object.value
        var status = status(of: reservation, view.pools.objects.map(\.object.value))
        guard status != reservation.status else { return .whenChanged }
        let wasEnforced = ReservationCensus.isEnforced(reservation)
        reservation.status = status
        if ReservationCensus.isEnforced(reservation), !wasEnforced {
            let list = try await writer.client.list(.ipPools, deadline: try writer.deadline())
            status = self.status(of: object.value, list.items.compactMap { try? ClusterView.pool($0) })
            guard status != object.value.status else { return .after(pace.interval) }
        }
        var json = status.json
        for member in ["holders", "holderCount", "conditions"] where json[member] == nil { json[member] = .null }
        let outcome = try await writer.patch(
            .ipReservations, object.metadata(name), ["status": json], subresource: "status")
        // Its new state is on its way to the store.
        guard case .done = outcome else { return .after(pace.interval) }
        pace.wrote(name, now: now)
        return .whenChanged
    }

    private func status(of reservation: IPReservation, _ pools: [IPPool]) -> IPReservation.Status {
        let timestamp = writer.timestamp
        return view.withIndex {
            ReservationCensus.status(of: reservation, pools: pools, index: $0, now: timestamp)
        }
    }
}
