import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// What each fault looks like to our own client, with a real API server behind it.
@Suite("FaultProxy", .controlPlane, .timeLimit(.minutes(1)))
struct FaultProxyTests {
    // MARK: Without a rule

    @Test(arguments: [true, false])
    func `requests are forwarded with the client's own token`(speaksHTTP2: Bool) async throws {
        try await ProxyBench.run(speaksHTTP2: speaksHTTP2) { bench in
            let name = bench.name
            let statuses = try await bench.withConnection { connection in
                let requests = [bench.get("missing-\(name)"), bench.create(), bench.get("absent-\(name)")]
                return try connection.perform(requests, deadline: .soon).map { try $0.get().status }
            }
            #expect(statuses == [404, 201, 404])
            #expect(try await bench.exists())
            let log = bench.proxy.log
            #expect(log.count == 3)
            #expect(Set(log.map(\.request.httpVersion)) == [speaksHTTP2 ? "2" : "1.1"])
            #expect(!speaksHTTP2 || Set(log.map(\.request.connection)) == [1])
            let create = try #require(log.filter("create", "configmaps").first)
            #expect(create.description == "#\(create.request.number) create configmaps default/\(name): 201")
            #expect(create.request.userAgent?.hasPrefix("berth") == true)
            #expect(log.count("get", "configmaps") == 2)
        }
    }

    @Test func `the proxy's certificate is checked as any other`() async throws {
        let controlPlane = try ControlPlane.required()
        try await controlPlane.withFaultProxy { proxy in
            var configuration = try await controlPlane.configuration(as: .admin, through: proxy)
            configuration.caPEM = Array(try controlPlane.target().caPEM.utf8)
            let error = try await controlPlane.withConnection(configuration) { connection in
                #expect(throws: APIError.self) { try connection.call(.get(.namespaces, name: "default")) }
            }
            #expect(error?.disposition == .stop(.untrusted))
            #expect(proxy.log.isEmpty)
        }
    }

    @Test func `bodies larger than a window of HTTP-2 come through whole`() async throws {
        try await ProxyBench.run { bench in
            let data: JSON = ["large": .string(String(repeating: "0123456789", count: 80_000))]
            let answer = try await bench.withConnection { try $0.call(bench.create(data: data)) }
            #expect(answer["data"] == data)
        }
    }

    @Test func `a server that is away is a broken connection`() async throws {
        let controlPlane = try ControlPlane.required()
        let port = try ReservedPort()
        var target = try controlPlane.target()
        target.port = port.number
        try await withFaultProxy(to: target) { proxy in
            let configuration = try await controlPlane.configuration(as: .admin, through: proxy)
            let error = try await controlPlane.withConnection(configuration) { connection in
                connection.failure(of: .get(.namespaces, name: "default"))
            }
            #expect(error?.transportKind == .interrupted)
            guard case .failed = proxy.log.first?.fate else {
                Issue.record("\(proxy.log)")
                return
            }
        }
        port.close()
    }

    // MARK: Answers that a rule makes up

    static let inventions: [(FaultAction, Disposition, mayHaveCommitted: Bool)] = [
        (.alreadyExists, .alreadyExists, false),
        (.conflict, .conflict, false),
        (.unauthorized, .stop(.unauthenticated), false),
        (.forbidden, .stop(.forbidden), false),
        (.notFound, .notFound, false),
        (.tooManyRequests(retryAfterSeconds: 7), .transient(retryAfter: .seconds(7)), false),
        (.internalError, .transient(retryAfter: nil), true),
        (.serviceUnavailable, .transient(retryAfter: nil), true),
        (.serverTimeout, .transient(retryAfter: nil), true),
        (.html(status: 200), .transient(retryAfter: nil), true),
        (.html(status: 502), .transient(retryAfter: nil), true),
        (.html(status: 404), .transient(retryAfter: nil), false),
    ]

    @Test(arguments: inventions.indices) func `an answer of a rule never reaches the server`(index: Int) async throws {
        let (action, disposition, mayHaveCommitted) = Self.inventions[index]
        try await ProxyBench.run { bench in
            bench.proxy.when(.mutation, .first(1), action)
            let error = try #require(try await bench.createFails())
            #expect(error.disposition == disposition)
            #expect(error.mayHaveCommitted == mayHaveCommitted)
            #expect(try await !bench.exists())
            #expect(bench.proxy.log.first?.fate.serverStatus == nil)
        }
    }

    @Test func `rules act in their order, as often as they may, and until they are removed`() async throws {
        try await ProxyBench.run { bench in
            let first = bench.proxy.when(.verb("get", "configmaps", named: "a"), .first(2), .html(status: 501))
            let second = bench.proxy.when(.path(matching: "/configmaps/[ab]$"), .always, .html(status: 502))
            let statuses = try await bench.withConnection { connection in
                ["a", "a", "a", "b", "c"].map { name -> Int in
                    if case .success(let response) = connection.perform([bench.get(name)], deadline: .soon)[0] {
                        return response.status
                    }
                    return 0
                }
            }
            #expect(statuses == [501, 501, 502, 502, 404])
            #expect((first.hits, second.hits) == (2, 2))
            try await second.hit(2)
            second.remove()
            let error = try await bench.withConnection { $0.failure(of: bench.get("a")) }
            #expect(error?.isNotFound == true)
        }
    }

    // MARK: Before the server

    @Test func `a held create commits long after its client gave up`() async throws {
        try await ProxyBench.run { bench in
            let gate = Gate()
            bench.proxy.when(.verb("create", "configmaps"), .always, .hold(gate))
            let (error, name) = try await bench.createTimesOut()
            #expect(error?.transportKind == .timeout)
            #expect(error?.mayHaveCommitted == true)
            try await bench.proxy.waitFor("the client to go") { $0.first(named: name)?.clientHasGone == true }
            #expect(bench.proxy.log.first(named: name)?.fate == .held)
            #expect(try await !bench.exists(name))
            gate.open()
            try await bench.proxy.waitFor("the create") { $0.first(named: name)?.fate == .answered(status: 201) }
            #expect(try await bench.exists(name))
        }
    }

    @Test func `a delayed request arrives late`() async throws {
        try await ProxyBench.run { bench in
            bench.proxy.when(.mutation, .always, .delay(.milliseconds(150)))
            let start = ContinuousClock.now
            try await bench.withConnection { _ = try $0.call(bench.create()) }
            #expect(ContinuousClock.now - start >= .milliseconds(150))
            #expect(try await bench.exists())
        }
    }

    @Test(arguments: [true, false], [Loss.connection, .stream])
    func `a request dropped before the server changes nothing`(speaksHTTP2: Bool, loss: Loss) async throws {
        try await ProxyBench.run(speaksHTTP2: speaksHTTP2) { bench in
            bench.proxy.when(.mutation, .always, .dropBeforeForward(loss))
            let error = try await bench.createFails()
            #expect(error?.transportKind == .interrupted)
            #expect(error?.mayHaveCommitted == true)
            #expect(try await !bench.exists())
            #expect(bench.proxy.log.map(\.fate) == [.dropped])
        }
    }

    @Test func `a refused stream is sent again`() async throws {
        try await ProxyBench.run { bench in
            bench.proxy.when(.mutation, .first(1), .refuseStream)
            let response = try await bench.withConnection {
                try $0.perform([bench.create()], deadline: .soon)[0].get()
            }
            #expect(response.status == 201)
            #expect(response.wasSentTwice)
            #expect(bench.proxy.log.map(\.fate) == [.dropped, .answered(status: 201)])
        }
    }

    @Test func `a hanging request is never answered`() async throws {
        try await ProxyBench.run { bench in
            bench.proxy.when(.mutation, .always, .hang)
            let (error, name) = try await bench.createTimesOut()
            #expect(error?.transportKind == .timeout)
            #expect(error?.mayHaveCommitted == true)
            try await bench.proxy.waitFor("the client to go") { $0.first(named: name)?.clientHasGone == true }
            #expect(bench.proxy.log.first(named: name)?.fate == .hanging)
            #expect(try await !bench.exists(name))
        }
    }

    @Test func `a suspended proxy refuses connections, and serves again`() async throws {
        try await ProxyBench.run { bench in
            await bench.proxy.suspend()
            let error = try await bench.createFails()
            #expect(error?.transportKind == .connect)
            #expect(error?.mayHaveCommitted == false)
            try await bench.proxy.resume()
            try await bench.withConnection { _ = try $0.call(bench.create()) }
            #expect(try await bench.exists())
        }
    }

    // MARK: After the server

    @Test(arguments: [true, false], [Loss.connection, .stream])
    func `an answer dropped after the commit leaves the object`(speaksHTTP2: Bool, loss: Loss) async throws {
        try await ProxyBench.run(speaksHTTP2: speaksHTTP2) { bench in
            bench.proxy.when(.mutation, .always, .dropAnswer(loss))
            let error = try await bench.createFails()
            #expect(error?.transportKind == .interrupted)
            #expect(error?.mayHaveCommitted == true)
            #expect(try await bench.exists())
            #expect(bench.proxy.log.map(\.fate) == [.answerDropped(status: 201)])
        }
    }

    @Test(arguments: [true, false])
    func `on a connection that served before libcurl repeats the create and meets its own object`(
        speaksHTTP2: Bool
    ) async throws {
        try await ProxyBench.run(speaksHTTP2: speaksHTTP2) { bench in
            bench.proxy.when(.mutation, .first(1), .dropAnswer())
            let response = try await bench.withConnection { connection in
                _ = connection.perform([bench.get("missing")], deadline: .soon)
                return try connection.perform([bench.create()], deadline: .soon)[0].get()
            }
            #expect(response.status == 409)
            #expect(response.wasSentTwice)
            #expect(try await bench.exists())
            #expect(bench.proxy.log.filter("create", "configmaps").map(\.fate.serverStatus) == [201, 409])
        }
    }

    @Test func `a lost stream takes no other one with it`() async throws {
        try await ProxyBench.run { bench in
            bench.proxy.when(.mutation, .first(1), .dropAnswer(.stream))
            let replies = try await bench.withConnection { connection in
                connection.perform([bench.get("b"), bench.create(), bench.get("a")], deadline: .soon)
            }
            #expect(replies.map { (try? $0.get()) != nil } == [true, false, true])
            #expect(Set(bench.proxy.log.map(\.request.connection)) == [1])
        }
    }

    @Test func `a held answer is that of a committed request`() async throws {
        try await ProxyBench.run { bench in
            let gate = Gate()
            bench.proxy.when(.mutation, .always, .holdAnswer(gate))
            async let created = bench.withConnection { try $0.call(bench.create()) }
            try await gate.reached()
            #expect(bench.proxy.log.map(\.fate) == [.answerHeld(status: 201)])
            #expect(try await bench.exists())
            gate.open()
            #expect(try await created["metadata"]?["name"]?.string == bench.name)
        }
    }

    @Test func `actions follow each other`() async throws {
        try await ProxyBench.run { bench in
            let gates = (before: Gate("before"), after: Gate("after"))
            bench.proxy.when(.mutation, .always, .hold(gates.before), .holdAnswer(gates.after), .dropAnswer())
            async let failure = bench.createFails()
            try await gates.before.reached()
            #expect(try await !bench.exists())
            gates.before.open()
            try await gates.after.reached()
            #expect(try await bench.exists())
            gates.after.open()
            #expect(try await failure?.transportKind == .interrupted)
        }
    }

    @Test func `an answer that stalls is neither whole nor broken`() async throws {
        try await ProxyBench.run { bench in
            bench.proxy.when(.mutation, .always, .stallAnswer(afterBytes: 5))
            let (error, name) = try await bench.createTimesOut()
            #expect(error?.transportKind == .timeout)
            try await bench.proxy.waitFor("the answer") { $0.first(named: name)?.fate == .answerHeld(status: 201) }
            #expect(try await bench.exists(name))
        }
    }

    @Test(arguments: [true, false], [0, 1, 40])
    func `an answer cut short is no answer`(speaksHTTP2: Bool, bytes: Int) async throws {
        try await ProxyBench.run(speaksHTTP2: speaksHTTP2) { bench in
            bench.proxy.when(.mutation, .always, .cutAnswer(afterBytes: bytes))
            let error = try await bench.createFails()
            #expect(error?.transportKind == .interrupted)
            #expect(error?.mayHaveCommitted == true)
            #expect(try await bench.exists())
        }
    }

    @Test func `reset connections end what is under way`() async throws {
        try await ProxyBench.run { bench in
            let gate = Gate()
            bench.proxy.when(.mutation, .always, .holdAnswer(gate))
            async let failure = bench.createFails()
            try await gate.reached()
            #expect(bench.proxy.connectionCount == 1)
            await bench.proxy.resetConnections()
            #expect(try await failure?.transportKind == .interrupted)
            try await bench.proxy.waitForConnections(0)
        }
    }

    // MARK: Watches

    @Test func `a watch is passed on as it comes`() async throws {
        try await ProxyBench.run { bench in
            try await bench.withConnection { _ = try $0.call(bench.create()) }
            bench.proxy.when(.verb("watch", "configmaps"), .first(1), .cutAnswer(afterBytes: 20))
            // The server keeps the watch open, so what arrives has come through before its end.
            let outcome = try await bench.watch()
            #expect(outcome.outputText.hasPrefix(#"{"type":"ADDED","obj"#))
            #expect(outcome.output.count == 20)
            #expect(!outcome.succeeded)
        }
    }

    @Test func `a watch is given up when its client goes`() async throws {
        try await ProxyBench.run { bench in
            async let outcome = bench.watch()
            try await bench.proxy.waitFor("the watch") { $0.first?.fate == .answering(status: 200) }
            await bench.proxy.resetConnections()
            #expect(try await !outcome.succeeded)
            try await bench.proxy.waitFor("the client to go") { $0.first?.clientHasGone == true }
        }
    }
}
