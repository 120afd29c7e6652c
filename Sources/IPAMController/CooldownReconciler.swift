import IPAMAPI
import IPAMEngine
import KubernetesClient
import KubernetesCore
package import KubernetesRuntime
import Synchronization

/// Ends cooldowns.
///
/// Flow: an allocation in the state Cooling is deleted when its own cooldown has passed since this controller first saw
/// it in that version. One that is Held and names no claim, which nobody would ever come for, begins to cool.
///
/// Guarantees: the delete is conditional on that version, so that an address which was taken over meanwhile stays.
///
/// Caveats: a term of leadership begins without memory: cooldowns then last once more.
package final class CooldownReconciler: Reconciler {
    private struct Sighting {
        var uid: String
        var resourceVersion: String
        var since: Moment
    }

    private let view: ClusterView
    private let writer: LedgerWriter
    private let ended: @Sendable () -> Void
    private let sightings = Mutex<[String: Sighting]>([:])

    /// - Parameter ended: Is told of each cooldown that was ended.
    package init(_ view: ClusterView, _ writer: LedgerWriter, ended: @escaping @Sendable () -> Void) {
        self.view = view
        self.writer = writer
        self.ended = ended
    }

    /// A term of leadership begins.
    package func forget() { sightings.withLock { $0 = [:] } }

    package func reconcile(_ name: String) async throws -> Requeue {
        guard case .present(let object) = view.allocations[ObjectKey(name: name)], !object.value.isBeingDeleted else {
            sightings.withLock { $0[name] = nil }
            return .whenChanged
        }
        guard object.value.state == .cooling else {
            sightings.withLock { $0[name] = nil }
            if object.value.state == .held, !object.value.isClaimed, object.value.origin != .manual {
                _ = try await writer.abandon(object)
            }
            return .whenChanged
        }
        let now = writer.client.clock.now()
        let since = sightings.withLock { sightings in
            if let known = sightings[name], known.uid == object.uid, known.resourceVersion == object.resourceVersion {
                return known.since
            }
            sightings[name] = Sighting(uid: object.uid, resourceVersion: object.resourceVersion, since: now)
            return now
        }
        let end = since + .seconds(object.value.cooldownSeconds)
        guard now >= end else { return .after(end - now) }
        switch try await writer.delete(object) {
        case .done: ended()
        case .overtaken: break
        }
        return .whenChanged
    }
}
