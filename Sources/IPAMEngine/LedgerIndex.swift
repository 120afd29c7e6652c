import IPAMAPI
package import IPAddressing

/// How many allocations name a pool, by their state.
package struct PoolTally: Hashable, Sendable {
    package var bound = 0
    package var fenced = 0
    package var cooling = 0
    package var held = 0

    package init() {}

    /// What the status of a pool calls allocated.
    package var allocated: Int { bound + fenced }
    package var total: Int { bound + fenced + cooling + held }

    mutating func add(_ record: AllocationRecord, _ difference: Int) {
        switch record.state {
        case .bound: bound += difference
        case .fenced: fenced += difference
        case .cooling: cooling += difference
        case .held: held += difference
        }
    }
}

/// Which addresses are taken, by whom, and how many each pool has: the ledger in a form that answers at once.
///
/// An address is taken in its network, whichever pool its allocation names: pools of one network may overlap. Every
/// address is there once, as its allocation's name is.
package struct LedgerIndex: Sendable {
    /// Where an address is taken once.
    private struct Domain: Hashable {
        var network: String
        var family: IPFamily
    }

    private struct PoolEntry {
        var tally = PoolTally()
        /// How many allocations name each UID.
        var uids: [String: Int] = [:]
        var tables: [Domain: AddressTable] = [:]

        mutating func count(_ record: AllocationRecord, _ difference: Int) {
            tally.add(record, difference)
            uids[record.poolUID, default: 0] += difference
            if uids[record.poolUID] == 0 { uids[record.poolUID] = nil }
        }
    }

    /// From so many on, changes at once are cheaper by a new index.
    private static let bulk = 256

    private var tables: [Domain: AddressTable] = [:]
    private var pools: [String: PoolEntry] = [:]

    package init() {}

    /// O(n log n). Of records for one address the last one counts.
    package init(_ records: some Sequence<AllocationRecord>) {
        self.init(entries: records.map { Entry(domain: Self.domain(of: $0), value: $0.address.value, record: $0) })
    }

    package var count: Int { tables.values.reduce(0) { $0 + $1.count } }

    // MARK: Changes

    /// Enters an allocation in the place of the one that has its name, if any.
    package mutating func insert(_ record: AllocationRecord) {
        enter(record, at: record.address.value, in: Self.domain(of: record))
    }

    /// Enters many; one pass over the whole index where that is cheaper.
    package mutating func insert(contentsOf records: [AllocationRecord]) {
        guard records.count >= Self.bulk else {
            for record in records { insert(record) }
            return
        }
        var entries: [Entry] = []
        for (domain, table) in tables {
            for (value, record) in zip(table.values, table.records) {
                entries.append(Entry(domain: domain, value: value, record: record))
            }
        }
        entries += records.map { Entry(domain: Self.domain(of: $0), value: $0.address.value, record: $0) }
        self = LedgerIndex(entries: entries)
    }

    /// Enters an address whose allocation cannot be read. The name is taken all the same; it counts for no pool.
    package mutating func insert(unreadable name: AllocationName) {
        enter(nil, at: name.address.value, in: Domain(network: name.network, family: name.address.family))
    }

    /// The same object, changed.
    package mutating func replace(_ old: AllocationRecord, with new: AllocationRecord) {
        if old.address != new.address || old.network != new.network { remove(old) }
        insert(new)
    }

    package mutating func remove(_ record: AllocationRecord) { remove(record.address, network: record.network) }

    package mutating func remove(_ name: AllocationName) { remove(name.address, network: name.network) }

    private mutating func remove(_ address: IPAddress, network: String) {
        let domain = Domain(network: network, family: address.family)
        if let old = record(of: address, network: network) { leavePool(old, in: domain) }
        tables[domain]?.remove(address.value)
        if tables[domain]?.isEmpty == true { tables[domain] = nil }
    }

    private mutating func enter(_ record: AllocationRecord?, at value: UInt128, in domain: Domain) {
        if let table = tables[domain], let index = table.index(of: value), let old = table.records[index] {
            if old.pool == record?.pool {
                pools[old.pool]?.count(old, -1)
            } else {
                leavePool(old, in: domain)
            }
        }
        tables[domain, default: AddressTable()].insert(value, record)
        guard let record else { return }
        pools[record.pool, default: PoolEntry()].count(record, 1)
        pools[record.pool]?.tables[domain, default: AddressTable()].insert(value, record)
    }

    /// Takes what the index has at an address out of the figures of its pool.
    private mutating func leavePool(_ old: AllocationRecord, in domain: Domain) {
        pools[old.pool]?.count(old, -1)
        pools[old.pool]?.tables[domain]?.remove(old.address.value)
        if pools[old.pool]?.tables[domain]?.isEmpty == true { pools[old.pool]?.tables[domain] = nil }
        if pools[old.pool]?.tables.isEmpty == true { pools[old.pool] = nil }
    }

    // MARK: Networks

    /// The allocation of an address; nil when there is none that can be read.
    package func record(of address: IPAddress, network: String) -> AllocationRecord? {
        guard let table = table(network, address.family), let index = table.index(of: address.value) else { return nil }
        return table.records[index]
    }

    /// The number of taken addresses in a range. O(log n).
    package func takenCount(in range: IPRange, network: String) -> Int {
        table(network, range.family)?.positions(in: range).count ?? 0
    }

    /// The number of taken addresses in a set. O(log n) for each of its ranges.
    package func takenCount(in set: IPSet, network: String) -> Int {
        table(network, set.family)?.count(in: set) ?? 0
    }

    /// The taken addresses in a range, ascending.
    package func taken(in range: IPRange, network: String) -> [IPAddress] {
        guard let table = table(network, range.family) else { return [] }
        return table.values[table.positions(in: range)].compactMap { IPAddress(family: range.family, value: $0) }
    }

    /// Who has addresses of a set, not counting those that cool: the lowest `limit` of them, and their number. O(n) for
    /// what is taken of the set.
    package func holders(
        in set: IPSet, network: String, limit: Int
    ) -> (records: [AllocationRecord], count: Int) {
        guard let table = table(network, set.family) else { return ([], 0) }
        var (records, count) = ([AllocationRecord](), 0)
        for range in set.ranges {
            for case let record? in table.records[table.positions(in: range)] where record.state != .cooling {
                count += 1
                if records.count < limit { records.append(record) }
            }
        }
        return (records, count)
    }

    /// The lowest address of a set that is not taken. O(log n) for each range up to its own.
    package func firstFree(in set: IPSet, network: String) -> IPAddress? {
        guard let table = table(network, set.family) else { return set.first }
        for range in set.ranges {
            if let free = table.firstFree(in: range) { return free }
        }
        return nil
    }

    // MARK: Pools

    /// The names of the pools that allocations name, in no order.
    package var poolNames: some Collection<String> { pools.keys }

    package func tally(ofPool name: String) -> PoolTally { pools[name]?.tally ?? PoolTally() }

    /// The allocations that name a pool, in no particular order of networks and families, ascending in each. O(n).
    package func records(ofPool name: String) -> [AllocationRecord] {
        pools[name]?.tables.values.flatMap { $0.records.compactMap(\.self) } ?? []
    }

    /// How many allocations name a pool and have an address of a set in a network. O(log n) for each range.
    package func count(ofPool name: String, in set: IPSet, network: String) -> Int {
        pools[name]?.tables[Domain(network: network, family: set.family)]?.count(in: set) ?? 0
    }

    /// How many allocations name a pool of this name and another UID. Those that name no UID are not counted.
    package func count(ofPool name: String, withUIDOtherThan uid: String) -> Int {
        pools[name]?.uids.reduce(0) { $0 + ($1.key == uid || $1.key.isEmpty ? 0 : $1.value) } ?? 0
    }

    private func table(_ network: String, _ family: IPFamily) -> AddressTable? {
        tables[Domain(network: network, family: family)]
    }

    private static func domain(of record: AllocationRecord) -> Domain {
        Domain(network: record.network, family: record.address.family)
    }

    // MARK: Construction

    private struct Entry {
        var domain: Domain
        var value: UInt128
        var record: AllocationRecord?
    }

    private init(entries: [Entry]) {
        var grouped: [Domain: [(value: UInt128, order: Int, record: AllocationRecord?)]] = [:]
        for (order, entry) in entries.enumerated() {
            grouped[entry.domain, default: []].append((entry.value, order, entry.record))
        }
        var ofPools: [String: [Domain: [(value: UInt128, record: AllocationRecord?)]]] = [:]
        for (domain, var group) in grouped {
            group.sort { ($0.value, $0.order) < ($1.value, $1.order) }
            var kept: [(value: UInt128, record: AllocationRecord?)] = []
            kept.reserveCapacity(group.count)
            for (value, _, record) in group {
                if kept.last?.value == value { kept.removeLast() }
                kept.append((value, record))
            }
            tables[domain] = AddressTable(ascending: kept)
            for case (let value, let record?) in kept {
                pools[record.pool, default: PoolEntry()].count(record, 1)
                ofPools[record.pool, default: [:]][domain, default: []].append((value, record))
            }
        }
        for (name, domains) in ofPools {
            pools[name]?.tables = domains.mapValues { AddressTable(ascending: $0) }
        }
    }
}

extension AddressTable {
    /// The number of addresses in a set of this family.
    func count(in set: IPSet) -> Int { set.ranges.reduce(0) { $0 + positions(in: $1).count } }
}
