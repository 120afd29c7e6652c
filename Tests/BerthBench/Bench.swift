import Glibc
import IPAMAPI
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport

/// What the parts of the benchmark share: nodes, pods, the C program.
struct Bench: Sendable {
    static let nodeCount = 5
    static let podCount = 100
    private static let warmUpCount = 3

    let options: Options
    let controlPlane: ControlPlane
    let nodes: [TestNode]
    /// Pod i is bound to node i modulo `nodeCount`.
    let pods: [TestPod]
    let floor: FloorProgram
    let plugin: PluginRunner
    private let prefix: String

    /// Measures what the options ask for, and removes what it made.
    static func measure(_ options: Options) async throws -> Report {
        let controlPlane = try await ControlPlane.ready()
        return try await Files.withTemporaryFolder("bench") { scratch in
            let bench = try await Bench(options, controlPlane, scratch: scratch)
            defer { for node in bench.nodes { try? node.remove() } }
            do {
                let report = try await bench.report()
                try await bench.cleanUp()
                return report
            } catch {
                try? await bench.cleanUp()
                throw error
            }
        }
    }

    private init(_ options: Options, _ controlPlane: ControlPlane, scratch: String) async throws {
        self.options = options
        self.controlPlane = controlPlane
        plugin = try PluginRunner.berth()
        let prefix = "bench-\(getpid())"
        self.prefix = prefix
        var nodes: [TestNode] = []
        for index in 0..<Self.nodeCount {
            nodes.append(try await Self.node(controlPlane, "\(prefix)-node-\(index)"))
        }
        self.nodes = nodes
        floor = try FloorProgram(controlPlane, node: nodes[0], scratch: scratch)
        say("making \(Self.podCount) pods on \(Self.nodeCount) nodes")
        var pods: [TestPod] = []
        for index in 0..<Self.podCount {
            let node = nodes[index % nodes.count].name
            pods.append(try await controlPlane.makePod("\(prefix)-\(index)-pod", node: node))
        }
        self.pods = pods
    }

    /// As on a real node, the log holds no debug lines.
    private static func node(
        _ controlPlane: ControlPlane, _ name: String, runner: PluginRunner? = nil
    ) async throws -> TestNode {
        try await TestNode(controlPlane, name: name, runner: runner, settings: ["logLevel": "info"])
    }

    private func report() async throws -> Report {
        var report = Report(machine: try await machine(), isQuick: options.isQuick)
        try await warmUp()
        for section in options.sections {
            say("\(section.rawValue): \(section.summary)")
            let figures = try await measure(section)
            // What is known survives a run that fails later.
            for figure in figures { say("  \(figure.summary)") }
            report.figures += figures
        }
        return report
    }

    private func measure(_ section: Section) async throws -> [Figure] {
        switch section {
        case .startup: try await startup()
        case .footprint: try await footprint()
        case .sequential: try await sequential()
        case .builds: try await builds()
        case .concurrent: try await concurrent()
        case .requests: try await requests()
        case .full: try await full()
        case .unreachable: try await unreachable()
        case .filled: try await filled()
        case .controller: try await controller()
        }
    }

    /// Fills the caches of the API server and of the kernel, and makes every node's journal whole.
    private func warmUp() async throws {
        let pool = try await pool("warm-up", cooldown: "0s")
        for index in 0..<(Self.warmUpCount * nodes.count) {
            let attachment = try attachment(index, pool.name)
            let added = try await attachment.add().checked()
            _ = try await attachment.del(after: added).checked()
        }
    }

    private func machine() async throws -> [(name: String, value: String)] {
        let version = try JSON(parsing: try await controlPlane.kubectl(["get", "--raw", "/version"]))
        let berth = try await run(plugin.executable, ["--version"]).outputText.prefix { $0 != "," }
        var names = utsname()
        uname(&names)
        let release = withUnsafeBytes(of: names.release) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        return [
            ("plugin", String(berth)), ("API server", version["gitVersion"]?.string ?? "unknown"),
            ("kernel", release), ("processors", "\(sysconf(Int32(_SC_NPROCESSORS_ONLN)))"),
            ("runs", options.isQuick ? "quick" : "full"),
        ]
    }

    /// What a temporary API server takes with it.
    private func cleanUp() async throws {
        guard options.isShared else { return }
        say("deleting what was made")
        let pools = try await controlPlane.withAdmin { [prefix] client in
            try client.list(.ipPools, deadline: .soon).items.compactMap { $0["metadata"]?["name"]?.string }
                .filter { $0.hasPrefix(prefix) }
        }
        for pool in pools {
            let names = try await controlPlane.allocations(pool: pool).map(\.metadata.name)
            try await Fillers.delete(names, controlPlane)
            _ = try await controlPlane.withAdmin {
                try $0.delete(.ipPools, name: pool, preconditions: nil, deadline: .soon)
            }
        }
        for pod in pods { try await controlPlane.delete(pod) }
    }

    // MARK: What the parts are made of

    /// A pool of its own subnet, whose name no other run uses.
    func pool(_ name: String, size: Int = 65_534, length: Int = 16, cooldown: String) async throws -> BenchPool {
        try await BenchPool.make(
            controlPlane, poolName(name), size: size, length: length, cooldown: cooldown)
    }

    func poolName(_ name: String) -> String { "\(prefix)-\(name)" }

    /// A node that nothing is known of yet.
    func newNode(_ name: String, runner: PluginRunner? = nil) async throws -> TestNode {
        try await Self.node(controlPlane, "\(prefix)-\(name)", runner: runner)
    }

    /// A new sandbox of pod `index` modulo their number, on the pod's node or another one.
    func attachment(_ index: Int, _ pools: String..., on node: TestNode? = nil) throws -> BenchAttachment {
        let node = node ?? nodes[index % nodes.count]
        return BenchAttachment(
            node: node, sandbox: try node.newSandbox(pod: pods[index % pods.count]),
            configuration: node.configuration(pools: pools))
    }

    /// What the C program is to create in place of an ADD of the same pod.
    func floorAllocation(_ index: Int, of pool: BenchPool) throws -> IPAllocation.Spec {
        guard let address = pool.range.lower.advanced(by: UInt128(index)), pool.range.contains(address) else {
            throw TestSetUpError("\(pool.name) has no address \(index)")
        }
        let node = nodes[index % nodes.count]
        let digits = String(index, radix: 16)
        let id = String(repeating: "f", count: 64 - digits.count) + digits
        return Fillers.spec(
            address, of: Fillers.Pool(name: pool.name, uid: pool.uid), node: node.name, machineID: node.machineID,
            attachment: Attachment(networkName: "net", containerID: id, interface: "eth0"),
            pod: pods[index % pods.count].reference)
    }

    /// Two things one after the other, each of them first every other time.
    func alternate<First, Second>(
        _ turn: Int, _ first: () async throws -> First, _ second: () async throws -> Second
    ) async throws -> (First, Second) {
        if turn.isMultiple(of: 2) {
            let a = try await first()
            return (a, try await second())
        }
        let b = try await second()
        return (try await first(), b)
    }
}

/// A sandbox's interface from ADD to DEL.
struct BenchAttachment: Sendable {
    let node: TestNode
    let sandbox: TestSandbox
    let configuration: JSON

    var addCall: PluginCall { node.call("ADD", sandbox, configuration) }

    func add() async throws -> PluginOutcome { try await node.runner.run(addCall) }

    func delCall(after added: PluginOutcome) -> PluginCall {
        var configuration = configuration
        configuration["prevResult"] = added.result
        return node.call("DEL", sandbox, configuration)
    }

    func del(after added: PluginOutcome) async throws -> PluginOutcome {
        try await node.runner.run(delCall(after: added))
    }

    func delAgain() async throws -> PluginOutcome { try await node.delAgain(sandbox, configuration) }

    func check(after added: PluginOutcome) async throws -> PluginOutcome {
        try await node.check(sandbox, configuration, previous: added)
    }
}
