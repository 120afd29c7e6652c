import IPAMAPI
import IPAddressing
import JSONText
import TestSupport
import Testing

/// What users of routetable-ipam must find here.
@Suite("Seed: routetable-ipam", .controlPlane, .timeLimit(.minutes(10)))
struct SeedRouteTableTests {
    private func request(_ node: TestNode, _ pool: String, _ address: String) -> JSON {
        node.configuration(pools: [pool], members: ["runtimeConfig": ["ips": [.string(address)]]])
    }

    @Test func `R1: the address is random, never the network ID, the broadcast address or an excluded one`()
        async throws
    {
        try await PluginRig.run { rig in
            let subnets = rig.subnets
            let pool = try await rig.makePool(
                "pool", ["exclude": [rig.range4(0...9), rig.range4(246...255)], "cooldown": "0s"])
            let configuration = rig.node.configuration(pools: [pool])
            var given: [String] = []
            for _ in 0..<20 {
                given += try await rig.node.add(try rig.node.newSandbox(), configuration).checked().addresses
            }
            let hosts = given.compactMap { Int($0.dropFirst(subnets.prefix4.count + 1)) }
            #expect(hosts.count == 20)
            #expect(hosts.allSatisfy { (10...245).contains($0) })
            #expect(hosts != hosts.sorted())
            #expect(hosts != hosts.sorted(by: >))
            #expect((hosts.max() ?? 0) - (hosts.min() ?? 0) > 40)

            // Of a small pool each address that is left, and no other.
            let small = try await rig.makePool(
                "small",
                [
                    "subnet": .string("\(subnets.address4(0))/29"),
                    "exclude": [.string(subnets.address4(1)), .string(subnets.address4(6))], "cooldown": "0s",
                ])
            var all: Set<String> = []
            for _ in 0..<4 {
                let configuration = rig.node.configuration(pools: [small])
                all.formUnion(try await rig.node.add(try rig.node.newSandbox(), configuration).checked().addresses)
            }
            #expect(all == Set((2...5).map { subnets.address4($0) }))
        }
    }

    /// `EXCLUDE_FIRST` counts from the network ID, and `EXCLUDE_LAST` from the address before the broadcast address.
    @Test(
        arguments: [(0, 0, 1...14), (1, 0, 1...14), (3, 3, 3...11), (3, 0, 3...14), (0, 3, 1...11), (7, 7, 7...7)])
    func `R2: of a 28 without its first and last addresses exactly the others are given`(
        first: Int, last: Int, usable: ClosedRange<Int>
    ) async throws {
        try await PluginRig.run { rig in
            let network = 32
            var exclude: [JSON] = []
            if first > 0 { exclude.append(rig.range4(network...network + first - 1)) }
            if last > 0 { exclude.append(rig.range4(network + 15 - last...network + 14)) }
            let pool = try await rig.makePool(
                "pool",
                [
                    "subnet": .string("\(rig.subnets.address4(network))/28"), "exclude": .array(exclude),
                    "cooldown": "0s",
                ])
            let configuration = rig.node.configuration(pools: [pool])
            let hosts = usable.map { network + $0 }
            let added = try await concurrently(hosts) { _ in
                try await rig.node.add(try rig.node.newSandbox(), configuration).checked().addresses
            }
            #expect(added.flatMap(\.self).sorted() == hosts.map { rig.subnets.address4($0) }.sorted())
            try expectFailure(
                try await rig.node.add(try rig.node.newSandbox(), configuration), code: 101,
                says: ["\(usable.count) usable"])
            // Not on request either.
            for host in Set(network...network + 15).subtracting(hosts) {
                try expectFailure(
                    try await rig.node.add(
                        try rig.node.newSandbox(), request(rig.node, pool, rig.subnets.address4(host))),
                    code: 102, says: [rig.subnets.address4(host)])
            }
        }
    }

    @Test func `R3: a specific free address is given, and one that is taken is a clear error`() async throws {
        try await PluginRig.runThroughProxy { rig, proxy in
            let pool = try await rig.makePool(hosts: 10...200)
            let address = rig.subnets.address4(77)
            let configuration = request(rig.node, pool, address)
            let pod = try await rig.makePod()
            let holder = try rig.node.newSandbox(pod: pod)
            #expect(try await rig.node.add(holder, configuration).checked().addresses == [address])
            proxy.clearLog()
            try expectFailure(
                try await rig.node.add(try rig.node.newSandbox(), configuration), code: 102,
                says: [address, "taken", "default/\(pod.name)", holder.containerID, rig.node.name])
            // It is asked for once, and not again until the time is up.
            #expect(proxy.log.count("create", "ipallocations.ipam.berth.dev") == 1)
            expectSilentSuccess(try await rig.node.del(holder, configuration))
            #expect(try await rig.node.add(try rig.node.newSandbox(), configuration).checked().addresses == [address])
        }
    }

    @Test func `R4: an address outside of the network is an immediate error`() async throws {
        try await PluginRig.runThroughProxy { rig, proxy in
            let pool = try await rig.makePool(hosts: 10...20)
            for address in ["192.0.2.1", rig.subnets.address4(9), rig.subnets.address4(255), rig.subnets.address6(1)] {
                try expectFailure(
                    try await rig.node.add(try rig.node.newSandbox(), request(rig.node, pool, address)), code: 102,
                    says: [address, "\"\(pool)\"", rig.subnets.subnet4])
            }
            #expect(proxy.log.count("get", "ippools.ipam.berth.dev") == 4)
            #expect(proxy.log.allSatisfy { $0.request.method == "GET" })
        }
    }

    @Test func `R5: a full network is an exhaustion error, every time`() async throws {
        try await PluginRig.runThroughProxy { rig, proxy in
            let pool = try await rig.makePool(hosts: 10...12)
            let configuration = rig.node.configuration(pools: [pool])
            for _ in 0..<3 { try await rig.node.add(try rig.node.newSandbox(), configuration).checked() }
            let before = try await rig.objects()
            for _ in 0..<12 {
                proxy.clearLog()
                try expectFailure(
                    try await rig.node.add(try rig.node.newSandbox(), configuration), code: 101, says: ["\"\(pool)\""])
                // Whatever it tries, it tries at most what there is.
                #expect(proxy.log.count("create", "ipallocations.ipam.berth.dev") <= 3)
                #expect(proxy.log.count("list", "ipallocations.ipam.berth.dev") <= 1)
            }
            #expect(try await rig.objects() == before)
        }
    }

    @Test func `R6: of two nodes that ask for one address at once, one wins, in each of 100 rounds`() async throws {
        try await PluginRig.run { rig in
            let pool = try await rig.makePool(hosts: 100...199)
            let other = try await rig.makeNode("other")
            let hosts = Array(100...199)
            let winners = try await concurrently(hosts, width: 8) { [self] host in
                let address = rig.subnets.address4(host)
                let outcomes = try await concurrently([rig.node, other]) { node in
                    try await node.add(try node.newSandbox(), self.request(node, pool, address))
                }
                let winner = outcomes.firstIndex { $0.succeeded }
                for outcome in outcomes where !outcome.succeeded {
                    try expectFailure(outcome, code: 102, says: [address, "taken"])
                }
                #expect(outcomes.flatMap(\.addresses) == [address])
                let node = try await rig.object(address)?["spec"]?["node"]?.string
                #expect(winner.map { [rig.node, other][$0].name } == node)
                return winner
            }
            #expect(winners.count == 100)
            #expect(try await rig.objects("\(LabelKey.pool)=\(pool)").count == 100)
        }
    }

    @Test func `R8: after an ADD that was killed midway, and its DEL, the address is free again`() async throws {
        try await PluginRig.runThroughProxy { rig, proxy in
            let pool = try await rig.makePool("pool", ["ranges": [rig.range4(7...7)], "cooldown": "1h"])
            let configuration = rig.node.configuration(pools: [pool])
            let killed = try rig.node.newSandbox()
            let gate = Gate()
            proxy.when(.verb("create", "ipallocations.ipam.berth.dev"), .first(1), .holdAnswer(gate))
            let add = try rig.node.runner.start(rig.node.call("ADD", killed, configuration))
            try await gate.reached()
            add.kill()
            #expect(await add.outcome().process.ending == .signalled(9))
            gate.open()
            #expect(try await rig.states() == [rig.subnets.address4(7): "Bound"])
            expectSilentSuccess(try await rig.node.del(killed, configuration))
            // At once, and not after the cooldown, for nobody ever had it.
            let next = try await rig.node.add(try rig.node.newSandbox(), configuration).checked()
            #expect(next.addresses == [rig.subnets.address4(7)])
        }
    }

    @Test func `R9: DEL twice, without prevResult, or after the interface is gone, frees the address`() async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            for circumstance in ["twice", "without prevResult", "without interface"] {
                var sandbox = try rig.node.newSandbox()
                let added = try await rig.node.add(sandbox, configuration).checked()
                switch circumstance {
                case "twice":
                    expectSilentSuccess(try await rig.node.del(sandbox, configuration, previous: added))
                    expectSilentSuccess(try await rig.node.del(sandbox, configuration, previous: added))
                case "without interface":
                    try Files.remove(sandbox.netns)
                    sandbox.netns = "/var/run/netns/none"
                    expectSilentSuccess(try await rig.node.del(sandbox, configuration, previous: added))
                default:
                    expectSilentSuccess(try await rig.node.del(sandbox, configuration))
                }
                try await rig.expectNothingHeld()
            }
        }
    }

    @Test func `R10: CHECK of an address that is not held fails`() async throws {
        try await PluginRig.run { rig in
            let pool = try await rig.makePool(hosts: 10...20)
            let configuration = rig.node.configuration(pools: [pool])
            let sandbox = try rig.node.newSandbox()
            let added = try await rig.node.add(sandbox, configuration).checked()
            expectSilentSuccess(try await rig.node.check(sandbox, configuration, previous: added))
            expectSilentSuccess(try await rig.node.del(sandbox, configuration))
            // Another container has it by now.
            let other = try rig.node.newSandbox()
            try await rig.node.add(other, request(rig.node, pool, added.addresses[0])).checked()
            try expectFailure(
                try await rig.node.check(sandbox, configuration, previous: added), code: 103,
                says: [sandbox.containerID])
        }
    }

    @Test func `R11: what a node holds stays its own when links flap and when it boots anew, until its DELs come`()
        async throws
    {
        try await PluginRig.run { rig in
            let pool = try await rig.makePool(hosts: 10...11)
            let configuration = rig.node.configuration(pools: [pool])
            let pod = try await rig.makePod()
            let sandbox = try rig.node.newSandbox(pod: pod)
            let held = try await rig.node.add(sandbox, configuration).checked().addresses
            // The network namespace goes with the boot, and so may the journal; nobody calls the plugin.
            try Files.remove(sandbox.netns)
            try Files.removeTree(rig.node.journal)
            let other = try await rig.makeNode("other")
            let taken = try await other.add(try other.newSandbox(), other.configuration(pools: [pool])).checked()
            #expect(Set(taken.addresses).isDisjoint(with: held))
            for node in [rig.node, other] {
                try expectFailure(
                    try await node.add(try node.newSandbox(), node.configuration(pools: [pool])), code: 101)
                let asking = try await node.add(try node.newSandbox(), request(node, pool, held[0]))
                try expectFailure(asking, code: 102, says: [held[0], pod.name])
            }
            #expect(try await rig.states()[held[0]] == "Bound")
            // kubelet's calls after a boot: a DEL of the old sandbox, without a namespace, and an ADD of a new one.
            // On a busy machine a DEL may only write the release down, and the next one makes it.
            for _ in 0..<20 where try await rig.states()[held[0]] != nil {
                expectSilentSuccess(try await rig.node.delAgain(sandbox, configuration))
            }
            let again = try await rig.node.add(
                try rig.node.newSandbox(pod: pod), request(rig.node, pool, held[0])
            ).checked()
            #expect(again.addresses == held)
        }
    }

    @Test(arguments: [64, 65, 120])
    func `R12: IPv6 networks give any address, and an exact one`(length: Int) async throws {
        try await PluginRig.run { rig in
            let subnet = "\(rig.subnets.prefix6)::/\(length)"
            let pool = try await rig.makePool("pool", ["subnet": .string(subnet)])
            let exact = try await rig.node.add(
                try rig.node.newSandbox(), request(rig.node, pool, rig.subnets.address6(0xAB))
            ).checked()
            #expect(exact.interfaceAddresses == ["\(rig.subnets.address6(0xAB))/\(length)"])
            let any = try await rig.node.add(try rig.node.newSandbox(), rig.node.configuration(pools: [pool])).checked()
            #expect(any.addresses != exact.addresses)
            #expect(try IPPrefix(parsing: subnet).contains(try IPAddress(parsing: any.addresses[0])))
            try expectFailure(
                try await rig.node.add(
                    try rig.node.newSandbox(), request(rig.node, pool, rig.subnets.address6(0xAB))),
                code: 102, says: [rig.subnets.address6(0xAB), "taken"])
        }
    }

    // MARK: The node's own addresses

    @Test(arguments: [true, false])
    func `R13: a node's own addresses are never allocated`(isV4: Bool) async throws {
        try await PluginRig.run { rig in
            func address(_ host: Int) -> String { isV4 ? rig.subnets.address4(host) : rig.subnets.address6(host) }
            let pool = isV4 ? try await rig.makePool(hosts: 10...12) : try await rig.makePool6("pool", hosts: 10...12)
            let configuration = rig.node.configuration(pools: [pool])
            try await withLocalAddress("\(address(11))/\(isV4 ? 32 : 128)") {
                try expectFailure(
                    try await rig.node.add(try rig.node.newSandbox(), request(rig.node, pool, address(11))), code: 102,
                    says: [address(11), "node's own"])
                var given: Set<String> = []
                for _ in 0..<2 {
                    given.formUnion(
                        try await rig.node.add(try rig.node.newSandbox(), configuration).checked().addresses)
                }
                #expect(given == [address(10), address(12)])
                try expectFailure(
                    try await rig.node.add(try rig.node.newSandbox(), configuration), code: 101, says: ["\"\(pool)\""])
                #expect(try await rig.object(address(11)) == nil)
            }
            // Without it on the node the address is like any other.
            #expect(
                try await rig.node.add(try rig.node.newSandbox(), configuration).checked().addresses == [address(11)])
        }
    }

    /// Adds an address to the loopback interface for as long as `body` runs.
    private func withLocalAddress(_ address: String, _ body: () async throws -> Void) async throws {
        try await runChecked("ip", ["address", "add", address, "dev", "lo"])
        let result: Result<Void, any Error>
        do {
            result = .success(try await body())
        } catch {
            result = .failure(error)
        }
        // Also when the test was cancelled.
        try await Task.detached { _ = try await runChecked("ip", ["address", "del", address, "dev", "lo"]) }.value
        try result.get()
    }
}
