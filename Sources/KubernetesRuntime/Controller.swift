package import KubernetesClient
import KubernetesCore
import Synchronization

/// When a key is to be reconciled again, when nothing changes before.
package enum Requeue: Hashable, Sendable {
    case whenChanged
    case after(Duration)
}

/// Makes one thing as it should be.
///
/// Flow: read the whole state that the key names, decide, write; return when to come back.
///
/// Guarantees that an implementation gives: what it does depends on the state alone, not on how often or why it is
/// called; it may be called again at any time, and after a crash in the middle.
///
/// Assumptions it may make: no two calls for one key run at once; stores have synced before the first call, and may lag.
///
/// Errors: what it throws is reported and the key comes again after a growing pause, not before the `Retry-After` of an
/// APIError, unless something changes before. CancellationError, when the task is cancelled, is no failure.
package protocol Reconciler<Key>: Sendable {
    associatedtype Key: Hashable & Sendable

    func reconcile(_ key: Key) async throws -> Requeue
}

/// One call of a reconciler, for logs and metrics.
package struct ReconcileReport<Key: Hashable & Sendable>: Sendable {
    package let key: Key
    /// Nil when it succeeded.
    package let error: (any Error)?
    /// How long it had been due before it began.
    package let late: Duration
    package let took: Duration
}

/// Joins stores, a queue and a reconciler.
///
/// Flow: every difference in a store is turned into keys, which the queue gives to the reconciler.
///
/// Guarantees: those of `WorkQueue`. The reconciler is not called before every store that is observed has synced.
///
/// Assumptions: the watchers of the stores run beside it.
///
/// Caveats: `run` returns only when its task is cancelled, after every reconciler that ran has returned.
package final class Controller<R: Reconciler>: Sendable {
    private let reconciler: R
    private let queue: WorkQueue<R.Key>
    private let clock: any AsyncClock
    private let report: @Sendable (ReconcileReport<R.Key>) -> Void
    private let syncs = Mutex<[@Sendable () async throws(CancellationError) -> Void]>([])

    package init(
        _ reconciler: R, limits: WorkLimits = WorkLimits(), clock: any AsyncClock = BootClock(),
        generator: any RandomNumberGenerator & Sendable = SystemRandomNumberGenerator(),
        report: @escaping @Sendable (ReconcileReport<R.Key>) -> Void = { _ in }
    ) {
        self.reconciler = reconciler
        self.clock = clock
        self.report = report
        queue = WorkQueue(limits, clock: clock, generator: generator)
    }

    /// Before `run`. `keys` says what a difference concerns.
    package func observe<Value>(
        _ store: ObjectStore<Value>, keys: @escaping @Sendable (ObjectDelta<Value>) -> [R.Key]
    ) {
        syncs.withLock { $0.append { () throws(CancellationError) in try await store.waitUntilSynced() } }
        let queue = queue
        store.observe { deltas in queue.add(deltas.flatMap(keys)) }
    }

    package func enqueue(_ key: R.Key, after delay: Duration = .zero) { queue.add(key, after: delay) }

    package var depth: Int { queue.depth }

    package func run() async throws {
        for sync in syncs.withLock(\.self) {
            do { try await sync() } catch { return }
        }
        try await queue.run { [reconciler, clock, report] key, late in
            let start = clock.now()
            do {
                let requeue = try await reconciler.reconcile(key)
                report(ReconcileReport(key: key, error: nil, late: late, took: clock.now() - start))
                return switch requeue {
                case .whenChanged: .done
                case .after(let delay): .again(after: delay)
                }
            } catch {
                // Its work is not done, and a later run takes it up again.
                if Task.isCancelled { return .again(after: .zero) }
                report(ReconcileReport(key: key, error: error, late: late, took: clock.now() - start))
                if case .transient(let retryAfter) = (error as? APIError)?.disposition {
                    return .failed(retryAfter: retryAfter)
                }
                return .failed(retryAfter: nil)
            }
        }
    }
}
