import IPAMAPI
import IPAddressing
import JSONText
import KubernetesCore
import Testing

@testable import IPAMEngine

@Suite struct CandidateSourceTests {
    // MARK: With a hint

    @Test func `a random pool offers every free address of its hint and nothing else`() throws {
        let free = "10.0.0.2 10.0.0.9 10.0.0.11 10.0.0.14"
        let pool = try pool("10.0.0.0/28", status: .hint(first: "10.0.0.0", bytes: 2, free: free))
        var generator = SplitMix64(seed: 1)
        var source = CandidateSource(pool: pool)
        let (offered, _) = source.drain(using: &generator)
        #expect(try offered.sorted() == addresses(free))
    }

    @Test func `a sequential pool offers the free addresses of its hint from the lowest on`() throws {
        let free = "10.0.0.2 10.0.0.9 10.0.0.11 10.0.0.14"
        let status = try IPPool.Status.hint(first: "10.0.0.0", bytes: 2, free: free)
        var generator = SplitMix64(seed: 2)
        var source = CandidateSource(pool: try pool("10.0.0.0/28", strategy: .sequential, status: status))
        #expect(try source.drain(using: &generator).offered == addresses(free))
    }

    @Test(arguments: PoolStrategy.allCases)
    func `a hint without a free bit means exhausted`(strategy: PoolStrategy) throws {
        let status = try IPPool.Status.hint(first: "10.0.0.0", bytes: 2, free: "")
        let source = CandidateSource(pool: try pool("10.0.0.0/28", strategy: strategy, status: status))
        var generator = SplitMix64(seed: 3)
        #expect(source.next(using: &generator) == .exhausted)
    }

    @Test(arguments: PoolStrategy.allCases)
    func `a hint whose free addresses were all refused is stale, and a scan is due`(strategy: PoolStrategy) throws {
        let status = try IPPool.Status.hint(first: "10.0.0.0", bytes: 2, free: "10.0.0.2 10.0.0.9 10.0.0.11")
        var source = CandidateSource(pool: try pool("10.0.0.0/28", strategy: strategy, status: status))
        var generator = SplitMix64(seed: 4)
        let (offered, end) = source.drain(using: &generator)
        #expect(offered.count == 3)
        #expect(end == .needsScan)
    }

    @Test(arguments: PoolStrategy.allCases)
    func `a hint that was wrong sixteen times is stale, whatever it still shows free`(strategy: PoolStrategy) throws {
        let free = (0..<64).map { "10.0.0.\(64 + $0)" }.joined(separator: " ")
        let status = try IPPool.Status.hint(first: "10.0.0.0", bytes: 32, free: free)
        var source = CandidateSource(pool: try pool("10.0.0.0/24", strategy: strategy, status: status))
        var generator = SplitMix64(seed: 5)
        let (offered, end) = source.drain(using: &generator)
        #expect(offered.count == CandidateSource.hintedProbes)
        #expect(end == .needsScan)
    }

    @Test func `a hint for another generation of the pool is none`() throws {
        let status = try IPPool.Status.hint(first: "10.0.0.0", bytes: 2, free: "10.0.0.2", generation: 2)
        var source = CandidateSource(pool: try pool("10.0.0.0/28", strategy: .sequential, status: status))
        var generator = SplitMix64(seed: 6)
        #expect(source.drain(using: &generator).end == .needsScan)
    }

    @Test func `what a hint shows free and the pool does not allow is not offered`() throws {
        // The network and broadcast address, the gateway, an excluded one, and bits behind the subnet.
        let free = (0..<32).map { "10.0.0.\($0)" }.joined(separator: " ")
        let status = try IPPool.Status.hint(first: "10.0.0.0", bytes: 4, free: free)
        let pool = try pool("10.0.0.0/28", exclude: ["10.0.0.3"], gateway: "10.0.0.1", status: status)
        var generator = SplitMix64(seed: 7)
        for _ in 0..<120 {
            let address = try #require(CandidateSource(pool: pool).next(using: &generator).address)
            #expect(pool.usable.contains(address))
        }
    }

    @Test func `a window over part of a large pool is all that is offered from it`() throws {
        let status = try IPPool.Status.hint(first: "10.1.0.0", bytes: 1, free: "10.1.0.5 10.1.0.6")
        var source = CandidateSource(pool: try pool("10.0.0.0/8", status: status))
        var generator = SplitMix64(seed: 8)
        let (offered, end) = source.drain(using: &generator)
        #expect(try offered.sorted() == addresses("10.1.0.5 10.1.0.6"))
        #expect(end == .needsScan)
    }

    // MARK: Without a hint

    @Test(arguments: ["10.0.0.0/24", "fd00::/48", "fd00::/64"])
    func `without a hint eight random probes come before a scan`(subnet: String) throws {
        var source = CandidateSource(pool: try pool(subnet))
        var generator = SplitMix64(seed: 9)
        let (offered, end) = source.drain(using: &generator)
        #expect(offered.count == CandidateSource.blindProbes)
        #expect(Set(offered).count == offered.count)
        #expect(end == .needsScan)
    }

    @Test func `without a hint a sequential pool needs a scan at once`() throws {
        let source = CandidateSource(pool: try pool("10.0.0.0/24", strategy: .sequential))
        var generator = SplitMix64(seed: 10)
        #expect(source.next(using: &generator) == .needsScan)
    }

    @Test func `a pool of which everything is reserved is exhausted without a request`() throws {
        let pool = try pool("10.0.0.0/30", status: IPPool.Status(reserved: ["10.0.0.0/30"], observedGeneration: 3))
        var generator = SplitMix64(seed: 11)
        #expect(CandidateSource(pool: pool).next(using: &generator) == .exhausted)
    }

    @Test(arguments: [
        ("10.0.0.4/32", "10.0.0.4"), ("10.0.0.4/31", "10.0.0.4 10.0.0.5"), ("10.0.0.4/30", "10.0.0.5 10.0.0.6"),
        ("fd00::7/128", "fd00::7"), ("fd00::6/127", "fd00::6 fd00::7"), ("fd00::4/126", "fd00::5 fd00::6 fd00::7"),
        ("255.255.255.252/31", "255.255.255.252 255.255.255.253"), ("255.255.255.254/31", "255.255.255.254"),
        (
            "feff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127",
            "feff:ffff:ffff:ffff:ffff:ffff:ffff:fffe feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
        ),
    ])
    func `of a tiny pool every address is found and then a scan is due`(subnet: String, all: String) throws {
        let pool = try pool(subnet)
        let all = try addresses(all)
        for seed in 0..<50 as Range<UInt64> {
            var generator = SplitMix64(seed: seed)
            var source = CandidateSource(pool: pool)
            let (offered, end) = source.drain(using: &generator)
            #expect(Set(offered).count == offered.count)
            #expect(Set(offered).isSubset(of: all))
            // Eight draws miss one of three addresses now and then; the scan that follows finds it.
            #expect(offered.count >= 1)
            #expect(end == .needsScan)

            let scan = PoolScan(pool: pool, allocations: offered.map { ($0, .bound) }, using: &generator)
            source.learn(scan)
            #expect(source.drain(using: &generator).offered.sorted() == all.filter { !offered.contains($0) })
            #expect(source.next(using: &generator) == .exhausted)
        }
    }

    // MARK: With what a scan told a moment ago

    @Test func `what another claim of the node saw free comes before random probes`() throws {
        let pool = try pool("10.0.0.0/8")
        var source = CandidateSource(pool: pool)
        source.recall(try scan(pool, free: "10.0.0.4 10.0.0.5 192.0.2.1"))
        var generator = SplitMix64(seed: 15)
        let (offered, end) = source.drain(using: &generator)
        #expect(try offered.prefix(2).sorted() == addresses("10.0.0.4 10.0.0.5"))
        #expect(offered.count == CandidateSource.blindProbes)
        #expect(end == .needsScan)
    }

    @Test func `that another claim of the node saw nothing free does not end the search`() throws {
        let pool = try pool("10.0.0.0/29")
        var source = CandidateSource(pool: pool)
        source.recall(try scan(pool, free: "", cooling: "10.0.0.4"))
        var generator = SplitMix64(seed: 16)
        #expect(!source.drain(using: &generator).offered.isEmpty)
        #expect(source.coolingAddresses.isEmpty)
    }

    @Test func `what was wrong sixteen times is stale, and a scan is due`() throws {
        let pool = try pool("10.0.0.0/24")
        var source = CandidateSource(pool: pool)
        source.recall(try scan(pool, free: (10..<60).map { "10.0.0.\($0)" }.joined(separator: " ")))
        var generator = SplitMix64(seed: 17)
        let (offered, end) = source.drain(using: &generator)
        #expect(offered.count == CandidateSource.hintedProbes)
        #expect(end == .needsScan)
    }

    // MARK: After a scan

    @Test func `a scan replaces the hint and knows the end`() throws {
        let status = try IPPool.Status.hint(first: "10.0.0.0", bytes: 2, free: "10.0.0.2 10.0.0.3")
        let pool = try pool("10.0.0.0/28", status: status)
        var source = CandidateSource(pool: pool)
        source.strike(try address("10.0.0.5"))
        source.learn(try scan(pool, free: "10.0.0.5 10.0.0.9"))
        var generator = SplitMix64(seed: 12)
        let (offered, end) = source.drain(using: &generator)
        #expect(try offered == addresses("10.0.0.9"))
        #expect(end == .exhausted)
    }

    @Test func `a sequential pool takes the lowest address of a scan`() throws {
        let pool = try pool("10.0.0.0/28", strategy: .sequential)
        var source = CandidateSource(pool: pool)
        source.learn(try scan(pool, free: "10.0.0.4 10.0.0.5 10.0.0.12"))
        var generator = SplitMix64(seed: 13)
        #expect(try source.drain(using: &generator).offered == addresses("10.0.0.4 10.0.0.5 10.0.0.12"))
    }

    @Test func `what a scan of other days shows free and the pool does not allow is not offered`() throws {
        let pool = try pool("10.0.0.0/28", gateway: "10.0.0.1")
        var source = CandidateSource(pool: pool)
        source.learn(try scan(pool, free: "10.0.0.0 10.0.0.1 10.0.0.15 10.0.9.9 fd00::1"))
        var generator = SplitMix64(seed: 14)
        #expect(source.next(using: &generator) == .exhausted)
    }

    @Test func `cooling addresses are those of the scan that were not tried`() throws {
        let pool = try pool("10.0.0.0/28")
        var source = CandidateSource(pool: pool)
        #expect(source.coolingAddresses.isEmpty)
        source.learn(try scan(pool, free: "", cooling: "10.0.0.4 10.0.0.5"))
        source.strike(try address("10.0.0.4"))
        #expect(try source.coolingAddresses == addresses("10.0.0.5"))
    }

    // MARK: Counts

    @Test func `counts come from the scan, else from the status, else from what was tried`() throws {
        var source = CandidateSource(pool: try pool("10.0.0.0/28"))
        source.strike(try address("10.0.0.4"))
        #expect(source.counts == PoolCounts(usable: 14, allocated: 1, cooling: 0, held: 0))

        let status = IPPool.Status(allocated: 5, cooling: 2, held: 1, observedGeneration: 1)
        let counted = try pool("10.0.0.0/28", status: status)
        source = CandidateSource(pool: counted)
        #expect(source.counts == PoolCounts(usable: 14, allocated: 5, cooling: 2, held: 1))

        source.learn(try scan(counted, free: ""))
        #expect(source.counts == PoolCounts(usable: 14, allocated: 14, cooling: 0, held: 0))
    }

    @Test func `nonsense in a status is no figure to count with`() throws {
        let json: JSON = [
            "allocated": .int(Int.max), "cooling": .int(Int.max), "held": .int(Int.min), "observedGeneration": 1,
        ]
        let pool = try pool("10.0.0.0/28", status: try IPPool.Status(try JSONFields(json)))
        let counts = CandidateSource(pool: pool).counts
        #expect(counts == PoolCounts(usable: 14, allocated: 1 << 40, cooling: 1 << 40, held: 0))
    }

    private func scan(_ pool: ValidatedPool, free: String, cooling: String = "") throws -> PoolScan {
        let free = try addresses(free)
        return PoolScan(
            poolUID: pool.uid, poolGeneration: pool.generation, freeCount: UInt128(free.count), free: free,
            cooling: try addresses(cooling),
            counts: PoolCounts(usable: pool.usable.count, allocated: 14, cooling: 0, held: 0))
    }
}

/// What holds for every pool, hint and sequence of refusals.
@Suite struct CandidateSourcePropertyTests {
    @Test(arguments: 0..<100 as Range<UInt64>)
    func `no candidate comes twice, is struck, or lies outside of the usable addresses`(seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        let pool = try randomPool(using: &generator)
        var source = CandidateSource(pool: pool)
        var seen: Set<IPAddress> = []
        for _ in 0..<120 {
            switch source.next(using: &generator) {
            case .address(let address):
                #expect(pool.usable.contains(address))
                #expect(seen.insert(address).inserted, "\(address) came twice")
                source.strike(address)
            case .needsScan:
                #expect(source.scan == nil, "a scan leads to another one")
                source.learn(PoolScan(pool: pool, allocations: seen.map { ($0, .bound) }, using: &generator))
            case .exhausted:
                return
            }
        }
    }

    @Test func `every free address of a hint has the same chance`() throws {
        // One in 64 is free, so that both ways to choose are used: draws, and the look at every bit.
        let free = (0..<16).map { "10.0.\($0 / 4).\($0 % 4 * 64 + 7)" }.joined(separator: " ")
        let status = try IPPool.Status.hint(first: "10.0.0.0", bytes: 128, free: free)
        try expectUniform(pool("10.0.0.0/22", status: status), over: addresses(free))
    }

    @Test func `without a hint every usable address has the same chance`() throws {
        let pool = try pool("10.0.0.0/26", exclude: ["10.0.0.8/29", "10.0.0.40"], gateway: "10.0.0.1")
        let usable = (0..<pool.usable.count).compactMap { pool.usable.element(at: $0) }
        #expect(usable.count == 62 - 8 - 1 - 1)
        try expectUniform(pool, over: usable)
    }

    @Test func `probes of a large IPv6 pool spread over all of it`() throws {
        let pool = try pool("fd00::/48")
        var generator = SplitMix64(seed: 21)
        var quarters = [0, 0, 0, 0]
        for _ in 0..<4000 {
            let address = try #require(CandidateSource(pool: pool).next(using: &generator).address)
            quarters[Int(address.value >> 78) & 3] += 1
        }
        #expect(quarters.allSatisfy { (900...1100).contains($0) }, "\(quarters)")
    }

    /// 500 draws for each address: within six standard deviations of the mean.
    private func expectUniform(_ pool: ValidatedPool, over expected: [IPAddress]) throws {
        var generator = SplitMix64(seed: 20)
        var counts: [IPAddress: Int] = [:]
        for _ in 0..<(500 * expected.count) {
            let address = try #require(CandidateSource(pool: pool).next(using: &generator).address)
            counts[address, default: 0] += 1
        }
        #expect(counts.keys.sorted() == expected)
        for (address, count) in counts { #expect((365...635).contains(count), "\(address): \(count)") }
    }

    private func randomPool(using generator: inout SplitMix64) throws -> ValidatedPool {
        let subnets = [
            "10.0.0.0/32", "10.0.0.0/31", "10.0.0.0/30", "10.0.0.0/27", "10.0.0.0/24", "10.0.0.0/8", "fd00::/128",
            "fd00::/127", "fd00::/126", "fd00::/122", "fd00::/64", "fd00::/48", "0.0.0.0/0", "::/0",
        ]
        let subnet = try #require(subnets.randomElement(using: &generator))
        let strategy = try #require(PoolStrategy.allCases.randomElement(using: &generator))
        let prefix = try IPPrefix(parsing: subnet)
        guard Bool.random(using: &generator) else { return try pool(subnet, strategy: strategy) }
        var bitmap = [UInt8](repeating: 0, count: Int.random(in: 1...8, using: &generator))
        for index in bitmap.indices { bitmap[index] = UInt8.random(in: 0...255, using: &generator) }
        let window = IPPool.OccupancyWindow(first: "\(prefix.first)", bitmap: bitmap)
        return try pool(
            subnet, strategy: strategy, status: IPPool.Status(occupancy: window, observedGeneration: 3))
    }
}
