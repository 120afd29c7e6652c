import JSONText

/// Runs one call of the plugin.
///
/// - Flow: `--help`, `--version` or no `CNI_COMMAND` give a text about the plugin; any other argument gives it too, on
///   standard error, with status 2: no runtime passes one. Else standard input is read, once; the
///   environment, then the configuration is validated; the verb's method is called; its result or error is written to
///   standard output as one JSON object in one write.
/// - Guarantees: Every failure is an error object with a code of ``CNIError/allCodes`` and a status that is not 0. An error
///   never follows a printed result. A result that could not be written is undone by ``CNIPlugin/discard(_:)``.
/// - Assumptions: The plugin's methods return; their deadlines are theirs.
package struct Dispatcher<Plugin: CNIPlugin> {
    package static var success: Int32 { 0 }
    package static var failure: Int32 { 1 }
    /// Somebody at a terminal called it with arguments that it does not have.
    package static var misuse: Int32 { 2 }

    /// The executable's name and version, for the text about the plugin.
    private let name: String
    private let version: String
    private let plugin: Plugin
    private let invocation: Invocation

    package init(name: String, version: String, plugin: Plugin, invocation: Invocation) {
        self.name = name
        self.version = version
        self.plugin = plugin
        self.invocation = invocation
    }

    /// Returns the exit status.
    package func run() -> Int32 {
        if invocation.arguments.contains(where: { ["--help", "-h", "--version"].contains($0) }) {
            return invocation.writeStandardOutput(about) ? Self.success : Self.failure
        }
        if let argument = invocation.arguments.first {
            report("unknown argument \"\(argument)\"")
            invocation.writeStandardError(about)
            return Self.misuse
        }
        guard let command = invocation.environment["CNI_COMMAND"], !command.isEmpty else {
            invocation.writeStandardError(about)
            return Self.success
        }
        let input = Input(invocation.readStandardInput())
        do throws(CNIError) {
            return try perform(command, input)
        } catch {
            return answer(error, version: input.errorVersion)
        }
    }

    private var about: [UInt8] {
        Array(
            """
            \(name) \(version), an IPAM plugin for the Container Network Interface (CNI)
            CNI specification versions: \(CNIVersion.list)
            A container runtime executes it; it takes no arguments.

            """.utf8)
    }

    private func perform(_ text: String, _ input: Input) throws(CNIError) -> Int32 {
        guard let command = CNICommand(rawValue: text) else {
            throw CNIError(
                code: CNIError.invalidEnvironment,
                message: "CNI_COMMAND \"\(text)\" is unknown",
                details: "known commands: \(CNICommand.allCases.map(\.rawValue).joined(separator: ", "))"
            )
        }
        switch command {
        case .version: return answerVersion(input)
        case .add:
            let request = try attachmentRequest(command, input)
            return try answer(plugin.add(request), to: request)
        case .del: try plugin.del(attachmentRequest(command, input))
        case .check: try plugin.check(attachmentRequest(command, input))
        case .gc: try plugin.gc(networkRequest(command, input))
        case .status: try plugin.status(networkRequest(command, input))
        }
        return Self.success
    }

    private func attachmentRequest(_ command: CNICommand, _ input: Input) throws(CNIError) -> AttachmentRequest {
        let arguments = try CNIArguments(environment: invocation.environment, command: command)
        let configuration = try NetworkConfiguration(input.fields.get(), for: command)
        return AttachmentRequest(
            configuration: configuration,
            arguments: arguments,
            requestedAddresses: command == .add ? try configuration.requestedAddresses(arguments.cniArgs) : [],
            trace: TraceContext(environment: invocation.environment)
        )
    }

    private func networkRequest(_ command: CNICommand, _ input: Input) throws(CNIError) -> NetworkRequest {
        NetworkRequest(
            configuration: try NetworkConfiguration(input.fields.get(), for: command),
            trace: TraceContext(environment: invocation.environment)
        )
    }
}

// MARK: - Answers

extension Dispatcher {
    /// VERSION answers whatever standard input holds: a runtime of a newer specification, or of 0.2.0, which writes no
    /// document, asks it to learn what the two have in common.
    private func answerVersion(_ input: Input) -> Int32 {
        let json: JSON = [
            "cniVersion": .string(input.requestedVersion ?? CNIVersion.newest.rawValue),
            "supportedVersions": .strings(CNIVersion.allCases.map(\.rawValue)),
        ]
        guard write(json) else {
            report("the answer to VERSION could not be written to standard output")
            return Self.failure
        }
        return Self.success
    }

    private func answer(_ result: CNIResult, to request: AttachmentRequest) throws(CNIError) -> Int32 {
        let json: JSON
        do throws(CNIError) {
            json = try result.json(for: request.version)
        } catch {
            discard(result, of: request)
            throw error
        }
        guard write(json) else {
            let end = result.isRepeated ? "a DEL takes back what an earlier ADD gave" : "undoing it"
            report("the result of ADD could not be written to standard output; \(end)")
            discard(result, of: request)
            return Self.failure
        }
        return Self.success
    }

    private func answer(_ error: CNIError, version: CNIVersion) -> Int32 {
        if !write(error.json(version: version)) {
            report("an error could not be written to standard output: \(error)")
        }
        return Self.failure
    }

    /// Undoes an ADD, unless an earlier one has returned some of its result.
    private func discard(_ result: CNIResult, of request: AttachmentRequest) {
        guard !result.isRepeated else { return }
        do throws(CNIError) {
            try plugin.discard(request)
        } catch {
            report("undoing the ADD failed: \(error)")
        }
    }

    private func write(_ json: JSON) -> Bool {
        invocation.writeStandardOutput(json.serialized() + [UInt8(ascii: "\n")])
    }

    private func report(_ text: String) {
        invocation.writeStandardError(Array("\(name): \(text)\n".utf8))
    }
}
