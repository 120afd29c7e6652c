import IPAMAPI
import IPAddressing
import JSONText
import TestSupport
import Testing

/// What users of k8s-ipam must find here.
@Suite("Seed: k8s-ipam", .controlPlane, .timeLimit(.minutes(10)))
struct SeedKubernetesTests {
    @Test func `K1: the address is in the range, its length is the mask's, and the gateway makes the default route`()
        async throws
    {
        try await PluginRig.run { rig in
            let subnets = rig.subnets
            let pools = [
                try await rig.makePool(
                    "v4", ["ranges": [rig.range4(50...59)], "gateway": .string(subnets.address4(1))]),
                try await rig.makePool(
                    "v6",
                    [
                        "subnet": .string(subnets.subnet6), "gateway": .string(subnets.address6(1)),
                        "ranges": [.string("\(subnets.address6(0x50))-\(subnets.address6(0x5F))")],
                    ]),
            ]
            let added = try await rig.node.add(try rig.node.newSandbox(), rig.node.configuration(pools: pools))
                .checked()
            #expect((50...59).map { "\(subnets.address4($0))/24" }.contains(added.interfaceAddresses[0]))
            #expect((0x50...0x5F).map { "\(subnets.address6($0))/64" }.contains(added.interfaceAddresses[1]))
            let routes = try #require(added.result?["routes"]?.array)
            #expect(
                Set(routes) == [
                    ["dst": "0.0.0.0/0", "gw": .string(subnets.address4(1))],
                    ["dst": "::/0", "gw": .string(subnets.address6(1))],
                ])
            #expect(
                added.result?["ips"]?.array?.map { $0["gateway"]?.string } == [
                    subnets.address4(1), subnets.address6(1),
                ])
        }
    }

    @Test(arguments: [65, 64, 48])
    func `K2: an IPv6 pool of any size gives distinct, random addresses`(length: Int) async throws {
        try await PluginRig.run { rig in
            let groups = rig.subnets.prefix6.split(separator: ":").prefix(3).joined(separator: ":")
            let subnet = length == 48 ? "\(groups)::/48" : "\(rig.subnets.prefix6)::/\(length)"
            let pool = try await rig.makePool("pool", ["subnet": .string(subnet)])
            let configuration = rig.node.configuration(pools: [pool])
            let added = try await concurrently(Array(0..<20)) { _ in
                try await rig.node.add(try rig.node.newSandbox(), configuration).checked()
            }
            let given = try added.flatMap(\.addresses).map { try IPAddress(parsing: $0) }
            let prefix = try IPPrefix(parsing: subnet)
            #expect(given.allSatisfy(prefix.contains))
            // Of 2^63 addresses, no two are neighbours, and they are not all at the bottom.
            let sorted = given.sorted()
            let distances = zip(sorted, sorted.dropFirst()).map { $1.value - $0.value }
            #expect(distances.count == 19)
            #expect(distances.allSatisfy { $0 > 1 << 20 })
        }
    }

    @Test func `K7: a pool full of live pods gives a prompt exhaustion error`() async throws {
        try await PluginRig.runThroughProxy { rig, proxy in
            let pool = try await rig.makePool(hosts: 10...14)
            let configuration = rig.node.configuration(pools: [pool])
            for index in 0..<5 {
                let pod = try await rig.makePod("live-\(index)")
                try await rig.node.add(try rig.node.newSandbox(pod: pod), configuration).checked()
            }
            let before = try await rig.objects()
            let pod = try await rig.makePod("late")
            proxy.clearLog()
            try expectFailure(
                try await rig.node.add(try rig.node.newSandbox(pod: pod), configuration), code: 101,
                says: ["\"\(pool)\"", "5 usable", "5 allocated", "0 cooling", "kubectl get ipallocations"])
            // Prompt: no address is tried twice, the pool is listed once, and nobody waits for better days.
            let creates = proxy.log.filter("create", "ipallocations.ipam.berth.dev").map { $0.request.action?.name }
            #expect(Set(creates).count == creates.count)
            #expect(proxy.log.count("list", "ipallocations.ipam.berth.dev") <= 1)
            #expect(proxy.log.count("get", "ippools.ipam.berth.dev") == 1)
            #expect(try await rig.objects() == before)
        }
    }

    @Test func `K8: gateway, network and broadcast address are never allocated`() async throws {
        try await PluginRig.run { rig in
            let subnets = rig.subnets
            let v4 = try await rig.makePool(
                "v4",
                [
                    "subnet": .string("\(subnets.address4(64))/28"), "gateway": .string(subnets.address4(78)),
                    "cooldown": "0s",
                ])
            // The subnet-router anycast address is IPv6's network address; a broadcast address it has none.
            let v6 = try await rig.makePool(
                "v6",
                [
                    "subnet": .string("\(subnets.prefix6)::40/124"), "gateway": .string(subnets.address6(0x41)),
                    "cooldown": "0s",
                ])
            let addresses = [
                v4: (65...77).map { subnets.address4($0) }, v6: (0x42...0x4F).map { subnets.address6($0) },
            ]
            for (pool, expected) in addresses {
                let configuration = rig.node.configuration(pools: [pool])
                let added = try await concurrently(expected) { _ in
                    try await rig.node.add(try rig.node.newSandbox(), configuration).checked().addresses
                }
                #expect(Set(added.flatMap(\.self)) == Set(expected))
                try expectFailure(try await rig.node.add(try rig.node.newSandbox(), configuration), code: 101)
            }
        }
    }

    @Test func `K10: 100 parallel ADDs are distinct, with bounded retries`() async throws {
        try await PluginRig.runThroughProxy { rig, proxy in
            let pool = try await rig.makePool(hosts: 1...254)
            let configuration = rig.node.configuration(pools: [pool])
            let added = try await concurrently(Array(0..<100)) { _ in
                try await rig.node.add(try rig.node.newSandbox(), configuration).checked().addresses
            }
            #expect(Set(added.flatMap(\.self)).count == 100)
            // Of random choices among 254, of which at most 100 are taken, about one in four meets a taken one.
            let creates = proxy.log.count("create", "ipallocations.ipam.berth.dev")
            #expect(creates >= 100 && creates < 250, "\(creates)")
            #expect(proxy.log.count("list", "ipallocations.ipam.berth.dev") <= 4)
        }
    }

    @Test func `K12: two interfaces of one pod have two addresses`() async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 10...19)])
            let pod = try await rig.makePod()
            let sandbox = try rig.node.newSandbox(pod: pod)
            var byInterface: [String: String] = [:]
            for interface in ["eth0", "net1"] {
                let added = try await rig.node.add(sandbox.with(interface: interface), configuration).checked()
                byInterface[interface] = added.addresses[0]
            }
            #expect(Set(byInterface.values).count == 2)
            let objects = try await rig.objects()
            #expect(objects.count == 2)
            for object in objects {
                let spec = try #require(object["spec"])
                let interface = try #require(spec["attachment"]?["interface"]?.string)
                #expect(byInterface[interface] == spec["address"]?.string)
                #expect(spec["pod"] == pod.reference.json)
            }
        }
    }

    @Test func `K13: DEL of an old sandbox after ADD of a same-named pod leaves the new address`() async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 10...11)])
            let oldPod = try await rig.makePod()
            let old = try rig.node.newSandbox(pod: oldPod)
            let first = try await rig.node.add(old, configuration).checked()
            let newPod = try await rig.recreate(oldPod)
            let new = try rig.node.newSandbox(pod: newPod)
            let second = try await rig.node.add(new, configuration).checked()
            #expect(first.addresses != second.addresses)
            expectSilentSuccess(try await rig.node.del(old, configuration, previous: first))
            #expect(try await rig.states() == [second.addresses[0]: "Bound"])
            let holder = try #require(try await rig.object(second.addresses[0]))
            #expect(holder["spec"]?["pod"]?["uid"]?.string == newPod.uid)
            expectSilentSuccess(try await rig.node.check(new, configuration, previous: second))
        }
    }

    @Test func `K15: a missing pool or kubeconfig is a clear error`() async throws {
        try await PluginRig.run { rig in
            let pool = rig.subnets.name("blue")
            let configuration = rig.node.configuration(pools: [pool])
            let failure = try expectFailure(
                try await rig.node.add(try rig.node.newSandbox(), configuration), code: 100)
            #expect(
                failure.message
                    == "IPPool \"\(pool)\" does not exist; `kubectl get ippools` lists those that do")
            try Files.remove(rig.node.kubeconfig)
            let unreadable = try expectFailure(
                try await rig.node.add(try rig.node.newSandbox(), configuration), code: 5)
            #expect(
                unreadable.message == "kubeconfig \(rig.node.kubeconfig): cannot be read: No such file or directory")
            try await rig.expectNothingHeld()
        }
    }
}
