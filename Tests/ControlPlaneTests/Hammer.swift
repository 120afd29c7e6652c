import IPAMAPI
import IPAMLedger
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport

/// Many container runtimes that attach and detach at once and whose plugin processes are killed at random moments, with
/// what they must find afterwards.
///
/// - Flow: ``run()`` lets workers call the plugin, each for sandboxes of its own, until there were enough operations,
///   while ``HammerWatch`` compares the ledger with what the runtimes believe. Then every sandbox is detached, what the
///   journals still have to release is carried out, as a node agent would, and nothing may be left.
/// - Assumptions: a runtime that has no answer to an ADD, or a bad one, makes a DEL, and repeats a DEL until one is
///   answered.
/// - Caveats: a seed decides what each worker does next, but not how the processes meet.
final class Hammer: Sendable {
    static let workers = 16
    static let sandboxesPerWorker = 4
    /// Of the pools that have one.
    static let cooldown: Duration = .seconds(1)

    let controlPlane: ControlPlane
    let operations: Int
    let seed: UInt64
    /// Six machines with five node names: the last one is named like the first.
    let machines: [TestNode]
    let pools: HammerPools
    let beliefs = RuntimeBeliefs()

    init(_ controlPlane: ControlPlane, operations: Int, seed: UInt64) async throws {
        self.controlPlane = controlPlane
        self.operations = operations
        self.seed = seed
        let subnets = Subnets.next()
        pools = HammerPools(subnets)
        try await pools.make(controlPlane)
        var machines: [TestNode] = []
        for number in 1...5 {
            machines.append(try await TestNode(controlPlane, name: subnets.name("node-\(number)")))
        }
        machines.append(try await TestNode(controlPlane, name: machines[0].name))
        self.machines = machines
    }

    func remove() async throws {
        try await controlPlane.removePools(pools.names)
        for machine in machines { try machine.remove() }
    }

    /// Hammers, and says what came of it.
    func run() async throws -> HammerReport {
        let rested = try await makeWorkers()
        let watch = try await HammerWatch(self)
        let workers = try await withThrowingTaskGroup { group in
            group.addTask { try await watch.run() }
            group.addTask { try await watch.follow() }
            let workers = try await Self.all(rested) { try await $0.hammer() }
            watch.stop()
            try await group.waitForAll()
            return workers
        }
        try await carryOutReleases()
        let atRest = LedgerAudit(try await allocations(), believed: beliefs.believed)

        _ = try await Self.all(workers) { try await $0.detachAll() }
        try await carryOutReleases()
        let atEnd = LedgerAudit(try await allocations(), believed: beliefs.believed)
        return HammerReport(
            seed: seed, beliefs: beliefs.state, watch: try await watch.findings(), atRest: atRest, atEnd: atEnd)
    }

    private func makeWorkers() async throws -> [HammerWorker] {
        var generator = SplitMix64(seed: seed)
        let configurations = machines.map { pools.configurations(on: $0) }
        return try await withThrowingTaskGroup { group in
            for number in 0..<Self.workers {
                let seed = generator.next()
                group.addTask { [self] in
                    var slots: [HammerSlot] = []
                    for index in 0..<Self.sandboxesPerWorker {
                        let machine = (number + index) % machines.count
                        let name = "\(pools.subnets.name)-pod-\(number)-\(index)"
                        let pod = try await controlPlane.makePod(name, node: machines[machine].name)
                        let demand = configurations[machine][index % configurations[machine].count]
                        slots.append(HammerSlot(node: machines[machine], pod: pod, demand: demand))
                    }
                    return HammerWorker(self, slots, SplitMix64(seed: seed))
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
    }

    /// Calls `body` for all workers at once and returns them as they are afterwards.
    private static func all(
        _ workers: [HammerWorker], _ body: @escaping @Sendable (inout HammerWorker) async throws -> Void
    ) async throws -> [HammerWorker] {
        try await withThrowingTaskGroup { group in
            for worker in workers {
                group.addTask {
                    var worker = worker
                    try await body(&worker)
                    return worker
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
    }

    func allocations() async throws -> [IPAllocation] {
        try await controlPlane.allocations(labelSelector: pools.selector)
    }

    /// Makes the releases that the plugin could only write down, like a node agent.
    private func carryOutReleases() async throws {
        let configuration = try await controlPlane.configuration(as: .plugin)
        let bootID = try Files.text("/proc/sys/kernel/random/boot_id").filter { !$0.isWhitespace }
        for machine in machines {
            try await controlPlane.withConnection(configuration) { connection in
                var ledger = Ledger(
                    transport: connection,
                    journal: Journal(
                        folder: machine.journal, bootID: bootID, node: machine.name, machineID: machine.machineID,
                        now: { .now() }),
                    node: machine.name, machineID: machine.machineID, log: SilentLog(), isHostAddress: { _ in false },
                    wallClock: { 0 })
                try ledger.ensureWhole(deadline: .soon)
                ledger.carryOutReleases(limit: .max, deadline: .soon)
            }
        }
    }

    private struct SilentLog: LedgerLog {
        var level: LogLevel { .error }
        func write(_ level: LogLevel, _ message: StaticString, _ metadata: [(String, String)]) {}
    }
}

/// Four pools, too small for all sandboxes at once: one of each family without cooldown, and one of each with.
struct HammerPools: Sendable {
    let subnets: TestSubnets
    private let specs: [(name: String, spec: JSON)]

    init(_ subnets: TestSubnets) {
        self.subnets = subnets
        func spec(_ subnet: String, _ range: (String, String), cooldown: String) -> JSON {
            ["subnet": .string(subnet), "ranges": [.string("\(range.0)-\(range.1)")], "cooldown": .string(cooldown)]
        }
        let cooldown = "\(Hammer.cooldown.components.seconds)s"
        specs = [
            ("v4", spec(subnets.subnet4, (subnets.address4(10), subnets.address4(31)), cooldown: "0s")),
            ("v6", spec(subnets.subnet6, (subnets.address6(10), subnets.address6(31)), cooldown: "0s")),
            ("cool-v4", spec(subnets.subnet4, (subnets.address4(100), subnets.address4(116)), cooldown: cooldown)),
            ("cool-v6", spec(subnets.subnet6, (subnets.address6(100), subnets.address6(116)), cooldown: cooldown)),
        ].map { (subnets.name($0.0), $0.1) }
    }

    var names: [String] { specs.map(\.name) }
    var selector: String { "\(LabelKey.pool) in (\(names.joined(separator: ",")))" }

    func make(_ controlPlane: ControlPlane) async throws {
        for (name, spec) in specs { try await controlPlane.makePool(name, spec) }
    }

    /// What sandboxes of a machine ask for: both families, one, the other, and both with cooldown.
    func configurations(on node: TestNode) -> [HammerDemand] {
        [[names[0], names[1]], [names[0]], [names[1]], [names[2], names[3]]].map { pools in
            HammerDemand(configuration: node.configuration(pools: pools), addressCount: pools.count)
        }
    }
}

/// A network configuration and the number of addresses that it leads to.
struct HammerDemand: Sendable {
    let configuration: JSON
    let addressCount: Int
}

/// What was found.
struct HammerReport: Sendable {
    let seed: UInt64
    let beliefs: RuntimeBeliefs.State
    let watch: HammerWatch.Findings
    /// When all workers rested, before the last detachments.
    let atRest: LedgerAudit
    /// When nothing was attached any more.
    let atEnd: LedgerAudit

    var duplicates: [String] {
        beliefs.duplicates + watch.duplicates + (atRest.duplicates + atEnd.duplicates).map { "\($0)" }
    }
    var lost: [String] { watch.lost + (atRest.lost + atEnd.lost).map { "\($0)" } }
    var leaked: [String] { (atRest.leaked + atEnd.leaked).map { "\($0)" } }
    /// What else was wrong.
    var problems: [String] { beliefs.problems + watch.problems }

    var isClean: Bool { duplicates.isEmpty && lost.isEmpty && leaked.isEmpty && problems.isEmpty }

    var line: String {
        let codes = beliefs.failures.sorted { $0.key < $1.key }.map { "code \($0.key): \($0.value)" }
        return "hammer: operations \(beliefs.operations), kills \(beliefs.kills), duplicates \(duplicates.count),"
            + " addresses lost \(lost.count), leaked after DEL \(leaked.count)"
            + " (seed \(seed), claims \(beliefs.claims), failed ADDs [\(codes.joined(separator: ", "))],"
            + " ledger read \(watch.reads) times, \(watch.events) events)"
    }
}
