import IPAMAPI
import IPAddressing
import Testing

@testable import IPAMEngine

@Suite struct LedgerIndexTests {
    @Test func `an address counts for the pool that its allocation names and is taken in its network`() throws {
        var index = LedgerIndex([try record("10.0.0.1"), try record("10.0.0.2", state: .cooling, pool: "green")])
        index.insert(try record("10.0.0.3", network: "red", state: .held))
        index.insert(try record("fd00::1", state: .fenced))
        #expect(index.count == 4)
        #expect(Set(index.poolNames) == ["blue", "green"])

        let blue = index.tally(ofPool: "blue")
        #expect((blue.bound, blue.fenced, blue.cooling, blue.held) == (1, 1, 0, 1))
        #expect((blue.allocated, blue.total) == (2, 3))
        #expect(index.tally(ofPool: "green").cooling == 1)
        #expect(index.tally(ofPool: "none") == PoolTally())

        let all = try range("10.0.0.0-10.0.0.255")
        #expect(index.takenCount(in: all, network: "") == 2)
        #expect(index.takenCount(in: all, network: "red") == 1)
        #expect(index.takenCount(in: all, network: "none") == 0)
        #expect(try index.taken(in: all, network: "") == addresses("10.0.0.1 10.0.0.2"))
        #expect(index.count(ofPool: "blue", in: IPSet(all), network: "") == 1)
        #expect(Set(index.records(ofPool: "blue").map(\.name)).count == 3)
    }

    @Test func `a change of state or pool moves the counts`() throws {
        let old = try record("10.0.0.1")
        var index = LedgerIndex([old])
        let cooling = old.with { $0.state = .cooling }
        index.replace(old, with: cooling)
        #expect(index.tally(ofPool: "blue").cooling == 1)
        #expect(index.tally(ofPool: "blue").total == 1)
        #expect(index.record(of: old.address, network: "") == cooling)
        index.replace(cooling, with: cooling.with { $0.pool = "green" })
        #expect(Array(index.poolNames) == ["green"])
        #expect(index.count == 1)
    }

    @Test func `what is not there can be removed, and what is there entered again`() throws {
        var index = LedgerIndex()
        let only = try record("10.0.0.1")
        index.remove(only)
        index.insert(only)
        index.insert(only)
        #expect(index.tally(ofPool: "blue").total == 1)
        index.remove(AllocationName(only.address))
        index.remove(only)
        #expect(index.count == 0)
        #expect(index.poolNames.isEmpty)
    }

    @Test func `an allocation that cannot be read takes its address and counts for no pool`() throws {
        let old = try record("10.0.0.1")
        var index = LedgerIndex([old, try record("10.0.0.2")])
        index.insert(unreadable: AllocationName(old.address))
        #expect(index.takenCount(in: try range("10.0.0.1"), network: "") == 1)
        #expect(index.tally(ofPool: "blue").total == 1)
        #expect(index.record(of: old.address, network: "") == nil)
        index.insert(old)
        #expect(index.tally(ofPool: "blue").total == 2)
        index.insert(unreadable: AllocationName(old.address))
        index.remove(AllocationName(old.address))
        #expect(index.takenCount(in: try range("10.0.0.1"), network: "") == 0)
    }

    @Test func `the end of each family is no special place`() throws {
        let last = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
        let index = LedgerIndex([
            try record("255.255.255.255"), try record(last), try record("0.0.0.0"), try record("::"),
        ])
        #expect(index.takenCount(in: try range("0.0.0.0-255.255.255.255"), network: "") == 2)
        #expect(index.takenCount(in: try range("::-\(last)"), network: "") == 2)
        #expect(index.takenCount(in: try range("255.255.255.254-255.255.255.255"), network: "") == 1)
        #expect(index.firstFree(in: IPSet(try range(last)), network: "") == nil)
        #expect(try index.firstFree(in: IPSet(try range("::/0")), network: "") == address("::1"))
    }

    @Test func `the lowest free address is behind what is taken without a gap`() throws {
        let index = LedgerIndex([
            try record("10.0.0.1"), try record("10.0.0.2"), try record("10.0.0.3"), try record("10.0.0.5"),
        ])
        func firstFree(_ ranges: String...) throws -> IPAddress? {
            let set = IPSet(family: .v4, ranges: try ranges.map { try range($0) })
            return index.firstFree(in: set, network: "")
        }
        #expect(try firstFree("10.0.0.0-10.0.0.9") == address("10.0.0.0"))
        #expect(try firstFree("10.0.0.1-10.0.0.9") == address("10.0.0.4"))
        #expect(try firstFree("10.0.0.1-10.0.0.3", "10.0.0.5-10.0.0.9") == address("10.0.0.6"))
        #expect(try firstFree("10.0.0.1-10.0.0.3", "10.0.0.5") == nil)
        #expect(index.firstFree(in: IPSet(family: .v4), network: "") == nil)
    }

    @Test func `sixty thousand allocations are entered at once and one by one`() throws {
        let base = try address("10.0.0.0")
        let template = try record("10.0.0.1")
        let records = try (0..<60_000).map { number in
            let address = try #require(base.advanced(by: UInt128(number * 7919 % 60_000)))
            return template.with { $0.address = address }
        }
        var index = LedgerIndex()
        index.insert(contentsOf: Array(records.prefix(59_000)))
        for record in records.suffix(1_000) { index.insert(record) }
        #expect(index.tally(ofPool: "blue").bound == 60_000)
        #expect(index.takenCount(in: try range("10.0.0.0/8"), network: "") == 60_000)
        for record in records.prefix(1_000) { index.remove(record) }
        #expect(index.tally(ofPool: "blue").bound == 59_000)
    }

    /// Every question, answered by looking at all records.
    @Test(arguments: 0..<40 as Range<UInt64>)
    func `after any changes the index says what the records say`(seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        var index = LedgerIndex()
        var model: [String: AllocationRecord] = [:]
        for _ in 0..<120 {
            let new = try randomRecord(using: &generator)
            switch Int.random(in: 0..<6, using: &generator) {
            case 0...2:
                index.insert(new)
                model[new.name] = new
            case 3:
                guard let old = model.values.randomElement(using: &generator) else { continue }
                let changed = new.with {
                    $0.address = old.address
                    $0.network = old.network
                }
                index.replace(old, with: changed)
                model[old.name] = changed
            case 4:
                index.remove(new)
                model[new.name] = nil
            default:
                let count = Bool.random(using: &generator) ? 300 : 3
                let batch = try (0..<count).map { _ in try randomRecord(using: &generator) }
                index.insert(contentsOf: batch)
                for record in batch { model[record.name] = record }
            }
        }
        try compare(index, with: Array(model.values), using: &generator)
        try compare(LedgerIndex(model.values), with: Array(model.values), using: &generator)
    }

    private func compare(
        _ index: LedgerIndex, with records: [AllocationRecord], using generator: inout SplitMix64
    ) throws {
        #expect(index.count == records.count)
        #expect(Set(index.poolNames) == Set(records.map(\.pool)))
        for pool in ["a", "b", "c"] {
            let own = records.filter { $0.pool == pool }
            #expect(Set(index.records(ofPool: pool)) == Set(own))
            let tally = index.tally(ofPool: pool)
            let counts = [AllocationState.bound, .fenced, .cooling, .held].map { state in
                own.count { $0.state == state }
            }
            #expect([tally.bound, tally.fenced, tally.cooling, tally.held] == counts)
            #expect(index.count(ofPool: pool, withUIDOtherThan: "u1") == own.count { $0.poolUID == "u2" })
        }
        for _ in 0..<30 {
            let set = try randomSet(using: &generator)
            let network = Bool.random(using: &generator) ? "" : "red"
            let inside = records.filter { $0.network == network && set.contains($0.address) }
            #expect(index.takenCount(in: set, network: network) == inside.count)
            #expect(index.count(ofPool: "a", in: set, network: network) == inside.count { $0.pool == "a" })
            let free = set.subtracting(
                IPSet(family: set.family, ranges: inside.map { IPRange($0.address) }))
            #expect(index.firstFree(in: set, network: network) == free.first)
            for range in set.ranges {
                let taken = inside.map(\.address).filter { range.contains($0) }.sorted()
                #expect(index.taken(in: range, network: network) == taken)
                #expect(index.takenCount(in: range, network: network) == taken.count)
            }
        }
    }

    private func randomRecord(using generator: inout SplitMix64) throws -> AllocationRecord {
        let number = Int.random(in: 0..<48, using: &generator)
        let texts = ["10.0.0.\(number)", "fd00::\(number)"]
        return try record(
            try #require(texts.randomElement(using: &generator)),
            network: try #require(["", "red"].randomElement(using: &generator)),
            state: try #require(AllocationState.allCases.randomElement(using: &generator)),
            pool: try #require(["a", "b", "c"].randomElement(using: &generator)),
            poolUID: ["u1", "u2", ""].randomElement(using: &generator))
    }

    private func randomSet(using generator: inout SplitMix64) throws -> IPSet {
        let prefix = Bool.random(using: &generator) ? "10.0.0." : "fd00::"
        let ranges = try (0..<3).map { _ in
            let lower = Int.random(in: 0..<50, using: &generator)
            let upper = Int.random(in: lower..<52, using: &generator)
            return try range("\(prefix)\(lower)-\(prefix)\(upper)")
        }
        return IPSet(family: ranges[0].family, ranges: ranges)
    }
}

func range(_ text: String) throws -> IPRange { try IPRange(parsing: text) }
