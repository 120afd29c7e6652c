import IPAMAPI
import IPAMLedger
import JSONText
import KubernetesCore
import TestSupport
import Testing

/// What the agent enters again, and what not.
@Suite("Lost addresses of live sandboxes", .timeLimit(.minutes(2)))
struct RestoreTests {
    @Test(.controlPlane) func `an allocation that was deleted by hand is entered again as it was`() async throws {
        try await NodeRig.run { rig in
            let pool = try await rig.makePool(cooldown: "30s")
            try await rig.withAgent { agent in
                let live = try await rig.start("live", pool: pool)
                try await rig.deleteAllocation(live.name)
                try await agent.waitForMetric("berth_node_restored_total", 1)
                let restored = try #require(try await rig.controlPlane.allocation(live.address))
                var (expected, found) = (live.allocation.spec, restored.spec)
                (expected.claimedAt, found.claimedAt) = (nil, nil)
                #expect(found == expected)
                #expect(restored.metadata.labels == live.allocation.metadata.labels)
                #expect(restored.metadata.uid != live.allocation.metadata.uid)
                let pod = try #require(live.sandbox.pod)
                for subject in [pool, pod.name] {
                    let message = try await rig.ledger.waitForEvent(about: subject, reason: "Restored")
                    #expect(message.contains(live.address))
                }
                // The DEL that comes finds it.
                try await rig.node.del(live.sandbox, rig.node.configuration(pools: [pool])).checked()
                try await rig.ledger.waitForState(live.name, "Cooling")
                try await rig.waitForCoolingSentinel(pool)
                #expect(agent.metric("berth_node_restored_total") == 1)
            }
        }
    }

    @Test(.controlPlane) func `one that was released behind the sandbox's back is taken back`() async throws {
        try await NodeRig.run { rig in
            let pool = try await rig.makePool(cooldown: "1h")
            try await rig.withAgent { agent in
                let live = try await rig.start("live", pool: pool)
                try await rig.patch(
                    live.name,
                    IPAllocation.releasePatch(
                        at: "2025-11-20T09:07:05Z", uid: live.allocation.metadata.uid,
                        resourceVersion: live.allocation.metadata.resourceVersion))
                try await agent.waitForMetric("berth_node_restored_total", 1)
                let found = try #require(try await rig.controlPlane.allocation(live.address))
                #expect(found.spec.state == .bound)
                #expect(found.spec.attachment == live.sandbox.attachment())
                #expect(found.metadata.uid == live.allocation.metadata.uid)
            }
        }
    }

    @Test(.controlPlane) func `one that is not its claim's any more cools after the DEL, and is kept for nobody`()
        async throws
    {
        try await NodeRig.run { rig in
            let pool = try await rig.makePool(cooldown: "1h")
            let claim = try await rig.makeClaim("claim")
            let pod = rig.remember(
                try await rig.controlPlane.makePod(
                    rig.subnets.name("pod"), node: rig.node.name, annotations: [AnnotationKey.claim: claim]))
            try await rig.withAgent { agent in
                let live = try await rig.start(try await rig.makeSandbox(pod), pool: pool)
                #expect(live.allocation.spec.claim?.name == claim)
                // As the controller does when the claim is deleted.
                var patch = IPAllocation.releasePatch(
                    at: "2025-11-20T09:07:05Z", uid: live.allocation.metadata.uid,
                    resourceVersion: live.allocation.metadata.resourceVersion)
                patch["spec"]?["claim"] = .null
                patch["metadata"]?["labels"]?[LabelKey.claim] = .null
                try await rig.patch(live.name, patch)
                try await agent.waitForMetric("berth_node_restored_total", 1)
                let restored = try #require(try await rig.controlPlane.allocation(live.address))
                #expect(restored.spec.attachment == live.sandbox.attachment() && restored.spec.claim == nil)
                try await rig.node.del(live.sandbox, rig.node.configuration(pools: [pool])).checked()
                #expect(try await rig.controlPlane.allocation(live.address)?.spec.state == .cooling)
            }
            try await rig.controlPlane.kubectl(["delete", "ipclaim", claim])
        }
    }

    @Test(.controlPlane) func `nothing is entered for a pod that is gone`() async throws {
        try await NodeRig.run { rig in
            let pool = try await rig.makePool()
            let orphan = try await rig.start("orphan", pool: pool)
            try await rig.controlPlane.delete(try #require(orphan.sandbox.pod))
            try await rig.deleteAllocation(orphan.name)
            try await rig.withAgent { agent in
                try await rig.waitForSentinel(pool: pool)
                #expect(try await rig.controlPlane.allocation(orphan.address) == nil)
                #expect(agent.metric("berth_node_restored_total") == 0)
            }
        }
    }

    @Test(.controlPlane) func `nor for a pod that has another one of its name`() async throws {
        try await NodeRig.run { rig in
            let pool = try await rig.makePool()
            let orphan = try await rig.start("orphan", pool: pool)
            let successor = try await rig.controlPlane.recreate(try #require(orphan.sandbox.pod))
            try await rig.deleteAllocation(orphan.name)
            try await rig.withAgent { agent in
                try await rig.waitForSentinel(pool: pool)
                #expect(try await rig.controlPlane.allocation(orphan.address) == nil)
                #expect(agent.metric("berth_node_restored_total") == 0)
            }
            try await rig.controlPlane.delete(successor)
        }
    }

    @Test(.controlPlane) func `nor for a sandbox whose DEL was made`() async throws {
        try await NodeRig.run { rig in
            let pool = try await rig.makePool()
            try await rig.withAgent { agent in
                let ended = try await rig.start("ended", pool: pool)
                try await rig.node.del(ended.sandbox, rig.node.configuration(pools: [pool])).checked()
                try await rig.waitForSentinel(pool: pool)
                #expect(try await rig.controlPlane.allocation(ended.address) == nil)
                #expect(agent.metric("berth_node_restored_total") == 0)
            }
        }
    }

    @Test(.controlPlane) func `an address that another node has got is a conflict, and nothing is changed`()
        async throws
    {
        try await NodeRig.run { rig in
            let pool = try await rig.makePool()
            try await rig.withAgent { agent in
                let live = try await rig.start("live", pool: pool)
                // As when the ledger was restored from a backup of which another node knows more.
                try await rig.patch(
                    live.name,
                    [
                        "metadata": ["labels": [LabelKey.node: "elsewhere"]],
                        "spec": [
                            "node": "elsewhere", "machineID": "another one",
                            "attachment": ["containerID": "c2", "interface": "eth0", "networkName": "net"],
                        ],
                    ])
                let pod = try #require(live.sandbox.pod)
                for subject in [pool, pod.name] {
                    let message = try await rig.ledger.waitForEvent(about: subject, reason: "AddressConflict")
                    #expect(message.contains(live.address) && message.contains("elsewhere"), "\(message)")
                }
                try await agent.waitForMetric("berth_node_conflicts", 1)
                try await rig.waitForSentinel(pool: pool)
                #expect(agent.metric("berth_node_conflicts_total") == 1)
                #expect(try await rig.controlPlane.allocation(live.address)?.spec.attachment?.containerID == "c2")
                #expect(Files.exists(rig.entryPath(live.sandbox)))
                // The administrator has decided.
                try await rig.deleteAllocation(live.name)
                try await rig.ledger.waitForHolder(live.name, live.sandbox.attachment())
                try await agent.waitForMetric("berth_node_conflicts", 0)
            }
        }
    }

    @Test(.controlPlane) func `an address that a live sandbox of this node has got is a conflict`() async throws {
        try await NodeRig.run { rig in
            let pool = try await rig.makePool()
            try await rig.withAgent { agent in
                let first = try await rig.start("first", pool: pool)
                let second = try await rig.start("second", pool: pool)
                try await rig.patch(first.name, rig.holder(second))
                try await agent.waitForMetric("berth_node_conflicts", 1)
                try await rig.waitForSentinel(pool: pool)
                let holder = try await rig.controlPlane.allocation(first.address)?.spec.attachment
                #expect(holder == second.sandbox.attachment())
            }
        }
    }

    @Test(.controlPlane) func `from a dead sandbox of this node it is taken, and never was free in between`()
        async throws
    {
        try await NodeRig.run { rig in
            let pool = try await rig.makePool()
            try await rig.withAgent { agent in
                let live = try await rig.start("live", pool: pool)
                // Of whom the ledger knew before it was restored from a backup, and the journal does not any more.
                let ended = try await rig.start("ended", pool: pool)
                try await rig.node.del(ended.sandbox, rig.node.configuration(pools: [pool])).checked()
                try await rig.ledger.waitUntilGone(ended.name)
                try await rig.patch(live.name, rig.holder(ended))
                try await agent.waitForMetric("berth_node_restored_total", 1)
                let found = try #require(try await rig.controlPlane.allocation(live.address))
                #expect(found.metadata.uid == live.allocation.metadata.uid)
                #expect(found.spec.pod == live.allocation.spec.pod)
                #expect(found.spec.attachment == live.sandbox.attachment())
            }
        }
    }

    @Test(.controlPlane) func `a create whose answer is lost is accounted for`() async throws {
        try await NodeRig.run(throughProxy: true) { rig in
            let proxy = try #require(rig.proxy)
            let pool = try await rig.makePool()
            try await rig.withAgent { agent in
                let live = try await rig.start("live", pool: pool)
                proxy.when(.verb("create", "ipallocations.ipam.berth.dev"), .first(1), .dropAnswer())
                proxy.clearLog()
                try await rig.deleteAllocation(live.name)
                try await proxy.waitFor("the create") { $0.count("create", "ipallocations.ipam.berth.dev") > 0 }
                try await rig.ledger.waitForNewHolder(live.allocation, live.sandbox.attachment())
                try await rig.node.del(live.sandbox, rig.node.configuration(pools: [pool])).checked()
                try await rig.ledger.waitUntilGone(live.name)
                // Until nothing of it can be committed any more, the name stays in the journal.
                #expect(
                    try Files.names(in: "\(rig.node.journal)/releasing") == [live.sandbox.attachment().digest])
            }
        }
    }
}

extension NodeRig {
    /// What makes an allocation the one of another sandbox of this node.
    fileprivate func holder(_ started: Started) -> JSON {
        let attachment = started.sandbox.attachment()
        return [
            "metadata": ["labels": [LabelKey.attachment: .string(attachment.digest)]],
            "spec": [
                "attachment": attachment.json,
                "pod": started.allocation.spec.pod.map { $0.json } ?? .null,
            ],
        ]
    }

    /// Waits until the agent has released what died after everything that the test did; the pool has a cooldown.
    fileprivate func waitForCoolingSentinel(_ pool: String) async throws {
        let sentinel = try await start("sentinel", pool: pool)
        try await kill(sentinel.sandbox)
        try await ledger.waitForState(sentinel.name, "Cooling")
    }
}
