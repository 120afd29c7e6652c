package import KubernetesClient
import KubernetesCore
import Synchronization

/// Runs keys one after the other or side by side: the shell of `WorkQueueState`, which decides everything.
///
/// Flow: anybody adds keys, from any thread. `run` starts them as they fall due, and takes each outcome back.
///
/// Guarantees: those of `WorkQueueState`. When `run` returns, nothing that it started runs any more.
///
/// Assumptions: `run` is called once at a time. The body ends soon after its task is cancelled.
///
/// Caveats: keys that still wait when `run` is cancelled stay in the queue for the next `run`. What ran then and was
/// not done runs again.
package final class WorkQueue<Key: Hashable & Sendable>: Sendable {
    private let state: Mutex<WorkQueueState<Key>>
    private let changed = Signal()
    private let clock: any AsyncClock
    private let generator: Mutex<any RandomNumberGenerator & Sendable>

    package init(
        _ limits: WorkLimits = WorkLimits(), clock: any AsyncClock = BootClock(),
        generator: any RandomNumberGenerator & Sendable = SystemRandomNumberGenerator()
    ) {
        state = Mutex(WorkQueueState(limits))
        self.clock = clock
        self.generator = Mutex(generator)
    }

    package func add(_ key: Key, after delay: Duration = .zero) { add(CollectionOfOne(key), after: delay) }

    package func add(_ keys: some Collection<Key>, after delay: Duration = .zero) {
        guard !keys.isEmpty else { return }
        let due = clock.now() + delay
        state.withLock { state in
            for key in keys { state.add(key, at: due) }
        }
        changed.set()
    }

    /// Keys that wait, those for a later moment too.
    package var depth: Int { state.withLock(\.depth) }
    package var running: Int { state.withLock(\.running) }

    /// - Parameter body: Is given a key and how long it had been due.
    package func run(_ body: @escaping @Sendable (Key, _ late: Duration) async -> WorkOutcome) async throws {
        await withDiscardingTaskGroup { group in
            while !Task.isCancelled {
                switch state.withLock({ $0.next(now: clock.now()) }) {
                case .wait(let moment): await changed.wait(until: moment, clock: clock)
                case .run(let key, let late):
                    group.addTask {
                        let outcome = await body(key, late)
                        self.finish(key, outcome)
                    }
                }
            }
        }
    }

    private func finish(_ key: Key, _ outcome: WorkOutcome) {
        generator.withLock { generator in
            state.withLock { $0.finish(key, outcome, now: clock.now(), using: &generator) }
        }
        changed.set()
    }
}
