import JSONText
import KubernetesClient
import KubernetesCore
import KubernetesRuntime
import Testing

@Suite(.timeLimit(.minutes(1))) struct ControllerTests {
    /// Does what it is told to with each key.
    struct Scripted: Reconciler {
        let body: @Sendable (String) async throws -> Requeue

        func reconcile(_ key: String) async throws -> Requeue { try await body(key) }
    }

    typealias Report = ReconcileReport<String>

    /// A controller that runs beside the test, and its reports as they come.
    struct Bench {
        let clock = ManualClock()
        let controller: Controller<Scripted>
        private let reports: AsyncStream<Report>
        private let sink: AsyncStream<Report>.Continuation

        init(_ body: @escaping @Sendable (String, ManualClock) async throws -> Requeue) {
            let (reports, sink) = AsyncStream.makeStream(of: Report.self)
            self.reports = reports
            self.sink = sink
            controller = Controller(
                Scripted { [clock] in try await body($0, clock) },
                limits: WorkLimits(backoff: Backoff(base: .seconds(1), cap: .seconds(8))), clock: clock,
                generator: LargestGenerator(), report: { sink.yield($0) })
        }

        /// Returns how many reports nobody has asked for.
        @discardableResult
        func run(_ check: (Next) async throws -> Void) async throws -> Int {
            let task = Task { [controller] in try await controller.run() }
            let next = Next(iterator: reports.makeAsyncIterator())
            try await check(next)
            task.cancel()
            try await task.value
            sink.finish()
            var rest = 0
            while (try? await next()) != nil { rest += 1 }
            return rest
        }
    }

    final class Next {
        private var iterator: AsyncStream<Report>.Iterator

        init(iterator: AsyncStream<Report>.Iterator) { self.iterator = iterator }

        func callAsFunction() async throws -> Report {
            guard let report = await iterator.next(isolation: #isolation) else { throw NoReport() }
            return report
        }
    }

    struct NoReport: Error {}

    static func store() -> ObjectStore<String> { ObjectStore { try JSONFields($0).requiredString("value") } }

    @Test func `Differences become keys, once every store has synced`() async throws {
        let bench = Bench { _, _ in .whenChanged }
        let (first, second) = (Self.store(), Self.store())
        bench.controller.observe(first) { ["first \($0.key)"] }
        bench.controller.observe(second) { ["second \($0.key)", "both"] }
        first.beginResync()
        _ = first.stage([object("a")])
        first.commitResync(resourceVersion: "1")
        try await bench.run { next in
            #expect(bench.controller.depth == 1)
            bench.clock.advance(to: at(.seconds(3)))
            second.beginResync()
            _ = second.stage([object("b")])
            second.commitResync(resourceVersion: "1")
            var late: [String: Duration] = [:]
            for _ in 0..<3 {
                let report = try await next()
                late[report.key] = report.late
            }
            // Had it not waited for the second store, the first key would not have been late.
            #expect(late == ["first a": .seconds(3), "second b": .zero, "both": .zero])
            first.apply(.deleted(object("a", version: "2")))
            #expect(try await next().key == "first a")
        }
    }

    @Test func `A reconciler says when it is to be called again`() async throws {
        let bench = Bench { _, clock in clock.now() < at(.seconds(10)) ? .after(.seconds(10)) : .whenChanged }
        bench.controller.enqueue("a", after: .seconds(2))
        try await bench.run { next in
            for moment in [2, 12] {
                await bench.clock.sleeper(until: at(.seconds(moment)))
                bench.clock.advance(to: at(.seconds(moment)))
                let report = try await next()
                #expect(report.key == "a")
                #expect(report.error == nil)
                #expect(report.late == .zero)
            }
        }
        #expect(bench.controller.depth == 0)
    }

    @Test(
        arguments: [
            (nil, .seconds(1)), (status(429, retryAfterSeconds: 5), .seconds(5)), (forbidden, .seconds(1)),
        ] as [(APIError?, Duration)])
    func `A failure is reported and waited out`(error: APIError?, pause: Duration) async throws {
        struct Other: Error {}
        let bench = Bench { _, clock in
            let start = clock.now()
            if start > at(.zero) { return .whenChanged }
            clock.advance(to: at(.milliseconds(300)))
            if let error { throw error }
            throw Other()
        }
        bench.controller.enqueue("a")
        try await bench.run { next in
            let report = try await next()
            #expect(report.took == .milliseconds(300))
            #expect(report.error is Other || report.error as? APIError == error)
            #expect(report.error != nil)
            let again = at(.milliseconds(300)) + pause
            await bench.clock.sleeper(until: again)
            bench.clock.advance(to: again)
            #expect(try await next().error == nil)
        }
    }

    @Test func `When it is cancelled it waits for its reconcilers, and reports no failure`() async throws {
        let (began, sink) = AsyncStream.makeStream(of: String.self)
        let ended = Shared(false)
        let bench = Bench { key, clock in
            sink.yield(key)
            defer { ended.update { $0 = true } }
            try await clock.sleep(until: .distantFuture)
            return .whenChanged
        }
        bench.controller.enqueue("a")
        let reports = try await bench.run { _ in
            for await key in began {
                #expect(key == "a")
                break
            }
        }
        #expect(ended.value)
        #expect(reports == 0)
        // A later run takes it up again.
        #expect(bench.controller.depth == 1)
    }

    @Test func `When it is cancelled before its stores have synced it ends`() async throws {
        let bench = Bench { _, _ in
            Issue.record("nothing has synced")
            return .whenChanged
        }
        bench.controller.observe(Self.store()) { ["\($0.key)"] }
        bench.controller.enqueue("a")
        try await bench.run { _ in }
        #expect(bench.controller.depth == 1)
    }
}
