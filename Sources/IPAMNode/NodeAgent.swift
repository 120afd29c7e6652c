package import ControllerHTTP
import IPAMAPI
import IPAMLedger
import IPAMOperation
package import KubernetesClient
import KubernetesCore
import KubernetesRuntime
package import Logging
import Synchronization

/// What an administrator can set of the agent's work.
package struct NodeAgentSettings: Sendable {
    package var node: String
    /// Of the agent's pod and of its Lease.
    package var namespace = "berth-system"
    /// The agent's own pod; nil where it runs in none.
    package var pod: String?
    package var paths = HostPaths()
    package var plugin = PluginOptions()
    /// Between two looks at the files of the host.
    package var tick: Duration = .seconds(2)
    /// Between two questions to the API server whether an ADD would work.
    package var interval: Duration = .seconds(10)
    package var leaseDuration: Duration = .seconds(40)
    package var judgement = JudgementSettings()
    /// Between two looks at all sandboxes that nothing asks for.
    package var passInterval: Duration = .seconds(10)

    package init(node: String) { self.node = node }
}

/// Everything that berth-node does besides answering HTTP.
///
/// Flow: one loop keeps the files of the host and finds out whether an ADD would work. Beside it the Lease is renewed.
///
/// Guarantees: nothing on the host is removed when it ends, for a node goes on working without its agent.
///
/// Caveats: `run` returns when its task is cancelled, and throws `ConfigurationChanged`.
package final class NodeAgent: Sendable {
    package typealias Load = @Sendable () throws(ConfigurationError) -> ClientConfiguration

    /// What only the thread of the host has.
    private struct HostThread {
        var keeper: HostKeeper
        var live = LiveCheck()
        let plugin: PluginConnection
    }

    private struct State {
        var machineID: String?
        var checks = NodeMetrics.checks.map { ReadinessCheck($0, problem: "not looked at yet") }
        var refusedToken: String?
        /// The problem that was told last, so that one is told once.
        var told: String?
        /// Of the Lease.
        var isAlone = true
    }

    private let settings: NodeAgentSettings
    private let load: Load
    private let initial: ClientConfiguration
    private let view: NodeView
    private let client: AsyncClient
    private let events: EventRecorder
    private let logger: Logger
    private let metrics: NodeMetrics
    private let host: HostWorker<HostThread>
    private let state = Mutex(State())
    private let bootID = HostMachine.bootID
    /// Read once: were it to change while the agent runs, every sandbox would look as if it were of an earlier boot.
    private let hostBootID: String
    private let holder: String
    private let observe: @Sendable ([ReadinessCheck]) -> Void

    /// - Parameters:
    ///   - load: How the agent reaches the API server; asked again at every look, for the CA may change.
    ///   - holder: Of this process alone.
    ///   - observe: Is told the checks after each look.
    package init(
        _ settings: NodeAgentSettings, holder: String, registry: MetricsRegistry, logger: Logger,
        load: @escaping Load, observe: @escaping @Sendable ([ReadinessCheck]) -> Void = { _ in }
    ) throws {
        self.settings = settings
        hostBootID = HostMachine.hostBootID(proc: settings.paths.proc)
        self.holder = holder
        self.logger = logger
        self.load = load
        self.observe = observe
        initial = try load()
        metrics = NodeMetrics(registry)
        view = NodeView(node: settings.node, on: try AsyncConnection(initial))
        client = AsyncClient(CountingTransport(try AsyncConnection(initial), APIRequestMetrics(registry)))
        events = EventRecorder(client, component: "berth-node", logger: logger) {
            Timestamp.rfc3339(secondsSince1970: HostMachine.wallTime())
        }
        let agent = AgentPresence.Agent(holder, bootID: HostMachine.bootID, started: .now())
        host = HostWorker {
            HostThread(
                keeper: HostKeeper(
                    node: settings.node, agent: agent, paths: settings.paths, options: settings.plugin,
                    logger: logger),
                plugin: PluginConnection(kubeconfig: settings.paths.kubeconfig))
        }
    }

    /// What an ADD needs, and what of it is missing.
    package var checks: [ReadinessCheck] { state.withLock(\.checks) }

    package func run() async throws {
        try await withThrowingTaskGroup { group in
            group.addTask { try await self.keepHost() }
            group.addTask {
                try await self.view.run { [metrics = self.metrics, logger = self.logger] store, report in
                    metrics.watched(store, report)
                    Self.log(store, report, logger)
                }
            }
            group.addTask {
                guard let machineID = try await self.waitForMachineID() else { return }
                try await self.lookAfterSandboxes(machineID)
            }
            group.addTask { await self.events.run() }
            try await group.waitForAll()
        }
    }

    // MARK: The host

    private func keepHost() async throws {
        let clock = client.clock
        var nextQuestion = clock.now()
        var live = LiveCheck.Answer(problem: "not asked yet")
        var journal = ReadinessCheck("journal", problem: "not looked at yet")
        while !Task.isCancelled {
            let server = Result { () throws(ConfigurationError) in try load() }
            try refuseOtherAuthority(server)
            let situation = state.withLock {
                HostKeeper.Situation(isAlone: $0.isAlone, refusedToken: $0.refusedToken)
            }
            let now = clock.now()
            let report = await host.run {
                $0.keeper.look(server, situation, now: now, wallTime: HostMachine.wallTime())
            }
            metrics.kept(report)
            let machine = lookAtMachine()
            let isDue = now >= nextQuestion || report.wroteToken || report.installedPlugin
            if isDue || journal.problem != nil { journal = await journalCheck() }
            if isDue {
                live = await host.run { $0.live.ask($0.plugin) }
                // Sooner after a failure, but not so soon that all nodes together keep an ailing API server down.
                let pause = live.problem == nil ? settings.interval : min(settings.interval, settings.tick * 3)
                nextQuestion = clock.now() + pause
            }
            let checks = [machine] + report.checks + [journal, ReadinessCheck("api", problem: live.problem)]
            state.withLock { state in
                state.checks = checks
                state.refusedToken = live.refusedToken
            }
            metrics.looked(checks)
            tell(checks)
            await writeState(checks)
            observe(checks)
            do { try await clock.sleep(until: clock.now() + settings.tick) } catch { return }
        }
    }

    /// What the agent trusts and shows is read at its start.
    private func refuseOtherAuthority(_ server: Result<ClientConfiguration, ConfigurationError>) throws {
        guard case .success(let now) = server, let change = now.change(from: initial) else { return }
        throw ConfigurationChanged(change)
    }

    private func lookAtMachine() -> ReadinessCheck {
        do throws(HostFileError) {
            let found = try HostMachine.machineID(settings.paths.machineIDFile)
            let known = state.withLock { state in
                if state.machineID == nil { state.machineID = found }
                return state.machineID
            }
            guard known == found else { throw HostFileError(settings.paths.machineIDFile, "holds another machine ID") }
            return ReadinessCheck("machine-id")
        } catch {
            return ReadinessCheck("machine-id", problem: "\(error)")
        }
    }

    private func journalCheck() async -> ReadinessCheck {
        guard let machineID = state.withLock(\.machineID) else {
            return ReadinessCheck("journal", problem: "waits for the machine ID")
        }
        let journal = journal(machineID)
        let problem = await host.run { _ -> String? in
            do throws(JournalError) {
                try journal.prepare()
                return nil
            } catch {
                return "\(error)"
            }
        }
        return ReadinessCheck("journal", problem: problem)
    }

    private func journal(_ machineID: String) -> Journal {
        Journal(
            folder: settings.paths.journalFolder, bootID: hostBootID,
            node: settings.node, machineID: machineID,
            now: { .now() })
    }

    /// Says what changed.
    private func tell(_ checks: [ReadinessCheck]) {
        let problems = checks.compactMap { check in check.problem.map { "\(check.name): \($0)" } }
        let text = problems.joined(separator: "; ")
        let told = state.withLock { state in
            defer { state.told = text }
            return state.told
        }
        guard told != text else { return }
        if problems.isEmpty {
            logger.notice("ready: an ADD on this node would work")
        } else {
            logger.warning("not ready", metadata: ["problems": "\(text)"])
        }
    }

    private func writeState(_ checks: [ReadinessCheck]) async {
        let state = NodeState(
            at: client.clock.now(), bootID: bootID, lifetime: .seconds(60) + settings.interval,
            version: ProductVersion.text, checks: checks)
        let path = settings.paths.stateFile
        let problem = await host.run { _ -> String? in
            do throws(HostFileError) {
                try state.write(to: path)
                return nil
            } catch {
                return "\(error)"
            }
        }
        if let problem { logger.warning("the state cannot be written", metadata: ["error": "\(problem)"]) }
    }

    // MARK: The Lease

    /// Nil when the task is cancelled.
    private func waitForMachineID() async throws -> String? {
        while !Task.isCancelled {
            if let machineID = state.withLock(\.machineID) { return machineID }
            do { try await client.clock.sleep(until: client.clock.now() + settings.tick) } catch { return nil }
        }
        return nil
    }

    // MARK: Sandboxes

    private func lookAfterSandboxes(_ machineID: String) async throws {
        let reconciler = sandboxReconciler(machineID)
        let controller = Controller(
            reconciler, limits: WorkLimits(concurrency: 1),
            report: { [metrics] in metrics.took($0.took) })
        // Together with what comes a moment later; a change in the ledger also carries the controller's hints.
        view.allocations.observe { _ in controller.enqueue(.node, after: .milliseconds(500)) }
        view.pods.observe { _ in controller.enqueue(.node, after: .milliseconds(500)) }
        controller.enqueue(.node)
        try await withThrowingTaskGroup { group in
            group.addTask { try await controller.run() }
            group.addTask { try await self.report(machineID, judging: reconciler) }
            try await group.waitForAll()
        }
    }

    private func sandboxReconciler(_ machineID: String) -> SandboxReconciler {
        let (settings, logger) = (settings, logger)
        let journal = journal(machineID)
        let reports = NodeReports(logger, events, metrics, node: settings.node)
        return SandboxReconciler(
            view, node: settings.node, machineID: machineID, interval: settings.passInterval, metrics: metrics
        ) {
            SandboxPass(
                node: settings.node, machineID: machineID, settings: settings.judgement,
                probe: SandboxProbe(proc: settings.paths.proc, journalFolder: settings.paths.journalFolder),
                reports: reports,
                ledger: Ledger(
                    transport: PluginTransport(PluginConnection(kubeconfig: settings.paths.kubeconfig)),
                    journal: journal, node: settings.node, machineID: machineID, log: LedgerLogger(logger: logger),
                    isHostAddress: HostMachine.owns, wallClock: HostMachine.wallTime))
        }
    }

    /// Renews the Lease for as long as the agent can judge.
    private func report(_ machineID: String, judging reconciler: SandboxReconciler) async throws {
        let lease = AgentLease(
            client,
            identity: AgentIdentity(
                node: settings.node, machineID: machineID, holder: holder, namespace: settings.namespace,
                pod: settings.pod),
            duration: settings.leaseDuration, wallTime: microsecondsSince1970
        ) { [logger] in Self.log($0, logger) }
        let clock = client.clock
        var told: String?
        while !Task.isCancelled {
            var problem = view.problem ?? reconciler.problem
            var result = NodeMetrics.Renewal.withheld
            if problem == nil {
                do {
                    try await lease.renew(deadline: clock.now() + settings.leaseDuration / 4)
                    result = .renewed
                } catch {
                    if Task.isCancelled { return }
                    problem = "\(error)"
                    result = .failed
                }
            }
            state.withLock { $0.isAlone = lease.isAlone }
            metrics.renewal(result)
            if told != problem || told == nil && result != .renewed {
                if let problem {
                    logger.warning("the agent does not report", metadata: ["problem": "\(problem)"])
                } else {
                    logger.notice("the agent reports for the node")
                }
                told = problem
            }
            let pause = result == .renewed ? settings.leaseDuration / 4 : min(settings.tick, settings.leaseDuration / 4)
            do { try await clock.sleep(until: clock.now() + pause) } catch { return }
        }
    }

    private static func log(_ report: AgentLeaseReport, _ logger: Logger) {
        switch report {
        case .ownerRefused(let owner, let error):
            logger.warning(
                "the Lease is kept without its owner, and stays when that is deleted",
                metadata: ["owner": "\(owner.kind) \(owner.name)", "uid": "\(owner.uid)", "error": "\(error)"])
        }
    }

    private static func log(_ store: StaticString, _ report: WatcherReport, _ logger: Logger) {
        switch report {
        case .listed(let count, let version):
            logger.info(
                "listed", metadata: ["store": "\(store)", "count": "\(count)", "resourceVersion": "\(version)"])
        case .watching(let resumes):
            logger.debug("watching", metadata: ["store": "\(store)", "resumes": "\(resumes)"])
        case .failed(let error, _):
            logger.warning("a watch failed", metadata: ["store": "\(store)", "error": "\(error)"])
        case .relisting(let error):
            logger.info("listing anew", metadata: ["store": "\(store)", "error": "\(error)"])
        case .unreadable(let problem):
            logger.warning(
                "an object without a name", metadata: ["store": "\(store)", "problem": "\(problem.problem)"])
        }
    }
}
