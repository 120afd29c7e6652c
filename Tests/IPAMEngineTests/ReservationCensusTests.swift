import IPAMAPI
import IPAddressing
import JSONText
import KubernetesCore
import Testing

@testable import IPAMEngine

@Suite struct ReservationCensusTests {
    private static let now = "2025-11-20T12:00:00Z"

    private func object(
        _ ranges: [String], pools: [String] = [], network: String? = nil, purpose: String? = nil,
        status: IPReservation.Status? = nil
    ) -> IPReservation {
        IPReservation(
            metadata: ObjectMetadata(name: "r", generation: 2),
            spec: IPReservation.Spec(ranges: ranges, pools: pools, network: network, purpose: purpose), status: status)
    }

    private func compiled(_ pool: IPPool, _ reservations: IPReservation...) -> IPPool {
        ReservationRule(reservations.map { ValidatedReservation(reading: $0) }, pool: pool).applied(to: pool)
    }

    private func status(
        _ reservation: IPReservation, _ pools: [IPPool], _ records: [AllocationRecord] = []
    ) -> IPReservation.Status {
        ReservationCensus.status(of: reservation, pools: pools, index: LedgerIndex(records), now: Self.now)
    }

    private func enforced(_ status: IPReservation.Status) -> String? {
        status.conditions.first.map { "\($0.status.rawValue) \($0.reason): \($0.message)" }
    }

    // MARK: Enforced

    @Test func `a reservation is enforced when every pool that it is about has compiled it`() {
        let reservation = object(["10.0.0.5-9"])
        let (blue, green) = (plainPool("10.0.0.0/24"), plainPool("10.0.0.0/25", named: "green"))
        let other = plainPool("10.9.0.0/24", named: "other")
        #expect(
            enforced(status(reservation, [blue, compiled(green, reservation), other]))
                == "False Compiling: not yet in the compiled rule of IPPool \"blue\"")
        #expect(
            enforced(status(reservation, [blue, green]))
                == "False Compiling: not yet in the compiled rule of IPPools \"blue\", \"green\"")
        #expect(
            enforced(status(reservation, [compiled(blue, reservation), compiled(green, reservation), other]))
                == "True Compiled: every claim in 2 IPPools obeys it")
    }

    @Test func `a rule that was compiled before the reservation was made does not enforce it`() {
        let reservation = object(["10.0.0.5-9"])
        #expect(
            enforced(status(reservation, [compiled(plainPool("10.0.0.0/24"))]))?.hasPrefix("False Compiling") == true)
        let half = compiled(plainPool("10.0.0.0/24"), object(["10.0.0.5-8"]))
        #expect(enforced(status(reservation, [half]))?.hasPrefix("False Compiling") == true)
    }

    @Test func `a rule that still lets a purpose have the addresses does not enforce a reservation without it`() {
        let (before, after) = (object(["10.0.0.5"], purpose: "dns"), object(["10.0.0.5"]))
        let pool = compiled(plainPool("10.0.0.0/24"), before)
        #expect(enforced(status(before, [pool]))?.hasPrefix("True") == true)
        #expect(enforced(status(after, [pool]))?.hasPrefix("False Compiling") == true)
    }

    @Test func `what is enforced stays so while pools are made and edited`() {
        var reservation = object(["10.0.0.5"])
        var pool = compiled(plainPool("10.0.0.0/24"), reservation)
        reservation.status = status(reservation, [pool])
        let new = plainPool("10.0.0.0/16", named: "new")
        #expect(enforced(status(reservation, [pool, new]))?.hasPrefix("True") == true)
        pool.metadata.generation += 1
        #expect(enforced(status(reservation, [pool, new]))?.hasPrefix("True") == true)
        // Not so one that was edited itself, and not where a compiled rule lacks it.
        #expect(enforced(status(reservation, [compiled(pool)]))?.hasPrefix("False") == true)
        reservation.metadata.generation += 1
        #expect(enforced(status(reservation, [pool, new]))?.hasPrefix("False") == true)
    }

    @Test func `a reservation over addresses that no pool has is warned of`() throws {
        let warning = "no IPPool has an address of it at present: it reserves nothing"
        #expect(try decide(nil, #"{"ranges": ["10.9.0.5"]}"#) == .allowed(warnings: [warning]))
        #expect(try decide(nil, #"{"ranges": ["10.0.0.5"], "network": "red"}"#) == .allowed(warnings: [warning]))
    }

    @Test func `pools that do not exist, and reservations that no pool is about, are pointed out`() {
        let reservation = object(["10.0.0.5"], pools: ["blue", "grey"])
        #expect(
            enforced(status(reservation, [compiled(plainPool("10.0.0.0/24"), reservation)]))
                == "True Compiled: every claim in 1 IPPool obeys it; there is no IPPool \"grey\"")
        #expect(
            enforced(status(object(["192.0.2.1"]), [plainPool("10.0.0.0/24")]))
                == "True NoPool: no pool has an address of it")
    }

    @Test func `a reservation with a mistake says which, though the rest is in force`() {
        let text = enforced(status(object(["10.0.0.5", "10.0.0.300"]), []))
        #expect(text?.hasPrefix("False Invalid: spec.ranges[1]: ") == true)
        #expect(text?.contains("10.0.0.300") == true)
    }

    @Test func `the time of the condition changes with its status alone`() {
        var reservation = object(["10.0.0.5"])
        reservation.status = IPReservation.Status(
            conditions: [
                Condition(
                    type: "Enforced", status: .true, reason: "Old", message: "", lastTransitionTime: "before"),
                Condition(type: "Audited", status: .true, reason: "Old", message: "", lastTransitionTime: "before"),
            ])
        let found = status(reservation, [])
        #expect(found.conditions.map(\.type) == ["Enforced", "Audited"])
        #expect(found.conditions[0].lastTransitionTime == "before")
        #expect(status(reservation, [plainPool("10.0.0.0/24")]).conditions[0].lastTransitionTime == Self.now)
    }

    // MARK: Holders

    @Test func `who has an address inside is listed, and who rests or is outside is not`() throws {
        let records = [
            try record("10.0.0.5"), try record("10.0.0.6", state: .cooling), try record("10.0.0.7", state: .held),
            try record("10.0.0.8", pool: "green", node: "", pod: nil), try record("10.0.0.20"),
            try record("10.0.0.9", network: "red"),
        ]
        let found = status(object(["10.0.0.5-9"]), [plainPool("10.0.0.0/24")], records)
        #expect(found.holderCount == 3)
        #expect(
            found.holders == [
                IPReservation.Holder(allocation: "10.0.0.5", pool: "blue", pod: "shop/web-0", node: "n1"),
                IPReservation.Holder(allocation: "10.0.0.7", pool: "blue", pod: "shop/web-0", node: "n1"),
                IPReservation.Holder(allocation: "10.0.0.8", pool: "green"),
            ])
    }

    @Test func `sixteen holders are listed and all are counted`() throws {
        let records = try (1...40).map { try record("10.0.0.\($0)") }
        let pools = [plainPool("10.0.0.0/24"), plainPool("10.0.0.0/25", named: "green")]
        let found = status(object(["10.0.0.0/24"]), pools, records)
        #expect(found.holderCount == 40)
        #expect(found.holders.map(\.allocation) == (1...16).map { "10.0.0.\($0)" })
    }

    // MARK: Admission

    private func decide(
        _ old: String?, _ new: String?, pools: [IPPool] = [plainPool("10.0.0.0/24")],
        others: [ValidatedReservation] = [], records: [AllocationRecord] = []
    ) throws -> PoolEdit.Decision {
        func object(_ spec: String) throws -> JSON {
            try JSON(parsing: #"{"metadata": {"name": "r", "generation": 1}, "spec": \#(spec)}"#)
        }
        return ReservationEdit.decide(
            old: try old.map(object), new: try new.map(object), pools: pools, others: others,
            index: LedgerIndex(records))
    }

    @Test(arguments: [
        (#"{"ranges": []}"#, "spec.ranges: "), ("{}", "spec.ranges: "),
        (#"{"ranges": ["10.0.0.5", "10.0.0.9-10.0.0.5"]}"#, "spec.ranges[1]: "),
        (#"{"ranges": ["10.0.0.5/24"]}"#, "spec.ranges[0]: "), (#"{"ranges": ["10.0.0.300"]}"#, "spec.ranges[0]: "),
        (#"{"ranges": ["10.0.0.5"], "pools": ["Blue!"]}"#, "spec.pools[0]: "),
        (#"{"ranges": ["10.0.0.5"], "network": "1x"}"#, "spec.network: "),
        (#"{"ranges": ["10.0.0.5"], "purpose": "a.b"}"#, "spec.purpose: "),
    ])
    func `a reservation that makes no sense is refused with the field at fault`(spec: String, beginning: String) throws
    {
        guard case .refused(let message) = try decide(nil, spec) else {
            Issue.record("\(spec) was taken")
            return
        }
        #expect(message.hasPrefix(beginning), "\(message)")
        #expect(try decide(spec, spec) == .allowed(), "metadata and status never wait for a repair")
    }

    @Test func `holders inside are no reason to refuse, but named`() throws {
        let spec = #"{"ranges": ["10.0.0.5-9"]}"#
        #expect(
            try decide(nil, spec, records: [try record("10.0.0.5"), try record("10.0.0.6", node: "", pod: nil)])
                == .allowed(warnings: ["in use, and left to who has it: 10.0.0.5 (shop/web-0), 10.0.0.6"]))
        #expect(try decide(nil, spec) == .allowed())
        #expect(try decide(spec, nil) == .allowed())
    }

    @Test func `pools that do not exist, and addresses of another purpose, are warned of`() throws {
        #expect(
            try decide(nil, #"{"ranges": ["10.0.0.5"], "pools": ["blue", "grey"]}"#)
                == .allowed(warnings: ["there is no IPPool \"grey\""]))
        let others = [
            reservation(["10.0.0.4-6"], named: "dns", purpose: "dns"),
            reservation(["10.0.0.5"], named: "elsewhere", pools: ["green"], purpose: "dns"),
            reservation(["10.0.0.5"], named: "same", purpose: "egress"),
        ]
        #expect(
            try decide(nil, #"{"ranges": ["10.0.0.5"], "pools": ["blue"], "purpose": "egress"}"#, others: others)
                == .allowed(
                    warnings: ["overlaps IPReservation \"dns\", of another purpose: what is in both is given to nobody"]
                )
        )
    }
}
