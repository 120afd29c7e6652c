import IPAMLedger
import JSONText
package import KubernetesClient
import KubernetesCore

/// What the agent writes for the plugin. The same input gives the same bytes.
package enum NodeDocuments {
    /// `berth.conf`, as docs/plugin.md has it.
    package static func configuration(node: String, _ paths: HostPaths, _ options: PluginOptions) -> [UInt8] {
        let json: JSON = [
            "nodeName": .string(node),
            "kubeconfig": .string(paths.kubeconfig),
            "journalDir": .string(paths.journalFolder),
            "machineIDFile": .string(paths.machineIDFile),
            "logFile": .string(paths.pluginLogFile),
            "logLevel": .string(options.logLevel.name),
            "timeoutSeconds": .int(options.timeoutSeconds),
        ]
        return json.serialized() + [UInt8(ascii: "\n")]
    }

    /// A kubeconfig in JSON that holds the CA and names the token's file.
    package static func kubeconfig(_ configuration: ClientConfiguration, _ paths: HostPaths) -> [UInt8] {
        var cluster: JSON = ["server": .string(configuration.server.url)]
        if let ca = configuration.caPEM { cluster["certificate-authority-data"] = .string(Base64.encode(ca)) }
        if let name = configuration.tlsServerName { cluster["tls-server-name"] = .string(name) }
        if let proxy = configuration.proxyURL { cluster["proxy-url"] = .string(proxy) }
        let json: JSON = [
            "apiVersion": "v1", "kind": "Config", "current-context": "berth",
            "clusters": [["name": "berth", "cluster": cluster]],
            "users": [["name": "berth", "user": ["tokenFile": .string(paths.hostToken)]]],
            "contexts": [["name": "berth", "context": ["cluster": "berth", "user": "berth"]]],
        ]
        return json.serialized() + [UInt8(ascii: "\n")]
    }
}
