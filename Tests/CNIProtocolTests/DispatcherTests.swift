import CNIProtocol
import IPAddressing
import JSONText
import Testing

private let busy = CNIError(code: CNIError.tryAgainLater, message: "the API server is away", details: "tried twice")

struct DispatcherTests {
    @Test(arguments: CNIVersion.allCases)
    func `ADD answers in the version that was asked for, in one write`(version: CNIVersion) throws {
        let plugin = try FakePlugin("10.0.0.7/24")
        let input = StandardInput.text(configuration(version: version.rawValue))
        let outcome = try dispatch(environment("ADD"), input, plugin: plugin)
        #expect(outcome.status == 0)
        #expect(outcome.outputs.count == 1)
        #expect(outcome.output.hasSuffix("}\n"))
        #expect(outcome.errorOutput.isEmpty)
        #expect(outcome.reads == 1)
        #expect(outcome.json == (try plugin.result.json(for: version)))
        #expect(plugin.added.count == 1)
        #expect(plugin.callCount == 1)
    }

    @Test(arguments: [[:], environment("ADD")])
    func `an unknown argument is answered with the usage and status 2`(variables: [String: String]) throws {
        let plugin = try FakePlugin("10.0.0.7/24")
        let outcome = try dispatch(variables, .text(configuration()), arguments: ["foo"], plugin: plugin)
        #expect(outcome.status == 2)
        #expect(outcome.outputs.isEmpty)
        #expect(outcome.errorOutput.hasPrefix("berth: unknown argument \"foo\"\nberth 1.2.3, an IPAM plugin"))
        #expect(outcome.reads == 0)
        #expect(plugin.callCount == 0)
    }

    @Test func `the plugin gets everything parsed`() throws {
        let plugin = try FakePlugin("10.0.0.7/24")
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        let variables = environment(
            "ADD", ["CNI_ARGS": "K8S_POD_NAME=p;K8S_POD_NAMESPACE=ns;IP=10.0.0.7", "TRACEPARENT": trace]
        )
        _ = try dispatch(variables, .text(configuration()), plugin: plugin)
        let request = try #require(plugin.added.first)
        #expect(request.containerID == "c1")
        #expect(request.netns == "/run/netns/a")
        #expect(request.interface == "eth0")
        #expect(request.args.podName == "p")
        #expect(request.configuration.name == "net")
        #expect(request.requestedAddresses.map(\.description) == ["10.0.0.7"])
        #expect(request.trace?.traceID == "4bf92f3577b34da6a3ce929d0e0e4736")
    }

    @Test func `DEL, CHECK, GC and STATUS write nothing when they succeed`() throws {
        let plugin = try FakePlugin()
        let document = configuration(["prevResult": ["ips": []], "cni.dev/valid-attachments": []])
        for command in ["DEL", "CHECK", "GC", "STATUS"] {
            // Nothing is written, so it does not matter that it could not be.
            let outcome = try dispatch(environment(command), .text(document), outputWorks: false, plugin: plugin)
            #expect(outcome.status == 0)
            #expect(outcome.outputs.isEmpty)
            #expect(outcome.errorOutput.isEmpty)
        }
        #expect(plugin.deleted.count == 1)
        #expect(plugin.checked.count == 1)
        #expect(plugin.collected.map(\.configuration.validAttachments) == [[]])
        #expect(plugin.asked.count == 1)
        #expect(plugin.callCount == 4)
    }

    @Test(arguments: ["GC", "STATUS"])
    func `GC and STATUS need no attachment`(command: String) throws {
        let outcome = try dispatch(["CNI_COMMAND": command, "CNI_ARGS": "nonsense"], .text(configuration()))
        #expect(outcome.status == 0)
    }

    @Test func `DEL succeeds with an empty namespace, bad arguments, and bad wishes in the configuration`() throws {
        let plugin = try FakePlugin()
        let document = configuration(
            ["runtimeConfig": ["ips": ["x"]], "args": 5, "prevResult": ["ips": "x"]], version: "0.3.1"
        )
        let variables = environment("DEL", ["CNI_NETNS": "", "CNI_ARGS": "FOO=1;BAR;IP=x"])
        let outcome = try dispatch(variables, .text(document), plugin: plugin)
        #expect(outcome.status == 0)
        #expect(plugin.deleted.count == 1)
        #expect(plugin.deleted.first?.netns == nil)
    }

    @Test(arguments: ["ADD", "DEL", "CHECK", "GC", "STATUS"])
    func `the plugin's error is the answer`(command: String) throws {
        let plugin = try FakePlugin("10.0.0.7/24")
        plugin.failure = busy
        let document = configuration(["prevResult": ["ips": []]])
        let outcome = try dispatch(environment(command), .text(document), plugin: plugin)
        #expect(outcome.status == 1)
        #expect(outcome.outputs.count == 1)
        #expect(outcome.json == busy.json(version: .v110))
        #expect(plugin.callCount == 1)
    }
}

// MARK: - Refusals

extension DispatcherTests {
    @Test(arguments: [
        // The environment is judged before the configuration.
        (environment("UPDATE"), configuration(version: "0.4.0"), 4, "0.4.0"),
        (environment("add"), configuration(), 4, "1.1.0"),
        (environment("ADD", ["CNI_NETNS": ""]), configuration(version: "0.3.0"), 4, "0.3.0"),
        (environment("ADD", ["CNI_NETNS": ""]), "", 4, "1.1.0"),
        (environment("DEL", ["CNI_CONTAINERID": ".a"]), configuration(), 4, "1.1.0"),
        (environment("ADD", ["CNI_IFNAME": "a b"]), configuration(), 4, "1.1.0"),
        (environment("ADD", ["CNI_ARGS": "FOO=1"]), configuration(), 4, "1.1.0"),
        (environment("ADD", ["CNI_ARGS": "IP=x"]), configuration(), 4, "1.1.0"),
        // The configuration.
        (environment("ADD"), "", 6, "1.1.0"),
        (environment("ADD"), "{", 6, "1.1.0"),
        (environment("DEL"), "[]", 6, "1.1.0"),
        (environment("ADD"), configuration(["cniVersion": 5]), 6, "1.1.0"),
        (environment("ADD"), configuration(version: "9.0.0"), 1, "1.1.0"),
        (environment("ADD"), configuration(["cniVersion": nil, "name": nil]), 7, "0.1.0"),
        (environment("ADD"), configuration(["name": "a/b"], version: "1.0.0"), 7, "1.0.0"),
        (environment("DEL"), configuration(["ipam": nil]), 7, "1.1.0"),
        (environment("ADD", ["CNI_ARGS": "IP=10.0.0.1,10.0.0.1"]), configuration(), 7, "1.1.0"),
        // The verb.
        (environment("CHECK"), configuration(version: "0.3.1"), 1, "0.3.1"),
        (environment("CHECK"), configuration(version: "0.4.0"), 7, "0.4.0"),
        (environment("GC"), configuration(version: "1.0.0"), 1, "1.0.0"),
        (environment("STATUS"), configuration(version: "0.4.0"), 1, "0.4.0"),
    ])
    func `nothing is claimed for a bad call`(
        variables: [String: String], document: String, code: Int, version: String
    ) throws {
        let plugin = try FakePlugin("10.0.0.7/24")
        let outcome = try dispatch(variables, .text(document), plugin: plugin)
        #expect(outcome.status == 1)
        #expect(outcome.outputs.count == 1)
        #expect(outcome.code == code)
        #expect(outcome.json?["cniVersion"] == .string(version))
        #expect(!outcome.message.isEmpty)
        #expect(plugin.callCount == 0)
    }

    @Test(arguments: ["ADD", "DEL", "CHECK", "GC", "STATUS"])
    func `standard input that cannot be read is code 5`(command: String) throws {
        let outcome = try dispatch(environment(command), .broken)
        #expect(outcome.status == 1)
        #expect(outcome.code == 5)
        #expect(outcome.message == "cannot read standard input: Bad file descriptor")
    }
}

// MARK: - Standard output that does not work

extension DispatcherTests {
    @Test func `an ADD whose result cannot be written is undone`() throws {
        let plugin = try FakePlugin("10.0.0.7/24")
        let outcome = try dispatch(environment("ADD"), .text(configuration()), outputWorks: false, plugin: plugin)
        #expect(outcome.status == 1)
        #expect(plugin.added.count == 1)
        #expect(plugin.deleted.map(\.containerID) == ["c1"])
        #expect(outcome.errorOutput == "berth: the result of ADD could not be written to standard output; undoing it\n")
    }

    @Test(arguments: [
        // No address at all, and more than the version carries.
        (CNIVersion.v110, [], 7), (.v020, ["10.0.0.7/24", "10.0.1.7/24"], 2),
    ])
    func `an ADD whose result cannot be expressed is undone`(
        version: CNIVersion, addresses: [String], code: Int
    ) throws {
        let plugin = try FakePlugin()
        plugin.result.ips = try addresses.map { ResultIP(address: try IPInterfaceAddress(parsing: $0)) }
        let outcome = try dispatch(
            environment("ADD"), .text(configuration(version: version.rawValue)), plugin: plugin
        )
        #expect(outcome.status == 1)
        #expect(outcome.code == code)
        #expect(outcome.outputs.count == 1)
        #expect(plugin.deleted.count == 1)
    }

    @Test func `an error that cannot be written goes to standard error`() throws {
        let plugin = try FakePlugin()
        plugin.failure = busy
        let outcome = try dispatch(environment("DEL"), .text(configuration()), outputWorks: false, plugin: plugin)
        #expect(outcome.status == 1)
        #expect(outcome.errorOutput.contains("the API server is away; tried twice (code 11)"))
    }

    @Test(arguments: [(["CNI_COMMAND": "VERSION"], []), ([:], ["--version"])] as [([String: String], [String])])
    func `an answer about the plugin that cannot be written fails`(
        variables: [String: String], arguments: [String]
    ) throws {
        let outcome = try dispatch(variables, .text(""), arguments: arguments, outputWorks: false)
        #expect(outcome.status == 1)
    }
}

// MARK: - VERSION and the text about the plugin

extension DispatcherTests {
    @Test(arguments: [
        (StandardInput.text("{\"cniVersion\":\"0.2.0\"}"), "0.2.0"),
        (.text("{\"cniVersion\":\"1.1.0\"}"), "1.1.0"),
        // A runtime of the future, and one that writes nothing of use.
        (.text("{\"cniVersion\":\"2.0.0\"}"), "2.0.0"),
        (.text("{\"cniVersion\":5}"), "1.1.0"),
        (.text("{}"), "1.1.0"),
        (.text(""), "1.1.0"),
        (.text("nonsense"), "1.1.0"),
        (.broken, "1.1.0"),
    ])
    func `VERSION answers everyone`(input: StandardInput, version: String) throws {
        let outcome = try dispatch(["CNI_COMMAND": "VERSION"], input)
        #expect(outcome.status == 0)
        #expect(
            outcome.output == "{\"cniVersion\":\"\(version)\",\"supportedVersions\":"
                + "[\"0.1.0\",\"0.2.0\",\"0.3.0\",\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"]}\n"
        )
    }

    @Test(arguments: [[:], ["CNI_COMMAND": ""], ["CNI_CONTAINERID": "c1"]])
    func `without a verb the plugin tells about itself on standard error`(variables: [String: String]) throws {
        let outcome = try dispatch(variables, .text(""))
        #expect(outcome.status == 0)
        #expect(outcome.outputs.isEmpty)
        #expect(outcome.reads == 0)
        #expect(outcome.errorOutput.hasPrefix("berth 1.2.3, an IPAM plugin"))
        #expect(outcome.errorOutput.contains("0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0\n"))
    }

    @Test(arguments: ["--version", "--help", "-h"])
    func `when asked to, it tells on standard output`(argument: String) throws {
        let outcome = try dispatch([:], .text(""), arguments: [argument])
        #expect(outcome.status == 0)
        #expect(outcome.output.hasPrefix("berth 1.2.3, an IPAM plugin"))
        #expect(outcome.errorOutput.isEmpty)
        #expect(outcome.reads == 0)
    }
}
