import IPAMAPI
import JSONText
import TestSupport
import Testing

/// The checklist of CNI 1.1, section "Requested addresses and arguments"; each test says its line.
@Suite("CNI: requested addresses and arguments", .controlPlane, .timeLimit(.minutes(10)))
struct ConformanceRequestTests {
    /// The places where a runtime may ask for addresses, in the order in which they count.
    enum Source: Int, CaseIterable, Sendable, Comparable {
        case runtimeConfig, args, environment

        static func < (a: Source, b: Source) -> Bool { a.rawValue < b.rawValue }

        func ask(for addresses: [String], _ configuration: inout JSON, _ sandbox: inout TestSandbox) {
            switch self {
            case .runtimeConfig: configuration["runtimeConfig"] = ["ips": .strings(addresses)]
            case .args: configuration["args"] = ["cni": ["ips": .strings(addresses)]]
            case .environment:
                sandbox.ownArguments = "IgnoreUnknown=1;IP=\(addresses.joined(separator: ","));K8S_POD_UID="
            }
        }
    }

    // MARK: Line 1

    @Test func `Requests 1: runtimeConfig comes before args, args before CNI_ARGS, and that before the configuration`()
        async throws
    {
        try await PluginRig.run { rig in
            let pool = try await rig.makePool(hosts: 10...29)
            let subsets = (1..<8).map { bits in Source.allCases.filter { bits >> $0.rawValue & 1 == 1 } }
            for (index, sources) in subsets.enumerated() {
                var configuration = rig.node.configuration(pools: [pool])
                var sandbox = try rig.node.newSandbox()
                // Each asks for another address, and those of the weaker ones could not even be given.
                for source in sources {
                    let host = source == sources.min() ? 10 + index : 100 + source.rawValue
                    source.ask(for: [rig.subnets.address4(host)], &configuration, &sandbox)
                }
                let added = try await rig.node.add(sandbox, configuration).checked()
                #expect(added.interfaceAddresses == ["\(rig.subnets.address4(10 + index))/24"], "\(sources)")
            }
            // Without a request the pool decides; an empty list is none.
            var configuration = rig.node.configuration(pools: [pool])
            configuration["runtimeConfig"] = ["ips": []]
            configuration["args"] = ["cni": ["ips": []]]
            let added = try await rig.node.add(try rig.node.newSandbox(), configuration).checked()
            #expect(added.addresses.count == 1)
        }
    }

    // MARK: Line 2

    @Test(arguments: Source.allCases)
    func `Requests 2: with and without a length, lists, and both families`(source: Source) async throws {
        try await PluginRig.run { rig in
            let subnets = rig.subnets
            let pools = [try await rig.makePool(hosts: 10...29), try await rig.makePool6(hosts: 0x10...0x2F)]
            let requests: [(asked: [String], given: [String])] = [
                (
                    [subnets.address4(10), subnets.address6(0x10)],
                    ["\(subnets.address4(10))/24", "\(subnets.address6(0x10))/64"]
                ),
                (
                    ["\(subnets.address6(0x11))/64", "\(subnets.address4(11))/24"],
                    ["\(subnets.address4(11))/24", "\(subnets.address6(0x11))/64"]
                ),
            ]
            for (asked, given) in requests {
                var configuration = rig.node.configuration(pools: pools)
                var sandbox = try rig.node.newSandbox()
                source.ask(for: asked, &configuration, &sandbox)
                let added = try await rig.node.add(sandbox, configuration).checked()
                #expect(added.interfaceAddresses == given)
            }
            // One family by name leaves the other one to the pool.
            var configuration = rig.node.configuration(pools: pools)
            var sandbox = try rig.node.newSandbox()
            source.ask(for: [subnets.address6(0x12)], &configuration, &sandbox)
            let added = try await rig.node.add(sandbox, configuration).checked()
            #expect(added.addresses.count == 2)
            #expect(added.addresses[0].hasPrefix(subnets.prefix4))
            #expect(added.addresses[1] == subnets.address6(0x12))
        }
    }

    @Test func `Requests 2: an address may be spelled in any way that IPv6 knows`() async throws {
        try await PluginRig.run { rig in
            var configuration = rig.node.configuration(pools: [try await rig.makePool6(hosts: 0x10...0x2F)])
            let spelled = "\(rig.subnets.prefix6):0000:0:0:001F".uppercased()
            configuration["runtimeConfig"] = ["ips": [.string(spelled)]]
            let added = try await rig.node.add(try rig.node.newSandbox(), configuration).checked()
            #expect(added.addresses == [rig.subnets.address6(0x1F)])
            #expect(try await rig.states() == [rig.subnets.address6(0x1F): "Bound"])
        }
    }

    // MARK: Line 3

    @Test func `Requests 3: runtimeConfig-ipRanges gives an address for each list, from its first range with room`()
        async throws
    {
        try await PluginRig.run { rig in
            let subnets = rig.subnets
            func range(_ hosts: ClosedRange<Int>) -> JSON {
                [
                    "subnet": .string(subnets.subnet4), "rangeStart": .string(subnets.address4(hosts.lowerBound)),
                    "rangeEnd": .string(subnets.address4(hosts.upperBound)),
                    "gateway": .string(subnets.address4(1)),
                ]
            }
            let configuration = rig.node.configuration(members: [
                "runtimeConfig": [
                    "ipRanges": [[range(10...10), range(20...20)], [["subnet": .string(subnets.subnet6)]]]
                ]
            ])
            for host in [10, 20] {
                let added = try await rig.node.add(try rig.node.newSandbox(), configuration).checked()
                #expect(added.interfaceAddresses.first == "\(subnets.address4(host))/24")
                #expect(added.addresses.count == 2)
                #expect(added.addresses.last?.hasPrefix(subnets.prefix6) == true)
                #expect(added.result?["ips"]?.array?.first?["gateway"]?.string == subnets.address4(1))
            }
            let before = try await rig.states()
            try expectFailure(try await rig.node.add(try rig.node.newSandbox(), configuration), code: 101)
            #expect(try await rig.states() == before)
        }
    }

    // MARK: Line 4

    @Test(arguments: Source.allCases)
    func `Requests 4: an address that is taken, or outside, or one too many, is refused and nothing is leaked`(
        source: Source
    ) async throws {
        try await PluginRig.run { rig in
            let subnets = rig.subnets
            let pools = [
                try await rig.makePool(
                    "v4",
                    [
                        "ranges": [rig.range4(10...29)], "exclude": [.string(subnets.address4(15))],
                        "gateway": .string(subnets.address4(20)), "cooldown": "0s",
                    ]),
                try await rig.makePool6(hosts: 0x10...0x2F),
            ]
            let holder = try rig.node.newSandbox(pod: try await rig.makePod())
            var configuration = rig.node.configuration(pools: pools)
            configuration["runtimeConfig"] = ["ips": [.string(subnets.address4(11))]]
            let taken = try await rig.node.add(holder, configuration).checked()
            let before = try await rig.objects()
            let requests: [(addresses: [String], says: [String])] = [
                ([subnets.address4(11)], [subnets.address4(11), "taken", "default/\(subnets.name("pod"))"]),
                // With a free one beside it.
                ([subnets.address4(12), taken.addresses[1]], [taken.addresses[1], "taken"]),
                (["192.0.2.1"], ["192.0.2.1", "\"\(pools[0])\"", "does not contain it"]),
                ([subnets.address6(0x12), subnets.address4(30)], [subnets.address4(30), "\"\(pools[0])\"", "ranges"]),
                ([subnets.address4(15)], [subnets.address4(15), "exclude"]),
                ([subnets.address4(20)], [subnets.address4(20), "gateway"]),
                ([subnets.address4(0)], [subnets.address4(0), "network"]),
                ([subnets.address4(12), subnets.address4(13)], [subnets.address4(13), "more addresses"]),
            ]
            for (addresses, says) in requests {
                var configuration = rig.node.configuration(pools: pools)
                var sandbox = try rig.node.newSandbox()
                source.ask(for: addresses, &configuration, &sandbox)
                try expectFailure(try await rig.node.add(sandbox, configuration), code: 102, says: says)
                #expect(try await rig.objects() == before)
            }
        }
    }

    @Test func `Requests 4: of one family without a pool, a requested address is refused`() async throws {
        try await PluginRig.run { rig in
            let pool = try await rig.makePool(hosts: 10...29)
            var configuration = rig.node.configuration(pools: [pool])
            configuration["runtimeConfig"] = ["ips": [.string(rig.subnets.address6(1))]]
            try expectFailure(
                try await rig.node.add(try rig.node.newSandbox(), configuration), code: 102,
                says: [rig.subnets.address6(1), "\"\(pool)\"", "IPv4"])
            try await rig.expectNothingHeld()
        }
    }

    @Test func `Requests 4: the holder of a requested address may ask for it again`() async throws {
        try await PluginRig.run { rig in
            let pool = try await rig.makePool(hosts: 10...29)
            var configuration = rig.node.configuration(pools: [pool])
            configuration["runtimeConfig"] = ["ips": [.string(rig.subnets.address4(17))]]
            let sandbox = try rig.node.newSandbox()
            for _ in 0..<2 {
                let added = try await rig.node.add(sandbox, configuration).checked()
                #expect(added.addresses == [rig.subnets.address4(17)])
            }
            try Files.removeTree(rig.node.journal)
            #expect(try await rig.node.add(sandbox, configuration).checked().addresses == [rig.subnets.address4(17)])
            #expect(try await rig.states().count == 1)
        }
    }

    // MARK: Line 5

    @Test(arguments: ["", "IgnoreUnknown=0;", "IgnoreUnknown=no;", "ignoreunknown=1;"])
    func `Requests 5: an unknown key of CNI_ARGS is an error`(permission: String) async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            var sandbox = try rig.node.newSandbox()
            sandbox.ownArguments = "\(permission)SHOE_SIZE=42"
            try expectFailure(
                try await rig.node.add(sandbox, configuration), code: 4, says: ["SHOE_SIZE", "IgnoreUnknown=1"])
            try await rig.expectNothingHeld()
        }
    }

    @Test(arguments: ["1", "true", "True"])
    func `Requests 5: unless IgnoreUnknown says otherwise`(value: String) async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            var sandbox = try rig.node.newSandbox()
            sandbox.ownArguments = "SHOE_SIZE=42;A=b=c;IgnoreUnknown=\(value)"
            #expect(try await rig.node.add(sandbox, configuration).checked().addresses == [rig.subnets.address4(7)])
        }
    }

    @Test func `Requests 5: what Multus sends is understood, repeated keys and values with = included`() async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(
                pools: [try await rig.makePool(hosts: 10...29), try await rig.makePool6(hosts: 0x10...0x2F)])
            let pod = try await rig.makePod()
            var sandbox = try rig.node.newSandbox(pod: pod, interface: "net1")
            let once = try #require(sandbox.arguments)
            let addresses = [rig.subnets.address4(12), rig.subnets.address6(0x12)]
            sandbox.ownArguments =
                "\(once);IP=\(addresses.joined(separator: ","));\(once);K8S_POD_UID=;MAC=02:00==;IgnoreUnknown=true"
            let added = try await rig.node.add(sandbox, configuration).checked()
            #expect(added.addresses == addresses)
            for allocation in try await rig.objects() {
                #expect(allocation["spec"]?["origin"]?.string == "Pod")
                #expect(allocation["spec"]?["pod"] == pod.reference.json)
                #expect(allocation["spec"]?["node"]?.string == rig.node.name)
                #expect(allocation["spec"]?["attachment"] == sandbox.attachment().json)
            }
            #expect(try await rig.states().count == 2)
        }
    }

    @Test func `Requests 5: without K8S_POD_UID the UID is read from the pod, without a pod there is none`()
        async throws
    {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 10...29)])
            let pod = try await rig.makePod()
            var sandbox = try rig.node.newSandbox(pod: pod)
            sandbox.ownArguments = pod.arguments(containerID: sandbox.containerID, uid: "")
            let address = try await rig.node.add(sandbox, configuration).checked().addresses[0]
            #expect(try await rig.object(address)?["spec"]?["pod"] == pod.reference.json)

            let container = try await rig.node.add(try rig.node.newSandbox(), configuration).checked().addresses[0]
            let spec = try #require(try await rig.object(container)?["spec"])
            #expect(spec["origin"]?.string == "Container")
            #expect(spec["pod"] == nil)
        }
    }
}
