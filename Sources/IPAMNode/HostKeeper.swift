package import ControllerHTTP
import Glibc
import JSONText
package import KubernetesClient
package import KubernetesCore
package import Logging

/// Keeps the plugin and its files on the host as they have to be.
///
/// Flow: each look compares every file with what it should be, in the order token, kubeconfig, berth.conf, plugin, so that
/// a plugin that is there finds what it needs.
///
/// Guarantees: every file is replaced as a whole, and only when it differs; see ``FileKeeper`` for when, and
/// ``AgentPresence`` for how another agent of the node is noticed. A file called berth that is not Berth's plugin is
/// never touched.
///
/// Errors: none is thrown. What could not be done is said in the check of the file, and tried again at the next look.
package struct HostKeeper {
    /// What the agent knows beside the files themselves.
    package struct Situation {
        /// No other agent of the node has been seen lately, but for what the files themselves say.
        package var isAlone: Bool
        /// A token that the API server has refused.
        package var refusedToken: String?

        package init(isAlone: Bool, refusedToken: String? = nil) {
            self.isAlone = isAlone
            self.refusedToken = refusedToken
        }
    }

    /// What happened at one look.
    package struct Report {
        package var checks: [ReadinessCheck] = []
        package var installedPlugin = false
        package var wroteToken = false
        /// Of the token that the plugin shows now; nil without one that can be read.
        package var token: ServiceToken?
    }

    private let node: String
    private let agent: AgentPresence.Agent
    private let paths: HostPaths
    private let options: PluginOptions
    private let logger: Logger
    private var keepers: [String: FileKeeper] = [:]
    /// What was said last of another agent, or of why this one cannot be seen by it.
    private var toldOfPresence: String?
    private var plugin: (source: FileStamp, target: FileStamp, found: FileKeeper.Found)?
    private var hasSwept = false

    /// - Parameter agent: This one.
    package init(
        node: String, agent: AgentPresence.Agent, paths: HostPaths, options: PluginOptions, logger: Logger
    ) {
        self.node = node
        self.agent = agent
        self.paths = paths
        self.options = options
        self.logger = logger
    }

    /// - Parameters:
    ///   - server: How the agent reaches the API server, from which the plugin's kubeconfig is made.
    ///   - wallTime: Seconds since 1970, for the life of tokens.
    package mutating func look(
        _ server: Result<ClientConfiguration, ConfigurationError>, _ situation: Situation, now: Moment,
        wallTime: Int64
    ) -> Report {
        sweepOnce()
        var situation = situation
        if !keepPresence(now: now) { situation.isAlone = false }
        var report = Report()
        report.checks.append(
            check("token") { host, keeper throws(HostFileError) in
                try HostFile.makeFolder(host.paths.configFolder, mode: 0o700)
                report.wroteToken = try host.keepToken(&keeper, situation, now: now, wallTime: wallTime)
            })
        report.token = (try? HostFile.read(paths.hostToken)).flatMap { $0 }
            .flatMap { ServiceToken(Self.trimmed($0)) }
        report.checks.append(
            check("kubeconfig") { host, keeper throws(HostFileError) in
                try host.keepKubeconfig(server, &keeper, situation, now: now)
            })
        report.checks.append(
            check("berth.conf") { host, keeper throws(HostFileError) in
                try host.keepConfiguration(&keeper, situation, now: now)
            })
        report.checks.append(
            check("plugin") { host, keeper throws(HostFileError) in
                report.installedPlugin = try host.keepPlugin(&keeper, situation, now: now)
            })
        return report
    }

    private mutating func check(
        _ name: String, _ body: (inout HostKeeper, inout FileKeeper) throws(HostFileError) -> Void
    ) -> ReadinessCheck {
        var keeper = keepers[name] ?? FileKeeper()
        defer { keepers[name] = keeper }
        do throws(HostFileError) {
            try body(&self, &keeper)
            return ReadinessCheck(name)
        } catch {
            keeper.failed()
            return ReadinessCheck(name, problem: "\(error)")
        }
    }

    private mutating func sweepOnce() {
        guard !hasSwept else { return }
        hasSwept = true
        for path in [paths.hostToken, paths.kubeconfig, paths.configuration, paths.plugin, paths.presence] {
            HostFile.sweep(path)
        }
    }

    // MARK: Other agents

    /// Returns whether no later agent keeps the files.
    private mutating func keepPresence(now: Moment) -> Bool {
        switch AgentPresence.decide(agent, AgentPresence.read(from: paths.presence), now: now) {
        case .stay: return true
        case .leave(let other):
            if toldOfPresence != other.name {
                logger.notice(
                    "another agent, which was started later, keeps the files of the host",
                    metadata: ["agent": "\(other.name)"])
            }
            toldOfPresence = other.name
            return false
        case .stamp:
            do throws(HostFileError) {
                try HostFile.makeFolder(paths.configFolder, mode: 0o700)
                try AgentPresence(agent, seen: now).write(to: paths.presence)
                toldOfPresence = nil
                return true
            } catch {
                // An agent that others cannot see must not take what they wrote for left behind.
                if toldOfPresence != error.description {
                    logger.warning(
                        "other agents of the node cannot see this one", metadata: ["error": "\(error)"])
                }
                toldOfPresence = error.description
                return false
            }
        }
    }

    // MARK: Configuration

    private static let privateMode: UInt32 = 0o600

    private func keepKubeconfig(
        _ server: Result<ClientConfiguration, ConfigurationError>, _ keeper: inout FileKeeper,
        _ situation: Situation, now: Moment
    ) throws(HostFileError) {
        let configuration: ClientConfiguration
        do throws(ConfigurationError) {
            configuration = try server.get()
        } catch {
            throw HostFileError(paths.kubeconfig, "\(error)")
        }
        let path = paths.kubeconfig
        try keep(path, NodeDocuments.kubeconfig(configuration, paths), &keeper, situation, now: now) { content in
            (try? ClientConfiguration.load(kubeconfigJSON: content, path: path)) != nil
        }
    }

    private func keepConfiguration(
        _ keeper: inout FileKeeper, _ situation: Situation, now: Moment
    ) throws(HostFileError) {
        let content = NodeDocuments.configuration(node: node, paths, options)
        try keep(paths.configuration, content, &keeper, situation, now: now) { [node] content in
            (try? JSON(parsing: content))?["nodeName"]?.string == node
        }
    }

    private func keep(
        _ path: String, _ content: [UInt8], _ keeper: inout FileKeeper, _ situation: Situation, now: Moment,
        works: ([UInt8]) -> Bool
    ) throws(HostFileError) {
        let found: FileKeeper.Found
        if let present = try HostFile.read(path) {
            let isPrivate = try FileStamp(path)?.mode == Self.privateMode
            found = !isPrivate ? .broken : present == content ? .same : works(present) ? .other : .broken
        } else {
            found = .missing
        }
        guard keeper.decide(found, isAlone: situation.isAlone, now: now) == .write else { return }
        try HostFile.write(content, to: path, mode: Self.privateMode)
        logger.info("wrote a file", metadata: ["file": "\(path)", "found": "\(found)"])
    }

    // MARK: The token

    /// Returns whether it was written.
    private func keepToken(
        _ keeper: inout FileKeeper, _ situation: Situation, now: Moment, wallTime: Int64
    ) throws(HostFileError) -> Bool {
        guard let bytes = try HostFile.read(paths.tokenFile) else {
            throw HostFileError(paths.tokenFile, "does not exist; it is a projected volume of the agent's pod")
        }
        let own = Self.trimmed(bytes)
        guard !own.isEmpty else { throw HostFileError(paths.tokenFile, "is empty") }
        let found: FileKeeper.Found
        if let present = try HostFile.read(paths.hostToken) {
            let isPrivate = try FileStamp(paths.hostToken)?.mode == Self.privateMode
            found =
                isPrivate
                ? Self.compare(Self.trimmed(present), own, refused: situation.refusedToken, wallTime: wallTime)
                : .broken
        } else {
            found = .missing
        }
        guard keeper.decide(found, isAlone: situation.isAlone, now: now) == .write else { return false }
        try HostFile.write(Array(own.utf8), to: paths.hostToken, mode: Self.privateMode)
        logger.info("wrote the token", metadata: ["file": "\(paths.hostToken)", "found": "\(found)"])
        return true
    }

    /// An older token of this very pod, or account where tokens are bound to no pod, is of no use any more: it was
    /// replaced before it expires.
    static func compare(
        _ present: String, _ own: String, refused: String?, wallTime: Int64
    ) -> FileKeeper.Found {
        if present == own { return .same }
        guard present != refused, let token = ServiceToken(present), !token.isExpired(now: wallTime) else {
            return .broken
        }
        guard let mine = ServiceToken(own), token.podUID == mine.podUID, token.subject == mine.subject else {
            return .other
        }
        return .broken
    }

    private static func trimmed(_ bytes: [UInt8]) -> String {
        func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
        let start = bytes.firstIndex { !isSpace($0) } ?? bytes.endIndex
        let end = (bytes.lastIndex { !isSpace($0) } ?? start - 1) + 1
        return String(decoding: bytes[start..<max(start, end)], as: UTF8.self)
    }

    // MARK: The plugin

    private static let pluginMode: UInt32 = 0o755

    /// Returns whether it was installed.
    private mutating func keepPlugin(
        _ keeper: inout FileKeeper, _ situation: Situation, now: Moment
    ) throws(HostFileError) -> Bool {
        guard HostFile.isFolder(paths.pluginFolder) else {
            throw HostFileError(paths.pluginFolder, "is no folder; mount the host's folder of CNI plugins there")
        }
        let found = try lookAtPlugin()
        switch keeper.decide(found, isAlone: situation.isAlone, now: now) {
        case .none: return false
        case .refuse:
            throw HostFileError(
                paths.plugin, "is not Berth's plugin, and is not replaced: another program has its name; remove it")
        case .write:
            guard let content = try HostFile.read(paths.pluginSource) else {
                throw HostFileError(paths.pluginSource, "does not exist")
            }
            try HostFile.write(content, to: paths.plugin, mode: Self.pluginMode)
            plugin = nil
            logger.notice("installed the plugin", metadata: ["file": "\(paths.plugin)", "found": "\(found)"])
            return true
        }
    }

    /// Reads the files only when they have changed.
    private mutating func lookAtPlugin() throws(HostFileError) -> FileKeeper.Found {
        guard let source = try FileStamp(paths.pluginSource) else {
            throw HostFileError(paths.pluginSource, "does not exist")
        }
        guard let target = try FileStamp(paths.plugin) else { return .missing }
        if let plugin, plugin.source == source, plugin.target == target { return plugin.found }
        let found = try compare(target)
        plugin = (source, target, found)
        return found
    }

    private func compare(_ target: FileStamp) throws(HostFileError) -> FileKeeper.Found {
        guard target.isRegular else { return .foreign }
        guard let content = try HostFile.read(paths.plugin) else { return .missing }
        guard let own = try HostFile.read(paths.pluginSource) else {
            throw HostFileError(paths.pluginSource, "does not exist")
        }
        guard PluginFile.isBerths(own) else { throw HostFileError(paths.pluginSource, "is not Berth's plugin") }
        if content == own { return target.mode & Self.pluginMode == Self.pluginMode ? .same : .broken }
        guard PluginFile.isBerths(content) else { return .foreign }
        return target.mode & 0o111 == 0 ? .broken : .other
    }
}
