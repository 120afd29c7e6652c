import IPAMAPI
import JSONText
import TestSupport
import Testing

/// The checklist of CNI 1.1, section "GC"; each test says its line.
@Suite("CNI: GC", .controlPlane, .timeLimit(.minutes(10)))
struct ConformanceGarbageTests {
    private static func list(_ sandboxes: [TestSandbox]) -> JSON {
        .array(sandboxes.map { ["containerID": .string($0.containerID), "ifname": .string($0.interface)] })
    }

    private func collect(_ rig: PluginRig, _ configuration: JSON, _ members: JSON) async throws -> PluginOutcome {
        var configuration = configuration
        for member in members.object?.members ?? [] { configuration[member.name] = member.value }
        return try await rig.node.runner.run(PluginCall("GC", configuration: configuration))
    }

    @Test(arguments: ["cni.dev/valid-attachments", "cni.dev/attachments"])
    func `GC 1: valid attachments are those of the list, under both of its names`(key: String) async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(
                pools: [try await rig.makePool(hosts: 10...20), try await rig.makePool6(hosts: 10...20)])
            let valid = try rig.node.newSandbox()
            // The same container with another interface is another attachment.
            let sandboxes = [valid, valid.with(interface: "net1"), try rig.node.newSandbox()]
            var kept: [String] = []
            for sandbox in sandboxes {
                let added = try await rig.node.add(sandbox, configuration).checked()
                if sandbox == valid { kept = added.addresses }
            }
            expectSilentSuccess(try await collect(rig, configuration, [key: Self.list([valid])]))
            #expect(try await Set(rig.states().keys) == Set(kept))
            #expect(kept.count == 2)
            // What GC freed is unknown to a DEL, and the valid one is as it was.
            for sandbox in sandboxes.dropFirst() { expectSilentSuccess(try await rig.node.del(sandbox, configuration)) }
            expectSilentSuccess(try await rig.node.del(valid, configuration))
            try await rig.expectNothingHeld()
        }
    }

    @Test func `GC 1: with both lists an attachment of either is valid`() async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 10...20)])
            let sandboxes = try (0..<3).map { _ in try rig.node.newSandbox() }
            for sandbox in sandboxes { try await rig.node.add(sandbox, configuration).checked() }
            expectSilentSuccess(
                try await collect(
                    rig, configuration,
                    [
                        "cni.dev/valid-attachments": Self.list([sandboxes[0]]),
                        "cni.dev/attachments": Self.list([sandboxes[1]]),
                    ]))
            var isHeld: [Bool] = []
            for sandbox in sandboxes { isHeld.append(try await !rig.held(by: sandbox).isEmpty) }
            #expect(isHeld == [true, true, false])
        }
    }

    @Test func `GC 2: an absent list frees nothing, an empty one everything`() async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 10...20)])
            for _ in 0..<2 { try await rig.node.add(try rig.node.newSandbox(), configuration).checked() }
            let before = try await rig.objects()
            for absent in [[:], ["cni.dev/valid-attachments": .null]] as [JSON] {
                expectSilentSuccess(try await collect(rig, configuration, absent))
                #expect(try await rig.objects() == before)
            }
            #expect(before.count == 2)
            expectSilentSuccess(try await collect(rig, configuration, ["cni.dev/valid-attachments": []]))
            try await rig.expectNothingHeld()
        }
    }

    @Test func `GC 2: a list that cannot be read is an error and frees nothing`() async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 10...20)])
            try await rig.node.add(try rig.node.newSandbox(), configuration).checked()
            for list in ["none", [["containerID": "a"]], [["containerID": 1, "ifname": "eth0"]], [7]] as [JSON] {
                let outcome = try await collect(rig, configuration, ["cni.dev/valid-attachments": list])
                try expectFailure(outcome, code: 6, says: ["cni.dev/valid-attachments"])
            }
            #expect(try await rig.states().count == 1)
        }
    }

    // MARK: Line 3

    @Test func `GC 3: other networks, nodes and machines are left alone`() async throws {
        try await PluginRig.run { rig in
            let pool = try await rig.makePool(hosts: 10...30)
            let namesake = try await rig.makeNode(named: rig.node.name, machineID: "another-machine")
            let neighbour = try await rig.makeNode("neighbour")
            var kept: Set<String> = []
            for (node, network) in [(rig.node, "other"), (namesake, "net"), (neighbour, "net")] {
                let configuration = node.configuration(network: network, pools: [pool])
                kept.formUnion(try await node.add(try node.newSandbox(), configuration).checked().addresses)
            }
            let configuration = rig.node.configuration(pools: [pool])
            try await rig.node.add(try rig.node.newSandbox(), configuration).checked()
            expectSilentSuccess(try await rig.node.gc(configuration, valid: []))
            #expect(try await Set(rig.states("\(LabelKey.pool)=\(pool)").keys) == kept)
            #expect(kept.count == 3)
        }
    }

    @Test func `GC 3: an address that is held for a claim, or entered by hand, is left alone`() async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 10...20)])
            var addresses: [String] = []
            for _ in 0..<2 {
                addresses += try await rig.node.add(try rig.node.newSandbox(), configuration).checked().addresses
            }
            try await rig.edit(addresses[0]) { object in
                object["spec"]?["state"] = "Held"
                object["spec"]?["attachment"] = nil
                object["spec"]?["claim"] = ["namespace": "a", "name": "b", "uid": "c"]
            }
            try await rig.edit(addresses[1]) { object in
                object["spec"]?["origin"] = "Manual"
                object["spec"]?["attachment"] = nil
            }
            expectSilentSuccess(try await rig.node.gc(configuration, valid: []))
            #expect(try await rig.states() == [addresses[0]: "Held", addresses[1]: "Bound"])
        }
    }

    @Test func `GC 3: what is newer than its start is spared`() async throws {
        try await PluginRig.runThroughProxy { rig, proxy in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 10...20)])
            let stale = try rig.node.newSandbox()
            try await rig.node.add(stale, configuration).checked()
            let gate = Gate()
            // GC has begun, and asks what there is; the ADD comes before the answer.
            proxy.when(.verb("list", "ipallocations.ipam.berth.dev"), .first(1), .hold(gate))
            var collection = configuration
            collection["cni.dev/valid-attachments"] = []
            let garbage = try rig.node.runner.start(PluginCall("GC", configuration: collection))
            try await gate.reached()
            let young = try rig.node.newSandbox()
            let added = try await rig.node.add(young, configuration).checked()
            gate.open()
            expectSilentSuccess(await garbage.outcome())
            #expect(try await rig.states() == [added.addresses[0]: "Bound"])
            expectSilentSuccess(try await rig.node.check(young, configuration, previous: added))
        }
    }

    @Test func `GC 3: it goes on after errors and reports all of them`() async throws {
        try await PluginRig.runThroughProxy { rig, proxy in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 10...20)])
            var stubborn: [TestSandbox] = []
            var left: Set<String> = []
            for index in 0..<6 {
                let sandbox = try rig.node.newSandbox()
                let address = try await rig.node.add(sandbox, configuration).checked().addresses[0]
                guard index % 3 == 1 else { continue }
                stubborn.append(sandbox)
                left.insert(address)
                let release = RequestMatcher.verb("delete", "ipallocations.ipam.berth.dev", named: address)
                proxy.when(release, .always, .forbidden)
            }
            let failure = try expectFailure(try await rig.node.gc(configuration, valid: []), code: 104, says: ["2"])
            for sandbox in stubborn { #expect(failure.details.contains(sandbox.containerID)) }
            #expect(try await Set(rig.states().keys) == left)
            #expect(left.count == 2)
            proxy.removeRules()
            expectSilentSuccess(try await rig.node.gc(configuration, valid: []))
            try await rig.expectNothingHeld()
        }
    }

    @Test func `GC 3: what a killed ADD left in the journal is collected`() async throws {
        try await PluginRig.runThroughProxy { rig, proxy in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            let gate = Gate()
            proxy.when(.verb("create", "ipallocations.ipam.berth.dev"), .first(1), .holdAnswer(gate))
            let add = try rig.node.runner.start(rig.node.call("ADD", try rig.node.newSandbox(), configuration))
            try await gate.reached()
            add.kill()
            _ = await add.outcome()
            gate.open()
            #expect(try await rig.states() == [rig.subnets.address4(7): "Bound"])
            expectSilentSuccess(try await rig.node.gc(configuration, valid: []))
            try await rig.expectNothingHeld()
        }
    }
}
