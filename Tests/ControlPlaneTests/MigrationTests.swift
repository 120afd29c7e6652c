import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesCore
import TestSupport
import Testing

/// The addresses of a virtual machine while two pods of it are there.
@Suite("Live migration", .controlPlane, .timeLimit(.minutes(10)))
struct MigrationTests {
    @Test func `the target gets the source's addresses, and the source's DEL frees nothing`() async throws {
        try await MachineBench.run { machines in
            let (bench, identity) = (machines.bench, machines.identity)
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6))
            let instance = try await machines.instance(of: try await machines.machine())
            let pod = try await machines.launcher("a", of: instance)
            let sandbox = try identity.sandbox(of: pod)
            let added = try await identity.add(sandbox, v4, v6).checked()
            try await bench.withNode { other in
                let target = try await machines.launcher("b", of: instance, on: other, migration: "j1")
                let arriving = try identity.sandbox(of: target, on: other)
                let moved = try await identity.add(arriving, v4, v6, on: other).checked()
                #expect(moved.addresses == added.addresses && moved.addresses.count == 2)
                #expect(try await machines.holders(v4, v6) == [target.name])
                let source = PodName(pod: pod.name, podUID: pod.uid)
                #expect(try await machines.claim().status.holder?.migratedFrom == source)
                for allocation in try await bench.allocations(v4) + bench.allocations(v6) {
                    let mark = VirtualMachineMark(instanceUID: instance.uid, migratedFrom: source)
                    #expect(allocation.virtualMachine == mark && allocation.spec.node == other.name)
                }
                // The guest is in the source still.
                try await bench.node.check(sandbox, bench.configuration([v4, v6]), previous: added).checked()
                #expect(try await identity.add(arriving, v4, v6, on: other).checked().addresses == added.addresses)

                try await machines.finish(pod)
                try await identity.del(sandbox, v4, v6)
                try await machines.controlPlane.delete(pod)
                #expect(try await machines.holders(v4, v6) == [target.name])

                // And on to a third one, back on the first node.
                let third = try await machines.launcher("c", of: instance, migration: "j2")
                let last = try identity.sandbox(of: third)
                #expect(try await identity.add(last, v4, v6).checked().addresses == added.addresses)
                try await machines.finish(target)
                try await identity.del(last, v4, v6)
                try await identity.del(arriving, v4, v6, on: other)
                #expect(try await machines.holders(v4, v6) == [""])
                #expect(try await bench.allocations(v4).map(\.spec.state) == [.held])
            }
        }
    }

    @Test func `of a migration that fails the addresses go back to the source or to the next target, and to no other`()
        async throws
    {
        try await MachineBench.run { machines in
            let (bench, identity) = (machines.bench, machines.identity)
            let pool = try await bench.makePool(size: 2)
            try await identity.makeClaim("vip")
            let naming = [AnnotationKey.claim: "vip"]
            let instance = try await machines.instance(of: try await machines.machine())
            let pod = try await machines.launcher("a", of: instance, annotations: naming)
            let sandbox = try identity.sandbox(of: pod)
            let added = try await identity.add(sandbox, pool).checked()
            try await bench.withNode { other in
                let target = try await machines.launcher(
                    "b", of: instance, on: other, migration: "j1", annotations: naming)
                let arriving = try identity.sandbox(of: target, on: other)
                try await identity.add(arriving, pool, on: other).checked()
                try await identity.del(arriving, pool, on: other)
                try await machines.controlPlane.delete(target)
                #expect(try await bench.allocations(pool).map(\.spec.state) == [.held])
                try await bench.node.check(sandbox, bench.configuration([pool]), previous: added).checked()

                let third = try await identity.pod("third", isOwned: false, annotations: naming)
                let refused = try await identity.add(try identity.sandbox(of: third), pool)
                #expect(refused.code == PluginCode.tryAgainLater)
                #expect("\(refused)".contains(pod.uid) && "\(refused)".contains(third.uid), "\(refused)")

                let next = try await machines.launcher(
                    "c", of: instance, on: other, migration: "j2", annotations: naming)
                let again = try identity.sandbox(of: next, on: other)
                #expect(try await identity.add(again, pool, on: other).checked().addresses == added.addresses)
                #expect(
                    try await machines.bench.allocations(pool).first?.virtualMachine?.migratedFrom?.podUID == pod.uid)
            }
        }
    }

    @Test func `two migrations of one machine at once: the second is refused`() async throws {
        try await MachineBench.run { machines in
            let (bench, identity) = (machines.bench, machines.identity)
            let pool = try await bench.makePool()
            let (instance, pod, added) = try await machines.guest(pool)
            try await bench.withNode { other in
                let first = try await machines.launcher("b", of: instance, on: other, migration: "j1")
                let second = try await machines.launcher("c", of: instance, on: other, migration: "j2")
                let (one, two) = (
                    try identity.sandbox(of: first, on: other), try identity.sandbox(of: second, on: other)
                )
                #expect(try await identity.add(one, pool, on: other).checked().addresses == added.addresses)
                let refused = try await identity.add(two, pool, on: other)
                #expect(refused.code == PluginCode.tryAgainLater)
                for uid in [pod.uid, first.uid, second.uid] { #expect("\(refused)".contains(uid), "\(refused)") }
                #expect(try await machines.claim().status.holder?.podUID == first.uid)
                #expect(try await machines.holders(pool) == [first.name])
                // The source does not take it back either, in a sandbox that is made anew.
                let renewed = try identity.sandbox(of: pod)
                #expect(try await identity.add(renewed, pool).code == PluginCode.tryAgainLater)
                #expect(try await machines.holders(pool) == [first.name])
            }
        }
    }

    @Test func `targets that come at the same moment: one gets all addresses, the others none`() async throws {
        try await MachineBench.run { machines in
            let (bench, identity) = (machines.bench, machines.identity)
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6))
            let (instance, _, added) = try await machines.guest(v4, v6)
            let outcomes = try await bench.sideBySide(4) { number in
                let target = try await machines.launcher("t\(number)", of: instance, migration: "j\(number)")
                return try await identity.add(try identity.sandbox(of: target), v4, v6)
            }
            #expect(outcomes.count { $0.addresses == added.addresses } == 1)
            #expect(outcomes.count { $0.code == PluginCode.tryAgainLater } == 3)
            #expect(try await machines.holders(v4, v6).count == 1)
            #expect(try await bench.allocations(v4).count == 1)
        }
    }

    @Test(arguments: ["another instance", "no instance", "no label"])
    func `a pod that only looks like a target is refused`(what: String) async throws {
        try await MachineBench.run { machines in
            let (bench, identity) = (machines.bench, machines.identity)
            let pool = try await bench.makePool()
            try await identity.makeClaim("vip")
            let naming = [AnnotationKey.claim: "vip"]
            let instance = try await machines.instance(of: try await machines.machine())
            let pod = try await machines.launcher("a", of: instance, annotations: naming)
            let added = try await identity.add(try identity.sandbox(of: pod), pool).checked()
            var owner: TestOwner? = instance
            if what == "another instance" { owner = try await machines.instance("vm2", of: nil) }
            if what == "no instance" { owner = nil }
            let fake = try await machines.controlPlane.makePod(
                "virt-launcher-vm1-fake", namespace: identity.namespace, node: bench.node.name,
                labels: what == "no label" ? [:] : [KubeVirt.migrationLabel: "j1"], annotations: naming, owner: owner)
            let refused = try await identity.add(try identity.sandbox(of: fake), pool)
            #expect(refused.code == PluginCode.tryAgainLater)
            #expect("\(refused)".contains(pod.uid) && "\(refused)".contains(fake.uid), "\(refused)")
            #expect(try await machines.holders(pool) == [pod.name])
            #expect(try await bench.allocations(pool).map { "\($0.spec.address)" } == added.addresses)
        }
    }

    @Test func `where a guest's address is not given, nothing of it moves`() async throws {
        try await MachineBench.run { machines in
            let (bench, identity) = (machines.bench, machines.identity)
            let (rackA, rackB) = (try await bench.makePool(), try await bench.makePool())
            let (instance, pod, added) = try await machines.guest(rackA)
            try await bench.withNode { other in
                let wrong = try await machines.launcher("b", of: instance, on: other, migration: "j1")
                let sandbox = try identity.sandbox(of: wrong, on: other)
                let refused = try await identity.add(sandbox, rackB, on: other)
                #expect(refused.code == PluginCode.addressRefused)
                #expect("\(refused)".contains(added.addresses[0]), "\(refused)")
                #expect(try await machines.holders(rackA) == [pod.name])
                #expect(try await bench.allocations(rackB).isEmpty)
                try await identity.del(sandbox, rackB, on: other)
                try await machines.controlPlane.delete(wrong)
                // What its pool gives to nobody new, a guest has already.
                try await bench.change(rackA, ["exclude": .strings(added.addresses)])
                let right = try await machines.launcher("c", of: instance, on: other, migration: "j2")
                let moved = try await identity.add(try identity.sandbox(of: right, on: other), rackA, on: other)
                #expect(try moved.checked().addresses == added.addresses)
            }
        }
    }

    @Test(arguments: ["patch ipclaims", "update ipallocations"])
    func `an answer that is lost on the way changes nothing`(request: String) async throws {
        try await MachineBench.run { machines in
            let (bench, identity) = (machines.bench, machines.identity)
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6))
            let (instance, _, added) = try await machines.guest(v4, v6)
            let parts = request.split(separator: " ").map(String.init)
            bench.proxy.when(.verb(parts[0], "\(parts[1]).\(BerthAPI.group)"), .first(1), .dropAnswer())
            try await bench.withNode { other in
                let target = try await machines.launcher("b", of: instance, on: other, migration: "j1")
                let moved = try await identity.add(try identity.sandbox(of: target, on: other), v4, v6, on: other)
                #expect(try moved.checked().addresses == added.addresses)
                #expect(try await machines.holders(v4, v6) == [target.name])
            }
        }
    }

    @Test(arguments: ["patch ipclaims", "update ipallocations"])
    func `an ADD that is killed halfway is undone by its DEL, and the next sandbox of the pod gets the addresses`(
        request: String
    ) async throws {
        try await MachineBench.run { machines in
            let (bench, identity) = (machines.bench, machines.identity)
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6))
            let (instance, pod, added) = try await machines.guest(v4, v6)
            let parts = request.split(separator: " ").map(String.init)
            try await bench.withNode { other in
                let target = try await machines.launcher("b", of: instance, on: other, migration: "j1")
                let arriving = try identity.sandbox(of: target, on: other)
                let gate = Gate()
                let rule = bench.proxy.when(
                    .verb(parts[0], "\(parts[1]).\(BerthAPI.group)"), .first(1), .holdAnswer(gate))
                let running = try other.runner.start(
                    other.call("ADD", arriving, bench.configuration([v4, v6], on: other)))
                try await rule.hit()
                try await gate.reached()
                running.kill()
                _ = await running.outcome()
                gate.open()
                // Of the same sandbox: where it had begun to take them, what it left must be settled first.
                let again = try await identity.add(arriving, v4, v6, on: other)
                if parts[0] == "patch" {
                    #expect(again.addresses == added.addresses)
                } else {
                    #expect(again.code == PluginCode.tryAgainLater, "\(again)")
                }
                try await identity.del(arriving, v4, v6, on: other)
                #expect(try await machines.holders(v4, v6).isSubset(of: ["", pod.name]))
                let next = try identity.sandbox(of: target, on: other)
                let moved = try await identity.add(next, v4, v6, on: other).checked()
                #expect(moved.addresses == added.addresses)
                #expect(try await machines.holders(v4, v6) == [target.name])
            }
        }
    }
}
