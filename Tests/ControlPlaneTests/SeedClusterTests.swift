import IPAMAPI
import JSONText
import TestSupport
import Testing

/// What users of claude-ipam must find here.
@Suite("Seed: claude-ipam", .controlPlane, .timeLimit(.minutes(10)))
struct SeedClusterTests {
    @Test func `C9: two interfaces of one container get two addresses, and DEL of one frees only that one`()
        async throws
    {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 10...19)])
            let first = try rig.node.newSandbox()
            let second = first.with(interface: "net1")
            let addresses = [
                try await rig.node.add(first, configuration).checked().addresses[0],
                try await rig.node.add(second, configuration).checked().addresses[0],
            ]
            #expect(Set(addresses).count == 2)
            expectSilentSuccess(try await rig.node.del(first, configuration))
            #expect(try await rig.states() == [addresses[1]: "Bound"])
            expectSilentSuccess(try await rig.node.del(second, configuration))
            try await rig.expectNothingHeld()
        }
    }

    @Test func `C10: 200 concurrent ADDs over several nodes are all distinct and all served`() async throws {
        try await PluginRig.run { rig in
            // Not one address more than is needed.
            let pool = try await rig.makePool(hosts: 20...219)
            var nodes = [rig.node]
            for index in 1..<5 { nodes.append(try await rig.makeNode("n\(index)")) }
            let calls = (0..<200).map { nodes[$0 % nodes.count] }
            let added = try await concurrently(calls) { node in
                try await node.add(try node.newSandbox(), node.configuration(pools: [pool])).checked().addresses
            }
            #expect(Set(added.flatMap(\.self)) == Set((20...219).map { rig.subnets.address4($0) }))
            #expect(added.allSatisfy { $0.count == 1 })
        }
    }

    @Test func `C11: of N+1 ADDs for N free addresses exactly one fails`() async throws {
        try await PluginRig.run { rig in
            let pool = try await rig.makePool(hosts: 20...34)
            let nodes = [rig.node, try await rig.makeNode("n1"), try await rig.makeNode("n2")]
            let calls = (0..<16).map { nodes[$0 % nodes.count] }
            let outcomes = try await concurrently(calls) { node in
                try await node.add(try node.newSandbox(), node.configuration(pools: [pool]))
            }
            let failed = outcomes.filter { !$0.succeeded }
            #expect(failed.count == 1)
            for outcome in failed { try expectFailure(outcome, code: 101, says: ["\"\(pool)\"", "15 usable"]) }
            #expect(Set(outcomes.flatMap(\.addresses)) == Set((20...34).map { rig.subnets.address4($0) }))
        }
    }

    @Test(arguments: ["0s", "1h"])
    func `C12: DEL twice succeeds`(cooldown: String) async throws {
        try await PluginRig.run { rig in
            let pool = try await rig.makePool("pool", ["ranges": [rig.range4(7...7)], "cooldown": .string(cooldown)])
            let configuration = rig.node.configuration(pools: [pool])
            let sandbox = try rig.node.newSandbox()
            let added = try await rig.node.add(sandbox, configuration).checked()
            expectSilentSuccess(try await rig.node.del(sandbox, configuration, previous: added))
            let after = try await rig.objects()
            #expect(after.count == (cooldown == "0s" ? 0 : 1))
            expectSilentSuccess(try await rig.node.del(sandbox, configuration, previous: added))
            #expect(try await rig.objects() == after)
        }
    }

    @Test(arguments: [true, false])
    func `C13: with the API server away a DEL succeeds, and the release is not lost`(isHanging: Bool) async throws {
        try await PluginRig.runThroughProxy { rig, proxy in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 10...12)])
            let roomy = rig.node.configuration(pools: [try await rig.makePool6(hosts: 1...0xFFFF)])
            let sandboxes = try (0..<3).map { _ in try rig.node.newSandbox() }
            for sandbox in sandboxes { try await rig.node.add(sandbox, configuration).checked() }
            if isHanging { proxy.when(.any, .always, .hang) } else { await proxy.suspend() }
            for sandbox in sandboxes.prefix(2) {
                expectSilentSuccess(try await rig.node.del(sandbox, configuration))
            }
            #expect(try await rig.states().count == 3)
            if isHanging { proxy.removeRules() } else { try await proxy.resume() }
            expectSilentSuccess(try await rig.node.del(sandboxes[2], configuration))
            // Each further DEL on the node makes some of the releases that could only be written down: for an idle API
            // server all of them at once, for a busy one as many as half a second allows.
            for _ in 0..<50 where try await !rig.states().isEmpty {
                let sandbox = try rig.node.newSandbox()
                try await rig.node.add(sandbox, roomy).checked()
                expectSilentSuccess(try await rig.node.del(sandbox, roomy))
            }
            try await rig.expectNothingHeld()
        }
    }

    @Test(arguments: ConformanceAddTests.Moment.allCases)
    func `C14: a crash anywhere in an ADD leaks nothing beyond the next GC of its node`(
        moment: ConformanceAddTests.Moment
    ) async throws {
        try await PluginRig.runThroughProxy { rig, proxy in
            let pools = [try await rig.makePool(hosts: 7...7), try await rig.makePool6(hosts: 7...7)]
            let configuration = rig.node.configuration(pools: pools)
            let gate = Gate()
            moment.prepare(proxy, gate, rig.subnets)
            let sandbox = try rig.node.newSandbox(pod: try await rig.makePod())
            let plugin = try rig.node.runner.start(rig.node.call("ADD", sandbox, configuration))
            try await gate.reached(moment.arrivals)
            plugin.kill()
            _ = await plugin.outcome()
            gate.open()
            try await proxy.waitFor("everything that was sent") { log in log.allSatisfy { $0.fate.serverStatus != nil }
            }
            // No DEL ever comes. The journal may even be lost with the machine's disk.
            if moment == .afterTheCreates { try Files.removeTree(rig.node.journal) }
            expectSilentSuccess(try await rig.node.gc(configuration, valid: []))
            try await rig.expectNothingHeld()
            let next = try await rig.node.add(try rig.node.newSandbox(), configuration).checked()
            #expect(next.addresses.count == 2)
        }
    }

    @Test func `C16: the gateway is never allocated`() async throws {
        try await PluginRig.run { rig in
            let subnets = rig.subnets
            let pool = try await rig.makePool(
                "pool",
                [
                    "subnet": .string("\(subnets.address4(32))/29"), "gateway": .string(subnets.address4(35)),
                    "cooldown": "0s",
                ])
            let configuration = rig.node.configuration(pools: [pool])
            var given: Set<String> = []
            for _ in 0..<5 {
                given.formUnion(try await rig.node.add(try rig.node.newSandbox(), configuration).checked().addresses)
            }
            #expect(given == Set([33, 34, 36, 37, 38].map { subnets.address4($0) }))
            try expectFailure(try await rig.node.add(try rig.node.newSandbox(), configuration), code: 101)
        }
    }

    @Test(arguments: [false, true])
    func `C16: addresses that end in 0 or 255 are left out when the pool says so`(areExcluded: Bool) async throws {
        try await PluginRig.run { rig in
            let large = Subnets.nextLarge()
            let prefix = large.split(separator: ".").prefix(2).joined(separator: ".")
            var spec: JSON = ["subnet": .string(large), "ranges": ["\(prefix).5.254-\(prefix).6.1"], "cooldown": "0s"]
            if areExcluded { spec["exclude"] = ["\(prefix).5.255-\(prefix).6.0"] }
            let configuration = rig.node.configuration(pools: [try await rig.makePool("pool", spec)])
            let expected = areExcluded ? ["5.254", "6.1"] : ["5.254", "5.255", "6.0", "6.1"]
            var given: Set<String> = []
            for _ in expected {
                given.formUnion(try await rig.node.add(try rig.node.newSandbox(), configuration).checked().addresses)
            }
            #expect(given == Set(expected.map { "\(prefix).\($0)" }))
            try expectFailure(try await rig.node.add(try rig.node.newSandbox(), configuration), code: 101)
        }
    }

    @Test func `C21: an edit of range and gateway is for new ADDs, and who has an address keeps it`() async throws {
        try await PluginRig.run { rig in
            let pool = try await rig.makePool(
                "pool",
                ["ranges": [rig.range4(10...11)], "gateway": .string(rig.subnets.address4(1)), "cooldown": "0s"])
            let configuration = rig.node.configuration(pools: [pool])
            let early = try rig.node.newSandbox()
            let before = try await rig.node.add(early, configuration).checked()
            let object = try await rig.object(before.addresses[0])
            try await rig.changePool(
                pool, ["ranges": [rig.range4(20...21)], "gateway": .string(rig.subnets.address4(2))])
            for _ in 0..<2 {
                let added = try await rig.node.add(try rig.node.newSandbox(), configuration).checked()
                #expect([20, 21].map { "\(rig.subnets.address4($0))/24" }.contains(added.interfaceAddresses[0]))
                #expect(added.result?["ips"]?.array?.first?["gateway"]?.string == rig.subnets.address4(2))
                #expect(added.result?["routes"] == [["dst": "0.0.0.0/0", "gw": .string(rig.subnets.address4(2))]])
            }
            // Not one of the old range, though one of it is free.
            try expectFailure(try await rig.node.add(try rig.node.newSandbox(), configuration), code: 101)
            #expect(try await rig.object(before.addresses[0]) == object)
            expectSilentSuccess(try await rig.node.check(early, configuration, previous: before))
            #expect(try await rig.node.add(early, configuration).checked().addresses == before.addresses)
            expectSilentSuccess(try await rig.node.del(early, configuration, previous: before))
            #expect(try await rig.object(before.addresses[0]) == nil)
        }
    }
}
