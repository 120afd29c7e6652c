internal import Glibc
package import IPAMAPI
package import IPAddressing
package import JSONText
internal import KubernetesCore
internal import Synchronization

/// One node of a cluster as far as the plugin sees it: a folder with `berth.conf`, kubeconfig, token, machine ID, journal
/// and log.
package final class TestNode: Sendable {
    package let name: String
    package let machineID: String
    package let folder: String
    package let runner: PluginRunner

    package var kubeconfig: String { "\(folder)/kubeconfig" }
    package var tokenFile: String { "\(folder)/token" }
    package var journal: String { "\(folder)/journal" }
    package var logFile: String { "\(folder)/berth.log" }

    private let containers = Atomic(0)

    /// - Parameters:
    ///   - name: nil makes up a name that no other node has.
    ///   - machineID: nil makes up one; two nodes of one name and two machine IDs are two machines.
    ///   - proxy: What the plugin is to talk to in place of the API server.
    ///   - settings: More members of `berth.conf`, or other values.
    package init(
        _ controlPlane: ControlPlane, name: String? = nil, machineID: String? = nil, through proxy: FaultProxy? = nil,
        runner: PluginRunner? = nil, settings: JSON = [:]
    ) async throws {
        var generator = SystemRandomNumberGenerator()
        self.name = name ?? "node-\(Subnets.next().name)"
        self.machineID = machineID ?? Self.hexDigits(32, &generator)
        self.runner = try runner ?? .berth()
        folder = try Files.makeTemporaryFolder("node")
        var conf: JSON = [
            "nodeName": .string(self.name), "kubeconfig": .string(kubeconfig), "journalDir": .string(journal),
            "machineIDFile": .string("\(folder)/machine-id"), "logFile": .string(logFile), "logLevel": "debug",
        ]
        for member in settings.object?.members ?? [] { conf[member.name] = member.value }
        try Files.write("\(folder)/machine-id", self.machineID + "\n")
        try Files.write("\(folder)/berth.conf", conf.description)
        try Files.write(tokenFile, try await controlPlane.token(of: .plugin))
        try Files.makeFolder("\(folder)/netns")
        let target = try controlPlane.target()
        try writeKubeconfig(
            server: proxy?.url ?? "https://\(target.host):\(target.port)", caPEM: proxy?.caPEM ?? target.caPEM)
    }

    /// Settings with a time that is long enough for a busy machine, unless they have one.
    package static func patient(_ settings: JSON) -> JSON {
        var patient: JSON = ["timeoutSeconds": 60]
        for member in settings.object?.members ?? [] { patient[member.name] = member.value }
        return patient
    }

    /// Removes the folder.
    package func remove() throws { try Files.removeTree(folder) }

    /// Writes another kubeconfig, in which the token is still read from `tokenFile`.
    package func writeKubeconfig(server: String, caPEM: String) throws {
        let configuration: JSON = [
            "apiVersion": "v1", "kind": "Config", "current-context": "berth",
            "clusters": [
                [
                    "name": "berth",
                    "cluster": [
                        "server": .string(server),
                        "certificate-authority-data": .string(Base64.encode(Array(caPEM.utf8))),
                    ],
                ]
            ],
            "users": [["name": "berth", "user": ["tokenFile": .string(tokenFile)]]],
            "contexts": [["name": "berth", "context": ["cluster": "berth", "user": "berth"]]],
        ]
        try Files.write(kubeconfig, configuration.description)
    }

    /// Lets the plugin talk to a proxy from now on.
    package func use(_ proxy: FaultProxy) throws { try writeKubeconfig(server: proxy.url, caPEM: proxy.caPEM) }

    /// The log that the plugin has written so far; empty without one.
    package var log: String { (try? Files.text(logFile)) ?? "" }

    // MARK: Calls

    /// A network configuration as the plugin gets it: that of a main plugin, with an `ipam` section.
    ///
    /// - Parameters:
    ///   - ipam: More members of the `ipam` section.
    ///   - members: More members of the configuration, for example `runtimeConfig`.
    package func configuration(
        network: String = "net", pools: [String]? = nil, version: String = "1.1.0", ipam: JSON = [:],
        members: JSON = [:]
    ) -> JSON {
        var section: JSON = ["type": "berth", "configDir": .string(folder)]
        if let pools { section["pools"] = .strings(pools) }
        for member in ipam.object?.members ?? [] { section[member.name] = member.value }
        var configuration: JSON = [
            "cniVersion": .string(version), "name": .string(network), "type": "bridge", "ipam": section,
        ]
        for member in members.object?.members ?? [] { configuration[member.name] = member.value }
        return configuration
    }

    /// A new sandbox, with a container ID like containerd's and a file that stands for its network namespace.
    package func newSandbox(pod: TestPod? = nil, interface: String = "eth0") throws -> TestSandbox {
        var generator = SystemRandomNumberGenerator()
        let containerID = Self.hexDigits(64, &generator)
        let netns = "\(folder)/netns/cni-\(containers.add(1, ordering: .relaxed).newValue)"
        try Files.write(netns, "")
        return TestSandbox(containerID: containerID, netns: netns, interface: interface, pod: pod)
    }

    package func call(_ command: String, _ sandbox: TestSandbox, _ configuration: JSON) -> PluginCall {
        PluginCall(
            command, containerID: sandbox.containerID, netns: sandbox.netns, interface: sandbox.interface,
            arguments: sandbox.arguments, configuration: configuration)
    }

    package func add(_ sandbox: TestSandbox, _ configuration: JSON) async throws -> PluginOutcome {
        try await runner.run(call("ADD", sandbox, configuration))
    }

    /// A DEL as kubelet's first: with the network namespace, and with the result of the ADD where there is one.
    package func del(
        _ sandbox: TestSandbox, _ configuration: JSON, previous: PluginOutcome? = nil
    ) async throws -> PluginOutcome {
        var configuration = configuration
        if let result = previous?.result { configuration["prevResult"] = result }
        return try await runner.run(call("DEL", sandbox, configuration))
    }

    /// A DEL as kubelet's second to fourth: the network namespace is empty, and there is no previous result.
    package func delAgain(_ sandbox: TestSandbox, _ configuration: JSON) async throws -> PluginOutcome {
        var call = call("DEL", sandbox, configuration)
        call.netns = ""
        return try await runner.run(call)
    }

    package func check(
        _ sandbox: TestSandbox, _ configuration: JSON, previous: PluginOutcome
    ) async throws -> PluginOutcome {
        var configuration = configuration
        configuration["prevResult"] = previous.result
        return try await runner.run(call("CHECK", sandbox, configuration))
    }

    /// - Parameter valid: The attachments that the runtime knows; nil leaves the list out.
    package func gc(_ configuration: JSON, valid: [TestSandbox]?) async throws -> PluginOutcome {
        var configuration = configuration
        if let valid {
            configuration["cni.dev/valid-attachments"] = .array(
                valid.map { ["containerID": .string($0.containerID), "ifname": .string($0.interface)] })
        }
        return try await runner.run(PluginCall("GC", configuration: configuration))
    }

    package func status(_ configuration: JSON) async throws -> PluginOutcome {
        try await runner.run(PluginCall("STATUS", configuration: configuration))
    }

    private static func hexDigits(_ count: Int, _ generator: inout some RandomNumberGenerator) -> String {
        String((0..<count).map { _ in "0123456789abcdef".randomElement(using: &generator) ?? "0" })
    }
}

/// A sandbox of a container runtime with one interface.
package struct TestSandbox: Hashable, Sendable {
    package var containerID: String
    package var netns: String
    package var interface: String
    package var pod: TestPod?
    /// CNI_ARGS in place of the pod's.
    package var ownArguments: String?

    package init(containerID: String, netns: String, interface: String = "eth0", pod: TestPod? = nil) {
        self.containerID = containerID
        self.netns = netns
        self.interface = interface
        self.pod = pod
    }

    package var arguments: String? { ownArguments ?? pod?.arguments(containerID: containerID) }

    /// The same sandbox with another interface.
    package func with(interface: String) -> TestSandbox {
        var copy = self
        copy.interface = interface
        return copy
    }

    package func attachment(network: String = "net") -> Attachment {
        Attachment(networkName: network, containerID: containerID, interface: interface)
    }
}

extension PluginOutcome {
    /// The addresses of the result as values.
    package func parsedAddresses() throws -> Set<IPAddress> { Set(try addresses.map { try IPAddress(parsing: $0) }) }
}

/// Lends a node and removes its folder afterwards.
package func withTestNode<Answer>(
    _ controlPlane: ControlPlane, name: String? = nil, machineID: String? = nil, through proxy: FaultProxy? = nil,
    settings: JSON = [:], isolation: isolated (any Actor)? = #isolation,
    _ body: (TestNode) async throws -> Answer
) async throws -> Answer {
    let node = try await TestNode(
        controlPlane, name: name, machineID: machineID, through: proxy, settings: settings)
    defer { try? node.remove() }
    return try await body(node)
}
