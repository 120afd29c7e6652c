import TestSupport
import Testing

@Suite("Hammer", .timeLimit(.minutes(10)))
struct HammerTests {
    /// BERTH_HAMMER_OPERATIONS (default 3,000) and BERTH_HAMMER_SEED (default random) change what it does.
    @Test(.controlPlane) func `no address is given twice, lost or leaked, whatever is killed`() async throws {
        let operations = Environment.value("BERTH_HAMMER_OPERATIONS").flatMap { Int($0) } ?? 3000
        let seed = Environment.value("BERTH_HAMMER_SEED").flatMap { UInt64($0) } ?? .random(in: 0...(.max))
        let hammer = try await Hammer(try await ControlPlane.ready(), operations: operations, seed: seed)
        // It loads the machine as much as all others together.
        let report = try await Turnstile.plugins.pass(takingAll: true) { try await hammer.run() }
        print(report.line)
        #expect(report.duplicates == [])
        #expect(report.lost == [])
        #expect(report.leaked == [])
        #expect(report.problems == [])
        // Otherwise it would have tested something else.
        #expect(report.beliefs.operations >= operations)
        #expect(report.beliefs.kills > operations / 20)
        #expect(report.watch.events > report.beliefs.claims)
        if report.isClean {
            try await hammer.remove()
        } else {
            print("hammer: logs and journals are left in \(hammer.machines.map(\.folder))")
        }
    }
}
