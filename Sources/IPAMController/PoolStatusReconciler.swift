import IPAMAPI
import IPAMEngine
import JSONText
import KubernetesClient
import KubernetesCore
package import KubernetesRuntime

/// Keeps the status of pools: counts, conditions, and the occupancy hint that spares claimants refused creates.
///
/// It also compiles the reservations that concern a pool into its status, which is the rule that every claim obeys.
///
/// Flow: `PoolCensus` counts the pool in the ledger's index; a status that differs is written, on condition of the
/// version of the pool that was counted.
///
/// Guarantees: counts and rule are of one generation of the pool. A rule that changes is compiled from a consistent LIST
/// of the reservations: a store may lag, after a change of the leader too, and a rule that lacks a reservation which was
/// said to be enforced would give its addresses away. At most one write for each pool in
/// `ControllerSettings.statusInterval`, and none without a change.
package final class PoolStatusReconciler: Reconciler {
    private let view: ClusterView
    private let writer: LedgerWriter
    private let pace: WritePace

    package init(_ view: ClusterView, _ writer: LedgerWriter, interval: Duration) {
        self.view = view
        self.writer = writer
        pace = WritePace(interval)
    }

    package func reconcile(_ name: String) async throws -> Requeue {
        guard case .present(let object) = view.pools[ObjectKey(name: name)] else {
            pace.forget(name)
            return .whenChanged
        }
        // Before the first list every pool looks as if nobody used it.
        guard view.allocations.hasSynced else { return .after(.seconds(1)) }
        let now = writer.client.clock.now()
        if let pause = pace.pause(name, now: now) { return .after(pause) }
        let timestamp = writer.timestamp
        let rule = try await rule(of: object.value)
        let blocks = object.value.spec.nodeBlocks == nil || !view.blocks.hasSynced ? nil : view.validBlocks
        let status = view.withIndex {
            PoolCensus.status(of: object.value, rule: rule, blocks: blocks, index: $0, now: timestamp)
        }
        guard status != object.value.status else { return .whenChanged }
        let outcome = try await writer.patch(
            .ipPools, object.metadata(name), ["status": Self.patch(to: status)], subresource: "status")
        // Its new state is on its way to the store.
        guard case .done = outcome else { return .after(pace.interval) }
        pace.wrote(name, now: now)
        return .whenChanged
    }

    /// What is reserved of a pool; nil where it cannot be known, because reservations are not served yet, or one of them
    /// cannot be read. Claims then go by what was compiled for this generation of the pool, or read for themselves.
    private func rule(of pool: IPPool) async throws -> ReservationRule? {
        guard view.reservations.hasSynced else { return nil }
        let seen = ReservationRule(view.validReservations, pool: pool)
        if seen.isIn(pool) { return seen }
        let list = try await writer.client.list(.ipReservations, deadline: try writer.deadline())
        let reservations = try? list.items.map { ValidatedReservation(reading: try IPReservation($0)) }
        return reservations.map { ReservationRule($0, pool: pool) }
    }

    /// A merge patch that also takes away what the status does not have any more.
    private static func patch(to status: IPPool.Status) -> JSON {
        var json = status.json
        for member in [
            "capacity", "allocated", "cooling", "held", "free", "occupancy", "reserved", "reservedFor",
            "namespacesAtQuota", "reservedGeneration", "conditions",
        ] where json[member] == nil {
            json[member] = .null
        }
        return json
    }
}
