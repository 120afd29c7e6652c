import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import Testing

@testable import IPAMConsole

@Suite struct SelectionReasoningTests {
    private let small = IPPool.Spec(subnet: "10.0.0.0/30", strategy: .sequential)
    private let second = IPPool.Spec(subnet: "10.0.1.0/30", strategy: .sequential)
    private let six = IPPool.Spec(subnet: "fd00::/126", strategy: .sequential)

    private func reason(
        _ demand: PoolDemand, _ pools: [PoolEntry], taken: [String: AllocationState] = [:],
        requested: [String] = [], statics: [StaticAddress] = [], annotations: [String: String] = [:],
        blocks: [ValidatedBlock] = []
    ) throws -> SelectionReasoning {
        var generator = FixedGenerator()
        var addresses: [IPAddress: AllocationState?] = [:]
        for (text, state) in taken { addresses[try IPAddress(parsing: text)] = state }
        let facts = SelectionFacts(
            pod: .init(namespace: "shop", name: "web-0", marks: .init(annotations: annotations)), node: "n1")
        let input = SelectionReasoning.Input(
            request: try PoolRequest(demand, facts: facts), facts: facts, staticAddresses: statics,
            requested: try requested.map { try IPAddress(parsing: $0) },
            pools: Dictionary(uniqueKeysWithValues: pools.map { ($0.name, $0) }), taken: ["": addresses],
            blocks: blocks)
        return SelectionReasoning(input, using: &generator)
    }

    @Test func `The first pool of each family that has room serves`() throws {
        let reasoning = try reason(
            named(["a", "b", "c", "six"]), [pool("a", small), pool("b", second), pool("c", second), pool("six", six)],
            taken: ["10.0.0.1": .bound, "10.0.0.2": .fenced])
        #expect(
            reasoning.text(Style()) == """
                  IPv4
                    1. a   skipped: none of 2 addresses is free: 2 allocated, 0 cooling, 0 held
                    2. b   chosen: 2 of 2 addresses are free
                    3. c   not needed: an earlier pool serves
                    → 10.0.1.1 of b
                  IPv6
                    1. six   chosen: 3 of 3 addresses are free
                    → fd00::1 of six

                """)
        #expect(reasoning.isServed)
    }

    @Test func `Of a random pool one address is an example`() throws {
        let reasoning = try reason(named(["a"]), [pool("a", IPPool.Spec(subnet: "10.0.0.0/30"))])
        guard case .address(_, pool: "a", isOnly: false) = reasoning.slots[0].outcome else {
            Issue.record("\(reasoning)")
            return
        }
    }

    @Test func `A pool that takes no claims is skipped, and alone it ends the search`() throws {
        let off = pool("off", IPPool.Spec(subnet: "10.0.0.0/30", disabled: true))
        let reasoning = try reason(named(["off", "b"]), [off, pool("b", second)])
        #expect(reasoning.slots[0].considered.map(\.verdict) == [.skipped, .chosen])
        #expect(reasoning.slots[0].considered[0].reason == "is disabled (spec.disabled)")
        let alone = try reason(named(["off", "six"]), [off, pool("six", six)])
        #expect(
            alone.refusal
                == "no IPv4 pool can serve interface eth0 on node \"n1\": IPPool \"off\" is disabled (spec.disabled)")
        #expect(!alone.isServed)
    }

    @Test func `A pool that is not there or not valid ends everything`() throws {
        let reasoning = try reason(
            named(["none", "bad", "b"]), [pool("bad", IPPool.Spec(subnet: "x")), pool("b", second)])
        #expect(reasoning.slots[0].considered.map(\.verdict) == [.fatal, .fatal, .notNeeded])
        let gone = "IPPool \"none\" does not exist; `kubectl get ippools` lists those that do"
        #expect(reasoning.refusal == gone)
        #expect(try reason(named(["none"]), []).refusal == gone)
    }

    @Test func `When nothing is free, what cools is taken over`() throws {
        let reasoning = try reason(
            named(["a", "b"]), [pool("a", small), pool("b", second)],
            taken: ["10.0.0.1": .bound, "10.0.0.2": .held, "10.0.1.1": .bound, "10.0.1.2": .cooling])
        #expect(reasoning.slots[0].outcome == .takeOver(try IPAddress(parsing: "10.0.1.2"), pool: "b"))
        #expect(reasoning.slots[0].considered.map(\.verdict) == [.skipped, .chosen])
        #expect(reasoning.isServed)
        let full = try reason(named(["a"]), [pool("a", small)], taken: ["10.0.0.1": .bound, "10.0.0.2": .held])
        #expect(full.refusal == "IPv4: every pool is exhausted; the runtime tries again")
    }

    @Test func `A requested address comes from the pool that has it, or nothing is given`() throws {
        let pools = [pool("a", small), pool("b", second)]
        let given = try reason(named(["a", "b"]), pools, requested: ["10.0.1.2"])
        #expect(given.slots[0].outcome == .address(try IPAddress(parsing: "10.0.1.2"), pool: "b", isOnly: true))
        #expect(given.slots[0].considered[0].reason == "cannot give the requested 10.0.1.2")
        let taken = try reason(named(["a", "b"]), pools, taken: ["10.0.1.2": .bound], requested: ["10.0.1.2"])
        #expect(taken.refusal == "IPv4: 10.0.1.2 is taken")
        let cooling = try reason(named(["a", "b"]), pools, taken: ["10.0.1.2": .cooling], requested: ["10.0.1.2"])
        #expect(cooling.slots[0].outcome == .takeOver(try IPAddress(parsing: "10.0.1.2"), pool: "b"))
        let outside = try reason(named(["a"]), pools, requested: ["10.9.0.1"])
        #expect(
            outside.refusal
                == "the requested address 10.9.0.1 cannot be given: IPPool \"a\" (10.0.0.0/30) does not contain it")
    }

    @Test func `Ranges in the configuration are pools that may not exist yet`() throws {
        let definition = InlinePoolDefinition(subnet: try IPPrefix(parsing: "10.0.2.0/30"))
        let fixed = StaticAddress(
            address: try IPAddress(parsing: "10.0.3.1"), pool: .init(subnet: try IPPrefix(parsing: "10.0.3.0/30")))
        let reasoning = try reason(.inline([[definition]]), [], taken: ["10.0.3.1": .bound], statics: [fixed])
        #expect(reasoning.slots.map(\.title) == ["range", "static address 10.0.3.1"])
        #expect(reasoning.slots[0].considered[0].reason == "2 of 2 addresses are free")
        #expect(reasoning.refusal == "static address 10.0.3.1: 10.0.3.1 is taken")
    }

    @Test func `A status that lags is followed as the plugin follows it`() throws {
        var status = IPPool.Status(observedGeneration: 3)
        // It shows 10.0.0.1 free; that is taken, so that a list must tell.
        status.occupancy = IPPool.OccupancyWindow(first: "10.0.0.0", bitmap: [0b1111_1101])
        let stale = try reason(
            named(["a"]), [pool("a", IPPool.Spec(subnet: "10.0.0.0/29"), status: status)], taken: ["10.0.0.1": .bound])
        #expect(
            stale.slots[0].considered[0].reason
                == "5 of 6 addresses are free; its status is stale: 1 create would be refused first")
        #expect(stale.isServed)
        // It shows nothing free: the plugin believes that.
        status.occupancy = IPPool.OccupancyWindow(first: "10.0.0.0", bitmap: [0xFF])
        let full = try reason(named(["a"]), [pool("a", IPPool.Spec(subnet: "10.0.0.0/29"), status: status)])
        #expect(
            full.slots[0].considered[0].reason
                == "its status says that nothing is free, though 6 addresses are: it is stale")
        #expect(!full.isServed)
    }

    @Test func `A pool without cooldown whose status shows nothing free is listed when nothing else is`() throws {
        var status = IPPool.Status(observedGeneration: 3)
        status.occupancy = IPPool.OccupancyWindow(first: "10.0.0.0", bitmap: [0xFF])
        func doubted(_ name: String, _ subnet: String = "10.0.0.0/29", cooldown: Int = 0) -> PoolEntry {
            pool(name, IPPool.Spec(subnet: subnet, cooldownSeconds: cooldown, strategy: .sequential), status: status)
        }
        let taken: [String: AllocationState] = ["10.0.0.1": .bound]
        let stale = "its status says that nothing is free, though 5 addresses are: it is stale"
        let listed = try reason(named(["a"]), [doubted("a")], taken: taken)
        #expect(listed.slots[0].outcome == .address(try IPAddress(parsing: "10.0.0.2"), pool: "a", isOnly: true))
        #expect(listed.slots[0].considered[0].verdict == .chosen)
        #expect(
            listed.slots[0].considered[0].reason == "\(stale); the plugin finds them by a list")
        // A pool behind it comes first, and what cools in one before it too.
        let behind = try reason(named(["a", "b"]), [doubted("a"), pool("b", second)], taken: taken)
        #expect(behind.slots[0].outcome == .address(try IPAddress(parsing: "10.0.1.1"), pool: "b", isOnly: true))
        #expect(behind.slots[0].considered[0].reason == stale)
        let cooling = try reason(
            named(["b", "a"]), [doubted("a"), pool("b", second)],
            taken: ["10.0.0.1": .bound, "10.0.1.1": .bound, "10.0.1.2": .cooling])
        #expect(cooling.slots[0].outcome == .takeOver(try IPAddress(parsing: "10.0.1.2"), pool: "b"))
        #expect(cooling.slots[0].considered.map(\.verdict) == [.chosen, .skipped])
        // It is listed before a node claims another block for a pool behind it.
        let blue = pool(
            "blue", IPPool.Spec(subnet: "10.2.0.0/29", strategy: .sequential, nodeBlocks: NodeBlocks(prefixLength: 30)))
        let block = ValidatedBlock(
            try IPPrefix(parsing: "10.2.0.0/30"), of: try valid(blue), node: "n1", machineID: "")
        let own = try reason(named(["a", "blue"]), [doubted("a"), blue], taken: taken, blocks: [block])
        #expect(own.slots[0].outcome == .address(try IPAddress(parsing: "10.2.0.1"), pool: "blue", isOnly: true))
        let claiming = try reason(named(["a", "blue"]), [doubted("a"), blue], taken: taken)
        #expect(claiming.slots[0].outcome == .address(try IPAddress(parsing: "10.0.0.2"), pool: "a", isOnly: true))
        #expect(claiming.slots[0].considered.map(\.verdict) == [.chosen, .skipped])
        // With a cooldown its release is still in the ledger, and a larger pool is not listed.
        #expect(try !reason(named(["a"]), [doubted("a", cooldown: 10)], taken: taken).isServed)
        let bits = [UInt8](repeating: 0xFF, count: 256)
        status.occupancy = IPPool.OccupancyWindow(first: "10.0.0.0", bitmap: bits)
        #expect(try !reason(named(["a"]), [doubted("a", "10.0.0.0/21")], taken: taken).isServed)
        #expect(try reason(named(["a"]), [doubted("a", "10.0.0.0/22")], taken: taken).isServed)
    }

    @Test func `A route that no pool has the next hop of refuses, as the plugin does`() throws {
        func asking(_ routes: String, _ pools: [PoolEntry], blocks: [ValidatedBlock] = []) throws -> String? {
            try reason(
                named(pools.map(\.name)), pools, annotations: ["ipam.berth.dev/routes": routes], blocks: blocks
            ).refusal
        }
        func text(_ routes: String, _ what: String, _ dst: String) -> String {
            "annotation ipam.berth.dev/routes: \(routes.debugDescription) of the pod: no pool that may serve has"
                + " \(what) of the route to \(dst) in its subnet"
        }
        let both = [pool("a", small), pool("b", second)]
        let good = #"[{"dst": "10.9.0.0/16", "gw": "10.0.1.2"}]"#
        #expect(try asking(good, both) == nil)
        let bad = #"[{"dst": "10.9.0.0/16", "gw": "10.8.0.1"}]"#
        #expect(try asking(bad, both) == text(bad, "10.8.0.1", "10.9.0.0/16"))
        let six = #"[{"dst": "fd00:9::/64"}]"#
        #expect(try asking(six, both) == text(six, "the family", "fd00:9::/64"))
        #expect(try asking(six, both + [pool("six", self.six)]) == nil)
        let local = #"[{"dst": "fd00:9::/64", "gw": "fe80::1"}]"#
        #expect(try asking(local, [pool("six", self.six)]) == nil)
        // Also behind a pool of which the node may have more blocks.
        let blue = pool(
            "blue", IPPool.Spec(subnet: "10.2.0.0/29", nodeBlocks: NodeBlocks(prefixLength: 30)))
        #expect(try asking(good, [blue, pool("b", second)]) == nil)
        #expect(try asking(good, [blue]) == text(good, "10.0.1.2", "10.9.0.0/16"))
        #expect(try asking(good, [pool("b", second), blue]) == nil)
    }
}

@Suite struct NetworkSourceTests {
    private func read(_ text: String, name: String? = nil) throws -> NetworkSource.Reading {
        try NetworkSource.read(try JSON(parsing: text), title: "t", name: name)
    }

    @Test func `A list of plugins has the one that asks Berth`() throws {
        let list = """
            {"cniVersion": "1.0.0", "name": "blue", "plugins": [{"type": "tuning"},
            {"type": "macvlan", "ipam": {"type": "berth", "pools": ["a", "b"]}}]}
            """
        #expect(try read(list) == .berth(NetworkSource(title: "t", demand: named(["a", "b"]), network: "blue")))
    }

    @Test func `Of somebody else's addresses there is nothing to explain`() throws {
        #expect(
            try read(#"{"name": "x", "type": "bridge", "ipam": {"type": "host-local"}}"#)
                == .other("takes its addresses from host-local"))
        #expect(try read(#"{"name": "x", "plugins": [{"type": "loopback"}]}"#) == .other("has no ipam section"))
    }

    @Test func `Requested addresses come from the configuration, or from the pod before it`() throws {
        let json = try JSON(
            parsing: #"{"name": "x", "type": "bridge", "ipam": {"type": "berth", "pools": ["a"]}, "#
                + #""args": {"cni": {"ips": ["10.0.0.7/24"]}}}"#)
        guard case .berth(let source) = try NetworkSource.read(json, title: "t") else {
            Issue.record("not berth's")
            return
        }
        #expect(source.requested.map(\.description) == ["10.0.0.7"])
        let own = try NetworkSource.read(json, title: "t", requested: [try IPAddress(parsing: "10.0.0.9")])
        guard case .berth(let source) = own else {
            Issue.record("not berth's")
            return
        }
        #expect(source.requested.map(\.description) == ["10.0.0.9"])
    }

    @Test func `A configuration without a name has that of its object, and errors say what is wrong`() throws {
        let nameless = #"{"type": "bridge", "ipam": {"type": "berth", "pools": ["a"]}}"#
        guard case .berth = try read(nameless, name: "net") else {
            Issue.record("not berth's")
            return
        }
        #expect(throws: ConsoleError("t: network configuration: name: missing")) { try read(nameless) }
        #expect(throws: ConsoleError.self) { try read(#"{"name": "x", "ipam": {"type": "berth", "pool": "a"}}"#) }
    }

    @Test func `Both forms of Multus' annotation are read`() throws {
        #expect(
            try MultusNetwork.parse("a, other/b@eth5", namespace: "shop") == [
                MultusNetwork(namespace: "shop", name: "a"),
                MultusNetwork(namespace: "other", name: "b", interface: "eth5"),
            ])
        #expect(
            try MultusNetwork.parse(
                #" [{"name": "a", "ips": ["10.0.0.7/24"]}, {"name": "b", "namespace": "other", "interface": "x"}]"#,
                namespace: "shop") == [
                    MultusNetwork(namespace: "shop", name: "a", addresses: [try IPAddress(parsing: "10.0.0.7")]),
                    MultusNetwork(namespace: "other", name: "b", interface: "x"),
                ])
        #expect(throws: ConsoleError.self) { try MultusNetwork.parse("[{", namespace: "shop") }
        #expect(throws: ConsoleError.self) { try MultusNetwork.parse("[{}]", namespace: "shop") }
    }
}
