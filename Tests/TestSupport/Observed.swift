internal import Synchronization

/// A value that any thread changes and that tests wait on. Nothing polls: every change looks at who is waiting.
package final class Observed<Value: Sendable>: Sendable {
    private struct Waiter: Sendable {
        /// Looks at the value and gives, when it is what is waited for, the call to make outside the lock.
        let attempt: @Sendable (Value) -> (@Sendable () -> Void)?
        /// Called in place of that when the waiting task is cancelled.
        var cancel: (@Sendable () -> Void)?
    }

    private struct State {
        var value: Value
        var waiters: [Int: Waiter] = [:]
        var nextID = 0
    }

    private let state: Mutex<State>

    package init(_ value: Value) { state = Mutex(State(value: value)) }

    package var value: Value { state.withLock { $0.value } }

    @discardableResult
    package func update<Result: Sendable>(_ change: (inout Value) -> Result) -> Result {
        let (result, calls) = state.withLock { state in
            let result = change(&state.value)
            var calls: [@Sendable () -> Void] = []
            for (id, waiter) in state.waiters {
                guard let call = waiter.attempt(state.value) else { continue }
                state.waiters[id] = nil
                calls.append(call)
            }
            return (result, calls)
        }
        for call in calls { call() }
        return result
    }

    /// Calls `body` once: at once when `pick` finds what it looks for in the value, else in the change that brings it.
    package func whenFound<Found: Sendable>(
        _ pick: @escaping @Sendable (Value) -> Found?, _ body: @escaping @Sendable (Found) -> Void
    ) {
        let waiter = Waiter { value in
            guard let found = pick(value) else { return nil }
            return { body(found) }
        }
        add(waiter, id: newID())
    }

    /// Waits, without a limit and whether the task is cancelled or not, until `pick` finds what it looks for.
    package func found<Found: Sendable>(_ pick: @escaping @Sendable (Value) -> Found?) async -> Found {
        await withCheckedContinuation { (continuation: CheckedContinuation<Found, Never>) in
            whenFound(pick) { continuation.resume(returning: $0) }
        }
    }

    /// Waits until `pick` finds what it looks for.
    ///
    /// - Throws: `WaitTimeout` after `limit`, with the value as it then was; `CancellationError`.
    package func wait<Found: Sendable>(
        for what: @autoclosure () -> String, within limit: Duration = .seconds(60),
        _ pick: @escaping @Sendable (Value) -> Found?
    ) async throws -> Found {
        if let found = pick(value) { return found }
        let found = try await withThrowingTaskGroup(of: Found?.self) { group in
            defer { group.cancelAll() }
            group.addTask { try await self.cancellableFound(pick) }
            group.addTask {
                try await ContinuousClock().sleep(for: limit)
                return nil
            }
            return try await group.next() ?? nil
        }
        guard let found else {
            throw WaitTimeout(what: what(), limit: limit, lastValue: String(describing: value))
        }
        return found
    }

    private func cancellableFound<Found: Sendable>(
        _ pick: @escaping @Sendable (Value) -> Found?
    ) async throws -> Found {
        let id = newID()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Found, any Error>) in
                let waiter = Waiter(
                    attempt: { value in
                        guard let found = pick(value) else { return nil }
                        return { continuation.resume(returning: found) }
                    },
                    cancel: { continuation.resume(throwing: CancellationError()) }
                )
                add(waiter, id: id)
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: id) }?.cancel?()
        }
    }

    private func newID() -> Int {
        state.withLock { state in
            state.nextID += 1
            return state.nextID
        }
    }

    private func add(_ waiter: Waiter, id: Int) {
        let call = state.withLock { state in
            var call = waiter.attempt(state.value)
            // The handler of a cancellation runs after the flag is set: it finds the waiter, or the flag is seen here.
            if call == nil, Task.isCancelled { call = waiter.cancel }
            if call == nil { state.waiters[id] = waiter }
            return call
        }
        call?()
    }
}

/// What a test waited for did not come.
package struct WaitTimeout: Error, CustomStringConvertible {
    package let what: String
    package let limit: Duration
    package let lastValue: String

    package var description: String { "waited \(limit) for \(what), in vain; at the end: \(lastValue)" }
}
