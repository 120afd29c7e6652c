import KubernetesCore
import Testing

@testable import IPAMLedger

/// What an ADD makes of a name that an earlier one wrote down (`Ledger+Survey`).
@Suite struct LedgerSurveyTests {
    private static let holders: [Holder?] = [
        nil, .ours, .other, .cooling, .deleting, .oursDeleting, .otherMachine, .malformed,
    ]

    @Test(arguments: holders, [nil, "7"] as [String?])
    func `without a create under way a name is the attachment's or nothing`(holder: Holder?, version: String?) throws {
        let record = try record("10.0.0.5", version: version)
        let found = try holder.map { try allocation("10.0.0.5", $0, version: "9") }
        let seen = record.seen(found, by: claimant, at: moment(1000))
        #expect(seen?.brief == (holder == .ours ? "10.0.0.5 v9" : nil))
    }

    @Test(arguments: holders, [nil, "7"] as [String?])
    func `a name of which a create may still be committed is not forgotten`(holder: Holder?, version: String?) throws {
        let record = try record("10.0.0.5", version: version, until: moment(1060))
        let found = try holder.map { try allocation("10.0.0.5", $0, version: "9") }
        let seen = record.seen(found, by: claimant, at: moment(1000))
        #expect(seen?.brief == (holder == .ours ? "10.0.0.5 v9 late" : "10.0.0.5 late"))
        #expect(seen?.mayCommitUntil == moment(1060))
    }

    @Test(arguments: holders)
    func `after its limit a create is not waited for`(holder: Holder?) throws {
        let record = try record("10.0.0.5", until: moment(1000))
        let found = try holder.map { try allocation("10.0.0.5", $0) }
        #expect((record.seen(found, by: claimant, at: moment(1000)) != nil) == (holder == .ours))
    }

    @Test func `the pool is what the allocation says`() throws {
        let record = try record("10.0.0.5", pool: "former")
        let seen = record.seen(try allocation("10.0.0.5", .ours, pool: "blue"), by: claimant, at: moment(0))
        #expect(seen?.pool == "blue")
        #expect(seen?.poolUID == "uid-blue")
    }
}
