internal import Synchronization

/// Lets only so many in at once, in the order in which they came.
package final class Turnstile: Sendable {
    /// For tests of the plugin: each has several processes with real deadlines.
    package static let plugins = Turnstile(width: 6)

    private struct State {
        var free: Int
        var waiting: [(places: Int, continuation: CheckedContinuation<Void, Never>)] = []

        /// Those who can enter now, with their places taken.
        mutating func admit() -> [CheckedContinuation<Void, Never>] {
            var admitted: [CheckedContinuation<Void, Never>] = []
            while let next = waiting.first, next.places <= free {
                free -= next.places
                admitted.append(next.continuation)
                waiting.removeFirst()
            }
            return admitted
        }
    }

    private let width: Int
    private let state: Mutex<State>

    package init(width: Int) {
        self.width = width
        state = Mutex(State(free: width))
    }

    /// - Parameter takingAll: Waits until nobody else is inside, and keeps everybody out.
    package func pass<Answer>(
        takingAll: Bool = false, isolation: isolated (any Actor)? = #isolation, _ body: () async throws -> Answer
    ) async throws -> Answer {
        let places = takingAll ? width : 1
        await withCheckedContinuation { continuation in
            let admitted = state.withLock { state in
                state.waiting.append((places, continuation))
                return state.admit()
            }
            for continuation in admitted { continuation.resume() }
        }
        defer {
            let admitted = state.withLock { state in
                state.free += places
                return state.admit()
            }
            for continuation in admitted { continuation.resume() }
        }
        return try await body()
    }
}
