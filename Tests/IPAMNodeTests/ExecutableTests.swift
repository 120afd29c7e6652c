import Glibc
import IPAMAPI
import IPAMNode
import IPAddressing
import JSONText
import KubernetesCore
import Synchronization
import TestSupport
import Testing

/// berth-node as a process.
@Suite("The executable", .timeLimit(.minutes(5)))
struct ExecutableTests {
    private static func executable() throws -> String {
        let path =
            TestSupport.Environment.value("BERTH_TEST_NODE") ?? "\(Repository.root)/.build/debug/berth-node"
        guard Files.isExecutable(path) else { throw TestSetUpError("\(path) is missing: swift build") }
        return path
    }

    private static func arguments(_ rig: NodeRig) -> [String] {
        let folder = rig.node.folder
        return [
            "run", "--node-name=\(rig.node.name)", "--kubeconfig=\(folder)/agent.kubeconfig",
            "--plugin-source=\(rig.node.runner.executable)", "--plugin-dir=\(folder)/bin", "--config-dir=\(folder)",
            "--journal-dir=\(rig.node.journal)", "--machine-id-file=\(folder)/machine-id",
            "--token-file=\(folder)/agent-token", "--state-file=\(folder)/run/state.json",
            "--host-proc=\(folder)/proc", "--plugin-log-file=\(rig.node.logFile)", "--metrics-port=0",
            "--interval=1s", "--grace-period=1s", "--lease-duration=4s",
        ]
    }

    private static func writeKubeconfig(_ rig: NodeRig) async throws {
        let configuration = try await rig.controlPlane.configuration(as: .node)
        var paths = HostPaths()
        paths.configFolder = "\(rig.node.folder)/none"
        var json = try JSON(parsing: NodeDocuments.kubeconfig(configuration, paths))
        json["users"] = [["name": "berth", "user": ["tokenFile": .string("\(rig.node.folder)/agent-token")]]]
        try Files.write("\(rig.node.folder)/agent.kubeconfig", json.description)
    }

    @Test(.controlPlane) func `it becomes ready, says so to the probe, and ends on SIGTERM with the host as it is`()
        async throws
    {
        try await NodeRig.run { rig in
            try await Self.writeKubeconfig(rig)
            let state = ["--state-file=\(rig.node.folder)/run/state.json"]
            let executable = try Self.executable()
            let early = try await run(executable, ["ready"] + state)
            #expect(early.ending == .exited(1))
            #expect(early.errorText.contains("the agent has not looked yet"))
            let agent = try Command(executable, Self.arguments(rig)).start()
            _ = try await rig.ledger.waitForLease(rig.node.name)
            try await runChecked(executable, ["ready"] + state)
            try await runChecked(executable, ["alive"] + state)
            try Files.removeTree("\(rig.node.folder)/bin")
            try await Self.wait { try await run(executable, ["ready"] + state).ending == .exited(1) }
            let refused = try await run(executable, ["ready"] + state)
            #expect(refused.errorText.contains("plugin: \(rig.node.folder)/bin: is no folder"))
            try await runChecked(executable, ["alive"] + state)
            agent.kill(SIGTERM)
            let outcome = await agent.outcome()
            #expect(outcome.ending == .exited(0), "\(outcome)")
            #expect(Files.exists(rig.node.kubeconfig) && Files.exists(rig.node.tokenFile))
        }
    }

    /// A probe is for kubelet, which polls too.
    private static func wait(_ condition: () async throws -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while try await !condition() {
            guard ContinuousClock.now < deadline else { throw TestSetUpError("the probe does not see it") }
        }
    }

    @Test func `options that make no sense are refused by their names`() async throws {
        let executable = try Self.executable()
        for (arguments, text) in [
            (["run"], "--node-name or NODE_NAME"), (["run", "--node-name=Not_A_Node"], "is no name of a node"),
            (["run", "--node-name=n", "--plugin-dir=bin"], "--plugin-dir"),
            (["run", "--node-name=n", "--plugin-timeout=0s"], "--plugin-timeout"),
            (["run", "--node-name=n", "--interval=0s"], "--interval"),
            (["run", "--node-name=n", "--metrics-port=70000"], "--metrics-port"),
            (["run", "--node-name=n", "--lease-duration=1s"], "--lease-duration"),
        ] {
            let outcome = try await run(executable, arguments, environment: [:])
            #expect(outcome.ending == .exited(64), "\(outcome)")
            #expect(outcome.errorText.contains(text), "\(outcome)")
        }
        let version = try await runChecked(executable, ["version"], environment: [:])
        #expect(version == "berth-node \(ProductVersion.text)\n")
    }

    /// The agent writes the plugin in a process of its own: where the same process starts others, those hold the file open
    /// for a moment, and it cannot be executed.
    @Test func `an upgrade never lets an execution fail, whenever the agent is killed`() async throws {
        let (berth, executable) = (try PluginRunner.berth().executable, try Self.executable())
        try await Files.withTemporaryFolder("upgrade") { folder in
            // Two versions of the real plugin, of which the second has something at its end that nobody reads.
            let versions = ["\(folder)/one", "\(folder)/two"]
            for version in versions { try await runChecked("cp", [berth, version]) }
            try await runChecked("sh", ["-c", "echo >> \(versions[1])"])
            for part in ["bin", "proc"] { try Files.makeFolder("\(folder)/\(part)") }
            try await runChecked("cp", [versions[0], "\(folder)/bin/berth"])
            try Files.write("\(folder)/machine-id", "0123456789abcdef0123456789abcdef")
            try Files.write("\(folder)/agent-token", "a.b.c")
            // Nobody is there: for the files of the host no API server is needed.
            let kubeconfig: JSON = [
                "apiVersion": "v1", "kind": "Config", "current-context": "b",
                "clusters": [["name": "b", "cluster": ["server": "http://127.0.0.1:1"]]],
                "users": [["name": "b", "user": ["token": "a.b.c"]]],
                "contexts": [["name": "b", "context": ["cluster": "b", "user": "b"]]],
            ]
            try Files.write("\(folder)/agent.kubeconfig", kubeconfig.description)
            let loop = """
                n=0; while [ ! -e \(folder)/stop ]; do \(folder)/bin/berth --version >/dev/null || exit 1; n=$((n + 1)); done
                echo $n
                """
            let executions = try (0..<2).map { _ in try Command("sh", ["-c", loop]).start() }
            func agent(_ source: String, killAfter life: Duration? = nil) -> Command {
                Command(
                    executable,
                    [
                        "run", "--node-name=n", "--kubeconfig=\(folder)/agent.kubeconfig", "--plugin-source=\(source)",
                        "--plugin-dir=\(folder)/bin", "--config-dir=\(folder)/conf", "--journal-dir=\(folder)/journal",
                        "--machine-id-file=\(folder)/machine-id", "--token-file=\(folder)/agent-token",
                        "--state-file=\(folder)/run/state.json", "--host-proc=\(folder)/proc", "--metrics-port=0",
                    ], killAfter: life)
            }
            for number in 1...12 {
                _ = try await agent(versions[number % 2], killAfter: .milliseconds(Int.random(in: 1...400))).run()
            }
            // One that is let to do it.
            let last = try agent(versions[1]).start()
            try await Self.wait { try await run("cmp", ["-s", versions[1], "\(folder)/bin/berth"]).succeeded }
            last.kill(SIGTERM)
            _ = await last.outcome()
            try Files.write("\(folder)/stop", "")
            for execution in executions {
                let outcome = await execution.outcome()
                #expect(outcome.succeeded, "\(outcome)")
            }
            #expect(try Files.names(in: "\(folder)/bin") == ["berth"])
        }
    }

    @Test(.controlPlane)
    func `an agent that is killed at any point leaves nothing that the next one does not put right`()
        async throws
    {
        try await NodeRig.run { rig in
            try await Self.writeKubeconfig(rig)
            // So large that what is deleted by hand is not given to another pod at once.
            let pool = try await rig.makePool("pool", cooldown: "0s", ["subnet": .string(rig.subnets.subnet6)])
            let executable = try Self.executable()
            let isOver = Observed(false)
            let (live, dead) = try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    while !isOver.value {
                        let life = Duration.milliseconds(Int.random(in: 20...7_000))
                        let outcome = try await Command(executable, Self.arguments(rig), killAfter: life).run()
                        try #require(outcome.ending == .signalled(SIGKILL), "\(outcome)")
                    }
                }
                defer { isOver.update { $0 = true } }
                return try await Self.disturb(rig, pool: pool)
            }
            try await rig.withAgent { agent in
                for name in dead { try await rig.ledger.waitUntilGone(name) }
                for started in live {
                    try await rig.ledger.waitForHolder(started.name, started.sandbox.attachment())
                }
                try await agent.waitForMetric("berth_node_pending_releases", 0)
                try await rig.waitForSentinel(pool: pool)
                var believed: [IPAMAPI.Attachment: Set<IPAddress>] = [:]
                for started in live {
                    believed[started.sandbox.attachment()] = [try IPAddress(parsing: started.address)]
                }
                let audit = try await rig.controlPlane.audit(pool: pool, believed: believed)
                #expect(audit.isClean, "\(audit)")
                #expect(audit.agreed == live.count)
                #expect(agent.metric("berth_node_conflicts_total") == 0)
            }
        }
    }

    /// Lets pods come and go, sandboxes die, and allocations be deleted by hand. Returns what lives at the end, and the
    /// names of what has died.
    private static func disturb(_ rig: NodeRig, pool: String) async throws -> ([Started], Set<String>) {
        var live: [Started] = []
        var names: Set<String> = []
        for round in 0..<24 {
            let started = try await rig.start("pod-\(round)", pool: pool)
            names.insert(started.name)
            live.append(started)
            switch round % 4 {
            case 0: continue
            case 1: try await rig.kill(live.removeFirst().sandbox)
            case 2:
                let ended = live.removeFirst()
                try await rig.node.del(ended.sandbox, rig.node.configuration(pools: [pool])).checked()
            default:
                // It may be gone already, for a moment, by an earlier one of these.
                let allocation = live[live.count / 2]
                try? await rig.deleteAllocation(allocation.name)
            }
        }
        return (live, names.subtracting(live.map(\.name)))
    }
}
