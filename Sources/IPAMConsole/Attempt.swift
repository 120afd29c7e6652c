import IPAMAPI
import IPAMEngine
import IPAddressing

/// The search in one pool, as the plugin makes it: by the hint of the pool's status, and by a list when that is wrong.
struct Attempt {
    /// What the pool gives when no other one gives anything, or before another block is claimed.
    struct LastResort {
        var address: IPAddress
        /// It cools; else it is free, and the status does not say so.
        var isCooling: Bool
        var isOnly = true
        /// In place of that of the attempt; nil where that will do.
        var reason: String?
    }

    var address: IPAddress?
    var isOnly = false
    /// In their order.
    var resorts: [LastResort] = []
    var reason: String
    /// The ADD fails for want of another block, before any pool behind is asked: ``NodeShare/conflict``.
    var conflict: String?
    /// A pool of which a list may show what its status does not is listed before the node asks for another block.
    var awaitsList = false

    /// The same in a pool of which the node has blocks.
    ///
    /// - Parameters:
    ///   - exact: The one address that will do.
    ///   - places: Where that may come from.
    ///   - isDoubted: Whether the status of an earlier pool hides addresses that a list of it shows.
    init(
        _ pool: ValidatedPool, _ share: NodeShare?, _ taken: [IPAddress: AllocationState?], exact: IPAddress?,
        of places: [ValidatedPool], isDoubted: Bool, using generator: inout some RandomNumberGenerator
    ) {
        guard let share else {
            self.init(pool, taken, exact: exact, using: &generator)
            return
        }
        if exact != nil, let place = places.first {
            self.init(place, taken, exact: exact, using: &generator)
            if share.own.contains(place) {
                reason += " in this node's blocks"
            } else if address != nil {
                isOnly = share.isOnly(pool)
                reason = "\(share.subject): the node \(share.nextText)"
            }
            return
        }
        self.init(reason: share.subject)
        for own in share.own where !own.usable.isEmpty {
            var attempt = Attempt(own, taken, exact: nil, using: &generator)
            attempt.reason += " in this node's blocks"
            if attempt.address != nil {
                self = attempt
                return
            }
            resorts += attempt.resorts
        }
        awaitsList = isDoubted || resorts.contains { !$0.isCooling }
        guard !awaitsList else { return }
        // Only when nothing is left of these does the node ask for another block.
        for more in share.more {
            let attempt = Attempt(more, taken, exact: nil, using: &generator)
            if let found = attempt.address {
                address = found
                isOnly = attempt.isOnly && share.isOnly(pool)
                reason = "\(share.subject): the node \(share.nextText)"
                return
            }
            resorts += attempt.resorts
        }
        reason = "\(share.subject), and the node \(share.nextText)"
        conflict = share.conflict
    }

    private init(reason: String) { self.reason = reason }

    private init(
        _ pool: ValidatedPool, _ taken: [IPAddress: AllocationState?], exact: IPAddress?,
        using generator: inout some RandomNumberGenerator
    ) {
        let inside = taken.filter { pool.usable.contains($0.key) }
        let scan = PoolScan(
            pool: pool, allocations: inside.map { (address: $0.key, state: $0.value) }, using: &generator)
        reason = Self.figures(pool, scan)
        if let exact {
            isOnly = true
            guard let state = taken[exact] else {
                address = exact
                reason = "the requested address is free"
                return
            }
            if state == .cooling { resorts = [LastResort(address: exact, isCooling: true)] }
            reason = "the requested address is \(state?.rawValue.lowercased() ?? "taken")"
            return
        }
        var source = CandidateSource(pool: pool)
        var refused = 0
        search: while true {
            switch source.next(using: &generator) {
            case .address(let candidate):
                guard taken[candidate] != nil else {
                    address = candidate
                    break search
                }
                source.strike(candidate)
                refused += 1
            case .needsScan: source.learn(scan)
            case .exhausted: break search
            }
        }
        isOnly = pool.strategy == .sequential || scan.freeCount == 1
        // Without a status it draws blindly, and that is no fault.
        if refused > 0, pool.occupancy != nil {
            reason += "; its status is stale: \(Figures.count(refused, "create")) would be refused first"
        }
        guard address == nil else { return }
        if let cooling = source.coolingAddresses.first ?? scan.cooling.first {
            resorts = [LastResort(address: cooling, isCooling: true)]
        }
        guard scan.freeCount > 0 else { return }
        reason = "its status says that nothing is free, though \(scan.freeCount) addresses are: it is stale"
        // What was released without a cooldown is free, and only the controller would say so in the hint.
        guard source.mayDoubtHint, source.scan == nil else { return }
        source.doubtHint()
        source.learn(scan)
        if case .address(let free) = source.next(using: &generator) {
            resorts = [
                LastResort(
                    address: free, isCooling: false, isOnly: isOnly,
                    reason: reason + "; the plugin finds them by a list")
            ]
        }
    }

    private static func figures(_ pool: ValidatedPool, _ scan: PoolScan) -> String {
        let what = pool.purpose.map { "addresses reserved for the purpose \"\($0)\"" } ?? "addresses"
        let more = pool.slice == nil && pool.reservedCount > 0 ? "; \(pool.reservedCount) more are reserved" : ""
        let capacity = pool.usable.count
        guard scan.freeCount == 0 else { return "\(scan.freeCount) of \(capacity) \(what) are free\(more)" }
        let counts = scan.counts
        return
            "none of \(capacity) \(what) is free\(more): \(counts.allocated) allocated, \(counts.cooling) cooling,"
            + " \(counts.held) held"
    }
}

extension NodeShare {
    /// Whether there is no choice of what it claims.
    fileprivate func isOnly(_ pool: ValidatedPool) -> Bool { next != .claim || pool.strategy == .sequential }
}
