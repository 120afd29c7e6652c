import IPAMAPI
import IPAddressing
import JSONText
import TestSupport
import Testing

/// What users of whereabouts must find here (W2 and W6 are in `WhereaboutsTests`, W5 in
/// `SeedScaleTests`).
@Suite("Seed: whereabouts", .controlPlane, .timeLimit(.minutes(10)))
struct SeedWhereaboutsTests {
    @Test func `W1: addresses are unique under concurrent nodes`() async throws {
        try await PluginRig.run { rig in
            let pools = [try await rig.makePool(hosts: 10...209), try await rig.makePool6(hosts: 1...200)]
            var nodes = [rig.node]
            for index in 1..<4 { nodes.append(try await rig.makeNode("n\(index)")) }
            // Each attachment comes, goes and comes again while the others do.
            let attachments = try nodes.flatMap { node in try (0..<12).map { _ in (node, try node.newSandbox()) } }
            let held = try await concurrently(attachments) { node, sandbox in
                let configuration = node.configuration(pools: pools)
                try await node.add(sandbox, configuration).checked()
                expectSilentSuccess(try await node.del(sandbox, configuration))
                return try await node.add(sandbox, configuration).checked().addresses
            }
            #expect(held.allSatisfy { $0.count == 2 })
            #expect(Set(held.flatMap(\.self)).count == 2 * attachments.count)
            var ledger: [String: String] = [:]
            for pool in pools {
                ledger.merge(try await rig.states("\(LabelKey.pool)=\(pool)")) { $1 }
            }
            #expect(ledger == Dictionary(uniqueKeysWithValues: held.flatMap(\.self).map { ($0, "Bound") }))
            for ((_, sandbox), addresses) in zip(attachments, held) {
                #expect(try await rig.held(by: sandbox) == addresses.sorted())
            }
        }
    }

    @Test func `W3: an overlapping 16 and 24 never give one address twice`() async throws {
        try await PluginRig.run { rig in
            let large = Subnets.nextLarge()
            let prefix = large.split(separator: ".").prefix(2).joined(separator: ".") + ".77"
            let range: JSON = ["\(prefix).10-\(prefix).29"]
            let pools = [
                try await rig.makePool("large", ["subnet": .string(large), "ranges": range, "cooldown": "0s"]),
                try await rig.makePool("small", ["subnet": "\(prefix).0/24", "ranges": range, "cooldown": "0s"]),
            ]
            let calls = (0..<24).map { rig.node.configuration(pools: [pools[$0 % 2]]) }
            let outcomes = try await concurrently(calls) { configuration in
                try await rig.node.add(try rig.node.newSandbox(), configuration)
            }
            let given = outcomes.flatMap(\.addresses)
            #expect(Set(given) == Set((10...29).map { "\(prefix).\($0)" }))
            #expect(given.count == 20)
            for outcome in outcomes where !outcome.succeeded { try expectFailure(outcome, code: 101) }
            // Each result has the length of its own pool.
            let lengths = Set(outcomes.flatMap(\.interfaceAddresses).map { $0.suffix(3) })
            #expect(lengths == ["/16", "/24"])
        }
    }

    @Test func `W4: a full range fails the ADD and changes nothing else`() async throws {
        try await PluginRig.run { rig in
            let full = try await rig.makePool("full", hosts: 10...12)
            let roomy = try await rig.makePool("roomy", hosts: 20...29)
            let configuration = rig.node.configuration(pools: [full])
            for _ in 0..<3 { try await rig.node.add(try rig.node.newSandbox(), configuration).checked() }
            try await rig.node.add(try rig.node.newSandbox(), rig.node.configuration(pools: [roomy])).checked()
            let before = try await rig.objects()
            let entries = try Files.names(in: "\(rig.node.journal)/entries")
            #expect(before.count == 4 && entries.count == 4)
            for _ in 0..<3 {
                try expectFailure(
                    try await rig.node.add(try rig.node.newSandbox(), configuration), code: 101,
                    says: ["\"\(full)\"", "3 usable", "3 allocated", "kubectl get ipallocations"])
            }
            #expect(try await rig.objects() == before)
            #expect(try Files.names(in: "\(rig.node.journal)/entries") == entries)
            try await rig.node.add(try rig.node.newSandbox(), rig.node.configuration(pools: [roomy])).checked()
        }
    }

    @Test func `W7: an ADD in one range never waits for another range`() async throws {
        try await PluginRig.runThroughProxy { rig, proxy in
            let slow = rig.node.configuration(pools: [try await rig.makePool("slow", hosts: 10...19)])
            let fast = rig.node.configuration(pools: [try await rig.makePool("fast", hosts: 20...29)])
            let gate = Gate()
            let create = RequestMatcher.verb("create", "ipallocations.ipam.berth.dev")
            proxy.when(create && .body(contains: rig.subnets.name("slow")), .always, .hold(gate))
            let waiting = try rig.node.runner.start(rig.node.call("ADD", try rig.node.newSandbox(), slow))
            try await gate.reached()
            for _ in 0..<3 {
                let sandbox = try rig.node.newSandbox()
                try await rig.node.add(sandbox, fast).checked()
                expectSilentSuccess(try await rig.node.del(sandbox, fast))
            }
            #expect(!waiting.process.hasEnded)
            gate.open()
            #expect(try await waiting.outcome().checked().addresses.count == 1)
        }
    }

    /// Prefixes, and how many hosts they have: all of them, where that can be tried.
    static let prefixes: [(base: String, hosts: Int?)] = [
        ("v4/30", 2), ("v4/31", 2), ("v4/32", 1), ("v4/29", 6), ("v6/48", nil), ("v6/64", nil), ("v6/65", nil),
        ("v6/120", nil), ("v6/125", 7), ("v6/126", 3), ("v6/127", 2), ("v6/128", 1),
    ]

    @Test(arguments: prefixes.indices)
    func `W8: IPv6 of any prefix length, and 31, 32, 127 and 128, give every address they have`(
        index: Int
    ) async throws {
        let (base, hosts) = Self.prefixes[index]
        let length = try #require(Int(base.dropFirst(3)))
        try await PluginRig.run { rig in
            // A /48 has no group of its own left for the test, but a random address of it meets nobody's.
            let subnets = rig.subnets
            let groups = subnets.prefix6.split(separator: ":").prefix(3).joined(separator: ":")
            let subnet =
                base.hasPrefix("v4")
                ? "\(subnets.address4(16))/\(length)"
                : length == 48 ? "\(groups)::/48" : "\(subnets.prefix6)::/\(length)"
            let pool = try await rig.makePool("pool", ["subnet": .string(subnet), "cooldown": "0s"])
            let configuration = rig.node.configuration(pools: [pool])
            var given: Set<String> = []
            for _ in 0..<(hosts ?? 5) {
                let added = try await rig.node.add(try rig.node.newSandbox(), configuration).checked()
                #expect(added.interfaceAddresses.allSatisfy { $0.hasSuffix("/\(length)") })
                given.formUnion(added.addresses)
            }
            #expect(given.count == hosts ?? 5)
            let prefix = try IPPrefix(parsing: subnet)
            #expect(try given.allSatisfy { prefix.contains(try IPAddress(parsing: $0)) })
            if hosts != nil {
                try expectFailure(try await rig.node.add(try rig.node.newSandbox(), configuration), code: 101)
            }
        }
    }

    @Test func `W9: an ADD takes no lock, no lease and no list of pools or allocations`() async throws {
        try await PluginRig.runThroughProxy { rig, proxy in
            let pools = [try await rig.makePool(hosts: 10...200), try await rig.makePool6(hosts: 1...0xFFFF)]
            let configuration = rig.node.configuration(pools: pools)
            // The first ADD of a node finds out what the node holds already, and nothing beyond that.
            try await rig.node.add(try rig.node.newSandbox(), configuration).checked()
            let lists = proxy.log.filter { $0.request.action?.verb == "list" }
            #expect(lists.map { $0.request.queryValue("labelSelector") } == ["\(LabelKey.node)=\(rig.node.name)"])
            proxy.clearLog()

            let sandbox = try rig.node.newSandbox(pod: try await rig.makePod())
            let added = try await rig.node.add(sandbox, configuration).checked()
            let names = try await rig.objects("\(LabelKey.attachment)=\(sandbox.attachment().digest)").compactMap {
                $0["metadata"]?["name"]?.string
            }
            #expect(added.addresses.count == 2 && names.count == 2)
            let expected =
                ["get pods default/\(rig.subnets.name("pod"))", "get namespaces default"]
                + pools.map { "get ippools.ipam.berth.dev \($0)" }
                + names.map { "create ipallocations.ipam.berth.dev \($0)" }
            #expect(proxy.log.map(\.request.description).sorted() == expected.sorted())
            #expect(Set(proxy.log.map(\.request.connection)).count == 1)

            proxy.clearLog()
            expectSilentSuccess(try await rig.node.del(sandbox, configuration))
            #expect(
                proxy.log.map(\.request.description).sorted()
                    == names.map { "delete ipallocations.ipam.berth.dev \($0)" }.sorted())
            proxy.clearLog()
            for _ in 0..<3 { expectSilentSuccess(try await rig.node.delAgain(sandbox, configuration)) }
            #expect(proxy.log.isEmpty)
        }
    }
}
