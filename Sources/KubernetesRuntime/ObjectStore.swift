package import JSONText
package import KubernetesCore
import Synchronization

/// What a watcher knows of the objects of one kind, each cut down to a small value.
///
/// Flow: a watcher stages the items of a list and commits them, then applies events. Whoever observes is told of every
/// difference; whoever asks sees the present state.
///
/// Guarantees: a resync is one atomic swap: readers see the whole old state or the whole new one. Observers are called
/// one after the other, in the order of the changes, after the store has taken them in, so that the store is never older
/// than what they are told. A new observer is told first of everything that is there. An object that was deleted and
/// made anew while nobody looked is reported as deleted and then added.
///
/// Assumptions: one watcher writes. `decode` and `index` have no side effects; `index` says the same of the same value.
///
/// Caveats: the store lags behind the API server, and before the first list it is empty: see `hasSynced`. An observer is
/// called on the watcher's task and must not block, nor register another one.
///
/// Errors: an object that does not decode is kept as unreadable under its key and reported; the others are not touched.
/// One that does not say its name is reported to the watcher and left out.
package final class ObjectStore<Value: Sendable>: Sendable {
    package typealias Observer = @Sendable ([ObjectDelta<Value>]) -> Void

    private let table: Mutex<ObjectTable<Value>>
    /// Held while observers are called, so that they see the changes in their order.
    private let observers = Mutex<[Observer]>([])
    private let synced = Latch()

    /// - Parameters:
    ///   - decode: The value of an object, which need not be whole: a metadata-only watch brings `metadata` alone.
    ///   - index: The texts by which `keys(indexedBy:)` finds the object, for example `node/n1`.
    package init(
        decode: @escaping @Sendable (JSON) throws -> Value,
        index: @escaping @Sendable (ObjectKey, Value) -> [String] = { _, _ in [] }
    ) {
        table = Mutex(ObjectTable(decode: decode, index: index))
    }

    package subscript(key: ObjectKey) -> StoredState<Value> { table.withLock { $0[key] } }

    package func value(_ key: ObjectKey) -> Value? {
        if case .present(let object) = self[key] { object.value } else { nil }
    }

    package func keys(indexedBy text: String) -> Set<ObjectKey> { table.withLock { $0.keys(indexedBy: text) } }

    /// Those that cannot be read too.
    package var count: Int { table.withLock(\.count) }

    package var keys: [ObjectKey] { table.withLock(\.keys) }

    /// All readable objects at one point in time.
    package var objects: [(key: ObjectKey, object: StoredObject<Value>)] { table.withLock(\.objects) }

    package var problems: [ObjectProblem] { table.withLock(\.problems) }

    /// A list was complete once. What the store says may be old, but it is not missing for never having been looked for.
    package var hasSynced: Bool { table.withLock { $0.listedVersion != nil } }

    package func waitUntilSynced() async throws(CancellationError) { try await synced.wait() }

    package func observe(_ observer: @escaping Observer) {
        observers.withLock { observers in
            observers.append(observer)
            let present = table.withLock(\.asAdded)
            if !present.isEmpty { observer(present) }
        }
    }

    // The watcher.

    package func beginResync() { table.withLock { $0.beginResync() } }

    /// Returns the items that do not say which object they are.
    package func stage(_ objects: [JSON]) -> [ObjectProblem] {
        table.withLock { table in objects.compactMap { table.stage($0) } }
    }

    package func commitResync(resourceVersion: String) {
        publish { $0.commitResync(resourceVersion: resourceVersion) }
        synced.open()
    }

    /// Returns a problem when the event does not say which object it is about.
    @discardableResult
    package func apply(_ event: WatchEvent) -> ObjectProblem? {
        var problem: ObjectProblem?
        publish { table in
            let result: (deltas: [ObjectDelta<Value>], problem: ObjectProblem?) =
                switch event {
                case .added(let object), .modified(let object): table.put(object)
                case .deleted(let object): table.remove(object)
                case .bookmark, .error: ([], nil)
                }
            problem = result.problem
            return result.deltas
        }
        return problem
    }

    private func publish(_ change: (inout ObjectTable<Value>) -> [ObjectDelta<Value>]) {
        observers.withLock { observers in
            let deltas = table.withLock { table in change(&table) }
            guard !deltas.isEmpty else { return }
            for observer in observers { observer(deltas) }
        }
    }
}
