import JSONText
import TestSupport
import Testing

/// The checklist of CNI 1.1, sections "Verbs" and "ADD result": every verb and every shape in every version.
@Suite("CNI: verbs and results by version", .controlPlane, .timeLimit(.minutes(10)))
struct ConformanceVersionTests {
    @Test(arguments: cniVersions)
    func `Verbs: ADD, DEL and VERSION in all versions, CHECK from 0-4-0, GC and STATUS from 1-1-0`(
        version: String
    ) async throws {
        try await PluginRig.run { rig in
            let pool = try await rig.makePool(hosts: 7...7)
            let configuration = rig.node.configuration(pools: [pool], version: version)
            let sandbox = try rig.node.newSandbox()
            let added = try await rig.node.add(sandbox, configuration).checked()

            func expect(_ outcome: PluginOutcome, since: String, _ verb: String) throws {
                if version >= since { return expectSilentSuccess(outcome) }
                try expectFailure(outcome, code: 1, says: [verb, version, since], version: version)
            }
            try expect(try await rig.node.check(sandbox, configuration, previous: added), since: "0.4.0", "CHECK")
            try expect(try await rig.node.gc(configuration, valid: [sandbox]), since: "1.1.0", "GC")
            expectSilentSuccess(try await rig.node.del(sandbox, configuration))
            try expect(try await rig.node.status(configuration), since: "1.1.0", "STATUS")

            let answer = try await rig.node.runner.run(PluginCall("VERSION", configuration: configuration)).checked()
            #expect(answer.result == ["cniVersion": .string(version), "supportedVersions": .strings(cniVersions)])
        }
    }

    @Test(arguments: ["", "{}", "{\"cniVersion\": \"9.9.9\"}"])
    func `Verbs: VERSION answers whatever the runtime says`(document: String) async throws {
        var call = PluginCall("VERSION")
        call.stdin = Array(document.utf8)
        let answer = try await PluginRunner.berth().run(call).checked()
        #expect(answer.result?["supportedVersions"] == .strings(cniVersions))
        #expect(answer.result?["cniVersion"] == (document.contains("9") ? "9.9.9" : "1.1.0"))
    }

    // MARK: Shapes

    /// A dual-stack pair of pools with one address each, gateways, and routes with every attribute.
    private func makePools(_ rig: PluginRig) async throws -> [String] {
        let subnets = rig.subnets
        return [
            try await rig.makePool(
                "v4",
                [
                    "ranges": [rig.range4(7...7)], "gateway": .string(subnets.address4(1)),
                    "routes": [
                        [
                            "dst": "10.250.0.0/16", "gw": .string(subnets.address4(2)), "mtu": 1400, "advmss": 1360,
                            "priority": 0, "table": 0, "scope": 0,
                        ]
                    ],
                ]),
            try await rig.makePool(
                "v6",
                [
                    "subnet": .string(subnets.subnet6), "ranges": [.string(subnets.address6(0xAB))],
                    "gateway": .string(subnets.address6(1)), "routes": [["dst": "fd01::/48", "scope": 253]],
                ]),
        ]
    }

    private func expectedRoutes(_ subnets: TestSubnets, withAttributes: Bool) -> (v4: [JSON], v6: [JSON]) {
        var rich: JSON = ["dst": "10.250.0.0/16", "gw": .string(subnets.address4(2))]
        var scoped: JSON = ["dst": "fd01::/48"]
        if withAttributes {
            for (name, value) in [("mtu", 1400), ("advmss", 1360), ("priority", 0), ("table", 0), ("scope", 0)] {
                rich[name] = .int(value)
            }
            scoped["scope"] = 253
        }
        return (
            [rich, ["dst": "0.0.0.0/0", "gw": .string(subnets.address4(1))]],
            [scoped, ["dst": "::/0", "gw": .string(subnets.address6(1))]]
        )
    }

    @Test(arguments: ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])
    func `ADD result 1 to 5: from 0-3-0 on a list of addresses with the subnet's length, routes and dns`(
        version: String
    ) async throws {
        try await PluginRig.run { rig in
            // A previous result is the business of CHECK and DEL, and is no part of an IPAM result.
            let previous: JSON = [
                "cniVersion": .string(version), "interfaces": [["name": "eth0"]],
                "ips": [["version": "4", "address": "10.1.2.3/24", "interface": 0]],
            ]
            let configuration = rig.node.configuration(
                pools: try await makePools(rig), version: version,
                ipam: ["dns": ["nameservers": ["10.250.0.53"], "search": ["a.example"]]],
                members: ["prevResult": previous])
            let added = try await rig.node.add(try rig.node.newSandbox(), configuration).checked()
            let subnets = rig.subnets
            var ip4: JSON = [
                "address": .string("\(subnets.address4(7))/24"), "gateway": .string(subnets.address4(1)),
            ]
            var ip6: JSON = [
                "address": .string("\(subnets.address6(0xAB))/64"), "gateway": .string(subnets.address6(1)),
            ]
            if version < "1.0.0" { (ip4["version"], ip6["version"]) = ("4", "6") }
            let routes = expectedRoutes(subnets, withAttributes: version == "1.1.0")
            #expect(
                Sorted(added.result)
                    == Sorted([
                        "cniVersion": .string(version), "ips": [ip4, ip6], "routes": .array(routes.v4 + routes.v6),
                        "dns": ["nameservers": ["10.250.0.53"], "search": ["a.example"]],
                    ]))
        }
    }

    @Test(arguments: ["0.1.0", "0.2.0"])
    func `ADD result 1 to 5: below 0-3-0 one address of each family with its routes`(version: String) async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(
                pools: try await makePools(rig), version: version,
                ipam: ["dns": ["nameservers": ["10.250.0.53"], "domain": "example"]],
                members: ["prevResult": ["ip4": ["ip": "10.1.2.3/24"]]])
            let added = try await rig.node.add(try rig.node.newSandbox(), configuration).checked()
            let subnets = rig.subnets
            let routes = expectedRoutes(subnets, withAttributes: false)
            #expect(
                Sorted(added.result)
                    == Sorted([
                        "cniVersion": .string(version),
                        "ip4": [
                            "ip": .string("\(subnets.address4(7))/24"), "gateway": .string(subnets.address4(1)),
                            "routes": .array(routes.v4),
                        ],
                        "ip6": [
                            "ip": .string("\(subnets.address6(0xAB))/64"), "gateway": .string(subnets.address6(1)),
                            "routes": .array(routes.v6),
                        ],
                        "dns": ["nameservers": ["10.250.0.53"], "domain": "example"],
                    ]))
        }
    }

    @Test(arguments: cniVersions)
    func `ADD result 3: dns, routes and gateways that there are not are left out`(version: String) async throws {
        try await PluginRig.run { rig in
            let pool = try await rig.makePool(hosts: 7...7)
            let configuration = rig.node.configuration(
                pools: [pool], version: version, ipam: ["routes": [], "dns": [:]])
            let added = try await rig.node.add(try rig.node.newSandbox(), configuration).checked()
            let address: JSON = .string("\(rig.subnets.address4(7))/24")
            let expected: JSON =
                switch version {
                case ..<"0.3.0": ["ip4": ["ip": address]]
                case ..<"1.0.0": ["ips": [["version": "4", "address": address]]]
                default: ["ips": [["address": address]]]
                }
            var whole = expected
            whole["cniVersion"] = .string(version)
            #expect(added.result == whole)
        }
    }
}

/// A result whose routes may come in any order.
private struct Sorted: Equatable {
    let json: JSON

    init(_ json: JSON?) {
        var json = json ?? .null
        json.sortRoutes()
        for family in ["ip4", "ip6"] where json[family] != nil { json[family]?.sortRoutes() }
        self.json = json
    }
}

extension JSON {
    fileprivate mutating func sortRoutes() {
        guard let routes = self["routes"]?.array else { return }
        self["routes"] = .array(routes.sorted { ($0["dst"]?.string ?? "") < ($1["dst"]?.string ?? "") })
    }
}
