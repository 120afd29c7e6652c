import Glibc
import IPAMAPI
import IPAddressing
import JSONText
import KubernetesCore
import Synchronization
import TestSupport
import Testing

extension ControllerTests {
    @Suite("Hammer") struct ControllerHammerTests {
        /// BERTH_HAMMER_PODS (default 400) and BERTH_HAMMER_SEED (default random) change what it does.
        @Test func `pods come and go, plugin and controllers are killed: nothing leaks and no live address is freed`()
            async throws
        {
            let pods = TestSupport.Environment.value("BERTH_HAMMER_PODS").flatMap { Int($0) } ?? 400
            let seed =
                TestSupport.Environment.value("BERTH_HAMMER_SEED").flatMap { UInt64($0) } ?? .random(in: 0...(.max))
            try await ControllerRig.idle { rig in
                let hammer = try await PodHammer(rig, pods: pods, seed: seed)
                let report = try await hammer.run()
                print(report.line)
                #expect(report.duplicates == [])
                #expect(report.lost == [])
                #expect(report.leaked == [])
                // Otherwise it would have tested something else.
                #expect(report.controllerKills > 0)
                #expect(report.abandoned > pods / 10)
            }
        }
    }
}

/// Runtimes that make pods, attach them and lose them in every way, beside two controllers that are killed at random.
///
/// - Flow: workers make pods and call the plugin, some of whose processes are killed. Pods end with a DEL, without one, by
///   finishing, or by a successor of their name. In the middle one node falls silent and comes back. At the end some pods
///   live, and after the bound the ledger must name them and nobody else.
private final class PodHammer: Sendable {
    struct Report: Sendable {
        var seed: UInt64
        var pods = 0
        var pluginKills = 0
        var controllerKills = 0
        /// Pods that went without a DEL.
        var abandoned = 0
        var duplicates: [String] = []
        var lost: [String] = []
        var leaked: [String] = []

        var line: String {
            "controller hammer: pods \(pods), plugin kills \(pluginKills), controller kills \(controllerKills),"
                + " gone without DEL \(abandoned), duplicates \(duplicates.count), live addresses freed \(lost.count),"
                + " leaked after the bound \(leaked.count) (seed \(seed))"
        }
    }

    private static let workers = 8
    private static let nodeCount = 4

    private let rig: ControllerRig
    private let pods: Int
    private let seed: UInt64
    private let nodes: [TestNode]
    private let pools: [String]
    private let report: Mutex<Report>
    /// Which live sandbox has an address, as its runtime believes.
    private let holders = Mutex<[String: TestSandbox]>([:])

    init(_ rig: ControllerRig, pods: Int, seed: UInt64) async throws {
        self.rig = rig
        self.pods = pods
        self.seed = seed
        report = Mutex(Report(seed: seed))
        let ranges: JSON = [.string("\(rig.subnets.address4(10))-\(rig.subnets.address4(120))")]
        let cooling: JSON = [.string("\(rig.subnets.address4(121))-\(rig.subnets.address4(240))")]
        pools = [
            try await rig.makePool("free", ["ranges": ranges, "cooldown": "0s"]),
            try await rig.makePool("cooling", ["ranges": cooling, "cooldown": "1s"]),
        ]
        var nodes: [TestNode] = []
        for number in 0..<Self.nodeCount {
            let node = try await TestNode(rig.controlPlane, name: rig.subnets.name("machine-\(number)"))
            try await rig.makeNode("machine-\(number)", machineID: node.machineID)
            nodes.append(node)
        }
        self.nodes = nodes
    }

    func run() async throws -> Report {
        defer { for node in nodes { try? node.remove() } }
        let controllers = try await ControllerProcesses(rig.controlPlane)
        do {
            try await hammer(controllers)
            try await audit()
        } catch {
            await controllers.end()
            throw error
        }
        await controllers.end()
        return report.withLock(\.self)
    }

    private func hammer(_ controllers: ControllerProcesses) async throws {
        var generator = SplitMix64(seed: seed)
        let seeds = (0..<Self.workers).map { _ in generator.next() }
        let chaosSeed = generator.next()
        try await withThrowingTaskGroup(of: Void.self) { group in
            let chaos = Task { try await controllers.killAtRandom(SplitMix64(seed: chaosSeed)) }
            for seed in seeds {
                group.addTask { try await self.work(SplitMix64(seed: seed), pods: self.pods / Self.workers) }
            }
            group.addTask { try await self.silenceANode() }
            do {
                try await group.waitForAll()
            } catch {
                chaos.cancel()
                throw error
            }
            chaos.cancel()
            _ = await chaos.result
        }
        report.withLock { $0.controllerKills = controllers.kills }
    }

    /// While a node does not report, what leaked there is fenced.
    private func silenceANode() async throws {
        let name = nodes[0].name
        try await rig.setNode(name, isReady: false)
        _ = try? await rig.ledger.allocations.wait(for: "a fenced address", within: .seconds(8)) { objects -> Bool? in
            objects.values.contains { $0["spec"]?["state"]?.string == "Fenced" } ? true : nil
        }
        try await rig.setNode(name, isReady: true)
    }

    // MARK: Workers

    private func work(_ generator: SplitMix64, pods: Int) async throws {
        var generator = generator
        for _ in 0..<pods {
            let node = nodes[Int.random(in: 0..<nodes.count, using: &generator)]
            let pod = try await rig.makePod("p-\(String(generator.next(), radix: 36))", on: node.name)
            report.withLock { $0.pods += 1 }
            try await live(pod, on: node, &generator)
        }
    }

    private func live(_ pod: TestPod, on node: TestNode, _ generator: inout SplitMix64) async throws {
        let sandbox = try node.newSandbox(pod: pod)
        let configuration = node.configuration(pools: [pools[Int.random(in: 0...1, using: &generator)]])
        let isKilled = Int.random(in: 0..<100, using: &generator) < 15
        let killAfter: Duration? = isKilled ? .microseconds(Int.random(in: 0...40_000, using: &generator)) : nil
        let added = try await node.runner.run(node.call("ADD", sandbox, configuration), killAfter: killAfter)
        if isKilled { report.withLock { $0.pluginKills += 1 } }
        for address in added.addresses { hold(address, sandbox) }
        let end = Int.random(in: 0..<100, using: &generator)
        if added.succeeded, end < 10 { return }
        try await check(added, sandbox)
        for address in added.addresses { letGo(address, sandbox) }
        switch end {
        case ..<45:
            _ = try await node.del(sandbox, configuration, previous: added)
            try await rig.controlPlane.delete(pod)
            if !added.succeeded { report.withLock { $0.abandoned += 1 } }
        case ..<75:
            report.withLock { $0.abandoned += 1 }
            try await rig.controlPlane.delete(pod)
        case ..<88:
            report.withLock { $0.abandoned += 1 }
            try await rig.setPhase(pod, end.isMultiple(of: 2) ? "Succeeded" : "Failed")
        default:
            report.withLock { $0.abandoned += 1 }
            let successor = try await rig.recreate(pod)
            let next = try node.newSandbox(pod: successor)
            let again = try await node.add(next, configuration)
            for address in again.addresses { hold(address, next) }
        }
    }

    private func hold(_ address: String, _ sandbox: TestSandbox) {
        let other = holders.withLock { holders in
            defer { holders[address] = sandbox }
            return holders[address]
        }
        if let other {
            report.withLock { $0.duplicates.append("\(address): \(other.containerID), \(sandbox.containerID)") }
        }
    }

    private func letGo(_ address: String, _ sandbox: TestSandbox) {
        holders.withLock { if $0[address] == sandbox { $0[address] = nil } }
    }

    /// What a live sandbox was given must be its own in the ledger.
    private func check(_ added: PluginOutcome, _ sandbox: TestSandbox) async throws {
        for address in added.addresses { try await check(address, sandbox) }
    }

    private func check(_ address: String, _ sandbox: TestSandbox) async throws {
        let allocation = try await rig.controlPlane.allocation(address)
        guard allocation?.spec.attachment == sandbox.attachment() else {
            report.withLock {
                $0.lost.append("\(address) of \(sandbox.containerID): \(allocation?.holderDescription ?? "nobody")")
            }
            return
        }
    }

    // MARK: The end

    /// After the bound the ledger names those that live, and nobody else.
    private func audit() async throws {
        let living = holders.withLock(\.self)
        let pools = Set(pools)
        do {
            // Lease, grace period, cooldown, and room for a busy machine.
            _ = try await rig.ledger.allocations.wait(for: "the end of every leak", within: .seconds(60)) {
                objects -> Bool? in
                let ours = objects.values.filter { pools.contains($0["spec"]?["pool"]?.string ?? "") }
                return ours.count == living.count ? true : nil
            }
        } catch is WaitTimeout {
            let ours = rig.ledger.allocations.value.values.filter { pools.contains($0["spec"]?["pool"]?.string ?? "") }
            for object in ours {
                let address = object["spec"]?["address"]?.string ?? "?"
                if living[address] == nil { report.withLock { $0.leaked.append("\(address): \(object)") } }
            }
        }
        for (address, sandbox) in living { try await check(address, sandbox) }
    }
}

/// Two berth-controller processes, each started again whenever it has been killed.
private final class ControllerProcesses: Sendable {
    private let executable: String
    private let arguments: [String]
    private let processes: Mutex<[RunningProcess]>
    private let killCount = Mutex(0)

    var kills: Int { killCount.withLock(\.self) }

    init(_ controlPlane: ControlPlane) async throws {
        guard let executable = TestSupport.Environment.value("BERTH_TEST_CONTROLLER") else {
            throw TestSetUpError(
                "BERTH_TEST_CONTROLLER is not set: run hack/test.sh, or name the berth-controller to test")
        }
        self.executable = executable
        arguments = [
            "--kubeconfig", controlPlane.kubeconfig, "--bind-address", "127.0.0.1", "--probe-port", "0",
            "--webhook-port", "0", "--grace-period", "2s", "--lease-duration", "6s", "--log-level", "warning",
        ]
        processes = Mutex([])
        for _ in 0..<2 { try start() }
    }

    private func start() throws {
        let process = try Command(executable, arguments, limit: .seconds(600)).start()
        processes.withLock { $0.append(process) }
    }

    func killAtRandom(_ generator: SplitMix64) async throws {
        var generator = generator
        while !Task.isCancelled {
            // The moments of the kills are what is tested; nothing waits for them.
            try await Task.sleep(for: .milliseconds(Int.random(in: 500...4_000, using: &generator)))
            let victim = processes.withLock { processes in
                processes.remove(at: Int.random(in: 0..<processes.count, using: &generator))
            }
            victim.kill(SIGKILL)
            _ = await victim.outcome()
            killCount.withLock { $0 += 1 }
            try start()
        }
    }

    func end() async {
        let processes = processes.withLock(\.self)
        for process in processes { process.kill(SIGTERM) }
        for process in processes { _ = await process.outcome() }
    }
}
