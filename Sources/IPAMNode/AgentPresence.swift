package import JSONText
package import KubernetesCore

/// Which agent of the node keeps the host's files, as a small file beside them says: two agents see each other by it
/// without the API server, and where neither can renew the Lease.
///
/// Flow: at every look an agent reads the file and does what ``decide(_:_:now:)`` says.
///
/// Guarantees: of agents that look at the files in turn, the one that was started last stamps the file, and the others
/// leave to it what works. One of them stamps it again only when that agent has been silent for ``patience``.
///
/// Assumptions: the agents of a node share its clock since boot and its boot ID, for they run on one kernel.
///
/// Caveats: reading and stamping are two steps, so that an older agent can overwrite a stamp once, and believe itself
/// alone for one look; ``FileKeeper`` waits longer than that.
///
/// Errors: what cannot be read, is larger than a stamp can be, or is of another boot is nobody's.
package struct AgentPresence: Hashable, Sendable {
    /// One process.
    package struct Agent: Hashable, Sendable {
        /// Its pod, with something of this process; see ``AgentIdentity/holder``.
        package let name: String
        package let bootID: String
        /// By the clock of ``bootID``.
        package let started: Moment

        package init(_ name: String, bootID: String, started: Moment) {
            self.name = name
            self.bootID = bootID
            self.started = started
        }

        fileprivate func isLater(than other: Agent) -> Bool {
            (started, name) > (other.started, other.name)
        }
    }

    package enum Action: Hashable, Sendable {
        /// The file says of this agent what it has to.
        case stay
        /// To say in the file that this agent is here.
        case stamp
        /// The other agent keeps the files.
        case leave(to: Agent)
    }

    package var agent: Agent
    package var seen: Moment

    package init(_ agent: Agent, seen: Moment) {
        self.agent = agent
        self.seen = seen
    }

    /// How long a stamp counts.
    package static let patience = FileKeeper.patience
    /// Between two stamps of one agent, which wear the disk. One look, with an API server that hangs, takes less than the
    /// rest of ``patience``.
    package static let interval: Duration = .seconds(10)

    /// - Parameters:
    ///   - me: The agent that asks.
    ///   - found: What the file says; nil when that is nothing.
    package static func decide(_ me: Agent, _ found: AgentPresence?, now: Moment) -> Action {
        guard let found, found.agent.bootID == me.bootID else { return .stamp }
        let age = now - found.seen
        if found.agent == me { return age >= .zero && age < interval ? .stay : .stamp }
        // It may have been stamped since `now` was read; what lies further ahead is no moment of this boot.
        let isFresh = age < patience && age > .zero - patience
        return isFresh && found.agent.isLater(than: me) ? .leave(to: found.agent) : .stamp
    }

    // MARK: The file

    /// Larger than any stamp: the names of pods and nodes have at most 253 characters.
    static let maximumSize = 4096

    package var json: JSON {
        [
            "agent": .string(agent.name), "bootID": .string(agent.bootID), "started": .int(agent.started.nanoseconds),
            "seen": .int(seen.nanoseconds),
        ]
    }

    package init(_ json: JSON) throws(JSONDecodingError) {
        let fields = try JSONFields(json)
        agent = Agent(
            try fields.requiredString("agent"), bootID: try fields.requiredString("bootID"),
            started: Moment(nanoseconds: Int64(try fields.requiredInt("started"))))
        seen = Moment(nanoseconds: Int64(try fields.requiredInt("seen")))
    }

    /// Nil for a file that is missing or says nothing.
    package static func read(from path: String) -> AgentPresence? {
        guard let content = try? HostFile.read(path, limit: maximumSize), let json = try? JSON(parsing: content)
        else { return nil }
        return try? AgentPresence(json)
    }

    /// It need not survive a power failure, after which it counts no more.
    package func write(to path: String) throws(HostFileError) {
        try HostFile.write(json.serialized() + [UInt8(ascii: "\n")], to: path, mode: 0o600, durably: false)
    }
}
