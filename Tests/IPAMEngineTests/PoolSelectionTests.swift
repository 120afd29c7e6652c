import IPAMAPI
import IPAddressing
import JSONText
import KubernetesCore
import Testing

@testable import IPAMEngine

@Suite struct PoolSelectionTests {
    private typealias Selection = IPPool.Selection

    private func pool(
        _ name: String, _ subnet: String, disabled: Bool = false, draining: Bool = false,
        _ selection: IPPool.Selection = .init(), labels: [String: String] = [:]
    ) throws -> ValidatedPool {
        try ValidatedPool(
            IPPool(
                metadata: ObjectMetadata(name: name, uid: "uid-\(name)", generation: 1, labels: labels),
                spec: IPPool.Spec(subnet: subnet, disabled: disabled, draining: draining, selection: selection)))
    }

    private func patterns(_ texts: [String]) throws -> [NamePattern] { try texts.map { try NamePattern(parsing: $0) } }

    private func facts(
        pod: [String: String] = [:], namespace: [String: String] = [:], labels: [String: String] = [:],
        namespaceLabels: [String: String] = [:], interface: String = "eth0"
    ) -> SelectionFacts {
        SelectionFacts(
            pod: .init(namespace: "shop", name: "web", marks: .init(labels: labels, annotations: pod)),
            namespace: .init(labels: namespaceLabels, annotations: namespace), node: "n1", interface: interface,
            network: "blue")
    }

    private func select(
        _ demand: PoolDemand, _ facts: SelectionFacts, _ pools: [ValidatedPool], families: [IPFamily]? = nil
    ) throws -> PoolSelection {
        let request = try PoolRequest(demand, families: families, facts: facts)
        return PoolSelection(
            request.list, request, pools: Dictionary(uniqueKeysWithValues: pools.map { ($0.name, .success($0)) }),
            facts: facts)
    }

    private func names(_ selection: PoolSelection) throws -> [[String]] {
        try selection.plans().map { $0.pools.map(\.name) }
    }

    @Test(arguments: [["blue-*", "blue-v6"], ["blue-v6", "blue-*"]])
    func `a pool that is named must serve, whatever pattern names it too`(texts: [String]) throws {
        let open = IPPool.Selection(allowPodSelection: true)
        let pools = [try pool("blue-v4", "10.9.0.0/24", open), try pool("blue-v6", "fd09::/64")]
        let annotated = facts(pod: ["ipam.berth.dev/pools": texts.joined(separator: ", ")])
        let selection = try select(.defaults, annotated, pools)
        guard case .annotation(let text)? = selection.problem else {
            Issue.record("\(String(describing: selection.problem))")
            return
        }
        #expect(text.contains("IPPool \"blue-v6\" may not be picked by annotations"), "\(text)")
        let matched = try select(.defaults, facts(pod: ["ipam.berth.dev/pools": "blue-*"]), pools)
        #expect(matched.problem == nil)
    }

    // MARK: Which level decides

    private static let levels = [
        ("ipam.berth.dev/pools.eth0", true), ("ipam.berth.dev/pools", true), ("ipam.berth.dev/pools.eth0", false),
        ("ipam.berth.dev/pools", false),
    ]

    @Test func `the first level that names pools decides`() throws {
        var pods: [String: String] = [:]
        var namespaces: [String: String] = [:]
        var pools = [try pool("configured", "10.9.0.0/24"), try pool("default", "10.8.0.0/24", .init(isDefault: true))]
        let demand = PoolDemand.named(try patterns(["configured"]))
        #expect(try names(select(.defaults, facts(), pools)) == [["default"]])
        #expect(try names(select(demand, facts(), pools)) == [["configured"]])
        for (index, (key, isPod)) in Self.levels.enumerated().reversed() {
            pools.append(try pool("level-\(index)", "10.\(index).0.0/24", .init(allowPodSelection: true)))
            if isPod { pods[key] = "level-\(index)" } else { namespaces[key] = "level-\(index)" }
            for demand in [demand, .defaults] {
                let facts = facts(pod: pods, namespace: namespaces)
                #expect(try names(select(demand, facts, pools)) == [["level-\(index)"]])
            }
        }
        // What is for another interface does not count.
        let other = facts(pod: ["ipam.berth.dev/pools.net1": "level-0"])
        #expect(try names(select(demand, other, pools)) == [["configured"]])
    }

    @Test func `an annotation comes before the configuration's own ranges`() throws {
        let ranges = PoolDemand.inline([[InlinePoolDefinition(subnet: try IPPrefix(parsing: "10.0.0.0/24"))]])
        #expect(try PoolRequest(ranges, facts: facts()).list == nil)
        let request = try PoolRequest(ranges, facts: facts(pod: ["ipam.berth.dev/pools": "a"]))
        #expect(request.list?.patterns.map(\.text) == ["a"])
    }

    // MARK: Order

    @Test func `pools are tried in the order of the list, patterns in that of the names`() throws {
        let pools = [
            try pool("green-b", "10.2.0.0/24"), try pool("blue", "10.1.0.0/24"), try pool("green-a", "10.3.0.0/24"),
            try pool("six", "fd00::/64"), try pool("amber", "10.4.0.0/24"),
        ]
        let demand = PoolDemand.named(try patterns(["blue", "green-*", "amber", "six", "green-b"]))
        #expect(try names(select(demand, facts(), pools)) == [["blue", "green-a", "green-b", "amber"], ["six"]])
    }

    @Test func `families come in the order of their first mention, of default pools IPv4 first`() throws {
        let pools = [
            try pool("four", "10.1.0.0/24", .init(isDefault: true)),
            try pool("six", "fd00::/64", .init(isDefault: true)),
        ]
        #expect(try names(select(.named(patterns(["six", "four"])), facts(), pools)) == [["six"], ["four"]])
        #expect(try names(select(.defaults, facts(), pools)) == [["four"], ["six"]])
    }

    @Test func `the more specific default pool comes first, then the name decides`() throws {
        let web = LabelSelector(matchLabels: ["tier": "web"])
        let pools = [
            try pool("b", "10.1.0.0/24", .init(isDefault: true)), try pool("a", "10.2.0.0/24", .init(isDefault: true)),
            try pool("y", "10.3.0.0/24", .init(isDefault: true, podSelector: web)),
            try pool("x", "10.4.0.0/24", .init(isDefault: true, namespaces: ["shop"])),
            try pool("z", "10.5.0.0/24", .init(isDefault: true, podSelector: web, nodes: ["n*"])),
            try pool("no", "10.6.0.0/24", .init(podSelector: web)),
        ]
        #expect(try names(select(.defaults, facts(labels: ["tier": "web"]), pools)) == [["z", "x", "y", "a", "b"]])
        #expect(try names(select(.defaults, facts(), pools)) == [["x", "a", "b"]])
    }

    // MARK: Who is out

    @Test func `what does not fit is out, with its reason, and stays held`() throws {
        let pools = [
            try pool("off", "10.1.0.0/24", disabled: true), try pool("dry", "10.2.0.0/24", draining: true),
            try pool("far", "10.3.0.0/24", .init(nodes: ["n[2-3]"])), try pool("on", "10.4.0.0/24"),
        ]
        let selection = try select(.named(patterns(["off", "dry", "far", "on"])), facts(), pools)
        #expect(
            selection.considered.map(\.exclusion) == [
                "is disabled (spec.disabled)", "is being drained (spec.draining)",
                #"is for nodes n[2-3] (spec.nodes), this one is "n1""#, nil,
            ])
        #expect(try selection.plans().first?.closed.map(\.name) == ["off", "dry", "far"])
    }

    @Test func `a named family of which no pool is left is an error that gives each reason`() throws {
        let pools = [
            try pool("four", "10.1.0.0/24"), try pool("six", "fd00::/64", disabled: true),
            try pool("far", "fd01::/64", .init(interfaces: ["net*"])),
        ]
        let selection = try select(.named(patterns(["four", "six", "far"])), facts(), pools)
        #expect(
            selection.problem
                == .noPool(
                    #"no IPv6 pool can serve interface eth0 on node "n1": IPPool "six" is disabled (spec.disabled);"#
                        + #" IPPool "far" is for interfaces net* (spec.interfaces), this one is "eth0""#))
    }

    @Test func `a default pool for somebody else does not make its family wanted, a disabled one does`() throws {
        let four = try pool("four", "10.1.0.0/24", .init(isDefault: true))
        let far = try pool("far", "fd01::/64", .init(isDefault: true, namespaces: ["other"]))
        #expect(try names(select(.defaults, facts(), [four, far])) == [["four"]])
        let off = try pool("off", "fd02::/64", disabled: true, .init(isDefault: true))
        #expect(try select(.defaults, facts(), [four, off]).problem != nil)
    }

    @Test func `families that are wanted bound what is given`() throws {
        let pools = [try pool("four", "10.1.0.0/24"), try pool("six", "fd00::/64")]
        let demand = PoolDemand.named(try patterns(["four", "six"]))
        #expect(try names(select(demand, facts(), pools, families: [.v6])) == [["six"]])
        let asked = facts(pod: ["ipam.berth.dev/families": "IPv4"])
        #expect(try names(select(demand, asked, pools, families: [.v6])) == [["four"]])
        let single = PoolDemand.named(try patterns(["four"]))
        #expect(
            try select(single, facts(), pools, families: [.v4, .v6]).problem
                == .noPool(#"no IPv6 pool is named for interface eth0 on node "n1", though IPv6 is asked for"#))
    }

    @Test func `nothing that matches names node and interface`() throws {
        let none = try select(.defaults, facts(), [])
        #expect(
            none.problem
                == .noPool(
                    "neither annotations nor the network configuration name a pool, and no default pool (spec.default)"
                        + #" can serve interface eth0 on node "n1": there is none; name pools in the network"#
                        + " configuration, or make one with spec.default: true"))
        let pattern = try select(.named(patterns(["x-*"])), facts(), [try pool("a", "10.0.0.0/24")])
        #expect(
            pattern.problem
                == .noPool(
                    #"no pool can serve interface eth0 on node "n1": network configuration names x-*: no IPPool is"#
                        + " called so"))
    }

    @Test func `pools of ranges in configurations are found by nobody`() throws {
        let inline = try pool("inline-a", "10.0.0.0/24", .init(isDefault: true), labels: [LabelKey.inline: "true"])
        #expect(try select(.named(patterns(["*"])), facts(), [inline]).considered == [])
        #expect(try select(.defaults, facts(), [inline]).considered == [])
    }

    @Test func `a pool whose quota the namespace has used up gives way to the next one`() throws {
        func limited(_ quota: Int) throws -> ValidatedPool {
            try ValidatedPool(
                IPPool(
                    metadata: ObjectMetadata(name: "a", generation: 1),
                    spec: IPPool.Spec(subnet: "10.1.0.0/24", namespaceQuota: quota),
                    status: IPPool.Status(namespacesAtQuota: [.init(namespace: "shop", used: 3)])))
        }
        let demand = PoolDemand.named(try patterns(["a", "b"]))
        let selection = try select(demand, facts(), [limited(3), pool("b", "10.2.0.0/24")])
        // What is kept or held of it is still to be had.
        #expect(try names(selection) == [["a", "b"]])
        #expect(selection.givesNew)
        #expect(
            selection.considered[0].exclusion
                == #"gives a namespace 3 addresses (spec.namespaceQuota), and "shop" uses 3"#)
        let alone = try select(.named(patterns(["a"])), facts(), [limited(3)])
        #expect(try names(alone) == [["a"]])
        #expect(!alone.givesNew)
        // A quota that was raised since counts at once; one for another namespace, or nobody's, does not.
        #expect(try names(select(demand, facts(), [limited(4), pool("b", "10.2.0.0/24")])) == [["a", "b"]])
        var other = facts()
        other.pod?.namespace = "bank"
        #expect(try names(select(demand, other, [limited(3), pool("b", "10.2.0.0/24")])) == [["a", "b"]])
        #expect(throws: PoolProblem.self) { try limited(0) }
    }

    @Test func `a family is not left out because the namespace has its quota of it`() throws {
        let limited = try ValidatedPool(
            IPPool(
                metadata: ObjectMetadata(name: "a", generation: 1),
                spec: IPPool.Spec(subnet: "10.1.0.0/24", namespaceQuota: 1, selection: .init(isDefault: true)),
                status: IPPool.Status(namespacesAtQuota: [.init(namespace: "shop", used: 1)])))
        let selection = try select(.defaults, facts(), [limited, pool("b", "fd00::/64", .init(isDefault: true))])
        #expect(try names(selection) == [["a"], ["b"]])
    }

    // MARK: Who may pick

    @Test(arguments: ["rack[1-2,4], blue", " rack[1-2,4] ,blue,", "rack[1-2, 4]", "rack[1-2,4"])
    func `a comma in the brackets of a pattern is none of the list`(text: String) throws {
        let pools = try ["rack1", "rack2", "rack3", "rack4", "blue"].enumerated().map { index, name in
            try pool(name, "10.\(index).0.0/24", .init(allowPodSelection: true))
        }
        let annotated = facts(pod: ["ipam.berth.dev/pools": text])
        if text.contains("blue") {
            #expect(try names(select(.defaults, annotated, pools)) == [["rack1", "rack2", "rack4", "blue"]])
        } else {
            #expect(throws: SelectionError.self) { try select(.defaults, annotated, pools) }
        }
    }

    @Test func `an annotation picks what allows it, or what the configuration lists`() throws {
        let pools = [
            try pool("open", "10.1.0.0/24", .init(allowPodSelection: true)), try pool("listed", "10.2.0.0/24"),
            try pool("closed", "10.3.0.0/24"),
        ]
        let demand = PoolDemand.named(try patterns(["listed"]))
        func picking(_ text: String) throws -> PoolSelection {
            try select(demand, facts(pod: ["ipam.berth.dev/pools": text]), pools)
        }
        #expect(try names(picking("open, listed")) == [["open", "listed"]])
        #expect(
            try picking("open, closed").problem
                == .annotation(
                    #"annotation ipam.berth.dev/pools: "open, closed" of the pod: IPPool "closed" may not be picked by"#
                        + " annotations: its spec.allowPodSelection is not true, and the network configuration does not"
                        + " list it"))
        // A pattern stands for those that may be picked.
        #expect(try names(picking("*")) == [["listed", "open"]])
        #expect(
            try picking("gone").problem
                == .annotation(
                    #"annotation ipam.berth.dev/pools: "gone" of the pod: IPPool "gone" does not exist; `kubectl get"#
                        + " ippools` lists those that do"))
    }

    // MARK: Annotations

    @Test(
        arguments: [
            ("ipam.berth.dev/pools", " , ", "it names no pool"), ("ipam.berth.dev/pools", "A_b", "is not a name"),
            ("ipam.berth.dev/pools", "a[", "without its"), ("ipam.berth.dev/families", "IPv5", "write IPv4"),
            ("ipam.berth.dev/families", "IPv4,IPv4", "write IPv4"), ("ipam.berth.dev/families", "", "write IPv4"),
            ("ipam.berth.dev/addresses", "10.0.0.256", "is not an IP address"),
            ("ipam.berth.dev/addresses", "10.0.0.1,10.0.0.1", "an address twice"),
            ("ipam.berth.dev/addresses", "", "it names no address"), ("ipam.berth.dev/routes", "{", "routes"),
            ("ipam.berth.dev/routes", "{}", "no JSON list"), ("ipam.berth.dev/routes", "[{}]", "[0].dst: missing"),
            ("ipam.berth.dev/routes", #"[{"dst": "10.0.0.1/8"}]"#, "[0].dst"),
        ])
    func `an annotation that makes no sense is quoted`(key: String, text: String, part: String) throws {
        do throws(SelectionError) {
            _ = try PoolRequest(.defaults, facts: facts(pod: [key: text]))
            Issue.record("\(key): \(text) was taken")
        } catch {
            let message = "\(error)"
            #expect(message.hasPrefix("annotation \(key): \(text.debugDescription) of the pod: "), "\(message)")
            #expect(message.contains(part), "\(message)")
        }
    }

    @Test func `addresses and routes are the pod's own, for one interface or all`() throws {
        let annotations = [
            "ipam.berth.dev/addresses": "10.0.0.1, fd00::1", "ipam.berth.dev/addresses.net1": "10.0.0.2",
            "ipam.berth.dev/routes": #"[{"dst": "10.0.0.0/8", "gw": "10.1.0.1", "mtu": 1400}]"#,
        ]
        let plain = try PoolRequest(.defaults, facts: facts(pod: annotations))
        #expect(plain.addresses.map(\.description) == ["10.0.0.1", "fd00::1"])
        #expect(plain.routes.map(\.mtu) == [1400])
        let second = try PoolRequest(.defaults, facts: facts(pod: annotations, interface: "net1"))
        #expect(second.addresses.map(\.description) == ["10.0.0.2"])
        // A namespace gives neither.
        let namespace = try PoolRequest(.defaults, facts: facts(namespace: annotations))
        #expect(namespace.addresses.isEmpty && namespace.routes.isEmpty)
    }
}

@Suite struct PoolSelectorsTests {
    @Test func `a mismatch names what the pool wants and who asks`() throws {
        func mismatch(_ selection: IPPool.Selection) throws -> String? {
            try PoolSelectors(selection).mismatch(Self.facts)
        }
        #expect(
            try mismatch(.init(podSelector: .init(matchLabels: ["tier": "db"])))
                == #"is for pods with tier=db (spec.podSelector), not for "shop/web""#)
        #expect(
            try mismatch(.init(namespaceSelector: .init(matchLabels: ["team": "b"])))
                == #"is for namespaces with team=b (spec.namespaceSelector), not for "shop""#)
        #expect(
            try mismatch(.init(namespaces: ["bank"])) == #"is for namespaces bank (spec.namespaces), not for "shop""#)
        #expect(
            try mismatch(.init(nodeSelector: .init(matchLabels: ["zone": "z2"])))
                == #"is for nodes with zone=z2 (spec.nodeSelector), not for "rack1-n2""#)
    }

    private static let facts: SelectionFacts = {
        var facts = SelectionFacts(
            pod: .init(namespace: "shop", name: "web", marks: .init(labels: ["tier": "web"])),
            namespace: .init(labels: ["team": "a"]), node: "rack1-n2", nodeLabels: ["zone": "z1"], interface: "net1",
            network: "macvlan-blue", master: "eth1")
        facts.nodeAddresses = [10, 192].compactMap { IPAddress(family: .v4, value: $0 << 24 | 0x010203) }
        return facts
    }()

    @Test(
        arguments: [
            (.init(podSelector: .init(matchLabels: ["tier": "web"])), true),
            (.init(podSelector: .init(matchLabels: ["tier": "db"])), false),
            (.init(namespaceSelector: .init(matchLabels: ["team": "a"])), true),
            (.init(namespaceSelector: .init(matchLabels: ["team": "b"])), false),
            (.init(nodeSelector: .init(matchLabels: ["zone": "z1"])), true),
            (.init(nodeSelector: .init(matchLabels: ["zone": "z2"])), false),
            (.init(namespaces: ["sh*"]), true), (.init(namespaces: ["prod", "dev"]), false),
            (.init(nodes: ["rack[1-2]-n[1-3]"]), true), (.init(nodes: ["rack[2-3]-*"]), false),
            (.init(interfaces: ["net*"]), true), (.init(interfaces: ["eth0"]), false),
            (.init(networks: ["macvlan-blue"]), true), (.init(networks: ["macvlan-red"]), false),
            (.init(masters: ["eth1"]), true), (.init(masters: ["bond*"]), false),
            (.init(nodeSubnets: ["172.16.0.0/12", "10.1.0.0/16"]), true), (.init(nodeSubnets: ["10.2.0.0/16"]), false),
            // Everything must hold.
            (.init(namespaces: ["shop"], interfaces: ["eth0"]), false),
        ] as [(IPPool.Selection, Bool)])
    func `a pool is for those that it selects`(selection: IPPool.Selection, isMatch: Bool) throws {
        let selectors = try PoolSelectors(selection)
        #expect((selectors.mismatch(Self.facts) == nil) == isMatch)
        #expect(selectors.specificity > 0)
    }

    @Test func `what is not known does not match`() throws {
        let nobody = SelectionFacts(node: "n1")
        for selection: IPPool.Selection in [
            .init(podSelector: .init()), .init(namespaceSelector: .init()), .init(nodeSelector: .init()),
            .init(namespaces: ["*"]), .init(nodeSubnets: ["0.0.0.0/0"]), .init(masters: ["?*"]),
        ] {
            #expect(try PoolSelectors(selection).mismatch(nobody) != nil, "\(selection)")
        }
        #expect(try PoolSelectors(.init()).mismatch(nobody) == nil)
    }

    @Test func `a rehearsal asks only for the node and the network`() throws {
        var facts = SelectionFacts(node: "n1", network: "blue")
        facts.isRehearsal = true
        let selectors = try PoolSelectors(
            .init(podSelector: .init(matchLabels: ["a": "b"]), namespaces: ["x"], nodes: ["n1"], interfaces: ["y"]))
        #expect(selectors.mismatch(facts) == nil)
        #expect(try PoolSelectors(.init(nodes: ["n2"])).mismatch(facts) != nil)
    }
}
