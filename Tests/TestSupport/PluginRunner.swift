package import JSONText

/// Executes a CNI plugin as a container runtime does.
package struct PluginRunner: Sendable {
    /// An absolute path: `berth` itself, or a main plugin, which then finds `berth` in `path`.
    package var executable: String
    /// CNI_PATH
    package var path: [String]

    /// - Parameter path: nil is the folder of the executable.
    package init(executable: String, path: [String]? = nil) {
        self.executable = executable
        self.path = path ?? [Self.folder(of: executable)]
    }

    /// The plugin that the tests are about: BERTH_TEST_PLUGIN (an absolute path), else `dist/berth`, else
    /// `.build/debug/berth`.
    package static func berth() throws -> PluginRunner {
        if let path = Environment.value("BERTH_TEST_PLUGIN") {
            guard path.hasPrefix("/"), Files.isExecutable(path) else {
                throw TestSetUpError("BERTH_TEST_PLUGIN is not the absolute path of an executable: \(path)")
            }
            return PluginRunner(executable: path)
        }
        let candidates = ["dist/berth", ".build/debug/berth"].map { "\(Repository.root)/\($0)" }
        guard let executable = candidates.first(where: Files.isExecutable) else {
            throw TestSetUpError("no plugin to test: run hack/build.sh, or set BERTH_TEST_PLUGIN")
        }
        return PluginRunner(executable: executable)
    }

    /// One of Debian's containernetworking-plugins, for example `bridge`, which calls the same `berth` for its IPAM.
    package func under(_ mainPlugin: String, in folder: String = "/usr/lib/cni") throws -> PluginRunner {
        let main = "\(folder)/\(mainPlugin)"
        guard Files.isExecutable(main) else {
            throw TestSetUpError("\(main) is missing: run hack/setup.sh (package containernetworking-plugins)")
        }
        return PluginRunner(executable: main, path: [Self.folder(of: executable), folder])
    }

    private static func folder(of path: String) -> String {
        path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
    }

    /// Runs a call to its end. A cancelled task kills the plugin.
    ///
    /// - Parameter killAfter: Sends SIGKILL so long after the start.
    package func run(_ call: PluginCall, killAfter: Duration? = nil) async throws -> PluginOutcome {
        PluginOutcome(try await command(call, killAfter: killAfter).run())
    }

    /// Starts a call, for a test that wants to see it running or to kill it at an event.
    package func start(_ call: PluginCall) throws -> RunningPlugin { RunningPlugin(try command(call).start()) }

    private func command(_ call: PluginCall, killAfter: Duration? = nil) -> Command {
        var environment = call.environment(path: path.joined(separator: ":"))
        environment["PATH"] = Environment.value("PATH") ?? "/usr/sbin:/usr/bin:/sbin:/bin"
        for (name, value) in call.environment { environment[name] = value }
        return Command(executable, environment: environment, stdin: call.stdin, killAfter: killAfter)
    }
}

/// What a runtime tells a plugin.
package struct PluginCall: Sendable {
    /// CNI_COMMAND: `ADD`, `DEL`, `CHECK`, `GC`, `STATUS`, `VERSION`; nil leaves it out.
    package var command: String?
    package var containerID: String?
    /// Empty is set and empty, as in the later DELs of a sandbox.
    package var netns: String?
    package var interface: String?
    /// CNI_ARGS
    package var arguments: String?
    package var stdin: [UInt8]
    /// More variables, or other values.
    package var environment: [String: String] = [:]

    package init(
        _ command: String?, containerID: String? = nil, netns: String? = nil, interface: String? = nil,
        arguments: String? = nil, configuration: JSON = [:]
    ) {
        self.command = command
        self.containerID = containerID
        self.netns = netns
        self.interface = interface
        self.arguments = arguments
        stdin = configuration.serialized()
    }

    fileprivate func environment(path: String) -> [String: String] {
        let variables = [
            "CNI_COMMAND": command, "CNI_CONTAINERID": containerID, "CNI_NETNS": netns, "CNI_IFNAME": interface,
            "CNI_ARGS": arguments, "CNI_PATH": path,
        ]
        return variables.compactMapValues(\.self)
    }
}

/// How a call ended.
package struct PluginOutcome: Sendable, CustomStringConvertible {
    /// The error object that a plugin prints.
    package struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
        package let code: Int
        package let message: String
        package let details: String

        package init(code: Int, message: String, details: String = "") {
            self.code = code
            self.message = message
            self.details = details
        }

        package var description: String { "code \(code): \(message)\(details.isEmpty ? "" : "; \(details)")" }
    }

    package let process: ProcessOutcome
    /// What was printed, when it is JSON.
    package let output: JSON?
    /// Of a call that did not exit with status 0.
    package let failure: Failure?

    package init(_ process: ProcessOutcome) {
        self.process = process
        output = try? JSON(parsing: process.output)
        failure = process.succeeded ? nil : output.flatMap(Failure.init)
    }

    package var succeeded: Bool { process.succeeded }
    package var duration: Duration { process.duration }

    /// What a successful call printed: the result of an ADD.
    package var result: JSON? { succeeded ? output : nil }

    /// The addresses of a result, without their prefix lengths, in its order and of each version of CNI.
    package var addresses: [String] {
        interfaceAddresses.map { String($0.prefix { $0 != "/" }) }
    }

    /// The addresses of a result with their prefix lengths, for example `10.0.0.7/24`.
    package var interfaceAddresses: [String] {
        if let ips = result?["ips"]?.array { return ips.compactMap { $0["address"]?.string } }
        return ["ip4", "ip6"].compactMap { result?[$0]?["ip"]?.string }
    }

    /// Itself, when it succeeded.
    ///
    /// - Throws: `PluginFailure` with all that the process said.
    @discardableResult
    package func checked() throws -> PluginOutcome {
        guard succeeded else { throw PluginFailure(outcome: self) }
        return self
    }

    package var description: String { process.description }
}

extension PluginOutcome.Failure {
    fileprivate init?(_ json: JSON) {
        guard let code = json["code"]?.int, let message = json["msg"]?.string else { return nil }
        self.init(code: code, message: message, details: json["details"]?.string ?? "")
    }
}

/// A call that should have succeeded.
package struct PluginFailure: Error, CustomStringConvertible {
    package let outcome: PluginOutcome

    package var description: String { outcome.description }
}

/// A call under way.
package struct RunningPlugin: Sendable {
    package let process: RunningProcess

    fileprivate init(_ process: RunningProcess) { self.process = process }

    /// SIGKILL, to the process that was started alone.
    package func kill() { process.kill() }

    /// Waits for the end of the process and of those that hold its output.
    package func outcome() async -> PluginOutcome { PluginOutcome(await process.outcome()) }
}

/// The tests cannot run here, and what a person can do about it.
package struct TestSetUpError: Error, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}
