package import IPAMLedger

/// Where things are on the host, and in the agent's own pod. Paths of the host are the same in both.
package struct HostPaths: Hashable, Sendable {
    /// The plugin in the agent's image.
    package var pluginSource = "/berth"
    package var pluginFolder = "/opt/cni/bin"
    package var configFolder = "/etc/cni/net.d/berth.d"
    package var journalFolder = "/var/lib/berth/journal"
    package var machineIDFile = "/etc/machine-id"
    package var pluginLogFile = "/var/log/berth/berth.log"
    /// The token that kubelet keeps fresh in the agent's pod.
    package var tokenFile = "/var/run/secrets/tokens/berth/token"
    package var stateFile = "/run/berth/state.json"
    /// The host's processes.
    package var proc = "/proc"

    package init() {}

    package var plugin: String { "\(pluginFolder)/berth" }
    package var hostToken: String { "\(configFolder)/token" }
    package var kubeconfig: String { "\(configFolder)/kubeconfig" }
    package var configuration: String { "\(configFolder)/berth.conf" }
    /// Says which agent keeps these files. Without a suffix by which libcni takes a file for a network configuration,
    /// whatever folder it is in.
    package var presence: String { "\(configFolder)/presence" }
}

/// What the plugin is told in `berth.conf`.
package struct PluginOptions: Hashable, Sendable {
    package var logLevel: LogLevel = .info
    package var timeoutSeconds = 10

    package init() {}
}
