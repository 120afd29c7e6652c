import JSONText
import KubernetesClient
import KubernetesCore
import Synchronization
import Testing

/// Answers from a list and then repeats the last reply; its clock moves only when somebody sleeps.
private final class ScriptedAsyncTransport: AsyncTransport, AsyncClock {
    private struct State {
        var time = Moment(nanoseconds: 0)
        var replies: [Reply]
        var requests: [APIRequest] = []
        var sleeps: [Duration] = []
    }

    private let state: Mutex<State>

    init(_ replies: Reply...) { state = Mutex(State(replies: replies)) }

    var requests: [APIRequest] { state.withLock(\.requests) }
    var sleeps: [Duration] { state.withLock(\.sleeps) }

    func perform(_ request: APIRequest, deadline: Moment) async -> Reply {
        state.withLock { state in
            state.requests.append(request)
            return state.replies.count > 1 ? state.replies.removeFirst() : state.replies[0]
        }
    }

    func now() -> Moment { state.withLock(\.time) }

    func sleep(until moment: Moment) async throws(CancellationError) {
        if Task.isCancelled { throw CancellationError() }
        state.withLock { state in
            state.sleeps.append(moment - state.time)
            state.time = max(state.time, moment)
        }
    }
}

@Suite struct AsyncClientTests {
    static let pod: JSON = [
        "kind": "Pod", "apiVersion": "v1", "metadata": ["name": "a", "uid": "u", "resourceVersion": "1"],
    ]
    static let deadline = Moment(nanoseconds: 0) + .seconds(10)

    private static func client(_ transport: ScriptedAsyncTransport) -> AsyncClient {
        AsyncClient(transport, clock: transport)
    }

    @Test func `What may pass is tried again after a pause`() async throws {
        let transport = ScriptedAsyncTransport(
            failed(.connect, sent: false), status(429, "TooManyRequests", details: ["retryAfterSeconds": 2]),
            reply(200, Self.pod))
        let object = try await Self.client(transport).get(.pods, namespace: "d", name: "a", deadline: Self.deadline)
        #expect(object == Self.pod)
        #expect(transport.requests.count == 3)
        #expect(transport.sleeps.count == 2)
        #expect(transport.sleeps[1] >= .seconds(2))
    }

    @Test func `A write that may have been made is not repeated`() async throws {
        let transport = ScriptedAsyncTransport(failed(.interrupted, sent: true))
        let error = await #expect(throws: APIError.self) {
            try await Self.client(transport).create(.nodes, name: "n", object: [:], deadline: Self.deadline)
        }
        #expect(error?.mayHaveCommitted == true)
        #expect(transport.requests.count == 1)
        #expect(transport.requests[0].query.contains { $0.name == "timeout" })
    }

    @Test func `At the deadline the attempts are reported`() async throws {
        let transport = ScriptedAsyncTransport(failed(.connect, sent: false))
        let error = await #expect(throws: APIError.self) {
            try await Self.client(transport).get(.nodes, name: "n", deadline: Self.deadline)
        }
        guard case .gaveUp(let attempts, _) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(attempts.count == transport.requests.count)
        #expect(attempts.count > 2)
        #expect(transport.now() <= Self.deadline)
    }

    @Test func `A cancelled request is not tried again`() async throws {
        let transport = ScriptedAsyncTransport(failed(.cancelled, sent: true))
        let error = await #expect(throws: APIError.self) {
            try await Self.client(transport).get(.nodes, name: "n", deadline: Self.deadline)
        }
        #expect(error?.isCancellation == true)
        #expect(transport.requests.count == 1)
    }

    @Test func `A write that was cancelled on its way may have been made, whatever came before`() async throws {
        let transport = ScriptedAsyncTransport(
            failed(.connect, sent: false), failed(.connect, sent: false), failed(.cancelled, sent: true))
        let error = await #expect(throws: APIError.self) {
            try await Self.client(transport).create(.nodes, name: "n", object: [:], deadline: Self.deadline)
        }
        #expect(error?.isCancellation == true)
        #expect(error?.mayHaveCommitted == true)
        guard case .gaveUp(let attempts, _) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(attempts.count == 3)
    }

    @Test func `A pause is cut short when the task is cancelled`() async throws {
        let transport = ScriptedAsyncTransport(failed(.connect, sent: false))
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await Self.client(transport).get(.nodes, name: "n", deadline: Self.deadline)
        }
        let error = await #expect(throws: APIError.self) { try await task.value }
        #expect(error?.isCancellation == true)
        #expect(transport.requests.count == 1)
    }

    @Test func `A change is made on condition of what was read`() async throws {
        let transport = ScriptedAsyncTransport(
            reply(200, Self.pod), status(409, "Conflict"), reply(200, Self.pod), reply(200, Self.pod))
        let outcome = try await Self.client(transport).modify(
            .pods, namespace: "d", name: "a", deadline: Self.deadline
        ) { _ in .patch(.merge(["x": 1])) }
        #expect(outcome == .done(Self.pod))
        #expect(transport.requests.map(\.method) == [.get, .patch, .get, .patch])
        #expect(transport.requests.filter { $0.method == .patch }.allSatisfy { $0.isConditional })
    }

    @Test func `A list has its items and its version`() async throws {
        let list: JSON = [
            "kind": "NodeList", "apiVersion": "v1", "metadata": ["resourceVersion": "5"], "items": [["x": 1]],
        ]
        let result = try await Self.client(ScriptedAsyncTransport(reply(200, list)))
            .list(.nodes, deadline: Self.deadline)
        #expect(result.items == [["x": 1]])
        #expect(result.resourceVersion == "5")
    }
}
