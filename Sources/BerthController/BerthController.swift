import ArgumentParser
import BerthCommandLine
import BerthLogging
import CHost
import ControllerHTTP
import Glibc
import IPAMAPI
import IPAMController
import IPAMEngine
import KubernetesClient
import KubernetesClientYAML
import KubernetesRuntime
import Logging
import ServiceLifecycle
import UnixSignals

/// The process: options in, services until a signal comes.
@main
struct BerthController: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "berth-controller",
        abstract: "Keeps Berth's ledger equal to the cluster.",
        discussion: """
            Reclaims addresses whose pods and nodes are gone, ends cooldowns, publishes the status of pools, and \
            answers the API server about edits of pools. Several replicas may run; one of them acts.

            Each option can be set by an environment variable too: BERTH_ and its name in capitals, for example \
            BERTH_GRACE_PERIOD=45s. What is given on the command line counts more.
            """,
        version: "berth-controller \(ProductVersion.text)")

    @OptionGroup(title: "API server and election") var cluster: ClusterOptions
    @OptionGroup(title: "Reclaiming") var ledger: LedgerOptions
    @OptionGroup(title: "HTTP") var http: HTTPOptions
    @OptionGroup(title: "Log") var log: LogOptions

    static func main() async {
        let arguments = EnvironmentArguments.of(Self.optionNames) + CommandLine.arguments.dropFirst()
        do {
            var command = try parseAsRoot(arguments)
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch {
            exit(withError: error)
        }
    }

    func run() async throws {
        chost_limit_heaps(2)
        let (level, format) = (log.level.level, log.format)
        LoggingSystem.bootstrap { BerthLogHandler(label: $0, level: level, format: format) }
        let logger = Logger(label: "berth-controller")
        let registry = MetricsRegistry()
        let source = CertificateSource()
        let service = HTTPOptions.service(http, namespace: cluster.namespace)
        let configuration = try cluster.configuration()
        let controller = try AddressController(
            configuration, settings: ledger.settings(agentNamespace: cluster.namespace),
            election: cluster.election(), webhook: service.map { ($0, source) }, registry: registry, logger: logger)
        let server = ControllerServer(
            http.server, probes: ProbeEndpoint(metrics: registry) { controller.readiness(source) },
            admission: AdmissionEndpoint { [admission = controller.admission] in await admission.decide($0) },
            certificates: source, logger: logger)
        let watch = ConfigurationWatch(configuration) { [cluster] in try cluster.configuration() }
        // The watch ends the process, with a reason, when only a new one reaches the API server.
        var services: [any Service] = [server, TaskService(controller.run), TaskService(watch.run)]
        if let folder = http.certificateDir {
            services.append(
                CertificateFiles(
                    certificatePath: "\(folder)/tls.crt", keyPath: "\(folder)/tls.key", source: source,
                    logger: logger))
        }
        logger.notice(
            "starting", metadata: ["version": "\(ProductVersion.text)", "identity": "\(cluster.processIdentity)"])
        var group = ServiceGroupConfiguration(
            services: services.map { .init(service: $0) }, gracefulShutdownSignals: [.sigterm, .sigint],
            logger: logger.forServiceGroup)
        // Before kubelet kills the process.
        group.maximumGracefulShutdownDuration = .seconds(25)
        try await ServiceGroup(configuration: group).run()
        logger.notice("stopped")
    }
}

/// Runs until it is cancelled, which the group does at its end and waits for: the leadership is given back before.
private struct TaskService: Service {
    let body: @Sendable () async throws -> Void

    init(_ body: @escaping @Sendable () async throws -> Void) { self.body = body }

    func run() async throws {
        try await cancelWhenGracefulShutdown { [body] in
            do { try await body() } catch is CancellationError {}
        }
    }
}

extension AddressController {
    fileprivate func readiness(_ source: CertificateSource) -> [ReadinessCheck] {
        synced.map { ReadinessCheck("store \($0.name)", problem: $0.isSynced ? nil : "not listed yet") }
            + [ReadinessCheck("certificate", problem: source.current == nil ? "none yet" : nil)]
    }
}
