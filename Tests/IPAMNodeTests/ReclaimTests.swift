import Glibc
import IPAMAPI
import IPAMNode
import JSONText
import KubernetesCore
import TestSupport
import Testing

/// What the agent frees, and what not, with the real plugin and real network namespaces.
@Suite("Dead sandboxes", .timeLimit(.minutes(2)))
struct ReclaimTests {
    @Test(.controlPlane) func `what a dead sandbox holds is freed while its pod lives, and the live one keeps its own`()
        async throws
    {
        try await NodeRig.run { rig in
            let pool = try await rig.makePool()
            try await rig.withAgent { agent in
                let live = try await rig.start("live", pool: pool)
                let dead = try await rig.start("dead", pool: pool)
                try await rig.kill(dead.sandbox)
                try await rig.ledger.waitUntilGone(dead.name)
                let message = try await rig.ledger.waitForEvent(about: pool, reason: "SandboxGone")
                #expect(message.contains("released \(dead.address) of pod default/"))
                #expect(!Files.exists(rig.entryPath(dead.sandbox)))
                #expect(
                    try await rig.controlPlane.allocation(live.address)?.metadata.uid == live.allocation.metadata.uid)
                #expect(agent.metric(#"berth_node_released_total{reason="SandboxGone"}"#) == 1)
            }
        }
    }

    @Test(.controlPlane) func `an address that was in use cools`() async throws {
        try await NodeRig.run { rig in
            let pool = try await rig.makePool(cooldown: "1h")
            try await rig.withAgent { _ in
                let dead = try await rig.start("dead", pool: pool)
                try await rig.patch(
                    dead.name,
                    ["metadata": ["annotations": [AnnotationKey.reclaim: "PodDeleted"]]])
                try await rig.kill(dead.sandbox)
                try await rig.ledger.waitForState(dead.name, "Cooling")
            }
        }
    }

    @Test(.controlPlane) func `an older sandbox of a live pod is freed, the newer one is not`() async throws {
        try await NodeRig.run { rig in
            let pool = try await rig.makePool()
            try await rig.withAgent { _ in
                let pod = try await rig.makePod("web")
                let older = try await rig.start(try await rig.makeSandbox(pod), pool: pool)
                let newer = try await rig.start(try await rig.makeSandbox(pod), pool: pool)
                // The path stays, as an ordinary file.
                try await rig.kill(older.sandbox, removesPath: false)
                try await rig.ledger.waitUntilGone(older.name)
                _ = try await rig.ledger.waitForEvent(about: pool, reason: "SandboxReplaced")
                try await rig.waitForSentinel(pool: pool)
                #expect(try await rig.controlPlane.allocation(newer.address)?.spec.state == .bound)
            }
        }
    }

    @Test(.controlPlane) func `a process of the container speaks against its death`() async throws {
        try await NodeRig.run { rig in
            let pool = try await rig.makePool()
            try await rig.withAgent { _ in
                let hidden = try await rig.start("hidden", pool: pool)
                try rig.setProcess(hidden.sandbox)
                try await rig.kill(hidden.sandbox)
                try await rig.waitForSentinel(pool: pool)
                #expect(try await rig.controlPlane.allocation(hidden.address)?.spec.state == .bound)
                try rig.setProcess(nil)
                try await rig.ledger.waitUntilGone(hidden.name)
            }
        }
    }

    @Test(.controlPlane) func `an attachment whose lock is held is not touched`() async throws {
        try await NodeRig.run(throughProxy: true) { rig in
            let proxy = try #require(rig.proxy)
            let pool = try await rig.makePool()
            try await rig.withAgent { agent in
                try await agent.waitUntilReady()
                let pod = try await rig.makePod("slow")
                let sandbox = try await rig.makeSandbox(pod)
                // An ADD whose create takes its time, while its sandbox seems to be gone.
                let gate = Gate()
                proxy.when(.verb("create", "ipallocations.ipam.berth.dev"), .first(1), .hold(gate))
                let patient = rig.node.configuration(pools: [pool], ipam: ["timeoutSeconds": 100])
                async let added = rig.node.add(sandbox, patient)
                try await gate.reached()
                try await rig.kill(sandbox)
                try await rig.waitForSentinel(pool: pool)
                try await rig.makeNamespace(sandbox)
                gate.open()
                let outcome = try await added
                // It was under way all the time; whether the runtime uses it is not ours to say.
                #expect(outcome.succeeded, "\(outcome)")
            }
        }
    }

    @Test(.controlPlane) func `after a reboot everything of the earlier boot is freed`() async throws {
        try await NodeRig.run { rig in
            let pool = try await rig.makePool()
            let pod = try await rig.makePod("static", configHash: "0123456789abcdef0123456789abcdef")
            var sandboxes: [Started] = []
            for suffix in ["a", "b"] { sandboxes.append(try await rig.start(suffix, pool: pool)) }
            var container = try await rig.makeSandbox(nil)
            container.ownArguments = ""
            sandboxes.append(try await rig.start(container, pool: pool))
            var staticSandbox = try await rig.makeSandbox(pod)
            staticSandbox.ownArguments = pod.arguments(
                containerID: staticSandbox.containerID, uid: "0123456789abcdef0123456789abcdef")
            sandboxes.append(try await rig.start(staticSandbox, pool: pool))
            // The power failed: one entry is torn, and one was never on the disk.
            try rig.reboot(sandboxes.map(\.sandbox))
            try Files.write(rig.entryPath(sandboxes[0].sandbox), "torn")
            try Files.remove(rig.entryPath(sandboxes[1].sandbox))
            let old = sandboxes
            try await rig.withAgent { _ in
                for started in old { try await rig.ledger.waitUntilGone(started.name) }
                _ = try await rig.ledger.waitForEvent(about: pool, reason: "NodeRebooted")
                // What came after it stays.
                let new = try await rig.start("new", pool: pool)
                try await rig.waitForSentinel(pool: pool)
                #expect(try await rig.controlPlane.allocation(new.address)?.spec.state == .bound)
            }
        }
    }

    @Test(.controlPlane)
    func `a lost journal is rebuilt, and what it does not tell any more is freed with the pod alone`()
        async throws
    {
        try await NodeRig.run { rig in
            let pool = try await rig.makePool()
            let pods = [try await rig.start("a", pool: pool), try await rig.start("b", pool: pool)]
            try Files.removeTree(rig.node.journal)
            try await rig.withAgent { agent in
                try await agent.waitForMetric(#"berth_node_attachments{sandbox="alive"}"#, 2)
                for started in pods { #expect(Files.exists(rig.entryPath(started.sandbox))) }
                // Its pod is gone, but a process runs on.
                try rig.setProcess(pods[0].sandbox)
                for started in pods { try await rig.controlPlane.delete(try #require(started.sandbox.pod)) }
                try await rig.ledger.waitUntilGone(pods[1].name)
                _ = try await rig.ledger.waitForEvent(about: pool, reason: "PodGone")
                try await rig.waitForSentinel(pool: pool)
                #expect(try await rig.controlPlane.allocation(pods[0].address)?.spec.state == .bound)
                try rig.setProcess(ofPod: try #require(pods[0].sandbox.pod))
                try await rig.waitForSentinel("another", pool: pool)
                #expect(try await rig.controlPlane.allocation(pods[0].address)?.spec.state == .bound)
                try rig.setProcess(nil)
                try await rig.ledger.waitUntilGone(pods[0].name)
            }
        }
    }

    @Test(.controlPlane) func `a journal that goes missing while the agent runs is rebuilt`() async throws {
        try await NodeRig.run { rig in
            let pool = try await rig.makePool()
            try await rig.withAgent { agent in
                let live = try await rig.start("live", pool: pool)
                try #require(rename(rig.node.journal, "\(rig.node.journal).gone") == 0)
                try await rig.waitForSentinel(pool: pool)
                #expect(Files.exists(rig.entryPath(live.sandbox)))
                #expect(try await rig.controlPlane.allocation(live.address)?.spec.state == .bound)
                // The runtime's DEL finds it.
                try await rig.node.del(live.sandbox, rig.node.configuration(pools: [pool])).checked()
                try await rig.ledger.waitUntilGone(live.name)
            }
        }
    }

    @Test(.controlPlane) func `what was entered by hand, and what another machine holds, is never freed`() async throws
    {
        try await NodeRig.run { rig in
            let pool = try await rig.makePool()
            try await rig.withAgent { _ in
                let manual = try await rig.start("manual", pool: pool)
                let other = try await rig.start("other", pool: pool)
                try await rig.patch(manual.name, ["spec": ["origin": "Manual"]])
                try await rig.patch(other.name, ["spec": ["machineID": "another one"]])
                for started in [manual, other] { try await rig.kill(started.sandbox) }
                try await rig.waitForSentinel(pool: pool)
                for started in [manual, other] {
                    #expect(try await rig.controlPlane.allocation(started.address)?.spec.state == .bound)
                }
            }
        }
    }

    /// A node whose disk begins anew with each boot: no DEL comes, and a DaemonSet's pod keeps its UID.
    @Test(.controlPlane) func `what a pod had before a boot that took the journal too is freed, though the pod lives`()
        async throws
    {
        try await NodeRig.run { rig in
            let pool = try await rig.makePool()
            let before = try await rig.start("before", pool: pool)
            let since = try await rig.start("since", pool: pool)
            let boot = try Files.text("/proc/sys/kernel/random/boot_id").filter { !$0.isWhitespace }
            #expect(since.allocation.boot == boot)
            let other = try await rig.start("other", pool: pool)
            // What was noted of an earlier holder is not about the present one.
            for (started, holder) in [(before, before), (other, before)] {
                let mark = "an-earlier-one/\(holder.sandbox.attachment().digest)"
                try await rig.patch(started.name, ["metadata": ["annotations": [AnnotationKey.boot: .string(mark)]]])
            }
            try Files.removeTree(rig.node.journal)
            try await rig.withAgent { _ in
                try await rig.ledger.waitUntilGone(before.name)
                try await rig.waitForSentinel(pool: pool)
                for started in [since, other] {
                    #expect(try await rig.controlPlane.allocation(started.address)?.spec.state == .bound)
                }
            }
        }
    }

    @Test(.controlPlane) func `an agent that cannot see the host frees nothing and does not say that it reports`()
        async throws
    {
        try await NodeRig.run { rig in
            let pool = try await rig.makePool()
            let dead = try await rig.start("dead", pool: pool)
            try await rig.kill(dead.sandbox)
            try Files.remove("\(rig.node.folder)/proc/1/root")
            try await rig.withAgent { agent in
                try await agent.waitUntilReady()
                try await agent.waitForMetric(#"berth_node_lease_renewals_total{result="withheld"}"#, atLeast: 3)
                #expect(rig.ledger.leases.value[rig.node.name] == nil)
                #expect(try await rig.controlPlane.allocation(dead.address)?.spec.state == .bound)
            }
        }
    }

    @Test(.controlPlane) func `a fenced address of a dead sandbox is freed, and that of a live one left`() async throws
    {
        try await NodeRig.run { rig in
            let pool = try await rig.makePool()
            try await rig.withAgent { _ in
                let live = try await rig.start("live", pool: pool)
                let dead = try await rig.start("dead", pool: pool)
                for started in [live, dead] {
                    try await rig.patch(
                        started.name,
                        [
                            "metadata": ["labels": [LabelKey.state: "Fenced"]],
                            "spec": ["state": "Fenced"],
                        ])
                }
                try await rig.kill(dead.sandbox)
                try await rig.ledger.waitUntilGone(dead.name)
                try await rig.waitForSentinel(pool: pool)
                #expect(try await rig.controlPlane.allocation(live.address)?.spec.state == .fenced)
            }
        }
    }

    @Test(.controlPlane) func `releases that DELs could only write down are made once the API server is back`()
        async throws
    {
        try await NodeRig.run(throughProxy: true) { rig in
            let proxy = try #require(rig.proxy)
            let pool = try await rig.makePool()
            try await rig.withAgent { agent in
                try await agent.waitUntilReady()
                let pods = [try await rig.start("a", pool: pool), try await rig.start("b", pool: pool)]
                await proxy.suspend()
                for started in pods {
                    try await rig.node.del(started.sandbox, rig.node.configuration(pools: [pool])).checked()
                }
                #expect(try Files.names(in: "\(rig.node.journal)/releasing").count == 2)
                _ = try await agent.waitForProblem("api")
                try await proxy.resume()
                for started in pods { try await rig.ledger.waitUntilGone(started.name) }
                try await agent.waitForMetric("berth_node_pending_releases", 0)
                try await agent.waitUntilReady()
            }
        }
    }
}
