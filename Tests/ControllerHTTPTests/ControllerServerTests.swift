import ControllerHTTP
import Glibc
import JSONText
import KubernetesClient
import KubernetesCore
import Logging
import ServiceLifecycle
import Testing

/// Real sockets: libcurl over TLS as the API server would come, and plain sockets for what no client does.
@Suite(.timeLimit(.minutes(2)))
struct ControllerServerTests {
    /// A server while the body of a test runs.
    struct Running: Sendable {
        let probes: Int
        let webhook: Int
        let certificates: CertificateSource
        /// Ends the server as SIGTERM would.
        let shutDown: @Sendable () async -> Void
    }

    static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    static func withServer(
        at address: ListenAddress = ListenAddress(host: "127.0.0.1", port: 0), limits: ServerLimits = ServerLimits(),
        secret: CertificateSecret?, readiness: [ReadinessCheck] = [],
        decide: @escaping @Sendable (AdmissionRequest) async -> AdmissionAnswer = { _ in .allowed() },
        _ body: @Sendable (Running) async throws -> Void
    ) async throws {
        let certificates = CertificateSource()
        if let secret { try certificates.show(chain: secret.certificate, key: secret.key) }
        let (ports, continuation) = AsyncStream<(ControllerServer.Listener, Int)>.makeStream()
        let metrics = MetricsRegistry()
        metrics.counter("berth_test_total", help: "Test.").increment(by: 3)
        let server = ControllerServer(
            .init(probes: address, webhook: address, limits: limits),
            probes: ProbeEndpoint(metrics: metrics) { readiness }, admission: AdmissionEndpoint(decide: decide),
            certificates: certificates, logger: quiet, onListening: { continuation.yield(($0, $1)) })
        let group = ServiceGroup(services: [server], logger: quiet)
        try await withThrowingTaskGroup { tasks in
            tasks.addTask { try await group.run() }
            var bound: [ControllerServer.Listener: Int] = [:]
            for await (listener, port) in ports {
                bound[listener] = port
                if bound.count == ControllerServer.Listener.allCases.count { break }
            }
            let running = Running(
                probes: try #require(bound[.probes]), webhook: try #require(bound[.webhook]),
                certificates: certificates, shutDown: { await group.triggerGracefulShutdown() })
            do {
                try await body(running)
            } catch {
                Issue.record(error)
            }
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
    }

    static func now() -> Int64 { Int64(time(nil)) }

    static func request(
        _ method: APIRequest.Method = .post, _ path: String = AdmissionEndpoint.path,
        contentType: String = "application/json", body: [UInt8]? = Array(reviewText.utf8)
    ) -> APIRequest {
        APIRequest(
            method: method, path: path, query: [.init("timeout", "10s")],
            headers: body == nil ? [] : [.init("Content-Type", contentType)], body: body,
            subject: .init(verb: .get, resource: .pods))
    }

    /// Over TLS to the first of the names, as the API server does it.
    static func client(
        _ running: Running, trusting authorities: String, name: String = serviceNames[0]
    ) throws -> AsyncConnection {
        try AsyncConnection(
            ClientConfiguration(
                server: ServerAddress(host: "127.0.0.1", port: UInt16(running.webhook)),
                caPEM: Array(authorities.utf8), tlsServerName: name))
    }

    static func perform(_ request: APIRequest, _ client: AsyncConnection) async -> Reply {
        await client.perform(request, deadline: .now() + .seconds(20))
    }

    static func failure(_ reply: Reply) -> TransportFailure.Kind? {
        if case .failure(let failure) = reply { failure.kind } else { nil }
    }

    @Test func `The webhook answers over TLS, its certificate and name verified`() async throws {
        let secret = try makeSecret(at: Self.now())
        try await Self.withServer(
            secret: secret, decide: { .refused(.forbidden, "no \($0.name)", warnings: ["careful"]) }
        ) { running in
            let client = try Self.client(running, trusting: secret.authorities)
            let response = try await Self.perform(Self.request(), client).get()
            #expect(response.status == 200)
            #expect(response.contentType == "application/json")
            let answer = try JSON(parsing: response.body)["response"]
            #expect(answer?["uid"] == "705ab4f5-6393-11e8-b7cc-42010a800002")
            #expect(answer?["allowed"] == false)
            #expect(answer?["status"]?["message"] == "no blue")
            #expect(answer?["warnings"] == ["careful"])
        }
    }

    @Test func `Who trusts another authority, or asks for another name, is not answered`() async throws {
        let secret = try makeSecret(at: Self.now())
        let other = try makeSecret(at: Self.now(), seed: 2)
        try await Self.withServer(secret: secret) { running in
            let stranger = try Self.client(running, trusting: other.authorities)
            #expect(Self.failure(await Self.perform(Self.request(), stranger)) == .untrusted)
            let misnamed = try Self.client(running, trusting: secret.authorities, name: "berth-webhook.other.svc")
            #expect(Self.failure(await Self.perform(Self.request(), misnamed)) == .untrusted)
            let named = try Self.client(running, trusting: secret.authorities, name: serviceNames[1])
            #expect(try await Self.perform(Self.request(), named).get().status == 200)
        }
    }

    @Test func `A new certificate shows on the next connection, and open ones go on`() async throws {
        let secret = try makeSecret(at: Self.now())
        let next = try #require(try CertificatePlan.renewAll(.absent).result(on: secret, at: Self.now()))
        try await Self.withServer(secret: secret) { running in
            let open = try Self.client(running, trusting: secret.authorities)
            #expect(try await Self.perform(Self.request(), open).get().status == 200)
            #expect(try running.certificates.show(chain: next.certificate, key: next.key))
            #expect(try await Self.perform(Self.request(), open).get().status == 200)
            let old = try Self.client(running, trusting: secret.authorities)
            #expect(Self.failure(await Self.perform(Self.request(), old)) == .untrusted)
            let new = try Self.client(running, trusting: next.authorities)
            #expect(try await Self.perform(Self.request(), new).get().status == 200)
        }
    }

    @Test func `Without a certificate no connection is made, and with one it is`() async throws {
        let secret = try makeSecret(at: Self.now())
        try await Self.withServer(secret: nil) { running in
            let client = try Self.client(running, trusting: secret.authorities)
            #expect(Self.failure(await Self.perform(Self.request(), client)) != nil)
            try running.certificates.show(chain: secret.certificate, key: secret.key)
            #expect(try await Self.perform(Self.request(), client).get().status == 200)
        }
    }

    @Test func `Bodies, paths and methods that do not fit get their status`() async throws {
        let secret = try makeSecret(at: Self.now())
        try await Self.withServer(secret: secret) { running in
            let client = try Self.client(running, trusting: secret.authorities)
            let limit = AdmissionEndpoint.maximumBody
            // A string that fills the review up to the limit, and one byte more.
            let padding = [UInt8](repeating: UInt8(ascii: " "), count: limit - reviewText.utf8.count)
            let full = Array(reviewText.utf8) + padding
            let cases: [(APIRequest, Int)] = [
                (Self.request(body: full), 200), (Self.request(body: full + [0x20]), 413),
                (Self.request(body: []), 400), (Self.request(body: Array("{}".utf8)), 400),
                (Self.request(contentType: "text/plain"), 400), (Self.request(.put), 405),
                (Self.request(.get, body: nil), 405), (Self.request(.post, "/healthz"), 404),
                (Self.request(.get, "/metrics", body: nil), 404),
            ]
            for (request, status) in cases {
                let reply = try await Self.perform(request, client).get()
                #expect(reply.status == status, "\(request.method) \(request.path) \(request.body?.count ?? 0)")
                // The connection, or another one, serves on.
                #expect(try await Self.perform(Self.request(), client).get().status == 200)
            }
        }
    }

    @Test func `Probes and metrics are served without TLS`() async throws {
        try await Self.withServer(secret: nil, readiness: [ReadinessCheck("stores", problem: "p")]) { running in
            let client = try AsyncConnection(
                ClientConfiguration(
                    server: ServerAddress(scheme: .http, host: "127.0.0.1", port: UInt16(running.probes))))
            func get(_ path: String) async throws -> HTTPResponse {
                try await Self.perform(Self.request(.get, path, body: nil), client).get()
            }
            #expect(try await get("/healthz").status == 200)
            let readiness = try await get("/readyz")
            #expect(readiness.status == 503)
            #expect(String(decoding: readiness.body, as: UTF8.self).hasPrefix("[-]stores not ready: p\n"))
            let metrics = try await get("/metrics")
            #expect(metrics.contentType == "text/plain; version=0.0.4; charset=utf-8")
            #expect(String(decoding: metrics.body, as: UTF8.self).hasSuffix("berth_test_total 3\n"))
            #expect(try await get(AdmissionEndpoint.path).status == 404)
        }
    }

    @Test func `A request that is being answered is finished before the server ends`() async throws {
        let secret = try makeSecret(at: Self.now())
        let (asked, wasAsked) = AsyncStream<Void>.makeStream()
        let (released, release) = AsyncStream<Void>.makeStream()
        let decide: @Sendable (AdmissionRequest) async -> AdmissionAnswer = { _ in
            wasAsked.yield()
            for await _ in released { break }
            return .allowed()
        }
        try await Self.withServer(secret: secret, decide: decide) { running in
            let client = try Self.client(running, trusting: secret.authorities)
            async let reply = Self.perform(Self.request(), client)
            for await _ in asked { break }
            await running.shutDown()
            release.yield()
            #expect(try await reply.get().status == 200)
        }
    }

    @Test func `Every address of the machine is one to listen at`() async throws {
        let any = ListenAddress.any(port: 0)
        #expect(["::", "0.0.0.0"].contains(any.host))
        try await Self.withServer(at: any, limits: Self.hurried, secret: nil) { running in
            let answer = try await Self.exchange("GET /healthz HTTP/1.0\r\n\r\n", port: running.probes)
            #expect(answer?.hasSuffix("ok") == true)
        }
    }

    @Test func `An address in use is an error`() async throws {
        try await Self.withServer(secret: nil) { running in
            let taken = ListenAddress(host: "127.0.0.1", port: running.probes)
            let second = ControllerServer(
                .init(probes: taken, webhook: ListenAddress(host: "127.0.0.1", port: 0)),
                probes: ProbeEndpoint(metrics: MetricsRegistry()) { [] },
                admission: AdmissionEndpoint { _ in .allowed() }, certificates: CertificateSource(),
                logger: Self.quiet)
            let error = await #expect(throws: ListenError.self) { try await second.run() }
            #expect(
                error.map { "\($0)" }
                    == "cannot listen on port \(running.probes) of 127.0.0.1 for probes: Address already in use")
        }
    }
}

/// What clients do that are broken or mean no good, over sockets of their own.
extension ControllerServerTests {
    static func socket(to port: Int) throws -> Int32 {
        let descriptor = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(INADDR_LOOPBACK).bigEndian
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try #require(result == 0)
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        return descriptor
    }

    /// Sends a text and reads until the server closes the connection; nil when it does not. Blocks a thread of its own.
    static func exchange(_ text: String, port: Int) async throws -> String? {
        let descriptor = try socket(to: port)
        return await withCheckedContinuation { continuation in
            Thread.detach {
                defer { close(descriptor) }
                _ = text.withCString { send(descriptor, $0, strlen($0), Int32(MSG_NOSIGNAL)) }
                var answer: [UInt8] = []
                var chunk = [UInt8](repeating: 0, count: 4096)
                while true {
                    let count = recv(descriptor, &chunk, chunk.count, 0)
                    if count < 0, errno == EAGAIN { return continuation.resume(returning: nil) }
                    guard count > 0 else { break }
                    answer += chunk[..<count]
                }
                continuation.resume(returning: String(decoding: answer, as: UTF8.self))
            }
        }
    }

    static let hurried: ServerLimits = {
        var limits = ServerLimits()
        limits.idle = .milliseconds(300)
        limits.linger = .milliseconds(100)
        return limits
    }()

    @Test(arguments: [
        ("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK"),
        ("GET /healthz HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK"),
        ("HEAD /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK"),
        ("rubbish\r\n\r\n", "HTTP/1.1 400 Bad Request"), ("\u{16}\u{03}\u{01}\u{02}", "HTTP/1.1 400 Bad Request"),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "HTTP/1.1 404 Not Found"),
        ("BREW /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "HTTP/1.1 4"),
        (
            "GET /healthz HTTP/1.1\r\nHost: a\r\nX: \(String(repeating: "a", count: 40_000))\r\n\r\n",
            "HTTP/1.1 4"
        ),
        // A body that nobody asked for, and that never ends.
        ("POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\nxx", "HTTP/1.1 405"),
        ("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "HTTP/1.1 404"),
        // Nothing, and half a head.
        ("", ""), ("GET /healthz HTTP/1.1\r\nHost:", ""),
    ])
    func `Every client is answered or cut off`(text: String, beginning: String) async throws {
        try await Self.withServer(limits: Self.hurried, secret: nil) { running in
            let answer = try #require(try await Self.exchange(text, port: running.probes))
            #expect(answer.hasPrefix(beginning), "\(answer.debugDescription)")
            if beginning.isEmpty { #expect(answer.isEmpty) }
            #expect(
                try await Self.exchange("GET /healthz HTTP/1.0\r\n\r\n", port: running.probes)?.hasSuffix("ok") == true)
        }
    }

    @Test func `An answer to HEAD has no body, and a wrong method is told the right ones`() async throws {
        try await Self.withServer(limits: Self.hurried, secret: nil) { running in
            func ask(_ method: String) async throws -> String {
                try #require(
                    try await Self.exchange(
                        "\(method) /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", port: running.probes))
            }
            let answers = (try await ask("HEAD"), try await ask("GET"), try await ask("DELETE"))
            #expect(answers.0.hasSuffix("\r\n\r\n"))
            #expect(answers.1.hasSuffix("\r\n\r\nok"))
            #expect(answers.2.lowercased().contains("\r\nallow: get, head\r\n"))
        }
    }

    @Test func `A body that nobody asked for is not read to its end`() async throws {
        var limits = Self.hurried
        limits.idle = .seconds(60)
        try await Self.withServer(limits: limits, secret: nil) { running in
            let text = "POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\nxx"
            let answer = try await Self.exchange(text, port: running.probes)
            #expect(answer?.hasPrefix("HTTP/1.1 405") == true, "nil: the connection stayed open")
        }
    }

    @Test func `A body that does not come is not waited for`() async throws {
        let secret = try makeSecret(at: Self.now())
        var limits = ServerLimits()
        limits.body = .milliseconds(300)
        limits.idle = .seconds(60)
        try await Self.withServer(limits: limits, secret: secret) { running in
            let folder = try Folder()
            let head = try folder.write(
                "head",
                "POST \(AdmissionEndpoint.path) HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                    + "Content-Length: 9\r\n\r\n{")
            // A client whose input stays open, so that it is the server who ends the connection.
            let input = "\(folder.path)/input"
            let command =
                "mkfifo \(input); exec 3<>\(input); rm \(input); cat \(head) >&3; "
                + "timeout 15 openssl s_client -quiet -connect 127.0.0.1:\(running.webhook) <&3 2>/dev/null; echo $?"
            let text = await withCheckedContinuation { continuation in
                Thread.detach { continuation.resume(returning: try? output(of: command)) }
            }
            let answer = try #require(text)
            #expect(answer.hasSuffix("\n") && answer != "124\n" && !answer.contains("HTTP/1.1"), "\(answer)")
        }
    }

    @Test(arguments: [("tls1_3", "New, TLSv1.3"), ("tls1_2", "New, TLSv1.2"), ("tls1_1", "alert protocol version")])
    func `TLS is spoken from 1.2 on`(version: String, expected: String) async throws {
        let secret = try makeSecret(at: Self.now())
        try await Self.withServer(limits: Self.hurried, secret: secret) { running in
            let command =
                "timeout 15 openssl s_client -\(version) -cipher DEFAULT:@SECLEVEL=0 "
                + "-connect 127.0.0.1:\(running.webhook) </dev/null 2>&1; true"
            let text = await withCheckedContinuation { continuation in
                Thread.detach { continuation.resume(returning: try? output(of: command)) }
            }
            #expect(text?.contains(expected) == true, "\(text ?? "")")
        }
    }

    @Test func `A handshake that does not begin, and one that is none, end`() async throws {
        let secret = try makeSecret(at: Self.now())
        try await Self.withServer(limits: Self.hurried, secret: secret) { running in
            #expect(try await Self.exchange("", port: running.webhook) == "")
            #expect(try await Self.exchange("GET / HTTP/1.1\r\n\r\n", port: running.webhook) != nil)
            let client = try Self.client(running, trusting: secret.authorities)
            #expect(try await Self.perform(Self.request(), client).get().status == 200)
        }
    }
}

/// A thread for calls that block.
enum Thread {
    static func detach(_ body: @escaping @Sendable () -> Void) {
        final class Box: Sendable {
            let body: @Sendable () -> Void
            init(_ body: @escaping @Sendable () -> Void) { self.body = body }
        }
        var thread = pthread_t()
        pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                Unmanaged<Box>.fromOpaque(context).takeRetainedValue().body()
                return nil
            }, Unmanaged.passRetained(Box(body)).toOpaque())
        pthread_detach(thread)
    }
}
