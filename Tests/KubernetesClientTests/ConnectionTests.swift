import JSONText
import KubernetesClient
import KubernetesCore
import Testing

@Suite(.timeLimit(.minutes(1))) struct ConnectionTests {
    static let pod = APIRequest.get(.pods, namespace: "d", name: "a")
    static let create = APIRequest.create(.pods, namespace: "d", name: "a", object: ["x": 1])

    static func connection(
        _ port: UInt16, scheme: ServerAddress.Scheme = .http, basePath: String = "", token: String? = nil
    ) throws -> Connection {
        try Connection(
            ClientConfiguration(
                server: ServerAddress(scheme: scheme, host: "127.0.0.1", port: port, basePath: basePath),
                caPEM: Array(authorityPEM.utf8), token: token))
    }

    static func deadline(_ duration: Duration = .seconds(20)) -> Moment { .now() + duration }

    @Test func `https without a CA is refused`() {
        #expect(throws: ConfigurationError.self) {
            try Connection(ClientConfiguration(server: ServerAddress(host: "h", port: 1)))
        }
    }

    @Test func `No requests, no replies`() throws {
        #expect(try Self.connection(1).perform([], deadline: Self.deadline()).isEmpty)
    }

    @Test func `Status, body, type and retry time come back`() throws {
        let server = try LoopbackServer([
            .answer(LoopbackServer.response("200 OK", "{}")),
            .answer(LoopbackServer.response("429 Too Many Requests", "", headers: ["Retry-After: 7"])),
        ])
        let connection = try Self.connection(server.port, basePath: "/base")
        let first = try connection.perform([Self.pod], deadline: Self.deadline())[0].get()
        #expect(first.status == 200)
        #expect(first.body == Array("{}".utf8))
        #expect(first.contentType == "application/json")
        #expect(first.retryAfter == nil)
        #expect(!first.wasSentTwice)
        let second = try connection.perform([Self.create], deadline: Self.deadline())[0].get()
        #expect(second.status == 429)
        #expect(second.body.isEmpty)
        #expect(second.retryAfter == .seconds(7))
        #expect(
            server.requests == [
                "GET /base/api/v1/namespaces/d/pods/a HTTP/1.1",
                "POST /base/api/v1/namespaces/d/pods HTTP/1.1 {\"x\":1}",
            ])
        #expect(server.connections == 1)
    }

    @Test func `A handle that served a write serves a read, and each method is sent as itself`() throws {
        let answer = LoopbackServer.Act.answer(LoopbackServer.response("200 OK", "{}"))
        let server = try LoopbackServer([answer, answer, answer, answer, answer])
        let connection = try Self.connection(server.port)
        let requests: [APIRequest] = [
            Self.create, Self.pod, .delete(.nodes, name: "n", preconditions: nil),
            .patch(.nodes, name: "n", patch: .merge([:])), Self.pod,
        ]
        for request in requests {
            #expect(try connection.perform([request], deadline: Self.deadline())[0].get().status == 200)
        }
        #expect(
            server.requests == [
                "POST /api/v1/namespaces/d/pods HTTP/1.1 {\"x\":1}",
                "GET /api/v1/namespaces/d/pods/a HTTP/1.1",
                "DELETE /api/v1/nodes/n HTTP/1.1 {\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\"}",
                "PATCH /api/v1/nodes/n HTTP/1.1 {}",
                "GET /api/v1/namespaces/d/pods/a HTTP/1.1",
            ])
    }

    @Test(arguments: [pod, create])
    func `A request that libcurl sent again is marked`(request: APIRequest) throws {
        // The second request finds the connection closed without an answer, and libcurl opens another one.
        let answer = LoopbackServer.Act.answer(LoopbackServer.response("200 OK", "{}"))
        let server = try LoopbackServer([answer, .cut("")], [answer, answer])
        let connection = try Self.connection(server.port)
        #expect(try !connection.perform([Self.pod], deadline: Self.deadline())[0].get().wasSentTwice)
        let second = try connection.perform([request], deadline: Self.deadline())[0].get()
        #expect(second.status == 200)
        #expect(second.wasSentTwice)
        #expect(server.connections == 2)
        #expect(server.requests.count == 3)
        #expect(try !connection.perform([Self.pod], deadline: Self.deadline())[0].get().wasSentTwice)
    }

    static func failure(_ reply: Reply?) -> TransportFailure? {
        if case .failure(let failure) = reply { failure } else { nil }
    }

    @Test func `A refused connection sent nothing`() throws {
        let port = try LoopbackServer().port
        let replies = try Self.connection(port).perform([Self.pod, Self.create], deadline: Self.deadline())
        #expect(replies.count == 2)
        for reply in replies {
            let failure = try #require(Self.failure(reply))
            #expect(failure.kind == .connect)
            #expect(!failure.mayHaveBeenSent)
            #expect(failure.message.hasPrefix("cannot connect to the API server at 127.0.0.1:\(port): "))
        }
    }

    @Test(arguments: [(ServerAddress.Scheme.http, true), (.https, false)])
    func `A server that never answers is left at the deadline`(
        scheme: ServerAddress.Scheme, mayHaveBeenSent: Bool
    ) throws {
        let server = try LoopbackServer([.silence])
        let start = Moment.now()
        let replies = try Self.connection(server.port, scheme: scheme)
            .perform([Self.create, Self.create], deadline: start + .milliseconds(200))
        let elapsed = Moment.now() - start
        #expect(elapsed >= .milliseconds(190))
        #expect(elapsed < .seconds(5))
        for reply in replies {
            #expect(Self.failure(reply)?.kind == .timeout)
            #expect(Self.failure(reply)?.message.contains("resolve") == false)
        }
        #expect(Self.failure(replies[0])?.mayHaveBeenSent == mayHaveBeenSent)
        withExtendedLifetime(server) {}
    }

    @Test func `A deadline that has passed sends nothing`() throws {
        let server = try LoopbackServer([.silence])
        let reply = try Self.connection(server.port).perform([Self.create], deadline: Self.deadline(.zero))[0]
        #expect(Self.failure(reply)?.kind == .timeout)
        #expect(Self.failure(reply)?.mayHaveBeenSent == false)
        #expect(server.connections == 0)
    }

    @Test(arguments: ["", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"])
    func `An answer that is cut off is an interruption`(text: String) throws {
        let server = try LoopbackServer([.cut(text)])
        let reply = try Self.connection(server.port).perform([Self.create], deadline: Self.deadline())[0]
        #expect(Self.failure(reply)?.kind == .interrupted)
        #expect(Self.failure(reply)?.mayHaveBeenSent == true)
        #expect(server.requests.count == 1)
    }

    @Test func `An answer that is too long is cut off`() throws {
        let length = 256 << 20 + 1
        let head = "HTTP/1.1 200 OK\r\nContent-Length: \(length)\r\n\r\n"
        let server = try LoopbackServer([.answer(head)])
        let reply = try Self.connection(server.port).perform([Self.pod], deadline: Self.deadline())[0]
        #expect(Self.failure(reply)?.kind == .oversized)
        withExtendedLifetime(server) {}
    }

    @Test func `A redirect is an answer and is not followed`() throws {
        let server = try LoopbackServer([
            .answer(LoopbackServer.response("302 Found", "", headers: ["Location: /elsewhere"]))
        ])
        let reply = try Self.connection(server.port, token: secretToken).perform([Self.pod], deadline: Self.deadline())
        #expect(try reply[0].get().status == 302)
        #expect(server.requests.count == 1)
    }

    @Test func `Clocks agree and sleep lasts until its moment`() throws {
        let connection = try Self.connection(1)
        let moment = connection.now() + .milliseconds(5)
        connection.sleep(until: moment)
        #expect(Moment.now() >= moment)
        connection.sleep(until: Moment(nanoseconds: 0))
    }
}
