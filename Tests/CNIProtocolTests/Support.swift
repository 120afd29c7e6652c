import CNIProtocol
import IPAddressing
import JSONText
import Testing

/// A plugin that records what it is asked and answers what it is told.
final class FakePlugin: CNIPlugin {
    var added: [AttachmentRequest] = []
    var deleted: [AttachmentRequest] = []
    var checked: [AttachmentRequest] = []
    var collected: [NetworkRequest] = []
    var asked: [NetworkRequest] = []

    var result = CNIResult(ips: [])
    var failure: CNIError?

    var callCount: Int { added.count + deleted.count + checked.count + collected.count + asked.count }

    init(_ addresses: String...) throws {
        result = CNIResult(ips: try addresses.map { ResultIP(address: try IPInterfaceAddress(parsing: $0)) })
    }

    func add(_ request: AttachmentRequest) throws(CNIError) -> CNIResult {
        added.append(request)
        if let failure { throw failure }
        return result
    }

    func del(_ request: AttachmentRequest) throws(CNIError) {
        deleted.append(request)
        if let failure { throw failure }
    }

    func check(_ request: AttachmentRequest) throws(CNIError) {
        checked.append(request)
        if let failure { throw failure }
    }

    func gc(_ request: NetworkRequest) throws(CNIError) {
        collected.append(request)
        if let failure { throw failure }
    }

    func status(_ request: NetworkRequest) throws(CNIError) {
        asked.append(request)
        if let failure { throw failure }
    }
}

/// What a call of the dispatcher left behind.
struct Outcome {
    var status: Int32
    /// One element for each write.
    var outputs: [[UInt8]] = []
    var errorOutput = ""
    var reads = 0

    var output: String { outputs.map { String(decoding: $0, as: UTF8.self) }.joined() }
    var json: JSON? { try? JSON(parsing: Array(outputs.joined())) }
    var code: Int? { json?["code"]?.int }
    var message: String { json?["msg"]?.string ?? "" }
}

enum StandardInput {
    case bytes([UInt8])
    case broken

    static func text(_ text: String) -> StandardInput { .bytes(Array(text.utf8)) }
}

/// Runs the dispatcher once.
func dispatch(
    _ environment: [String: String], _ input: StandardInput, arguments: [String] = [], outputWorks: Bool = true,
    plugin: FakePlugin? = nil
) throws -> Outcome {
    let plugin = try plugin ?? FakePlugin("10.0.0.7/24")
    var outcome = Outcome(status: -1)
    let invocation = Invocation(
        environment: Environment(environment),
        arguments: arguments,
        readStandardInput: {
            outcome.reads += 1
            return switch input {
            case .bytes(let bytes): .success(bytes)
            case .broken: .failure(StandardInputError(reason: "Bad file descriptor"))
            }
        },
        writeStandardOutput: { bytes in
            if outputWorks { outcome.outputs.append(bytes) }
            return outputWorks
        },
        writeStandardError: { outcome.errorOutput += String(decoding: $0, as: UTF8.self) }
    )
    outcome.status = Dispatcher(name: "berth", version: "1.2.3", plugin: plugin, invocation: invocation).run()
    return outcome
}

/// The variables of a call for one attachment.
func environment(_ command: String, _ changes: [String: String] = [:]) -> [String: String] {
    let base = [
        "CNI_COMMAND": command, "CNI_CONTAINERID": "c1", "CNI_NETNS": "/run/netns/a", "CNI_IFNAME": "eth0",
        "CNI_PATH": "/opt/cni/bin",
    ]
    return base.merging(changes) { $1 }
}

/// A configuration as JSON text: valid, with members put in place of or beside its own. Null counts as absent.
func configuration(_ members: JSON = [:], version: String = "1.1.0") -> String {
    var json: JSON = [
        "cniVersion": .string(version), "name": "net", "type": "bridge", "ipam": ["type": "berth"],
    ]
    for member in members.object?.members ?? [] { json[member.name] = member.value }
    return json.description
}

func parseConfiguration(
    _ members: JSON = [:], version: String = "1.1.0", for command: CNICommand = .add
) throws -> NetworkConfiguration {
    let json = try JSON(parsing: configuration(members, version: version))
    return try NetworkConfiguration(JSONFields(json), for: command)
}

/// The error that a body throws, which must be a `CNIError`.
func cniError(_ body: () throws -> Void) -> CNIError? {
    do {
        try body()
        return nil
    } catch {
        return error as? CNIError
    }
}

/// SplitMix64: the same numbers in every run.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

extension CNIArguments {
    init(environment: [String: String], command: CNICommand) throws(CNIError) {
        try self.init(environment: Environment(environment), command: command)
    }
}
