import JSONText
import KubernetesClient
import KubernetesCore
import KubernetesRuntime
import Synchronization
import Testing

/// Answers from a list. The last one is given again and again; nil is given only when the task is cancelled.
private final class ScriptedTransport: AsyncTransport {
    private struct State {
        var replies: [Reply?]
        var requests: [APIRequest] = []
    }

    private let state: Mutex<State>
    private let clock: ManualClock

    init(_ clock: ManualClock, _ replies: Reply?...) {
        self.clock = clock
        state = Mutex(State(replies: replies))
    }

    var requests: [APIRequest] { state.withLock(\.requests) }

    func perform(_ request: APIRequest, deadline: Moment) async -> Reply {
        let reply = state.withLock { state in
            state.requests.append(request)
            return state.replies.count > 1 ? state.replies.removeFirst() : state.replies[0]
        }
        if let reply { return reply }
        try? await clock.sleep(until: .distantFuture)
        return .failure(TransportFailure(kind: .cancelled, message: "m", mayHaveBeenSent: true))
    }
}

/// The election as its shell runs it. How it ends on a real API server is tested there.
@Suite(.timeLimit(.minutes(1))) struct LeaderElectorTests {
    static func reply(_ status: Int, _ json: JSON) -> Reply {
        .success(HTTPResponse(status: status, body: json.serialized(), contentType: "application/json"))
    }

    static let missing = reply(
        404,
        [
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
            "details": ["name": "l", "group": "coordination.k8s.io", "kind": "leases"],
        ])

    static func lease(_ holder: String, _ version: Int = 1) -> Reply {
        reply(
            200,
            [
                "kind": "Lease", "apiVersion": "coordination.k8s.io/v1",
                "metadata": ["name": "l", "uid": "u", "resourceVersion": .string("\(version)")],
                "spec": ["holderIdentity": .string(holder), "leaseDurationSeconds": 15],
            ])
    }

    private static func elector(
        _ transport: ScriptedTransport, _ clock: any AsyncClock,
        report: @escaping @Sendable (LeaderReport) -> Void = { _ in }
    ) -> LeaderElector {
        LeaderElector(
            namespace: "ns", name: "l", identity: "me", on: transport, clock: clock, generator: LargestGenerator(),
            wallTime: { 0 }, report: report)
    }

    /// The last request gives the Lease back.
    private static func expectReleased(_ transport: ScriptedTransport) throws {
        let last = try #require(transport.requests.last)
        #expect(last.method == .patch)
        #expect(try JSON(parsing: last.body ?? [])["spec"]?["holderIdentity"] == "")
    }

    @Test func `Work that ends by itself ends the election, and gives the Lease back`() async throws {
        let clock = ManualClock()
        let transport = ScriptedTransport(clock, Self.missing, Self.lease("me"))
        try await Self.elector(transport, clock).run { leadership in
            #expect(leadership.isHeld)
            #expect(leadership.deadline == at(.seconds(10)))
        }
        #expect(transport.requests.map(\.method) == [.get, .post, .patch])
        // Writes cannot be committed after their deadline.
        #expect(transport.requests.dropFirst().allSatisfy { $0.query.contains { $0.name == "timeout" } })
        try Self.expectReleased(transport)
    }

    @Test func `What the work throws is thrown after the Lease was given back`() async throws {
        struct Broken: Error {}
        let clock = ManualClock()
        let transport = ScriptedTransport(clock, Self.missing, Self.lease("me"))
        await #expect(throws: Broken.self) {
            try await Self.elector(transport, clock).run { _ in throw Broken() }
        }
        try Self.expectReleased(transport)
    }

    @Test func `When it is cancelled the work ends first, and then the Lease is given back`() async throws {
        for _ in 0..<50 {
            let clock = ManualClock()
            let transport = ScriptedTransport(clock, Self.missing, Self.lease("me"))
            let requests = Shared(0)
            let elector = Self.elector(transport, clock)
            let task = Task {
                try await elector.run { _ in
                    defer { requests.update { $0 = transport.requests.count } }
                    try await clock.sleep(until: at(.seconds(1000)))
                }
            }
            await clock.sleeper(until: at(.seconds(1000)))
            task.cancel()
            // Its own cancellation is nothing to throw.
            try await task.value
            #expect(requests.value == 2)
            #expect(transport.requests.count == 3)
            try Self.expectReleased(transport)
        }
    }

    @Test func `The Lease is given back when the cancellation comes just before a renewal`() async throws {
        /// Cancels a task when the wait before the first renewal ends, and then says that it ended as it should.
        final class CancellingClock: AsyncClock {
            let clock = ManualClock()
            let task = Shared<Task<Void, any Error>?>(nil)

            func now() -> Moment { clock.now() }

            func sleep(until moment: Moment) async throws(CancellationError) {
                guard moment == at(.seconds(2)) else { return try await clock.sleep(until: moment) }
                try? await clock.sleep(until: moment)
                task.update { $0?.cancel() }
            }
        }
        let clock = CancellingClock()
        let transport = ScriptedTransport(clock.clock, Self.missing, Self.lease("me"))
        let elector = Self.elector(transport, clock)
        let task = Task { try await elector.run { _ in try await clock.sleep(until: at(.seconds(1000))) } }
        clock.task.update { $0 = task }
        await clock.clock.sleeper(until: at(.seconds(1000)))
        await clock.clock.sleeper(until: at(.seconds(2)))
        clock.clock.advance(to: at(.seconds(2)))
        try await task.value
        #expect(transport.requests.map(\.method) == [.get, .post, .patch])
        try Self.expectReleased(transport)
    }

    @Test func `The work is cancelled when its time is up, while the renewal hangs, and the election goes on`()
        async throws
    {
        let clock = ManualClock()
        let transport = ScriptedTransport(
            clock, Self.missing, Self.lease("me"), nil, Self.lease("other", 2), Self.lease("other", 2))
        let (reports, sink) = AsyncStream.makeStream(of: LeaderReport.self)
        let elector = Self.elector(transport, clock) { sink.yield($0) }
        let held = Shared<[Bool]>([])
        let task = Task {
            try await elector.run { leadership in
                held.update { $0.append(leadership.isHeld) }
                try? await clock.sleep(until: at(.seconds(1000)))
                held.update { $0.append(leadership.isHeld) }
            }
        }
        await clock.sleeper(until: at(.seconds(2)))
        clock.advance(to: at(.seconds(2)))
        // The renewal hangs.
        await clock.sleeper(until: .distantFuture)
        await clock.sleeper(until: at(.seconds(10)))
        #expect(held.value == [true])
        clock.advance(to: at(.seconds(10)))
        var names: [String] = []
        for await report in reports {
            switch report {
            case .leading: names.append("leading")
            case .lost: names.append("lost")
            case .following(let holder): names.append("following \(holder ?? "nobody")")
            case .failed: names.append("failed")
            }
            if names.last == "lost" { break }
        }
        #expect(names == ["following nobody", "leading", "lost"])
        #expect(held.value == [true, false])
        // The pause after the failed renewal, and then it looks who leads.
        await clock.sleeper(until: at(.seconds(12)))
        clock.advance(to: at(.seconds(12)))
        for await report in reports {
            if case .following(let holder) = report {
                #expect(holder == "other")
                break
            }
        }
        task.cancel()
        try await task.value
        #expect(transport.requests.map(\.method) == [.get, .post, .patch, .get])
    }

    @Test(arguments: [409, 404, 422]) func `A write that finds another state is a conflict, not a failure`(code: Int)
        async throws
    {
        let clock = ManualClock()
        var details: JSON = ["name": "l", "group": "coordination.k8s.io", "kind": "leases"]
        if code == 422 { details["causes"] = [["field": "metadata.uid", "message": "field is immutable"]] }
        let reason = [409: "Conflict", 404: "NotFound", 422: "Invalid"][code] ?? ""
        let refusal = Self.reply(
            code,
            [
                "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": .string(reason),
                "code": .int(code), "details": details,
            ])
        // Another was quicker, and we follow it without a pause.
        let transport = ScriptedTransport(clock, Self.lease(""), refusal, Self.lease("other", 2))
        let (reports, sink) = AsyncStream.makeStream(of: LeaderReport.self)
        let elector = Self.elector(transport, clock) { sink.yield($0) }
        let task = Task { try await elector.run { _ in Issue.record("it does not lead") } }
        for await report in reports {
            if case .failed(let error) = report { Issue.record("\(error)") }
            if case .following("other") = report { break }
        }
        task.cancel()
        try await task.value
        #expect(transport.requests.map(\.method) == [.get, .patch, .get])
    }
}
