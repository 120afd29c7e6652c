import ControllerHTTP
import Glibc
import IPAMAPI
import IPAMLedger
import IPAMNode
import JSONText
import KubernetesClient
import KubernetesCore
import KubernetesRuntime
import Logging
import Synchronization
import TestSupport
import Testing

/// A node with the real plugin, sandboxes that are real network namespaces, and an agent that runs in this process.
///
/// The host is this machine, but for its first process, which tests may not look into: a folder stands for /proc.
final class NodeRig: Sendable {
    let controlPlane: ControlPlane
    let subnets: TestSubnets
    let node: TestNode
    /// Where the requests of agent and plugin pass, when the test asked for one.
    let proxy: FaultProxy?
    let ledger: ObservedNode
    private let made = Mutex(Made())

    private struct Made: Sendable {
        var pools: [String] = []
        var pods: [TestPod] = []
        var namespaces: [String] = []
    }

    static func run<Answer: Sendable>(
        throughProxy: Bool = false, _ body: @Sendable @escaping (NodeRig) async throws -> Answer
    ) async throws -> Answer {
        guard geteuid() == 0 else { throw TestSetUpError("network namespaces need root: run hack/test.sh as root") }
        let controlPlane = try await ControlPlane.ready()
        guard throughProxy else { return try await lend(controlPlane, nil, body) }
        return try await controlPlane.withFaultProxy { try await lend(controlPlane, $0, body) }
    }

    private static func lend<Answer: Sendable>(
        _ controlPlane: ControlPlane, _ proxy: FaultProxy?,
        _ body: @Sendable @escaping (NodeRig) async throws -> Answer
    ) async throws -> Answer {
        let rig = try await NodeRig(controlPlane, proxy)
        let connection = try AsyncConnection(try controlPlane.adminConfiguration())
        return try await withThrowingTaskGroup(of: Answer?.self) { group in
            group.addTask {
                try await rig.ledger.run(on: connection, node: rig.node.name)
                return nil
            }
            group.addTask {
                let answer: Answer
                do {
                    answer = try await body(rig)
                } catch {
                    try? await rig.removeEverything()
                    throw error
                }
                try await rig.removeEverything()
                return answer
            }
            defer { group.cancelAll() }
            while let answer = try await group.next() {
                if let answer { return answer }
            }
            throw TestSetUpError("the test did not end")
        }
    }

    private init(_ controlPlane: ControlPlane, _ proxy: FaultProxy?) async throws {
        self.controlPlane = controlPlane
        self.proxy = proxy
        subnets = Subnets.next()
        ledger = ObservedNode()
        node = try await TestNode(controlPlane, name: subnets.name("node"), through: proxy)
        for part in ["bin", "proc", "proc/1", "proc/9999", "proc/9999/ns", "run"] {
            try Files.makeFolder("\(node.folder)/\(part)")
        }
        guard symlink("net:[1]", "\(node.folder)/proc/9999/ns/net") == 0 else { throw TestSetUpError("no namespace") }
        guard symlink("/", "\(node.folder)/proc/1/root") == 0 else { throw TestSetUpError("no link to the root") }
        try Files.write("\(node.folder)/proc/9999/cgroup", "0::/system.slice/sshd.service\n")
        try Files.write("\(node.folder)/agent-token", try await controlPlane.token(of: .node))
    }

    private func removeEverything() async throws {
        try await Task.detached { [self] in
            let made = made.withLock(\.self)
            for path in made.namespaces { _ = try await TestSupport.run("umount", ["--quiet", path]) }
            for pod in made.pods { try await controlPlane.delete(pod) }
            try await controlPlane.withAdmin { [name = node.name] client in
                _ = try? client.delete(
                    .leases, namespace: "berth-system", name: name, preconditions: nil, deadline: .soon)
            }
            try await controlPlane.removePools(made.pools)
            try node.remove()
        }.value
    }

    // MARK: The agent

    /// As an administrator would set it, but faster.
    func settings() -> NodeAgentSettings {
        var settings = NodeAgentSettings(node: node.name)
        settings.paths.pluginSource = node.runner.executable
        settings.paths.pluginFolder = "\(node.folder)/bin"
        settings.paths.configFolder = node.folder
        settings.paths.journalFolder = node.journal
        settings.paths.machineIDFile = "\(node.folder)/machine-id"
        settings.paths.pluginLogFile = node.logFile
        settings.paths.tokenFile = "\(node.folder)/agent-token"
        settings.paths.stateFile = "\(node.folder)/run/state.json"
        settings.paths.proc = "\(node.folder)/proc"
        settings.plugin.logLevel = .debug
        settings.tick = .milliseconds(100)
        settings.interval = .milliseconds(500)
        settings.passInterval = .milliseconds(500)
        settings.leaseDuration = .seconds(4)
        settings.judgement.confirmation = .milliseconds(300)
        settings.judgement.gracePeriod = .milliseconds(600)
        settings.judgement.minimumAge = .milliseconds(500)
        settings.judgement.watchLag = .milliseconds(100)
        settings.judgement.visibleFolders.insert("\(node.folder)/netns")
        return settings
    }

    /// Runs an agent while `body` does.
    func withAgent<Answer: Sendable>(
        _ change: @Sendable (inout NodeAgentSettings) -> Void = { _ in },
        _ body: @Sendable @escaping (RunningAgent) async throws -> Answer
    ) async throws -> Answer {
        var settings = settings()
        change(&settings)
        let running = RunningAgent()
        let configuration = try await controlPlane.configuration(as: .node, through: proxy)
        let agent = try NodeAgent(
            settings, holder: "test-\(UInt32.random(in: 0...UInt32.max))", registry: running.metrics,
            logger: Logger(label: "agent") { _ in SwiftLogNoOpLogHandler() },
            load: { () throws(ConfigurationError) in configuration },
            observe: { [looks = running.looks] checks in looks.update { $0 = ($0.0 + 1, checks) } })
        return try await withThrowingTaskGroup(of: Answer?.self) { group in
            group.addTask {
                try await agent.run()
                return nil
            }
            group.addTask { try await body(running) }
            var answer: Answer?
            while answer == nil, let next = try await group.next() { answer = next }
            group.cancelAll()
            while let _ = try? await group.next() {}
            guard let answer else { throw TestSetUpError("the agent ended by itself") }
            return answer
        }
    }

    // MARK: Making things

    func makePool(_ suffix: String = "pool", cooldown: String = "0s", _ spec: JSON = [:]) async throws -> String {
        let name = subnets.name(suffix)
        var spec = spec
        if spec["subnet"] == nil { spec["subnet"] = .string(subnets.subnet4) }
        spec["cooldown"] = .string(cooldown)
        made.withLock { $0.pools.append(name) }
        try await controlPlane.makePool(name, spec)
        return name
    }

    func makePod(_ suffix: String, configHash: String? = nil) async throws -> TestPod {
        let pod = try await controlPlane.makePod(subnets.name(suffix), node: node.name, configHash: configHash)
        made.withLock { $0.pods.append(pod) }
        return pod
    }

    /// One that the test has made, to be deleted at the end.
    func remember(_ pod: TestPod) -> TestPod {
        made.withLock { $0.pods.append(pod) }
        return pod
    }

    /// A sandbox whose network namespace is a real one.
    func makeSandbox(_ pod: TestPod?) async throws -> TestSandbox {
        let sandbox = try node.newSandbox(pod: pod)
        try await makeNamespace(sandbox)
        return sandbox
    }

    /// Makes the sandbox's namespace, or another one in its place.
    func makeNamespace(_ sandbox: TestSandbox) async throws {
        if !Files.exists(sandbox.netns) { try Files.write(sandbox.netns, "") }
        try await runChecked("unshare", ["--net=\(sandbox.netns)", "true"])
        made.withLock { $0.namespaces.append(sandbox.netns) }
    }

    /// As when the machine loses the sandbox, or the runtime removes it without a DEL.
    func kill(_ sandbox: TestSandbox, removesPath: Bool = true) async throws {
        try await runChecked("umount", [sandbox.netns])
        if removesPath { try Files.remove(sandbox.netns) }
    }

    /// A pod with a sandbox and what the plugin gave it.
    func start(_ suffix: String, pool: String) async throws -> Started {
        let pod = try await makePod(suffix)
        return try await start(try await makeSandbox(pod), pool: pool)
    }

    func start(_ sandbox: TestSandbox, pool: String) async throws -> Started {
        let outcome = try await node.add(sandbox, node.configuration(pools: [pool])).checked()
        let address = try #require(outcome.addresses.first)
        let allocation = try #require(try await controlPlane.allocation(address))
        try await ledger.waitUntilSeen(allocation)
        return Started(sandbox: sandbox, address: address, name: allocation.metadata.name, allocation: allocation)
    }

    /// A claim that pods name in an annotation.
    func makeClaim(_ suffix: String) async throws -> String {
        let name = subnets.name(suffix)
        let object: JSON = [
            "apiVersion": .string(BerthAPI.apiVersion), "kind": "IPClaim",
            "metadata": ["name": .string(name), "namespace": "default"], "spec": [:],
        ]
        try await controlPlane.apply(object)
        return name
    }

    func deleteAllocation(_ name: String) async throws {
        try await controlPlane.withAdmin { client in
            _ = try client.delete(.ipAllocations, name: name, preconditions: nil, deadline: .soon)
        }
    }

    func patch(_ name: String, _ patch: JSON) async throws {
        _ = try await controlPlane.withAdmin {
            try $0.patch(.ipAllocations, name: name, patch: .merge(patch), deadline: .soon)
        }
    }

    /// Releases of which the agent has proof while the test looks: what was not freed by then, is not freed.
    func waitForSentinel(_ suffix: String = "sentinel", pool: String) async throws {
        let sentinel = try await start(suffix, pool: pool)
        try await kill(sentinel.sandbox)
        try await ledger.waitUntilGone(sentinel.name)
    }

    // MARK: The journal

    func entryPath(_ sandbox: TestSandbox) -> String { "\(node.journal)/entries/\(sandbox.attachment().digest)" }

    /// Lets the journal look as if it was written before the last boot.
    func reboot(_ sandboxes: [TestSandbox]) throws {
        let journal = Journal(
            folder: node.journal, bootID: "an earlier one", node: node.name, machineID: node.machineID,
            now: { Moment.now() })
        for sandbox in sandboxes {
            var entry = try JournalEntry(JSON(parsing: Files.read(entryPath(sandbox))))
            entry.bootID = journal.bootID
            try journal.write(entry)
        }
        try rebootGeneration()
    }

    func rebootGeneration() throws {
        var generation = try JSON(parsing: Files.read("\(node.journal)/generation"))
        generation["bootID"] = "an earlier one"
        try Files.write("\(node.journal)/generation", generation.description)
    }

    /// Lets a process of the host be one of a pod, but not of its sandbox.
    func setProcess(ofPod pod: TestPod) throws {
        let uid = String(pod.uid.map { $0 == "-" ? "_" : $0 })
        try Files.write("\(node.folder)/proc/9999/cgroup", "0::/kubepods.slice/kubepods-pod\(uid).slice/crio-1.scope\n")
    }

    /// Lets a process of the host be one of a sandbox.
    func setProcess(_ sandbox: TestSandbox?) throws {
        let group = sandbox.map { "/kubepods.slice/cri-containerd-\($0.containerID).scope" } ?? "/system.slice"
        try Files.write("\(node.folder)/proc/9999/cgroup", "0::\(group)\n")
    }
}

/// A sandbox with the address that the plugin gave it.
struct Started: Sendable {
    let sandbox: TestSandbox
    let address: String
    let name: String
    let allocation: IPAllocation
}

/// An agent while a test runs it.
struct RunningAgent: Sendable {
    let metrics = MetricsRegistry()
    let looks = Observed<(Int, [ReadinessCheck])>((0, []))

    func waitUntilReady() async throws {
        _ = try await looks.wait(for: "readiness") { $0.0 > 0 && $0.1.allSatisfy { $0.problem == nil } ? true : nil }
    }

    /// Waits until a check has a problem, and gives it.
    func waitForProblem(_ name: String, containing text: String = "") async throws -> String {
        try await looks.wait(for: "a problem of \(name)") { looks in
            looks.1.first { $0.name == name }?.problem.flatMap { $0.contains(text) ? $0 : nil }
        }
    }

    /// Waits for a look that began after now.
    func waitForLook() async throws {
        let count = looks.value.0
        _ = try await looks.wait(for: "another look") { $0.0 > count + 1 ? true : nil }
    }

    func metric(_ series: String) -> Double? {
        for line in metrics.render().split(separator: "\n") where line.hasPrefix(series + " ") {
            return Double(line.dropFirst(series.count + 1))
        }
        return nil
    }

    func waitForMetric(_ series: String, _ value: Double) async throws {
        try await waitForMetric(series, "\(value)") { $0 == value }
    }

    /// For a counter that goes on growing.
    func waitForMetric(_ series: String, atLeast value: Double) async throws {
        try await waitForMetric(series, "at least \(value)") { $0 >= value }
    }

    private func waitForMetric(_ series: String, _ what: String, _ isSo: (Double) -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while metric(series).map(isSo) != true {
            guard ContinuousClock.now < deadline else {
                throw TestSetUpError("\(series) is \(metric(series) ?? -1), not \(what)")
            }
            // Metrics are for scrapers, who poll too.
            try await Task.sleep(for: .milliseconds(10))
        }
    }
}

/// What an administrator sees of the node's part of the ledger, and of Events.
final class ObservedNode: Sendable {
    let allocations = Observed<[String: JSON]>([:])
    let events = Observed<[JSON]>([])
    let leases = Observed<[String: JSON]>([:])
    private let seen = Observed<Set<String>>([])

    func run(on connection: AsyncConnection, node: String) async throws {
        try await withThrowingTaskGroup { group in
            let ledger = ObjectStore { $0 }
            ledger.observe { [allocations, seen] deltas in
                allocations.update { known in
                    for delta in deltas {
                        switch delta {
                        case .added(let key, let object), .changed(let key, _, let object):
                            known[key.name] = object.value
                        case .deleted(let key, _), .unreadable(let key, _, _): known[key.name] = nil
                        }
                    }
                }
                let uids = deltas.compactMap { delta -> String? in
                    if case .added(_, let object) = delta { object.uid } else { nil }
                }
                seen.update { $0.formUnion(uids) }
            }
            group.addTask { try await Watcher(WatchScope(.ipAllocations), on: connection, into: ledger).run() }
            let events = ObjectStore { $0 }
            events.observe { [observed = self.events] deltas in
                let new = deltas.compactMap { delta -> JSON? in
                    if case .added(_, let object) = delta { object.value } else { nil }
                }
                observed.update { $0 += new }
            }
            group.addTask { try await Watcher(WatchScope(.events), on: connection, into: events).run() }
            let leases = ObjectStore { $0 }
            leases.observe { [observed = self.leases] deltas in
                observed.update { known in
                    for case .added(let key, let object) in deltas { known[key.name] = object.value }
                    for case .changed(let key, _, let object) in deltas { known[key.name] = object.value }
                }
            }
            group.addTask {
                try await Watcher(
                    WatchScope(.leases, namespace: "berth-system", labelSelector: AgentMark.selector), on: connection,
                    into: leases
                ).run()
            }
            try await group.waitForAll()
        }
    }

    func waitUntilSeen(_ allocation: IPAllocation) async throws {
        let uid = allocation.metadata.uid
        try await seen.wait(for: allocation.metadata.name) { seen -> Void? in seen.contains(uid) ? () : nil }
    }

    func waitUntilGone(_ name: String) async throws {
        _ = try await allocations.wait(for: "the release of \(name)", within: .seconds(40)) {
            $0[name] == nil ? true : nil
        }
    }

    func waitForState(_ name: String, _ state: String) async throws {
        _ = try await allocations.wait(for: "\(name) in the state \(state)", within: .seconds(40)) { objects -> Bool? in
            objects[name]?["spec"]?["state"]?.string == state ? true : nil
        }
    }

    /// Waits until an attachment holds an address.
    func waitForHolder(_ name: String, _ holder: IPAMAPI.Attachment) async throws {
        _ = try await allocations.wait(for: "\(holder) with \(name)", within: .seconds(40)) { objects -> Bool? in
            objects[name].flatMap { try? IPAllocation($0) }?.spec.attachment == holder ? true : nil
        }
    }

    /// Waits until another object of the name is held by an attachment.
    func waitForNewHolder(_ old: IPAllocation, _ holder: IPAMAPI.Attachment) async throws {
        _ = try await allocations.wait(for: "\(holder) with \(old.metadata.name)", within: .seconds(40)) {
            objects -> Bool? in
            let found = objects[old.metadata.name].flatMap { try? IPAllocation($0) }
            return found?.spec.attachment == holder && found?.metadata.uid != old.metadata.uid ? true : nil
        }
    }

    func waitForEvent(about name: String, reason: String) async throws -> String {
        try await events.wait(for: "the event \(reason) about \(name)", within: .seconds(40)) { events in
            events.first { $0["involvedObject"]?["name"]?.string == name && $0["reason"]?.string == reason }?[
                "message"]?
                .string
        }
    }

    func waitForLease(_ node: String) async throws -> JSON {
        try await leases.wait(for: "the Lease of \(node)", within: .seconds(40)) { $0[node] }
    }
}

extension ServiceAccount {
    /// The agent's, with the roles of config/rbac; the plugin shows its token too.
    static let node = ServiceAccount(namespace: "berth-system", name: "berth-node")
}
