import KubernetesCore
import KubernetesRuntime
import Testing

@Suite(.timeLimit(.minutes(1))) struct WorkQueueTests {
    struct Run: Equatable, Sendable {
        let key: String
        let late: Duration

        init(_ key: String, _ late: Duration = .zero) {
            self.key = key
            self.late = late
        }
    }

    static func queue(_ clock: ManualClock, concurrency: Int = 4) -> WorkQueue<String> {
        WorkQueue(
            WorkLimits(concurrency: concurrency, backoff: Backoff(base: .seconds(1), cap: .seconds(8))), clock: clock,
            generator: LargestGenerator())
    }

    /// Lends the runs of a queue as they begin. What each does is up to `body`.
    static func withRuns(
        _ queue: WorkQueue<String>, body: @escaping @Sendable (String) async -> WorkOutcome = { _ in .done },
        _ check: (Next) async throws -> Void
    ) async throws {
        let (runs, sink) = AsyncStream.makeStream(of: Run.self)
        let task = Task {
            try await queue.run { key, late in
                sink.yield(Run(key, late))
                return await body(key)
            }
        }
        try await check(Next(iterator: runs.makeAsyncIterator()))
        task.cancel()
        try await task.value
        #expect(queue.running == 0)
    }

    final class Next {
        private var iterator: AsyncStream<Run>.Iterator

        init(iterator: AsyncStream<Run>.Iterator) { self.iterator = iterator }

        func callAsFunction() async -> Run? { await iterator.next(isolation: #isolation) }
    }

    @Test func `A key runs when its moment comes, and one that is due before it`() async throws {
        let clock = ManualClock()
        let queue = Self.queue(clock)
        try await Self.withRuns(queue) { next in
            queue.add("later", after: .seconds(5))
            await clock.sleeper(until: at(.seconds(5)))
            queue.add("now")
            #expect(await next() == Run("now"))
            clock.advance(to: at(.seconds(7)))
            #expect(await next() == Run("later", .seconds(2)))
        }
        #expect(queue.depth == 0)
    }

    @Test func `A key that waits is brought forward`() async throws {
        let clock = ManualClock()
        let queue = Self.queue(clock)
        try await Self.withRuns(queue) { next in
            queue.add("a", after: .seconds(50))
            await clock.sleeper(until: at(.seconds(50)))
            queue.add("a", after: .seconds(3))
            await clock.sleeper(until: at(.seconds(3)))
            #expect(queue.depth == 1)
            clock.advance(to: at(.seconds(3)))
            #expect(await next() == Run("a"))
        }
        #expect(queue.depth == 0)
    }

    @Test func `What was added before it runs is run`() async throws {
        let queue = Self.queue(ManualClock())
        queue.add(["a", "b", "a"])
        queue.add([])
        try await Self.withRuns(queue) { next in
            #expect(Set([await next()?.key, await next()?.key]) == ["a", "b"])
        }
        #expect(queue.depth == 0)
    }

    @Test func `A key that was added while it ran runs again after its end`() async throws {
        let clock = ManualClock()
        let queue = Self.queue(clock)
        let running = Shared((now: 0, most: 0))
        try await Self.withRuns(
            queue,
            body: { _ in
                running.update { $0 = ($0.now + 1, max($0.most, $0.now + 1)) }
                try? await clock.sleep(until: at(.seconds(1)))
                running.update { $0.now -= 1 }
                return .done
            }
        ) { next in
            queue.add("a")
            #expect(await next() == Run("a"))
            await clock.sleeper(until: at(.seconds(1)))
            queue.add("a")
            queue.add("a")
            clock.advance(to: at(.seconds(1)))
            #expect(await next() == Run("a", .seconds(1)))
        }
        #expect(running.value.most == 1)
    }

    @Test func `No more run side by side than may`() async throws {
        let clock = ManualClock()
        let queue = Self.queue(clock, concurrency: 2)
        let running = Shared((now: 0, most: 0))
        queue.add((0..<20).map { "k\($0)" })
        try await Self.withRuns(
            queue,
            body: { _ in
                running.update { $0 = ($0.now + 1, max($0.most, $0.now + 1)) }
                await Task.yield()
                running.update { $0.now -= 1 }
                return .done
            }
        ) { next in
            var keys: Set<String> = []
            for _ in 0..<20 { if let run = await next() { keys.insert(run.key) } }
            #expect(keys.count == 20)
        }
        #expect((1...2).contains(running.value.most))
    }

    @Test func `A failure is waited out by the queue's clock`() async throws {
        let clock = ManualClock()
        let queue = Self.queue(clock)
        try await Self.withRuns(queue, body: { _ in .failed(retryAfter: nil) }) { next in
            queue.add("a")
            for moment in [0, 1, 3, 7] {
                #expect(await next() == Run("a"))
                #expect(clock.now() == at(.seconds(moment)))
                await clock.sleeper(until: at(.seconds(2 * moment + 1)))
                clock.advance(to: at(.seconds(2 * moment + 1)))
            }
        }
    }

    @Test func `When it is cancelled it waits for what runs, and what was not done runs next time`() async throws {
        let clock = ManualClock()
        let queue = Self.queue(clock)
        let ended = Shared(false)
        try await Self.withRuns(
            queue,
            body: { _ in
                try? await clock.sleep(until: .distantFuture)
                ended.update { $0 = true }
                return .again(after: .zero)
            }
        ) { next in
            queue.add("a")
            queue.add("later", after: .seconds(9))
            #expect(await next() == Run("a"))
        }
        #expect(ended.value)
        #expect(queue.depth == 2)
        try await Self.withRuns(queue) { next in #expect(await next() == Run("a")) }
    }
}
