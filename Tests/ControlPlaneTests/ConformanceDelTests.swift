import IPAMAPI
import JSONText
import TestSupport
import Testing

/// The checklist of CNI 1.1, section "DEL"; each test says its line.
@Suite("CNI: DEL", .controlPlane, .timeLimit(.minutes(10)))
struct ConformanceDelTests {
    @Test func `DEL 1: any number of times, and of an unknown container, succeeds`() async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...8)])
            let sandbox = try rig.node.newSandbox()
            let added = try await rig.node.add(sandbox, configuration).checked()
            let other = try rig.node.newSandbox()
            try await rig.node.add(other, configuration).checked()
            expectSilentSuccess(try await rig.node.del(sandbox, configuration, previous: added))
            for _ in 0..<3 { expectSilentSuccess(try await rig.node.delAgain(sandbox, configuration)) }
            expectSilentSuccess(try await rig.node.del(try rig.node.newSandbox(), configuration))
            #expect(try await rig.states().count == 1)
            #expect(try await rig.held(by: other).count == 1)
        }
    }

    /// What a runtime may lack or have when it takes a sandbox down.
    enum Circumstance: String, CaseIterable, Sendable {
        case emptyNetns, vanishedNetns, noArguments, unknownArguments, poolDeleted, poolDisabled, poolMoved
        case noPoolsInTheConfiguration, configurationThatMakesNoSense, podDeleted, oldVersion

        func prepare(
            _ rig: PluginRig, _ pool: String, _ sandbox: inout TestSandbox, _ configuration: inout JSON
        ) async throws {
            switch self {
            case .emptyNetns: sandbox.netns = ""
            case .vanishedNetns: try Files.remove(sandbox.netns)
            case .noArguments: sandbox.pod = nil
            case .unknownArguments: sandbox.ownArguments = "WHAT=IS;THIS"
            case .poolDeleted: try await rig.deletePool(pool)
            case .poolDisabled: try await rig.changePool(pool, ["disabled": true])
            case .poolMoved: try await rig.changePool(pool, ["ranges": [rig.range4(100...110)]])
            case .noPoolsInTheConfiguration: configuration["ipam"]?["pools"] = nil
            case .configurationThatMakesNoSense:
                configuration["ipam"]?["range"] = "nonsense"
                configuration["ipam"]?["routes"] = 7
                configuration["ipam"]?["logLevel"] = "loud"
                configuration["ipam"]?["timeoutSeconds"] = 0
                configuration["runtimeConfig"] = ["ips": ["nonsense"]]
                configuration["prevResult"] = 7
            case .podDeleted: if let pod = sandbox.pod { try await rig.controlPlane.delete(pod) }
            case .oldVersion: configuration["cniVersion"] = nil
            }
        }
    }

    @Test(arguments: Circumstance.allCases)
    func `DEL 2: without prevResult and whatever has changed, the address is freed`(
        circumstance: Circumstance
    ) async throws {
        try await PluginRig.run { rig in
            let pool = try await rig.makePool(hosts: 7...9)
            var configuration = rig.node.configuration(pools: [pool])
            var sandbox = try rig.node.newSandbox(pod: try await rig.makePod())
            let added = try await rig.node.add(sandbox, configuration).checked()
            #expect(try await rig.held(by: sandbox) == added.addresses)
            try await circumstance.prepare(rig, pool, &sandbox, &configuration)
            expectSilentSuccess(try await rig.node.del(sandbox, configuration))
            try await rig.expectNothingHeld()
        }
    }

    @Test func `DEL 3: a late DEL of a pod's old sandbox leaves the new one its address`() async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...9)])
            let pod = try await rig.makePod()
            let old = try rig.node.newSandbox(pod: pod)
            let new = try rig.node.newSandbox(pod: pod)
            try await rig.node.add(old, configuration).checked()
            let added = try await rig.node.add(new, configuration).checked()
            for _ in 0..<2 { expectSilentSuccess(try await rig.node.del(old, configuration)) }
            #expect(try await rig.states() == [added.addresses[0]: "Bound"])
            expectSilentSuccess(try await rig.node.check(new, configuration, previous: added))
        }
    }

    @Test(arguments: [false, true])
    func `DEL 3: an address that another attachment has got meanwhile stays with it`(isJournalLost: Bool) async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            let first = try rig.node.newSandbox()
            let added = try await rig.node.add(first, configuration).checked()
            // By hand, as an administrator who believed that it had leaked.
            try await rig.deleteAllocation(added.addresses[0])
            let second = try rig.node.newSandbox()
            let successor = try await rig.node.add(second, configuration).checked()
            #expect(successor.addresses == added.addresses)
            if isJournalLost { try Files.removeTree(rig.node.journal) }
            let before = try #require(try await rig.object(added.addresses[0]))
            expectSilentSuccess(try await rig.node.del(first, configuration, previous: added))
            #expect(try await rig.object(added.addresses[0]) == before)
        }
    }

    @Test func `DEL 4: every address of the attachment is freed, of each range and both families`() async throws {
        try await PluginRig.run { rig in
            let subnets = rig.subnets
            let configuration = rig.node.configuration(ipam: [
                "ipRanges": [
                    ["range": .string("\(subnets.address4(10))-\(subnets.address4(19))/24")],
                    ["range": .string("\(subnets.address4(20))-\(subnets.address4(29))/24")],
                    ["range": .string("\(subnets.address6(0x10))-\(subnets.address6(0x1F))/64")],
                ],
                "addresses": [["address": .string("\(subnets.address4(200))/24")]],
            ])
            let sandbox = try rig.node.newSandbox()
            let added = try await rig.node.add(sandbox, configuration).checked()
            #expect(added.addresses.count == 4)
            #expect(try await rig.states().values.sorted() == Array(repeating: "Bound", count: 4))
            expectSilentSuccess(try await rig.node.del(sandbox, configuration))
            // Ranges in a configuration have the default cooldown.
            #expect(try await rig.states().values.sorted() == Array(repeating: "Cooling", count: 4))
            #expect(try await rig.held(by: sandbox).isEmpty)
        }
    }

    // MARK: Line 5

    @Test(arguments: [false, true])
    func `DEL 5: with the API server or the journal away, but not both, DEL succeeds`(isServerAway: Bool) async throws {
        try await PluginRig.runThroughProxy { rig, proxy in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            let sandbox = try rig.node.newSandbox()
            let added = try await rig.node.add(sandbox, configuration).checked()
            if isServerAway {
                await proxy.suspend()
                expectSilentSuccess(try await rig.node.del(sandbox, configuration))
                #expect(try await rig.held(by: sandbox) == added.addresses)
                try await proxy.resume()
                // It was written down: the next DEL on the node makes the release.
                try rig.node.forgetOutage()
                expectSilentSuccess(try await rig.node.del(sandbox, configuration))
            } else {
                var withoutJournal = configuration
                // A folder cannot be made under a file.
                withoutJournal["ipam"]?["journalDir"] = .string("\(rig.node.folder)/machine-id/journal")
                expectSilentSuccess(try await rig.node.del(sandbox, withoutJournal))
            }
            try await rig.expectNothingHeld()
        }
    }

    @Test func `DEL 5: with both away DEL fails, for the release would be lost`() async throws {
        try await PluginRig.runThroughProxy { rig, proxy in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            let sandbox = try rig.node.newSandbox()
            try await rig.node.add(sandbox, configuration).checked()
            var withoutJournal = configuration
            let folder = "\(rig.node.folder)/machine-id/journal"
            withoutJournal["ipam"]?["journalDir"] = .string(folder)
            await proxy.suspend()
            let outcome = try await rig.node.del(sandbox, withoutJournal)
            try expectFailure(outcome, code: 11, says: ["cannot connect to the API server"])
            #expect(outcome.process.errorText.contains("\(folder)/"))
            try await proxy.resume()
            expectSilentSuccess(try await rig.node.del(sandbox, configuration))
            try await rig.expectNothingHeld()
        }
    }

    @Test func `DEL 5: a released address rests, for the link may still have it`() async throws {
        try await PluginRig.run { rig in
            let pool = try await rig.makePool("pool", ["ranges": [rig.range4(10...12)], "cooldown": "1h"])
            let configuration = rig.node.configuration(pools: [pool])
            let sandbox = try rig.node.newSandbox()
            let released = try await rig.node.add(sandbox, configuration).checked().addresses[0]
            expectSilentSuccess(try await rig.node.del(sandbox, configuration))
            #expect(try await rig.states() == [released: "Cooling"])
            var given: [String] = []
            for _ in 0..<2 {
                given += try await rig.node.add(try rig.node.newSandbox(), configuration).checked().addresses
            }
            #expect(Set(given).count == 2)
            #expect(!given.contains(released))
        }
    }
}
