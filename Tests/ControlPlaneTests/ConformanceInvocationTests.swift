import JSONText
import TestSupport
import Testing

/// The checklist of CNI 1.1, section "Invocation"; each test says its line.
@Suite("CNI: invocation", .controlPlane, .timeLimit(.minutes(10)))
struct ConformanceInvocationTests {
    // MARK: Line 1

    @Test(arguments: ["ADD", "CHECK", "DEL"])
    func `Invocation 1: missing variables give code 4, and every one is named`(command: String) async throws {
        let optional = command == "DEL" ? ["CNI_NETNS"] : []
        let required = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"].filter { !optional.contains($0) }
        try await PluginRig.run { rig in
            let pool = try await rig.makePool(hosts: 7...7)
            let sandbox = try rig.node.newSandbox()
            for subset in 1..<(1 << required.count) {
                let missing = Set(required.indices.filter { subset >> $0 & 1 == 1 }.map { required[$0] })
                for value in [nil, ""] {
                    var call = rig.node.call(command, sandbox, rig.node.configuration(pools: [pool]))
                    if missing.contains("CNI_CONTAINERID") { call.containerID = value }
                    if missing.contains("CNI_NETNS") { call.netns = value }
                    if missing.contains("CNI_IFNAME") { call.interface = value }
                    let failure = try expectFailure(try await rig.node.runner.run(call), code: 4)
                    let named = required.filter { failure.message.contains($0) }
                    #expect(Set(named) == missing)
                }
            }
            try await rig.expectNothingHeld()
        }
    }

    @Test(arguments: ["CNI_CONTAINERID", "CNI_IFNAME", "CNI_NETNS", "CNI_ARGS"])
    func `Invocation 1: a value that is not UTF-8 is code 4, and not another one's`(variable: String) async throws {
        try await PluginRig.run { rig in
            let sandbox = try rig.node.newSandbox()
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            // A shell, for this process has its variables as text.
            let script = "export \(variable)=\"$\(variable)$(printf '\\377')\"; exec '\(rig.node.runner.executable)'"
            let environment = [
                "CNI_COMMAND": "ADD", "CNI_CONTAINERID": sandbox.containerID, "CNI_NETNS": sandbox.netns,
                "CNI_IFNAME": "eth", "CNI_ARGS": "IgnoreUnknown=1;A=b",
            ]
            let command = Command(
                "sh", ["-c", script], environment: environment, stdin: configuration.serialized())
            try expectFailure(PluginOutcome(try await command.run()), code: 4, says: [variable, "not UTF-8"])
            try await rig.expectNothingHeld()
        }
    }

    @Test func `Invocation 1: an argument that does not exist is answered with the usage`() async throws {
        let outcome = try await run(PluginRunner.berth().executable, ["foo"])
        #expect(outcome.ending == .exited(2))
        #expect(outcome.output.isEmpty)
        #expect(outcome.errorText.contains("unknown argument \"foo\""))
        #expect(outcome.errorText.contains("Container Network Interface"))
    }

    @Test func `Invocation 1: DEL takes an absent CNI_NETNS, GC and STATUS no attachment at all`() async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            let sandbox = try rig.node.newSandbox()
            try await rig.node.add(sandbox, configuration).checked()
            var call = rig.node.call("DEL", sandbox, configuration)
            call.netns = nil
            expectSilentSuccess(try await rig.node.runner.run(call))
            try await rig.expectNothingHeld()
            expectSilentSuccess(try await rig.node.gc(configuration, valid: []))
            expectSilentSuccess(try await rig.node.status(configuration))
        }
    }

    @Test func `Invocation 1: no verb demands CNI_PATH`() async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            let sandbox = try rig.node.newSandbox()
            func call(_ command: String, _ configuration: JSON) async throws -> PluginOutcome {
                let environment = [
                    "CNI_COMMAND": command, "CNI_CONTAINERID": sandbox.containerID, "CNI_NETNS": sandbox.netns,
                    "CNI_IFNAME": sandbox.interface,
                ]
                let command = Command(
                    rig.node.runner.executable, environment: environment, stdin: configuration.serialized())
                return PluginOutcome(try await command.run())
            }
            let added = try await call("ADD", configuration)
            #expect(added.addresses == [rig.subnets.address4(7)], "\(added)")
            var withResult = configuration
            withResult["prevResult"] = added.result
            expectSilentSuccess(try await call("CHECK", withResult))
            for command in ["DEL", "STATUS", "GC"] { expectSilentSuccess(try await call(command, configuration)) }
        }
    }

    // MARK: Line 2

    @Test func `Invocation 2: without CNI_COMMAND a text about the plugin goes to stderr, and the exit is 0`()
        async throws
    {
        let runner = try PluginRunner.berth()
        var call = PluginCall(nil)
        call.stdin = []
        let outcome = try await runner.run(call)
        #expect(outcome.process.ending == .exited(0))
        #expect(outcome.process.output.isEmpty)
        let text = outcome.process.errorText
        #expect(text.firstMatch(of: /berth \d+\.\d+\.\d+/) != nil, "\(text)")
        for version in cniVersions { #expect(text.contains(version), "\(text)") }
    }

    @Test(arguments: ["add", "PLUGIN", "ADD ", "NONE"])
    func `Invocation 2: an unknown command gives code 4`(command: String) async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            let call = rig.node.call(command, try rig.node.newSandbox(), configuration)
            try expectFailure(
                try await rig.node.runner.run(call), code: 4, says: ["CNI_COMMAND \"\(command)\"", "ADD", "STATUS"])
            try await rig.expectNothingHeld()
        }
    }

    // MARK: Line 3

    @Test(arguments: ["-a", ".a", "_a", "a/b", "a b", "a:b", "ä", "a\n"])
    func `Invocation 3: a bad container ID gives code 4`(containerID: String) async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            for command in ["ADD", "DEL"] {
                var call = rig.node.call(command, try rig.node.newSandbox(), configuration)
                call.containerID = containerID
                try expectFailure(
                    try await rig.node.runner.run(call), code: 4, says: ["CNI_CONTAINERID \"\(containerID)\""])
            }
            try await rig.expectNothingHeld()
        }
    }

    @Test(arguments: [".", "..", "a/b", "a:b", "a b", "a\tb", "sixteen-letters-", "achtzehnBytesäöü"])
    func `Invocation 3: a bad interface name gives code 4`(interface: String) async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            for command in ["ADD", "DEL"] {
                let sandbox = try rig.node.newSandbox(interface: interface)
                try expectFailure(
                    try await rig.node.runner.run(rig.node.call(command, sandbox, configuration)), code: 4,
                    says: ["CNI_IFNAME \"\(interface)\""])
            }
            try await rig.expectNothingHeld()
        }
    }

    @Test func `Invocation 3: unusual names within the rules are served`() async throws {
        try await PluginRig.run { rig in
            let pool = try await rig.makePool(hosts: 10...20)
            for (id, interface, network) in [
                ("A", "Net_1", "n"), ("0.-_z", "fifteen-letters", "Net_1.x-"),
                (String(repeating: "c", count: 200), "ä", "9"),
            ] {
                var sandbox = try rig.node.newSandbox(interface: interface)
                sandbox.containerID = "\(id)\(rig.subnets.name)"
                let configuration = rig.node.configuration(network: network, pools: [pool])
                let added = try await rig.node.add(sandbox, configuration).checked()
                expectSilentSuccess(try await rig.node.check(sandbox, configuration, previous: added))
                let object = try #require(try await rig.objects().first)
                #expect(object["spec"]?["attachment"]?["interface"]?.string == interface)
                #expect(object["spec"]?["attachment"]?["networkName"]?.string == network)
                expectSilentSuccess(try await rig.node.del(sandbox, configuration))
                try await rig.expectNothingHeld()
            }
        }
    }

    /// The name is the configuration's, so it is code 7, as of the reference plugins (`ValidateNetworkName`).
    @Test(arguments: [nil, "", "-a", "a/b", "a b", "ü"])
    func `Invocation 3: a missing or bad network name gives code 7`(name: String?) async throws {
        try await PluginRig.run { rig in
            var configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            configuration["name"] = name.map { .string($0) }
            let says = name.map { $0.isEmpty ? "missing" : "\"\($0)\"" } ?? "missing"
            try expectFailure(
                try await rig.node.add(try rig.node.newSandbox(), configuration), code: 7, says: ["name", says])
            try await rig.expectNothingHeld()
        }
    }

    // MARK: Line 4

    @Test(arguments: ["<&-", "</"])
    func `Invocation 4: standard input that cannot be read gives code 5`(redirection: String) async throws {
        try await PluginRig.run { rig in
            let sandbox = try rig.node.newSandbox()
            let environment = [
                "CNI_COMMAND": "ADD", "CNI_CONTAINERID": sandbox.containerID, "CNI_NETNS": sandbox.netns,
                "CNI_IFNAME": "eth0",
            ]
            let outcome = PluginOutcome(
                try await Command(
                    "/bin/sh", ["-c", "exec \"$0\" \(redirection)", rig.node.runner.executable],
                    environment: environment
                ).run())
            try expectFailure(outcome, code: 5, says: ["standard input"])
            try await rig.expectNothingHeld()
        }
    }

    @Test(arguments: ["", " ", "{", "nonsense", "[]", "null", "\"a\"", "{} {}", "{\"name\": \"a\",}", "{\"name\": 7}"])
    func `Invocation 4: what is not a JSON object gives code 6`(document: String) async throws {
        try await PluginRig.run { rig in
            let sandbox = try rig.node.newSandbox()
            for command in ["ADD", "DEL", "CHECK", "GC", "STATUS"] {
                var call = rig.node.call(command, sandbox, [:])
                // A configuration without a version is one of 0.1.0, which has fewer verbs.
                let isVersioned = document.hasPrefix("{\"name\": 7")
                call.stdin = Array((isVersioned ? "{\"cniVersion\": \"1.1.0\", \"name\": 7}" : document).utf8)
                try expectFailure(try await rig.node.runner.run(call), code: 6, says: ["network configuration"])
            }
            try await rig.expectNothingHeld()
        }
    }

    @Test(arguments: ["0.9.0", "1.2.0", "2.0.0", "1.1", "1", "v1.1.0"])
    func `Invocation 4: an unsupported version gives code 1 with details`(version: String) async throws {
        try await PluginRig.run { rig in
            let pool = try await rig.makePool(hosts: 7...7)
            let configuration = rig.node.configuration(pools: [pool], version: version)
            let failure = try expectFailure(
                try await rig.node.add(try rig.node.newSandbox(), configuration), code: 1, says: ["\"\(version)\""])
            for version in cniVersions { #expect(failure.details.contains(version)) }
            try await rig.expectNothingHeld()
        }
    }

    @Test(arguments: [nil, JSON.string(""), .null])
    func `Invocation 4: an absent version reads as 0-1-0`(version: JSON?) async throws {
        try await PluginRig.run { rig in
            var configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            configuration["cniVersion"] = version
            let outcome = try await rig.node.add(try rig.node.newSandbox(), configuration).checked()
            #expect(
                outcome.result == ["cniVersion": "0.1.0", "ip4": ["ip": .string("\(rig.subnets.address4(7))/24")]])
        }
    }
}

let cniVersions = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]
