import CNIProtocol
import IPAddressing
import JSONText
import Testing

struct NetworkConfigurationTests {
    @Test func `what is ours is read and the rest ignored`() throws {
        let configuration = try parseConfiguration(
            [
                "ipam": ["type": "berth", "pools": ["blue", 5]], "bridge": "cni0", "dns": 5,
                "capabilities": ["ips": true],
            ]
        )
        #expect(configuration.cniVersion == .v110)
        #expect(configuration.name == "net")
        #expect(configuration.raw.value("bridge") == "cni0")
        #expect(configuration.prevResult == nil)
        #expect(configuration.validAttachments == nil)
        // Errors about the section name their path from the root.
        let error = #expect(throws: JSONDecodingError.self) { try configuration.ipam.strings("pools") }
        #expect(error?.description == "ipam.pools[1]: expected a string, found a number")
    }

    @Test(
        arguments: [
            ([:], .v110), (["cniVersion": nil], .v010), (["cniVersion": ""], .v010), (["cniVersion": "0.3.1"], .v031),
        ] as [(JSON, CNIVersion)])
    func `an absent version is the first`(members: JSON, version: CNIVersion) throws {
        #expect(try parseConfiguration(members).cniVersion == version)
    }

    @Test(
        arguments: [
            (["cniVersion": "2.0.0"], 1, "cniVersion \"2.0.0\" is not supported"),
            (["cniVersion": "1.1"], 1, "cniVersion \"1.1\" is not supported"),
            (["cniVersion": 1], 6, "network configuration: cniVersion: expected a string, found a number"),
            (["name": nil], 7, "network configuration: name: missing"),
            (["name": ""], 7, "network configuration: name: missing"),
            (["name": ["a"]], 6, "network configuration: name: expected a string, found a list"),
            (["name": "a b"], 7, "network configuration: name: \"a b\" must be letters"),
            (["name": "-a"], 7, "network configuration: name: \"-a\" must be letters"),
            (["ipam": nil], 7, "network configuration: ipam: missing"),
            (["ipam": "berth"], 6, "network configuration: ipam: expected an object, found a string"),
            (["args": []], 6, "network configuration: args: expected an object, found a list"),
            (
                ["args": ["cni": ["ips": "x"]]], 6,
                "network configuration: args.cni.ips: expected a list, found a string"
            ),
            (["args": ["cni": ["ips": ["x"]]]], 7, "network configuration: args.cni.ips[0]: "),
            (["runtimeConfig": true], 6, "network configuration: runtimeConfig: expected an object, found a boolean"),
        ] as [(JSON, Int, String)])
    func `what is wrong has its code and its path`(members: JSON, code: Int, message: String) {
        let error = cniError { _ = try parseConfiguration(members) }
        #expect(error?.code == code)
        #expect(error?.message.hasPrefix(message) == true, "\(error?.message ?? "no error")")
    }

    @Test func `an unsupported version is answered with the supported ones`() {
        let error = cniError { _ = try parseConfiguration(version: "0.9.0") }
        #expect(error?.details == "supported versions: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0")
    }

    @Test(arguments: CNICommand.allCases, CNIVersion.allCases)
    func `a verb exists from its version on`(command: CNICommand, version: CNIVersion) {
        let members: JSON = ["prevResult": ["ips": []]]
        let error = cniError { _ = try parseConfiguration(members, version: version.rawValue, for: command) }
        if version >= command.since {
            #expect(error == nil)
        } else {
            #expect(error?.code == CNIError.incompatibleVersion)
            #expect(error?.message == "\(command.rawValue) does not exist in cniVersion \(version.rawValue)")
        }
    }

    @Test(arguments: [CNICommand.del, .gc])
    func `a release does not fail for what only an ADD uses`(command: CNICommand) throws {
        let configuration = try parseConfiguration(
            ["runtimeConfig": ["ips": 5], "args": [], "prevResult": ["ips": "x"]], for: command
        )
        #expect(configuration.runtimeConfig == RuntimeConfiguration())
        #expect(configuration.argumentIPs.isEmpty)
        #expect(configuration.prevResult == nil)
    }
}

// MARK: - prevResult

extension NetworkConfigurationTests {
    @Test(
        arguments: [
            ([:], 7, "network configuration: prevResult: missing, and CHECK compares with it"),
            (["prevResult": nil], 7, "network configuration: prevResult: missing, and CHECK compares with it"),
            (["prevResult": []], 6, "network configuration: prevResult: expected an object, found a list"),
            (["prevResult": ["ips": [["address": "x"]]]], 7, "network configuration: prevResult.ips[0].address: "),
        ] as [(JSON, Int, String)])
    func `CHECK needs an earlier result that it can read`(members: JSON, code: Int, message: String) {
        let error = cniError { _ = try parseConfiguration(members, for: .check) }
        #expect(error?.code == code)
        #expect(error?.message.hasPrefix(message) == true, "\(error?.message ?? "no error")")
    }

    @Test(arguments: [CNICommand.add, .del, .check])
    func `an earlier result that can be read is kept`(command: CNICommand) throws {
        let members: JSON = ["prevResult": ["cniVersion": "1.1.0", "ips": [["address": "10.0.0.7/24"]]]]
        let configuration = try parseConfiguration(members, for: command)
        #expect(configuration.prevResult?.ips.map(\.address.description) == ["10.0.0.7/24"])
    }
}

// MARK: - Valid attachments

private let first: JSON = ["containerID": "a", "ifname": "eth0"]
private let second: JSON = ["containerID": "a", "ifname": "net1"]

extension NetworkConfigurationTests {
    @Test(
        arguments: [
            // Absent is not empty: the first frees nothing, the second everything.
            ([:], nil),
            (["cni.dev/valid-attachments": nil, "cni.dev/attachments": nil], nil),
            (["cni.dev/valid-attachments": []], []),
            (["cni.dev/attachments": []], []),
            (["cni.dev/valid-attachments": [first, second]], ["a eth0", "a net1"]),
            (["cni.dev/attachments": [second]], ["a net1"]),
            // libcni writes both. An attachment in either is valid.
            (["cni.dev/valid-attachments": [first], "cni.dev/attachments": [first]], ["a eth0"]),
            (["cni.dev/valid-attachments": [first], "cni.dev/attachments": [second]], ["a eth0", "a net1"]),
            (["cni.dev/valid-attachments": [], "cni.dev/attachments": [second]], ["a net1"]),
            (["cni.dev/valid-attachments": nil, "cni.dev/attachments": []], []),
        ] as [(JSON, [String]?)])
    func `GC reads the list under both of its names`(members: JSON, expected: [String]?) throws {
        let attachments = try parseConfiguration(members, for: .gc).validAttachments
        #expect(attachments?.map { "\($0.containerID) \($0.interface)" } == expected)
    }

    @Test(
        arguments: [
            (["cni.dev/valid-attachments": [:]], "cni.dev/valid-attachments: expected a list, found an object"),
            (["cni.dev/attachments": ["a"]], "cni.dev/attachments[0]: expected an object, found a string"),
            (["cni.dev/valid-attachments": [["containerID": "a"]]], "cni.dev/valid-attachments[0].ifname: missing"),
            (
                ["cni.dev/valid-attachments": [first, ["containerID": 5, "ifname": "e"]]],
                "cni.dev/valid-attachments[1].containerID: expected a string, found a number"
            ),
        ] as [(JSON, String)])
    func `a list that cannot be read frees nothing`(members: JSON, message: String) {
        let error = cniError { _ = try parseConfiguration(members, for: .gc) }
        #expect(error == CNIError(code: 6, message: "network configuration: \(message)"))
    }

    @Test func `other verbs do not read the list`() throws {
        #expect(try parseConfiguration(["cni.dev/valid-attachments": 5], for: .del).validAttachments == nil)
    }
}
