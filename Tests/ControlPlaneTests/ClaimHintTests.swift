import IPAMAPI
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// How an ADD finds a free address, with and without the occupancy that a controller publishes.
@Suite("Choosing an address", .controlPlane, .timeLimit(.minutes(10)))
struct ClaimHintTests {
    @Test func `with occupancy published, the one free address of many is found at once`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(size: 200)
            try await bench.publish(pool, free: [pool.addresses[77]])
            let added = try await bench.add(try bench.node.newSandbox(), pool).checked()
            #expect(added.addresses == [pool.addresses[77]])
            #expect(bench.proxy.log.verbs == ["get ippools", "create ipallocations"])
        }
    }

    @Test func `occupancy of an older generation is not looked at`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(size: 200)
            try await bench.publish(pool, free: [], generation: 1)
            try await bench.change(pool, ["cooldown": "11s"])
            try await bench.add(try bench.node.newSandbox(), pool).checked()
            // The reservations that its status has are of an older generation, too.
            #expect(bench.proxy.log.verbs == ["get ippools", "list ipreservations", "create ipallocations"])
        }
    }

    /// Nobody but the controller would say that something is free again.
    @Test(arguments: ["0s", "300s"])
    func `occupancy that was full when the last controller ended keeps no address from a pod`(
        cooldown: String
    ) async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(size: 2, cooldown: cooldown)
            let sandbox = try bench.node.newSandbox()
            let added = try await bench.add(sandbox, pool).checked()
            try await bench.enter(try #require(pool.addresses.first { $0 != added.addresses[0] }), of: pool)
            try await bench.publish(pool, free: [])
            try await bench.del(sandbox, pool, previous: added)
            bench.proxy.clearLog()
            let next = try await bench.add(try bench.node.newSandbox(), pool).checked()
            #expect(next.addresses == added.addresses)
            #expect(bench.proxy.log.lists.count <= 1)
        }
    }

    @Test func `stale occupancy costs a refused create and no more`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(strategy: .sequential)
            let (taken, free) = (pool.addresses[3], pool.addresses[8])
            try await bench.publish(pool, free: [taken, free])
            try await bench.enter(taken, of: pool)
            let added = try await bench.add(try bench.node.newSandbox(), pool).checked()
            #expect(added.addresses == [free])
            #expect(bench.proxy.log.allocationNames("create") == [taken, free])
            #expect(bench.proxy.log.statuses("create") == [409, 201])
            #expect(bench.proxy.log.lists.isEmpty)
        }
    }

    @Test func `after a row of refused creates, stale occupancy gives way to a list`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(size: 40)
            let taken = pool.addresses.dropLast()
            try await bench.publish(pool, free: Set(taken))
            for address in taken { try await bench.enter(address, of: pool) }
            let added = try await bench.add(try bench.node.newSandbox(), pool).checked()
            #expect(added.addresses == [pool.addresses[39]])
            let creates = bench.proxy.log.allocationNames("create")
            #expect(Set(creates).count == creates.count, "no address was tried twice")
            #expect(bench.proxy.log.lists.count == 1)
            #expect(creates.count == 17)
        }
    }

    @Test func `without occupancy a few addresses are tried and then the pool is listed, from the cache`() async throws
    {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(size: 40)
            for address in pool.addresses.dropLast() { try await bench.enter(address, of: pool) }
            let last = pool.addresses[39]
            let added = try await bench.add(try bench.node.newSandbox(), pool).checked()
            #expect(added.addresses == [last])
            let creates = bench.proxy.log.allocationNames("create")
            #expect(Set(creates).count == creates.count, "no address was tried twice")
            guard let list = bench.proxy.log.lists.first?.request else {
                // One of the eight was the free one.
                #expect(creates.count <= 8)
                return
            }
            #expect(list.queryValue("resourceVersion") == "0")
            #expect(list.queryValue("labelSelector") == "\(LabelKey.pool)=\(pool.name)")
            #expect(bench.proxy.log.lists.count == 1)
        }
    }

    @Test func `a full pool is told with its figures, by one list`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(size: 20)
            for address in pool.addresses { try await bench.enter(address, of: pool) }
            let outcome = try await bench.add(try bench.node.newSandbox(), pool)
            #expect(outcome.code == PluginCode.exhausted)
            let message = try #require(outcome.failure?.message)
            #expect(
                message.contains("\"\(pool.name)\": 20 usable addresses, 20 allocated, 0 held by claims, 0 cooling"))
            #expect(bench.proxy.log.lists.count == 1)
            let creates = bench.proxy.log.allocationNames("create")
            #expect(creates.count <= 8)
            #expect(Set(creates).count == creates.count, "no address was tried twice")
            #expect(try await bench.allocations(pool).count == 20)
        }
    }

    @Test func `published as full, a pool gets no create, and one list of what cools there`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(size: 20)
            for address in pool.addresses { try await bench.enter(address, of: pool) }
            try await bench.publish(pool, free: [])
            let start = ContinuousClock.now
            for _ in 0..<3 {
                let outcome = try await bench.add(try bench.node.newSandbox(), pool)
                #expect(outcome.code == PluginCode.exhausted)
                #expect(outcome.failure?.message.contains("20 usable addresses, 20 allocated") == true)
            }
            let elapsed = ContinuousClock.now - start
            #expect(bench.proxy.log.count("create", "ipallocations.ipam.berth.dev") == 0)
            let lists = bench.proxy.log.lists
            #expect((1...1 + Int(elapsed / .seconds(5))).contains(lists.count), "\(lists.count) in \(elapsed)")
            let list = try #require(lists.first).request
            #expect(list.queryValue("labelSelector") == "\(LabelKey.pool)=\(pool.name),\(LabelKey.state)=Cooling")
            #expect(list.queryValue("resourceVersion") == "0")
        }
    }

    @Test func `the next pool serves when the first is full`() async throws {
        try await ClaimBench.run { bench in
            let (first, second) = (try await bench.makePool(size: 2), try await bench.makePool(size: 2))
            for address in first.addresses { try await bench.enter(address, of: first) }
            for _ in 0..<2 {
                let added = try await bench.add(try bench.node.newSandbox(), first, second).checked()
                #expect(second.addresses.contains(try #require(added.addresses.first)))
            }
            let outcome = try await bench.add(try bench.node.newSandbox(), first, second)
            #expect(outcome.code == PluginCode.exhausted)
            let message = try #require(outcome.failure?.message)
            #expect(message.contains(first.name) && message.contains(second.name))
        }
    }

    @Test func `ADDs side by side never get the same address, down to the last`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(size: 12)
            let added = try await bench.sideBySide(12) { _ in
                try await bench.add(try bench.node.newSandbox(), pool).checked().addresses
            }
            #expect(added.flatMap(\.self).sorted() == pool.addresses.sorted())
        }
    }
}
