import IPAMAPI
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// One fault on the way to the API server and back, at each kind of request, over HTTP/2 and HTTP/1.1.
@Suite("A fault that passes", .controlPlane, .timeLimit(.minutes(10)))
struct FaultAnswerTests {
    struct Fault: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let action: FaultAction

        init(_ description: String, _ action: FaultAction) {
            testDescription = description
            self.action = action
        }
    }

    /// After each of these the same request is right, once it is known what became of the first.
    static let faults = [
        Fault("the answer and the connection lost", .dropAnswer()),
        Fault("the answer and its stream lost", .dropAnswer(.stream)),
        Fault("the answer cut after its head", .cutAnswer(afterBytes: 0)),
        Fault("the answer cut in the middle", .cutAnswer(afterBytes: 40, .stream)),
        Fault("the request and the connection lost", .dropBeforeForward()),
        Fault("the request and its stream lost", .dropBeforeForward(.stream)),
        Fault("a refused stream", .refuseStream),
        Fault("a delay", .delay(.milliseconds(300))),
        Fault("429", .tooManyRequests(retryAfterSeconds: 1)),
        Fault("500", .internalError),
        Fault("503", .serviceUnavailable),
        Fault("504", .serverTimeout),
        Fault("HTML as a success", .html(status: 200)),
        Fault("HTML of a load balancer", .html(status: 502)),
        Fault("404 of something else", .html(status: 404)),
    ]

    @Test(arguments: faults, [true, false])
    func `an ADD gets through with one address`(fault: Fault, speaksHTTP2: Bool) async throws {
        try await ClaimBench.run(speaksHTTP2: speaksHTTP2) { bench in
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6))
            let rule = bench.proxy.when(.create && .body(contains: v4.name), .first(1), fault.action)
            let sandbox = try bench.node.newSandbox()
            let added = try await bench.add(sandbox, v4, v6).checked()
            #expect(rule.hits == 1)
            #expect(try await bench.holders(v4) == [added.addresses[0]: sandbox.attachment()])
            #expect(try await bench.holders(v6) == [added.addresses[1]: sandbox.attachment()])
            #expect(try await bench.allocations(v4).count == 1)
            #expect(bench.proxy.log.allSatisfy { $0.request.httpVersion == (speaksHTTP2 ? "2" : "1.1") })
            try await bench.delUntilDone(sandbox, v4, v6)
            #expect(try await bench.holders(v4).isEmpty)
            #expect(try await bench.holders(v6).isEmpty)
        }
    }

    @Test(arguments: faults)
    func `an ADD whose reads meet it gets through`(fault: Fault) async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let reads = bench.proxy.when(.method("GET"), .first(3), fault.action)
            let sandbox = try bench.node.newSandbox(pod: try await bench.newPod())
            let added = try await bench.add(sandbox, pool).checked()
            #expect(reads.hits >= 2)
            #expect(try await bench.holders(pool) == [added.addresses[0]: sandbox.attachment()])
        }
    }

    @Test(arguments: faults, ["10s", "0s"])
    func `a DEL whose write meets it frees the address`(fault: Fault, cooldown: String) async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(cooldown: cooldown)
            let sandbox = try bench.node.newSandbox()
            try await bench.add(sandbox, pool).checked()
            let rule = bench.proxy.when(cooldown == "0s" ? .remove : .cool, .first(1), fault.action)
            try await bench.del(sandbox, pool)
            #expect(rule.hits == 1)
            #expect(try await bench.holders(pool).isEmpty)
            #expect(try await bench.allocations(pool).count == (cooldown == "0s" ? 0 : 1))
            #expect(bench.node.journalEntries.isEmpty)
            #expect(bench.node.pendingReleases.isEmpty)
        }
    }

    @Test(arguments: faults)
    func `a take-over whose write meets it ends with one holder`(fault: Fault) async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(size: 1)
            try await bench.enter(pool.addresses[0], of: pool, .cooling)
            let rule = bench.proxy.when(.takeOver, .first(1), fault.action)
            let sandbox = try bench.node.newSandbox()
            let added = try await bench.add(sandbox, pool).checked()
            #expect(rule.hits == 1)
            #expect(added.addresses == pool.addresses)
            #expect(try await bench.holders(pool) == [pool.addresses[0]: sandbox.attachment()])
        }
    }

    @Test(arguments: [FaultAction.alreadyExists, .conflict])
    func `a create that is refused for no reason costs another address at most`(action: FaultAction) async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            bench.proxy.when(.create, .first(1), action)
            let sandbox = try bench.node.newSandbox()
            let outcome = try await bench.add(sandbox, pool)
            if outcome.succeeded {
                #expect(try await bench.holders(pool) == [outcome.addresses[0]: sandbox.attachment()])
            } else {
                #expect(outcome.code == PluginCode.tryAgainLater)
                #expect(try await bench.holders(pool).isEmpty)
            }
        }
    }

    @Test func `a release refused as stale is decided anew, on a read`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox()
            let added = try await bench.add(sandbox, pool).checked()
            // A label of an administrator's makes another version.
            try await bench.edit(added.addresses[0], ["metadata": ["labels": ["a": "b"]]])
            bench.proxy.clearLog()
            try await bench.del(sandbox, pool)
            #expect(
                bench.proxy.log.verbs == ["patch ipallocations", "get ipallocations", "patch ipallocations"])
            #expect(bench.proxy.log.statuses("patch") == [409, 200])
            let released = try #require(try await bench.controlPlane.allocation(added.addresses[0]))
            #expect(released.spec.attachment == nil)
            #expect(released.metadata.labels["a"] == "b")
        }
    }
}
