import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// How many round trips an ADD of a virtual machine's pod makes, what is in each, and what becomes of what it read beside
/// the binding of its claim.
@Suite("The request budget of virtual machines", .controlPlane, .timeLimit(.minutes(10)))
struct MigrationBudgetTests {
    private static let reads = ["get ippools", "get namespaces", "get pods"]
    private static let finding = ["get ipclaims", "get virtualmachineinstances"]

    @Test func `a machine is read beside its claim, and its next pod reads beside the binding what is kept`()
        async throws
    {
        try await MachineBench.run { machines in
            let (bench, identity) = (machines.bench, machines.identity)
            let pool = try await bench.makePool()
            let instance = try await machines.instance(of: try await machines.machine())
            let pod = try await machines.launcher("a", of: instance)
            let sandbox = try identity.sandbox(of: pod)
            let added = try await identity.add(
                sandbox, [pool],
                inRounds: [
                    Self.reads, Self.finding, ["create ipclaims"], ["create ipallocations", "patch ipclaims"],
                ])
            try await identity.del(sandbox, pool)
            try await machines.controlPlane.delete(pod)
            let next = try await machines.launcher("b", of: instance)
            let again = try await identity.add(
                try identity.sandbox(of: next), [pool],
                inRounds: [
                    Self.reads, Self.finding, ["get pods"], ["list ipallocations", "patch ipclaims"],
                    ["update ipallocations"],
                ])
            #expect(again.addresses == added.addresses)
        }
    }

    @Test func `the pod that a guest migrates to takes over what it read beside the binding`() async throws {
        try await MachineBench.run { machines in
            let (bench, identity) = (machines.bench, machines.identity)
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6))
            let (instance, _, added) = try await machines.guest(v4, v6)
            let target = try await machines.launcher("b", of: instance, migration: "j1")
            let moved = try await identity.add(
                try identity.sandbox(of: target), [v4, v6],
                inRounds: [
                    Self.reads + ["get ippools"], Self.finding, ["get pods"], ["list ipallocations", "patch ipclaims"],
                    ["update ipallocations", "update ipallocations"],
                ])
            #expect(moved.addresses == added.addresses)
        }
    }

    enum Change: CaseIterable {
        case touched, enteredLate, taken
    }

    @Test(arguments: Change.allCases)
    func `what changes after it was read beside the binding is looked at again, and taken only if it is the guest's`(
        change: Change
    ) async throws {
        try await MachineBench.run { machines in
            let (bench, identity, admin) = (machines.bench, machines.identity, machines.controlPlane)
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6))
            let (instance, _, added) = try await machines.guest(v4, v6)
            let last = try #require(try await bench.allocations(v6).first)
            let name = last.metadata.name
            if change == .enteredLate { try await admin.deleteAllocation(name) }
            let (binding, listing) = (Gate("binding"), Gate("listing"))
            bench.proxy.when(.bindClaim, .first(1), .hold(binding))
            bench.proxy.when(.verb("list", "ipallocations.\(BerthAPI.group)"), .first(1), .holdAnswer(listing))
            let target = try await machines.launcher("b", of: instance, migration: "j1")
            let sandbox = try identity.sandbox(of: target)
            let call = try bench.node.runner.start(bench.node.call("ADD", sandbox, bench.configuration([v4, v6])))
            try await binding.reached()
            try await listing.reached()
            switch change {
            case .touched: try await admin.patchAllocation(name, ["metadata": ["labels": ["touched": "true"]]])
            case .enteredLate:
                try await admin.createAllocation(name, last.spec.newObject(of: last.virtualMachine))
            case .taken:
                let other: JSON = ["pod": ["name": "third", "uid": "third"], "attachment": ["containerID": "third"]]
                try await admin.patchAllocation(name, ["spec": other])
            }
            listing.open()
            binding.open()
            let outcome = await call.outcome()
            guard change != .taken else {
                #expect(outcome.code == PluginCode.tryAgainLater, "\(outcome)")
                try await identity.del(sandbox, v4, v6)
                #expect(try await bench.allocations(v6).map(\.spec.pod?.name) == ["third"])
                return
            }
            #expect(try outcome.checked().addresses == added.addresses)
            #expect(try await machines.holders(v4, v6) == [target.name])
        }
    }
}

extension ControlPlane {
    fileprivate func patchAllocation(_ name: String, _ patch: JSON) async throws {
        _ = try await withAdmin { try $0.patch(.ipAllocations, name: name, patch: .merge(patch), deadline: .soon) }
    }

    fileprivate func createAllocation(_ name: String, _ object: JSON) async throws {
        _ = try await withAdmin { try $0.create(.ipAllocations, name: name, object: object, deadline: .soon) }
    }

    fileprivate func deleteAllocation(_ name: String) async throws {
        _ = try await withAdmin {
            try $0.delete(.ipAllocations, name: name, preconditions: nil, deadline: .soon)
        }
    }
}
