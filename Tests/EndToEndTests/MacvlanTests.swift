import IPAMAPI
import IPAddressing
import JSONText
import TestSupport
import Testing

@Suite("The plugin under macvlan", .timeLimit(.minutes(3)))
struct MacvlanTests {
    @Test(.controlPlane) func `two containers get what their results say, and reach each other`() async throws {
        try await EndToEndRig.run(under: "macvlan") { rig in
            let pools = try await rig.makePools()
            let cable = try await rig.makeCable()
            for version in try await rig.known(["0.4.0", "1.0.0", "1.1.0"]) {
                let configuration = rig.configuration(
                    pools: pools, version: version, ["master": .string(cable), "mode": "bridge"])
                try await checkTwoContainers(rig, configuration, [.v4, .v6], version)
            }
        }
    }

    /// Why a released address must cool: at the IPAM DEL the container can still send from it.
    @Test(.controlPlane) func `the addresses are still configured when they are released, and cool`() async throws {
        let controlPlane = try await ControlPlane.ready()
        try await controlPlane.withFaultProxy { proxy in
            try await EndToEndRig.run(under: "macvlan", through: proxy) { rig in
                let pools = try await rig.makePools(cooldown: "10s")
                let configuration = rig.configuration(
                    pools: pools, ["master": .string(try await rig.makeCable()), "mode": "bridge"])
                let container = try await rig.makeContainer()
                let added = try await rig.node.add(container.sandbox, configuration).checked()

                let gate = Gate("answers to the releases")
                proxy.when(.verb("patch", "ipallocations.ipam.berth.dev"), .first(2), .holdAnswer(gate))
                let del = try rig.node.runner.start(
                    rig.node.call("DEL", container.sandbox, configuration))
                try await gate.reached(2)
                #expect(try await container.addresses() == Set(added.interfaceAddresses))
                let cooling = Dictionary(uniqueKeysWithValues: added.addresses.map { ($0, AllocationState.cooling) })
                #expect(try await rig.states() == cooling)
                #expect(try await rig.held(by: container).isEmpty)

                gate.open()
                try await del.outcome().checked()
                #expect(try await !container.hasInterface())
                #expect(try await rig.states() == cooling)
            }
        }
    }
}
