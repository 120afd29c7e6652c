import ArgumentParser
import BerthCommandLine
import ControllerHTTP
import Glibc
import IPAMAPI
import IPAMController
import IPAMEngine
import KubernetesClient
import KubernetesClientYAML
import KubernetesRuntime

struct ClusterOptions: ParsableArguments {
    @Option(help: "A kubeconfig file; without it the service account of the pod counts.")
    var kubeconfig: String?

    @Option(help: "Where the Lease, the Secret of the webhook and the Leases of node agents are.")
    var namespace = "berth-system"

    @Option(help: "The name of the Lease that says which replica acts.")
    var leaseName = "berth-controller"

    @Option(help: "The name of this replica, for the Lease and the log.")
    var identity: String?

    @Option(help: "How long the others wait for a leader that has fallen silent, in whole seconds.")
    var leaseDuration = Seconds(15)

    func validate() throws {
        guard limits != nil else { throw ValidationError("--lease-duration: at least 6s, in whole seconds") }
    }

    /// In the proportions of Kubernetes' own controllers.
    private var limits: LeaderElectionLimits? {
        LeaderElectionLimits(
            leaseDuration: leaseDuration.duration, renewDeadline: leaseDuration.duration * 2 / 3,
            retryPeriod: leaseDuration.duration * 2 / 15)
    }

    /// With something of this process, for a pod's name comes again when its container is started anew.
    var processIdentity: String { "\(identity ?? Self.hostName)_\(Self.processMark)" }

    private static let processMark = String(UInt64.random(in: 0...UInt64.max), radix: 36)

    private static var hostName: String {
        var buffer = [CChar](repeating: 0, count: 256)
        guard gethostname(&buffer, buffer.count - 1) == 0 else { return "berth-controller" }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    func configuration() throws -> ClientConfiguration {
        var configuration =
            if let kubeconfig {
                try ClientConfiguration.load(yamlOrJSONKubeconfigFile: kubeconfig)
            } else {
                try ClientConfiguration.inCluster(environment: EnvironmentArguments.inCluster)
            }
        configuration.userAgent = "berth-controller/\(ProductVersion.text)"
        return configuration
    }

    func election() -> AddressController.Election {
        AddressController.Election(
            namespace: namespace, lease: leaseName, identity: processIdentity,
            limits: limits ?? LeaderElectionLimits())
    }
}

struct LedgerOptions: ParsableArguments {
    @Option(help: "How long a pod must be gone before its address is taken from it.")
    var gracePeriod = Seconds(30)

    @Option(
        help: """
            After how long without a report a node counts as dead, so that its addresses are freed; 0s: never. Set it \
            only where something else makes sure that such a node is off.
            """)
    var nodeLostTimeout = Seconds(0)

    @Option(help: "How long a pool made from a network configuration stays unused before it is deleted.")
    var inlinePoolLifetime = Seconds(3600)

    @Option(help: "The least time between two writes of a pool's status.")
    var statusInterval = Seconds(1)

    @Option(help: "How many addresses of pods and nodes that are gone are freed in a second, at most.")
    var reclaimRate = 300

    func validate() throws {
        guard (1...10_000).contains(reclaimRate) else { throw ValidationError("--reclaim-rate: between 1 and 10000") }
        guard statusInterval.duration >= .milliseconds(100) else {
            throw ValidationError("--status-interval: at least 1s")
        }
    }

    func settings(agentNamespace: String) -> ControllerSettings {
        var settings = ControllerSettings()
        settings.reclaim = ReclaimSettings(
            gracePeriod: gracePeriod.duration,
            nodeLostTimeout: nodeLostTimeout.duration == .zero ? nil : nodeLostTimeout.duration)
        settings.inlinePoolLifetime = inlinePoolLifetime.duration
        settings.statusInterval = statusInterval.duration
        settings.reclaimRate = RateLimit(perSecond: reclaimRate, burst: reclaimRate)
        settings.agentNamespace = agentNamespace
        return settings
    }
}

struct HTTPOptions: ParsableArguments {
    @Option(help: "Port of /healthz, /readyz and /metrics.")
    var probePort = 8080

    @Option(help: "Port of the admission webhook.")
    var webhookPort = 9443

    @Option(help: "The address that both ports are opened on; without it all of this machine.")
    var bindAddress: String?

    @Option(help: "The Service of the webhook, whose names its certificate has.")
    var webhookService = "berth-controller"

    @Option(help: "The ValidatingWebhookConfiguration that is to trust the certificate.")
    var webhookConfiguration = "berth-controller"

    @Option(help: "The Secret in which the replicas share authority and certificate.")
    var webhookSecret = "berth-controller-webhook"

    @Option(help: "The cluster's DNS domain.")
    var clusterDomain = "cluster.local"

    @Option(help: "A folder with tls.crt and tls.key made by somebody else, for example cert-manager.")
    var certificateDir: String?

    func validate() throws {
        for (name, port) in [("--probe-port", probePort), ("--webhook-port", webhookPort)] {
            guard (0...65_535).contains(port) else { throw ValidationError("\(name): between 0 and 65535") }
        }
    }

    var server: ControllerServer.Configuration {
        func address(_ port: Int) -> ListenAddress {
            bindAddress.map { ListenAddress(host: $0, port: port) } ?? .any(port: port)
        }
        return ControllerServer.Configuration(probes: address(probePort), webhook: address(webhookPort))
    }

    /// Nil where somebody else makes the certificates.
    static func service(_ options: HTTPOptions, namespace: String) -> WebhookSettings? {
        guard options.certificateDir == nil else { return nil }
        return WebhookSettings(
            namespace: namespace, secret: options.webhookSecret, configuration: options.webhookConfiguration,
            names: ServingCertificate.names(
                service: options.webhookService, namespace: namespace, clusterDomain: options.clusterDomain))
    }
}
