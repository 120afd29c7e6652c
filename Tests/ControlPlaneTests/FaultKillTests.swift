import IPAMAPI
import IPAddressing
import JSONText
import TestSupport
import Testing

/// SIGKILL at every step of a call.
@Suite("Killed calls", .controlPlane, .timeLimit(.minutes(10)))
struct FaultKillTests {
    /// Where a call is held when it is killed.
    struct Step: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let matcher: RequestMatcher
        /// The request was carried out, and its answer is held; else the request itself is.
        let isAfter: Bool

        init(_ description: String, _ matcher: RequestMatcher, isAfter: Bool) {
            testDescription = description
            self.matcher = matcher
            self.isAfter = isAfter
        }

        func action(_ gate: Gate) -> FaultAction { isAfter ? .holdAnswer(gate) : .hold(gate) }
    }

    static let claimSteps = [
        Step("before the reads", .method("GET"), isAfter: false),
        Step("after the reads", .method("GET"), isAfter: true),
        Step("before the creates are carried out", .create, isAfter: false),
        Step("after the creates", .create, isAfter: true),
        Step("after the first family's create", .create && .body(contains: "-v4"), isAfter: true),
        Step("before the second family's create", .create && .body(contains: "-v6"), isAfter: false),
    ]

    @Test(arguments: claimSteps, [true, false])
    func `a killed ADD leaves nothing that its DELs do not free`(step: Step, deletesFirst: Bool) async throws {
        try await ClaimBench.run { bench in
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6))
            let sandbox = try bench.node.newSandbox()
            let gate = Gate()
            let rule = bench.proxy.when(step.matcher, .always, step.action(gate))
            let call = try bench.start("ADD", sandbox, v4, v6)
            try await gate.reached()
            if !step.testDescription.contains("family") { try await gate.reached(2) }
            call.kill()
            #expect(await call.outcome().process.ending == .signalled(9))
            rule.remove()
            let held = gate.arrivals
            if deletesFirst { try await bench.del(sandbox, v4, v6) }
            gate.open()
            try await bench.proxy.waitFor("what was held") { log in
                log.count { step.matcher.matches($0.request) && $0.fate.serverStatus != nil } >= held
            }
            if !deletesFirst { try await bench.del(sandbox, v4, v6) }
            // What was created after its own DEL is freed by one of another sandbox of the node.
            #expect(try await bench.carryOut { try await bench.areFree(v4, v6) } != nil)
            #expect(try await bench.allocations(v4).isEmpty, "what was never returned does not cool")
            #expect(try await bench.allocations(v6).isEmpty)
        }
    }

    static let takeOverSteps = [
        Step("before the read of what cools", .readAllocation, isAfter: false),
        Step("before the take-over is carried out", .takeOver, isAfter: false),
        Step("after the take-over", .takeOver, isAfter: true),
    ]

    @Test(arguments: takeOverSteps, [true, false])
    func `a killed take-over leaves nothing that its DELs do not free`(step: Step, deletesFirst: Bool) async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(size: 1)
            try await bench.enter(pool.addresses[0], of: pool, .cooling)
            let sandbox = try bench.node.newSandbox()
            let gate = Gate()
            let rule = bench.proxy.when(step.matcher, .always, step.action(gate))
            let call = try bench.start("ADD", sandbox, pool)
            try await gate.reached()
            call.kill()
            _ = await call.outcome()
            rule.remove()
            if deletesFirst { try await bench.del(sandbox, pool) }
            gate.open()
            try await bench.proxy.waitFor("what was held") { log in
                log.contains { step.matcher.matches($0.request) && $0.fate.serverStatus != nil }
            }
            if !deletesFirst { try await bench.del(sandbox, pool) }
            #expect(try await bench.carryOut { try await bench.areFree(pool) } != nil)
        }
    }

    static let releaseSteps = [
        Step("before the release is carried out", .cool || .remove, isAfter: false),
        Step("after the release", .cool || .remove, isAfter: true),
        Step("before the first family's release", (.cool || .remove) && .path(matching: "/10\\."), isAfter: false),
        Step("after the first family's release", (.cool || .remove) && .path(matching: "/10\\."), isAfter: true),
    ]

    @Test(arguments: releaseSteps, ["10s", "0s"])
    func `a killed DEL leaves nothing that the next one does not free`(step: Step, cooldown: String) async throws {
        try await ClaimBench.run { bench in
            let v4 = try await bench.makePool(.v4, cooldown: cooldown)
            let v6 = try await bench.makePool(.v6, cooldown: cooldown)
            let sandbox = try bench.node.newSandbox()
            let added = try await bench.add(sandbox, v4, v6).checked()
            let gate = Gate()
            let rule = bench.proxy.when(step.matcher, .always, step.action(gate))
            let call = try bench.start("DEL", sandbox, v4, v6)
            try await gate.reached()
            if !step.testDescription.contains("family") { try await gate.reached(2) }
            call.kill()
            #expect(await call.outcome().process.ending == .signalled(9))
            rule.remove()
            try await bench.del(sandbox, v4, v6, previous: added)
            #expect(try await bench.areFree(v4, v6))
            #expect(bench.node.journalEntries.isEmpty)
            // The first release comes to nothing, for another has the addresses by now.
            let states = try await bench.allocations(v4).map(\.spec.state)
            #expect(states == (cooldown == "0s" ? [] : [.cooling]))
            gate.open()
        }
    }

    @Test func `a roll-back that is killed leaves nothing that the DEL does not free`() async throws {
        try await ClaimBench.run { bench in
            let (v4, v6) = (try await bench.makePool(.v4, size: 1), try await bench.makePool(.v6))
            try await bench.enter(v4.addresses[0], of: v4)
            let sandbox = try bench.node.newSandbox()
            let gate = Gate()
            let rule = bench.proxy.when(.remove, .always, .hold(gate))
            let call = try bench.start("ADD", sandbox, v4, v6)
            try await gate.reached()
            call.kill()
            _ = await call.outcome()
            rule.remove()
            #expect(try await bench.holders(v6).count == 1)
            try await bench.del(sandbox, v4, v6)
            #expect(try await bench.allocations(v6).isEmpty)
            gate.open()
        }
    }

    @Test func `the journal's rebuilding may be killed and is begun again`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox()
            try await bench.add(sandbox, pool).checked()
            try Files.removeTree(bench.node.journal)
            bench.proxy.clearLog()
            let gate = Gate()
            let rule = bench.proxy.when(.listAllocations, .first(1), .holdAnswer(gate))
            let call = try bench.start("DEL", sandbox, pool)
            try await gate.reached()
            call.kill()
            _ = await call.outcome()
            rule.remove()
            try await bench.del(sandbox, pool)
            #expect(try await bench.areFree(pool))
            #expect(bench.proxy.log.lists.count == 2)
            gate.open()
        }
    }
}
