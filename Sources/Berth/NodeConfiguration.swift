import CNIProtocol
import Glibc
import IPAMAPI
import IPAMConfiguration
import IPAMLedger
import IPAddressing
import JSONText
import KubernetesClient

/// What the plugin must know of its node: `berth.conf`, with the keys of the network configuration over it.
struct NodeConfiguration: Equatable {
    enum Use {
        /// A key of `berth.conf` that is almost one is refused.
        case claim
        /// Of what was given out already.
        case care
        /// A node name, log level or timeout that makes no sense is no reason to keep a pod from ending.
        case release
    }

    static let defaultFolder = "/etc/cni/net.d/berth.d"
    static let defaultJournal = "/var/lib/berth/journal"
    static let defaultTimeoutSeconds = 10

    var kubeconfig: String
    var nodeName: String
    var machineIDFile: String
    var journalFolder: String
    var logFile: String?
    var logLevel: LogLevel
    var timeout: Duration
    /// By which pools may select the node; nil: those that the kernel has.
    var nodeAddresses: [IPAddress]?
    /// Whether annotations of namespaces choose pools.
    var heedsNamespaces = true

    /// - Parameters:
    ///   - ipam: The `ipam` section of the network configuration.
    ///   - use: What it is for.
    /// - Throws: Code 5 for a `berth.conf` that cannot be read, 6 for wrong JSON, 7 for values that cannot be.
    init(ipam: JSONFields, environment: Environment, for use: Use = .care) throws(CNIError) {
        let folder = try CNIError.decoding { () throws(JSONDecodingError) in try ipam.string("configDir") }
        let node = try Self.nodeFile("\(folder ?? Self.defaultFolder)/berth.conf", isRequired: folder != nil)
        let sources = [Source(fields: ipam, name: "network configuration"), node]
        self = try NodeConfiguration(
            sources: sources, folder: folder ?? Self.defaultFolder, environment: environment)
        do throws(CNIError) {
            try checkNodeName(sources, environment)
            logLevel = try Self.logLevel(sources)
            timeout = .seconds(try Self.timeoutSeconds(sources))
            nodeAddresses = try Self.nodeAddresses(sources)
            for source in sources.reversed() {
                if let heeds = try source.bool("namespaceAnnotations") { heedsNamespaces = heeds }
            }
            if use == .claim { try node.refuseMisspelt() }
        } catch {
            if use != .release { throw error }
        }
    }

    /// An absent file is fine in the default place, where it only lacks what others say, and an error where the
    /// configuration points to it.
    private static func nodeFile(_ path: String, isRequired: Bool) throws(CNIError) -> Source {
        let name = "node configuration \(path)"
        if !isRequired, access(path, F_OK) != 0, errno == ENOENT {
            return Source(fields: JSONFields(JSONObject(), path: ""), name: name)
        }
        let bytes: [UInt8]
        do {
            bytes = try FileContents.read(path)
        } catch {
            throw CNIError(code: CNIError.inputOutput, message: "node configuration \(error)")
        }
        do {
            return Source(fields: try JSONFields(try JSON(parsing: bytes)), name: name)
        } catch {
            throw CNIError(code: CNIError.undecodable, message: "\(name): \(error)")
        }
    }

    /// Each key is taken from the first source that has it. Log level and timeout are left at their defaults.
    private init(sources: [Source], folder: String, environment: Environment) throws(CNIError) {
        func string(_ names: String...) throws(CNIError) -> String? { try first(of: names) }
        func path(_ names: String...) throws(CNIError) -> String? {
            guard let path = try first(of: names) else { return nil }
            return path.hasPrefix("/") ? path : "\(folder)/\(path)"
        }
        func first(of names: [String]) throws(CNIError) -> String? {
            for source in sources {
                for name in names {
                    if let value = try source.string(name), !value.isEmpty { return value }
                }
            }
            return nil
        }
        kubeconfig = try path("kubeconfig") ?? "\(folder)/kubeconfig"
        nodeName = try string("nodeName") ?? environment["NODE_NAME"].flatMap { $0.isEmpty ? nil : $0 } ?? Self.hostName
        machineIDFile = try path("machineIDFile") ?? "/etc/machine-id"
        journalFolder = try path("journalDir") ?? Self.defaultJournal
        logFile = try path("logFile", "log_file")
        logLevel = .info
        timeout = .seconds(Self.defaultTimeoutSeconds)
    }

    /// Nodes are objects of Kubernetes, so a name is a DNS-1123 subdomain, as kubelet makes sure.
    private func checkNodeName(_ sources: [Source], _ environment: Environment) throws(CNIError) {
        guard !BerthAPI.isSubdomain(nodeName) else { return }
        let problem = "\"\(nodeName)\" is no name of a node: lower-case letters, digits, '-' and '.', at most 253"
        for source in sources where try source.string("nodeName")?.isEmpty == false {
            throw source.invalid("nodeName", problem)
        }
        let isInEnvironment = environment["NODE_NAME"].map { !$0.isEmpty } ?? false
        throw CNIError(
            code: CNIError.invalidConfiguration,
            message: isInEnvironment ? "NODE_NAME: \(problem)" : "nodeName: the host name \(problem)",
            details: "set nodeName in berth.conf to what `kubectl get nodes` shows")
    }

    private static func logLevel(_ sources: [Source]) throws(CNIError) -> LogLevel {
        for source in sources {
            for name in ["logLevel", "log_level"] {
                guard let text = try source.string(name), !text.isEmpty else { continue }
                switch text.lowercased() {
                // whereabouts calls its levels debug, verbose, error and panic.
                case "debug": return .debug
                case "info", "verbose": return .info
                case "warning", "warn": return .warning
                case "error", "panic": return .error
                default:
                    throw source.invalid(name, "\"\(text)\" is unknown; use debug, info, warning or error")
                }
            }
        }
        return .info
    }

    private static func timeoutSeconds(_ sources: [Source]) throws(CNIError) -> Int {
        for source in sources {
            guard let seconds = try source.int("timeoutSeconds") else { continue }
            guard (1...120).contains(seconds) else {
                throw source.invalid("timeoutSeconds", "\(seconds) is not between 1 and 120")
            }
            return seconds
        }
        return defaultTimeoutSeconds
    }

    private static func nodeAddresses(_ sources: [Source]) throws(CNIError) -> [IPAddress]? {
        for source in sources {
            guard let texts = try source.strings("nodeAddresses") else { continue }
            var addresses: [IPAddress] = []
            for text in texts {
                guard let address = IPAddress(text) else {
                    throw source.invalid("nodeAddresses", "\"\(text)\" is no IP address")
                }
                addresses.append(address)
            }
            return addresses
        }
        return nil
    }

    private static var hostName: String {
        var buffer = [CChar](repeating: 0, count: 256)
        guard gethostname(&buffer, buffer.count - 1) == 0 else { return "localhost" }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self).lowercased()
    }

    /// Tells two machines of one node name apart.
    func machineID() throws(CNIError) -> String {
        let content: [UInt8]
        do {
            content = try FileContents.read(machineIDFile)
        } catch {
            throw CNIError(
                code: CNIError.inputOutput, message: "machine ID \(error)",
                details: "make it with systemd-machine-id-setup, or name another file with machineIDFile in berth.conf")
        }
        let text = String(decoding: content, as: UTF8.self).filter { !$0.isWhitespace }
        guard !text.isEmpty, text.utf8.count <= 64 else {
            throw CNIError(
                code: CNIError.inputOutput,
                message: "machine ID \(machineIDFile): expected 1 to 64 characters, found \(text.utf8.count)")
        }
        return text
    }
}

/// Where keys of the node are read from, with errors that name the document.
private struct Source {
    let fields: JSONFields
    /// For example `node configuration /etc/cni/net.d/berth.d/berth.conf`.
    let name: String

    func refuseMisspelt() throws(CNIError) {
        for key in fields.object.members.map(\.name) {
            guard let meant = Misspelling.meant(by: key, among: ConfigurationKeys.node) else { continue }
            throw invalid(key, "unknown; is \"\(meant)\" meant?")
        }
    }

    func string(_ key: String) throws(CNIError) -> String? {
        try decoding { () throws(JSONDecodingError) in try fields.string(key) }
    }

    func int(_ key: String) throws(CNIError) -> Int? {
        try decoding { () throws(JSONDecodingError) in try fields.int(key) }
    }

    func bool(_ key: String) throws(CNIError) -> Bool? {
        try decoding { () throws(JSONDecodingError) in try fields.bool(key) }
    }

    func strings(_ key: String) throws(CNIError) -> [String]? {
        try decoding { () throws(JSONDecodingError) in try fields.strings(key) }
    }

    /// For a value of the right type that cannot be used.
    func invalid(_ key: String, _ problem: String) -> CNIError {
        CNIError(code: CNIError.invalidConfiguration, message: "\(name): \(fields.error(key, problem))")
    }

    private func decoding<Value>(_ body: () throws(JSONDecodingError) -> Value) throws(CNIError) -> Value {
        do throws(JSONDecodingError) {
            return try body()
        } catch {
            throw CNIError(code: CNIError.undecodable, message: "\(name): \(error)")
        }
    }
}
