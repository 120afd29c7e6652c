import IPAMAPI
import JSONText
import TestSupport
import Testing

/// The checklist of CNI 1.1, sections "CHECK" and "STATUS".
@Suite("CNI: CHECK and STATUS", .controlPlane, .timeLimit(.minutes(10)))
struct ConformanceCheckTests {
    // MARK: CHECK

    @Test func `CHECK: prevResult is required`() async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            let sandbox = try rig.node.newSandbox()
            try await rig.node.add(sandbox, configuration).checked()
            let outcome = try await rig.node.runner.run(rig.node.call("CHECK", sandbox, configuration))
            try expectFailure(outcome, code: 7, says: ["prevResult", "missing"])
        }
    }

    @Test func `CHECK: it succeeds right after ADD, and with further addresses of later plugins`() async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(
                pools: [try await rig.makePool(hosts: 7...7), try await rig.makePool6(hosts: 7...7)])
            let sandbox = try rig.node.newSandbox()
            let added = try await rig.node.add(sandbox, configuration).checked()
            expectSilentSuccess(try await rig.node.check(sandbox, configuration, previous: added))
            var extended = configuration
            var result = try #require(added.result)
            result["interfaces"] = [["name": "eth0", "sandbox": .string(sandbox.netns)]]
            result["ips"] = .array((result["ips"]?.array ?? []) + [["address": "192.0.2.7/24", "interface": 0]])
            extended["prevResult"] = result
            expectSilentSuccess(try await rig.node.runner.run(rig.node.call("CHECK", sandbox, extended)))
        }
    }

    @Test func `CHECK: an address of the ledger that prevResult lacks is an error`() async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(
                pools: [try await rig.makePool(hosts: 7...7), try await rig.makePool6(hosts: 7...7)])
            let sandbox = try rig.node.newSandbox()
            let added = try await rig.node.add(sandbox, configuration).checked()
            for (index, missing) in added.addresses.enumerated() {
                var partial = configuration
                var result = try #require(added.result)
                result["ips"] = .array(
                    (result["ips"]?.array ?? []).enumerated().filter { $0.offset != index }.map(\.element))
                partial["prevResult"] = result
                try expectFailure(
                    try await rig.node.runner.run(rig.node.call("CHECK", sandbox, partial)), code: 103,
                    says: [missing, "prevResult", sandbox.containerID])
            }
        }
    }

    @Test func `CHECK: a missing allocation is an error, and so is one that is cooling or held by another`()
        async throws
    {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            let sandbox = try rig.node.newSandbox()
            let added = try await rig.node.add(sandbox, configuration).checked()
            let address = added.addresses[0]

            func expectNotHeld(_ says: String...) async throws {
                let outcome = try await rig.node.check(sandbox, configuration, previous: added)
                try expectFailure(outcome, code: 103, says: [address, sandbox.containerID] + says)
            }
            try await rig.edit(address) { object in
                object["spec"]?["attachment"]?["containerID"] = "another"
            }
            try await expectNotHeld("not held", "container another")
            try await rig.edit(address) { object in
                object["spec"]?["attachment"]?["containerID"] = .string(sandbox.containerID)
                object["spec"]?["machineID"] = "another-machine"
            }
            try await expectNotHeld("not held")
            try await rig.edit(address) { object in
                object["spec"]?["machineID"] = .string(rig.node.machineID)
                object["spec"]?["state"] = "Cooling"
                object["spec"]?["attachment"] = nil
            }
            try await expectNotHeld("cooling")
            try await rig.deleteAllocation(address)
            try await expectNotHeld("does not exist")
        }
    }

    @Test func `CHECK: an attachment without any address is an error`() async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            let sandbox = try rig.node.newSandbox()
            let added = try await rig.node.add(sandbox, configuration).checked()
            expectSilentSuccess(try await rig.node.del(sandbox, configuration))
            for stranger in [sandbox, try rig.node.newSandbox()] {
                try expectFailure(
                    try await rig.node.check(stranger, configuration, previous: added), code: 103,
                    says: [stranger.containerID])
            }
        }
    }

    @Test func `CHECK: an address of a pool that was replaced is an error`() async throws {
        try await PluginRig.run { rig in
            let pool = try await rig.makePool(hosts: 7...7)
            let configuration = rig.node.configuration(pools: [pool])
            let sandbox = try rig.node.newSandbox()
            let added = try await rig.node.add(sandbox, configuration).checked()
            try await rig.deletePool(pool)
            let says = [added.addresses[0], "\"\(pool)\""]
            try expectFailure(
                try await rig.node.check(sandbox, configuration, previous: added), code: 103,
                says: says + ["does not exist"])
            try await rig.makePool(hosts: 7...7)
            try expectFailure(
                try await rig.node.check(sandbox, configuration, previous: added), code: 103, says: says + ["replaced"])
        }
    }

    @Test func `CHECK: it changes nothing`() async throws {
        try await PluginRig.runThroughProxy { rig, proxy in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            let sandbox = try rig.node.newSandbox()
            let added = try await rig.node.add(sandbox, configuration).checked()
            let before = try await rig.objects()
            proxy.clearLog()
            expectSilentSuccess(try await rig.node.check(sandbox, configuration, previous: added))
            try expectFailure(
                try await rig.node.check(try rig.node.newSandbox(), configuration, previous: added), code: 103)
            #expect(!proxy.log.isEmpty)
            #expect(proxy.log.allSatisfy { $0.request.method == "GET" })
            #expect(try await rig.objects() == before)
        }
    }

    // MARK: STATUS

    @Test func `STATUS: exit 0 while an ADD would be served, 50 when a pool is exhausted, and 0 again`() async throws {
        try await PluginRig.run { rig in
            let v4 = try await rig.makePool(hosts: 7...7)
            let v6 = try await rig.makePool6(hosts: 7...9)
            let configuration = rig.node.configuration(pools: [v4, v6])
            expectSilentSuccess(try await rig.node.status(configuration))
            let sandbox = try rig.node.newSandbox()
            try await rig.node.add(sandbox, configuration).checked()
            try expectFailure(
                try await rig.node.status(configuration), code: 50, says: ["\"\(v4)\"", "1 usable", "1 allocated"])
            try expectFailure(try await rig.node.add(try rig.node.newSandbox(), configuration), code: 101)
            // A runtime attempts ADD and DEL whatever STATUS said, and a failed STATUS stands in nobody's way.
            expectSilentSuccess(try await rig.node.del(sandbox, configuration))
            expectSilentSuccess(try await rig.node.status(configuration))
            #expect(try await rig.node.add(try rig.node.newSandbox(), configuration).checked().addresses.count == 2)
        }
    }

    @Test func `STATUS: 50 for a pool that is missing, disabled or makes no sense`() async throws {
        try await PluginRig.run { rig in
            let missing = rig.subnets.name("none")
            try expectFailure(
                try await rig.node.status(rig.node.configuration(pools: [missing])), code: 50,
                says: ["\"\(missing)\"", "does not exist"])
            let pool = try await rig.makePool(hosts: 7...7)
            let configuration = rig.node.configuration(pools: [pool])
            expectSilentSuccess(try await rig.node.status(configuration))
            try await rig.changePool(pool, ["disabled": true])
            try expectFailure(try await rig.node.status(configuration), code: 50, says: ["\"\(pool)\"", "disabled"])
            try await rig.changePool(pool, ["disabled": false, "ranges": ["10.255.255.1"]])
            try expectFailure(
                try await rig.node.status(configuration), code: 50, says: ["\"\(pool)\"", "10.255.255.1"])
        }
    }

    enum Absence: String, CaseIterable, Sendable { case refused, hanging, html, unauthorized, forbidden }

    @Test(arguments: Absence.allCases)
    func `STATUS: 50 when the API server cannot be reached or used`(absence: Absence) async throws {
        try await PluginRig.runThroughProxy { rig, proxy in
            let pool = try await rig.makePool(hosts: 7...7)
            // Each way to say which addresses there are.
            var configurations = [
                rig.node.configuration(pools: [pool]),
                rig.node.configuration(ipam: ["range": .string(rig.subnets.subnet4)]),
                rig.node.configuration(ipam: ["addresses": [["address": .string("\(rig.subnets.address4(9))/24")]]]),
            ]
            for configuration in configurations { expectSilentSuccess(try await rig.node.status(configuration)) }
            for index in configurations.indices { configurations[index]["ipam"]?["timeoutSeconds"] = 3 }
            switch absence {
            case .refused: await proxy.suspend()
            case .hanging: proxy.when(.any, .always, .hang)
            case .html: proxy.when(.any, .always, .html(status: 200))
            case .unauthorized: proxy.when(.any, .always, .unauthorized)
            case .forbidden: proxy.when(.any, .always, .forbidden)
            }
            for configuration in configurations {
                try expectFailure(try await rig.node.status(configuration), code: 50, says: ["ippools"])
            }
        }
    }

    @Test func `STATUS: it changes nothing, neither in the ledger nor in the journal`() async throws {
        try await PluginRig.runThroughProxy { rig, proxy in
            let pool = try await rig.makePool(hosts: 7...8)
            let named = rig.node.configuration(pools: [pool])
            let inline = rig.node.configuration(ipam: ["range": .string(rig.subnets.subnet6)])
            let holder = try rig.node.newSandbox()
            try await rig.node.add(holder, named).checked()
            let before = try await rig.objects()
            let entries = try Files.names(in: "\(rig.node.journal)/entries")
            #expect(entries == [holder.attachment().digest])
            proxy.clearLog()
            for configuration in [named, inline] { expectSilentSuccess(try await rig.node.status(configuration)) }
            let mutations = proxy.log.filter { $0.request.method != "GET" }
            #expect(mutations.allSatisfy { $0.request.queryValue("dryRun") == "All" }, "\(mutations)")
            #expect(try await rig.objects() == before)
            #expect(try await rig.inlinePools().isEmpty)
            #expect(try Files.names(in: "\(rig.node.journal)/entries") == entries)
        }
    }
}
