import IPAMAPI
import IPAddressing
import JSONText
import TestSupport
import Testing

/// All addresses of an attachment or none.
@Suite("Two families or none", .controlPlane, .timeLimit(.minutes(10)))
struct ClaimFamiliesTests {
    @Test(arguments: [true, false])
    func `when one family is full, the other one is left as it was`(isPublished: Bool) async throws {
        try await ClaimBench.run { bench in
            let (v4, v6) = (try await bench.makePool(.v4, size: 5), try await bench.makePool(.v6))
            for address in v4.addresses { try await bench.enter(address, of: v4) }
            if isPublished { try await bench.publish(v4, free: []) }
            let sandbox = try bench.node.newSandbox()
            let outcome = try await bench.add(sandbox, v4, v6)
            #expect(outcome.code == PluginCode.exhausted)
            #expect(outcome.failure?.message.contains(v4.name) == true)
            #expect(outcome.failure?.message.contains(v6.name) == false)
            // Deleted: an address that nobody used has no reason to cool.
            #expect(try await bench.allocations(v6).isEmpty)
            #expect(bench.node.journalEntries.isEmpty)
            if isPublished { #expect(bench.proxy.log.count("create", "ipallocations.ipam.berth.dev") == 0) }
        }
    }

    @Test func `when one family's address is refused, the other one is given back`() async throws {
        try await ClaimBench.run { bench in
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6))
            try await bench.enter(v6.addresses[3], of: v6)
            let configuration = bench.configuration(
                [v4, v6], members: ["runtimeConfig": ["ips": [.string(v6.addresses[3])]]])
            let outcome = try await bench.node.add(try bench.node.newSandbox(), configuration)
            #expect(outcome.code == PluginCode.addressRefused)
            #expect(bench.proxy.log.statuses("create").sorted() == [201, 409])
            #expect(try await bench.allocations(v4).isEmpty)
            #expect(try await bench.allocations(v6).count == 1)
            #expect(bench.node.journalEntries.isEmpty)
        }
    }

    static let failures: [(action: FaultAction, code: Int)] = [
        (.forbidden, PluginCode.forbidden), (.internalError, PluginCode.tryAgainLater),
        (.html(status: 502), PluginCode.tryAgainLater), (.dropBeforeForward(.stream), PluginCode.tryAgainLater),
        (.status(422, "Invalid"), 106),
    ]

    @Test(arguments: failures.indices)
    func `when one family's create fails, the other one is given back`(index: Int) async throws {
        try await ClaimBench.run(settings: ["timeoutSeconds": 15]) { bench in
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6))
            let failing = RequestMatcher.create && .body(contains: v6.name)
            bench.proxy.when(failing, .always, Self.failures[index].action)
            let sandbox = try bench.node.newSandbox()
            let outcome = try await bench.add(sandbox, v4, v6)
            #expect(outcome.code == Self.failures[index].code)
            #expect(bench.proxy.log.statuses("create").contains(201))
            #expect(try await bench.allocations(v4).isEmpty)
            #expect(try await bench.allocations(v6).isEmpty)
            // What may have been created is not forgotten before the DEL that follows.
            try await bench.del(sandbox, v4, v6)
            #expect(try await bench.allocations(v6).isEmpty)
        }
    }

    @Test func `when one family's pool cannot serve, nothing is created`() async throws {
        try await ClaimBench.run { bench in
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6))
            try await bench.change(v6, ["disabled": true])
            let disabled = try await bench.add(try bench.node.newSandbox(), v4, v6)
            #expect(disabled.code == PluginCode.poolUnusable)
            #expect(disabled.failure?.message.contains("\"\(v6.name)\" is disabled") == true)
            try await bench.deletePool(v6)
            let missing = try await bench.add(try bench.node.newSandbox(), v4, v6)
            #expect(missing.code == PluginCode.poolUnusable)
            #expect(missing.failure?.message.contains("\"\(v6.name)\" does not exist") == true)
            #expect(bench.proxy.log.count("create", "ipallocations.ipam.berth.dev") == 0)
        }
    }

    @Test func `when giving back fails too, the DEL does it`() async throws {
        try await ClaimBench.run { bench in
            let (v4, v6) = (try await bench.makePool(.v4, size: 1), try await bench.makePool(.v6))
            try await bench.enter(v4.addresses[0], of: v4)
            let rollBack = bench.proxy.when(.remove, .always, .forbidden)
            let sandbox = try bench.node.newSandbox()
            let outcome = try await bench.add(sandbox, v4, v6)
            #expect(outcome.code == PluginCode.exhausted)
            #expect(rollBack.hits == 1)
            #expect(try await bench.holders(v6).count == 1)
            #expect(bench.node.pendingReleases == [sandbox.attachment().digest])
            rollBack.remove()
            try await bench.del(sandbox, v4, v6)
            #expect(try await bench.allocations(v6).isEmpty)
            #expect(bench.node.journalEntries.isEmpty)
            #expect(bench.node.pendingReleases.isEmpty)
        }
    }

    @Test(arguments: [true, false])
    func `100 ADDs against a full family, again and again, list little and leave nothing`(
        isPublished: Bool
    ) async throws {
        try await ClaimBench.run { bench in
            // The free family has fewer addresses than there are ADDs: what they tried must come back.
            let (v4, v6) = (try await bench.makePool(.v4, size: 30), try await bench.makePool(.v6, size: 30))
            for address in v4.addresses { try await bench.enter(address, of: v4) }
            if isPublished { try await bench.publish(v4, free: []) }
            let start = ContinuousClock.now
            try await bench.withNode { other in
                for _ in 0..<2 {
                    let added = try await bench.sideBySide(100) { number in
                        let node = number.isMultiple(of: 2) ? bench.node : other
                        let sandbox = try node.newSandbox()
                        return (node, sandbox, try await node.add(sandbox, bench.configuration([v4, v6], on: node)))
                    }
                    #expect(added.map(\.2.code) == Array(repeating: PluginCode.exhausted, count: 100))
                    #expect(try await bench.allocations(v6).isEmpty)
                    for (node, sandbox, _) in added.prefix(10) {
                        try await node.del(sandbox, bench.configuration([v4, v6], on: node)).checked()
                    }
                }
                let elapsed = ContinuousClock.now - start
                let lists = bench.proxy.log.lists.filter {
                    $0.request.queryValue("labelSelector")?.contains(LabelKey.pool) == true
                }
                let most = 2 * (1 + Int(elapsed / .seconds(5)))
                #expect((1...most).contains(lists.count), "\(lists.count) lists by two nodes in \(elapsed)")
                #expect(bench.node.journalEntries.isEmpty)
                #expect(other.journalEntries.isEmpty)
                if isPublished { #expect(bench.proxy.log.count("create", "ipallocations.ipam.berth.dev") == 0) }
            }
            #expect(try await bench.allocations(v4).count == 30)
            #expect(try await bench.allocations(v6).isEmpty)
        }
    }
}
