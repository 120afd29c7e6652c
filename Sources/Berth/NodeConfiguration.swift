import CNIProtocol
import Glibc
import IPAMLedger
import JSONText
import KubernetesClient

/// What the plugin must know of its node: `berth.conf`, with the keys of the network configuration over it.
struct NodeConfiguration: Equatable {
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

    /// - Parameters:
    ///   - ipam: The `ipam` section of the network configuration.
    ///   - isForRelease: A log level or a timeout that makes no sense is no reason to keep a pod from ending.
    /// - Throws: Code 5 for a `berth.conf` that cannot be read, 6 for wrong JSON, 7 for values that cannot be.
    init(ipam: JSONFields, environment: Environment, isForRelease: Bool = false) throws(CNIError) {
        let folder = try CNIError.decoding { () throws(JSONDecodingError) in try ipam.string("configDir") }
        let node = try Self.nodeFile("\(folder ?? Self.defaultFolder)/berth.conf", isRequired: folder != nil)
        let sources = [ipam, node]
        self = try CNIError.decoding { () throws(JSONDecodingError) in
            try NodeConfiguration(sources: sources, folder: folder ?? Self.defaultFolder, environment: environment)
        }
        do throws(CNIError) {
            logLevel = try Self.logLevel(sources)
            timeout = .seconds(try Self.timeoutSeconds(sources))
        } catch {
            if !isForRelease { throw error }
        }
    }

    /// An absent file is fine in the default place, where it only lacks what others say, and an error where the
    /// configuration points to it.
    private static func nodeFile(_ path: String, isRequired: Bool) throws(CNIError) -> JSONFields {
        if !isRequired, access(path, F_OK) != 0, errno == ENOENT { return JSONFields(JSONObject(), path: path) }
        let bytes: [UInt8]
        do {
            bytes = try FileContents.read(path)
        } catch {
            throw CNIError(code: CNIError.inputOutput, message: "node configuration \(error)")
        }
        do {
            return JSONFields(try JSONFields(try JSON(parsing: bytes)).object, path: path)
        } catch {
            throw CNIError(code: CNIError.undecodable, message: "node configuration \(path): \(error)")
        }
    }

    /// Each key is taken from the first source that has it. Log level and timeout are left at their defaults.
    private init(sources: [JSONFields], folder: String, environment: Environment) throws(JSONDecodingError) {
        func string(_ names: String...) throws(JSONDecodingError) -> String? { try first(of: names) }
        func path(_ names: String...) throws(JSONDecodingError) -> String? {
            guard let path = try first(of: names) else { return nil }
            return path.hasPrefix("/") ? path : "\(folder)/\(path)"
        }
        func first(of names: [String]) throws(JSONDecodingError) -> String? {
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

    private static func logLevel(_ sources: [JSONFields]) throws(CNIError) -> LogLevel {
        for source in sources {
            for name in ["logLevel", "log_level"] {
                let text = try CNIError.decoding { () throws(JSONDecodingError) in try source.string(name) }
                guard let text, !text.isEmpty else { continue }
                switch text.lowercased() {
                // whereabouts calls its levels debug, verbose, error and panic.
                case "debug": return .debug
                case "info", "verbose": return .info
                case "warning", "warn": return .warning
                case "error", "panic": return .error
                default:
                    throw CNIError(
                        invalid: source.error(name, "\"\(text)\" is unknown; use debug, info, warning or error"))
                }
            }
        }
        return .info
    }

    private static func timeoutSeconds(_ sources: [JSONFields]) throws(CNIError) -> Int {
        for source in sources {
            let seconds = try CNIError.decoding { () throws(JSONDecodingError) in try source.int("timeoutSeconds") }
            guard let seconds else { continue }
            guard (1...120).contains(seconds) else {
                throw CNIError(invalid: source.error("timeoutSeconds", "\(seconds) is not between 1 and 120"))
            }
            return seconds
        }
        return defaultTimeoutSeconds
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
