import ArgumentParser
import BerthCommandLine
import ControllerHTTP
import Glibc
import IPAMAPI
import IPAMLedger
import IPAMNode
import KubernetesClient
import KubernetesClientYAML

struct ClusterOptions: ParsableArguments {
    @Option(help: "The name of this node, as `kubectl get nodes` shows it; NODE_NAME counts too.")
    var nodeName: String?

    @Option(help: "Where the agent's Lease is, and its pod.")
    var namespace = "berth-system"

    @Option(help: "A kubeconfig file; without it the service account of the pod counts.")
    var kubeconfig: String?

    @Option(help: "How long the controller believes that the agent looks after the node, in whole seconds.")
    var leaseDuration = Seconds(40)

    mutating func validate() throws {
        if nodeName == nil { nodeName = Self.variable("NODE_NAME") }
        guard let nodeName else { throw ValidationError("--node-name or NODE_NAME must be given") }
        guard BerthAPI.isSubdomain(nodeName) else {
            throw ValidationError("--node-name: \"\(nodeName)\" is no name of a node")
        }
        guard leaseDuration.duration >= .seconds(4) else { throw ValidationError("--lease-duration: at least 4s") }
    }

    /// The agent's own pod, where it runs in one.
    var podName: String? { kubeconfig == nil ? Self.variable("POD_NAME") : nil }

    /// With something of this process, for a pod's name comes again when its container is started anew.
    var holder: String { "\(Self.variable("POD_NAME") ?? nodeName ?? "")_\(Self.processMark)" }

    private static let processMark = String(UInt64.random(in: 0...UInt64.max), radix: 36)

    private static func variable(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    }

    var loader: NodeAgent.Load {
        let (kubeconfig, environment) = (kubeconfig, EnvironmentArguments.inCluster)
        return { () throws(ConfigurationError) in
            var configuration =
                if let kubeconfig {
                    try ClientConfiguration.load(yamlOrJSONKubeconfigFile: kubeconfig)
                } else {
                    try ClientConfiguration.inCluster(environment: environment)
                }
            configuration.userAgent = "berth-node/\(ProductVersion.text)"
            return configuration
        }
    }
}

struct HostOptions: ParsableArguments {
    @Option(help: "The plugin to install.")
    var pluginSource = HostPaths().pluginSource

    @Option(help: "The host's folder of CNI plugins.")
    var pluginDir = HostPaths().pluginFolder

    @Option(help: "The folder of the plugin's configuration.")
    var configDir = HostPaths().configFolder

    @Option(help: "The plugin's journal.")
    var journalDir = HostPaths().journalFolder

    @Option(help: "What tells this machine from others.")
    var machineIDFile = HostPaths().machineIDFile

    @Option(help: "The token that the plugin is to show, which kubelet renews.")
    var tokenFile = HostPaths().tokenFile

    @Option(help: "Where the agent writes what it found, for `berth-node ready`.")
    var stateFile = HostPaths().stateFile

    @Option(help: "The host's /proc.")
    var hostProc = HostPaths().proc

    var paths: HostPaths {
        var paths = HostPaths()
        paths.pluginSource = pluginSource
        paths.pluginFolder = pluginDir
        paths.configFolder = configDir
        paths.journalFolder = journalDir
        paths.machineIDFile = machineIDFile
        paths.tokenFile = tokenFile
        paths.stateFile = stateFile
        paths.proc = hostProc
        return paths
    }

    func validate() throws {
        let folders = [
            ("--plugin-source", pluginSource), ("--plugin-dir", pluginDir), ("--config-dir", configDir),
            ("--journal-dir", journalDir), ("--machine-id-file", machineIDFile), ("--token-file", tokenFile),
            ("--state-file", stateFile), ("--host-proc", hostProc),
        ]
        for (name, path) in folders where !path.hasPrefix("/") {
            throw ValidationError("\(name): \"\(path)\" is no absolute path")
        }
    }
}

struct PluginSettings: ParsableArguments {
    @Option(help: "The plugin's log file.")
    var pluginLogFile = HostPaths().pluginLogFile

    @Option(help: "debug, info, warning or error.")
    var pluginLogLevel = PluginLogLevel.info

    @Option(help: "Within which every call of the plugin but DEL answers, 1s to 120s.")
    var pluginTimeout = Seconds(10)

    func validate() throws {
        guard (.seconds(1)...(.seconds(120))).contains(pluginTimeout.duration) else {
            throw ValidationError("--plugin-timeout: between 1s and 120s")
        }
    }

    var options: PluginOptions {
        var options = PluginOptions()
        options.logLevel = pluginLogLevel.level
        options.timeoutSeconds = Int(pluginTimeout.duration.components.seconds)
        return options
    }
}

enum PluginLogLevel: String, ExpressibleByArgument, CaseIterable {
    case debug, info, warning, error

    var level: LogLevel {
        switch self {
        case .debug: .debug
        case .info: .info
        case .warning: .warning
        case .error: .error
        }
    }
}

struct ReclaimOptions: ParsableArguments {
    @Option(help: "How long a pod must be gone before the address of a sandbox that cannot be examined is freed.")
    var gracePeriod = Seconds(30)

    @Option(help: "Between two looks at what nothing announces.")
    var interval = Seconds(10)

    func validate() throws {
        guard interval.duration >= .seconds(1) else { throw ValidationError("--interval: at least 1s") }
    }
}

struct HTTPOptions: ParsableArguments {
    @Option(help: "Port of /healthz, /readyz and /metrics; 0 for none.")
    var metricsPort = 9472

    @Option(help: "The address that the port is opened on; without it all of this machine.")
    var bindAddress: String?

    func validate() throws {
        guard (0...65_535).contains(metricsPort) else { throw ValidationError("--metrics-port: between 0 and 65535") }
    }

    var address: ListenAddress {
        bindAddress.map { ListenAddress(host: $0, port: metricsPort) } ?? .any(port: metricsPort)
    }
}

extension BerthNode.Run {
    /// Of all options that take a value.
    static let optionNames = [
        "node-name", "namespace", "kubeconfig", "lease-duration", "plugin-source", "plugin-dir", "config-dir",
        "journal-dir", "machine-id-file", "token-file", "state-file", "host-proc", "plugin-log-file",
        "plugin-log-level", "plugin-timeout", "grace-period", "interval", "metrics-port", "bind-address", "log-level",
        "log-format",
    ]
}
