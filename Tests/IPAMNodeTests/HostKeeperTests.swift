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

        /// - Parameters:
        ///   - agent: Hosts of one folder are one host, with an agent each.
        ///   - second: When the agent was started.
        init(_ folder: String, agent: String = "a1", startedAt second: Int = 0) throws {
            self.folder = folder
            var paths = HostPaths()
            paths.pluginSource = "\(folder)/image-of-\(agent)"
            paths.pluginFolder = "\(folder)/bin"
            paths.configFolder = "\(folder)/net.d/berth.d"
            paths.journalFolder = "\(folder)/journal"
            paths.tokenFile = "\(folder)/token-of-\(agent)"
            self.paths = paths
            for part in ["bin", "net.d"] { try Files.makeFolder("\(folder)/\(part)") }
            keeper = Mutex(Self.keeper(paths, agent, startedAt: second))
            try Files.write(paths.tokenFile, "t1\n")
            try setSource(version: "one")
        }

        private static func keeper(_ paths: HostPaths, _ agent: String, startedAt second: Int) -> HostKeeper {
            HostKeeper(
                node: "n1",
                agent: AgentPresence.Agent(agent, bootID: "b1", started: Moment(nanoseconds: 0) + .seconds(second)),
                paths: paths, options: PluginOptions(),
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
        func restart() { keeper.withLock { $0 = Self.keeper(paths, "a2", startedAt: 1) } }

        /// What one look writes of what two agents may have otherwise.
        func writes(at second: Int) -> Bool {
            let report = look(at: second)
            return report.installedPlugin || report.wroteToken
        }

        /// The agent whose plugin and token are in place.
        func winner(of agents: [String: Host]) throws -> String? {
            let (plugin, token) = (try Files.text(paths.plugin), try Files.text(paths.hostToken))
            return try agents.first { _, host in
                try plugin == Files.text(host.paths.pluginSource) && token == Files.text(host.paths.tokenFile)
            }?.key
        }

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

    // MARK: Two agents of which neither renews the Lease

    /// An agent of another version, and another pod, on the same host.
    private func join(_ host: Host, _ agent: String, startedAt second: Int) throws -> Host {
        let other = try Host(host.folder, agent: agent, startedAt: second)
        try other.setSource(version: agent)
        try Files.write(other.paths.tokenFile, Self.token(pod: agent))
        return other
    }

    @Test func `of two agents that no Lease shows to each other the older leaves the files to the newer`() async throws
    {
        try await withHost { host in
            let old = try join(host, "old", startedAt: 0)
            let new = try join(host, "new", startedAt: 100)
            #expect(old.writes(at: 1))
            #expect(!old.writes(at: 99))
            #expect(new.writes(at: 100))
            for second in stride(from: 101, to: 500, by: 2) {
                #expect(!old.writes(at: second), "\(second)")
                #expect(!new.writes(at: second + 1), "\(second)")
            }
            #expect(try host.winner(of: ["old": old, "new": new]) == "new")
            #expect(AgentPresence.read(from: host.paths.presence)?.agent.name == "new")
            #expect(host.mode(host.paths.presence) == 0o600)
        }
    }

    @Test func `the older agent takes over when the newer is silent, and leaves the files when it is back`()
        async throws
    {
        try await withHost { host in
            let old = try join(host, "old", startedAt: 0)
            let new = try join(host, "new", startedAt: 100)
            let both = ["old": old, "new": new]
            _ = old.look(at: 1)
            _ = new.look(at: 100)
            for second in stride(from: 102, through: 216, by: 2) { #expect(!old.writes(at: second), "\(second)") }
            #expect(try host.winner(of: both) == "new")
            // A stamp counts for a minute, and then what works is left alone for another.
            #expect(old.writes(at: 218))
            #expect(try host.winner(of: both) == "old")
            #expect(AgentPresence.read(from: host.paths.presence)?.agent.name == "old")
            // The newer one hung. What works is left for a while by this one too.
            for second in stride(from: 220, through: 278, by: 2) {
                #expect(!new.writes(at: second), "\(second)")
                #expect(!old.writes(at: second + 1), "\(second)")
            }
            #expect(new.writes(at: 280))
            for second in stride(from: 282, to: 500, by: 2) {
                #expect(!new.writes(at: second), "\(second)")
                #expect(!old.writes(at: second + 1), "\(second)")
            }
            #expect(try host.winner(of: both) == "new")
        }
    }

    @Test func `an agent that leaves the files to another still puts right what is missing or broken`() async throws {
        try await withHost { host in
            let old = try join(host, "old", startedAt: 0)
            let new = try join(host, "new", startedAt: 100)
            _ = old.look(at: 1)
            _ = new.look(at: 100)
            try Files.remove(host.paths.plugin)
            try Files.write(host.paths.kubeconfig, "{")
            #expect(old.look(at: 102).installedPlugin)
            #expect(try ClientConfiguration.load(kubeconfigFile: host.paths.kubeconfig).server.host == "10.0.0.1")
        }
    }

    @Test func `a stamp that cannot be read or is of an earlier boot holds nobody up`() async throws {
        let later = Moment(nanoseconds: 0) + .seconds(1_000)
        let rebooted = AgentPresence(AgentPresence.Agent("other", bootID: "b0", started: later), seen: later)
        for content in ["", "{", "[]", #"{"agent":"other"}"#, rebooted.json.description] {
            try await withHost { host in
                _ = host.look()
                try Files.write(host.paths.plugin, Host.plugin("by hand"), mode: 0o755)
                try Files.write(host.paths.presence, content)
                #expect(!host.look(at: 900).installedPlugin)
                #expect(AgentPresence.read(from: host.paths.presence)?.agent.name == "a1", "\(content)")
                #expect(host.look(at: 960).installedPlugin, "\(content)")
            }
        }
    }

    @Test func `an agent that others cannot see overwrites nothing that works`() async throws {
        try await withHost { host in
            _ = host.look()
            try Files.remove(host.paths.presence)
            try Files.makeFolder(host.paths.presence)
            try Files.write(host.paths.plugin, Host.plugin("two"), mode: 0o755)
            for second in stride(from: 2, to: 300, by: 10) {
                let report = host.look(at: second)
                // It has all that an ADD needs.
                #expect(!report.installedPlugin && report.checks.allSatisfy { $0.problem == nil })
            }
            try Files.removeTree(host.paths.presence)
            #expect(!host.look(at: 300).installedPlugin)
            #expect(host.look(at: 360).installedPlugin)
        }
    }

    @Test func `what killed agents left half written is removed`() async throws {
        try await withHost { host in
            // No process has this number.
            let leftovers = [
                "\(host.paths.plugin).berth-node~4194305", "\(host.paths.hostToken).berth-node~4194305",
                "\(host.paths.presence).berth-node~4194305",
            ]
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
