import IPAMAPI
import IPAddressing
import JSONText
import TestSupport
import Testing

/// Writes that reach the API server long after the one who sent them has given up.
@Suite("Late writes", .controlPlane, .timeLimit(.minutes(10)))
struct FaultLateWriteTests {
    @Test
    func `a create carried out after its DEL said success is freed by a later DEL of the node, and by no other's`()
        async throws
    {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox()
            let gate = Gate()
            bench.proxy.when(.create, .first(1), .hold(gate))
            let call = try bench.start("ADD", sandbox, pool)
            try await gate.reached()
            call.kill()
            _ = await call.outcome()
            try await bench.del(sandbox, pool)
            // One 404 proves nothing while the create may still arrive.
            #expect(bench.proxy.log.statuses("get") == [404])
            #expect(bench.node.pendingReleases == [sandbox.attachment().digest])

            gate.open()
            try await bench.proxy.waitFor("the create") { $0.statuses("create").contains(201) }
            #expect(try await Array(bench.holders(pool).values) == [sandbox.attachment()])
            try await bench.withNode { other in
                let attempts = try await bench.carryOut(on: other, attempts: 3) { try await bench.areFree(pool) }
                #expect(attempts == nil)
            }
            #expect(try await Array(bench.holders(pool).values) == [sandbox.attachment()])
            #expect(try await bench.carryOut { try await bench.areFree(pool) } != nil)
            #expect(try await bench.allocations(pool).isEmpty)
        }
    }

    @Test func `repeated DELs free it as well`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox()
            let gate = Gate()
            bench.proxy.when(.create, .first(1), .hold(gate))
            let call = try bench.start("ADD", sandbox, pool)
            try await gate.reached()
            call.kill()
            _ = await call.outcome()
            for _ in 1...3 { try await bench.del(sandbox, pool) }
            gate.open()
            try await bench.proxy.waitFor("the create") { $0.statuses("create").contains(201) }
            try await bench.del(sandbox, pool)
            #expect(try await bench.allocations(pool).isEmpty)
        }
    }

    /// The client repeats a create of which it heard nothing; the second succeeds while the first is still under way.
    @Test(arguments: ["10s", "0s"])
    func `a create that its repetition overtook is freed when it is carried out after the DEL`(
        cooldown: String
    ) async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(size: 1, cooldown: cooldown)
            let sandbox = try bench.node.newSandbox()
            let gate = Gate()
            bench.proxy.when(.create, .first(1), .hold(gate))
            let call = try bench.start("ADD", sandbox, pool)
            try await gate.reached()
            await bench.proxy.resetConnections()
            let added = try await call.outcome().checked()
            #expect(bench.proxy.log.statuses("create") == [201])
            try await bench.del(sandbox, pool, previous: added)
            #expect(try await bench.areFree(pool))
            // As the controller does at the end of the cooldown.
            if cooldown != "0s" { try await bench.deleteAllocation(pool.addresses[0]) }

            gate.open()
            try await bench.proxy.waitFor("the first create") { $0.statuses("create") == [201, 201] }
            #expect(try await bench.holders(pool) == [pool.addresses[0]: sandbox.attachment()])
            #expect(try await bench.carryOut { try await bench.areFree(pool) } != nil)
        }
    }

    /// A name that was given up, because another got it, while a create of it was under way.
    @Test func `a create of a name that was given up is freed when it is carried out`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(size: 2, strategy: .sequential)
            try await bench.publish(pool, free: Set(pool.addresses))
            let sandbox = try bench.node.newSandbox()
            let gate = Gate()
            bench.proxy.when(.create, .first(1), .hold(gate))
            let call = try bench.start("ADD", sandbox, pool)
            try await gate.reached()
            let other = try await bench.enter(pool.addresses[0], of: pool)
            await bench.proxy.resetConnections()
            let added = try await call.outcome().checked()
            #expect(added.addresses == [pool.addresses[1]])
            try await bench.del(sandbox, pool, previous: added)
            #expect(try await bench.allocations(pool).filter { $0.spec.attachment != nil } == [other])

            // The other one goes, and then the create of long ago arrives.
            try await bench.deleteAllocation(pool.addresses[0])
            gate.open()
            try await bench.proxy.waitFor("the first create") { $0.statuses("create").sorted() == [201, 201, 409] }
            #expect(try await bench.holders(pool) == [pool.addresses[0]: sandbox.attachment()])
            #expect(try await bench.carryOut { try await bench.areFree(pool) } != nil)
        }
    }

    @Test func `a take-over carried out after its DEL said success is freed by a later DEL of the node`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(size: 1)
            try await bench.enter(pool.addresses[0], of: pool, .cooling)
            let sandbox = try bench.node.newSandbox()
            let gate = Gate()
            bench.proxy.when(.takeOver, .first(1), .hold(gate))
            let call = try bench.start("ADD", sandbox, pool)
            try await gate.reached()
            call.kill()
            _ = await call.outcome()
            try await bench.del(sandbox, pool)
            #expect(bench.node.pendingReleases == [sandbox.attachment().digest])
            gate.open()
            try await bench.proxy.waitFor("the take-over") { $0.statuses("update") == [200] }
            #expect(try await bench.holders(pool) == [pool.addresses[0]: sandbox.attachment()])
            #expect(try await bench.carryOut { try await bench.areFree(pool) } != nil)
        }
    }

    /// Of an attachment that is added again meanwhile, as a runtime does that connects a container anew.
    @Test(arguments: ["10s", "0s"])
    func `a release carried out after the attachment was added again leaves it its address`(
        cooldown: String
    ) async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(cooldown: cooldown)
            let sandbox = try bench.node.newSandbox()
            let first = try await bench.add(sandbox, pool).checked()
            let gate = Gate()
            let release = cooldown == "0s" ? RequestMatcher.remove : .cool
            bench.proxy.when(release, .first(1), .hold(gate))
            try await bench.del(sandbox, pool, previous: first)
            #expect(bench.node.pendingReleases == [sandbox.attachment().digest])

            let again = try await bench.add(sandbox, pool).checked()
            gate.open()
            try await bench.proxy.waitFor("the release") { log in
                log.first { release.matches($0.request) }?.fate.serverStatus != nil
            }
            #expect(try await bench.holders(pool) == [again.addresses[0]: sandbox.attachment()])
            try await bench.delUntilDone(sandbox, pool)
            #expect(try await bench.areFree(pool))
        }
    }

    @Test func `a roll-back carried out after the attachment was added again leaves it its address`() async throws {
        try await ClaimBench.run { bench in
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6, size: 1))
            try await bench.enter(v6.addresses[0], of: v6)
            let sandbox = try bench.node.newSandbox()
            let gate = Gate()
            bench.proxy.when(.remove, .first(1), .hold(gate))
            let failing = try bench.start("ADD", sandbox, v4, v6)
            try await gate.reached()
            failing.kill()
            _ = await failing.outcome()
            try await bench.deleteAllocation(v6.addresses[0])
            try Files.removeTree("\(bench.node.journal)/pools")
            try Files.makeFolder("\(bench.node.journal)/pools")

            let again = try await bench.add(sandbox, v4, v6).checked()
            gate.open()
            try await bench.proxy.waitFor("the roll-back") { !$0.statuses("delete").isEmpty }
            #expect(try await bench.holders(v4) == [again.addresses[0]: sandbox.attachment()])
            try await bench.delUntilDone(sandbox, v4, v6)
            #expect(try await bench.areFree(v4, v6))
        }
    }
}
