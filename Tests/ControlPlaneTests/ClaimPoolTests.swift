import IPAMAPI
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// Pools that change while addresses of them are in use.
@Suite("Changing pools", .controlPlane, .timeLimit(.minutes(10)))
struct ClaimPoolTests {
    @Test func `a disabled pool serves no ADD, and releases go on`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox()
            let added = try await bench.add(sandbox, pool).checked()
            try await bench.change(pool, ["disabled": true])
            let refused = try await bench.add(try bench.node.newSandbox(), pool)
            #expect(refused.code == PluginCode.poolUnusable)
            #expect(try await bench.holders(pool) == [added.addresses[0]: sandbox.attachment()])
            try await bench.del(sandbox, pool, previous: added)
            #expect(try await bench.holders(pool).isEmpty)
        }
    }

    @Test(arguments: ["10s", "0s"])
    func `addresses of a pool that is gone are released by the cooldown that they had`(cooldown: String) async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(cooldown: cooldown)
            let sandbox = try bench.node.newSandbox()
            let added = try await bench.add(sandbox, pool).checked()
            try await bench.deletePool(pool)
            try await bench.del(sandbox, pool, previous: added)
            let left = try await bench.controlPlane.allocation(added.addresses[0])
            #expect(left?.spec.state == (cooldown == "0s" ? nil : .cooling))
            #expect(left?.spec.attachment == nil)
        }
    }

    @Test func `CHECK tells that the pool was replaced or is gone`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox()
            let added = try await bench.add(sandbox, pool).checked()
            let configuration = bench.configuration([pool])
            try await bench.node.check(sandbox, configuration, previous: added).checked()

            let old = try await bench.controlPlane.withAdmin {
                try $0.get(.ipPools, name: pool.name, deadline: .soon)
            }
            try await bench.deletePool(pool)
            let gone = try await bench.node.check(sandbox, configuration, previous: added)
            #expect(gone.code == PluginCode.notHeld)
            #expect(gone.failure?.message.contains("does not exist any more") == true)

            var object = old
            object["metadata"] = ["name": .string(pool.name), "labels": old["metadata"]?["labels"] ?? [:]]
            let successor = object
            let new = try await bench.controlPlane.withAdmin {
                try $0.create(.ipPools, name: pool.name, object: successor, deadline: .soon)
            }
            let replaced = try await bench.node.check(sandbox, configuration, previous: added)
            #expect(replaced.code == PluginCode.notHeld)
            let uid = try #require(new["metadata"]?["uid"]?.string)
            #expect(replaced.failure?.message.contains("was replaced by one with UID \(uid)") == true)
        }
    }

    @Test func `CHECK tells that the address is another's, cooling or gone`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox()
            let added = try await bench.add(sandbox, pool).checked()
            let configuration = bench.configuration([pool])
            let patches: [JSON] = [
                ["spec": ["attachment": ["containerID": "another"]]],
                ["spec": ["attachment": ["containerID": .string(sandbox.containerID)], "machineID": "another"]],
                ["spec": ["machineID": .string(bench.node.machineID), "state": "Cooling", "attachment": .null]],
            ]
            for patch in patches {
                try await bench.edit(added.addresses[0], patch)
                let outcome = try await bench.node.check(sandbox, configuration, previous: added)
                #expect(outcome.code == PluginCode.notHeld, "\(patch)")
            }
            try await bench.deleteAllocation(added.addresses[0])
            let gone = try await bench.node.check(sandbox, configuration, previous: added)
            #expect(gone.code == PluginCode.notHeld)
            #expect(gone.failure?.message.contains("does not exist") == true)
        }
    }

    @Test func `a DEL leaves alone what the ledger gave to another meanwhile`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(cooldown: "0s")
            let sandbox = try bench.node.newSandbox()
            let added = try await bench.add(sandbox, pool).checked()
            // As when etcd was restored from a backup: the object has gone, and another holder has the name.
            try await bench.deleteAllocation(added.addresses[0])
            let other = try await bench.enter(added.addresses[0], of: pool)
            try await bench.del(sandbox, pool, previous: added)
            #expect(try await bench.controlPlane.allocation(added.addresses[0])?.json == other.json)
            #expect(bench.node.journalEntries.isEmpty)
        }
    }

    @Test func `a DEL frees an allocation that was edited by hand, also into nonsense`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(cooldown: "0s")
            let sandbox = try bench.node.newSandbox()
            let added = try await bench.add(sandbox, pool).checked()
            let edits: [(rule: String, spec: JSON)] = [
                ("the address of an allocation never changes", ["address": "192.0.2.1"]),
                ("the pool of an allocation changes only when a cooling address is taken over", ["pool": "none"]),
            ]
            for edit in edits {
                _ = try await isTaken(against: edit.rule) {
                    try await bench.edit(added.addresses[0], ["spec": edit.spec])
                }
            }
            try await bench.del(sandbox, pool, previous: added)
            #expect(bench.node.journalEntries.isEmpty)
            #expect(try await bench.controlPlane.allocation(added.addresses[0]) == nil)
        }
    }
}
