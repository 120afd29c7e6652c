import CNIProtocol
import Testing

struct CNIArgumentsTests {
    @Test(
        arguments: [
            (CNICommand.add, [:], "ADD: missing environment variables: CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME"),
            (.check, [:], "CHECK: missing environment variables: CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME"),
            (.del, [:], "DEL: missing environment variables: CNI_CONTAINERID, CNI_IFNAME"),
            (.add, ["CNI_CONTAINERID": "a", "CNI_IFNAME": "e"], "ADD: missing environment variables: CNI_NETNS"),
            // Set but empty is missing.
            (
                .add, ["CNI_CONTAINERID": "a", "CNI_IFNAME": "e", "CNI_NETNS": ""],
                "ADD: missing environment variables: CNI_NETNS"
            ),
            (.del, ["CNI_CONTAINERID": "", "CNI_IFNAME": "e"], "DEL: missing environment variables: CNI_CONTAINERID"),
        ] as [(CNICommand, [String: String], String)])
    func `every missing variable is named`(command: CNICommand, environment: [String: String], message: String) {
        let error = cniError { _ = try CNIArguments(environment: environment, command: command) }
        #expect(error == CNIError(code: CNIError.invalidEnvironment, message: message))
    }

    @Test(arguments: [
        (["CNI_CONTAINERID": "-a"], "CNI_CONTAINERID \"-a\" must be letters"),
        (["CNI_CONTAINERID": "a/../b"], "CNI_CONTAINERID \"a/../b\" must be letters"),
        (["CNI_IFNAME": "eth0:1"], "CNI_IFNAME \"eth0:1\" contains"),
        (["CNI_IFNAME": ".."], "CNI_IFNAME \"..\" is a directory's name"),
    ])
    func `a bad value is refused for every verb`(changes: [String: String], message: String) {
        for command in [CNICommand.add, .del, .check] {
            let error = cniError {
                _ = try CNIArguments(environment: environment(command.rawValue, changes), command: command)
            }
            #expect(error?.code == CNIError.invalidEnvironment)
            #expect(error?.message.hasPrefix(message) == true)
        }
    }

    @Test func `DEL takes an empty network namespace and an absent one`() throws {
        let empty = try CNIArguments(environment: environment("DEL", ["CNI_NETNS": ""]), command: .del)
        #expect(empty == CNIArguments(containerID: "c1", netns: nil, interface: "eth0"))

        var without = environment("DEL")
        without["CNI_NETNS"] = nil
        #expect(try CNIArguments(environment: without, command: .del) == empty)

        let given = try CNIArguments(environment: environment("DEL"), command: .del)
        #expect(given.netns == "/run/netns/a")
    }

    @Test func `the path to plugins is not demanded`() throws {
        var without = environment("ADD")
        without["CNI_PATH"] = nil
        #expect(throws: Never.self) { try CNIArguments(environment: without, command: .add) }
    }

    @Test func `bad arguments fail an ADD and a CHECK but not a DEL`() throws {
        let bad = environment("ADD", ["CNI_ARGS": "FOO=1;K8S_POD_NAME=p"])
        #expect(throws: CNIError.self) { try CNIArguments(environment: bad, command: .add) }
        #expect(throws: CNIError.self) { try CNIArguments(environment: bad, command: .check) }
        #expect(try CNIArguments(environment: bad, command: .del).cniArgs.podName == "p")
    }

    @Test(arguments: ["CNI_CONTAINERID", "CNI_IFNAME", "CNI_NETNS", "CNI_ARGS"])
    func `a value that is not UTF-8 is refused, and not repaired into another one`(variable: String) throws {
        let variables = environment("ADD", ["CNI_ARGS": "K8S_POD_NAME=p"])
        let bytes: [UInt8] = Array((variables[variable] ?? "").utf8) + [0xFF]
        let broken = Environment { $0 == variable ? bytes : variables[$0].map { Array($0.utf8) } }
        for command in [CNICommand.add, .check, .del] {
            let namesAttachment = variable == "CNI_CONTAINERID" || variable == "CNI_IFNAME"
            let error = cniError { _ = try CNIArguments(environment: broken, command: command) }
            guard command != .del || namesAttachment else {
                #expect(error == nil)
                continue
            }
            #expect(error?.code == CNIError.invalidEnvironment)
            #expect(error?.message.hasPrefix(variable) == true)
            #expect(error?.message.hasSuffix("is not UTF-8") == true)
        }
    }

    @Test func `a container ID may have 256 bytes`() throws {
        let longest = String(repeating: "c", count: 256)
        let arguments = try CNIArguments(environment: environment("ADD", ["CNI_CONTAINERID": longest]), command: .add)
        #expect(arguments.containerID == longest)
        let error = cniError {
            _ = try CNIArguments(environment: environment("ADD", ["CNI_CONTAINERID": longest + "c"]), command: .add)
        }
        #expect(error?.code == CNIError.invalidEnvironment)
        #expect(error?.message.hasPrefix("CNI_CONTAINERID is longer than 256 bytes: 257") == true)
    }
}
