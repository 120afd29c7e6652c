import IPAMAPI
import IPAMEngine
import JSONText
import KubernetesClient
import KubernetesCore
package import KubernetesRuntime
package import Logging
import Synchronization

/// Keeps a pool for as long as allocations name it, and removes pools of network configurations that nobody uses.
///
/// Flow: every pool gets a finalizer. A pool that is being deleted loses it when no allocation names it any more. A pool
/// that was made from a range of a network configuration is deleted when none has named it for
/// `ControllerSettings.inlinePoolLifetime`.
///
/// Guarantees: before a pool may go, a consistent LIST shows that no allocation names it. An allocation that is created
/// a moment later names a pool that is gone; it is good for its holder all the same, and is freed as any other.
package final class PoolLifeReconciler: Reconciler {
    package static let finalizer = "\(BerthAPI.group)/in-use"

    private let view: ClusterView
    private let writer: LedgerWriter
    private let inlineLifetime: Duration
    private let logger: Logger
    /// Since when no allocation named a pool, by its name.
    private let unused = Mutex<[String: (uid: String, since: Moment)]>([:])

    package init(_ view: ClusterView, _ writer: LedgerWriter, inlineLifetime: Duration, logger: Logger) {
        self.view = view
        self.writer = writer
        self.inlineLifetime = inlineLifetime
        self.logger = logger
    }

    /// A term of leadership begins.
    package func forget() { unused.withLock { $0 = [:] } }

    package func reconcile(_ name: String) async throws -> Requeue {
        guard case .present(let object) = view.pools[ObjectKey(name: name)] else {
            unused.withLock { $0[name] = nil }
            return .whenChanged
        }
        // Before the first list every pool looks as if nobody used it.
        guard view.allocations.hasSynced else { return .after(.seconds(1)) }
        let metadata = object.value.metadata
        let isUsed = view.withIndex { $0.tally(ofPool: name).total > 0 }
        if metadata.isBeingDeleted {
            unused.withLock { $0[name] = nil }
            guard metadata.finalizers.contains(Self.finalizer), !isUsed else { return .whenChanged }
            if let pause = try await use(ofUnused: name) { return .after(pause) }
            return try await setFinalizers(metadata.finalizers.filter { $0 != Self.finalizer }, object)
        }
        if !metadata.finalizers.contains(Self.finalizer) {
            return try await setFinalizers(metadata.finalizers + [Self.finalizer], object)
        }
        guard metadata.labels[LabelKey.inline] == "true" else { return .whenChanged }
        return try await collect(object, isUsed: isUsed)
    }

    private func collect(_ object: StoredObject<IPPool>, isUsed: Bool) async throws -> Requeue {
        let name = object.value.metadata.name
        guard !isUsed else {
            unused.withLock { $0[name] = nil }
            return .whenChanged
        }
        let now = writer.client.clock.now()
        let since = unused.withLock { unused in
            if let known = unused[name], known.uid == object.uid { return known.since }
            unused[name] = (object.uid, now)
            return now
        }
        let end = since + inlineLifetime
        guard now >= end else { return .after(end - now) }
        if let pause = try await use(ofUnused: name) { return .after(pause) }
        guard case .done = try await writer.delete(.ipPools, object.metadata(name)) else {
            return .after(.seconds(1))
        }
        logger.info("removed a pool that no network configuration has used", metadata: ["pool": "\(name)"])
        return .whenChanged
    }

    /// Until a pool is looked at again that only the API server knows to be in use; nil where it is not. What is on its way
    /// to the store wakes it up before; what cannot be read is counted for no pool, and never does.
    private func use(ofUnused name: String) async throws -> Duration? {
        let options = ListOptions(
            labelSelector: "\(LabelKey.pool)=\(LabelValue.fitting(name))", limit: 1, form: .metadata)
        let list = try await writer.client.list(.ipAllocations, options: options, deadline: try writer.deadline())
        guard let user = list.items.first?["metadata"]?["name"]?.string else { return nil }
        logger.info(
            "a pool waits for an allocation that the controller has not seen, or cannot read",
            metadata: ["pool": "\(name)", "allocation": "\(user)"])
        return .seconds(30)
    }

    private func setFinalizers(_ finalizers: [String], _ object: StoredObject<IPPool>) async throws -> Requeue {
        let name = object.value.metadata.name
        let patch: JSON = ["metadata": ["finalizers": .strings(finalizers)]]
        let outcome = try await writer.patch(.ipPools, object.metadata(name), patch)
        return outcome == .done ? .whenChanged : .after(.seconds(1))
    }
}
