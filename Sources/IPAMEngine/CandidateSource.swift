package import IPAMAPI
package import IPAddressing

/// What a LIST of one pool's allocations told a node: how full the pool is, and some addresses that were free.
///
/// Bounded whatever the pool's size, because the node keeps it on disk for its other ADDs.
package struct PoolScan: Hashable, Sendable {
    /// The most free or cooling addresses that one scan keeps.
    package static let maximumSample = 256

    package var poolUID: String
    package var poolGeneration: Int
    /// How many usable addresses no allocation of this pool named.
    package var freeCount: UInt128
    /// Free addresses: all of them up to ``maximumSample``, else a random choice, or the lowest ones of a Sequential
    /// pool. Ascending.
    package var free: [IPAddress]
    /// Addresses in cooldown, at most ``maximumSample``.
    package var cooling: [IPAddress]
    package var counts: PoolCounts

    package init(
        poolUID: String, poolGeneration: Int, freeCount: UInt128, free: [IPAddress], cooling: [IPAddress],
        counts: PoolCounts
    ) {
        self.poolUID = poolUID
        self.poolGeneration = poolGeneration
        self.freeCount = freeCount
        self.free = free
        self.cooling = cooling
        self.counts = counts
    }

    /// Sums up the allocations of a pool as a LIST showed them.
    package init(
        pool: ValidatedPool, allocations: some Sequence<(address: IPAddress, state: AllocationState?)>,
        using generator: inout some RandomNumberGenerator
    ) {
        var taken: [IPAddress] = []
        var cooling: [IPAddress] = []
        var counts = PoolCounts(usable: pool.usable.count, allocated: 0, cooling: 0, held: 0)
        for (address, state) in allocations where address.family == pool.family {
            taken.append(address)
            // What is said of a purpose's addresses, or of a slice's, is about these alone.
            if pool.purpose != nil || pool.slice != nil, !pool.usable.contains(address) { continue }
            switch state {
            case .cooling:
                counts.cooling += 1
                if pool.usable.contains(address) { cooling.append(address) }
            case .held: counts.held += 1
            case .bound, .fenced, nil: counts.allocated += 1
            }
        }
        let free = pool.usable.subtracting(
            IPSet(family: pool.family, ranges: taken.compactMap { IPRange(lower: $0, upper: $0) }))
        self.init(
            poolUID: pool.uid, poolGeneration: pool.generation, freeCount: free.count,
            free: Self.sample(of: free, pool.strategy, using: &generator),
            cooling: Array(cooling.shuffled(using: &generator).prefix(Self.maximumSample)),
            counts: counts)
    }

    private static func sample(
        of free: IPSet, _ strategy: PoolStrategy, using generator: inout some RandomNumberGenerator
    ) -> [IPAddress] {
        let count = Int(min(free.count, UInt128(maximumSample)))
        if strategy == .sequential || free.count <= UInt128(maximumSample) {
            return (0..<count).compactMap { free.element(at: UInt128($0)) }
        }
        var sample: Set<IPAddress> = []
        // Over a set larger than the sample at most half of the draws repeat an earlier one, on average.
        for _ in 0..<(2 * count) where sample.count < count {
            if let address = free.randomElement(using: &generator) { sample.insert(address) }
        }
        return sample.sorted()
    }
}

/// How full a pool was seen to be. For people: no decision rests on it.
package struct PoolCounts: Hashable, Sendable {
    package var usable: UInt128
    package var allocated: Int
    package var cooling: Int
    package var held: Int

    package init(usable: UInt128, allocated: Int, cooling: Int, held: Int) {
        self.usable = usable
        self.allocated = allocated
        self.cooling = cooling
        self.held = held
    }
}

extension ValidatedPool {
    /// What the controller counted last; nil where none has.
    package var statusCounts: PoolCounts? {
        // Of the addresses for a purpose alone nobody counts.
        if slice != nil { return hintedCounts }
        guard purpose == nil, let status, let allocated = status.allocated else { return nil }
        return PoolCounts(
            usable: usable.count, allocated: allocated, cooling: status.cooling ?? 0, held: status.held ?? 0)
    }

    /// What the hint shows taken of a slice, which nobody counts by itself.
    private var hintedCounts: PoolCounts? {
        guard let occupancy else { return nil }
        let inside = (0..<occupancy.count).filter { index in
            occupancy.isTaken(index) && occupancy.address(at: index).map { usable.contains($0) } ?? false
        }
        return PoolCounts(usable: usable.count, allocated: inside.count, cooling: 0, held: 0)
    }
}

/// Chooses addresses of one pool to try, one after another, never the same twice.
///
/// Random among the addresses that the pool's occupancy hint shows free, so that concurrent claimants on many nodes
/// rarely meet, whatever the fill. Without a hint: what a recent scan of this node saw free, else a few random probes,
/// then the word of a scan. Hints may be stale: a wrong one costs a refused create, never a duplicate, for the create
/// decides.
package struct CandidateSource: Sendable {
    /// Random probes without a hint before a scan is worth its price.
    static let blindProbes = 8
    /// Refused creates after which an occupancy hint, or what a scan saw a moment ago, counts as stale.
    static let hintedProbes = 16

    package enum Choice: Hashable, Sendable {
        case address(IPAddress)
        /// Only a LIST of the pool can tell; give it through ``learn(_:)``.
        case needsScan
        /// As far as can be known, no address of the pool is free.
        case exhausted
    }

    package let pool: ValidatedPool
    package private(set) var scan: PoolScan?
    /// What an earlier scan saw free. It spares probes in a pool that is nearly full, and proves nothing.
    private var recalled: [IPAddress] = []
    /// Addresses tried in vain.
    private var struck: Set<IPAddress> = []
    /// How many of ``struck`` end the search; nil for all that the scan saw free.
    private var mostStruck: Int?
    /// Those of ``struck`` that nobody holds: they are the node's own.
    private var avoided: Set<IPAddress> = []
    /// Addresses that this node released a moment ago, which hints and scans cannot know yet.
    private var offered: (free: [IPAddress], cooling: [IPAddress]) = ([], [])

    package init(pool: ValidatedPool) { self.pool = pool }

    /// Addresses in cooldown that a scan saw, or that were offered, and that were not tried since.
    package var coolingAddresses: [IPAddress] {
        (offered.cooling + (scan?.cooling ?? [])).filter { !struck.contains($0) && pool.usable.contains($0) }
    }

    /// How many addresses were passed over because they are the node's own.
    package var ownCount: Int { avoided.count }

    /// The best known figures of how full the pool is.
    package var counts: PoolCounts {
        var counts =
            scan?.counts ?? pool.statusCounts
            ?? PoolCounts(usable: pool.usable.count, allocated: 0, cooling: 0, held: 0)
        // What was refused just now is taken, though a cache may not know it yet.
        let known = counts.allocated + counts.cooling + counts.held
        counts.allocated += max(struck.count - avoided.count - known, 0)
        return counts
    }

    /// Marks an address as taken by someone else.
    package mutating func strike(_ address: IPAddress) { struck.insert(address) }

    /// Passes over an address of the node itself.
    package mutating func avoid(_ address: IPAddress) {
        struck.insert(address)
        avoided.insert(address)
    }

    /// Takes in an address of the pool that this node released a moment ago: free by now, or cooling.
    package mutating func offer(_ address: IPAddress, isFree: Bool) {
        guard pool.usable.contains(address) else { return }
        if isFree { offered.free.append(address) } else { offered.cooling.append(address) }
    }

    /// Takes in a scan, which from then on replaces the hint.
    ///
    /// What it saw cooling may well have been tried in vain, for a create is refused there too: it can be taken over.
    package mutating func learn(_ scan: PoolScan) {
        self.scan = scan
        struck.subtract(scan.cooling)
    }

    /// The most addresses of a pool that is listed as a whole although its hint says that it is full.
    private static let doubtedPool: UInt128 = 1024

    /// Whether the pool is small enough for that, and what is released is free at once, so that a hint is soon behind.
    package var mayDoubtHint: Bool { pool.cooldownSeconds == 0 && pool.usable.count <= Self.doubtedPool }

    /// Before a scan that is made though the hint says that nothing is free. Such a hint may be right: it counts what pools
    /// that overlap this one gave, and a scan does not. So a few refusals end the search.
    package mutating func doubtHint() { mostStruck = struck.count + Self.hintedProbes }

    /// Takes in an earlier scan of this node, for a pool without a hint.
    ///
    /// That it saw nothing free does not end the search: an address may have been released since.
    package mutating func recall(_ scan: PoolScan) { recalled = scan.free }

    package func next(using generator: inout some RandomNumberGenerator) -> Choice {
        guard !pool.usable.isEmpty else { return .exhausted }
        if let address = offered.free.first(where: { !struck.contains($0) }) { return .address(address) }
        if let scan {
            if let mostStruck, struck.count >= mostStruck { return .exhausted }
            let free = scan.free.filter { !struck.contains($0) && pool.usable.contains($0) }
            let choice = pool.strategy == .sequential ? free.first : free.randomElement(using: &generator)
            return choice.map { .address($0) } ?? .exhausted
        }
        if let hint = pool.occupancy {
            guard struck.count < Self.hintedProbes else { return .needsScan }
            return hinted(hint, using: &generator)
        }
        guard pool.strategy == .random else { return .needsScan }
        if struck.count < Self.hintedProbes {
            let known = recalled.filter { !struck.contains($0) && pool.usable.contains($0) }
            if let address = known.randomElement(using: &generator) { return .address(address) }
        }
        guard struck.count < Self.blindProbes else { return .needsScan }
        // A drawn address that was struck before is drawn again; a small pool may have nothing else left.
        for _ in 0..<Self.blindProbes {
            guard let address = pool.usable.randomElement(using: &generator) else { return .exhausted }
            if !struck.contains(address) { return .address(address) }
        }
        return .needsScan
    }

    private func hinted(_ hint: Occupancy, using generator: inout some RandomNumberGenerator) -> Choice {
        func isFree(_ index: Int) -> IPAddress? {
            guard !hint.isTaken(index), let address = hint.address(at: index), pool.usable.contains(address),
                !struck.contains(address)
            else { return nil }
            return address
        }
        if pool.strategy == .random, hint.count > 0 {
            // While a pool is not nearly full, a few draws find a free bit without a look at all of them.
            for _ in 0..<32 {
                if let address = isFree(Int.random(in: 0..<hint.count, using: &generator)) { return .address(address) }
            }
        }
        var free: [IPAddress] = []
        for index in 0..<hint.count {
            guard let address = isFree(index) else { continue }
            if pool.strategy == .sequential { return .address(address) }
            free.append(address)
        }
        if let address = free.randomElement(using: &generator) { return .address(address) }
        // A hint of which every free address was refused is stale, and says nothing of the others.
        return struck.isEmpty ? .exhausted : .needsScan
    }
}
