import IPAMAPI
import IPAddressing
import KubernetesCore
import Testing

@testable import IPAMEngine

@Suite struct PoolCensusTests {
    private static let now = "2025-11-20T12:00:00Z"
    private static let before = "2025-11-20T09:00:00Z"

    private func status(
        _ pool: ValidatedPool, _ records: [AllocationRecord] = []
    ) -> IPPool.Status {
        PoolCensus.status(of: pool, index: LedgerIndex(records), now: Self.now)
    }

    // MARK: Counts

    @Test func `a pool counts what names it, and is free where nothing is taken`() throws {
        let status = status(
            try pool("10.0.0.0/28", gateway: "10.0.0.14"),
            [
                try record("10.0.0.1"), try record("10.0.0.2", state: .fenced), try record("10.0.0.3", state: .cooling),
                try record("10.0.0.4", state: .held),
                // Of another pool of this network: it takes an address, and counts there.
                try record("10.0.0.5", pool: "green"),
                // Of another network, or where nothing is usable: it takes none.
                try record("10.0.0.6", network: "red", pool: "green"), try record("10.0.0.14", pool: "green"),
            ])
        #expect(status.capacity == 13)
        #expect((status.allocated, status.cooling, status.held, status.free) == (2, 1, 1, 8))
        #expect(status.observedGeneration == 3)
    }

    @Test func `what is reserved is no capacity, and the rule is kept`() throws {
        let reserved = IPPool.Status(reserved: ["10.0.0.0/30"], observedGeneration: 2)
        let status = status(try pool("10.0.0.0/28", status: reserved), [try record("10.0.0.1")])
        #expect((status.capacity, status.allocated, status.free) == (11, 1, 11))
        #expect(status.reserved == ["10.0.0.0/30"])
    }

    @Test(arguments: [
        ("10.0.0.0/30", 2), ("10.0.0.0/31", 2), ("10.0.0.0/32", 1), ("10.0.0.0/22", 1022), ("10.0.0.0/12", 1_048_574),
        ("10.0.0.0/8", 16_777_214), ("fd00::/127", 2), ("fd00::/126", 3), ("fd00::/66", 4_611_686_018_427_387_903),
        ("fd00::/65", Int.max), ("fd00::/64", Int.max), ("fd00::/48", Int.max), ("::/0", Int.max),
    ])
    func `a pool of any size has its capacity, or says that there is more`(subnet: String, capacity: Int) throws {
        let status = status(try pool(subnet))
        #expect(status.capacity == capacity)
        #expect(status.free == capacity)
        let ready = try #require(status.conditions.first)
        // A /65 has 2^63-1 usable addresses, exactly as many as the number says.
        let isMore = ["fd00::/64", "fd00::/48", "::/0"].contains(subnet)
        #expect(
            ready.message.contains("9223372036854775807 in capacity and free stands for that many or more") == isMore)
    }

    @Test func `namespaces that use up their quota are named, the greediest first`() throws {
        let limited = try ValidatedPool(
            IPPool(
                metadata: ObjectMetadata(name: "blue", uid: "uid-blue", generation: 3),
                spec: IPPool.Spec(subnet: "10.0.0.0/24", namespaceQuota: 2)))
        func record(
            _ address: String, _ namespace: String, _ state: AllocationState = .bound
        ) throws -> AllocationRecord {
            var fields = try IPAMEngineTests.record(address, state: state).fields
            fields.pod = PodReference(namespace: namespace, name: "p", uid: "u")
            return AllocationRecord(fields)
        }
        let records = [
            try record("10.0.0.1", "shop"), try record("10.0.0.2", "shop", .fenced), try record("10.0.0.3", "bank"),
            try record("10.0.0.4", "bank", .held), try record("10.0.0.5", "bank", .cooling),
            try record("10.0.0.6", "club"), try record("10.0.0.7", "club"), try record("10.0.0.8", "club"),
        ]
        let used = status(limited, records).namespacesAtQuota
        #expect(used == [.init(namespace: "club", used: 3), .init(namespace: "shop", used: 2)])
        #expect(try status(pool("10.0.0.0/24"), records).namespacesAtQuota.isEmpty)
    }

    // MARK: Conditions

    @Test func `a pool that is drained names who is left, and says when nobody is`() throws {
        let draining = try ValidatedPool(
            IPPool(
                metadata: ObjectMetadata(name: "blue", uid: "uid-blue", generation: 3),
                spec: IPPool.Spec(subnet: "10.0.0.0/24", draining: true)))
        func drained(_ records: [AllocationRecord]) throws -> Condition {
            try #require(status(draining, records).conditions.first { $0.type == "Drained" })
        }
        let left = try drained([try record("10.0.0.1"), try record("10.0.0.2", state: .cooling)])
        #expect(left.status == .false && left.reason == "HoldersLeft")
        #expect(left.message.hasPrefix("1 holder is left: 10.0.0.1 ("))
        let many = try drained(try (1...40).map { try record("10.0.0.\($0)") })
        #expect(many.message.hasPrefix("40 holders are left: ") && many.message.hasSuffix(" and 8 more"))
        let claim = ClaimReference(namespace: "default", name: "database", uid: "claim-uid")
        let kept = try drained([try record("10.0.0.3", state: .held).with { $0.claim = claim }])
        #expect(kept.message == "1 holder is left: 10.0.0.3 (kept for claim default/database)")
        let none = try drained([try record("10.0.0.2", state: .cooling)])
        #expect(none.status == .true && none.reason == "Empty")
        let ready = status(draining).conditions.first { $0.type == "Ready" }
        #expect(ready?.reason == "Draining")
        #expect(try status(pool("10.0.0.0/24")).conditions.allSatisfy { $0.type != "Drained" })
    }

    private func ready(_ status: IPPool.Status) -> String? { text(status, "Ready") }

    private func text(_ status: IPPool.Status, _ type: String) -> String? {
        status.conditions.first { $0.type == type }.map { "\($0.status.rawValue) \($0.reason): \($0.message)" }
    }

    @Test func `a pool is ready unless something keeps it from serving`() throws {
        #expect(ready(status(try pool("10.0.0.0/28"))) == "True Serving: new claims are served")
        #expect(ready(status(try pool("10.0.0.0/28", disabled: true))) == "False Disabled: spec.disabled is true")
        #expect(
            ready(status(try pool("10.0.0.0/28", disabled: true, deleted: true), [try record("10.0.0.1")]))
                == "False Deleting: the pool is being deleted; allocations that it waits for: 1")
        let reserved = status(try pool("10.0.0.0/28", status: IPPool.Status(reserved: ["10.0.0.0/28"])))
        #expect(ready(reserved) == "False Reserved: reservations (status.reserved) leave no address")
        #expect(text(reserved, "Exhausted") == "True Reserved: no address is usable")
        #expect(reserved.occupancy == nil)
    }

    @Test func `a pool without a free address says what takes them`() throws {
        let pool = try pool("10.0.0.0/29")
        let records = [
            try record("10.0.0.1"), try record("10.0.0.2", state: .fenced), try record("10.0.0.3", state: .cooling),
            try record("10.0.0.4", state: .held), try record("10.0.0.5", pool: "green"),
        ]
        #expect(text(status(pool, records), "Exhausted") == "False AddressesFree: addresses are free")
        #expect(
            text(status(pool, records + [try record("10.0.0.6")]), "Exhausted")
                == "True NoFreeAddress: none of 6 usable addresses is free: 3 allocated, 1 cooling, 1 held,"
                + " 1 by allocations that name another pool")
    }

    @Test func `a pool that makes no sense says so, and still counts`() throws {
        let pool = IPPool(
            metadata: ObjectMetadata(name: "blue", generation: 7),
            spec: IPPool.Spec(subnet: "10.0.0.0/24", gateway: "10.0.1.1"),
            status: IPPool.Status(
                capacity: 254, free: 254, occupancy: IPPool.OccupancyWindow(first: "10.0.0.1", bitmap: [0]),
                reserved: ["10.0.0.4"], observedGeneration: 6))
        let index = LedgerIndex([try record("10.0.0.1"), try record("10.0.0.2", state: .cooling)])
        let status = PoolCensus.status(of: pool, index: index, now: Self.now)
        #expect(ready(status) == "False Invalid: spec.gateway: \"10.0.1.1\" is not within the subnet 10.0.0.0/24")
        #expect(text(status, "Exhausted") == "Unknown Invalid: the pool is not valid")
        #expect((status.capacity, status.free, status.allocated, status.cooling) == (nil, nil, 1, 1))
        #expect(status.occupancy == nil)
        #expect(status.reserved == ["10.0.0.4"])
        #expect(status.observedGeneration == 7)
    }

    @Test func `the time of a condition changes with its status only, and what others set is kept`() throws {
        func condition(_ type: String, _ status: Condition.Status) -> Condition {
            Condition(type: type, status: status, reason: "Old", message: "old", lastTransitionTime: Self.before)
        }
        let previous = IPPool.Status(
            conditions: [condition("Audited", .unknown), condition("Ready", .true), condition("Exhausted", .true)])
        let conditions = status(try pool("10.0.0.0/28", status: previous)).conditions
        #expect(conditions.map(\.type) == ["Ready", "Exhausted", "Consistent", "Audited"])
        #expect(conditions.map(\.lastTransitionTime) == [Self.before, Self.now, Self.now, Self.before])
        #expect(conditions.map(\.observedGeneration) == [3, 3, 3, nil])
        #expect(conditions.map(\.reason) == ["Serving", "AddressesFree", "AllInside", "Old"])
    }

    @Test func `a status that was published is published again as it is`() throws {
        let records = [try record("10.0.0.1"), try record("10.0.0.9")]
        let first = status(try pool("10.0.0.0/28"), records)
        #expect(
            PoolCensus.status(of: try pool("10.0.0.0/28", status: first), index: LedgerIndex(records), now: "later")
                == first)
    }

    // MARK: Consistency

    @Test func `allocations outside of their pool are named, five of them`() throws {
        let pool = try pool("10.0.0.0/28", exclude: ["10.0.0.8-10.0.0.11"])
        let inside = [try record("10.0.0.1"), try record("10.0.0.2", poolUID: "")]
        #expect(
            text(status(pool, inside), "Consistent")
                == "True AllInside: every allocation that names the pool is one of its own")
        #expect(
            text(status(pool, inside + [try record("10.0.0.9")]), "Consistent")
                == "False StrayAllocations: 1 allocation names the pool without being one of its own:"
                + " 10.0.0.9 (outside of the pool)")
        let strays = [
            try record("10.0.0.3", poolUID: "earlier"), try record("10.0.0.4", network: "red"),
            try record("10.0.0.9"), try record("10.0.0.10"), try record("10.0.1.1"), try record("fd00::1"),
            try record("fd00::2"),
        ]
        #expect(
            text(status(pool, inside + strays), "Consistent")
                == "False StrayAllocations: 7 allocations name the pool without being one of its own:"
                + " 10.0.0.3 (of an earlier pool of this name), red.10.0.0.4 (in network \"red\"),"
                + " 10.0.0.9 (outside of the pool), 10.0.0.10 (outside of the pool), 10.0.1.1 (outside of the pool)"
                + " and 2 more")
    }

    @Test func `a pool is concerned by what names it and by what takes an address of it`() throws {
        let pool = try pool("10.0.0.0/28")
        #expect(pool.isConcerned(by: try record("10.9.0.1")))
        #expect(pool.isConcerned(by: try record("10.0.0.1", pool: "green")))
        #expect(!pool.isConcerned(by: try record("10.0.0.1", network: "red", pool: "green")))
        #expect(!pool.isConcerned(by: try record("10.0.0.0", pool: "green")))
    }
}
