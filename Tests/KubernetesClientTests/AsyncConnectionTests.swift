import JSONText
import KubernetesClient
import KubernetesCore
import Testing

@Suite(.timeLimit(.minutes(1))) struct AsyncConnectionTests {
    static let pod = APIRequest.get(.pods, namespace: "d", name: "a")
    static let create = APIRequest.create(.pods, namespace: "d", name: "a", object: ["x": 1])
    static let watch = APIRequest.watch(.pods, options: WatchOptions(resourceVersion: "1"))
    /// The head of an answer that lasts as long as the connection.
    static let endless = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"

    static func connection(
        _ port: UInt16, scheme: ServerAddress.Scheme = .http, token: String? = nil, tokenFile: String? = nil
    ) throws -> AsyncConnection {
        try AsyncConnection(
            ClientConfiguration(
                server: ServerAddress(scheme: scheme, host: "127.0.0.1", port: port),
                caPEM: Array(authorityPEM.utf8), token: token, tokenFile: tokenFile))
    }

    static func deadline(_ duration: Duration = .seconds(20)) -> Moment { .now() + duration }

    static func failure(_ reply: Reply) -> TransportFailure? {
        if case .failure(let failure) = reply { failure } else { nil }
    }

    @Test func `https without a CA is refused`() {
        #expect(throws: ConfigurationError.self) {
            try AsyncConnection(ClientConfiguration(server: ServerAddress(host: "h", port: 1)))
        }
    }

    @Test func `Requests are answered one after the other on one connection`() async throws {
        let server = try LoopbackServer([
            .answer(LoopbackServer.response("200 OK", "{}")),
            .answer(LoopbackServer.response("429 Too Many Requests", "", headers: ["Retry-After: 7"])),
        ])
        let connection = try Self.connection(server.port)
        let first = try await connection.perform(Self.create, deadline: Self.deadline()).get()
        #expect(first.status == 200)
        #expect(first.body == Array("{}".utf8))
        #expect(first.contentType == "application/json")
        let second = try await connection.perform(Self.pod, deadline: Self.deadline()).get()
        #expect(second.status == 429)
        #expect(second.retryAfter == .seconds(7))
        #expect(
            server.requests == [
                "POST /api/v1/namespaces/d/pods HTTP/1.1 {\"x\":1}", "GET /api/v1/namespaces/d/pods/a HTTP/1.1",
            ])
        #expect(server.connections == 1)
    }

    @Test func `A deadline ends a request that is not answered`() async throws {
        let server = try LoopbackServer([.silence])
        let start = Moment.now()
        let reply = try await Self.connection(server.port)
            .perform(Self.create, deadline: start + .milliseconds(200))
        #expect(Self.failure(reply)?.kind == .timeout)
        #expect(Self.failure(reply)?.mayHaveBeenSent == true)
        #expect(Moment.now() - start >= .milliseconds(190))
    }

    @Test func `A deadline that has passed sends nothing`() async throws {
        let server = try LoopbackServer([.silence])
        let reply = try await Self.connection(server.port).perform(Self.create, deadline: Self.deadline(.zero))
        #expect(Self.failure(reply)?.kind == .timeout)
        #expect(Self.failure(reply)?.mayHaveBeenSent == false)
        #expect(server.connections == 0)
    }

    @Test func `A cancelled task ends its request`() async throws {
        let server = try LoopbackServer([.silence])
        let connection = try Self.connection(server.port)
        let task = Task { await connection.perform(Self.create, deadline: Self.deadline(.seconds(600))) }
        while server.requests.isEmpty { await Task.yield() }
        task.cancel()
        let failure = await Self.failure(task.value)
        #expect(failure?.kind == .cancelled)
        #expect(failure?.mayHaveBeenSent == true)
    }

    @Test func `A task that is cancelled already has its request ended`() async throws {
        let server = try LoopbackServer([.silence])
        let connection = try Self.connection(server.port)
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return await connection.perform(Self.create, deadline: Self.deadline(.seconds(600)))
        }
        #expect(await Self.failure(task.value)?.kind == .cancelled)
        withExtendedLifetime(server) {}
    }

    @Test func `A stream has a head before it has a body, and ends with the connection`() async throws {
        let server = try LoopbackServer([.cut(Self.endless + "one\ntwo")])
        let stream = try await Self.connection(server.port).stream(Self.watch)
        #expect(stream.head.status == 200)
        #expect(stream.head.contentType == "application/json")
        #expect(stream.head.body.isEmpty)
        var body: [UInt8] = []
        for try await chunk in stream.body { body += chunk }
        #expect(String(decoding: body, as: UTF8.self) == "one\ntwo")
        #expect(server.requests == ["GET /api/v1/pods?watch=1&resourceVersion=1&allowWatchBookmarks=true HTTP/1.1"])
    }

    @Test func `A stream without a body has a head`() async throws {
        // The answer stays open and silent, as a watch without events does.
        let server = try LoopbackServer([.answer(Self.endless)])
        let connection = try Self.connection(server.port)
        let stream = try await connection.stream(Self.watch)
        #expect(stream.head.status == 200)
        let reading = Task {
            var chunks = stream.body.makeAsyncIterator()
            return try await chunks.next()
        }
        reading.cancel()
        await #expect(throws: TransportFailure.self) { try await reading.value }
    }

    @Test func `A stream that is cut off says so`() async throws {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
        let server = try LoopbackServer([.cut(head + "short")])
        let stream = try await Self.connection(server.port).stream(Self.watch)
        var text = ""
        let error = await #expect(throws: TransportFailure.self) {
            for try await chunk in stream.body { text += String(decoding: chunk, as: UTF8.self) }
        }
        #expect(error?.kind == .interrupted)
        #expect(text == "short")
    }

    @Test func `A head that stays away ends the stream`() async throws {
        let server = try LoopbackServer([.silence])
        let connection = try Self.connection(server.port)
        let error = await #expect(throws: TransportFailure.self) {
            _ = try await connection.stream(Self.watch, limits: StreamLimits(head: .milliseconds(100)))
        }
        #expect(error?.kind == .timeout)
    }

    @Test func `A stream that falls silent ends`() async throws {
        let server = try LoopbackServer([.answer(Self.endless + "one\n")])
        let connection = try Self.connection(server.port)
        let stream = try await connection.stream(Self.watch, limits: StreamLimits(stall: .seconds(1)))
        let error = await #expect(throws: TransportFailure.self) {
            for try await _ in stream.body {}
        }
        #expect(error?.kind == .timeout)
        withExtendedLifetime(server) {}
    }

    @Test func `A slow reader gets the whole body, and the server waits`() async throws {
        let body = String(repeating: "0123456789abcde\n", count: 1 << 20)
        let server = try LoopbackServer([.cut(Self.endless + body)])
        let stream = try await Self.connection(server.port).stream(Self.watch, limits: StreamLimits(mark: 1 << 10))
        var size = 0
        for try await chunk in stream.body {
            // What waits is at most the mark and one piece of libcurl's.
            #expect(chunk.count <= 1 << 10 + 16 << 10)
            size += chunk.count
            await Task.yield()
        }
        #expect(size == body.utf8.count)
    }

    @Test func `A stream whose reader takes its time is not dead`() async throws {
        let body = String(repeating: "0123456789abcde\n", count: 1 << 20)
        let server = try LoopbackServer([.cut(Self.endless + body)])
        let connection = try Self.connection(server.port)
        let stream = try await connection.stream(
            Self.watch, limits: StreamLimits(stall: .seconds(1), mark: 1 << 10))
        // More than the stall of the first one passes, for the server serves one after the other.
        for _ in 1...2 {
            await #expect(throws: TransportFailure.self) {
                _ = try await connection.stream(Self.watch, limits: StreamLimits(head: .milliseconds(1200)))
            }
        }
        var size = 0
        for try await chunk in stream.body { size += chunk.count }
        #expect(size == body.utf8.count)
    }

    @Test func `A short answer to a stream can be collected, a long one is refused`() async throws {
        let answer = LoopbackServer.response("410 Gone", #"{"kind":"Status"}"#)
        let server = try LoopbackServer([.answer(answer), .answer(answer)])
        let connection = try Self.connection(server.port)
        let response = try await connection.stream(Self.watch).collected()
        #expect(response.status == 410)
        #expect(response.body == Array(#"{"kind":"Status"}"#.utf8))
        let error = await #expect(throws: TransportFailure.self) {
            _ = try await connection.stream(Self.watch).collected(maximumSize: 5)
        }
        #expect(error?.kind == .oversized)
    }

    @Test func `A handle that served a stream serves a request, with its own limits`() async throws {
        let server = try LoopbackServer(
            [.answer(LoopbackServer.response("200 OK", "s")), .silence], [.answer(Self.endless)])
        let connection = try Self.connection(server.port)
        _ = try await connection.stream(Self.watch, limits: StreamLimits(stall: .seconds(1))).collected()
        let start = Moment.now()
        let reply = await connection.perform(Self.pod, deadline: start + .milliseconds(1500))
        #expect(Self.failure(reply)?.kind == .timeout)
        #expect(Moment.now() - start >= .milliseconds(1490))
        withExtendedLifetime(server) {}
    }

    @Test func `A connection that goes away ends nothing that is still wanted`() async throws {
        let server = try LoopbackServer([.cut(Self.endless + "one\n")])
        // The stream keeps what it needs.
        let stream = try await Self.connection(server.port).stream(Self.watch)
        var text = ""
        for try await chunk in stream.body { text += String(decoding: chunk, as: UTF8.self) }
        #expect(text == "one\n")
    }
}
