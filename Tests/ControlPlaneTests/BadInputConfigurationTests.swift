import IPAMAPI
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// Configurations and pools that make no sense: the error names the thing, the cause and what to do, and nothing is
/// claimed.
@Suite("Bad input: configurations and pools", .controlPlane, .timeLimit(.minutes(10)))
struct BadInputConfigurationTests {
    // MARK: The network configuration

    @Test(arguments: [
        ("{\"cniVersion\": \"1.1.0\", \"name\": \"net\"", "unexpected end at byte 37"),
        ("{\"name\": \"net\", \"ipam\": {\"pools\": [\"a\"}}", "at byte 38"),
        ("cniVersion: 1.1.0", "at byte 0"),
    ])
    func `malformed JSON in the network configuration is code 6, and says where`(
        document: String, says: String
    ) async throws {
        try await PluginRig.run { rig in
            var call = rig.node.call("ADD", try rig.node.newSandbox(), [:])
            call.stdin = Array(document.utf8)
            try expectFailure(
                try await rig.node.runner.run(call), code: 6, says: ["network configuration", "not JSON", says])
            try await rig.expectNothingHeld()
        }
    }

    @Test func `a berth-conf that is missing, malformed or of wrong types is named with its problem`() async throws {
        try await PluginRig.run { rig in
            let pool = try await rig.makePool(hosts: 7...7)
            let file = "\(rig.node.folder)/berth.conf"
            let good = try Files.text(file)
            let cases: [(content: String?, code: Int, says: [String])] = [
                (nil, 5, ["No such file"]),
                ("", 6, []),
                ("{\"nodeName\": \"n\"", 6, []),
                ("[]", 6, ["an object"]),
                ("{\"nodeName\": 7}", 6, ["nodeName", "a string"]),
                ("{\"timeoutSeconds\": 1.5}", 6, ["timeoutSeconds", "an integer"]),
                ("{\"timeoutSeconds\": 1000}", 7, ["timeoutSeconds", "1000", "1 and 120"]),
                ("{\"logLevel\": \"loud\"}", 7, ["logLevel", "loud", "debug, info, warning or error"]),
            ]
            for (content, code, says) in cases {
                if let content { try Files.write(file, content) } else { try Files.remove(file) }
                let outcome = try await rig.node.add(
                    try rig.node.newSandbox(), rig.node.configuration(pools: [pool]))
                try expectFailure(outcome, code: code, says: [file] + says)
            }
            try Files.write(file, good)
            try await rig.expectNothingHeld()
        }
    }

    @Test func `a machine ID that is missing or empty is code 5 and says how to make one`() async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            let file = "\(rig.node.folder)/machine-id"
            try Files.write(file, " \n")
            try expectFailure(try await rig.node.add(try rig.node.newSandbox(), configuration), code: 5, says: [file])
            try Files.remove(file)
            try expectFailure(
                try await rig.node.add(try rig.node.newSandbox(), configuration), code: 5,
                says: [file, "No such file", "systemd-machine-id-setup", "machineIDFile"])
            try await rig.expectNothingHeld()
        }
    }

    @Test func `an unknown pool is code 100`() async throws {
        try await PluginRig.run { rig in
            let known = try await rig.makePool(hosts: 7...7)
            let unknown = rig.subnets.name("unknown")
            for pools in [[unknown], [known, unknown], [unknown, known]] {
                try expectFailure(
                    try await rig.node.add(try rig.node.newSandbox(), rig.node.configuration(pools: pools)), code: 100,
                    says: ["\"\(unknown)\"", "does not exist", "kubectl get ippools"])
            }
            try await rig.expectNothingHeld()
        }
    }

    @Test func `a family without a pool that serves is code 100, and the other family is not claimed`() async throws {
        try await PluginRig.run { rig in
            let pools = [try await rig.makePool(hosts: 7...9), try await rig.makePool6(hosts: 7...9)]
            try await rig.changePool(pools[1], ["disabled": true])
            let configuration = rig.node.configuration(pools: pools)
            try expectFailure(
                try await rig.node.add(try rig.node.newSandbox(), configuration), code: 100,
                says: ["IPv6", "\"\(pools[1])\"", "disabled", "spec.disabled"])
            try await rig.expectNothingHeld()
            // With another pool of the family it is passed over.
            let spare = try await rig.makePool6("spare", hosts: 11...11)
            let added = try await rig.node.add(
                try rig.node.newSandbox(), rig.node.configuration(pools: pools + [spare])
            ).checked()
            #expect(added.addresses.last == rig.subnets.address6(11))
        }
    }

    @Test(arguments: [
        "10.9.0.0/33", "10.9.0.0", "10.9.0/24", "10.9.0.0/024", "10.09.0.0/24", "10.9.0.0/24 ", "fd09::/129",
        "fd09:::/64",
        "10.9.0.9-10.9.0.1/24", "10.9.0.1-fd09::1/24", "10.9.0.1-10.9.0.9", "nonsense", "",
    ])
    func `an invalid range is code 7`(range: String) async throws {
        try await expectInvalid(["range": .string(range)], says: ["ipam.range", "\"\(range)\""])
    }

    @Test(arguments: [
        ("range_start", "10.8.0.1", "10.9.0.0/24"), ("range_end", "10.9.1.0", "10.9.0.0/24"),
        ("range_start", "10.9.0.256", "10.9.0.256"), ("range_end", "fd09::1", "10.9.0.0/24"),
    ])
    func `an invalid end of a range is code 7`(key: String, value: String, says: String) async throws {
        try await expectInvalid(["range": "10.9.0.0/24", key: .string(value)], says: [key, value, says])
    }

    @Test func `a range that ends before it begins is code 7`() async throws {
        try await expectInvalid(
            ["range": "10.9.0.0/24", "range_start": "10.9.0.9", "range_end": "10.9.0.1"],
            says: ["ipam.range", "10.9.0.9", "10.9.0.1"])
    }

    @Test(arguments: ["10.9.0.1/33", "10.9.0.9-10.9.0.1", "x"])
    func `an invalid exclude is code 7`(exclude: String) async throws {
        try await expectInvalid(
            ["range": "10.9.0.0/24", "exclude": ["10.9.0.0/30", .string(exclude)]],
            says: ["ipam.exclude[1]", "\"\(exclude)\""])
    }

    @Test func `a mask that the range does not fit into is code 7`() async throws {
        try await expectInvalid(
            ["range": "10.9.0.200-10.9.1.50/24"], says: ["ipam.range", "10.9.0.200-10.9.1.50/24", "/24"])
    }

    @Test func `a gateway outside the subnet is code 7`() async throws {
        try await expectInvalid(
            ["range": "10.9.0.0/24", "gateway": "10.9.1.1"],
            says: ["ipam.gateway", "10.9.1.1", "10.9.0.0/24"])
        try await expectInvalid(
            ["addresses": [["address": "10.9.0.5/24", "gateway": "10.9.1.1"]]],
            says: ["ipam.addresses[0].gateway", "10.9.1.1", "10.9.0.0/24"])
    }

    private func expectInvalid(
        _ ipam: JSON, says: [String], sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        try await PluginRig.runThroughProxy { rig, proxy in
            let outcome = try await rig.node.add(try rig.node.newSandbox(), rig.node.configuration(ipam: ipam))
            try expectFailure(outcome, code: 7, says: says, sourceLocation: sourceLocation)
            #expect(proxy.log.isEmpty, sourceLocation: sourceLocation)
        }
    }

    // MARK: Pools that only an API server without CEL accepts

    static let pools: [(spec: JSON, says: [String])] = [
        (["gateway": "192.0.2.1"], ["spec.gateway", "192.0.2.1", "not within the subnet"]),
        (["gateway": "fd00::1"], ["spec.gateway", "fd00::1", "IPv6"]),
        (["ranges": ["192.0.2.1-192.0.2.9"]], ["spec.ranges[0]", "192.0.2.1-192.0.2.9", "not within the subnet"]),
        (["ranges": ["192.0.2.9-192.0.2.1"]], ["spec.ranges[0]", "192.0.2.9-192.0.2.1"]),
        (["ranges": ["1.2.3"]], ["spec.ranges[0]", "1.2.3"]),
        (["exclude": ["fd00::/64"]], ["spec.exclude[0]", "fd00::/64", "IPv6"]),
        (["routes": [["dst": "fd00::/64"]]], ["spec.routes[0].dst", "fd00::/64", "IPv6"]),
        (["routes": [["dst": "192.0.2.1/24"]]], ["spec.routes[0].dst", "192.0.2.1/24"]),
        (["routes": [["dst": "192.0.2.0/24", "gw": "fd00::1"]]], ["spec.routes[0].gw", "fd00::1", "IPv6"]),
        (["cooldown": "25h"], ["spec.cooldown", "24h"]),
        (["subnet": "10.0.0.1/24"], ["spec.subnet", "10.0.0.1/24"]),
        (["subnet": "fd00:0::/64"], ["spec.subnet", "fd00:0::/64", "\"fd00::/64\""]),
    ]

    @Test(arguments: pools.indices)
    func `a pool that makes no sense is code 100, where the API server has not refused it`(index: Int) async throws {
        let (spec, says) = Self.pools[index]
        try await PluginRig.run { rig in
            do {
                let pool = try await rig.makePool("pool", spec)
                try expectFailure(
                    try await rig.node.add(try rig.node.newSandbox(), rig.node.configuration(pools: [pool])),
                    code: 100, says: ["\"\(pool)\"", "invalid"] + says)
            } catch let error as APIError {
                // A newer server: its rules say the same.
                #expect(error.status?.code == 422, "\(error)")
            }
            try await rig.expectNothingHeld()
        }
    }

    @Test func `a pool without a usable address is code 100`() async throws {
        try await PluginRig.run { rig in
            let subnets = rig.subnets
            let pool = try await rig.makePool(
                "pool",
                [
                    "ranges": [rig.range4(0...2), .string(subnets.address4(255))],
                    "exclude": [.string(subnets.address4(2))], "gateway": .string(subnets.address4(1)),
                ])
            try expectFailure(
                try await rig.node.add(try rig.node.newSandbox(), rig.node.configuration(pools: [pool])), code: 100,
                says: ["\"\(pool)\"", "no address of \"\(subnets.subnet4)\" is usable"])
            try await rig.expectNothingHeld()
        }
    }

    @Test func `a pool that is being deleted is code 100`() async throws {
        try await PluginRig.run { rig in
            let pool = try await rig.makePool(hosts: 7...7)
            let finalizers: JSON = ["metadata": ["finalizers": ["example.com/hold"]]]
            try await rig.controlPlane.withAdmin {
                _ = try $0.patch(.ipPools, name: pool, patch: .merge(finalizers), deadline: .soon)
            }
            try await rig.deletePool(pool)
            let outcome = try await rig.node.add(try rig.node.newSandbox(), rig.node.configuration(pools: [pool]))
            let none: JSON = ["metadata": ["finalizers": .null]]
            try await rig.controlPlane.withAdmin {
                _ = try $0.patch(.ipPools, name: pool, patch: .merge(none), deadline: .soon)
            }
            try expectFailure(outcome, code: 100, says: ["\"\(pool)\"", "being deleted"])
            try await rig.expectNothingHeld()
        }
    }
}
