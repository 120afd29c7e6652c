import IPAMAPI
import IPAMEngine
import JSONText
import KubernetesCore
import TestSupport
import Testing

/// Addresses of virtual machines, whose pods come and go under names that nobody knows before.
@Suite("Virtual machines", .controlPlane, .timeLimit(.minutes(10)))
struct VirtualMachineTests {
    @Test func `a machine that is stopped and started keeps its address, on any node`() async throws {
        try await MachineBench.run { machines in
            let (bench, identity) = (machines.bench, machines.identity)
            let pool = try await bench.makePool()
            let machine = try await machines.machine()
            let first = try await machines.instance(of: machine)
            let pod = try await machines.launcher("x7k2p", of: first)
            let sandbox = try identity.sandbox(of: pod)
            let added = try await identity.add(sandbox, pool).checked()
            let address = try #require(added.addresses.first)
            let claim = try await machines.claim()
            #expect(claim.isAutomatic && claim.metadata.name.hasPrefix("vm1.eth0-") && claim.spec.pod.isEmpty)
            #expect(claim.metadata.ownerReferences.map(\.uid) == [machine.uid])
            #expect(claim.spec.retention.policy == .untilOwnerDeleted)
            #expect(try await identity.allocation(address)?.virtualMachine?.instanceUID == first.uid)

            try await identity.del(sandbox, pool)
            #expect(try await identity.allocation(address)?.spec.state == .held)
            try await machines.controlPlane.delete(pod)
            try await machines.controlPlane.delete(first)
            let second = try await machines.instance(of: machine)
            try await bench.withNode { other in
                // Its name is one that a StatefulSet could give.
                let next = try await machines.launcher("12345", of: second, on: other)
                bench.proxy.clearLog()
                let again = try await identity.add(try identity.sandbox(of: next, on: other), pool, on: other).checked()
                #expect(again.addresses == [address])
                #expect(bench.proxy.log.verbs.count { $0 == "get virtualmachineinstances" } == 1)
                let taken = try #require(try await identity.allocation(address))
                #expect(taken.virtualMachine == VirtualMachineMark(instanceUID: second.uid))
            }
            #expect(try await identity.claims().map(\.metadata.uid) == [claim.metadata.uid])
            #expect(try await bench.allocations(pool).count == 1)
        }
    }

    @Test func `a machine that is made anew under its name inherits nothing`() async throws {
        try await MachineBench.run { machines in
            let identity = machines.identity
            let pool = try await machines.bench.makePool(size: 2)
            let earlier = try await machines.machine()
            let first = try await machines.instance(of: earlier)
            let pod = try await machines.launcher("a", of: first)
            let sandbox = try identity.sandbox(of: pod)
            let address = try #require(try await identity.add(sandbox, pool).checked().addresses.first)
            try await identity.del(sandbox, pool)
            try await machines.controlPlane.delete(pod)
            for owner in [first, earlier] { try await machines.controlPlane.delete(owner) }
            let second = try await machines.instance(of: try await machines.machine())
            let waiting = try identity.sandbox(of: try await machines.launcher("b", of: second))
            let early = try await identity.add(waiting, pool)
            #expect(early.code == PluginCode.tryAgainLater)
            #expect("\(early)".contains(earlier.uid), "\(early)")
            // What the garbage collector does.
            try await identity.deleteClaim(try await machines.claim().metadata.name)
            let added = try await identity.add(waiting, pool).checked()
            #expect(added.addresses == pool.addresses.filter { $0 != address })
        }
    }

    @Test func `the claim of an instance without a machine goes with the instance`() async throws {
        try await MachineBench.run { machines in
            let pool = try await machines.bench.makePool()
            let instance = try await machines.instance(of: nil)
            let pod = try await machines.launcher("a", of: instance)
            try await machines.identity.add(try machines.identity.sandbox(of: pod), pool).checked()
            #expect(try await machines.claim().metadata.ownerReferences.map(\.uid) == [instance.uid])
        }
    }

    @Test(arguments: ["pod", "namespace", "pool"])
    func `a pod, its namespace or the pool turns it off`(who: String) async throws {
        let off = [AnnotationKey.sticky: "false"]
        try await MachineBench.run(annotations: who == "namespace" ? off : [:]) { machines in
            let pool = try await machines.bench.makePool()
            if who == "pool" { try await machines.bench.change(pool, ["stickiness": "None"]) }
            let instance = try await machines.instance(of: try await machines.machine())
            let pod = try await machines.launcher("a", of: instance, annotations: who == "pod" ? off : [:])
            machines.bench.proxy.clearLog()
            try await machines.identity.add(try machines.identity.sandbox(of: pod), pool).checked()
            #expect(try await machines.identity.claims().isEmpty)
            // What the namespace says is asked when a claim would be made.
            let asked = machines.bench.proxy.log.verbs.filter {
                $0.hasSuffix("claims") || $0.contains("virtualmachine")
            }
            if who != "namespace" { #expect(asked.isEmpty) }
        }
    }

    @Test func `what cannot be known of the machine is no reason to give any address`() async throws {
        try await MachineBench.run { machines in
            let (bench, identity) = (machines.bench, machines.identity)
            let pool = try await bench.makePool()
            let instance = try await machines.instance(of: try await machines.machine())
            let sandbox = try identity.sandbox(of: try await machines.launcher("a", of: instance))
            let unserved = FaultAction.respond(
                status: 404, headers: [("content-type", "text/plain")], body: Array("404 page not found\n".utf8))
            for (action, code, text) in [
                (FaultAction.forbidden, PluginCode.forbidden, "missing permission"),
                (.notFound, PluginCode.tryAgainLater, "does not exist"),
                (unserved, PluginCode.tryAgainLater, "is KubeVirt installed"),
            ] {
                let rule = bench.proxy.when(.readInstance, .always, action)
                let refused = try await identity.add(sandbox, pool)
                rule.remove()
                #expect(refused.code == code && "\(refused)".contains(text), "\(refused)")
                #expect("\(refused)".contains("vm1"), "\(refused)")
            }
            #expect(try await identity.claims().isEmpty)
            #expect(try await bench.allocations(pool).isEmpty)
            // Another instance of the name is not the pod's.
            try await machines.controlPlane.delete(instance)
            let next = try await machines.instance(of: nil)
            let refused = try await identity.add(sandbox, pool)
            #expect(refused.code == PluginCode.tryAgainLater)
            #expect("\(refused)".contains(instance.uid) && "\(refused)".contains(next.uid), "\(refused)")
        }
    }

    @Test func `a machine's claim serves no pod that is not its own, whatever that names`() async throws {
        try await MachineBench.run { machines in
            let identity = machines.identity
            let pool = try await machines.bench.makePool()
            let instance = try await machines.instance(of: try await machines.machine())
            let pod = try await machines.launcher("a", of: instance)
            let sandbox = try identity.sandbox(of: pod)
            try await identity.add(sandbox, pool).checked()
            try await identity.del(sandbox, pool)
            try await machines.controlPlane.delete(pod)
            let name = try await machines.claim().metadata.name
            let thief = try await identity.pod("thief", isOwned: false, annotations: [AnnotationKey.claim: name])
            let refused = try await identity.add(try identity.sandbox(of: thief), pool)
            #expect(refused.code == PluginCode.addressRefused)
            #expect("\(refused)".contains("VirtualMachine \\\"vm1\\\"") || "\(refused)".contains("vm1"), "\(refused)")
        }
    }
}
