import IPAMAPI
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// A ledger that somebody has edited, a disk that is full, and calls that get in each other's way.
@Suite("Bad input: the ledger, the disk, and two ADDs at once", .controlPlane, .timeLimit(.minutes(10)))
struct BadInputNodeTests {
    // MARK: An allocation that was edited by hand

    /// What an API server without CEL lets an administrator write.
    static let nonsense: [(rule: String, says: String, edit: @Sendable (inout JSON) -> Void)] = [
        (
            "the address of an allocation never changes", "spec.address",
            { $0["spec"]?["address"] = "192.0.2.9" }
        ),
        (
            "the network of an allocation never changes", "spec.address",
            { $0["spec"]?["network"] = "another" }
        ),
    ]

    @Test(arguments: nonsense.indices)
    func `an allocation edited into nonsense is nobody's to give, is named by those who need it, and can be freed`(
        index: Int
    ) async throws {
        let (rule, says, edit) = Self.nonsense[index]
        try await PluginRig.run { rig in
            let pool = try await rig.makePool(hosts: 7...8)
            let configuration = rig.node.configuration(pools: [pool])
            let sandbox = try rig.node.newSandbox()
            let added = try await rig.node.add(sandbox, configuration).checked()
            let address = added.addresses[0]
            guard try await isTaken(against: rule, { try await rig.edit(address, edit) }) else { return }
            let edited = try #require(try await rig.object(address))

            // Another attachment gets the other address, and none when that is gone too.
            let neighbour = try rig.node.newSandbox()
            #expect(try await rig.node.add(neighbour, configuration).checked().addresses != [address])
            try expectFailure(try await rig.node.add(try rig.node.newSandbox(), configuration), code: 101)
            var request = configuration
            request["runtimeConfig"] = ["ips": [.string(address)]]
            let isNamed = ["IPAllocation \"\(address)\"", says, "correct the object, or delete it"]
            try expectFailure(try await rig.node.add(try rig.node.newSandbox(), request), code: 106, says: isNamed)
            try expectFailure(
                try await rig.node.check(sandbox, configuration, previous: added), code: 106, says: isNamed)
            #expect(try await rig.object(address) == edited)

            expectSilentSuccess(try await rig.node.del(sandbox, configuration))
            #expect(try await rig.object(address) == nil)
        }
    }

    @Test func `an allocation whose holder was edited away is not released, nor given to another`() async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            let sandbox = try rig.node.newSandbox()
            let address = try await rig.node.add(sandbox, configuration).checked().addresses[0]
            try await rig.edit(address) { object in
                object["spec"]?["origin"] = "Manual"
                object["spec"]?["attachment"] = nil
            }
            expectSilentSuccess(try await rig.node.del(sandbox, configuration))
            try expectFailure(try await rig.node.add(try rig.node.newSandbox(), configuration), code: 101)
            var request = configuration
            request["runtimeConfig"] = ["ips": [.string(address)]]
            try expectFailure(
                try await rig.node.add(try rig.node.newSandbox(), request), code: 102,
                says: [address, "taken", "entered by hand"])
            #expect(try await rig.states() == [address: "Bound"])
        }
    }

    @Test func `an allocation that is being deleted is neither free nor anybody's`() async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            let sandbox = try rig.node.newSandbox()
            let added = try await rig.node.add(sandbox, configuration).checked()
            let address = added.addresses[0]
            try await rig.edit(address) { $0["metadata"]?["finalizers"] = ["example.com/hold"] }
            try await rig.deleteAllocation(address)
            let held = try await rig.object(address)
            #expect(held?["metadata"]?["deletionTimestamp"] != nil)

            try expectFailure(
                try await rig.node.check(sandbox, configuration, previous: added), code: 103, says: [address])
            try expectFailure(try await rig.node.add(try rig.node.newSandbox(), configuration), code: 101)
            expectSilentSuccess(try await rig.node.del(sandbox, configuration))
            #expect(try await rig.object(address) == held)

            try await rig.edit(address) { $0["metadata"]?["finalizers"] = nil }
            let next = try await rig.node.add(try rig.node.newSandbox(), configuration).checked()
            #expect(next.addresses == [address])
        }
    }

    // MARK: The journal on a full disk

    @Test func `a full disk for the journal is code 5, claims nothing, and keeps no pod from ending`() async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...9)])
            try await withFullDisk(rig) { fill in
                let sandbox = try rig.node.newSandbox()
                let added = try await rig.node.add(sandbox, configuration).checked()
                try await fill()
                try expectFailure(
                    try await rig.node.add(try rig.node.newSandbox(), configuration), code: 5,
                    says: ["journal", rig.node.journal, "No space left on device", "journalDir in berth.conf"])
                try expectFailure(
                    try await rig.node.status(configuration), code: 50,
                    says: [rig.node.journal, "No space left on device"])
                #expect(try await rig.states() == [added.addresses[0]: "Bound"])
                // It cannot be written down that there is something to release, so it is released.
                expectSilentSuccess(try await rig.node.del(sandbox, configuration))
                try await rig.expectNothingHeld()
            }
        }
    }

    @Test func `a disk that was full before the first ADD is code 5 too`() async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...9)])
            try await withFullDisk(rig) { fill in
                try await fill()
                try expectFailure(
                    try await rig.node.add(try rig.node.newSandbox(), configuration), code: 5,
                    says: ["journal", rig.node.journal, "No space left on device"])
                try await rig.expectNothingHeld()
            }
        }
    }

    /// Mounts a tiny file system in the place of the node's journal, and lends what fills it.
    private func withFullDisk(_ rig: PluginRig, _ body: (() async throws -> Void) async throws -> Void) async throws {
        let journal = rig.node.journal
        try Files.makeFolder(journal)
        try await runChecked("mount", ["-t", "tmpfs", "-o", "size=128k", "berth-test", journal])
        let result: Result<Void, any Error>
        do {
            let fill = {
                // dd fails when nothing more fits, which is what it is for.
                let outcome = try await run("dd", ["if=/dev/zero", "of=\(journal)/filler", "bs=4096"])
                #expect(outcome.errorText.contains("No space left"))
            }
            result = .success(try await body(fill))
        } catch {
            result = .failure(error)
        }
        // Also when the test was cancelled.
        try await Task.detached { _ = try await runChecked("umount", ["--lazy", journal]) }.value
        try result.get()
    }

    @Test func `a journal in a place that is no folder is code 5`() async throws {
        try await PluginRig.run { rig in
            let pool = try await rig.makePool(hosts: 7...7)
            let folder = "\(rig.node.folder)/machine-id/journal"
            let configuration = rig.node.configuration(pools: [pool], ipam: ["journalDir": .string(folder)])
            try expectFailure(
                try await rig.node.add(try rig.node.newSandbox(), configuration), code: 5,
                says: [folder, "Not a directory", "journalDir"])
            try await rig.expectNothingHeld()
        }
    }

    @Test func `a log that cannot be written is no reason to fail`() async throws {
        try await PluginRig.run { rig in
            let pool = try await rig.makePool(hosts: 7...7)
            for file in ["/dev/full", "\(rig.node.folder)/machine-id/log", rig.node.folder] {
                let configuration = rig.node.configuration(pools: [pool], ipam: ["logFile": .string(file)])
                let sandbox = try rig.node.newSandbox()
                try await rig.node.add(sandbox, configuration).checked()
                expectSilentSuccess(try await rig.node.del(sandbox, configuration))
            }
        }
    }

    // MARK: Two ADDs for one attachment at once

    @Test func `two ADDs for one attachment at once end with one set of addresses`() async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(
                pools: [try await rig.makePool(hosts: 10...200), try await rig.makePool6(hosts: 1...0xFFFF)])
            for _ in 0..<10 {
                let sandbox = try rig.node.newSandbox()
                let outcomes = try await concurrently([1, 2]) { _ in try await rig.node.add(sandbox, configuration) }
                var results: Set<JSON> = []
                for outcome in outcomes {
                    if let result = outcome.result {
                        results.insert(result)
                    } else {
                        try expectFailure(outcome, code: 11)
                    }
                }
                #expect(results.count == 1)
                let given = try #require(outcomes.first { $0.succeeded }).addresses
                #expect(try await rig.held(by: sandbox) == given.sorted())
                #expect(given.count == 2)
            }
        }
    }

    @Test func `an ADD that finds another one of its attachment at work waits, and is 11 after its time`() async throws
    {
        try await PluginRig.runThroughProxy { rig, proxy in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 10...200)])
            var impatient = configuration
            impatient["ipam"]?["timeoutSeconds"] = 1
            let sandbox = try rig.node.newSandbox()
            let gate = Gate()
            proxy.when(.verb("create", "ipallocations.ipam.berth.dev"), .first(1), .holdAnswer(gate))
            let first = try rig.node.runner.start(rig.node.call("ADD", sandbox, configuration))
            try await gate.reached()
            try expectFailure(
                try await rig.node.add(sandbox, impatient), code: 11, says: [sandbox.containerID, "still under way"])
            #expect(proxy.log.count("create", "ipallocations.ipam.berth.dev") == 1)
            gate.open()
            let added = try await first.outcome().checked()
            #expect(try await rig.node.add(sandbox, configuration).checked().result == added.result)
            #expect(try await rig.states().count == 1)
        }
    }

    @Test func `two machines of one node name never take each other's addresses away`() async throws {
        try await PluginRig.run { rig in
            let pool = try await rig.makePool(hosts: 10...11)
            let configuration = rig.node.configuration(pools: [pool])
            let twin = try await rig.makeNode(named: rig.node.name, machineID: "twin")
            let twinConfiguration = twin.configuration(pools: [pool])
            // The very same container ID, as after a disk image was copied.
            let sandbox = try rig.node.newSandbox()
            let mine = try await rig.node.add(sandbox, configuration).checked()
            let its = try await twin.add(sandbox, twinConfiguration).checked()
            #expect(mine.addresses != its.addresses)
            expectSilentSuccess(try await twin.del(sandbox, twinConfiguration))
            expectSilentSuccess(try await rig.node.check(sandbox, configuration, previous: mine))
            #expect(try await rig.states() == [mine.addresses[0]: "Bound"])
        }
    }
}
