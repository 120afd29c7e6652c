import IPAMNode
import KubernetesCore
import TestSupport
import Testing

@Suite("Which agent keeps the files of the host")
struct AgentPresenceTests {
    private static func at(_ seconds: Int) -> Moment { Moment(nanoseconds: 0) + .seconds(seconds) }

    private static func agent(_ name: String, startedAt second: Int, bootID: String = "b1") -> AgentPresence.Agent {
        AgentPresence.Agent(name, bootID: bootID, started: at(second))
    }

    private static let me = agent("me", startedAt: 100)
    private static let older = agent("older", startedAt: 99)
    private static let later = agent("later", startedAt: 101)

    /// What an agent that was started at second 100 does at second 200.
    private static let cases: [(AgentPresence?, AgentPresence.Action)] = [
        (nil, .stamp),
        (AgentPresence(me, seen: at(200)), .stay), (AgentPresence(me, seen: at(191)), .stay),
        (AgentPresence(me, seen: at(190)), .stamp), (AgentPresence(me, seen: at(201)), .stamp),
        (AgentPresence(older, seen: at(200)), .stamp), (AgentPresence(older, seen: at(120)), .stamp),
        (AgentPresence(later, seen: at(200)), .leave(to: later)),
        (AgentPresence(later, seen: at(141)), .leave(to: later)),
        // Silent for the whole patience.
        (AgentPresence(later, seen: at(140)), .stamp),
        // Stamped after this agent had looked at its clock; no moment of this boot.
        (AgentPresence(later, seen: at(201)), .leave(to: later)), (AgentPresence(later, seen: at(260)), .stamp),
        (AgentPresence(later, seen: .distantFuture), .stamp),
        (AgentPresence(later, seen: Moment(nanoseconds: .min)), .stamp),
        (AgentPresence(agent("later", startedAt: 101, bootID: "b0"), seen: at(200)), .stamp),
        // Started in one moment: either of them knows which.
        (AgentPresence(agent("mf", startedAt: 100), seen: at(200)), .leave(to: agent("mf", startedAt: 100))),
        (AgentPresence(agent("md", startedAt: 100), seen: at(200)), .stamp),
        // The same pod's container before it was started anew.
        (AgentPresence(agent("me", startedAt: 50), seen: at(200)), .stamp),
    ]

    @Test(arguments: cases)
    func `the agent that was started last does, and another one when that is silent`(
        found: AgentPresence?, action: AgentPresence.Action
    ) {
        #expect(AgentPresence.decide(Self.me, found, now: Self.at(200)) == action)
    }

    @Test func `a stamp is read as it was written`() async throws {
        try await Files.withTemporaryFolder("presence") { folder in
            let path = "\(folder)/presence"
            #expect(AgentPresence.read(from: path) == nil)
            let longest = Self.agent(String(repeating: "n", count: 253) + "_3w5e11264sgsf", startedAt: 1)
            for stamp in [AgentPresence(Self.me, seen: Self.at(7)), AgentPresence(longest, seen: .distantFuture)] {
                try stamp.write(to: path)
                #expect(AgentPresence.read(from: path) == stamp)
            }
            #expect(try Files.names(in: folder) == ["presence"])
        }
    }

    @Test(arguments: [
        "", "\0\0\0\0", "{", "null", "[]", "{}", #"{"agent":"a","bootID":"b1","started":1}"#,
        #"{"agent":"a","bootID":"b1","started":1,"seen":"now"}"#,
        #"{"agent":"a","bootID":"b1","started":1,"seen":99999999999999999999}"#,
        // One that is right, but larger than any.
        #"{"agent":"a","bootID":"b1","started":1,"seen":1}"# + String(repeating: " ", count: 5_000),
    ])
    func `what is no stamp is nobody's`(content: String) async throws {
        try await Files.withTemporaryFolder("presence") { folder in
            try Files.write("\(folder)/presence", content)
            #expect(AgentPresence.read(from: "\(folder)/presence") == nil)
        }
    }

    /// libcni takes a file for a configuration by its suffix, in the folder itself and in one of a network's name.
    @Test func `no container runtime takes the file for a network configuration`() {
        let paths = HostPaths()
        #expect(paths.presence == "/etc/cni/net.d/berth.d/presence")
        #expect([".conf", ".conflist", ".json"].allSatisfy { !paths.presence.hasSuffix($0) })
    }
}
