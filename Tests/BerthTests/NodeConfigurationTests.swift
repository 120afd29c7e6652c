import CNIProtocol
import IPAMLedger
import JSONText
import Testing

@testable import Berth

@Suite struct NodeConfigurationTests {
    /// The configuration of a node whose `berth.conf` holds `file`.
    private func node(
        _ file: String, ipam: JSON = [:], environment: [String: String] = [:], for use: NodeConfiguration.Use = .claim
    ) throws -> NodeConfiguration {
        try withFolder { folder in
            try write(file, to: "\(folder)/berth.conf")
            var ipam = ipam
            ipam["configDir"] = .string(folder)
            return try NodeConfiguration(ipam: try JSONFields(ipam), environment: Environment(environment), for: use)
        }
    }

    @Test func `berth.conf says what is the same for every network`() throws {
        let node = try node(
            """
            {"nodeName": "n1", "kubeconfig": "/k", "journalDir": "/j", "machineIDFile": "/m", "logFile": "/l",
             "logLevel": "debug", "timeoutSeconds": 20}
            """)
        #expect(node.nodeName == "n1")
        #expect(node.kubeconfig == "/k")
        #expect(node.journalFolder == "/j")
        #expect(node.machineIDFile == "/m")
        #expect(node.logFile == "/l")
        #expect(node.logLevel == .debug)
        #expect(node.timeout == .seconds(20))
    }

    @Test func `the network configuration wins over berth.conf`() throws {
        let node = try node(
            #"{"nodeName": "n1", "logLevel": "debug", "timeoutSeconds": 20}"#,
            ipam: ["logLevel": "error", "timeoutSeconds": 3, "kubeconfig": "/other"])
        #expect(node.logLevel == .error)
        #expect(node.timeout == .seconds(3))
        #expect(node.kubeconfig == "/other")
        #expect(node.nodeName == "n1")
    }

    @Test func `what nobody says has its default`() throws {
        let node = try node("{}", environment: ["NODE_NAME": "from-environment"])
        #expect(node.nodeName == "from-environment")
        #expect(node.kubeconfig.hasSuffix("/kubeconfig"))
        #expect(node.journalFolder == "/var/lib/berth/journal")
        #expect(node.machineIDFile == "/etc/machine-id")
        #expect(node.logFile == nil)
        #expect(node.logLevel == .info)
        #expect(node.timeout == .seconds(10))
    }

    @Test(arguments: [("nodename", "nodeName"), ("kubeConfig", "kubeconfig"), ("timeoutSecond", "timeoutSeconds")])
    func `a key that is almost one is refused, and the one that was meant is named`(key: String, meant: String) throws {
        let error = #expect(throws: CNIError.self) { try node(#"{"\#(key)": "n1"}"#) }
        #expect(error?.code == CNIError.invalidConfiguration)
        #expect(
            error?.message.hasSuffix("/berth.conf: \(key): unknown; is \"\(meant)\" meant?") == true,
            "\(error?.message ?? "")")
        #expect(try node(#"{"nodeName": "n1", "comment": "of a newer version"}"#).nodeName == "n1")
        // What was given out already is looked after all the same.
        for use in [NodeConfiguration.Use.care, .release] {
            #expect(try node(#"{"\#(key)": "n1", "logLevel": "debug"}"#, for: use).logLevel == .debug)
        }
    }

    @Test func `berth.conf names the node before the environment does`() throws {
        let node = try node(#"{"nodeName": "from-file"}"#, environment: ["NODE_NAME": "from-environment"])
        #expect(node.nodeName == "from-file")
    }

    @Test func `without a name the node is called after its host`() throws {
        #expect(!(try node("{}", environment: ["NODE_NAME": ""])).nodeName.isEmpty)
    }

    @Test func `a relative file name starts at the configuration's folder`() throws {
        try withFolder { folder in
            try write(#"{"kubeconfig": "admin.json", "journalDir": "journal"}"#, to: "\(folder)/berth.conf")
            let node = try NodeConfiguration(
                ipam: try JSONFields(["configDir": .string(folder)]), environment: [:])
            #expect(node.kubeconfig == "\(folder)/admin.json")
            #expect(node.journalFolder == "\(folder)/journal")
        }
    }

    @Test(arguments: [
        ("debug", LogLevel.debug), ("info", .info), ("verbose", .info), ("warning", .warning), ("warn", .warning),
        ("error", .error), ("panic", .error), ("DEBUG", .debug),
    ])
    func `a level may be written as here or as in whereabouts`(text: String, level: LogLevel) throws {
        #expect(try node("{}", ipam: ["log_level": .string(text)]).logLevel == level)
    }

    @Test(arguments: [
        // Values that make no sense.
        (#"{"timeoutSeconds": 0}"#, "timeoutSeconds", 7), (#"{"timeoutSeconds": 121}"#, "timeoutSeconds", 7),
        (#"{"logLevel": "loud"}"#, "logLevel", 7),
        // Values of another type.
        (#"{"timeoutSeconds": "5"}"#, "timeoutSeconds", 6), (#"{"nodeName": 7}"#, "nodeName", 6),
        (#"{"journalDir": []}"#, "journalDir", 6),
    ])
    func `a value that cannot be is an error that names the member`(file: String, member: String, code: Int) throws {
        try withFolder { folder in
            try write(file, to: "\(folder)/berth.conf")
            let ipam = try JSONFields(["configDir": .string(folder)])
            let error = failure { () throws(CNIError) in try NodeConfiguration(ipam: ipam, environment: [:]) }
            #expect(error?.code == code)
            #expect(error?.message.contains(member) == true)
        }
    }

    @Test func `an error tells the document and the key`() throws {
        try withFolder { folder in
            let ipam: JSON = ["configDir": .string(folder)]
            func message(_ file: String, _ ipam: JSON, _ environment: Environment = [:]) throws -> String? {
                try write(file, to: "\(folder)/berth.conf")
                let fields = try JSONFields(ipam, path: "ipam")
                return failure { () throws(CNIError) in
                    try NodeConfiguration(ipam: fields, environment: environment)
                }?.message
            }
            let file = "node configuration \(folder)/berth.conf: "
            let ofFile = try message(#"{"nodeName": "n", "timeoutSeconds": 0}"#, ipam)
            #expect(ofFile == file + "timeoutSeconds: 0 is not between 1 and 120")
            let ofType = try message(#"{"nodeName": 7}"#, ipam)
            #expect(ofType == file + "nodeName: expected a string, found a number")
            var own = ipam
            own["timeoutSeconds"] = 0
            let ofNetwork = try message(#"{"nodeName": "n"}"#, own)
            #expect(ofNetwork == "network configuration: ipam.timeoutSeconds: 0 is not between 1 and 120")
            let ofName = try message(#"{"nodeName": "a_b"}"#, ipam)
            #expect(ofName?.hasPrefix(file + "nodeName: \"a_b\" is no name") == true)
            let ofVariable = try message("{}", ipam, ["NODE_NAME": "A"])
            #expect(ofVariable?.hasPrefix("NODE_NAME: \"A\" is no name") == true)
        }
    }

    @Test(arguments: ["Worker", "a_b", "-a", "a.", "a b", "é", String(repeating: "a", count: 254)])
    func `what is no name of a node is refused, but for a DEL`(name: String) throws {
        try withFolder { folder in
            try write(#"{"nodeName": "\#(name)", "timeoutSeconds": 5}"#, to: "\(folder)/berth.conf")
            let ipam = try JSONFields(["configDir": .string(folder)])
            let error = failure { () throws(CNIError) in try NodeConfiguration(ipam: ipam, environment: [:]) }
            #expect(error?.code == CNIError.invalidConfiguration)
            #expect(error?.message.contains("nodeName") == true)
            let forRelease = try NodeConfiguration(ipam: ipam, environment: [:], for: .release)
            #expect(forRelease.nodeName == name)
        }
    }

    @Test func `a berth.conf that is no JSON is an error that names the file`() throws {
        try withFolder { folder in
            try write("nodeName: n1", to: "\(folder)/berth.conf")
            let ipam = try JSONFields(["configDir": .string(folder)])
            let error = failure { () throws(CNIError) in try NodeConfiguration(ipam: ipam, environment: [:]) }
            #expect(error?.code == CNIError.undecodable)
            #expect(error?.message.contains("\(folder)/berth.conf") == true)
        }
    }

    @Test func `a folder that the configuration names must hold a berth.conf`() throws {
        let ipam = try JSONFields(["configDir": "/nonexistent"])
        let error = failure { () throws(CNIError) in try NodeConfiguration(ipam: ipam, environment: [:]) }
        #expect(error?.code == CNIError.inputOutput)
        #expect(error?.message.contains("/nonexistent/berth.conf") == true)
    }

    @Test func `a machine ID is read without its line feed, and must not be empty`() throws {
        try withFolder { folder in
            try write("0123abcd\n", to: "\(folder)/id")
            try write("\n", to: "\(folder)/empty")
            func identity(_ file: String) throws -> NodeConfiguration {
                try write(#"{"machineIDFile": "\#(file)"}"#, to: "\(folder)/berth.conf")
                return try NodeConfiguration(ipam: try JSONFields(["configDir": .string(folder)]), environment: [:])
            }
            #expect(try identity("id").machineID() == "0123abcd")
            let empty = try identity("empty")
            #expect(failure { () throws(CNIError) in try empty.machineID() }?.code == CNIError.inputOutput)
            let missing = try identity("missing")
            let error = failure { () throws(CNIError) in try missing.machineID() }
            #expect(error?.code == CNIError.inputOutput)
            #expect(error?.details.contains("machineIDFile") == true)
        }
    }
}
