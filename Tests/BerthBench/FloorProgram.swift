import IPAMAPI
import IPAddressing
import JSONText
import KubernetesCore
import TestSupport

/// The C programs of hack/bench, which do what a call of the plugin does on the wire and nothing else.
struct FloorProgram: Sendable {
    static let name = "C program"
    private static let variable = "BERTH_BENCH_FLOOR"
    private static let measureVariable = "BERTH_BENCH_MEASURE"

    private let folder: String
    private let server: String
    private let caFile: String
    private let tokenFile: String

    /// - Parameters:
    ///   - scratch: A folder for the CA's file.
    ///   - node: Whose token is shown.
    init(_ controlPlane: ControlPlane, node: TestNode, scratch: String) throws {
        guard let folder = Environment.value(Self.variable), Files.isExecutable("\(folder)/floor") else {
            throw TestSetUpError("\(Self.variable) names no folder that holds the C programs: run hack/bench.sh")
        }
        let target = try controlPlane.target()
        self.folder = folder
        server = "https://\(target.host):\(target.port)"
        caFile = "\(scratch)/ca.crt"
        tokenFile = node.tokenFile
        try Files.write(caFile, target.caPEM)
    }

    /// Does nothing.
    func empty() async throws -> ProcessOutcome { try await run("empty", []) }

    /// Makes libcurl ready.
    func start() async throws -> ProcessOutcome { try await run("floor", ["start"]) }

    /// The requests of one ADD.
    func add(_ pod: TestPod, _ allocation: IPAllocation.Spec) -> Command {
        command("floor", add(pod, pool: allocation.pool), stdin: allocation.newObject().serialized())
    }

    /// The request of a first DEL of what `add` answered.
    func release(_ created: ProcessOutcome) async throws -> ProcessOutcome {
        let metadata = try ObjectMetadata(JSONFields(JSON(parsing: created.output)))
        let patch = IPAllocation.releasePatch(
            at: Fillers.time, uid: metadata.uid, resourceVersion: metadata.resourceVersion)
        let path = ResourceType.ipAllocations.path(namespace: nil, name: metadata.name)
        return try await run("floor", connection + ["merge=\(path)?timeout=2s"], stdin: patch.serialized())
    }

    /// A command under a parent so small that it does not hide the command's peak memory.
    func measured(_ command: Command) -> Command {
        var measured = command
        measured.executable = program
        measured.environment?[Self.measureVariable] = command.executable
        return measured
    }

    /// The same for a plugin's call.
    func measured(_ call: PluginCall, of plugin: PluginRunner) async throws -> PluginOutcome {
        var runner = plugin
        runner.executable = program
        var call = call
        call.environment[Self.measureVariable] = plugin.executable
        return try await runner.run(call)
    }

    private var program: String { "\(folder)/floor" }

    private var connection: [String] { ["request", server, caFile, tokenFile] }

    private func add(_ pod: TestPod, pool: String) -> [String] {
        let podPath = ResourceType.pods.path(namespace: pod.namespace, name: pod.name)
        let poolPath = ResourceType.ipPools.path(namespace: nil, name: pool)
        let allocations = ResourceType.ipAllocations.path(namespace: nil, name: nil)
        return connection + ["meta=\(podPath)", "get=\(poolPath)", "post=\(allocations)?timeout=7s"]
    }

    private func command(_ program: String, _ arguments: [String], stdin: [UInt8] = []) -> Command {
        Command("\(folder)/\(program)", arguments, environment: [:], stdin: stdin)
    }

    private func run(_ program: String, _ arguments: [String], stdin: [UInt8] = []) async throws -> ProcessOutcome {
        try await command(program, arguments, stdin: stdin).run().checked()
    }
}

extension ProcessOutcome {
    /// Itself, when it succeeded.
    func checked() throws -> ProcessOutcome {
        guard succeeded else { throw TestSetUpError("\(self)") }
        return self
    }
}

/// What `floor` says of a program that it measured.
struct MemoryUse: Sendable {
    let peakKilobytes: Int
    let pageFaults: Int

    init(_ outcome: ProcessOutcome) throws {
        let line = outcome.errorText.split(separator: "\n").last ?? ""
        let fields = try JSONFields(JSON(parsing: String(line)))
        peakKilobytes = try fields.requiredInt("peakKilobytes")
        pageFaults = try fields.requiredInt("pageFaults")
    }
}
