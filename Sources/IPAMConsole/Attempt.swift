import IPAMAPI
import IPAMEngine
import IPAddressing

/// The search in one pool, as the plugin makes it: by the hint of the pool's status, and by a list when that is wrong.
struct Attempt {
    var address: IPAddress?
    var isOnly = false
    /// What could be taken over.
    var cooling: IPAddress?
    var reason: String
    /// What cools is taken over before any other pool, or another block, is asked.
    var endsSearch = false

    /// The same in a pool of which the node has blocks.
    ///
    /// - Parameter earlier: Whether an earlier pool has an address that cools.
    init(
        _ pool: ValidatedPool, _ share: NodeShare?, _ taken: [IPAddress: AllocationState?], exact: IPAddress?,
        earlier: Bool, using generator: inout some RandomNumberGenerator
    ) {
        guard let share else {
            self.init(pool, taken, exact: exact, using: &generator)
            return
        }
        self.init(reason: share.subject)
        for own in share.own where !own.usable.isEmpty && exact.map({ own.usable.contains($0) }) ?? true {
            let attempt = Attempt(own, taken, exact: exact, using: &generator)
            if cooling == nil { cooling = attempt.cooling }
            reason = attempt.reason + " in this node's blocks"
            if attempt.address != nil {
                self = attempt
                reason = attempt.reason + " in this node's blocks"
                return
            }
        }
        // Only when nothing is left of these does the node ask for another block.
        endsSearch = share.isUsable && (earlier || cooling != nil) && share.next.isAnotherBlock
        // Nobody claims a block for the sake of one address.
        guard !endsSearch, exact == nil || !share.isUsable else { return }
        for more in share.more where exact.map({ more.usable.contains($0) }) ?? true {
            let attempt = Attempt(more, taken, exact: exact, using: &generator)
            guard let found = attempt.address else { continue }
            address = found
            isOnly = attempt.isOnly && (share.next != .claim || pool.strategy == .sequential)
            reason = "\(share.subject): the node \(share.nextText)"
            return
        }
        reason = "\(share.subject), and the node \(share.nextText)"
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
            if state == .cooling { cooling = exact }
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
        cooling = source.coolingAddresses.first ?? scan.cooling.first
        // Without a status it draws blindly, and that is no fault.
        if refused > 0, pool.occupancy != nil {
            reason += "; its status is stale: \(Figures.count(refused, "create")) would be refused first"
        }
        if address == nil, scan.freeCount > 0 {
            reason = "its status says that nothing is free, though \(scan.freeCount) addresses are: it is stale"
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
