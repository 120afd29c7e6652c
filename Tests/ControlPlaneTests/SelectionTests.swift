import IPAMAPI
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// Which pool an attachment gets its addresses from, as the plugin decides it.
@Suite("Selection", .controlPlane, .timeLimit(.minutes(10)))
struct SelectionTests {
    /// An ADD for a pod; the addresses, or the failure.
    private func add(
        _ rig: PluginRig, _ pod: TestPod?, on node: TestNode? = nil, _ configuration: JSON, interface: String = "eth0"
    ) async throws -> PluginOutcome {
        let node = node ?? rig.node
        return try await node.add(try node.newSandbox(pod: pod, interface: interface), configuration)
    }

    /// The last number of an address, which tells the tests' pools apart.
    private func host(_ outcome: PluginOutcome) throws -> Int {
        try #require(Int(try outcome.checked().addresses[0].split(separator: ".")[3]))
    }

    /// A pool of hosts that may be picked by annotations.
    private func openPool(_ rig: PluginRig, _ suffix: String, hosts: ClosedRange<Int>) async throws -> String {
        try await rig.makePool(
            suffix, ["ranges": [rig.range4(hosts)], "cooldown": "0s", "allowPodSelection": true])
    }

    // MARK: Levels

    @Test func `pod annotations come before those of the namespace, then the configuration, then default pools`()
        async throws
    {
        try await PluginRig.run { rig in
            let names = [
                try await rig.makePool(
                    "d", ["ranges": [rig.range4(10...19)], "default": true, "nodes": [.string(rig.node.name)]]),
                try await rig.makePool(hosts: 20...29), try await openPool(rig, "n", hosts: 30...39),
                try await openPool(rig, "p", hosts: 40...49), try await openPool(rig, "i", hosts: 50...59),
            ]
            let plain = rig.subnets.name("plain")
            let choosing = rig.subnets.name("choosing")
            try await rig.controlPlane.makeNamespace(plain)
            try await rig.controlPlane.makeNamespace(choosing, annotations: [AnnotationKey.pools: names[2]])
            let open = rig.node.configuration()
            let named = rig.node.configuration(pools: [names[1]])
            let pods = [
                try await rig.makePod("a", namespace: plain), try await rig.makePod("b", namespace: choosing),
                try await rig.makePod("c", namespace: choosing, annotations: [AnnotationKey.pools: names[3]]),
                try await rig.makePod(
                    "d", namespace: choosing,
                    annotations: [AnnotationKey.pools: names[3], "\(AnnotationKey.pools).net1": names[4]]),
            ]
            #expect(try (10...19).contains(host(try await add(rig, pods[0], open))))
            #expect(try (20...29).contains(host(try await add(rig, pods[0], named))))
            for configuration in [open, named] {
                #expect(try (30...39).contains(host(try await add(rig, pods[1], configuration))))
                #expect(try (40...49).contains(host(try await add(rig, pods[2], configuration))))
                #expect(try (40...49).contains(host(try await add(rig, pods[3], configuration))))
                let second = try await add(rig, pods[3], configuration, interface: "net1")
                #expect(try (50...59).contains(host(second)))
            }
            // A node that does not heed namespaces makes one request less, and does not follow their annotations.
            let deaf = rig.node.configuration(pools: [names[1]], ipam: ["namespaceAnnotations": false])
            #expect(try (20...29).contains(host(try await add(rig, pods[1], deaf))))
            // Also where the namespace is read for what pools ask of it.
            let pattern = rig.node.configuration(
                pools: ["\(names[1])*"], ipam: ["namespaceAnnotations": false])
            #expect(try (20...29).contains(host(try await add(rig, pods[1], pattern))))
        }
    }

    @Test func `a pool that does not allow it is not picked, unless the configuration lists it`() async throws {
        try await PluginRig.run { rig in
            let (closed, listed) = (
                try await rig.makePool("closed", hosts: 10...19), try await rig.makePool(hosts: 20...29)
            )
            let pod = try await rig.makePod(annotations: [AnnotationKey.pools: closed])
            let refused = try await add(rig, pod, rig.node.configuration(pools: [listed]))
            try expectFailure(refused, code: 107, says: [AnnotationKey.pools, closed, "spec.allowPodSelection"])
            let both = rig.node.configuration(pools: [listed, closed])
            #expect(try (10...19).contains(host(try await add(rig, pod, both))))
        }
    }

    @Test(
        arguments: [
            (AnnotationKey.pools, ","), (AnnotationKey.pools, "Wrong_Name"), (AnnotationKey.pools, "gone-for-good"),
            (AnnotationKey.families, "IPX"), (AnnotationKey.addresses, "10.0.0"), (AnnotationKey.routes, "nonsense"),
            (AnnotationKey.routes, #"[{"dst": "10.0.0.0/8", "gw": "192.0.2.1"}]"#),
        ])
    func `an invalid annotation fails the ADD, which quotes it and changes nothing`(key: String, text: String)
        async throws
    {
        try await PluginRig.run { rig in
            let pool = try await rig.makePool(hosts: 10...19)
            let pod = try await rig.makePod(annotations: [key: text])
            let failed = try await add(rig, pod, rig.node.configuration(pools: [pool]))
            // The value too.
            try expectFailure(failed, code: 107, says: ["\(key): \(text.debugDescription) of the pod"])
            try await rig.expectNothingHeld()
        }
    }

    // MARK: Order and backup pools

    @Test func `a full pool is followed by the next of the list, patterns in the order of names`() async throws {
        try await PluginRig.run { rig in
            let first = try await openPool(rig, "z", hosts: 10...10)
            _ = try await openPool(rig, "green-b", hosts: 30...30)
            _ = try await openPool(rig, "green-a", hosts: 20...20)
            let pattern = rig.subnets.name("green-*")
            let pod = try await rig.makePod(annotations: [AnnotationKey.pools: "\(first), \(pattern)"])
            let configuration = rig.node.configuration()
            for expected in [10, 20, 30] { #expect(try host(try await add(rig, pod, configuration)) == expected) }
            let full = try await add(rig, pod, configuration)
            try expectFailure(full, code: 101, says: [first, rig.subnets.name("green-a"), rig.subnets.name("green-b")])
        }
    }

    @Test func `one interface's full pool does not drain the others, nor one family the other one`() async throws {
        try await PluginRig.run { rig in
            let full = try await openPool(rig, "full", hosts: 10...10)
            let roomy = try await openPool(rig, "roomy", hosts: 20...29)
            let six = try await rig.makePool6(hosts: 1...0xFF)
            try await rig.changePool(six, ["allowPodSelection": true])
            let pod = try await rig.makePod(annotations: [
                "\(AnnotationKey.pools).net1": "\(full),\(six)", "\(AnnotationKey.pools).net2": roomy,
            ])
            let configuration = rig.node.configuration()
            #expect(try await add(rig, pod, configuration, interface: "net1").checked().addresses.count == 2)
            let before = try await rig.states()
            try expectFailure(try await add(rig, pod, configuration, interface: "net1"), code: 101)
            #expect(try await rig.states() == before)
            #expect(try (20...29).contains(host(try await add(rig, pod, configuration, interface: "net2"))))
        }
    }

    @Test func `families that are wanted are all that is given`() async throws {
        try await PluginRig.run { rig in
            let pools = [try await rig.makePool(hosts: 10...19), try await rig.makePool6(hosts: 1...9)]
            let plain = try await rig.makePod("a")
            let single = try await rig.makePod("b", annotations: [AnnotationKey.families: "IPv6"])
            let configuration = rig.node.configuration(pools: pools)
            #expect(try await add(rig, plain, configuration).checked().addresses.count == 2)
            #expect(try await add(rig, single, configuration).checked().addresses.allSatisfy { $0.contains(":") })
            let four = rig.node.configuration(pools: pools, ipam: ["families": ["IPv4"]])
            #expect(try await add(rig, plain, four).checked().addresses.allSatisfy { !$0.contains(":") })
        }
    }

    // MARK: What pools select by

    @Test func `a default pool of a selector serves before one without, and nobody else`() async throws {
        try await PluginRig.run { rig in
            let node: JSON = [.string(rig.node.name)]
            try await rig.makePool("all", ["ranges": [rig.range4(10...19)], "default": true, "nodes": node])
            try await rig.makePool(
                "web",
                [
                    "ranges": [rig.range4(20...29)], "default": true, "nodes": node,
                    "podSelector": ["matchLabels": ["tier": "web"]],
                ])
            let team = rig.subnets.name("team")
            try await rig.controlPlane.makeNamespace(team, labels: ["team": "a"])
            try await rig.makePool(
                "team",
                [
                    "ranges": [rig.range4(30...39)], "default": true, "nodes": node,
                    "namespaceSelector": ["matchExpressions": [["key": "team", "operator": "In", "values": ["a"]]]],
                    "namespaces": [.string(team)],
                ])
            let configuration = rig.node.configuration()
            let (plain, web) = (try await rig.makePod("a"), try await rig.makePod("b", labels: ["tier": "web"]))
            #expect(try (10...19).contains(host(try await add(rig, plain, configuration))))
            #expect(try (20...29).contains(host(try await add(rig, web, configuration))))
            let teammate = try await rig.makePod("c", namespace: team, labels: ["tier": "web"])
            #expect(try (30...39).contains(host(try await add(rig, teammate, configuration))))
            // Without a pod only what asks for none.
            #expect(try (10...19).contains(host(try await add(rig, nil, configuration))))
        }
    }

    @Test func `C7, C8: each node gets range, gateway and mask of its own network, and no other`() async throws {
        try await PluginRig.run { rig in
            let nodes = [try await rig.makeNode("rack1-n1"), try await rig.makeNode("rack2-n1")]
            var pools: [String] = []
            for rack in 1...2 {
                let subnet = "\(rig.subnets.address4(64 * rack))/26"
                pools.append(
                    try await rig.makePool(
                        "rack\(rack)",
                        [
                            "subnet": .string(subnet), "gateway": .string(rig.subnets.address4(64 * rack + 1)),
                            "nodes": [.string(rig.subnets.name("rack\(rack)-n[1-9]"))],
                        ]))
            }
            for (index, node) in nodes.enumerated() {
                let added = try await node.add(try node.newSandbox(), node.configuration(pools: pools)).checked()
                let first = 64 * (index + 1)
                #expect(try (first + 2..<first + 63).contains(host(added)))
                #expect(added.interfaceAddresses[0].hasSuffix("/26"))
                let gateway = added.result?["ips"]?.array?.first?["gateway"]?.string
                #expect(gateway == rig.subnets.address4(first + 1))
            }
            let stranger = try await add(rig, nil, rig.node.configuration(pools: pools))
            try expectFailure(stranger, code: 100, says: [rig.node.name, "eth0"] + pools)
        }
    }

    @Test func `C8: networks are chosen by node labels, and by master interface`() async throws {
        try await PluginRig.run { rig in
            let zones = [
                try await rig.makePool(
                    "z1", ["ranges": [rig.range4(10...19)], "nodeSelector": ["matchLabels": ["zone": "z1"]]]),
                try await rig.makePool(
                    "z2", ["ranges": [rig.range4(20...29)], "nodeSelector": ["matchLabels": ["zone": "z2"]]]),
            ]
            let object: JSON = [
                "apiVersion": "v1", "kind": "Node",
                "metadata": ["name": .string(rig.node.name), "labels": ["zone": "z2"]],
            ]
            let name = rig.node.name
            _ = try await rig.controlPlane.withAdmin {
                try $0.create(.nodes, name: name, object: object, deadline: .soon)
            }
            #expect(try (20...29).contains(host(try await add(rig, nil, rig.node.configuration(pools: zones)))))
            _ = try await rig.controlPlane.withAdmin {
                try $0.delete(.nodes, name: name, preconditions: nil, deadline: .soon)
            }
            let masters = [
                try await rig.makePool("m1", ["ranges": [rig.range4(30...39)], "masters": ["eth1"]]),
                try await rig.makePool("m2", ["ranges": [rig.range4(40...49)], "masters": ["bond*"]]),
            ]
            for (master, range) in [("eth1", 30...39), ("bond0", 40...49)] {
                let configuration = rig.node.configuration(
                    pools: masters, members: ["type": "macvlan", "master": .string(master)])
                #expect(try range.contains(host(try await add(rig, nil, configuration))))
            }
            let none = rig.node.configuration(pools: masters, members: ["master": "eth7"])
            try expectFailure(try await add(rig, nil, none), code: 100, says: ["eth7", rig.node.name])
        }
    }

    @Test func `F1, F7: the node's own address decides, and no pod needs to have one yet`() async throws {
        try await PluginRig.run { rig in
            let nodes = [
                try await rig.makeNode("a", settings: ["nodeAddresses": ["10.1.2.3"]]),
                try await rig.makeNode("b", settings: ["nodeAddresses": ["192.168.7.7", "10.2.2.3"]]),
                try await rig.makeNode("c", settings: ["nodeAddresses": ["172.16.0.1"]]),
            ]
            let pools = [
                try await rig.makePool("one", ["ranges": [rig.range4(10...19)], "nodeSubnets": ["10.1.0.0/16"]]),
                try await rig.makePool(
                    "two", ["ranges": [rig.range4(20...29)], "nodeSubnets": ["10.2.0.0/16", "10.3.0.0/16"]]),
            ]
            for (node, range) in [(nodes[0], 10...19), (nodes[1], 20...29)] {
                let pod = try await rig.makePod("pod-\(node.name.suffix(1))", on: node)
                let added = try await add(rig, pod, on: node, node.configuration(pools: pools))
                #expect(try range.contains(host(added)))
            }
            let failed = try await add(rig, nil, on: nodes[2], nodes[2].configuration(pools: pools))
            try expectFailure(failed, code: 100, says: ["10.1.0.0/16", "172.16.0.1", nodes[2].name])
        }
    }

    // MARK: Addresses and routes by annotation

    @Test func `a pod gets the addresses that it names, or a clear refusal`() async throws {
        try await PluginRig.run { rig in
            let pools = [try await rig.makePool(hosts: 10...19), try await rig.makePool6(hosts: 1...9)]
            let wanted = rig.subnets.address4(15)
            let annotations = ["\(AnnotationKey.addresses).net1": wanted]
            let (pod, rival) = (
                try await rig.makePod("a", annotations: annotations),
                try await rig.makePod("b", annotations: annotations)
            )
            let configuration = rig.node.configuration(pools: pools)
            let added = try await add(rig, pod, configuration, interface: "net1").checked()
            #expect(added.addresses.count == 2 && added.addresses[0] == wanted)
            let refused = try await add(rig, rival, configuration, interface: "net1")
            try expectFailure(refused, code: 102, says: [wanted, pod.name])
            // Another interface is not meant; and a pool that is not for the namespace gives it to nobody.
            #expect(try await add(rig, rival, configuration).checked().addresses[0] != wanted)
            let exclusive = try await rig.makePool(
                "x", ["ranges": [rig.range4(30...39)], "namespaces": [.string(rig.subnets.name("other"))]])
            let thief = try await rig.makePod(
                "c", annotations: [AnnotationKey.addresses: rig.subnets.address4(35)])
            let both = rig.node.configuration(pools: [pools[0], exclusive])
            try expectFailure(try await add(rig, thief, both), code: 102, says: [rig.subnets.address4(35)])
        }
    }

    @Test func `routes of the pod's annotation are in the result`() async throws {
        try await PluginRig.run { rig in
            let pool = try await rig.makePool(
                "pool", ["ranges": [rig.range4(10...19)], "gateway": .string(rig.subnets.address4(1))])
            let gateway = rig.subnets.address4(2)
            let pod = try await rig.makePod(annotations: [
                AnnotationKey.routes: #"[{"dst": "10.99.0.0/16", "gw": "\#(gateway)"}]"#
            ])
            let added = try await add(rig, pod, rig.node.configuration(pools: [pool])).checked()
            let routes = added.result?["routes"]?.array ?? []
            #expect(routes.map { $0["dst"]?.string } == ["10.99.0.0/16", "0.0.0.0/0"])
            #expect(routes.first?["gw"]?.string == gateway)
        }
    }

    // MARK: Samples

    @Test func `the API server takes every sample`() async throws {
        let controlPlane = try await ControlPlane.ready()
        try await ControlPlane.kubeVirt.value
        try await ControlPlane.ipamClaims.value
        try await ControlPlane.networkAttachmentDefinitions.value
        // Nothing is made: a default pool of a sample would serve other tests.
        let created = try await controlPlane.kubectl([
            "create", "--dry-run=server", "--validate=false", "-o", "name", "-f", "\(Repository.root)/config/samples",
        ])
        #expect(created.split(separator: "\n").count >= 15, "\(created)")
    }

    @Test(arguments: [(0, "greater than or equal to 1"), (1, nil), (1_000_000_001, "less than or equal to 1000000000")])
    func `the API server takes no quota that serves nobody`(quota: Int, refusal: String?) async throws {
        let controlPlane = try await ControlPlane.ready()
        let object: JSON = [
            "apiVersion": .string(BerthAPI.apiVersion), "kind": "IPPool", "metadata": ["name": "quota"],
            "spec": ["subnet": "192.0.2.0/24", "namespaceQuota": .int(quota)],
        ]
        let message = try await controlPlane.withAdmin { client -> String? in
            do throws(APIError) {
                _ = try client.create(
                    .ipPools, name: "quota", object: object, options: WriteOptions(dryRun: true), deadline: .soon)
                return nil
            } catch {
                return "\(error)"
            }
        }
        guard let refusal else {
            #expect(message == nil)
            return
        }
        #expect(message?.contains("spec.namespaceQuota") == true, "\(message ?? "it was taken")")
        #expect(message?.contains(refusal) == true, "\(message ?? "it was taken")")
    }

    // MARK: Pools that take no claims

    @Test(arguments: ["disabled", "draining"])
    func `a pool that is disabled or drained gives nothing new, and releases go on`(member: String) async throws {
        try await PluginRig.run { rig in
            let pools = [try await rig.makePool("old", hosts: 10...19), try await rig.makePool(hosts: 20...29)]
            let configuration = rig.node.configuration(pools: pools)
            let sandbox = try rig.node.newSandbox()
            let added = try await rig.node.add(sandbox, configuration).checked()
            #expect(try (10...19).contains(host(added)))
            try await rig.changePool(pools[0], member == "disabled" ? ["disabled": true] : ["draining": true])
            #expect(try (20...29).contains(host(try await add(rig, nil, configuration))))
            // The same attachment keeps what it has.
            #expect(try await rig.node.add(sandbox, configuration).checked().addresses == added.addresses)
            expectSilentSuccess(try await rig.node.del(sandbox, configuration, previous: added))
            #expect(try await rig.states()[added.addresses[0]] == nil)
            try expectFailure(
                try await add(rig, nil, rig.node.configuration(pools: [pools[0]])), code: 100,
                says: ["spec.\(member)"])
        }
    }
}
