import JSONText
import KubernetesClient
import KubernetesCore
import Testing

@Suite struct ClientTests {
    static let deadline = Moment(nanoseconds: 5_000_000_000)
    static let pod: JSON = [
        "kind": "Pod", "apiVersion": "v1",
        "metadata": ["name": "a", "namespace": "d", "uid": "u", "resourceVersion": "7"],
    ]

    static let overloaded = status(429, "TooManyRequests", details: ["retryAfterSeconds": 1])
    static let unavailable = status(503, "ServiceUnavailable")

    static func get(_ transport: ScriptedTransport) throws(APIError) -> JSON {
        try Client(transport).get(.pods, namespace: "d", name: "a", deadline: deadline)
    }

    @Test func `An answer is returned at once`() throws {
        let transport = ScriptedTransport(reply(200, Self.pod))
        #expect(try Self.get(transport) == Self.pod)
        #expect(transport.requests == [.get(.pods, namespace: "d", name: "a")])
        #expect(transport.sleeps.isEmpty)
    }

    @Test func `What may pass is tried again after a pause`() throws {
        let transport = ScriptedTransport(
            failed(.connect, sent: false), failed(.interrupted, sent: true), Self.unavailable, reply(200, Self.pod))
        #expect(try Self.get(transport) == Self.pod)
        #expect(transport.requests.count == 4)
        for (attempt, pause) in transport.sleeps.enumerated() {
            #expect(pause <= Backoff().maximumDelay(attempt: attempt))
        }
    }

    @Test func `The server's own wish for a pause is honoured`() throws {
        let transport = ScriptedTransport(Self.overloaded, reply(200, Self.pod))
        #expect(try Self.get(transport) == Self.pod)
        #expect(transport.sleeps == [.seconds(1)])
    }

    @Test(arguments: [
        status(400, "BadRequest"), status(401, "Unauthorized"), status(403, "Forbidden"), status(409, "Conflict"),
        status(422, "Invalid"), failed(.untrusted, sent: false), failed(.clientCertificate, sent: false),
    ])
    func `What cannot pass is reported at once`(reply: Reply) {
        let transport = ScriptedTransport(reply)
        #expect(throws: APIError.self) { try Self.get(transport) }
        #expect(transport.requests.count == 1)
        #expect(transport.sleeps.isEmpty)
    }

    @Test func `At the deadline the error says how many attempts there were and for how long`() throws {
        let transport = ScriptedTransport(failed(.connect, sent: false))
        let error = #expect(throws: APIError.self) { try Self.get(transport) }
        guard case .gaveUp(let attempts, last: .transport(let failure, _)) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(attempts.count == transport.requests.count)
        #expect(attempts.count > 5)
        #expect(attempts.elapsed <= .seconds(5))
        #expect(!attempts.mayHaveCommitted)
        #expect(failure.kind == .connect)
        #expect(transport.now() <= Self.deadline)
    }

    @Test func `A pause that would outlast the deadline is not begun`() {
        let transport = ScriptedTransport(status(429, "TooManyRequests", details: ["retryAfterSeconds": 30]))
        #expect(throws: APIError.self) { try Self.get(transport) }
        #expect(transport.sleeps.isEmpty)
    }

    @Test func `A create is tried again only when it cannot have been committed`() throws {
        let transport = ScriptedTransport(failed(.connect, sent: false), Self.overloaded, failed(.timeout, sent: true))
        let error = #expect(throws: APIError.self) {
            try Client(transport).create(.pods, namespace: "d", name: "a", object: Self.pod, deadline: Self.deadline)
        }
        #expect(transport.requests.count == 3)
        #expect(error?.mayHaveCommitted == true)
        #expect(error.map { "\($0)".hasSuffix("; the change may have been made all the same)") } == true)
    }

    @Test func `A write names a timeout below the time that is left`() throws {
        let transport = ScriptedTransport(Self.overloaded, reply(201, Self.pod))
        _ = try Client(transport).create(
            .pods, namespace: "d", name: "a", object: Self.pod, deadline: Self.deadline)
        #expect(transport.requests.map { $0.query.map(\.value) } == [["4s"], ["3s"]])
    }

    @Test func `A conditional write is tried again although it may have been committed`() throws {
        let transport = ScriptedTransport(failed(.timeout, sent: true), status(409, "Conflict"))
        let error = #expect(throws: APIError.self) {
            try Client(transport).update(.pods, namespace: "d", name: "a", object: Self.pod, deadline: Self.deadline)
        }
        #expect(transport.requests.count == 2)
        #expect(error?.isConflict == true)
        #expect(error?.mayHaveCommitted == true)
    }

    static func page(_ names: [String], continue token: String? = nil) -> Reply {
        var metadata: JSON = ["resourceVersion": "9"]
        if let token { metadata["continue"] = .string(token) }
        return reply(
            200,
            [
                "kind": "PodList", "apiVersion": "v1", "metadata": metadata,
                "items": .array(names.map { ["metadata": ["name": .string($0)]] }),
            ])
    }

    @Test func `A whole list is fetched in pages`() throws {
        let transport = ScriptedTransport(Self.page(["a", "b"], continue: "t"), Self.page(["c"]))
        let list = try Client(transport).listAll(
            .pods, options: ListOptions(labelSelector: "x", limit: 2, resourceVersion: "0", form: .metadata),
            deadline: Self.deadline)
        #expect(list.items.compactMap { $0["metadata"]?["name"]?.string } == ["a", "b", "c"])
        #expect(list.resourceVersion == "9")
        #expect(list.continueToken == nil)
        #expect(
            transport.requests.map(\.pathAndQuery) == [
                "/api/v1/pods?labelSelector=x&limit=2&resourceVersion=0",
                "/api/v1/pods?labelSelector=x&limit=2&continue=t",
            ])
    }

    @Test func `A list that expires between its pages begins again without pages`() throws {
        let transport = ScriptedTransport(
            Self.page(["a"], continue: "t"), status(410, "Expired"), Self.page(["b", "c"]))
        let list = try Client(transport).listAll(.pods, deadline: Self.deadline)
        #expect(list.items.count == 2)
        #expect(
            transport.requests.map(\.pathAndQuery) == [
                "/api/v1/pods?limit=500", "/api/v1/pods?limit=500&continue=t", "/api/v1/pods",
            ])
    }

    @Test func `A change is decided on what was read and made on that condition`() throws {
        let transport = ScriptedTransport(
            reply(200, Self.pod), status(409, "Conflict"), reply(200, Self.pod), reply(200, Self.pod))
        var decisions = 0
        let outcome = try Client(transport).modify(.pods, namespace: "d", name: "a", deadline: Self.deadline) { _ in
            decisions += 1
            return .patch(.merge(["spec": [:]]))
        }
        #expect(outcome == .done(Self.pod))
        #expect(decisions == 2)
        #expect(transport.requests.map(\.subject.verb) == [.get, .patch, .get, .patch])
    }

    @Test func `A change passes on what its decision throws`() {
        struct Refusal: Error {}
        let transport = ScriptedTransport(reply(200, Self.pod))
        #expect(throws: Refusal.self) {
            try Client(transport).modify(.pods, namespace: "d", name: "a", deadline: Self.deadline) { _ in
                throw Refusal()
            }
        }
    }

    @Test func `A change that the deadline ends says why and how often`() {
        let transport = ScriptedTransport(Self.unavailable)
        let error = #expect(throws: APIError.self) {
            try Client(transport).modify(.pods, namespace: "d", name: "a", deadline: Self.deadline) { _ in .delete }
        }
        guard case .gaveUp(let attempts, last: .status(let status, _)) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(attempts.count == transport.requests.count)
        #expect(status.code == 503)
    }

    @Test func `A change without any time left is a timeout that sent nothing`() {
        let transport = ScriptedTransport(reply(200, Self.pod))
        let error = #expect(throws: APIError.self) {
            try Client(transport).modify(
                .pods, namespace: "d", name: "a", deadline: Moment(nanoseconds: 0)
            ) { _ in .delete }
        }
        #expect(transport.requests.isEmpty)
        #expect(error?.disposition == .transient(retryAfter: nil))
        #expect(error?.mayHaveCommitted == false)
    }
}
