import IPAMAPI
import IPAMNode
import JSONText
import TestSupport
import Testing
import Yams

/// config/node and config/rbac against what the agent expects.
@Suite("Manifests of the node agent")
struct ManifestTests {
    private static func documents(_ path: String) throws -> [JSON] {
        let text = try Files.text("\(Repository.root)/config/\(path)")
        return try Yams.compose_all(yaml: text).map { JSON($0) }
    }

    private static func podSpec() throws -> JSON {
        let daemonSet = try #require(try documents("node/daemonset.yaml").first)
        return try #require(daemonSet["spec"]?["template"]?["spec"])
    }

    private static func container() throws -> JSON {
        try #require(try podSpec()["containers"]?.array?.first)
    }

    @Test func `the arguments are options of berth-node run, and the probes its subcommands`() throws {
        let container = try Self.container()
        let arguments = container["args"]?.array?.compactMap(\.string) ?? []
        let sources = try ["Options", "Ready", "BerthNode"]
            .map { try Files.text("\(Repository.root)/Sources/BerthNode/\($0).swift") }.joined()
        #expect(arguments.first == "run")
        for argument in arguments.dropFirst() {
            let name = argument.dropFirst(2).prefix { $0 != "=" }
            #expect(argument.hasPrefix("--") && sources.contains("\"\(name)\""), "\(argument)")
        }
        #expect(container["readinessProbe"]?["exec"]?["command"] == ["/berth-node", "ready"])
        #expect(container["livenessProbe"]?["exec"]?["command"] == ["/berth-node", "alive"])
    }

    @Test func `folders of the host are where the agent looks for them, at the host's own paths`() throws {
        let (spec, container) = (try Self.podSpec(), try Self.container())
        var mounts: [String: String] = [:]
        for mount in container["volumeMounts"]?.array ?? [] {
            mounts[mount["name"]?.string ?? ""] = mount["mountPath"]?.string
        }
        for volume in spec["volumes"]?.array ?? [] {
            guard let path = volume["hostPath"]?["path"]?.string else { continue }
            #expect(mounts[volume["name"]?.string ?? ""] == path)
        }
        let paths = HostPaths()
        let mounted = Set(mounts.values)
        #expect(mounted.contains(paths.pluginFolder))
        #expect(mounted.contains(paths.machineIDFile))
        for path in [
            paths.configFolder, paths.journalFolder, paths.pluginLogFile, paths.tokenFile, paths.stateFile,
        ] {
            #expect(mounted.contains { path.hasPrefix($0 + "/") }, "\(path)")
        }
    }

    @Test func `two of them can run on one node, and see the host`() throws {
        let daemonSet = try #require(try Self.documents("node/daemonset.yaml").first)
        let strategy = daemonSet["spec"]?["updateStrategy"]?["rollingUpdate"]
        #expect(strategy?["maxSurge"] == 1)
        #expect(strategy?["maxUnavailable"] == 0)
        #expect(try Self.container()["ports"] == nil)
        let spec = try Self.podSpec()
        #expect(spec["hostPID"] == true)
        #expect(spec["hostNetwork"] == true)
        let capabilities = try Self.container()["securityContext"]?["capabilities"]
        #expect(capabilities?["drop"] == ["ALL"])
        #expect(capabilities?["add"] == ["SYS_PTRACE", "DAC_OVERRIDE"])
    }

    @Test func `the plugin's roles are bound to the agent, whose token it shows`() throws {
        let account: JSON = ["kind": "ServiceAccount", "name": "berth-node", "namespace": "berth-system"]
        for file in ["rbac/plugin.yaml", "rbac/plugin_inline.yaml", "rbac/node.yaml"] {
            let binding = try #require(try Self.documents(file).first { $0["kind"] == "ClusterRoleBinding" })
            #expect(binding["subjects"]?.array?.contains(account) == true, "\(file)")
        }
        #expect(try Self.podSpec()["serviceAccountName"] == "berth-node")
    }
}

extension JSON {
    fileprivate init(_ node: Node) {
        switch node {
        case .mapping(let mapping):
            self = [:]
            for (key, value) in mapping { self[key.string ?? ""] = JSON(value) }
        case .sequence(let sequence): self = .array(sequence.map { JSON($0) })
        default:
            self =
                node.null.map { _ in .null } ?? node.bool.map { .bool($0) } ?? node.int.map { .int($0) }
                ?? .string(node.string ?? "")
        }
    }
}
