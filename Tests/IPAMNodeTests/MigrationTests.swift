import IPAMAPI
import JSONText
import KubernetesCore
import TestSupport
import Testing

/// The agent of the node that a virtual machine migrates from.
@Suite("Guests that migrate", .timeLimit(.minutes(2)))
struct MigrationTests {
    @Test(.controlPlane)
    func `while the target has the address the source's agent is silent, and when it gives it back, enters it`()
        async throws
    {
        try await NodeRig.run { rig in
            let pool = try await rig.makePool(cooldown: "30s")
            let machine = TestOwner(
                apiVersion: "kubevirt.io/v1", kind: "VirtualMachineInstance", namespace: "default", name: "vm1",
                uid: rig.subnets.name("instance"))
            let claim = try await rig.makeClaim("vm")
            let naming = [AnnotationKey.claim: claim]
            let source = rig.remember(
                try await rig.controlPlane.makePod(
                    rig.subnets.name("source"), node: rig.node.name, annotations: naming, owner: machine))
            try await rig.withAgent { agent in
                let live = try await rig.start(try await rig.makeSandbox(source), pool: pool)
                try await withTestNode(rig.controlPlane) { other in
                    let target = rig.remember(
                        try await rig.controlPlane.makePod(
                            rig.subnets.name("target"), node: other.name, labels: [KubeVirt.migrationLabel: "j1"],
                            annotations: naming, owner: machine))
                    let arriving = try other.newSandbox(pod: target)
                    let configuration = other.configuration(pools: [pool])
                    let moved = try await other.add(arriving, configuration).checked()
                    #expect(moved.addresses == [live.address])
                    try await rig.waitForEnd("first", pool: pool)
                    #expect(agent.metric("berth_node_conflicts") == 0)
                    #expect(agent.metric("berth_node_restored_total") == 0)
                    let holder = try await rig.controlPlane.allocation(live.address)?.spec
                    #expect(holder?.pod == target.reference && holder?.node == other.name)

                    try await other.del(arriving, configuration).checked()
                    try await agent.waitForMetric("berth_node_restored_total", 1)
                    let back = try #require(try await rig.controlPlane.allocation(live.address))
                    #expect(back.spec.attachment == live.sandbox.attachment() && back.spec.node == rig.node.name)
                    #expect(back.metadata.uid == live.allocation.metadata.uid)
                    #expect(back.virtualMachine == VirtualMachineMark(instanceUID: machine.uid))
                    #expect(agent.metric("berth_node_conflicts_total") == 0)

                    // And once more: what was entered again can migrate.
                    let next = rig.remember(
                        try await rig.controlPlane.makePod(
                            rig.subnets.name("next"), node: other.name, labels: [KubeVirt.migrationLabel: "j2"],
                            annotations: naming, owner: machine))
                    try await rig.controlPlane.delete(target)
                    let last = try other.newSandbox(pod: next)
                    #expect(try await other.add(last, configuration).checked().addresses == [live.address])
                    // The guest has gone: the source's end takes nothing from it.
                    try await rig.node.del(live.sandbox, rig.node.configuration(pools: [pool])).checked()
                    try await rig.waitForEnd("second", pool: pool)
                    #expect(try await rig.controlPlane.allocation(live.address)?.spec.pod == next.reference)
                    #expect(agent.metric("berth_node_conflicts_total") == 0)
                    try await other.del(last, configuration).checked()
                    try await rig.deleteAllocation(live.name)
                }
            }
            try await rig.controlPlane.kubectl(["delete", "ipclaim", claim])
        }
    }
}

extension NodeRig {
    /// Waits until the agent has released what died after everything that the test did; the pool has a cooldown.
    fileprivate func waitForEnd(_ suffix: String, pool: String) async throws {
        let sentinel = try await start(suffix, pool: pool)
        try await kill(sentinel.sandbox)
        try await ledger.waitForState(sentinel.name, "Cooling")
    }
}
