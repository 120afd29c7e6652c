import IPAMAPI
import IPAddressing
import JSONText
import TestSupport
import Testing

/// A second ADD of the same attachment.
@Suite("Repeated ADDs", .controlPlane, .timeLimit(.minutes(10)))
struct ClaimRepeatTests {
    @Test func `a second ADD returns what the first one got, and writes nothing`() async throws {
        try await ClaimBench.run { bench in
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6))
            let sandbox = try bench.node.newSandbox()
            let first = try await bench.add(sandbox, v4, v6).checked()
            let before = try await bench.allocations(v4) + bench.allocations(v6)
            bench.proxy.clearLog()
            let second = try await bench.add(sandbox, v4, v6).checked()
            #expect(second.result == first.result)
            #expect(bench.proxy.log.allSatisfy { $0.request.method == "GET" })
            #expect(try await bench.allocations(v4) + bench.allocations(v6) == before)
        }
    }

    /// Of the old ranges, and of a pool that takes no new claims: the sandbox runs with it.
    @Test(arguments: [["ranges": ["other"]], ["exclude": ["held"]], ["disabled": true]] as [JSON])
    func `a second ADD returns what is held after the pool was edited`(edit: JSON) async throws {
        try await ClaimBench.run { bench in
            let (pool, next) = (try await bench.makePool(), try await bench.makePool())
            let sandbox = try bench.node.newSandbox()
            let first = try await bench.add(sandbox, pool, next).checked()
            let other = pool.addresses.first { $0 != first.addresses[0] } ?? ""
            var spec = edit
            if edit["ranges"] != nil { spec["ranges"] = [.string(other)] }
            if edit["exclude"] != nil { spec["exclude"] = [.string(first.addresses[0])] }
            try await bench.change(pool, spec)
            let before = try await bench.allocations(pool)
            let second = try await bench.add(sandbox, pool, next).checked()
            #expect(second.result == first.result)
            #expect(try await bench.allocations(pool) == before)
            #expect(try await bench.allocations(next).isEmpty)
            try await bench.del(sandbox, pool, next)
            #expect(try await bench.areFree(pool, next))
        }
    }

    @Test func `two ADDs of one attachment at once get one address`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox()
            let gate = Gate()
            bench.proxy.when(.create, .always, .holdAnswer(gate))
            let calls = [try bench.start("ADD", sandbox, pool), try bench.start("ADD", sandbox, pool)]
            try await gate.reached()
            gate.open()
            let outcomes = [try await calls[0].outcome().checked(), try await calls[1].outcome().checked()]
            #expect(outcomes[0].result == outcomes[1].result)
            #expect(bench.proxy.log.statuses("create") == [201])
            #expect(try await bench.holders(pool) == [outcomes[0].addresses[0]: sandbox.attachment()])
        }
    }

    @Test func `an interface of its own is an attachment of its own`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let first = try bench.node.newSandbox()
            let second = first.with(interface: "net1")
            let addresses = try await bench.add(first, pool).checked().addresses
            let others = try await bench.add(second, pool).checked().addresses
            #expect(addresses != others)
            try await bench.del(first, pool)
            #expect(try await bench.holders(pool) == [others[0]: second.attachment()])
        }
    }

    @Test(arguments: [true, false])
    func `an ADD after one that was killed holds one address, before or after the commit`(
        isCommitted: Bool
    ) async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox()
            let gate = Gate()
            bench.proxy.when(.create, .first(1), isCommitted ? .holdAnswer(gate) : .hold(gate))
            let killed = try bench.start("ADD", sandbox, pool)
            try await gate.reached()
            killed.kill()
            #expect(await killed.outcome().process.ending == .signalled(9))

            let added = try await bench.add(sandbox, pool).checked()
            gate.open()
            try await bench.proxy.waitFor("the first create") { log in
                log.filter("create", "ipallocations.ipam.berth.dev").first?.fate.serverStatus != nil
            }
            #expect(try await bench.holders(pool) == [added.addresses[0]: sandbox.attachment()])
            #expect(bench.proxy.log.statuses("create").first == (isCommitted ? 201 : 409))
            try await bench.delUntilDone(sandbox, pool)
            #expect(try await bench.holders(pool).isEmpty)
        }
    }

    @Test func `a second ADD that wants more and cannot have it leaves the first one's address alone`() async throws {
        try await ClaimBench.run { bench in
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6, size: 1))
            try await bench.enter(v6.addresses[0], of: v6)
            let sandbox = try bench.node.newSandbox()
            let first = try await bench.add(sandbox, v4).checked()
            // The sandbox runs with this address, so that nobody else may get it before a DEL.
            #expect(try await bench.add(sandbox, v4, v6).code == PluginCode.exhausted)
            #expect(try await bench.holders(v4) == [first.addresses[0]: sandbox.attachment()])
            try await bench.del(sandbox, v4, v6)
            let released = try #require(try await bench.controlPlane.allocation(first.addresses[0]))
            #expect(released.spec.state == .cooling)
        }
    }

    @Test func `an ADD of what was deleted gets an address of its own`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox()
            for _ in 0..<3 {
                let added = try await bench.add(sandbox, pool).checked()
                #expect(try await bench.holders(pool) == [added.addresses[0]: sandbox.attachment()])
                try await bench.del(sandbox, pool, previous: added)
                #expect(try await bench.holders(pool).isEmpty)
            }
        }
    }

    @Test func `a DEL of the old sandbox after the ADD of the new one takes the old address only`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let pod = try await bench.newPod()
            let (old, new) = (try bench.node.newSandbox(pod: pod), try bench.node.newSandbox(pod: pod))
            try await bench.add(old, pool).checked()
            let added = try await bench.add(new, pool).checked()
            try await bench.del(old, pool)
            for _ in 0..<2 { try await bench.node.delAgain(old, bench.configuration([pool])).checked() }
            #expect(try await bench.holders(pool) == [added.addresses[0]: new.attachment()])
        }
    }
}
