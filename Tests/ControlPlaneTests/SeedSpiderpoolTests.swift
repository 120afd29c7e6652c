import IPAMAPI
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// What users of Spiderpool must find here where pods, namespaces and nodes choose pools (what workloads do is in
/// `SeedWorkloadTests`).
@Suite("Seed: Spiderpool, selection", .controlPlane, .timeLimit(.minutes(10)))
struct SeedSpiderpoolTests {
    private func add(
        _ rig: PluginRig, _ pod: TestPod?, on node: TestNode? = nil, _ configuration: JSON, interface: String = "eth0"
    ) async throws -> PluginOutcome {
        let node = node ?? rig.node
        return try await node.add(try node.newSandbox(pod: pod, interface: interface), configuration)
    }

    /// A pool that annotations may name.
    private func open(_ rig: PluginRig, _ suffix: String, _ spec: JSON) async throws -> String {
        var spec = spec
        spec["allowPodSelection"] = true
        spec["cooldown"] = "0s"
        return try await rig.makePool(suffix, spec)
    }

    private func open4(_ rig: PluginRig, _ suffix: String, _ hosts: ClosedRange<Int>) async throws -> String {
        try await open(rig, suffix, ["ranges": [rig.range4(hosts)]])
    }

    private func open6(_ rig: PluginRig, _ suffix: String, _ host: Int) async throws -> String {
        try await open(
            rig, suffix, ["subnet": .string(rig.subnets.subnet6), "ranges": [.string(rig.subnets.address6(host))]])
    }

    // MARK: Families and backup pools

    @Test func `S1: with backup pools too all families are given or none`() async throws {
        try await PluginRig.run { rig in
            let fours = [try await rig.makePool("a", hosts: 10...10), try await rig.makePool("b", hosts: 20...29)]
            let six = try await rig.makePool6("c", hosts: 1...1)
            let configuration = rig.node.configuration(pools: fours + [six])
            #expect(
                try await add(rig, nil, configuration).checked().addresses
                    == [rig.subnets.address4(10), rig.subnets.address6(1)])
            let before = try await rig.objects()
            for _ in 0..<3 {
                // The second IPv4 pool has room, and nothing of it is given.
                try expectFailure(try await add(rig, nil, configuration), code: 101, says: ["\"\(six)\""])
                #expect(try await rig.objects() == before)
            }
            let backup = try await rig.makePool6("d", hosts: 2...2)
            let added = try await add(rig, nil, rig.node.configuration(pools: fours + [six, backup])).checked()
            #expect((20...29).map { rig.subnets.address4($0) }.contains(added.addresses[0]))
            #expect(added.addresses[1] == rig.subnets.address6(2))
        }
    }

    @Test func `S2: a list of both families is followed in its order, names and patterns mixed`() async throws {
        try await PluginRig.run { rig in
            // The names are in another order than the list.
            let last = try await open4(rig, "a-last", 20...20)
            let first = try await open4(rig, "z-first", 10...10)
            _ = try await open6(rig, "six-b", 2)
            _ = try await open6(rig, "six-a", 1)
            _ = try await open6(rig, "six-long", 3)
            let list = "\(first), \(rig.subnets.name("six-?")), \(last), \(rig.subnets.name("six-l*"))"
            let pod = try await rig.makePod(annotations: [AnnotationKey.pools: list])
            let configuration = rig.node.configuration()
            for (four, six) in [(10, 1), (20, 2)] {
                #expect(
                    try await add(rig, pod, configuration).checked().addresses
                        == [rig.subnets.address4(four), rig.subnets.address6(six)])
            }
            // IPv6 has one more, and IPv4 has none.
            let before = try await rig.objects()
            try expectFailure(try await add(rig, pod, configuration), code: 101, says: [first, last])
            #expect(try await rig.objects() == before)
        }
    }

    @Test func `S2: numbers in brackets stand for themselves and no others`() async throws {
        try await PluginRig.run { rig in
            for number in [1, 2, 3, 5] { _ = try await open4(rig, "rack\(number)", number...number) }
            let pod = try await rig.makePod(annotations: [AnnotationKey.pools: rig.subnets.name("rack[2-3,5]")])
            var given: [String] = []
            for _ in 0..<3 { given += try await add(rig, pod, rig.node.configuration()).checked().addresses }
            #expect(given == [2, 3, 5].map { rig.subnets.address4($0) })
            try expectFailure(try await add(rig, pod, rig.node.configuration()), code: 101)
        }
    }

    @Test func `S3: three interfaces have pools of their own, and one that is full fails alone`() async throws {
        try await PluginRig.run { rig in
            let pools = [
                try await open4(rig, "a", 10...19), try await open4(rig, "b", 20...20),
                try await open4(rig, "c", 30...39),
            ]
            var annotations: [String: String] = [:]
            for (interface, pool) in zip(["eth0", "net1", "net2"], pools) {
                annotations["\(AnnotationKey.pools).\(interface)"] = pool
            }
            let configuration = rig.node.configuration()
            let pods = [
                try await rig.makePod("a", annotations: annotations),
                try await rig.makePod("b", annotations: annotations),
            ]
            func add(_ pod: TestPod, _ interface: String) async throws -> PluginOutcome {
                try await self.add(rig, pod, configuration, interface: interface)
            }
            for interface in ["eth0", "net1", "net2"] { try await add(pods[0], interface).checked() }
            // As a runtime does: every attempt is a new sandbox, and what the other interfaces got is given back.
            for _ in 0..<3 {
                let sandbox = try rig.node.newSandbox(pod: pods[1])
                try await rig.node.add(sandbox, configuration).checked()
                try expectFailure(
                    try await rig.node.add(sandbox.with(interface: "net1"), configuration), code: 101, says: [pools[1]])
                for interface in ["eth0", "net1", "net2"] {
                    expectSilentSuccess(try await rig.node.del(sandbox.with(interface: interface), configuration))
                }
            }
            #expect(try await rig.states().count == 3, "attempts in vain hold nothing")
        }
    }

    // MARK: Affinity

    enum Affinity: String, CaseIterable, Sendable {
        case podSelector, namespaceSelector, namespaces, nodes, nodeSelector, interfaces, networks
    }

    @Test(arguments: Affinity.allCases)
    func `S6: a pool serves what its affinity matches, and refuses the rest by name`(affinity: Affinity) async throws {
        try await PluginRig.run { rig in
            let (inside, outside) = (rig.subnets.name("inside"), rig.subnets.name("outside"))
            let labels: JSON = ["matchLabels": ["team": "blue"]]
            let value: JSON =
                switch affinity {
                case .podSelector, .namespaceSelector, .nodeSelector: labels
                case .namespaces: [.string(inside)]
                case .nodes: [.string("\(rig.node.name)")]
                case .interfaces: ["net*"]
                case .networks: ["storage"]
                }
            let pool = try await rig.makePool(
                "pool", ["ranges": [rig.range4(10...19)], "cooldown": "0s", affinity.rawValue: value])
            for (name, team) in [(inside, "blue"), (outside, "red")] {
                try await rig.controlPlane.makeNamespace(name, labels: ["team": team])
            }
            let stranger = try await rig.makeNode("stranger")
            try await withNodes(rig, [(rig.node.name, ["team": "blue"]), (stranger.name, ["team": "red"])]) {
                func attempt(isInside: Bool) async throws -> PluginOutcome {
                    let node = isInside ? rig.node : stranger
                    let pod = try await rig.makePod(
                        isInside ? "in" : "out", namespace: isInside ? inside : outside, on: node,
                        labels: ["team": isInside ? "blue" : "red"])
                    let configuration = node.configuration(
                        network: isInside ? "storage" : "backup", pools: [pool])
                    return try await add(rig, pod, on: node, configuration, interface: isInside ? "net1" : "eth0")
                }
                try await attempt(isInside: true).checked()
                // What the pool wants, and who asks.
                let asker =
                    switch affinity {
                    case .podSelector: "\(outside)/\(rig.subnets.name("out"))"
                    case .namespaceSelector, .namespaces: outside
                    case .nodes, .nodeSelector: stranger.name
                    case .interfaces: "eth0"
                    case .networks: "backup"
                    }
                try expectFailure(
                    try await attempt(isInside: false), code: 100,
                    says: ["\"\(pool)\"", "spec.\(affinity.rawValue)", "\"\(asker)\""])
            }
            #expect(try await rig.objects("\(LabelKey.pool)=\(pool)").count == 1)
        }
    }

    @Test func `S7: the pods of a DaemonSet get the subnet and the gateway of their node's zone`() async throws {
        try await PluginRig.run { rig in
            let zones = ["zone-a", "zone-b"]
            let nodes = [try await rig.makeNode("a"), try await rig.makeNode("b")]
            for (index, zone) in zones.enumerated() {
                try await rig.makePool(
                    zone,
                    [
                        "subnet": .string("\(rig.subnets.address4(64 * index))/26"),
                        "gateway": .string(rig.subnets.address4(64 * index + 1)),
                        "nodeSelector": ["matchLabels": ["topology.kubernetes.io/zone": .string(zone)]],
                    ])
            }
            let pools = [rig.subnets.name("zone-*")]
            let labelled = zip(nodes, zones).map { ($0.name, ["topology.kubernetes.io/zone": $1]) }
            let bare = (rig.node.name, [String: String]())
            try await withNodes(rig, labelled + [bare]) {
                for (index, node) in nodes.enumerated() {
                    let pod = try await rig.makePod("agent-\(index)", on: node)
                    let added = try await add(rig, pod, on: node, node.configuration(pools: pools)).checked()
                    let entry = try #require(added.result?["ips"]?.array?.first)
                    let subnet = try IPPrefix(parsing: "\(rig.subnets.address4(64 * index))/26")
                    #expect(subnet.contains(try IPAddress(parsing: added.addresses[0])))
                    #expect(added.interfaceAddresses[0].hasSuffix("/26"))
                    #expect(entry["gateway"]?.string == rig.subnets.address4(64 * index + 1))
                }
                // A node of no zone gets nothing, rather than an address of the wrong one.
                let refused = try await add(rig, try await rig.makePod("agent-2"), rig.node.configuration(pools: pools))
                try expectFailure(refused, code: 100, says: [rig.node.name])
                try await rig.expectNothingHeld()
            }
        }
    }

    /// Makes Nodes, by name and labels, for as long as `body` runs.
    private func withNodes(
        _ rig: PluginRig, _ nodes: [(String, [String: String])], _ body: () async throws -> Void
    ) async throws {
        for (name, labels) in nodes {
            let object: JSON = [
                "apiVersion": "v1", "kind": "Node",
                "metadata": ["name": .string(name), "labels": JSON(strings: labels)],
            ]
            _ = try await rig.controlPlane.withAdmin {
                try $0.create(.nodes, name: name, object: object, deadline: .soon)
            }
        }
        let result: Result<Void, any Error>
        do {
            result = .success(try await body())
        } catch {
            result = .failure(error)
        }
        let names = nodes.map(\.0)
        // Also when the test was cancelled.
        try await Task.detached {
            _ = try await rig.controlPlane.kubectl(["delete", "--ignore-not-found", "node"] + names)
        }.value
        try result.get()
    }

    // MARK: Pools of applications

    @Test func `S8: an application stays inside of its own addresses through a rolling update, and others outside`()
        async throws
    {
        try await PluginRig.run { rig in
            let own = try await rig.makePool(
                "billing",
                [
                    "ranges": [rig.range4(10...13)], "cooldown": "0s",
                    "podSelector": ["matchLabels": ["app": "billing"]],
                ])
            let others = try await rig.makePool(
                "others",
                [
                    "ranges": [rig.range4(20...99)], "cooldown": "0s",
                    "podSelector": ["matchExpressions": [["key": "app", "operator": "NotIn", "values": ["billing"]]]],
                ])
            let configuration = rig.node.configuration(pools: [own, others])
            let inside = Set((10...13).map { rig.subnets.address4($0) })
            func start(_ revision: Int, _ index: Int) async throws -> (TestSandbox, PluginOutcome) {
                let pod = try await rig.makePod("billing-\(revision)-\(index)", labels: ["app": "billing"])
                let sandbox = try rig.node.newSandbox(pod: pod)
                return (sandbox, try await rig.node.add(sandbox, configuration))
            }
            var running: [TestSandbox] = []
            for index in 0..<3 {
                let (sandbox, outcome) = try await start(0, index)
                #expect(inside.isSuperset(of: try outcome.checked().addresses))
                running.append(sandbox)
            }
            // One more than there are to be, then one of the old ones goes.
            for revision in 1...2 {
                for index in 0..<3 {
                    let (sandbox, outcome) = try await start(revision, index)
                    #expect(inside.isSuperset(of: try outcome.checked().addresses))
                    expectSilentSuccess(try await rig.node.del(running[index], configuration))
                    running[index] = sandbox
                }
            }
            let stranger = try await add(rig, try await rig.makePod("web", labels: ["app": "web"]), configuration)
            #expect(inside.isDisjoint(with: try stranger.checked().addresses))
            // Full is full: the application does not spill into what is for the others.
            try await start(3, 0).1.checked()
            try expectFailure(try await start(3, 1).1, code: 101, says: ["\"\(own)\""])
        }
    }

    @Test func `S10: an application's part of a subnet grows and shrinks by an edit of its pool`() async throws {
        try await PluginRig.run { rig in
            let pool = try await rig.makePool(hosts: 10...11)
            let configuration = rig.node.configuration(pools: [pool])
            var sandboxes: [String: TestSandbox] = [:]
            func add() async throws -> PluginOutcome {
                let sandbox = try rig.node.newSandbox()
                let outcome = try await rig.node.add(sandbox, configuration)
                for address in outcome.addresses { sandboxes[address] = sandbox }
                return outcome
            }
            for _ in 0..<2 { try await add().checked() }
            try expectFailure(try await add(), code: 101)
            try await rig.changePool(pool, ["ranges": [rig.range4(10...11), rig.range4(50...51)]])
            for _ in 0..<2 { try await add().checked() }
            try expectFailure(try await add(), code: 101, says: ["4 usable"])
            #expect(Set(sandboxes.keys) == Set([10, 11, 50, 51].map { rig.subnets.address4($0) }))
            // What is cut off is its holder's until the end, and then nobody's.
            try await rig.changePool(pool, ["ranges": [rig.range4(50...51)]])
            for host in [10, 50] {
                let sandbox = try #require(sandboxes[rig.subnets.address4(host)])
                expectSilentSuccess(try await rig.node.del(sandbox, configuration))
            }
            #expect(try await add().checked().addresses == [rig.subnets.address4(50)])
            try expectFailure(try await add(), code: 101)
            #expect(Set(try await rig.states().keys) == Set([11, 50, 51].map { rig.subnets.address4($0) }))
        }
    }

    @Test func `S23: an address that a pool or two pools name more than once is given once`() async throws {
        try await PluginRig.run { rig in
            let pools = [
                try await rig.makePool(
                    "a",
                    ["ranges": [rig.range4(10...12), rig.range4(11...13), rig.range4(12...12)], "cooldown": "0s"]),
                try await rig.makePool("b", hosts: 13...14),
            ]
            let outcomes = try await concurrently(Array(0..<12)) { number in
                try await add(rig, nil, rig.node.configuration(pools: [pools[number % 2]]))
            }
            // A loser of a race for the common address may not have seen what else there is; a runtime tries again.
            var given = outcomes.flatMap(\.addresses)
            for pool in pools {
                while case let again = try await add(rig, nil, rig.node.configuration(pools: [pool])), again.succeeded {
                    given += again.addresses
                }
            }
            #expect(given.sorted() == (10...14).map { rig.subnets.address4($0) })
        }
    }
}
