import IPAMAPI
import IPAddressing
import Testing

@testable import IPAMEngine

@Suite struct SlotPlanTests {
    // MARK: Alternatives

    @Test func `a pool that takes no new claims is passed over`() throws {
        let pools = [
            try pool("10.0.0.0/24", named: "off", disabled: true),
            try pool("10.1.0.0/24", named: "going", deleted: true),
            try pool("10.2.0.0/30", named: "full", status: reservingAll("10.2.0.0/30")),
            try pool("10.3.0.0/24", named: "on"),
        ]
        #expect(try SlotPlan.slot(from: pools).pools.map(\.name) == ["full", "on"])
        #expect(try SlotPlan.slot(from: pools).closed.map(\.name) == ["off", "going"])
    }

    @Test func `alternatives of which none is left are an error that gives each reason`() throws {
        let pools = [
            try pool("fd00::/64", named: "off", disabled: true),
            try pool("fd01::/64", named: "going", disabled: true, deleted: true),
        ]
        let text = """
            no pool can serve: IPPool "off" is disabled (spec.disabled); IPPool "going" is being deleted
            """
        #expect(problem { try SlotPlan.slot(from: pools) } == text)
    }

    @Test func `a pool of which all is reserved makes a slot for what is held of it`() throws {
        let pools = [
            try pool("10.0.0.0/24", named: "off", disabled: true),
            try pool("10.2.0.0/30", named: "full", status: reservingAll("10.2.0.0/30")),
        ]
        let slot = try SlotPlan.slot(from: pools)
        #expect(slot.pools.map(\.name) == ["full"])
        #expect(slot.closed.map(\.name) == ["off"])
        var generator = SplitMix64(seed: 1)
        for strategy in PoolStrategy.allCases {
            let full = try pool("10.2.0.0/30", strategy: strategy, status: reservingAll("10.2.0.0/30"))
            #expect(CandidateSource(pool: full).next(using: &generator) == .exhausted)
        }
    }

    // MARK: Requested addresses

    @Test func `a requested address takes the slot whose pool has it and leaves the others free to choose`() throws {
        let slots = try dualStack()
        let planned = try SlotPlan.assign(addresses("10.1.0.7"), to: slots)
        #expect(planned.map(\.exact) == [try address("10.1.0.7"), nil])
        #expect(planned[0].pools.map(\.name) == ["four-b"], "only the pool that has the address")
        #expect(planned[1] == slots[1])
    }

    @Test(arguments: ["10.0.0.7 fd00::7", "fd00::7 10.0.0.7"])
    func `one address of each family is given whatever the order of the request`(request: String) throws {
        let planned = try SlotPlan.assign(addresses(request), to: dualStack())
        #expect(planned.map(\.exact) == [try address("10.0.0.7"), try address("fd00::7")])
    }

    @Test func `a requested address may be a deferred pool's, from which nothing else is chosen`() throws {
        let (first, later) = (try pool("10.0.0.0/24", named: "first"), try pool("10.1.0.0/24", named: "later"))
        let slot = SlotPlan(pools: [first], deferred: [later])
        let planned = try SlotPlan.assign(addresses("10.1.0.7"), to: [slot])
        #expect(planned.map { $0.pools.map(\.name) } == [["later"]] && planned.allSatisfy(\.deferred.isEmpty))
        #expect(try SlotPlan.assign([], to: [slot]) == [slot])
        #expect(
            problem { try SlotPlan.assign(addresses("192.0.2.1"), to: [slot]) }?.contains("\"later\"") == true,
            "the reason names it too")
    }

    @Test func `nothing requested changes nothing`() throws {
        #expect(try SlotPlan.assign([], to: dualStack()) == dualStack())
    }

    @Test func `two addresses from one range written twice take a slot each`() throws {
        let range = SlotPlan(pools: [try pool("10.0.0.0/24", named: "four")])
        let planned = try SlotPlan.assign(addresses("10.0.0.9 10.0.0.8"), to: [range, range])
        #expect(planned.map(\.exact) == [try address("10.0.0.9"), try address("10.0.0.8")])
    }

    @Test(arguments: ["10.0.0.9 10.1.0.9", "10.1.0.9 10.0.0.9"])
    func `an address moves to another slot where one that came later has nowhere else to go`(request: String) throws {
        let (narrow, other) = (try pool("10.0.0.0/24", named: "narrow"), try pool("10.1.0.0/24", named: "other"))
        let slots = [SlotPlan(pools: [narrow, other]), SlotPlan(pools: [narrow])]
        let planned = try SlotPlan.assign(addresses(request), to: slots)
        #expect(planned.map(\.exact) == [try address("10.1.0.9"), try address("10.0.0.9")])
        #expect(planned.map { $0.pools.map(\.name) } == [["other"], ["narrow"]])
    }

    @Test(arguments: [
        // The same pool again, and another pool of the same family: there is one address of a family.
        ("10.0.0.7 10.0.0.8", "10.0.0.8", "more addresses requested than given; requested already: 10.0.0.7"),
        ("10.0.0.7 10.1.0.7", "10.1.0.7", "more addresses requested than given; requested already: 10.0.0.7"),
        ("fd00::7 fd00::8", "fd00::8", "more addresses requested than given; requested already: fd00::7"),
    ])
    func `an address beyond those that are given is refused`(request: String, refused: String, why: String) throws {
        #expect(
            problem { try SlotPlan.assign(addresses(request), to: dualStack()) }
                == "the requested address \(refused) cannot be given: \(why)")
    }

    @Test(arguments: [
        ("192.0.2.1", "does not contain it"), ("10.0.0.0", notAllowed), ("10.0.0.255", notAllowed),
        ("10.0.0.1", "has it as its gateway"), ("10.0.0.66", notAllowed), ("fd00::1", "is of family IPv4"),
        ("10.0.0.130", "keeps it for a reservation (status.reserved)"),
    ])
    func `an address that the pool cannot give is refused with the reason`(request: String, why: String) throws {
        let pool = try pool(
            "10.0.0.0/24", exclude: ["10.0.0.64/28"], gateway: "10.0.0.1",
            status: IPPool.Status(reserved: ["10.0.0.128/28"], observedGeneration: 3))
        #expect(
            problem { try SlotPlan.assign(addresses(request), to: [SlotPlan(pools: [pool])]) }
                == "the requested address \(request) cannot be given: IPPool \"blue\" (10.0.0.0/24) \(why)")
    }

    @Test func `the reason names every pool that was asked`() throws {
        let text = """
            the requested address 192.0.2.1 cannot be given: IPPool "four" (10.0.0.0/24) does not contain it; \
            IPPool "four-b" (10.1.0.0/24) does not contain it; IPPool "six" (fd00::/64) is of family IPv6
            """
        #expect(problem { try SlotPlan.assign(addresses("192.0.2.1"), to: dualStack()) } == text)
    }

    @Test func `an address that is requested where nothing is given is refused`() throws {
        #expect(
            problem { try SlotPlan.assign(addresses("10.0.0.7"), to: []) }
                == "the requested address 10.0.0.7 cannot be given: there is no pool to take it from")
    }

    // MARK: Names

    @Test func `an allocation is named after its address, behind the network where there is one`() throws {
        let name = try pool("10.0.0.0/24").allocationName(of: address("10.0.0.7"))
        #expect(name == "10.0.0.7")
        #expect(try pool("10.0.0.0/24", network: "wire").allocationName(of: address("10.0.0.7")) == "wire.10.0.0.7")
        #expect(
            try pool("fd00::/64", network: "wire").allocationName(of: address("fd00::7"))
                == "wire.fd00-0000-0000-0000-0000-0000-0000-0007")
    }

    private static let notAllowed =
        "does not allow it (ranges, exclude, or a network, broadcast, multicast or loopback address)"

    private func dualStack() throws -> [SlotPlan] {
        [
            SlotPlan(pools: [try pool("10.0.0.0/24", named: "four"), try pool("10.1.0.0/24", named: "four-b")]),
            SlotPlan(pools: [try pool("fd00::/64", named: "six")]),
        ]
    }

    private func reservingAll(_ range: String) -> IPPool.Status {
        IPPool.Status(reserved: [range], observedGeneration: 3)
    }

    private func problem(_ body: () throws -> some Any) -> String? {
        do {
            _ = try body()
            return nil
        } catch {
            return "\(error)"
        }
    }
}
