import IPAMAPI
import IPAMEngine
import IPAddressing
import KubernetesCore

/// The pools that the address of a slot may come from: those to choose from, and those that give only what is kept or held.
struct SlotSources: Sendable {
    /// The plan's own, after them those that give only what is kept, and then those of which only what is held already
    /// stays held.
    private var all: [CandidateSource]
    /// Those to choose from: of a pool of which the claimant's namespace has its quota nothing new is given.
    let open: [Int]
    private let keeping: Range<Int>
    private let namespace: String?

    init(_ plan: SlotPlan, namespace: String?) {
        all = (plan.pools + plan.deferred + plan.closed).map { CandidateSource(pool: $0) }
        open = plan.pools.indices.filter { plan.pools[$0].quotaRefusal(namespace) == nil }
        keeping = 0..<plan.pools.count + plan.deferred.count
        self.namespace = namespace
    }

    subscript(index: Int) -> CandidateSource {
        get { all[index] }
        _modify { yield &all[index] }
    }

    // MARK: What is there already

    /// Where a name is of that an earlier ADD left behind.
    func place(of record: JournalEntry.Record) -> Int? {
        let isHeld = record.version != nil
        let places = isHeld ? Array(all.indices) : record.isKept ? Array(keeping) : open
        return places.first { index in
            let pool = all[index].pool
            return pool.uid == record.poolUID
                && (isHeld ? pool.spans(record.address) : pool.usable.contains(record.address))
        }
    }

    /// Where an address is of that is kept.
    ///
    /// - Parameter isGuests: What a guest has it has, whatever the pool's ranges have become since.
    func place(of allocation: IPAllocation, isGuests: Bool) -> Int? {
        let address = allocation.spec.address
        return (isGuests ? all.indices : keeping).first { index in
            let pool = all[index].pool
            return pool.name == allocation.spec.pool && pool.allocationName(of: address) == allocation.metadata.name
                && (isGuests ? pool.spans(address) : pool.usable.contains(address))
        }
    }

    /// What an allocation of an address would be called that one of them can give.
    func names(of address: IPAddress) -> [String] {
        all[keeping].filter { $0.pool.usable.contains(address) }.map { $0.pool.allocationName(of: address) }
    }

    // MARK: What this node knows

    /// Takes in addresses that this node released a moment ago.
    mutating func offer(_ freed: [FreedAddress]) {
        for freed in freed {
            for index in open where all[index].pool.uid == freed.poolUID {
                all[index].offer(freed.address, isFree: freed.isFree)
            }
        }
    }

    /// Takes in what this node knows of its pools from a moment ago.
    mutating func recall(_ memory: (ValidatedPool) -> PoolScan?) {
        for index in open where all[index].pool.occupancy == nil {
            if let scan = memory(all[index].pool) { all[index].recall(scan) }
        }
    }

    // MARK: When nothing is left

    /// Why none of them gives an address: quotas first, then those that are full, in the order of the plan.
    var fills: [LedgerError.PoolFill] {
        // The blocks of one pool are pools of their own.
        var seen: Set<String> = []
        let limited = all[keeping].map(\.pool).compactMap { pool in
            pool.quotaRefusal(namespace).flatMap { limit in
                seen.insert(pool.uid).inserted ? LedgerError.PoolFill(limited: pool, by: limit) : nil
            }
        }
        let full = open.map { index in
            let source = all[index]
            return LedgerError.PoolFill(
                pool: source.pool.name, poolUID: source.pool.uid, counts: source.counts, own: source.ownCount,
                purpose: source.pool.purpose, slice: source.pool.slice)
        }
        return limited + full
    }
}
