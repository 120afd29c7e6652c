import IPAMAPI
import IPAddressing
import JSONText
import TestSupport
import Testing

/// Faults that last as long as the call: it ends in time with the right code, and nothing of it is left after its DEL.
@Suite("A fault that lasts", .controlPlane, .timeLimit(.minutes(10)))
struct FaultLastingTests {
    struct Fault: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let matcher: RequestMatcher
        let action: FaultAction
        let code: Int

        init(_ description: String, _ matcher: RequestMatcher, _ action: FaultAction, _ code: Int) {
            testDescription = description
            self.matcher = matcher
            self.action = action
            self.code = code
        }
    }

    static let faults = [
        Fault("creates hang", .create, .hang, PluginCode.tryAgainLater),
        Fault("everything hangs", .any, .hang, PluginCode.tryAgainLater),
        Fault("the answers to creates are lost", .create || .readAllocation, .dropAnswer(), PluginCode.tryAgainLater),
        Fault("all answers are lost", .any, .dropAnswer(.stream), PluginCode.tryAgainLater),
        Fault("creates are lost", .create, .dropBeforeForward(), PluginCode.tryAgainLater),
        Fault("creates end in 500", .create, .internalError, PluginCode.tryAgainLater),
        Fault("everything ends in 503", .any, .serviceUnavailable, PluginCode.tryAgainLater),
        Fault("everything is asked to wait", .any, .tooManyRequests(retryAfterSeconds: 1), PluginCode.tryAgainLater),
        Fault("a load balancer answers", .any, .html(status: 502), PluginCode.tryAgainLater),
        Fault("a captive portal answers", .any, .html(status: 200), PluginCode.tryAgainLater),
        Fault("the kinds are not served", .any, .html(status: 404), PluginCode.tryAgainLater),
        Fault("the token is not accepted", .any, .unauthorized, PluginCode.tryAgainLater),
        Fault("creates are forbidden", .create, .forbidden, PluginCode.forbidden),
        Fault("reads are forbidden", .readPool, .forbidden, PluginCode.forbidden),
    ]

    @Test(arguments: faults)
    func `an ADD fails with the right code and leaves nothing`(fault: Fault) async throws {
        try await ClaimBench.run(settings: ["timeoutSeconds": 5]) { bench in
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6))
            let rule = bench.proxy.when(fault.matcher, .always, fault.action)
            let sandbox = try bench.node.newSandbox()
            let outcome = try await bench.add(sandbox, v4, v6)
            #expect(rule.hits > 0)
            #expect(outcome.code == fault.code, "\(outcome)")
            #expect(outcome.failure?.message.isEmpty == false)
            bench.proxy.removeRules()
            try await bench.delUntilDone(sandbox, v4, v6)
            #expect(try await bench.holders(v4).isEmpty)
            #expect(try await bench.holders(v6).isEmpty)
        }
    }

    @Test(arguments: faults)
    func `a DEL succeeds all the same, and a later one of the node frees the addresses`(fault: Fault) async throws {
        try await ClaimBench.run { bench in
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6))
            let sandbox = try bench.node.newSandbox()
            let added = try await bench.add(sandbox, v4, v6).checked()
            bench.proxy.when(.any, .always, fault.action)
            try await bench.del(sandbox, v4, v6, previous: added)
            // Some of these faults come after the write was made, and then nothing is left to do but to find that out.
            #expect(bench.node.pendingReleases == [sandbox.attachment().digest])
            bench.proxy.removeRules()
            let attempts = try await bench.carryOut { bench.node.pendingReleases.isEmpty }
            #expect(attempts != nil)
            #expect(try await bench.holders(v4).isEmpty)
            #expect(try await bench.holders(v6).isEmpty)
            #expect(bench.node.journalEntries.isEmpty)
        }
    }

    @Test func `while the server cannot be reached, DELs succeed, and one after it is back frees all`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            var sandboxes: [TestSandbox] = []
            for _ in 0..<4 {
                sandboxes.append(try bench.node.newSandbox())
                try await bench.add(sandboxes[sandboxes.count - 1], pool).checked()
            }
            await bench.proxy.suspend()
            for sandbox in sandboxes { try await bench.del(sandbox, pool) }
            #expect(bench.node.pendingReleases == Set(sandboxes.map { $0.attachment().digest }))
            #expect(try await bench.holders(pool).count == 4)
            try await bench.proxy.resume()
            #expect(try await bench.carryOut { bench.node.pendingReleases.isEmpty } != nil)
            #expect(try await bench.holders(pool).isEmpty)
            #expect(bench.node.journalEntries.isEmpty)
        }
    }

    @Test func `while the server cannot be reached, an ADD answers 11 and leaves nothing`() async throws {
        try await ClaimBench.run(settings: ["timeoutSeconds": 4]) { bench in
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox()
            await bench.proxy.suspend()
            let outcome = try await bench.add(sandbox, pool)
            #expect(outcome.code == PluginCode.tryAgainLater)
            #expect(outcome.failure?.message.contains("127.0.0.1:\(bench.proxy.port)") == true)
            #expect(bench.node.journalEntries.isEmpty)
            try await bench.del(sandbox, pool)
            #expect(bench.node.pendingReleases.isEmpty, "it never asked for a name, so there is nothing to release")
            try await bench.proxy.resume()
            #expect(try await bench.allocations(pool).isEmpty)
        }
    }

    @Test func `a server that vanishes between the reads and the create costs nothing`() async throws {
        try await ClaimBench.run(settings: ["timeoutSeconds": 8]) { bench in
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox()
            let gate = Gate()
            bench.proxy.when(.create, .always, .hold(gate))
            let call = try bench.start("ADD", sandbox, pool)
            try await gate.reached()
            await bench.proxy.suspend()
            #expect(await call.outcome().code == PluginCode.tryAgainLater)
            // The request was on its way when the connection broke, and arrives.
            gate.open()
            try await bench.proxy.waitFor("the create") { log in log.statuses("create") == [201] }
            try await bench.proxy.resume()
            #expect(try await bench.holders(pool).count == 1)
            #expect(bench.node.pendingReleases == [sandbox.attachment().digest])
            try await bench.del(sandbox, pool)
            #expect(try await bench.allocations(pool).isEmpty)
        }
    }
}
