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
}
