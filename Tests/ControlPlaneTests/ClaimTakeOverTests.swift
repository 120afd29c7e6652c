import IPAMAPI
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// Addresses in cooldown, which are handed out only when nothing else is free.
@Suite("Taking over a cooling address", .controlPlane, .timeLimit(.minutes(10)))
struct ClaimTakeOverTests {
    @Test func `while anything else is free, a cooling address is left alone`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(size: 6)
            for address in pool.addresses.dropLast() { try await bench.enter(address, of: pool, .cooling) }
            let added = try await bench.add(try bench.node.newSandbox(), pool).checked()
            #expect(added.addresses == [pool.addresses[5]])
            #expect(bench.proxy.log.count("update", "ipallocations.ipam.berth.dev") == 0)
        }
    }

    @Test(arguments: [true, false])
    func `when nothing is free, a cooling address is watched for 2 s and then replaced`(isPublished: Bool) async throws
    {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(size: 3, cooldown: "300s")
            try await bench.enter(pool.addresses[0], of: pool)
            try await bench.enter(pool.addresses[1], of: pool)
            let cooling = try await bench.enter(pool.addresses[2], of: pool, .cooling, cooldown: 300)
            if isPublished { try await bench.publish(pool, free: [], cooling: 1) }
            let sandbox = try bench.node.newSandbox()
            let added = try await bench.add(sandbox, pool).checked()
            #expect(added.addresses == [pool.addresses[2]])
            #expect(added.duration >= .seconds(2))
            let update = try #require(bench.proxy.log.filter("update", "ipallocations.ipam.berth.dev").first).request
            #expect(update.json?["metadata"]?["resourceVersion"]?.string == cooling.metadata.resourceVersion)
            #expect(
                bench.proxy.log.verbs.suffix(3) == ["list ipallocations", "get ipallocations", "update ipallocations"])
            let taken = try #require(try await bench.controlPlane.allocation(pool.addresses[2]))
            #expect(taken.metadata.uid == cooling.metadata.uid)
            #expect(taken.spec.attachment == sandbox.attachment())
            #expect(taken.spec.state == .bound)
            #expect(taken.metadata.labels[LabelKey.state] == "Bound")
            #expect(taken.metadata.labels[LabelKey.node] == bench.node.name)
            #expect(taken.metadata.labels[LabelKey.attachment] == sandbox.attachment().digest)
        }
    }

    @Test func `a cooling address that changes while it is watched is watched anew`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(size: 1, cooldown: "300s")
            try await bench.enter(pool.addresses[0], of: pool, .cooling, cooldown: 300)
            let gate = Gate()
            bench.proxy.when(.takeOver, .first(1), .hold(gate))
            let call = try bench.start("ADD", try bench.node.newSandbox(), pool)
            try await gate.reached()
            try await bench.edit(pool.addresses[0], ["metadata": ["annotations": ["touched": "true"]]])
            gate.open()
            let added = try await call.outcome().checked()
            #expect(added.addresses == pool.addresses)
            #expect(bench.proxy.log.statuses("update") == [409, 200])
            #expect(bench.proxy.log.statuses("get") == [200, 200])
            #expect(added.duration >= .seconds(4))
        }
    }

    @Test func `a cooling address that is gone when it was watched is created`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(size: 1, cooldown: "300s")
            try await bench.enter(pool.addresses[0], of: pool, .cooling, cooldown: 300)
            let gate = Gate()
            bench.proxy.when(.takeOver, .first(1), .hold(gate))
            let call = try bench.start("ADD", try bench.node.newSandbox(), pool)
            try await gate.reached()
            try await bench.deleteAllocation(pool.addresses[0])
            gate.open()
            let added = try await call.outcome().checked()
            #expect(added.addresses == pool.addresses)
            // 404 or 409, as the version of the server has it.
            #expect(bench.proxy.log.statuses("update").allSatisfy { $0 >= 400 })
            #expect(bench.proxy.log.count("update", "ipallocations.ipam.berth.dev") == 1)
            #expect(bench.proxy.log.statuses("create").last == 201)
        }
    }

    @Test func `of two who want the same cooling address one gets it`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(size: 1, cooldown: "300s")
            try await bench.enter(pool.addresses[0], of: pool, .cooling, cooldown: 300)
            let gate = Gate()
            bench.proxy.when(.takeOver, .first(2), .hold(gate))
            try await bench.withNode { other in
                let sandboxes = [try bench.node.newSandbox(), try other.newSandbox()]
                let calls = [
                    try bench.start("ADD", sandboxes[0], pool),
                    try other.runner.start(
                        other.call("ADD", sandboxes[1], bench.configuration([pool], on: other))),
                ]
                try await gate.reached(2)
                gate.open()
                var addresses: [[String]] = []
                for call in calls { addresses.append(await call.outcome().addresses) }
                #expect(addresses.flatMap(\.self) == pool.addresses)
                let holder = try await bench.holders(pool)[pool.addresses[0]]
                #expect(holder == sandboxes[addresses[0].isEmpty ? 1 : 0].attachment())
                #expect(Set(bench.proxy.log.statuses("update")) == [200, 409])
            }
        }
    }

    @Test(arguments: [true, false])
    func `a release held back until another has the address leaves it to the new holder`(cools: Bool) async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(size: 1, cooldown: cools ? "300s" : "0s")
            let old = try bench.node.newSandbox()
            try await bench.add(old, pool).checked()
            let gate = Gate("the release")
            bench.proxy.when(cools ? .cool : .remove, .first(1), .hold(gate))
            // Its release goes nowhere, so the DEL writes it down and succeeds.
            try await bench.del(old, pool)
            try await gate.reached()
            #expect(try await bench.holders(pool)[pool.addresses[0]] == old.attachment())
            #expect(bench.node.pendingReleases == [old.attachment().digest])
            // The second DEL of the same sandbox gets through.
            try await bench.delUntilDone(old, pool)
            #expect(try await bench.holders(pool).isEmpty)
            #expect(bench.node.pendingReleases.isEmpty)
            if cools {
                try await bench.waitForCache(
                    of: try #require(try await bench.controlPlane.allocation(pool.addresses[0])))
            }

            try await bench.withNode { other in
                let new = try other.newSandbox()
                let added = try await other.add(new, bench.configuration([pool], on: other)).checked()
                #expect(added.addresses == pool.addresses)
                let taken = try #require(try await bench.controlPlane.allocation(pool.addresses[0]))
                #expect(taken.spec.attachment == new.attachment())

                gate.open()
                let verb = cools ? "patch" : "delete"
                try await bench.proxy.waitFor("the late release") { log in
                    log.filter(verb, "ipallocations.ipam.berth.dev").first?.fate == .answered(status: 409)
                }
                #expect(try await bench.controlPlane.allocation(pool.addresses[0])?.json == taken.json)
            }
        }
    }
}
