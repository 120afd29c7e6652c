import IPAMAPI
import JSONText
import TestSupport
import Testing

/// The checklist of CNI 1.1, section "ADD result", lines 6 and 7, and section "Environment".
@Suite("CNI: ADD", .controlPlane, .timeLimit(.minutes(10)))
struct ConformanceAddTests {
    // MARK: ADD result 6

    @Test func `ADD result 6: a second ADD of an attachment returns the same addresses`() async throws {
        try await PluginRig.run { rig in
            let pools = [try await rig.makePool(hosts: 10...200), try await rig.makePool6(hosts: 1...0xFFFF)]
            let configuration = rig.node.configuration(pools: pools)
            let sandbox = try rig.node.newSandbox(pod: try await rig.makePod())
            let first = try await rig.node.add(sandbox, configuration).checked()
            #expect(first.addresses.count == 2)
            let again = try await rig.node.add(sandbox, configuration).checked()
            #expect(again.result == first.result)
            // The journal is only a hint: without it the ledger itself tells.
            try Files.removeTree(rig.node.journal)
            let rebuilt = try await rig.node.add(sandbox, configuration).checked()
            #expect(rebuilt.result == first.result)
            #expect(try await rig.states().count == 2)
        }
    }

    @Test func `ADD result 6: another interface, network or container is another attachment`() async throws {
        try await PluginRig.run { rig in
            let pool = try await rig.makePool(hosts: 10...20)
            let sandbox = try rig.node.newSandbox()
            var other = sandbox
            other.containerID = String(sandbox.containerID.reversed())
            let configuration = rig.node.configuration(pools: [pool])
            let addresses = [
                try await rig.node.add(sandbox, configuration).checked().addresses,
                try await rig.node.add(sandbox.with(interface: "net1"), configuration).checked().addresses,
                try await rig.node.add(sandbox, rig.node.configuration(network: "b", pools: [pool])).checked()
                    .addresses,
                try await rig.node.add(other, configuration).checked().addresses,
            ]
            #expect(Set(addresses.flatMap(\.self)).count == 4)
            #expect(try await rig.states().count == 4)
        }
    }

    @Test func `ADD result 6: a repeated ADD does not fail for a pool that is full by now`() async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            let sandbox = try rig.node.newSandbox()
            let first = try await rig.node.add(sandbox, configuration).checked()
            try expectFailure(try await rig.node.add(try rig.node.newSandbox(), configuration), code: 101)
            let again = try await rig.node.add(sandbox, configuration).checked()
            #expect(again.result == first.result)
        }
    }

    // MARK: ADD result 7

    @Test(arguments: [true, false])
    func `ADD result 7: a failed ADD leaves nothing claimed in any family`(isV4Full: Bool) async throws {
        try await PluginRig.run { rig in
            let pools = [
                try await rig.makePool("v4", hosts: 10...(isV4Full ? 10 : 20)),
                try await rig.makePool6("v6", hosts: 10...(isV4Full ? 20 : 10)),
            ]
            let full = isV4Full ? pools[0] : pools[1]
            try await rig.node.add(try rig.node.newSandbox(), rig.node.configuration(pools: [full])).checked()
            let before = try await rig.states()
            let sandbox = try rig.node.newSandbox()
            for _ in 0..<2 {
                try expectFailure(
                    try await rig.node.add(sandbox, rig.node.configuration(pools: pools)), code: 101, says: [full])
                #expect(try await rig.states() == before)
            }
            // The one that failed is not remembered either.
            expectSilentSuccess(try await rig.node.del(sandbox, rig.node.configuration(pools: pools)))
            #expect(try await rig.states() == before)
        }
    }

    /// Where a kill meets an ADD: which requests are held back, and whether before or after the API server acts.
    enum Moment: String, CaseIterable, Sendable {
        case readingThePod, readingThePools, beforeTheCreates, afterTheCreates, betweenTheCreates

        static let creates = RequestMatcher.verb("create", "ipallocations.ipam.berth.dev")

        func prepare(_ proxy: FaultProxy, _ gate: Gate, _ subnets: TestSubnets) {
            switch self {
            case .readingThePod: proxy.when(.verb("get", "pods"), .always, .hold(gate))
            case .readingThePools: proxy.when(.verb("get", "ippools.ipam.berth.dev"), .always, .hold(gate))
            case .beforeTheCreates: proxy.when(Self.creates, .always, .hold(gate))
            case .afterTheCreates: proxy.when(Self.creates, .always, .holdAnswer(gate))
            case .betweenTheCreates:
                proxy.when(Self.creates && .body(contains: "\"\(subnets.address4(7))\""), .always, .hold(gate))
            }
        }

        var arrivals: Int {
            switch self {
            case .readingThePod, .betweenTheCreates: 1
            case .readingThePools, .beforeTheCreates, .afterTheCreates: 2
            }
        }
    }

    @Test(arguments: Moment.allCases)
    func `ADD result 7: after SIGKILL and then DEL nothing is leaked`(moment: Moment) async throws {
        try await PluginRig.runThroughProxy { rig, proxy in
            let pools = [try await rig.makePool(hosts: 7...7), try await rig.makePool6(hosts: 7...7)]
            let configuration = rig.node.configuration(pools: pools)
            let sandbox = try rig.node.newSandbox(pod: try await rig.makePod())
            let gate = Gate()
            moment.prepare(proxy, gate, rig.subnets)
            let plugin = try rig.node.runner.start(rig.node.call("ADD", sandbox, configuration))
            try await gate.reached(moment.arrivals)
            plugin.kill()
            #expect(await plugin.outcome().process.ending == .signalled(9))
            gate.open()
            // Whatever was on its way is at the API server before the DEL, which cannot know that.
            try await proxy.waitFor("everything that was sent") { log in
                log.allSatisfy { $0.fate.serverStatus != nil }
            }
            proxy.removeRules()
            let creates = proxy.log.count("create", "ipallocations.ipam.berth.dev")
            #expect(try await rig.states().count == creates)
            expectSilentSuccess(try await rig.node.del(sandbox, configuration))
            try await rig.expectNothingHeld()
            // And the next sandbox of the pod is served.
            let next = try rig.node.newSandbox(pod: sandbox.pod)
            #expect(try await rig.node.add(next, configuration).checked().addresses.count == 2)
        }
    }

    // MARK: Environment

    @Test func `Environment: different containers run in parallel`() async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(
                pools: [try await rig.makePool(hosts: 10...25), try await rig.makePool6(hosts: 10...25)])
            let sandboxes = try (0..<16).map { _ in try rig.node.newSandbox() }
            let added = try await concurrently(sandboxes) { try await rig.node.add($0, configuration).checked() }
            #expect(Set(added.flatMap(\.addresses)).count == 32)
            let removed = try await concurrently(sandboxes) { try await rig.node.del($0, configuration) }
            for outcome in removed { expectSilentSuccess(outcome) }
            try await rig.expectNothingHeld()
        }
    }

    @Test func `Environment: a DEL that overlaps its ADD leaves nothing`() async throws {
        try await PluginRig.runThroughProxy { rig, proxy in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            let sandbox = try rig.node.newSandbox()
            let gate = Gate()
            proxy.when(Moment.creates, .first(1), .holdAnswer(gate))
            let add = try rig.node.runner.start(rig.node.call("ADD", sandbox, configuration))
            try await gate.reached()
            // The runtime has lost patience with the ADD, which goes on.
            expectSilentSuccess(try await rig.node.del(sandbox, configuration))
            gate.open()
            try expectFailure(await add.outcome(), code: 11, says: [sandbox.containerID, "deleted"])
            try await rig.expectNothingHeld()
        }
    }

    @Test func `Environment: keys of the main plugin and unknown ones are ignored`() async throws {
        try await PluginRig.run { rig in
            let pool = try await rig.makePool(hosts: 7...7)
            let configuration = rig.node.configuration(
                pools: [pool], ipam: ["mystery": ["a": [1, .number("2.5"), .null]]],
                members: [
                    "bridge": "cni0", "isGateway": true, "mtu": 1400, "capabilities": ["ips": true, "mac": true],
                    "runtimeConfig": ["mac": "02:00:00:00:00:01", "portMappings": [["hostPort": 80]]],
                    "args": ["cni": ["labels": [["key": "a", "value": "b"]]], "other": 7], "dns": ["domain": "x"],
                ])
            let added = try await rig.node.add(try rig.node.newSandbox(), configuration).checked()
            #expect(added.interfaceAddresses == ["\(rig.subnets.address4(7))/24"])
            #expect(added.result?["dns"] == nil)
        }
    }

    @Test func `Environment: the trace ID of TRACEPARENT is in the log lines`() async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            let trace = "4bf92f3577b34da6a3ce929d0e0e4736"
            let sandbox = try rig.node.newSandbox()
            for (parent, isTraced) in [("00-\(trace)-00f067aa0ba902b7-01", true), ("00-nonsense-0-01", false)] {
                for command in ["ADD", "DEL"] {
                    var call = rig.node.call(command, sandbox, configuration)
                    call.environment = ["TRACEPARENT": parent, "TRACESTATE": "a=b", "BAGGAGE": "c=d"]
                    let outcome = try await rig.node.runner.run(call).checked()
                    let lines = outcome.process.errorText.split(separator: "\n")
                    #expect(lines.contains { $0.contains("msg=\(command)") })
                    #expect(lines.allSatisfy { $0.contains("trace=\(trace)") == isTraced }, "\(lines)")
                }
            }
        }
    }
}
