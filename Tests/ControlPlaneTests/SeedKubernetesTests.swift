import IPAMAPI
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
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

    // MARK: The node decides

    /// Without `nodeAddresses` in `berth.conf`: the kernel is asked.
    @Test func `F1: of the subnets of one group that of an address on the node's own interfaces serves`() async throws {
        try await PluginRig.run { rig in
            let racks = [Subnets.next(), Subnets.next()]
            for (index, rack) in racks.enumerated() {
                try await rig.makePool(
                    "rack\(index)",
                    [
                        "subnet": .string("\(rig.subnets.address4(64 * index))/26"),
                        "gateway": .string(rig.subnets.address4(64 * index + 1)),
                        "nodeSubnets": [.string(rack.subnet4)], "cooldown": "0s",
                    ])
            }
            let configuration = rig.node.configuration(pools: [rig.subnets.name("rack*")])
            func expectNone() async throws {
                let outcome = try await rig.node.add(try rig.node.newSandbox(), configuration)
                try expectFailure(
                    outcome, code: 100, says: [rig.node.name, racks[0].subnet4, racks[1].subnet4, "spec.nodeSubnets"])
                try await rig.expectNothingHeld()
            }
            try await expectNone()
            for (index, rack) in racks.enumerated() {
                try await withInterfaceAddress("\(rack.address4(7))/32") {
                    let sandbox = try rig.node.newSandbox()
                    let added = try await rig.node.add(sandbox, configuration).checked()
                    let first = 64 * index
                    let expected = (first + 2..<first + 63).map { "\(rig.subnets.address4($0))/26" }
                    #expect(expected.contains(added.interfaceAddresses[0]))
                    let entry = try #require(added.result?["ips"]?.array?.first)
                    #expect(entry["gateway"]?.string == rig.subnets.address4(first + 1))
                    expectSilentSuccess(try await rig.node.del(sandbox, configuration))
                }
            }
            try await expectNone()
        }
    }

    @Test func `F7: an ADD works before the pod has a hostIP, and does not believe a wrong one`() async throws {
        try await PluginRig.run { rig in
            let node = try await rig.makeNode("own", settings: ["nodeAddresses": ["10.1.2.3"]])
            let pools = [
                try await rig.makePool(
                    "a", ["ranges": [rig.range4(10...19)], "cooldown": "0s", "nodeSubnets": ["10.1.0.0/16"]]),
                try await rig.makePool(
                    "b", ["ranges": [rig.range4(20...29)], "cooldown": "0s", "nodeSubnets": ["10.2.0.0/16"]]),
            ]
            let pod = try await rig.makePod(on: node)
            let own = Set((10...19).map { rig.subnets.address4($0) })
            for hostIP in [nil, "10.2.0.9"] {
                if let hostIP {
                    let status: JSON = ["status": ["hostIP": .string(hostIP)]]
                    _ = try await rig.controlPlane.withAdmin {
                        try $0.patch(
                            .pods, namespace: pod.namespace, name: pod.name, patch: .merge(status),
                            subresource: "status", deadline: .soon)
                    }
                }
                let read = try await rig.controlPlane.withAdmin {
                    try $0.get(.pods, namespace: pod.namespace, name: pod.name, deadline: .soon)
                }
                #expect(read["status"]?["hostIP"]?.string == hostIP)
                let sandbox = try node.newSandbox(pod: pod)
                let added = try await node.add(sandbox, node.configuration(pools: pools)).checked()
                #expect(own.isSuperset(of: added.addresses))
                expectSilentSuccess(try await node.del(sandbox, node.configuration(pools: pools)))
            }
        }
    }

    // MARK: CHECK

    @Test func `F8: CHECK fails for an address that is kept for the pod, is its next sandbox's, or is no more`()
        async throws
    {
        try await IdentityBench.run { identity in
            let bench = identity.bench
            let pool = try await bench.makePool(cooldown: "0s")
            let configuration = bench.configuration([pool])
            let pod = try await identity.pod()
            let (old, new) = (try identity.sandbox(of: pod), try identity.sandbox(of: pod))
            let added = try await identity.add(old, pool).checked()
            func expectNotHeld() async throws {
                let checked = try await bench.node.check(old, configuration, previous: added)
                try expectFailure(checked, code: PluginCode.notHeld, says: [old.containerID])
            }
            try await bench.node.check(old, configuration, previous: added).checked()
            try await identity.del(old, pool)
            #expect(try await identity.allocation(added.addresses[0])?.spec.state == .held)
            try await expectNotHeld()
            #expect(try await identity.add(new, pool).checked().addresses == added.addresses)
            try await expectNotHeld()
            try await bench.node.check(new, configuration, previous: added).checked()
            // As an administrator does, or a restored backup.
            try await bench.deleteAllocation(added.addresses[0])
            let gone = try await bench.node.check(new, configuration, previous: added)
            try expectFailure(gone, code: PluginCode.notHeld, says: [added.addresses[0], new.containerID])
        }
    }

    /// Adds an address to an interface of this machine for as long as `body` runs.
    private func withInterfaceAddress(_ address: String, _ body: () async throws -> Void) async throws {
        // At most 15 characters.
        let name = "v\(Subnets.next().name.suffix(12))"
        try await runChecked("ip", ["link", "add", name, "type", "veth"])
        let result: Result<Void, any Error>
        do {
            try await runChecked("ip", ["address", "add", address, "dev", name])
            result = .success(try await body())
        } catch {
            result = .failure(error)
        }
        // Also when the test was cancelled.
        try await Task.detached { _ = try await runChecked("ip", ["link", "del", name]) }.value
        try result.get()
    }
}
