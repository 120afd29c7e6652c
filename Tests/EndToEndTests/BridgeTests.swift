import IPAMAPI
import IPAddressing
import JSONText
import TestSupport
import Testing

@Suite("The plugin under bridge", .timeLimit(.minutes(3)))
struct BridgeTests {
    @Test(.controlPlane, arguments: [[.v4], [.v6], [.v4, .v6]] as [[IPFamily]])
    func `two containers get what their results say, and reach each other`(families: [IPFamily]) async throws {
        try await EndToEndRig.run(under: "bridge") { rig in
            let pools = try await rig.makePools(families)
            let bridge = rig.deviceName("")
            for version in try await rig.known(["0.3.1", "0.4.0", "1.0.0", "1.1.0"]) {
                let configuration = rig.configuration(pools: pools, version: version, ["bridge": .string(bridge)])
                try await checkTwoContainers(rig, configuration, families, version)
            }
        }
    }

    @Test(.controlPlane) func `an error of the plugin passes through, and nothing is left`() async throws {
        try await EndToEndRig.run(under: "bridge") { rig in
            let pools = try await rig.makePools([.v4]) + ["no-such-pool"]
            let configuration = rig.configuration(pools: pools, ["bridge": .string(rig.deviceName(""))])
            let container = try await rig.makeContainer()
            let added = try await rig.node.add(container.sandbox, configuration)
            let failure = try #require(added.failure)
            #expect(failure.code == 100)
            #expect(failure.message.contains("no-such-pool"))
            #expect(try await rig.states().isEmpty)
            try await rig.node.del(container.sandbox, configuration).checked()
            #expect(try await !container.hasInterface())
        }
    }

    @Test(.controlPlane) func `when bridge fails before it asks for an address, none is claimed`() async throws {
        try await EndToEndRig.run(under: "bridge") { rig in
            let pools = try await rig.makePools()
            // Not a bridge.
            let device = try await rig.makeCable()
            let configuration = rig.configuration(pools: pools, ["bridge": .string(device)])
            let container = try await rig.makeContainer()
            let added = try await rig.node.add(container.sandbox, configuration)
            #expect(!added.succeeded)
            #expect(added.description.contains("not a bridge"))
            #expect(try await rig.states().isEmpty)
            try await rig.node.del(container.sandbox, configuration).checked()
        }
    }

    @Test(.controlPlane) func `when bridge fails after the claim, its own DEL releases it`() async throws {
        // Nothing on the link leads to that gateway, so the kernel refuses the route.
        let ipam: JSON = ["routes": [["dst": "198.51.100.0/24", "gw": "192.0.2.1"]]]
        try await EndToEndRig.run(under: "bridge", ipam: ipam) { rig in
            let pools = try await rig.makePools()
            let configuration = rig.configuration(pools: pools, ["bridge": .string(rig.deviceName(""))])
            let container = try await rig.makeContainer()
            let added = try await rig.node.add(container.sandbox, configuration)
            #expect(!added.succeeded)
            #expect(added.description.contains("failed to add route"))
            #expect(rig.node.verbsThatSucceeded == ["ADD", "DEL"])
            #expect(try await rig.states().isEmpty)
            // The runtime's own.
            try await rig.node.del(container.sandbox, configuration).checked()
            try await rig.node.delAgain(container.sandbox, configuration).checked()
            #expect(try await rig.states().isEmpty)
        }
    }

    @Test(.controlPlane) func `when bridge is killed during a claim, the runtime's DEL leaves nothing`() async throws {
        let controlPlane = try await ControlPlane.ready()
        try await controlPlane.withFaultProxy { proxy in
            try await EndToEndRig.run(under: "bridge", through: proxy) { rig in
                let pools = try await rig.makePools()
                let configuration = rig.configuration(pools: pools, ["bridge": .string(rig.deviceName(""))])
                let container = try await rig.makeContainer()
                let gate = Gate("creates")
                proxy.when(.verb("create", "ipallocations.ipam.berth.dev"), .first(2), .hold(gate))

                let add = try rig.node.runner.start(rig.node.call("ADD", container.sandbox, configuration))
                try await gate.reached(2)
                // berth lives on, without the parent that wanted its answer.
                add.kill()
                let del = try rig.node.runner.start(rig.node.call("DEL", container.sandbox, configuration))
                gate.open()
                _ = await add.outcome()
                try await del.outcome().checked()
                // The DEL waited for the ADD's lock, or the ADD found its tombstone.
                #expect(try await rig.states().isEmpty)
                #expect(try rig.node.journalEntries() == [])
            }
        }
    }
}

/// Attaches two containers, compares what they got with what was said, and detaches them as kubelet does.
func checkTwoContainers(
    _ rig: EndToEndRig, _ configuration: JSON, _ families: [IPFamily], _ version: String
) async throws {
    let containers = try await [rig.makeContainer("\(version)-a"), rig.makeContainer("\(version)-b")]
    var outcomes: [PluginOutcome] = []
    for container in containers {
        let added = try await rig.node.add(container.sandbox, configuration).checked()
        outcomes.append(added)
        #expect(added.result?["cniVersion"]?.string == version)
        #expect(try added.parsedAddresses().map(\.family).sorted() == families.sorted())
        let gateways = families.map { $0 == .v4 ? rig.subnets.address4(1) : rig.subnets.address6(1) }
        #expect(added.result?.gateways == Set(gateways))
        #expect(added.result?["routes"]?.array?.count == 2 * families.count)
        #expect(try await rig.held(by: container) == Set(added.addresses))
        try await expectConfigured(container, added)
    }
    for (index, container) in containers.enumerated() {
        for address in outcomes[1 - index].addresses { try await container.ping(address) }
    }
    for (container, added) in zip(containers, outcomes) {
        try await rig.node.del(container.sandbox, configuration, previous: added).checked()
        #expect(try await !container.hasInterface())
        #expect(try await rig.held(by: container).isEmpty)
        // The sandbox is removed, and kubelet asks again.
        try await container.remove()
        for _ in 0..<2 { try await rig.node.delAgain(container.sandbox, configuration).checked() }
    }
    #expect(try await rig.states().isEmpty)
    #expect(try rig.node.journalEntries() == [])
}

extension TestNode {
    /// The verbs that the plugin's log tells of, in order, but for those that failed.
    var verbsThatSucceeded: [String] {
        log.split(separator: "\n").compactMap { line in
            ["ADD", "DEL"].first { line.contains(" msg=\($0) ") }
        }
    }

    /// The attachments that the journal knows.
    func journalEntries() throws -> [String] { try Files.names(in: "\(journal)/entries") }
}
