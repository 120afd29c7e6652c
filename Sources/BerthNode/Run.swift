import ArgumentParser
import BerthCommandLine
import BerthLogging
import CHost
import ControllerHTTP
import IPAMAPI
import IPAMNode
import KubernetesClient
import KubernetesRuntime
import Logging
import ServiceLifecycle
import UnixSignals

extension BerthNode {
    struct Run: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Runs the agent.")

        @OptionGroup(title: "Node and API server") var cluster: ClusterOptions
        @OptionGroup(title: "Host") var host: HostOptions
        @OptionGroup(title: "Plugin") var plugin: PluginSettings
        @OptionGroup(title: "Reclaiming") var reclaiming: ReclaimOptions
        @OptionGroup(title: "HTTP") var http: HTTPOptions
        @OptionGroup(title: "Log") var log: LogOptions

        func run() async throws {
            chost_limit_heaps(2)
            let (level, format) = (log.level.level, log.format)
            LoggingSystem.bootstrap { BerthLogHandler(label: $0, level: level, format: format) }
            let logger = Logger(label: "berth-node")
            let registry = MetricsRegistry()
            let agent = try NodeAgent(
                settings(), holder: cluster.holder, registry: registry, logger: logger, load: cluster.loader)
            var services: [any Service] = [AgentService(agent: agent)]
            if http.metricsPort != 0 {
                let server = ControllerServer(
                    http.address, probes: ProbeEndpoint(metrics: registry) { agent.checks }, logger: logger)
                services.insert(MetricsService(server: server, logger: logger), at: 0)
            }
            logger.notice(
                "starting", metadata: ["version": "\(ProductVersion.text)", "node": "\(cluster.nodeName ?? "")"])
            var configuration = ServiceGroupConfiguration(
                services: services.map { .init(service: $0) }, gracefulShutdownSignals: [.sigterm, .sigint],
                logger: logger.forServiceGroup)
            // Before kubelet kills the process.
            configuration.maximumGracefulShutdownDuration = .seconds(25)
            try await ServiceGroup(configuration: configuration).run()
            logger.notice("stopped")
        }

        private func settings() -> NodeAgentSettings {
            var settings = NodeAgentSettings(node: cluster.nodeName ?? "")
            settings.namespace = cluster.namespace
            settings.pod = cluster.podName
            settings.leaseDuration = cluster.leaseDuration.duration
            settings.paths = host.paths
            settings.paths.pluginLogFile = plugin.pluginLogFile
            settings.plugin = plugin.options
            settings.interval = reclaiming.interval.duration
            settings.passInterval = reclaiming.interval.duration
            settings.judgement.gracePeriod = reclaiming.gracePeriod.duration
            return settings
        }
    }
}

private struct AgentService: Service {
    let agent: NodeAgent

    func run() async throws {
        try await cancelWhenGracefulShutdown { [agent] in
            do { try await agent.run() } catch is CancellationError {}
        }
    }
}

/// Metrics are no reason to end: while one agent takes another's place, the port is the other one's for a while.
private struct MetricsService: Service {
    let server: ControllerServer
    let logger: Logger

    func run() async throws {
        var isTold = false
        while !Task.isShuttingDownGracefully, !Task.isCancelled {
            do {
                try await server.run()
            } catch {
                if !isTold { logger.warning("metrics are not served yet", metadata: ["error": "\(error)"]) }
                isTold = true
            }
            await cancelWhenGracefulShutdown { try? await Task.sleep(for: .seconds(2)) }
        }
    }
}
