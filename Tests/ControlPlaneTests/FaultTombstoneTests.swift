import IPAMAPI
import IPAddressing
import JSONText
import TestSupport
import Testing

/// A DEL while the ADD of the same attachment is under way.
@Suite("A DEL during the ADD", .controlPlane, .timeLimit(.minutes(10)))
struct FaultTombstoneTests {
    @Test(arguments: [true, false])
    func `a DEL that cannot wait succeeds, and the ADD takes itself back`(isCommitted: Bool) async throws {
        try await ClaimBench.run { bench in
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6))
            let sandbox = try bench.node.newSandbox()
            let gate = Gate()
            bench.proxy.when(.create, .always, isCommitted ? .holdAnswer(gate) : .hold(gate))
            let add = try bench.start("ADD", sandbox, v4, v6)
            try await gate.reached(2)
            let before = bench.proxy.log.count
            try await bench.del(sandbox, v4, v6)
            #expect(bench.proxy.log.count == before, "it did nothing behind the back of the ADD")
            #expect(bench.node.pendingReleases == [sandbox.attachment().digest])
            gate.open()
            let outcome = await add.outcome()
            #expect(outcome.code == PluginCode.tryAgainLater)
            #expect(outcome.failure?.message.contains("was deleted while its ADD was under way") == true)
            #expect(try await bench.allocations(v4).isEmpty)
            #expect(try await bench.allocations(v6).isEmpty)
            #expect(bench.node.journalEntries.isEmpty)
            #expect(bench.node.pendingReleases.isEmpty)
        }
    }

    @Test func `a DEL that gave up waiting leads a later one to what the ADD left when it was killed`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox()
            let gate = Gate()
            bench.proxy.when(.create, .first(1), .holdAnswer(gate))
            let add = try bench.start("ADD", sandbox, pool)
            try await gate.reached()
            try await bench.del(sandbox, pool)
            add.kill()
            _ = await add.outcome()
            gate.open()
            #expect(try await bench.holders(pool).count == 1)
            #expect(try await bench.carryOut { try await bench.areFree(pool) } != nil)
            #expect(try await bench.allocations(pool).isEmpty)
        }
    }

    @Test func `a DEL that can wait frees what the ADD returned`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox()
            let (create, release) = (Gate("create"), Gate("release"))
            bench.proxy.when(.create, .always, .holdAnswer(create))
            bench.proxy.when(.cool || .remove, .always, .hold(release))
            let add = try bench.start("ADD", sandbox, pool)
            try await create.reached()
            let del = try bench.start("DEL", sandbox, pool)
            create.open()
            // Whether the DEL came to wait or began after the ADD had ended, or the ADD found the tombstone.
            let added = await add.outcome()
            release.open()
            try await del.outcome().checked()
            #expect(added.succeeded || added.code == PluginCode.tryAgainLater)
            try await bench.delUntilDone(sandbox, pool)
            #expect(try await bench.areFree(pool))
        }
    }

    @Test func `an ADD that waits for a DEL of its attachment is refused when its turn comes`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox()
            try await bench.add(sandbox, pool).checked()
            let gate = Gate()
            bench.proxy.when(.cool, .always, .hold(gate))
            let del = try bench.start("DEL", sandbox, pool)
            try await gate.reached()
            bench.proxy.clearLog()
            let add = try bench.start("ADD", sandbox, pool)
            gate.open()
            try await del.outcome().checked()
            let outcome = await add.outcome()
            // The ADD began before the DEL had ended or after it; in neither case is anything left unknown.
            if outcome.succeeded {
                #expect(try await bench.holders(pool) == [outcome.addresses[0]: sandbox.attachment()])
            } else {
                #expect(outcome.code == PluginCode.tryAgainLater)
                #expect(try await bench.areFree(pool))
            }
            try await bench.delUntilDone(sandbox, pool)
            #expect(try await bench.areFree(pool))
        }
    }

    @Test func `DELs of one sandbox at once make one release`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox()
            try await bench.add(sandbox, pool).checked()
            bench.proxy.clearLog()
            let gate = Gate()
            bench.proxy.when(.any, .always, .holdAnswer(gate))
            let calls = try (0..<4).map { _ in try bench.start("DEL", sandbox, pool) }
            try await gate.reached()
            gate.open()
            for call in calls { try await call.outcome().checked() }
            #expect(bench.proxy.log.verbs == ["patch ipallocations"])
            #expect(try await bench.areFree(pool))
            #expect(bench.node.pendingReleases.isEmpty)
        }
    }
}
