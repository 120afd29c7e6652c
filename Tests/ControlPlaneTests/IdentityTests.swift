import IPAMAPI
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// Pods that keep their addresses, while no controller runs.
@Suite("Identity that stays", .controlPlane, .timeLimit(.minutes(10)))
struct IdentityTests {
    @Test func `in a namespace that is being deleted no claim is made, and the error says why`() async throws {
        try await IdentityBench.run { identity in
            let pool = try await identity.bench.makePool()
            let pod = try await identity.pod()
            // The control plane of the tests has nobody who would end it.
            try await identity.bench.controlPlane.kubectl(["delete", "namespace", identity.namespace, "--wait=false"])
            let refused = try await identity.add(try identity.sandbox(of: pod), pool)
            #expect(refused.code == PluginCode.tryAgainLater, "\(refused)")
            #expect(refused.failure?.details.contains("namespace is being deleted") == true, "\(refused)")
            #expect(try await identity.bench.allocations(pool).isEmpty)
        }
    }

    @Test(arguments: ["0s", "300s"])
    func `F3, W10: a StatefulSet's pod that is made anew keeps its address, on any node`(cooldown: String) async throws
    {
        try await IdentityBench.run { identity in
            let bench = identity.bench
            let pool = try await bench.makePool(cooldown: cooldown)
            let pod = try await identity.pod()
            let sandbox = try identity.sandbox(of: pod)
            let added = try await identity.add(sandbox, pool).checked()
            let address = try #require(added.addresses.first)
            let claim = try #require(try await identity.claims().first)
            #expect(claim.isAutomatic && claim.metadata.name.hasPrefix("web-0.eth0-"))
            #expect(claim.metadata.ownerReferences.map(\.uid) == [identity.set.uid])
            #expect(claim.status.holder?.podUID == pod.uid)
            let bound = try #require(try await identity.allocation(address))
            #expect(bound.spec.claim == claim.reference)
            #expect(bound.metadata.labels[LabelKey.claim] == claim.metadata.uid)

            try await identity.del(sandbox, pool)
            let held = try #require(try await identity.allocation(address))
            #expect(held.spec.state == .held && held.spec.attachment == nil && held.spec.pod == pod.reference)
            #expect(held.metadata.uid == bound.metadata.uid)

            try await bench.controlPlane.delete(pod)
            try await bench.withNode { other in
                let next = try await identity.pod(on: other)
                bench.proxy.clearLog()
                let again = try await identity.add(try identity.sandbox(of: next, on: other), pool, on: other).checked()
                #expect(again.addresses == [address])
                // Without what the controller writes the claim's addresses are looked for by its label.
                #expect(
                    bench.proxy.log.verbs.sorted() == [
                        "get ipclaims", "get ippools", "get namespaces", "get pods", "get pods", "list ipallocations",
                        "patch ipclaims", "update ipallocations",
                    ])
                // Its name says that the pod may have a claim, which is read beside the rest.
                #expect(
                    bench.proxy.log.verbs.prefix(4).sorted() == [
                        "get ipclaims", "get ippools", "get namespaces", "get pods",
                    ])
                let taken = try #require(try await identity.allocation(address))
                #expect(taken.metadata.uid == bound.metadata.uid && taken.spec.pod == next.reference)
                #expect(taken.spec.node == other.name && taken.spec.claim == claim.reference)
            }
            #expect(try await bench.allocations(pool).count == 1)
            #expect(try await identity.claims().map(\.metadata.uid) == [claim.metadata.uid])
        }
    }

    @Test func `where the controller wrote what is kept, nothing is listed`() async throws {
        try await IdentityBench.run { identity in
            let (v4, v6) = (try await identity.bench.makePool(.v4), try await identity.bench.makePool(.v6))
            let pod = try await identity.pod()
            let sandbox = try identity.sandbox(of: pod)
            let added = try await identity.add(sandbox, v4, v6).checked()
            try await identity.del(sandbox, v4, v6)
            try await identity.publish(added.addresses, of: try #require(try await identity.claims().first))
            try await identity.bench.controlPlane.delete(pod)
            let next = try await identity.pod()
            identity.bench.proxy.clearLog()
            let again = try await identity.add(try identity.sandbox(of: next), v4, v6).checked()
            #expect(again.addresses == added.addresses)
            #expect(identity.bench.proxy.log.lists.isEmpty)
            #expect(
                identity.bench.proxy.log.verbs.sorted() == [
                    "get ipallocations", "get ipallocations", "get ipclaims", "get ippools", "get ippools",
                    "get namespaces", "get pods", "get pods", "patch ipclaims", "update ipallocations",
                    "update ipallocations",
                ])
        }
    }

    @Test func `a pod without an identity costs no request more`() async throws {
        try await IdentityBench.run { identity in
            let pool = try await identity.bench.makePool()
            let pod = try await identity.pod("job-a", isOwned: false)
            try await identity.add(try identity.sandbox(of: pod), pool).checked()
            #expect(
                identity.bench.proxy.log.verbs.sorted() == [
                    "create ipallocations", "get ippools", "get namespaces", "get pods",
                ])
        }
    }

    @Test
    func `K3: in a pool that is sticky by name a pod keeps its address, and one of another namespace has another`()
        async throws
    {
        try await IdentityBench.run { identity in
            let pool = try await identity.bench.makePool()
            try await identity.bench.change(pool, ["stickiness": "Pods"])
            let pod = try await identity.pod("db", isOwned: false)
            let sandbox = try identity.sandbox(of: pod)
            let added = try await identity.add(sandbox, pool).checked()
            try await identity.del(sandbox, pool)
            try await identity.bench.controlPlane.delete(pod)

            let other = "\(identity.namespace)-b"
            try await identity.bench.controlPlane.makeNamespace(other)
            let stranger = try await identity.pod("db", isOwned: false, namespace: other)
            let others = try await identity.add(try identity.sandbox(of: stranger), pool).checked()
            #expect(others.addresses != added.addresses)
            try await identity.bench.controlPlane.delete(stranger)

            let next = try await identity.pod("db", isOwned: false)
            let again = try await identity.add(try identity.sandbox(of: next), pool).checked()
            #expect(again.addresses == added.addresses)
            let claim = try #require(try await identity.claims().first)
            #expect(claim.metadata.ownerReferences.isEmpty && claim.spec.retention.policy == .period)
        }
    }

    @Test(arguments: ["pod", "namespace", "pool"])
    func `a pod, its namespace or the pool turns off that claims are made`(who: String) async throws {
        let off = [AnnotationKey.sticky: "false"]
        try await IdentityBench.run(annotations: who == "namespace" ? off : [:]) { identity in
            let pool = try await identity.bench.makePool()
            if who == "pool" { try await identity.bench.change(pool, ["stickiness": "None"]) }
            let pod = try await identity.pod(annotations: who == "pod" ? off : [:])
            let sandbox = try identity.sandbox(of: pod)
            let address = try #require(try await identity.add(sandbox, pool).checked().addresses.first)
            #expect(try await identity.claims().isEmpty)
            try await identity.del(sandbox, pool)
            #expect(try await identity.allocation(address)?.spec.state == .cooling)
        }
    }

    @Test func `K4: what is kept is given to nobody else, whether asked for or not`() async throws {
        try await IdentityBench.run { identity in
            let bench = identity.bench
            let pool = try await bench.makePool(size: 2, cooldown: "0s")
            let sandbox = try identity.sandbox(of: try await identity.pod())
            let address = try #require(try await identity.add(sandbox, pool).checked().addresses.first)
            try await identity.del(sandbox, pool)

            let stranger = try await bench.add(try bench.node.newSandbox(), pool).checked()
            #expect(stranger.addresses == pool.addresses.filter { $0 != address })
            let none = try await bench.add(try bench.node.newSandbox(), pool)
            #expect(none.code == PluginCode.exhausted)
            let asking = try await bench.node.add(
                try bench.node.newSandbox(),
                bench.configuration(
                    [pool], members: ["runtimeConfig": ["ips": [.string("\(address)/24")]]]))
            #expect(asking.code == PluginCode.addressRefused)
            #expect("\(asking)".contains("web-0"), "\(asking)")
        }
    }

    @Test func `F5: a pod that moved to where another pool serves gets an address of that one, and never the old one`()
        async throws
    {
        try await IdentityBench.run { identity in
            let bench = identity.bench
            let (rackA, rackB) = (try await bench.makePool(), try await bench.makePool())
            let pod = try await identity.pod()
            let sandbox = try identity.sandbox(of: pod)
            let address = try #require(try await identity.add(sandbox, rackA).checked().addresses.first)
            try await identity.del(sandbox, rackA)
            try await bench.controlPlane.delete(pod)
            try await bench.withNode { other in
                let next = try await identity.pod(on: other)
                let moved = try await identity.add(try identity.sandbox(of: next, on: other), rackB, on: other)
                    .checked()
                #expect(Set(moved.addresses).isSubset(of: rackB.addresses))
                // The controller frees it: it is the claim's until then.
                #expect(try await identity.allocation(address)?.spec.state == .held)
            }
        }
    }

    @Test func `W10: after a reboot a same-named pod waits for the release of its predecessor's address`() async throws
    {
        try await IdentityBench.run { identity in
            let bench = identity.bench
            let pool = try await bench.makePool()
            let pod = try await identity.pod()
            let sandbox = try identity.sandbox(of: pod)
            let added = try await identity.add(sandbox, pool).checked()
            // No DEL: the node went down.
            try await bench.controlPlane.delete(pod)
            try await bench.withNode { other in
                let next = try await identity.pod(on: other)
                let waiting = try identity.sandbox(of: next, on: other)
                let early = try await identity.add(waiting, pool, on: other)
                #expect(early.code == PluginCode.tryAgainLater)
                #expect("\(early)".contains(pod.uid) && "\(early)".contains(next.uid), "\(early)")
                #expect(try await bench.holders(pool).values.map(\.containerID) == [sandbox.containerID])
                // The node is back, and its runtime clears what it had.
                try await identity.del(sandbox, pool)
                let again = try await identity.add(waiting, pool, on: other).checked()
                #expect(again.addresses == added.addresses)
                // A late DEL of the old sandbox takes nothing.
                try await identity.del(sandbox, pool)
                #expect(try await bench.holders(pool).values.map(\.containerID) == [waiting.containerID])
            }
        }
    }

    @Test func `a sandbox that replaces another of its pod waits for the DEL of that one`() async throws {
        try await IdentityBench.run { identity in
            let pool = try await identity.bench.makePool()
            let pod = try await identity.pod()
            let (old, new) = (try identity.sandbox(of: pod), try identity.sandbox(of: pod))
            let added = try await identity.add(old, pool).checked()
            #expect(try await identity.add(new, pool).code == PluginCode.tryAgainLater)
            try await identity.del(old, pool)
            let again = try await identity.add(new, pool).checked()
            #expect(again.addresses == added.addresses)
            #expect(try await identity.add(new, pool).checked().addresses == added.addresses, "an ADD may be repeated")
        }
    }

    @Test func `of two pods that name one claim the second waits until the first is gone, and both are named`()
        async throws
    {
        try await IdentityBench.run { identity in
            let bench = identity.bench
            let pool = try await bench.makePool()
            try await identity.makeClaim("vip")
            let naming = [AnnotationKey.claim: "vip"]
            let a = try await identity.pod("a", isOwned: false, annotations: naming)
            let b = try await identity.pod("b", isOwned: false, annotations: naming)
            let (first, second) = (try identity.sandbox(of: a), try identity.sandbox(of: b))
            let added = try await identity.add(first, pool).checked()

            let refused = try await identity.add(second, pool)
            #expect(refused.code == PluginCode.tryAgainLater)
            #expect("\(refused)".contains(a.uid) && "\(refused)".contains(b.uid), "\(refused)")
            // The address is released, and the pod is there: its next sandbox will want it.
            try await identity.del(first, pool)
            #expect(try await identity.add(second, pool).code == PluginCode.tryAgainLater)
            let restarted = try identity.sandbox(of: a)
            #expect(try await identity.add(restarted, pool).checked().addresses == added.addresses)
            // The pod is gone, and its sandbox may still run.
            try await bench.controlPlane.delete(a)
            let early = try await identity.add(second, pool)
            #expect(early.code == PluginCode.tryAgainLater)
            #expect("\(early)".contains(a.uid) && "\(early)".contains(b.uid), "\(early)")
            try await identity.del(restarted, pool)
            #expect(try await identity.add(second, pool).checked().addresses == added.addresses)
            #expect(try await bench.allocations(pool).count == 1)
        }
    }

    @Test func `a holder on a node where its pod is not holds nothing up`() async throws {
        try await IdentityBench.run { identity in
            let bench = identity.bench
            let pool = try await bench.makePool()
            try await identity.makeClaim("vip")
            let other = try await identity.pod("front", isOwned: false)
            let pod = try await identity.pod("a", isOwned: false, annotations: [AnnotationKey.claim: "vip"])
            let sandbox = try identity.sandbox(of: pod)
            func hold(by pod: TestPod, on node: String) async throws {
                let holder = IPClaim.Holder(
                    pod: pod.name, podUID: pod.uid, interface: "eth0", attachment: "a0", node: node, machineID: "m0")
                let namespace = identity.namespace
                _ = try await bench.controlPlane.withAdmin {
                    try $0.patch(
                        .ipClaims, namespace: namespace, name: "vip",
                        patch: .merge(["status": ["holder": holder.json]]), subresource: "status", deadline: .soon)
                }
            }
            try await hold(by: other, on: bench.node.name)
            let refused = try await identity.add(sandbox, pool)
            #expect(refused.code == PluginCode.tryAgainLater, "\(refused)")
            #expect("\(refused)".contains(other.uid), "\(refused)")
            // A node may write of itself alone, and of what pods it likes.
            try await hold(by: other, on: "another-node")
            let added = try await identity.add(sandbox, pool).checked()
            #expect(try await identity.claims().first?.status.holder?.podUID == pod.uid)
            #expect(added.addresses.count == 1)
        }
    }

    @Test func `what is kept for the claim in another pool is refused with the names of both`() async throws {
        try await IdentityBench.run { identity in
            let bench = identity.bench
            let pool = try await bench.makePool()
            let address = pool.addresses[2]
            try await identity.makeClaim("vip", ["addresses": [.string(address)]])
            let claim = try #require(try await identity.claims().first)
            let spec = IPAllocation.Spec(
                state: .held, origin: .pod, pool: "elsewhere", poolUID: "u0", address: try IPAddress(parsing: address),
                network: "", node: "", machineID: "", attachment: nil, pod: nil, claim: claim.reference,
                cooldownSeconds: 0, claimedAt: nil, releasedAt: nil)
            let object = spec.newObject()
            _ = try await bench.controlPlane.withAdmin {
                try $0.create(.ipAllocations, name: spec.objectName, object: object, deadline: .soon)
            }
            let pod = try await identity.pod("a", isOwned: false, annotations: [AnnotationKey.claim: "vip"])
            let refused = try await identity.add(try identity.sandbox(of: pod), pool)
            #expect(refused.code == PluginCode.addressRefused)
            let message = refused.failure?.message ?? ""
            #expect(
                message.contains("IPPool \"elsewhere\"") && message.contains("IPPool \"\(pool.name)\""), "\(message)")
            #expect(message.contains("name the pool that is to give it in spec.pools of the claim"), "\(message)")
            // What the controller does when that is done.
            _ = try await bench.controlPlane.withAdmin {
                try $0.patch(
                    .ipAllocations, name: spec.objectName,
                    patch: .merge(["spec": ["pool": .string(pool.name), "poolUID": "u1"]]), deadline: .soon)
            }
            let sandbox = try identity.sandbox(of: pod)
            #expect(try await identity.add(sandbox, pool).checked().addresses == [address])
        }
    }

    @Test func `pods that name one claim at once: one gets it`() async throws {
        try await IdentityBench.run { identity in
            let bench = identity.bench
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6))
            try await identity.makeClaim("vip")
            let naming = [AnnotationKey.claim: "vip"]
            let outcomes = try await bench.sideBySide(6) { number in
                let pod = try await identity.pod("p\(number)", isOwned: false, annotations: naming)
                return try await identity.add(try identity.sandbox(of: pod), v4, v6)
            }
            #expect(outcomes.count { $0.addresses.count == 2 } == 1)
            #expect(outcomes.count { $0.code == PluginCode.tryAgainLater } == 5)
            #expect(try await bench.holders(v4).count == 1)
            #expect(Set(try await bench.holders(v4).values) == Set(try await bench.holders(v6).values))
        }
    }

    @Test
    func `in a Sequential pool the pods of a StatefulSet get addresses in the order of their ordinals, and keep it`()
        async throws
    {
        try await IdentityBench.run { identity in
            let pool = try await identity.bench.makePool(size: 4, strategy: .sequential)
            for ordinal in [0, 1, 2] {
                let sandbox = try identity.sandbox(of: try await identity.pod("web-\(ordinal)"))
                #expect(try await identity.add(sandbox, pool).checked().addresses == [pool.addresses[ordinal]])
                try await identity.del(sandbox, pool)
            }
            for ordinal in [2, 0, 1] {
                let pod = try #require(
                    try await identity.claims().first { $0.spec.pod == "web-\(ordinal)" }?.status.holder)
                let sandbox = try identity.sandbox(
                    of: TestPod(
                        namespace: identity.namespace, name: pod.pod, uid: pod.podUID, node: identity.bench.node.name))
                #expect(try await identity.add(sandbox, pool).checked().addresses == [pool.addresses[ordinal]])
            }
        }
    }

    @Test func `a StatefulSet that is made anew inherits nothing`() async throws {
        try await IdentityBench.run { identity in
            let (bench, namespace) = (identity.bench, identity.namespace)
            let pool = try await bench.makePool(size: 2)
            let first = try await identity.pod()
            let sandbox = try identity.sandbox(of: first)
            let address = try #require(try await identity.add(sandbox, pool).checked().addresses.first)
            try await identity.del(sandbox, pool)
            try await bench.controlPlane.delete(first)
            try await bench.controlPlane.kubectl(["delete", "statefulset", "web", "--namespace", namespace])
            let set = try await bench.controlPlane.makeStatefulSet("web", namespace: namespace)
            let waiting = try identity.sandbox(of: try await identity.pod(of: set))
            let early = try await identity.add(waiting, pool)
            #expect(early.code == PluginCode.tryAgainLater)
            #expect("\(early)".contains(identity.set.uid), "\(early)")
            // What the garbage collector does.
            try await identity.deleteClaim(try #require(try await identity.claims().first).metadata.name)
            let added = try await identity.add(waiting, pool).checked()
            #expect(added.addresses == pool.addresses.filter { $0 != address })
        }
    }

    @Test func `a re-created claim inherits nothing`() async throws {
        try await IdentityBench.run { identity in
            let bench = identity.bench
            let pool = try await bench.makePool(size: 2)
            try await identity.makeClaim("vip")
            let naming = [AnnotationKey.claim: "vip"]
            let pod = try await identity.pod("a", isOwned: false, annotations: naming)
            let sandbox = try identity.sandbox(of: pod)
            let address = try #require(try await identity.add(sandbox, pool).checked().addresses.first)
            try await identity.del(sandbox, pool)
            try await identity.deleteClaim("vip")
            try await identity.makeClaim("vip")
            // Not even where the controller of the first one wrote it.
            try await identity.publish([address], of: try #require(try await identity.claims().first))
            let again = try await identity.add(try identity.sandbox(of: pod), pool).checked()
            #expect(again.addresses == pool.addresses.filter { $0 != address })
            #expect(try await identity.allocation(address)?.spec.state == .held)
        }
    }
}
