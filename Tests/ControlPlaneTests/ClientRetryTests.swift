import JSONText
import KubernetesClient
import KubernetesCore
import Synchronization
import TestSupport
import Testing

/// What the client does about failures, side-by-side requests, and the deadline.
@Suite("Client: failures", .controlPlane, .timeLimit(.minutes(5)))
struct ClientRetryTests {
    @Test func `requests are made side by side on one connection`() async throws {
        try await ClientBench.run { bench in
            for number in 0..<5 { try await bench.makeConfigMap("-\(number)") }
            let name = bench.name
            let gate = Gate()
            bench.proxy.when(.any, .always, .hold(gate))
            async let names = bench.withClient { client in
                let requests = (0..<5).map {
                    APIRequest.get(.configMaps, namespace: "default", name: "\(name)-\($0)")
                }
                return try zip(requests, client.transport.perform(requests, deadline: .soon)).map {
                    try interpret($1, to: $0).get().metadataValue.name
                }
            }
            // Each one waits for the others, so none is made after another.
            try await gate.reached(5)
            #expect(bench.proxy.connectionCount == 1)
            gate.open()
            #expect(try await names == (0..<5).map { "\(name)-\($0)" })
        }
    }

    @Test(arguments: [1, 7])
    func `429 is asked again after the time that the server says, and not before`(seconds: Int) async throws {
        try await ClientBench.run { bench in
            bench.proxy.when(.any, .first(2), .tooManyRequests(retryAfterSeconds: seconds))
            let (name, object) = (bench.name, bench.configMap())
            let pauses = try await bench.controlPlane.withConnection(bench.configuration) { connection in
                let clock = SleeplessTransport(connection)
                // A create is asked again too: 429 says that nothing was done.
                _ = try Client(clock).create(
                    .configMaps, namespace: "default", name: name, object: object, deadline: .soon)
                return clock.pauses
            }
            #expect(pauses.count == 2)
            // Less the time that passed before they were looked at.
            #expect(pauses.allSatisfy { $0 > .seconds(seconds) - .milliseconds(900) && $0 < .seconds(seconds + 2) })
            #expect(bench.proxy.log.map(\.fate) == [429, 429].map { .invented(status: $0) } + [.answered(status: 201)])
        }
    }

    @Test func `a create of which nothing was heard is not sent again`() async throws {
        try await ClientBench.run { bench in
            bench.proxy.when(.mutation, .always, .dropAnswer())
            let (name, object) = (bench.name, bench.configMap())
            try await bench.withClient { client in
                let error = try failure {
                    try client.create(.configMaps, namespace: "default", name: name, object: object, deadline: .soon)
                }
                #expect(error.mayHaveCommitted)
            }
            #expect(bench.proxy.log.count == 1)
            #expect(try await bench.readConfigMap() != nil)
        }
    }

    @Test func `a create that cannot have been made is sent again`() async throws {
        try await ClientBench.run { bench in
            await bench.proxy.suspend()
            let (name, object) = (bench.name, bench.configMap())
            let isBack = Gate()
            try await bench.controlPlane.withConnection(bench.configuration) { connection in
                let clock = SleeplessTransport(connection) { isBack.pass {} }
                let error = try failure {
                    try Client(clock).create(
                        .configMaps, namespace: "default", name: name, object: object, deadline: .now() + .seconds(3))
                }
                guard case .gaveUp(let attempts, _) = error else { throw error }
                #expect(attempts.count > 2)
                #expect(!attempts.mayHaveCommitted)
            }
            #expect(isBack.arrivals > 1, "it paused between attempts")
            try await bench.proxy.resume()
        }
    }

    @Test func `a conditional delete of which nothing was heard is sent again, and is found to be made`() async throws {
        try await ClientBench.run { bench in
            let made = try await bench.makeConfigMap().metadataValue
            bench.proxy.when(.mutation, .first(1), .dropAnswer())
            let name = bench.name
            try await bench.withClient { client in
                let error = try failure {
                    try client.delete(
                        .configMaps, namespace: "default", name: name,
                        preconditions: Preconditions(uid: made.uid, resourceVersion: made.resourceVersion),
                        deadline: .soon)
                }
                #expect(error.disposition == .notFound)
                #expect(error.mayHaveCommitted, "it says that the first attempt may have done it")
            }
            #expect(bench.proxy.log.count == 2)
            #expect(try await bench.readConfigMap() == nil)
        }
    }

    @Test func `writes carry a time-out below the deadline, and reads none`() async throws {
        try await ClientBench.run { bench in
            let (name, object) = (bench.name, bench.configMap())
            try await bench.withClient { client in
                let deadline = Moment.now() + .seconds(20)
                _ = try client.create(.configMaps, namespace: "default", name: name, object: object, deadline: deadline)
                _ = try client.get(.configMaps, namespace: "default", name: name, deadline: deadline)
                try client.delete(
                    .configMaps, namespace: "default", name: name, preconditions: nil,
                    deadline: .now() + .seconds(10))
            }
            let timeouts = bench.proxy.log.map { $0.request.queryValue("timeout") }
            let created = try #require(timeouts.first??.dropLast()).description
            #expect((1...17).contains(try #require(Int(created))), "nine tenths of less than 20 s")
            #expect(timeouts[1] == nil)
            let deleted = try #require(timeouts.last ?? nil)
            #expect((1...9).contains(try #require(Int(deleted.dropLast()))), "\(deleted)")
        }
    }

    @Test func `a server that never answers is given up at the deadline`() async throws {
        try await ClientBench.run { bench in
            bench.proxy.when(.any, .always, .hang)
            try await bench.withClient { client in
                let error = try failure {
                    try client.get(.namespaces, name: "default", deadline: .now() + .seconds(4))
                }
                guard case .transport(let failure, _) = error else { throw error }
                #expect(failure.kind == .timeout)
            }
            try await bench.proxy.waitFor("the client to go") { $0.first?.clientHasGone == true }
        }
    }

    static let oddities: [(FaultAction, Disposition)] = [
        (.html(status: 200), .transient(retryAfter: nil)), (.html(status: 404), .transient(retryAfter: nil)),
        (.respond(status: 200, headers: [("content-type", "application/json")]), .invalid),
        (.respond(status: 302, headers: [("location", "https://127.0.0.1:1/")]), .transient(retryAfter: nil)),
        (
            .respond(status: 200, headers: [("content-type", "application/json")], body: Array("[1]".utf8)),
            .transient(retryAfter: nil)
        ),
    ]

    @Test(arguments: oddities.indices) func `what no API server says is no answer`(index: Int) async throws {
        try await ClientBench.run { bench in
            let (action, disposition) = Self.oddities[index]
            bench.proxy.when(.any, .always, action)
            try await bench.withClient { client in
                let error = try failure { try client.transport.call(.get(.namespaces, name: "default")) }
                #expect(error.disposition == disposition)
            }
        }
    }
}

/// A transport that pauses for no time: its clock jumps to where the pause would have ended.
private final class SleeplessTransport: Transport {
    private let base: any Transport
    private let onPause: () -> Void
    private var skipped = Duration.zero
    private(set) var pauses: [Duration] = []

    init(_ base: any Transport, onPause: @escaping () -> Void = {}) {
        self.base = base
        self.onPause = onPause
    }

    func perform(_ requests: [APIRequest], deadline: Moment) -> [Reply] {
        base.perform(requests, deadline: deadline - skipped)
    }

    func now() -> Moment { base.now() + skipped }

    func sleep(until moment: Moment) {
        let pause = moment - now()
        pauses.append(pause)
        skipped += max(pause, .zero)
        onPause()
    }
}
