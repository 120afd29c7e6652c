import IPAMAPI
import TestSupport

extension Bench {
    /// Many ADDs at once, in turn with as many C programs.
    func concurrent() async throws -> [Figure] {
        let pool = try await pool("concurrent", cooldown: "0s")
        let floorPool = try await self.pool("concurrent-floor", cooldown: "0s")
        let rounds = options.isQuick ? 2 : 7
        var figures: [Figure] = []
        for size in [10, 50, 100] {
            var bursts = Bursts()
            var floors = Samples()
            var dels = Samples()
            for round in -1..<rounds {
                let (made, wall) = try await alternate(
                    round + 1, { try await burst(size, of: pool) },
                    { try await floorBurst(size, of: floorPool) })
                let released = try await release(made)
                if round < 0 { continue }
                bursts.append(made)
                floors.append(wall)
                dels.append(released)
            }
            let goal: Figure.Goal? = size == 100 ? .atMost(1) : nil
            figures.append(
                Figure(
                    .concurrent, "\(size) ADDs at once, wall", .seconds, bursts.wall,
                    beside: ("\(size) C programs", floors), goal: goal, note: bursts.note))
            figures.append(Figure(.concurrent, "\(size) DELs at once, wall", .seconds, dels))
        }
        return figures
    }

    /// ADDs that are all started before the first one is waited for.
    func burst(_ size: Int, of pool: BenchPool) async throws -> Burst {
        let attachments = try (0..<size).map { try attachment($0, pool.name) }
        let start = ContinuousClock.now
        let running = try attachments.map { try $0.node.runner.start($0.addCall) }
        var outcomes: [PluginOutcome] = []
        for process in running { outcomes.append(await process.outcome()) }
        let wall = (ContinuousClock.now - start).inSeconds
        return Burst(wall: wall, held: Array(zip(attachments, outcomes)))
    }

    /// DELs of all that a burst holds, at once; returns their wall time in seconds.
    @discardableResult
    func release(_ burst: Burst) async throws -> Double {
        let start = ContinuousClock.now
        let running = try burst.held.filter(\.1.succeeded).map { attachment, added in
            try attachment.node.runner.start(attachment.delCall(after: added))
        }
        for process in running { _ = try await process.outcome().checked() }
        return (ContinuousClock.now - start).inSeconds
    }

    /// As many C programs at once; returns their wall time in seconds.
    private func floorBurst(_ size: Int, of pool: BenchPool) async throws -> Double {
        let specs = try (0..<size).map { try floorAllocation($0, of: pool) }
        let commands = specs.indices.map { floor.add(pods[$0 % pods.count], specs[$0]) }
        let start = ContinuousClock.now
        let running = try commands.map { try $0.start() }
        for process in running { _ = try await process.outcome().checked() }
        let wall = (ContinuousClock.now - start).inSeconds
        try await Fillers.delete(specs.map(\.objectName), controlPlane)
        return wall
    }
}

/// ADDs that ran at once, and what came of them.
struct Burst: Sendable {
    /// In seconds.
    let wall: Double
    let held: [(BenchAttachment, PluginOutcome)]

    var failures: [PluginOutcome] { held.map(\.1).filter { !$0.succeeded } }

    /// How many addresses were given to more than one.
    var duplicateCount: Int {
        let addresses = held.flatMap(\.1.addresses)
        return addresses.count - Set(addresses).count
    }
}

/// Several bursts of one kind.
struct Bursts: Sendable {
    private(set) var wall = Samples()
    private var failureCount = 0
    private var duplicateCount = 0

    mutating func append(_ burst: Burst) {
        wall.append(burst.wall)
        if failureCount == 0, let first = burst.failures.first { say("  failed: \(first)") }
        failureCount += burst.failures.count
        duplicateCount += burst.duplicateCount
    }

    var note: String { "\(failureCount) failed, \(duplicateCount) duplicates" }
}
