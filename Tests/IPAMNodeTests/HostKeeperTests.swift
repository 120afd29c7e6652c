import ControllerHTTP
import Glibc
import IPAMNode
import JSONText
import KubernetesClient
import KubernetesCore
import Logging
import Synchronization
import TestSupport
import Testing

@Suite("The files of the host", .timeLimit(.minutes(2)))
struct HostKeeperTests {
    /// A host of which there are only the folders.
    private final class Host: Sendable {
        let folder: String
        let paths: HostPaths
        private let keeper: Mutex<HostKeeper>

        init(_ folder: String) throws {
            self.folder = folder
            var paths = HostPaths()
            paths.pluginSource = "\(folder)/image-berth"
            paths.pluginFolder = "\(folder)/bin"
            paths.configFolder = "\(folder)/net.d/berth.d"
            paths.journalFolder = "\(folder)/journal"
            paths.tokenFile = "\(folder)/token"
            self.paths = paths
            for part in ["bin", "net.d"] { try Files.makeFolder("\(folder)/\(part)") }
            keeper = Mutex(Self.keeper(paths))
            try Files.write(paths.tokenFile, "t1\n")
            try setSource(version: "one")
        }

        private static func keeper(_ paths: HostPaths) -> HostKeeper {
            HostKeeper(
                node: "n1", paths: paths, options: PluginOptions(),
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        }

        /// What an executable of Berth looks like from outside.
        static func plugin(_ version: String) -> String {
            "\u{7F}ELF \(version) looks for /etc/cni/net.d/berth.d"
        }

        func setSource(version: String) throws {
            try Files.write(paths.pluginSource, Self.plugin(version), mode: 0o755)
        }

        /// A new agent.
        func restart() { keeper.withLock { $0 = Self.keeper(paths) } }

        func look(
            at second: Int = 0, isAlone: Bool = true, refusedToken: String? = nil, server: String = "10.0.0.1"
        ) -> HostKeeper.Report {
            let configuration = ClientConfiguration(
                server: ServerAddress(host: server, port: 6443),
                caPEM: Array("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n".utf8))
            return keeper.withLock {
                $0.look(
                    .success(configuration), .init(isAlone: isAlone, refusedToken: refusedToken),
                    now: Moment(nanoseconds: 0) + .seconds(second), wallTime: 1_000)
            }
        }

        func problem(_ name: String, at second: Int = 0) -> String? {
            look(at: second).checks.first { $0.name == name }?.problem
        }

        func mode(_ path: String) -> UInt32 {
            var status = stat()
            return stat(path, &status) == 0 ? UInt32(status.st_mode & 0o7777) : 0
        }
    }

    private func withHost(_ body: @Sendable (Host) async throws -> Void) async throws {
        try await Files.withTemporaryFolder("host") { try await body(try Host($0)) }
    }

    private static func token(pod: String, expires: Int = 100_000, mark: Int = 0) -> String {
        func part(_ json: JSON) -> String { Base64.encode(json.serialized()).filter { $0 != "=" } }
        return part(["alg": "none"]) + "."
            + part([
                "exp": .int(expires), "mark": .int(mark), "kubernetes.io": ["pod": ["uid": .string(pod)]],
            ]) + ".c2ln"
    }

    @Test func `a new node gets everything, readable by root alone`() async throws {
        try await withHost { host in
            let report = host.look()
            #expect(report.checks.allSatisfy { $0.problem == nil }, "\(report.checks)")
            #expect(report.installedPlugin)
            #expect(report.wroteToken)
            #expect(try Files.text(host.paths.hostToken) == "t1")
            #expect(try Files.text(host.paths.plugin) == Host.plugin("one"))
            #expect(host.mode(host.paths.plugin) == 0o755)
            #expect(host.mode(host.paths.configFolder) == 0o700)
            for path in [host.paths.hostToken, host.paths.kubeconfig, host.paths.configuration] {
                #expect(host.mode(path) == 0o600, "\(path)")
            }
            // The plugin's own way to read it.
            let configuration = try ClientConfiguration.load(kubeconfigFile: host.paths.kubeconfig)
            #expect(configuration.server.url == "https://10.0.0.1:6443")
            #expect(configuration.token == "t1")
            #expect(configuration.tokenFile == host.paths.hostToken)
            let conf = try JSON(parsing: Files.read(host.paths.configuration))
            #expect(conf["nodeName"] == "n1")
            #expect(conf["journalDir"]?.string == host.paths.journalFolder)
            // Nothing is written again.
            let again = host.look(at: 2)
            #expect(!again.installedPlugin)
            #expect(!again.wroteToken)
        }
    }

    @Test func `what is deleted, cut or opened to others is put right at the next look`() async throws {
        try await withHost { host in
            _ = host.look()
            let contents = try [
                host.paths.hostToken, host.paths.kubeconfig, host.paths.configuration, host.paths.plugin,
            ].map { ($0, try Files.text($0)) }
            for (path, content) in contents {
                try Files.remove(path)
                _ = host.look(at: 2)
                #expect(try Files.text(path) == content)
                try #require(chmod(path, path == host.paths.plugin ? 0o600 : 0o644) == 0)
                _ = host.look(at: 4)
                #expect(host.mode(path) == (path == host.paths.plugin ? 0o755 : 0o600), "\(path)")
            }
            try Files.write(host.paths.kubeconfig, "{")
            try Files.write(host.paths.configuration, "not JSON")
            _ = host.look(at: 6)
            for (path, content) in contents { #expect(try Files.text(path) == content) }
            try Files.removeTree(host.paths.configFolder)
            #expect(host.look(at: 8).checks.allSatisfy { $0.problem == nil })
        }
    }

    @Test func `a foreign file called berth is left alone, and says so`() async throws {
        for content in ["#!/bin/sh\n", "\u{7F}ELF of somebody else", "", "a text that names /etc/cni/net.d/berth.d"] {
            try await withHost { host in
                try Files.write(host.paths.plugin, content, mode: 0o755)
                #expect(host.problem("plugin")?.contains("is not Berth's plugin") == true)
                #expect(host.problem("plugin", at: 200)?.contains(host.paths.plugin) == true)
                #expect(try Files.text(host.paths.plugin) == content)
                try Files.remove(host.paths.plugin)
                #expect(host.problem("plugin", at: 202) == nil)
            }
        }
        try await withHost { host in
            try Files.makeFolder(host.paths.plugin)
            #expect(host.problem("plugin")?.contains("is not Berth's plugin") == true)
        }
    }

    @Test func `a new agent brings its version, and an old one does not bring back its own`() async throws {
        try await withHost { host in
            try Files.write(host.paths.plugin, Host.plugin("an earlier one"), mode: 0o755)
            #expect(host.look().installedPlugin)
            #expect(try Files.text(host.paths.plugin) == Host.plugin("one"))
            // A newer agent installs its own while this one still runs.
            try Files.write(host.paths.plugin, Host.plugin("two"), mode: 0o755)
            for second in stride(from: 2, to: 300, by: 10) {
                let report = host.look(at: second, isAlone: false)
                #expect(!report.installedPlugin && report.checks.allSatisfy { $0.problem == nil })
            }
            #expect(try Files.text(host.paths.plugin) == Host.plugin("two"))
            // That one is gone again.
            _ = host.look(at: 300)
            _ = host.look(at: 361)
            #expect(try Files.text(host.paths.plugin) == Host.plugin("one"))
        }
    }

    @Test func `a renewed token is copied at once, and another pod's is left alone while it is accepted`() async throws
    {
        try await withHost { host in
            try Files.write(host.paths.tokenFile, Self.token(pod: "p1"))
            _ = host.look()
            let renewed = Self.token(pod: "p1", mark: 1)
            try Files.write(host.paths.tokenFile, renewed)
            #expect(host.look(at: 2).wroteToken)
            #expect(try Files.text(host.paths.hostToken) == renewed)
            // A newer agent has written its own.
            let newer = Self.token(pod: "p2")
            try Files.write(host.paths.hostToken, newer)
            for second in stride(from: 4, to: 200, by: 20) {
                #expect(!host.look(at: second, isAlone: false).wroteToken)
            }
            // Also when this pod's is renewed meanwhile.
            try Files.write(host.paths.tokenFile, Self.token(pod: "p1", mark: 2))
            #expect(!host.look(at: 201, isAlone: false).wroteToken)
            #expect(try Files.text(host.paths.hostToken) == newer)
            // Its pod has gone, and the API server refuses it.
            #expect(host.look(at: 202, isAlone: false, refusedToken: newer).wroteToken)
            #expect(try Files.text(host.paths.hostToken) == Self.token(pod: "p1", mark: 2))
        }
    }

    @Test func `a token that expires within a minute is replaced`() async throws {
        try await withHost { host in
            try Files.write(host.paths.tokenFile, Self.token(pod: "p1"))
            _ = host.look()
            try Files.write(host.paths.hostToken, Self.token(pod: "p2", expires: 1_050))
            #expect(host.look(at: 2, isAlone: false).wroteToken)
        }
    }

    @Test func `what is missing on the agent's own side is named`() async throws {
        try await withHost { host in
            try Files.remove(host.paths.tokenFile)
            #expect(host.problem("token")?.contains(host.paths.tokenFile) == true)
            try Files.write(host.paths.tokenFile, " \n")
            #expect(host.problem("token")?.contains("is empty") == true)
            try Files.remove(host.paths.pluginSource)
            #expect(host.problem("plugin")?.contains(host.paths.pluginSource) == true)
            try Files.write(host.paths.pluginSource, "#!/bin/sh", mode: 0o755)
            #expect(host.problem("plugin")?.contains("is not Berth's plugin") == true)
        }
    }

    @Test func `a folder that is missing or a file says so`() async throws {
        try await withHost { host in
            try Files.removeTree(host.paths.pluginFolder)
            #expect(host.problem("plugin")?.contains("is no folder") == true)
            try Files.removeTree(host.paths.configFolder)
            try Files.write(host.paths.configFolder, "a file")
            let problem = try #require(host.problem("token"))
            #expect(problem.contains(host.paths.configFolder))
            #expect(problem.contains("is no folder"))
        }
    }

    @Test func `a read-only file system says so, and is used again when it can be written`() async throws {
        try await withHost { host in
            // Like a host of which /opt cannot be written: a mount of its own.
            try await runChecked("mount", ["-t", "tmpfs", "-o", "ro,size=1m", "berth-test", host.paths.pluginFolder])
            let problem = host.problem("plugin")
            try await runChecked("umount", [host.paths.pluginFolder])
            #expect(problem?.contains("Read-only file system") == true)
            #expect(problem?.contains(host.paths.pluginFolder) == true)
            #expect(host.problem("plugin", at: 2) == nil)
        }
    }

    @Test func `a full disk leaves the old plugin and no half of the new one`() async throws {
        try await withHost { host in
            try await runChecked("mount", ["-t", "tmpfs", "-o", "size=64k", "berth-test", host.paths.pluginFolder])
            _ = host.look()
            try Files.write(
                host.paths.pluginSource, Host.plugin("two") + String(repeating: "x", count: 1 << 20), mode: 0o755)
            host.restart()
            let problem = host.problem("plugin")
            let (content, names) = (try Files.text(host.paths.plugin), try Files.names(in: host.paths.pluginFolder))
            try await runChecked("umount", [host.paths.pluginFolder])
            #expect(problem?.contains("No space left on device") == true, "\(problem ?? "none")")
            #expect(content == Host.plugin("one"))
            #expect(names == ["berth"])
        }
    }

    @Test func `what killed agents left half written is removed`() async throws {
        try await withHost { host in
            // No process has this number.
            let leftovers = ["\(host.paths.plugin).berth-node~4194305", "\(host.paths.hostToken).berth-node~4194305"]
            try Files.makeFolder(host.paths.configFolder)
            for path in leftovers { try Files.write(path, "half") }
            // One of a process that is alive, and what only looks like one.
            let kept = ["\(host.paths.plugin).berth-node~1", "\(host.paths.plugin).berth-node~x"]
            for path in kept { try Files.write(path, "half") }
            _ = host.look()
            #expect(leftovers.filter(Files.exists) == [])
            #expect(kept.filter(Files.exists) == kept)
        }
    }
}
