import IPAMAPI
import IPAddressing
import Testing

@testable import IPAMEngine

@Suite struct OccupancyWindowChoiceTests {
    private func choose(
        _ pool: ValidatedPool, _ index: LedgerIndex = LedgerIndex(), previous: Occupancy? = nil
    ) -> Occupancy? {
        OccupancyWindowChoice(pool: pool, index: index, previous: previous.map { IPPool.OccupancyWindow($0) })
            .occupancy()
    }

    /// Allocations of every address from one on.
    private func full(_ first: String, count: Int) throws -> [AllocationRecord] {
        let template = try record("10.0.0.1")
        let first = try address(first)
        return try (0..<count).map { offset in
            let address = try #require(first.advanced(by: UInt128(offset)))
            return template.with { $0.address = address }
        }
    }

    @Test(arguments: [
        ("10.0.0.4/30", "10.0.0.5", 8, 2), ("10.0.0.4/31", "10.0.0.4", 8, 2), ("10.0.0.4/32", "10.0.0.4", 8, 1),
        ("10.0.0.0/22", "10.0.0.1", 1024, 1022), ("10.0.0.0/18", "10.0.0.1", 16_384, 16_382),
        // A window that lacks not even the network address has one more.
        ("10.0.0.0/17", "10.0.32.0", 16_384, 16_384), ("10.0.0.0/12", "10.0.64.0", 16_384, 16_384),
        ("10.0.0.0/8", "10.4.0.0", 16_384, 16_384), ("fd00::/64", "fd00::400:0:0:0", 16_384, 16_384),
        ("fd00::/48", "fd00:0:0:400::", 16_384, 16_384), ("2000::/3", "2080::", 16_384, 16_384),
        ("16.0.0.0/4", "16.64.0.0", 16_384, 16_384), ("fd00::/127", "fd00::", 8, 2),
        ("fd00::/115", "fd00::1", 8192, 8191), ("fd00::/114", "fd00::1", 16_384, 16_383),
        // At the end of the families the bits must end there too.
        ("255.255.255.0/24", "255.255.255.0", 256, 254), ("255.255.0.0/16", "255.255.32.0", 16_384, 16_384),
    ])
    func `an empty pool of any size has a window`(subnet: String, first: String, count: Int, free: Int) throws {
        let occupancy = try #require(choose(try pool(subnet)))
        #expect(try occupancy.first == address(first))
        #expect(occupancy.count == count)
        #expect(occupancy.freeCount == free)
    }

    @Test(arguments: ["0.0.0.0/0", "::/0", "64.0.0.0/2"])
    func `the window of a pool that contains special addresses lies beside them`(subnet: String) throws {
        let occupancy = try #require(choose(try pool(subnet)))
        #expect(occupancy.count == 16_384)
        #expect(occupancy.freeCount == 16_384)
    }

    @Test func `a tiny pool at the end of the family has no hint, for bits come in eights`() throws {
        #expect(choose(try pool("255.255.255.254/31")) == nil)
        #expect(choose(try pool("255.255.255.248/29"))?.first == (try address("255.255.255.248")))
    }

    @Test func `the hint is one that a claimant takes`() throws {
        for subnet in ["10.0.0.4/30", "255.255.255.0/24", "10.0.0.0/8", "fd00::/48", "fd00::/127"] {
            let index = LedgerIndex()
            let status = PoolCensus.status(of: try pool(subnet), index: index, now: "2025-11-20T12:00:00Z")
            let published = try pool(subnet, status: status)
            #expect(published.occupancy != nil)
            var generator = SplitMix64(seed: 1)
            let choice = CandidateSource(pool: published).next(using: &generator)
            #expect(published.usable.contains(try #require(choice.address)))
        }
    }

    @Test func `a large pool shows the window with the most room`() throws {
        let index = LedgerIndex(try full("10.0.0.0", count: 20_000) + full("10.0.128.0", count: 32_768))
        let occupancy = try #require(choose(try pool("10.0.0.0/16"), index))
        // What is free is 10.0.78.32 to 10.0.127.255.
        #expect(try occupancy.first == address("10.0.64.0"))
        #expect(occupancy.freeCount == 12_768)
        let next = try #require(choose(try pool("10.0.0.0/16"), LedgerIndex(try full("10.0.0.0", count: 20_000))))
        #expect(try next.first == address("10.0.96.0"))
        #expect(next.freeCount == 16_384)
    }

    @Test func `a window is kept while it has half of the room of the best one`() throws {
        let pool = try pool("10.0.0.0/16")
        let previous = try #require(Occupancy(first: address("10.0.64.0"), bitmap: [UInt8](repeating: 0, count: 2048)))
        let half = LedgerIndex(try full("10.0.64.0", count: 8192))
        let kept = try #require(choose(pool, half, previous: previous))
        #expect(kept.first == previous.first)
        #expect(kept.freeCount == 8192)
        // One that begins between the steps may have more room than any that does not.
        let between = try #require(Occupancy(first: address("10.0.48.0"), bitmap: [UInt8](repeating: 0, count: 2048)))
        let rest = LedgerIndex(try full("10.0.0.0", count: 12_288) + full("10.0.112.0", count: 36_864))
        #expect(choose(pool, rest, previous: between)?.freeCount == 16_384)
        #expect(choose(pool, rest)?.freeCount == 12_288)
        let less = LedgerIndex(try full("10.0.64.0", count: 8193))
        #expect(choose(pool, less, previous: previous)?.first != previous.first)
    }

    @Test(arguments: [("10.1.0.0", 2048), ("10.0.255.0", 2048), ("10.0.64.0", 2047), ("fd00::", 2048)])
    func `a window that a stranger wrote is not kept`(first: String, bytes: Int) throws {
        let strange = Occupancy(first: try address(first), bitmap: [UInt8](repeating: 0, count: bytes))
        #expect(strange != nil)
        let occupancy = try #require(choose(try pool("10.0.0.0/16"), previous: strange))
        #expect(try occupancy.first == address("10.0.32.0"))
    }

    @Test func `a pool that gives addresses in their order shows where the lowest free one is`() throws {
        let pool = try pool("10.0.0.0/16", strategy: .sequential)
        #expect(try choose(pool)?.first == address("10.0.0.0"))
        let occupancy = try #require(choose(pool, LedgerIndex(try full("10.0.0.1", count: 20_000))))
        #expect(try occupancy.first == address("10.0.64.0"))
        #expect(try !occupancy.isTaken(address("10.0.78.33")))
        let hole = LedgerIndex(try full("10.0.0.1", count: 100) + full("10.0.0.102", count: 20_000))
        #expect(try choose(pool, hole)?.first == address("10.0.0.0"))
    }

    @Test func `of a pool with more windows than are looked at, the one that has the last free address is found`()
        throws
    {
        // One address in each of 256 steps, all taken but one, which is between the windows that are looked at.
        let all = (0..<256).map { "10.\($0 / 8).\($0 % 8 * 32).1" }
        let pool = try pool("10.0.0.0/11", ranges: all)
        let index = LedgerIndex(try all.filter { $0 != all[202] }.map { try record($0) })
        let occupancy = try #require(choose(pool, index))
        #expect(occupancy.freeCount == 1)
        #expect(try !occupancy.isTaken(address(all[202])))
    }

    @Test func `a hint without a free bit means that nothing is free`() throws {
        let index = LedgerIndex(try full("10.0.0.0", count: 65_536))
        #expect(choose(try pool("10.0.0.0/16"), index)?.freeCount == 0)
        #expect(choose(try pool("10.0.0.0/24"), index)?.freeCount == 0)
        let sequential = try pool("10.0.0.0/16", strategy: .sequential)
        #expect(choose(sequential, index)?.freeCount == 0)
    }

    @Test func `with sixty thousand taken in a /8 the window holds what is free in it`() throws {
        let template = try record("10.0.0.1")
        var generator = SplitMix64(seed: 5)
        let pool = try pool("10.0.0.0/8")
        var values: Set<IPAddress> = []
        while values.count < 60_000 {
            if let address = pool.usable.randomElement(using: &generator) { values.insert(address) }
        }
        let index = LedgerIndex(values.map { value in template.with { $0.address = value } })
        let occupancy = try #require(choose(pool, index))
        let last = try #require(occupancy.address(at: occupancy.count - 1))
        let window = IPSet(try #require(IPRange(lower: occupancy.first, upper: last)))
        let free = pool.usable.intersection(window).count - UInt128(values.count { window.contains($0) })
        #expect(UInt128(occupancy.freeCount) == free)
    }

    /// Small pools with random ranges: every bit and every count is what a look at each address says.
    @Test(arguments: 0..<150 as Range<UInt64>)
    func `bits and counts are what a look at each address says`(seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        let bits = Int.random(in: 0...9, using: &generator)
        let isIPv4 = Bool.random(using: &generator)
        let subnet = isIPv4 ? "10.0.0.0/\(32 - bits)" : "fd00::/\(128 - bits)"
        let all = IPSet(try IPPrefix(parsing: subnet).range)
        func randomRange() throws -> String {
            let ends = [all.randomElement(using: &generator), all.randomElement(using: &generator)].compactMap { $0 }
            return "\(try #require(ends.min()))-\(try #require(ends.max()))"
        }
        let exclude = try (0..<Int.random(in: 0...2, using: &generator)).map { _ in try randomRange() }
        let reserved = bits > 4 ? [try randomRange()] : []
        let made = try? pool(subnet, exclude: exclude, status: IPPool.Status(reserved: reserved, observedGeneration: 3))
        guard let pool = made else { return }
        var records: [AllocationRecord] = []
        for index in 0..<all.count where Bool.random(using: &generator) {
            let address = try #require(all.element(at: index))
            records.append(
                try record(
                    "\(address)", network: ["", "", "red"].randomElement(using: &generator) ?? "",
                    state: AllocationState.allCases.randomElement(using: &generator) ?? .bound,
                    pool: ["blue", "green"].randomElement(using: &generator) ?? ""))
        }
        let status = PoolCensus.status(of: pool, index: LedgerIndex(records), now: "2025-11-20T12:00:00Z")
        let taken = Set(records.filter { $0.network == "" }.map(\.address))
        let own = records.filter { $0.pool == "blue" }
        let usable = (0..<pool.usable.count).compactMap { pool.usable.element(at: $0) }
        #expect(status.capacity == usable.count)
        #expect(status.free == usable.count { !taken.contains($0) })
        #expect(status.allocated == own.count { $0.state == .bound || $0.state == .fenced })
        #expect(status.cooling == own.count { $0.state == .cooling })
        #expect(status.held == own.count { $0.state == .held })
        let isConsistent = own.allSatisfy { $0.network == "" && pool.configured.contains($0.address) }
        #expect(status.conditions.first { $0.type == "Consistent" }?.status == (isConsistent ? .true : .false))
        guard let window = status.occupancy else {
            #expect(usable.isEmpty)
            return
        }
        let occupancy = try #require(Occupancy(first: address(window.first), bitmap: window.bitmap))
        for index in 0..<occupancy.count {
            let address = try #require(occupancy.address(at: index))
            let isFree = pool.usable.contains(address) && !taken.contains(address)
            #expect(occupancy.isTaken(index) == !isFree, "\(address)")
        }
        #expect(occupancy.freeCount == status.free)
    }
}
