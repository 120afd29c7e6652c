import IPAMAPI
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// The keys that users of whereabouts have in their configurations: they change the `type` and nothing else.
@Suite("whereabouts' configuration", .controlPlane, .timeLimit(.minutes(10)))
struct WhereaboutsTests {
    /// Adds a new container.
    private func add(_ rig: PluginRig, _ ipam: JSON, version: String = "1.0.0") async throws -> PluginOutcome {
        try await rig.node.add(try rig.node.newSandbox(), rig.node.configuration(version: version, ipam: ipam))
    }

    private func addresses(_ rig: PluginRig, _ ipam: JSON, count: Int) async throws -> Set<String> {
        var addresses: Set<String> = []
        for _ in 0..<count { addresses.formUnion(try await add(rig, ipam).checked().addresses) }
        return addresses
    }

    // MARK: Results

    @Test func `a result is that of whereabouts, without a default route for the gateway`() async throws {
        try await PluginRig.run { rig in
            let subnets = rig.subnets
            let ipam: JSON = [
                "range": .string("\(subnets.address4(7))-\(subnets.address4(7))/24"),
                "gateway": .string(subnets.address4(1)),
                "routes": [
                    ["dst": "10.250.0.0/16"], ["dst": "0.0.0.0/0", "gw": .string(subnets.address4(254))],
                ],
                "dns": [
                    "nameservers": ["10.250.0.53", "fd00::53"], "domain": "a.example", "search": ["b.example"],
                    "options": ["ndots:2"],
                ],
            ]
            let added = try await add(rig, ipam).checked()
            #expect(
                added.result == [
                    "cniVersion": "1.0.0",
                    "ips": [
                        ["address": .string("\(subnets.address4(7))/24"), "gateway": .string(subnets.address4(1))]
                    ],
                    "routes": ipam["routes"] ?? nil, "dns": ipam["dns"] ?? nil,
                ])
        }
    }

    @Test func `without routes and dns the result has none, a gateway or not`() async throws {
        try await PluginRig.run { rig in
            let subnets = rig.subnets
            for (host, gateway) in [(7, nil), (8, subnets.address4(1))] {
                var ipam: JSON = ["range": .string("\(subnets.address4(host))-\(subnets.address4(host))/24")]
                ipam["gateway"] = gateway.map { .string($0) }
                var ip: JSON = ["address": .string("\(subnets.address4(host))/24")]
                ip["gateway"] = gateway.map { .string($0) }
                let added = try await add(rig, ipam).checked()
                #expect(added.result == ["cniVersion": "1.0.0", "ips": [ip]])
            }
        }
    }

    @Test func `ipRanges gives an address of each, after that of range, and then the static ones`() async throws {
        try await PluginRig.run { rig in
            let subnets = rig.subnets
            func one(_ host: Int) -> String { "\(subnets.address4(host))-\(subnets.address4(host))/24" }
            let ipam: JSON = [
                "range": .string(one(7)),
                "ipRanges": [
                    [
                        "range": .string(subnets.subnet6), "range_start": .string(subnets.address6(7)),
                        "range_end": .string(subnets.address6(7)),
                    ],
                    [
                        "range": .string(subnets.subnet4),
                        "exclude": [
                            .string("\(subnets.address4(0))/25"),
                            .string(
                                "\(subnets.address4(128))-\(subnets.address4(253))"),
                        ],
                    ],
                ],
                "addresses": [
                    ["address": .string("\(subnets.address6(9))/64"), "gateway": .string(subnets.address6(1))]
                ],
                "gateway": .string(subnets.address4(1)),
            ]
            let added = try await add(rig, ipam).checked()
            #expect(
                added.result?["ips"] == [
                    ["address": .string("\(subnets.address4(7))/24"), "gateway": .string(subnets.address4(1))],
                    ["address": .string("\(subnets.address6(7))/64")],
                    ["address": .string("\(subnets.address4(254))/24"), "gateway": .string(subnets.address4(1))],
                    ["address": .string("\(subnets.address6(9))/64"), "gateway": .string(subnets.address6(1))],
                ])
        }
    }

    // MARK: Which addresses

    @Test func `range alone gives every usable address of the subnet, and the gateway to nobody`() async throws {
        try await PluginRig.run { rig in
            let subnets = rig.subnets
            let ipam: JSON = ["range": .string("\(subnets.address4(9))/29"), "gateway": .string(subnets.address4(14))]
            #expect(try await addresses(rig, ipam, count: 5) == Set((9...13).map { subnets.address4($0) }))
            try expectFailure(try await add(rig, ipam), code: 101, says: ["5 usable", "5 allocated"], version: "1.0.0")
        }
    }

    @Test(arguments: [true, false])
    func `range_start, range_end and exclude narrow it`(isV4: Bool) async throws {
        try await PluginRig.run { rig in
            func address(_ host: Int) -> String { isV4 ? rig.subnets.address4(host) : rig.subnets.address6(host) }
            let ipam: JSON = [
                "range": .string(isV4 ? rig.subnets.subnet4 : rig.subnets.subnet6),
                "range_start": .string(address(16)), "range_end": .string(address(35)),
                // A prefix with host bits, as whereabouts takes it; one address; from here to there; and one elsewhere.
                "exclude": [
                    .string("\(address(18))/\(isV4 ? 29 : 125)"), .string(address(25)),
                    .string("\(address(28))-\(address(60))"), .string(address(200)),
                ],
            ]
            #expect(try await addresses(rig, ipam, count: 3) == Set([24, 26, 27].map(address)))
            try expectFailure(try await add(rig, ipam), code: 101, version: "1.0.0")
        }
    }

    @Test func `an empty range_start, range_end or gateway is none`() async throws {
        try await PluginRig.run { rig in
            let range = "\(rig.subnets.address4(7))-\(rig.subnets.address4(7))/24"
            let ipam: JSON = [
                "range": .string(range), "range_start": "", "range_end": "", "gateway": "", "exclude": [],
            ]
            let given = try await addresses(rig, ipam, count: 1)
            #expect(given == [rig.subnets.address4(7)])
        }
    }

    // MARK: One pool or several

    @Test func `W2: two spellings of one range are one pool`() async throws {
        try await PluginRig.run { rig in
            let subnets = rig.subnets
            let spellings: [JSON] = [
                ["range": .string("\(subnets.address4(225))/28")],
                ["range": .string("\(subnets.address4(224))/28")],
                ["range": .string("\(subnets.address4(224))-\(subnets.address4(239))/28")],
                [
                    "range": .string("\(subnets.address4(230))/28"), "range_start": .string(subnets.address4(224)),
                    "range_end": .string(subnets.address4(239)),
                ],
                ["ipRanges": [["range": .string("\(subnets.address4(224))/28"), "exclude": ["192.0.2.0/24"]]]],
            ]
            var given: Set<String> = []
            for spelling in spellings { given.formUnion(try await add(rig, spelling).checked().addresses) }
            let pools = try await rig.inlinePools()
            #expect(pools.count == 1)
            #expect(pools.first?["spec"]?["subnet"]?.string == "\(subnets.address4(224))/28")
            #expect(pools.first?["metadata"]?["labels"]?["ipam.berth.dev/inline"]?.string == "true")
            #expect(given.count == spellings.count)
            #expect(Set(try await rig.objects().compactMap { $0["spec"]?["pool"]?.string }).count == 1)
        }
    }

    @Test func `different contents are different pools, which may overlap and still give no address twice`()
        async throws
    {
        try await PluginRig.run { rig in
            let subnets = rig.subnets
            let range: JSON = .string("\(subnets.address4(16))/28")
            let contents: [JSON] = [
                ["range": range],
                ["range": range, "range_start": .string(subnets.address4(18))],
                ["range": range, "range_end": .string(subnets.address4(28))],
                ["range": range, "exclude": [.string(subnets.address4(20))]],
                ["range": range, "gateway": .string(subnets.address4(17))],
                ["range": .string("\(subnets.address4(16))-\(subnets.address4(31))/27")],
            ]
            // 16 to 31: of the last one all 16 are usable, which is as many as there can be altogether.
            let calls = (0..<4).flatMap { _ in contents }
            let outcomes = try await concurrently(calls) { try await add(rig, $0) }
            let given = outcomes.flatMap(\.addresses)
            #expect(Set(given).count == given.count)
            for outcome in outcomes where !outcome.succeeded {
                try expectFailure(outcome, code: 101, version: "1.0.0")
            }
            #expect(try await rig.inlinePools().count == contents.count)
            #expect(try await Set(rig.states().keys) == Set(given))
            #expect(given.count >= 13 && given.count <= 16)
        }
    }

    @Test func `many nodes that see a range for the first time make one pool of it`() async throws {
        try await PluginRig.run { rig in
            var nodes: [TestNode] = []
            for index in 0..<8 { nodes.append(try await rig.makeNode("n\(index)")) }
            let ipam: JSON = ["range": .string(rig.subnets.subnet4)]
            let added = try await concurrently(nodes) { node in
                try await node.add(try node.newSandbox(), node.configuration(ipam: ipam)).checked()
            }
            #expect(Set(added.flatMap(\.addresses)).count == 8)
            #expect(try await rig.inlinePools().count == 1)
        }
    }

    @Test func `an inline pool that was edited is refused rather than obeyed`() async throws {
        try await PluginRig.run { rig in
            let ipam: JSON = ["range": .string("\(rig.subnets.address4(16))/28")]
            try await add(rig, ipam).checked()
            let pool = try #require(try await rig.inlinePools().first?["metadata"]?["name"]?.string)
            try await rig.changePool(pool, ["exclude": [.string(rig.subnets.address4(17))]])
            try expectFailure(
                try await add(rig, ipam), code: 100, says: ["\"\(pool)\"", "edited", "delete it"], version: "1.0.0")
            #expect(try await rig.states().count == 1)
            // What is the administrator's to say, they may say.
            try await rig.changePool(pool, ["exclude": .null, "cooldown": "0s", "strategy": "Sequential"])
            try await add(rig, ipam).checked()
        }
    }

    /// As when the controller found it unused while an ADD was under way: nobody could take that back.
    @Test func `an inline pool that is being deleted while a pod has an address of it goes on serving`() async throws {
        try await PluginRig.run { rig in
            let ipam: JSON = ["range": .string("\(rig.subnets.address4(16))/28")]
            try await add(rig, ipam).checked()
            let pool = try #require(try await rig.inlinePools().first?["metadata"]?["name"]?.string)
            let finalizer: JSON = ["metadata": ["finalizers": ["ipam.berth.dev/in-use"]]]
            try await rig.controlPlane.withAdmin {
                _ = try $0.patch(.ipPools, name: pool, patch: .merge(finalizer), deadline: .soon)
            }
            try await rig.deletePool(pool)
            let outcome = try await add(rig, ipam)
            let none: JSON = ["metadata": ["finalizers": .null]]
            try await rig.controlPlane.withAdmin {
                _ = try $0.patch(.ipPools, name: pool, patch: .merge(none), deadline: .soon)
            }
            try outcome.checked()
            #expect(try await rig.states().count == 2)
            // It is made anew, and what it gave counts.
            let again = try await add(rig, ipam).checked()
            #expect(try await rig.states().count == 3 && again.addresses != outcome.addresses)
        }
    }

    @Test func `network_name isolates: the same address in two networks is two addresses`() async throws {
        try await PluginRig.run { rig in
            let range: JSON = .string("\(rig.subnets.address4(7))-\(rig.subnets.address4(7))/24")
            let networks = ["", rig.subnets.name("a"), rig.subnets.name("b")]
            for network in networks {
                let ipam: JSON = ["range": range, "network_name": .string(network)]
                let added = try await add(rig, ipam).checked()
                #expect(added.addresses == [rig.subnets.address4(7)])
                try expectFailure(try await add(rig, ipam), code: 101, version: "1.0.0")
            }
            let names = try await rig.objects().compactMap { $0["metadata"]?["name"]?.string }
            #expect(Set(names) == Set(networks.map { ($0.isEmpty ? "" : "\($0).") + rig.subnets.address4(7) }))
            #expect(try await rig.inlinePools().count == 3)
        }
    }

    // MARK: Static addresses

    @Test func `W6: routes, dns and static addresses are in the result, and the addresses conflict like others`()
        async throws
    {
        try await PluginRig.run { rig in
            let subnets = rig.subnets
            let ipam: JSON = [
                "addresses": [
                    ["address": .string("\(subnets.address4(7))/24"), "gateway": .string(subnets.address4(1))],
                    ["address": .string("\(subnets.address6(7))/64")],
                ],
                "routes": [["dst": "10.250.0.0/16", "gw": .string(subnets.address4(1))]],
                "dns": ["nameservers": ["10.250.0.53"]],
            ]
            let holder = try rig.node.newSandbox()
            let configuration = rig.node.configuration(version: "1.0.0", ipam: ipam)
            let added = try await rig.node.add(holder, configuration).checked()
            #expect(
                added.result == [
                    "cniVersion": "1.0.0",
                    "ips": [
                        ["address": .string("\(subnets.address4(7))/24"), "gateway": .string(subnets.address4(1))],
                        ["address": .string("\(subnets.address6(7))/64")],
                    ],
                    "routes": ipam["routes"] ?? nil, "dns": ipam["dns"] ?? nil,
                ])
            let before = try await rig.states()
            #expect(before == [subnets.address4(7): "Bound", subnets.address6(7): "Bound"])

            // Not for another container, not from a range, not from a pool by that name.
            try expectFailure(
                try await add(rig, ipam), code: 102, says: [subnets.address4(7), "taken", holder.containerID],
                version: "1.0.0")
            let range: JSON = ["range": .string("\(subnets.address4(7))-\(subnets.address4(7))/24")]
            try expectFailure(try await add(rig, range), code: 101, version: "1.0.0")
            let pool = try await rig.makePool(hosts: 7...7)
            try expectFailure(
                try await rig.node.add(try rig.node.newSandbox(), rig.node.configuration(pools: [pool])), code: 101)
            #expect(try await rig.states() == before)
            // The holder gets the same ones again, and gives them back.
            #expect(try await rig.node.add(holder, configuration).checked().result == added.result)
            expectSilentSuccess(try await rig.node.del(holder, configuration))
            #expect(try await rig.held(by: holder).isEmpty)
        }
    }

    @Test func `a static address that is taken leaves nothing of the ranges claimed`() async throws {
        try await PluginRig.run { rig in
            let ipam: JSON = [
                "range": .string(rig.subnets.subnet6),
                "addresses": [["address": .string("\(rig.subnets.address4(7))/24")]],
            ]
            try await add(rig, ipam).checked()
            let before = try await rig.states()
            #expect(before.count == 2)
            try expectFailure(try await add(rig, ipam), code: 102, says: [rig.subnets.address4(7)], version: "1.0.0")
            #expect(try await rig.states() == before)
        }
    }

    // MARK: Logging

    @Test(arguments: [
        ("debug", true, true), ("verbose", false, true), ("error", false, false), ("panic", false, false),
    ])
    func `log_file and log_level say where and how much`(level: String, hasDebug: Bool, hasInfo: Bool) async throws {
        try await PluginRig.run { rig in
            let file = "\(rig.node.folder)/logs/whereabouts.log"
            let configuration = rig.node.configuration(ipam: [
                "range": .string(rig.subnets.subnet4), "log_file": .string(file), "log_level": .string(level),
            ])
            let sandbox = try rig.node.newSandbox()
            try await rig.node.add(sandbox, configuration).checked()
            for _ in 0..<2 { expectSilentSuccess(try await rig.node.del(sandbox, configuration)) }
            var request = configuration
            request["runtimeConfig"] = ["ips": ["192.0.2.1"]]
            try expectFailure(try await rig.node.add(sandbox, request), code: 102)
            let log = try Files.text(file)
            #expect(log.contains("level=error"))
            #expect(log.contains("level=info") == hasInfo)
            #expect(log.contains("level=debug") == hasDebug)
        }
    }
}
