import IPAMAPI
import IPAddressing
import JSONText
import Synchronization
import TestSupport
import Testing

/// Hundreds of calls on several nodes through a proxy that does at random what a network and a server do on a bad day.
@Suite("A random schedule of faults", .controlPlane, .timeLimit(.minutes(10)))
struct FaultScheduleTests {
    /// Seeds that were of interest, and one of today.
    static let seeds: [UInt64] = [1, 2, .random(in: 3 ... .max)]

    @Test(arguments: seeds) func `nothing is given twice, lost or leaked`(seed: UInt64) async throws {
        // Short, for a call whose answers get lost waits for it. Cooldown on one family, none on the other.
        try await ClaimBench.run(settings: ["timeoutSeconds": 5]) { bench in
            let v4 = try await bench.makePool(.v4, size: 60, cooldown: "1s")
            let v6 = try await bench.makePool(.v6, size: 60, cooldown: "0s")
            try await withNodes(bench, count: 5) { nodes in
                let schedule = FaultSchedule(bench: bench, nodes: nodes, pools: [v4, v6], seed: seed)
                schedule.begin()
                try await schedule.run(operations: 100)
                for _ in 0..<10 where schedule.counts.kills == 0 || schedule.counts.failures == 0 {
                    try await schedule.run(operations: 20)
                }
                bench.proxy.removeRules()
                try await schedule.end()
                #expect(schedule.counts.kills > 0 && schedule.counts.failures > 0, "\(schedule.counts)")
                #expect(schedule.faults.value > 20, "\(schedule.counts)")

                let allocations = try await bench.allocations(v4) + bench.allocations(v6)
                let audit = LedgerAudit(allocations, believed: try schedule.believed())
                print("seed \(seed): \(schedule.counts), \(schedule.faults.value) faults; \(audit)")
                #expect(audit.isClean, "seed \(seed): \(audit)")
                #expect(audit.agreed == 2 * schedule.counts.running, "seed \(seed)")
                #expect(audit.agreed > 0, "seed \(seed)")
            }
        }
    }

    private func withNodes(
        _ bench: ClaimBench, count: Int, _ nodes: [TestNode] = [], _ body: ([TestNode]) async throws -> Void
    ) async throws {
        if nodes.count == count { return try await body(nodes) }
        try await withTestNode(bench.controlPlane, through: bench.proxy, settings: ["timeoutSeconds": 5]) { node in
            try await bench.makeWhole(node)
            try await withNodes(bench, count: count, nodes + [node], body)
        }
    }
}

/// The calls of one run and what the runtime believes after them.
private final class FaultSchedule: Sendable {
    struct Counts: Sendable, CustomStringConvertible {
        var adds = 0
        var dels = 0
        var failures = 0
        var kills = 0
        var running = 0

        var description: String {
            "\(adds) ADDs, \(dels) DELs, \(failures) failures, \(kills) kills, \(running) left running"
        }
    }

    /// A sandbox from its first ADD until a DEL of it has succeeded.
    private struct Sandbox {
        var sandbox: TestSandbox
        var node: TestNode
        /// What the runtime was told; nil after an ADD that failed or was killed, and since a DEL was begun.
        var addresses: [String]?
    }

    let bench: ClaimBench
    let nodes: [TestNode]
    let pools: [ClaimPool]
    let faults = Observed(0)
    private let dice: Mutex<SplitMix64>
    private let state = Mutex<(counts: Counts, sandboxes: [Sandbox])>((Counts(), []))

    init(bench: ClaimBench, nodes: [TestNode], pools: [ClaimPool], seed: UInt64) {
        self.bench = bench
        self.nodes = nodes
        self.pools = pools
        dice = Mutex(SplitMix64(seed: seed))
    }

    var counts: Counts {
        state.withLock { state in
            var counts = state.counts
            counts.running = state.sandboxes.count
            return counts
        }
    }

    private func roll(_ range: Range<Int>) -> Int { dice.withLock { Int.random(in: range, using: &$0) } }

    /// Lets one request in seven meet a fault.
    func begin() {
        let actions: [FaultAction] = [
            .dropAnswer(), .dropAnswer(.stream), .cutAnswer(afterBytes: 30), .dropBeforeForward(),
            .dropBeforeForward(.stream), .refuseStream, .delay(.milliseconds(200)), .delay(.milliseconds(1500)),
            .alreadyExists, .conflict, .tooManyRequests(retryAfterSeconds: 1), .internalError, .serviceUnavailable,
            .serverTimeout, .html(status: 502), .html(status: 200), .hang,
        ]
        for action in actions {
            let unlucky = RequestMatcher("unlucky") { [self] _ in
                let isUnlucky = roll(0..<120) == 0
                if isUnlucky { faults.update { $0 += 1 } }
                return isUnlucky
            }
            bench.proxy.when(unlucky, .always, action)
        }
    }

    /// Runs so many calls, one after another on each node and side by side on different ones.
    func run(operations: Int) async throws {
        try await withThrowingTaskGroup { group in
            for node in nodes {
                group.addTask { [self] in
                    for _ in 0..<operations / nodes.count { try await step(on: node) }
                }
            }
            try await group.waitForAll()
        }
    }

    private func step(on node: TestNode) async throws {
        let choice = roll(0..<10)
        let mine = state.withLock { state in state.sandboxes.filter { $0.node === node }.map(\.sandbox) }
        if choice < 5 || mine.isEmpty {
            try await add(try node.newSandbox(), on: node)
        } else if choice < 6 {
            try await add(mine[roll(0..<mine.count)], on: node)
        } else {
            try await del(mine[roll(0..<mine.count)], on: node)
        }
    }

    private func add(_ sandbox: TestSandbox, on node: TestNode) async throws {
        let configuration = bench.configuration(pools, on: node)
        state.withLock { state in
            state.counts.adds += 1
            if !state.sandboxes.contains(where: { $0.sandbox == sandbox }) {
                state.sandboxes.append(Sandbox(sandbox: sandbox, node: node))
            }
        }
        let call = node.call("ADD", sandbox, configuration)
        let outcome = try await node.runner.run(call, killAfter: killTime())
        state.withLock { state in
            state.counts.note(outcome)
            guard let index = state.sandboxes.firstIndex(where: { $0.sandbox == sandbox }) else { return }
            // After a failure of a repeated ADD the sandbox still has what the first one gave it.
            if outcome.succeeded { state.sandboxes[index].addresses = outcome.addresses }
        }
    }

    private func del(_ sandbox: TestSandbox, on node: TestNode) async throws {
        state.withLock { state in
            state.counts.dels += 1
            for index in state.sandboxes.indices where state.sandboxes[index].sandbox == sandbox {
                state.sandboxes[index].addresses = nil
            }
        }
        let call = node.call("DEL", sandbox, bench.configuration(pools, on: node))
        let outcome = try await node.runner.run(call, killAfter: killTime())
        state.withLock { state in
            state.counts.note(outcome)
            if outcome.succeeded { state.sandboxes.removeAll { $0.sandbox == sandbox } }
        }
    }

    private func killTime() -> Duration? {
        roll(0..<8) == 0 ? .milliseconds(roll(0..<400)) : nil
    }

    /// Deletes what has no addresses, as a runtime does after a failure, and lets the nodes carry out what is pending.
    func end() async throws {
        for sandbox in state.withLock({ $0.sandboxes }) where sandbox.addresses == nil {
            try await sandbox.node.del(sandbox.sandbox, bench.configuration(pools, on: sandbox.node)).checked()
            state.withLock { state in state.sandboxes.removeAll { $0.sandbox == sandbox.sandbox } }
        }
        // What is still on its way arrives before the nodes look for it.
        try await bench.proxy.waitFor("the last requests") { log in
            !log.contains { $0.fate == .held || $0.fate == .forwarded }
        }
        for node in nodes {
            _ = try await bench.carryOut(on: node, attempts: 40) { try await leaks(of: node) == 0 }
        }
    }

    private func leaks(of node: TestNode) async throws -> Int {
        var allocations: [IPAllocation] = []
        for pool in pools { allocations += try await bench.allocations(pool) }
        return LedgerAudit(allocations.filter { $0.spec.node == node.name }, believed: try believed()).leaked.count
    }

    func believed() throws -> [IPAMAPI.Attachment: Set<IPAddress>] {
        var believed: [IPAMAPI.Attachment: Set<IPAddress>] = [:]
        for sandbox in state.withLock({ $0.sandboxes }) {
            guard let addresses = sandbox.addresses else { continue }
            believed[sandbox.sandbox.attachment()] = Set(try addresses.map { try IPAddress(parsing: $0) })
        }
        return believed
    }
}

extension FaultSchedule.Counts {
    fileprivate mutating func note(_ outcome: PluginOutcome) {
        switch outcome.process.ending {
        case .signalled: kills += 1
        case .exited(0): break
        case .exited: failures += 1
        }
    }
}
