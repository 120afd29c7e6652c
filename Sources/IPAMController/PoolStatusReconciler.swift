import IPAMAPI
import IPAMEngine
import JSONText
import KubernetesClient
import KubernetesCore
package import KubernetesRuntime
import Synchronization

/// Keeps the status of pools: counts, conditions, and the occupancy hint that spares claimants refused creates.
///
/// Flow: `PoolCensus` counts the pool in the ledger's index; a status that differs is written, on condition of the
/// version of the pool that was counted.
///
/// Guarantees: at most one write for each pool in `ControllerSettings.statusInterval`, and none without a change.
package final class PoolStatusReconciler: Reconciler {
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
        guard case .present(let object) = view.pools[ObjectKey(name: name)] else {
            written.withLock { $0[name] = nil }
            return .whenChanged
        }
        let now = writer.client.clock.now()
        if let next = written.withLock({ $0[name] }).map({ $0 + interval }), now < next { return .after(next - now) }
        let timestamp = writer.timestamp
        let status = view.withIndex { PoolCensus.status(of: object.value, index: $0, now: timestamp) }
        guard status != object.value.status else { return .whenChanged }
        let metadata = ObjectMetadata(name: name, uid: object.uid, resourceVersion: object.resourceVersion)
        let patch: JSON = ["status": Self.patch(to: status)]
        let deadline = try writer.deadline()
        do throws(APIError) {
            _ = try await writer.client.patch(
                .ipPools, name: name, patch: Patch.merge(patch).conditional(on: metadata), subresource: "status",
                deadline: deadline)
        } catch {
            // Its new state is on its way to the store.
            if error.isConflict || error.isNotFound || error.namesAnotherObject { return .after(interval) }
            throw error
        }
        written.withLock { $0[name] = now }
        return .whenChanged
    }

    /// A merge patch that also takes away what the status does not have any more. `reserved` is not the controller's.
    private static func patch(to status: IPPool.Status) -> JSON {
        var json = status.json
        json["reserved"] = nil
        for member in ["capacity", "allocated", "cooling", "held", "free", "occupancy", "conditions"]
        where json[member] == nil {
            json[member] = .null
        }
        return json
    }
}
