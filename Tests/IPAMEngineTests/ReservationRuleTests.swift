import IPAMAPI
import IPAddressing
import JSONText
import KubernetesCore
import Testing

@testable import IPAMEngine

/// A reservation that makes sense, unless it is read all the same.
func reservation(
    _ ranges: [String], named name: String = "r", pools: [String] = [], network: String? = nil, purpose: String? = nil
) -> ValidatedReservation {
    ValidatedReservation(
        reading: IPReservation(
            metadata: ObjectMetadata(name: name, generation: 1),
            spec: IPReservation.Spec(ranges: ranges, pools: pools, network: network, purpose: purpose)))
}

/// A pool of generation 3 as it is written down.
func plainPool(_ subnet: String, named name: String = "blue", network: String = "") -> IPPool {
    IPPool(
        metadata: ObjectMetadata(name: name, uid: "uid-\(name)", generation: 3),
        spec: IPPool.Spec(subnet: subnet, network: network))
}

@Suite struct ReservationRuleTests {
    private func rule(_ reservations: ValidatedReservation..., pool: IPPool = plainPool("10.0.0.0/24"))
        -> ReservationRule
    {
        ReservationRule(reservations, pool: pool)
    }

    @Test(arguments: [
        (["10.0.0.5"], ["10.0.0.5"]), (["10.0.0.5-9", "10.0.0.10"], ["10.0.0.5-10.0.0.10"]),
        (["10.0.0.5-10.0.0.9"], ["10.0.0.5-10.0.0.9"]), (["10.0.0.4/30"], ["10.0.0.4-10.0.0.7"]),
        // What of it is in another subnet, or family, is no part.
        (["10.0.0.250-10.0.1.9", "fd00::1"], ["10.0.0.250-10.0.0.255"]), (["10.0.1.0/24"], []), (["fd00::/64"], []),
        (["10.0.0.0/8"], ["10.0.0.0-10.0.0.255"]),
    ])
    func `ranges in every form are cut to the subnet and joined`(ranges: [String], reserved: [String]) {
        #expect(rule(reservation(ranges)).reserved == reserved)
    }

    @Test func `the form with the last octets alone is taken`() {
        #expect(
            rule(reservation(["192.168.2.1-100"]), pool: plainPool("192.168.2.0/24")).reserved
                == ["192.168.2.1-192.168.2.100"])
    }

    @Test func `ranges of the other family are for pools of that family`() {
        let both = reservation(["10.0.0.5", "fd00::5-fd00::9"])
        #expect(rule(both).reserved == ["10.0.0.5"])
        #expect(rule(both, pool: plainPool("fd00::/64")).reserved == ["fd00::5-fd00::9"])
    }

    @Test(arguments: [
        ([], nil, true), (["blue"], nil, true), (["green", "blue"], nil, true), (["green"], nil, false),
        ([], "red", true), ([], "", false), ([], "grey", false), (["blue"], "red", true), (["blue"], "", false),
    ])
    func `a reservation is about the pools that it names in the network that it names`(
        pools: [String], network: String?, isAbout: Bool
    ) {
        let found = rule(
            reservation(["10.0.0.5"], pools: pools, network: network),
            pool: plainPool("10.0.0.0/24", network: "red"))
        #expect(found.reserved == (isAbout ? ["10.0.0.5"] : []))
    }

    @Test func `several reservations are merged, in whatever order they come`() {
        let (a, b, c) = (reservation(["10.0.0.1-4"]), reservation(["10.0.0.3-6"]), reservation(["10.0.0.9"]))
        #expect(rule(a, b, c).reserved == ["10.0.0.1-10.0.0.6", "10.0.0.9"])
        #expect(rule(a, b, c) == rule(c, b, a))
    }

    // MARK: Purposes

    @Test func `what is reserved for a purpose is reserved from everybody else`() {
        let found = rule(reservation(["10.0.0.5-6"], purpose: "egress"), reservation(["10.0.0.9"], purpose: "dns"))
        #expect(found.reserved == ["10.0.0.5-10.0.0.6", "10.0.0.9"])
        #expect(
            found.reservedFor == [
                IPPool.PurposeRanges(purpose: "dns", ranges: ["10.0.0.9"]),
                IPPool.PurposeRanges(purpose: "egress", ranges: ["10.0.0.5-10.0.0.6"]),
            ])
    }

    @Test func `what is reserved for nobody, or for two purposes, is nobody's`() {
        let found = rule(
            reservation(["10.0.0.1-9"], purpose: "a"), reservation(["10.0.0.3"]),
            reservation(["10.0.0.8-12"], purpose: "b"))
        #expect(found.reserved == ["10.0.0.1-10.0.0.12"])
        #expect(
            found.reservedFor == [
                IPPool.PurposeRanges(purpose: "a", ranges: ["10.0.0.1-10.0.0.2", "10.0.0.4-10.0.0.7"]),
                IPPool.PurposeRanges(purpose: "b", ranges: ["10.0.0.10-10.0.0.12"]),
            ])
        #expect(
            rule(reservation(["10.0.0.1"], purpose: "a"), reservation(["10.0.0.1"], purpose: "b")).reservedFor == [])
    }

    @Test func `two reservations for one purpose are one`() {
        let found = rule(reservation(["10.0.0.1-4"], purpose: "a"), reservation(["10.0.0.3-6"], purpose: "a"))
        #expect(found.reservedFor == [IPPool.PurposeRanges(purpose: "a", ranges: ["10.0.0.1-10.0.0.6"])])
    }

    @Test(arguments: 1...UInt64(50))
    func `of any reservations, each address is whose it should be`(seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        let reservations = (0..<Int.random(in: 0...6, using: &generator)).map { _ in
            let first = Int.random(in: 0...15, using: &generator)
            let purpose = ["dns", "egress", "ntp", nil].randomElement(using: &generator) ?? nil
            return reservation(["10.0.0.\(first)-\(Int.random(in: first...15, using: &generator))"], purpose: purpose)
        }
        let pool = plainPool("10.0.0.0/27")
        let found = ReservationRule(reservations, pool: pool).applied(to: pool)
        let nobody = try ValidatedPool(found)
        for host in 1...30 {
            let address = try address("10.0.0.\(host)")
            let over = reservations.filter { $0.v4.contains(address) }
            #expect(nobody.usable.contains(address) == over.isEmpty, "\(address)")
            for purpose in ["dns", "egress", "ntp"] {
                let isOwn = !over.isEmpty && over.allSatisfy { $0.purpose == purpose }
                let served = try ValidatedPool(found, purpose: purpose)
                // Who has addresses of a purpose gets these alone, otherwise what everybody gets.
                let isGiven = served.purpose == nil ? over.isEmpty : isOwn
                #expect(served.usable.contains(address) == isGiven, "\(address) for \(purpose)")
            }
        }
    }

    // MARK: Mistakes

    @Test func `of a reservation with mistakes, what can be read is reserved`() {
        let found = rule(reservation(["10.0.0.300", "10.0.0.5"], purpose: "Not A Purpose"))
        #expect(found.reserved == ["10.0.0.5"])
        #expect(found.reservedFor == [])
    }

    // MARK: Bounds

    private func scattered(_ count: Int) -> [ValidatedReservation] {
        let texts = (0..<count).map { "10.0.\($0 / 100).\($0 % 100 * 2)" }
        return stride(from: 0, to: count, by: 256).map { start in
            reservation(Array(texts[start..<min(start + 256, count)]))
        }
    }

    @Test func `as many ranges as the status holds are kept one by one`() {
        let found = ReservationRule(scattered(1024), pool: plainPool("10.0.0.0/16"))
        #expect(found.reserved.count == 1024)
        #expect(found.excess == nil)
    }

    @Test func `one range more than the status holds reserves the whole pool, and says so`() throws {
        let pool = plainPool("10.0.0.0/16")
        let found = ReservationRule(scattered(1025), pool: pool)
        #expect(found.reserved == ["10.0.0.0/16"])
        #expect(try ValidatedPool(found.applied(to: pool)).usable.isEmpty)
        let status = PoolCensus.status(of: pool, rule: found, index: LedgerIndex(), now: "")
        let ready = try #require(status.conditions.first)
        #expect((ready.status, ready.reason) == (.false, "TooManyReservedRanges"))
        #expect(ready.message.contains("1025 ranges") && ready.message.contains("1024"))
    }

    @Test func `one purpose more than the status holds reserves the whole pool`() {
        let reservations = (0..<65).map { reservation(["10.0.0.\($0)"], purpose: "p\($0)") }
        #expect(ReservationRule(reservations.dropLast(), pool: plainPool("10.0.0.0/24")).reservedFor.count == 64)
        let found = ReservationRule(reservations, pool: plainPool("10.0.0.0/24"))
        #expect(found.reserved == ["10.0.0.0/24"])
        #expect(found.reservedFor == [])
        #expect(found.excess?.contains("65 purposes") == true)
    }

    // MARK: In the status

    @Test func `a pool is compiled for its present generation or not at all`() {
        var pool = plainPool("10.0.0.0/24")
        let found = rule(reservation(["10.0.0.5"]))
        #expect(!pool.hasCompiledReservations)
        #expect(!found.isIn(pool))
        pool = found.applied(to: pool)
        #expect(found.isIn(pool))
        pool.metadata.generation += 1
        #expect(!pool.hasCompiledReservations)
        #expect(!found.isIn(pool))
        // A controller that knows nothing of reservations says which generation it counted.
        pool = plainPool("10.0.0.0/24")
        pool.status = IPPool.Status(observedGeneration: 3)
        #expect(!pool.hasCompiledReservations)
    }

    @Test func `a rule is kept on a node as it is`() {
        let found = rule(reservation(["10.0.0.5"]), reservation(["10.0.0.9"], purpose: "dns"))
        #expect(ReservationRule(found.json) == found)
        #expect(ReservationRule("x") == nil)
    }

    // MARK: What a claim may be given

    private func served(_ pool: IPPool, _ reservations: ValidatedReservation..., purpose: String?) throws
        -> ValidatedPool
    {
        try ValidatedPool(ReservationRule(reservations, pool: pool).applied(to: pool), purpose: purpose)
    }

    @Test func `who names the purpose gets what is reserved for it, and nobody else does`() throws {
        let (pool, dns) = (plainPool("10.0.0.0/29"), reservation(["10.0.0.2-3"], purpose: "dns"))
        #expect(try served(pool, dns, purpose: "dns").usable.description == "10.0.0.2-10.0.0.3")
        #expect(try served(pool, dns, purpose: "dns").purpose == "dns")
        for other in [nil, "egress"] {
            let found = try served(pool, dns, purpose: other)
            #expect(found.usable.description == "10.0.0.1, 10.0.0.4-10.0.0.6")
            #expect(found.purpose == nil)
        }
    }

    @Test func `a purpose of which the pool may give nothing is none of the pool`() throws {
        // The network address, which nobody gets.
        let found = try served(
            plainPool("10.0.0.0/29"), reservation(["10.0.0.0"], purpose: "dns"), purpose: "dns")
        #expect(found.purpose == nil)
        #expect(found.usable.description == "10.0.0.1-10.0.0.6")
    }

    @Test func `while a pool has addresses for the purpose, the others are no alternative`() throws {
        let dns = reservation(["10.0.0.2-3"], purpose: "dns")
        let pools = [
            try served(plainPool("10.1.0.0/24", named: "green"), dns, purpose: "dns"),
            try served(plainPool("10.0.0.0/24"), dns, purpose: "dns"),
            try served(plainPool("fd00::/64", named: "six"), dns, purpose: "dns"),
        ]
        let slots = [try SlotPlan.slot(from: Array(pools[..<2])), try SlotPlan.slot(from: [pools[2]])]
        #expect(slots.map { $0.pools.map(\.name) } == [["blue"], ["six"]])
        #expect(slots[0].closed.map(\.name) == ["green"], "what is held there stays held")
        #expect(throws: SlotPlanError.self) { try SlotPlan.assign([try address("10.1.0.7")], to: slots) }
        #expect(try SlotPlan.assign([try address("10.0.0.3")], to: slots)[0].exact == address("10.0.0.3"))
        do {
            _ = try SlotPlan.assign([try address("10.0.0.7")], to: slots)
            Issue.record("10.0.0.7 was given")
        } catch {
            #expect("\(error)".contains("has not reserved it for the purpose \"dns\""), "\(error)")
        }
    }

    @Test(arguments: [PoolStrategy.random, .sequential], [true, false])
    func `no candidate is reserved, with a hint or without`(strategy: PoolStrategy, hasHint: Bool) throws {
        var generator = SplitMix64(seed: 7)
        var status =
            hasHint
            ? try IPPool.Status.hint(
                first: "10.0.0.0", bytes: 4, free: (1...30).map { "10.0.0.\($0)" }.joined(separator: " "))
            : IPPool.Status()
        status.reserved = ["10.0.0.1-10.0.0.9", "10.0.0.20-10.0.0.30"]
        let pool = try pool("10.0.0.0/27", strategy: strategy, status: status)
        var source = CandidateSource(pool: pool)
        // What a scan saw before the reservation was made.
        source.recall(
            PoolScan(
                poolUID: pool.uid, poolGeneration: 3, freeCount: 2, free: try addresses("10.0.0.2 10.0.0.11"),
                cooling: [], counts: PoolCounts(usable: 30, allocated: 28, cooling: 0, held: 0)))
        var (offered, end) = source.drain(using: &generator)
        if end == .needsScan {
            source.learn(
                PoolScan(
                    poolUID: pool.uid, poolGeneration: 3, freeCount: 3,
                    free: try addresses("10.0.0.3 10.0.0.12 10.0.0.21"), cooling: try addresses("10.0.0.4 10.0.0.13"),
                    counts: PoolCounts(usable: 30, allocated: 27, cooling: 0, held: 0)))
            let rest = source.drain(using: &generator)
            offered += rest.offered
            end = rest.end
            #expect(source.coolingAddresses == [try address("10.0.0.13")])
        }
        #expect(end == .exhausted)
        #expect(!offered.isEmpty)
        #expect(offered.allSatisfy { pool.usable.contains($0) }, "\(offered)")
    }

    @Test func `a scan for a purpose counts what is of its addresses alone`() throws {
        var generator = SplitMix64(seed: 1)
        let pool = try served(plainPool("10.0.0.0/24"), reservation(["10.0.0.2-3"], purpose: "dns"), purpose: "dns")
        let scan = PoolScan(
            pool: pool, allocations: [(try address("10.0.0.2"), .bound), (try address("10.0.0.9"), .bound)],
            using: &generator)
        #expect(scan.free == [try address("10.0.0.3")])
        #expect(scan.counts == PoolCounts(usable: 2, allocated: 1, cooling: 0, held: 0))
    }
}
