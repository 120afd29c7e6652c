import IPAMAPI
import IPAMEngine
import IPAMLedger
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

@Suite("Pending releases", .timeLimit(.minutes(10)))
struct PendingReleaseTests {
    /// A list of what is to be released is old as soon as it is read: while one of its releases is under way, an ADD may
    /// take up another.
    @Test(.controlPlane) func `what an ADD takes up again is not released any more`() async throws {
        let controlPlane = try await ControlPlane.ready()
        let pool = Subnets.next()
        try await controlPlane.makePool(
            pool.name, ["subnet": .string(pool.subnet4), "cooldown": "0s"], isCompiled: true)
        try await withTestNode(controlPlane) { node in
            let attachments = ["a", "b"].map {
                IPAMAPI.Attachment(networkName: "net", containerID: $0, interface: "eth0")
            }
            let configuration = try await controlPlane.configuration(as: .plugin)
            let held = try await controlPlane.withConnection(configuration) { connection in
                func claim(_ attachment: IPAMAPI.Attachment) throws -> HeldAddress? {
                    let start = connection.now()
                    let order = ClaimOrder(
                        attachment: attachment, pod: nil, netns: nil,
                        demand: .named([try NamePattern(parsing: pool.name)]), startedAt: start)
                    var ledger = try node.ledger(connection)
                    return try ledger.claim(
                        order, deadlines: ClaimDeadlines(answer: start + .seconds(30), startedAt: start)
                    ).held.first
                }

                let names = try attachments.map { try claim($0)?.name }
                var offline = try node.ledger(OfflineTransport())
                var budget = ReleaseBudget()
                budget.release = .milliseconds(1)
                for attachment in attachments { try offline.delete(attachment, budget: budget) }

                // While the first release is under way, the other attachment is wanted again.
                var again: (IPAMAPI.Attachment, HeldAddress?)?
                let interrupted = InterruptedTransport(connection) { request in
                    let other = request.subject.name == names[0] ? 1 : 0
                    again = (attachments[other], try? claim(attachments[other]))
                }
                var ledger = try node.ledger(interrupted)
                ledger.carryOutReleases(limit: .max, deadline: .soon)
                #expect(ledger.journal.releasing() == [])
                return again
            }
            let (attachment, address) = try #require(held)
            let left = try await controlPlane.allocations(pool: pool.name)
            #expect(left.map(\.spec.attachment) == [attachment])
            #expect(left.map(\.metadata.name) == [address?.name])
        }
        try await controlPlane.removePools([pool.name])
    }

    // MARK: After an outage of the API server

    /// A pool of one address, which a DEL could only write down as released.
    private func withOwedRelease(
        cooldown: String = "0s", strategy: PoolStrategy = .random, _ body: (ClaimBench, ClaimPool) async throws -> Void
    ) async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(size: 1, cooldown: cooldown, strategy: strategy)
            let sandbox = try bench.node.newSandbox()
            let added = try await bench.add(sandbox, pool).checked()
            await bench.proxy.suspend()
            try await bench.del(sandbox, pool, previous: added)
            try await bench.proxy.resume()
            #expect(bench.node.pendingReleases == [sandbox.attachment().digest])
            bench.proxy.clearLog()
            try await body(bench, pool)
        }
    }

    @Test(.controlPlane, arguments: ["0s", "10s"], PoolStrategy.allCases)
    func `an ADD that would find its pool full makes the releases that the node owes it`(
        cooldown: String, strategy: PoolStrategy
    ) async throws {
        try await withOwedRelease(cooldown: cooldown, strategy: strategy) { bench, pool in
            // As far as the controller knows.
            try await bench.publish(pool, free: [])
            let next = try bench.node.newSandbox()
            #expect(try await bench.add(next, pool).checked().addresses == pool.addresses)
            #expect(try await bench.holders(pool) == [pool.addresses[0]: next.attachment()])
            #expect(bench.node.pendingReleases.isEmpty)
            // It is full now, and nothing is owed: an ADD is refused, and releases nothing.
            bench.proxy.clearLog()
            #expect(try await bench.add(try bench.node.newSandbox(), pool).code == PluginCode.exhausted)
            #expect(bench.proxy.log.statuses("delete").isEmpty)
            #expect(bench.proxy.log.statuses("patch").isEmpty)
        }
    }

    @Test(.controlPlane) func `an ADD that finds an address leaves the releases of others to a DEL`() async throws {
        try await withOwedRelease { bench, pool in
            let other = try await bench.makePool()
            let sandbox = try bench.node.newSandbox()
            try await bench.add(sandbox, pool, other).checked()
            #expect(bench.node.pendingReleases.isEmpty == false)
            #expect(bench.proxy.log.statuses("delete").isEmpty)
        }
    }

    @Test(.controlPlane) func `a STATUS says no to no ADD that would be served`() async throws {
        try await withOwedRelease { bench, pool in
            try await bench.node.status(bench.configuration([pool])).checked()
            #expect(try await bench.allocations(pool).isEmpty)
        }
    }

    @Test(.controlPlane) func `a repeated DEL makes releases that are owed, and no request when none are`() async throws
    {
        try await withOwedRelease { bench, pool in
            let configuration = bench.configuration([pool])
            try bench.node.forgetOutage()
            try await bench.node.delAgain(try bench.node.newSandbox(), configuration).checked()
            #expect(bench.node.pendingReleases.isEmpty)
            #expect(try await bench.allocations(pool).isEmpty)
            bench.proxy.clearLog()
            try await bench.node.delAgain(try bench.node.newSandbox(), configuration).checked()
            #expect(bench.proxy.log.isEmpty)
        }
    }

    @Test(.controlPlane) func `the log tells a release from an address that was not held any more`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(size: 2, cooldown: "0s")
            let (released, lost) = (try bench.node.newSandbox(), try bench.node.newSandbox())
            for sandbox in [released, lost] { try await bench.add(sandbox, pool).checked() }
            let address = try #require(try await bench.holders(pool).first { $0.value == lost.attachment() }?.key)
            try await bench.deleteAllocation(address)
            for sandbox in [released, lost] { try await bench.del(sandbox, pool) }
            let lines = bench.node.log.split(separator: "\n").filter { $0.contains("allocation=") }
            let gone = lines.filter { $0.contains("msg=\"not held any more\"") }
            #expect(gone.count == 1)
            #expect(gone.first?.contains("allocation=\(address)") == true)
            #expect(lines.count { $0.contains("msg=released") } == 1)
        }
    }
}

/// No server anywhere.
private final class OfflineTransport: Transport {
    func perform(_ requests: [APIRequest], deadline: Moment) -> [Reply] {
        requests.map { _ in .failure(TransportFailure(kind: .connect, message: "offline", mayHaveBeenSent: false)) }
    }

    func now() -> Moment { .now() }
    func sleep(until moment: Moment) { moment.sleep() }
}

/// Does something else before the first request is sent.
private final class InterruptedTransport: Transport {
    private let base: any Transport
    private var interruption: ((APIRequest) -> Void)?

    init(_ base: any Transport, _ interruption: @escaping (APIRequest) -> Void) {
        self.base = base
        self.interruption = interruption
    }

    func perform(_ requests: [APIRequest], deadline: Moment) -> [Reply] {
        if let interruption {
            self.interruption = nil
            interruption(requests[0])
        }
        return base.perform(requests, deadline: deadline)
    }

    func now() -> Moment { base.now() }
    func sleep(until moment: Moment) { base.sleep(until: moment) }
}
