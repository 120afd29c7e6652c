package import IPAMAPI
package import IPAddressing

/// What the network configuration asks addresses from.
package enum PoolDemand: Hashable, Sendable {
    /// IPPools by name or pattern, in order of preference within each family: one address for each family that the list
    /// names.
    case named([NamePattern])
    /// It leaves the choice to annotations and to the default pools.
    case defaults
    /// Ranges written in the configuration itself: one address for each element, each with its alternatives in order.
    case inline([[InlinePoolDefinition]])
}

/// An address written in the configuration, given to every attachment of the network (whereabouts `addresses`).
package struct StaticAddress: Hashable, Sendable {
    package var address: IPAddress
    package var pool: InlinePoolDefinition

    package init(address: IPAddress, pool: InlinePoolDefinition) {
        self.address = address
        self.pool = pool
    }
}

/// One address to be claimed: the pools it may come from, in order, and the one address that will do, if it must be
/// that one.
package struct SlotPlan: Hashable, Sendable {
    /// Those of which the claimant's namespace has its quota give only what is kept: ``ValidatedPool/quotaRefusal(_:)``.
    package var pools: [ValidatedPool]
    package var exact: IPAddress?
    /// Pools whose turn comes when those before them are used up. Until then nothing is chosen from them, but an address
    /// that is asked for or kept may be theirs.
    package var deferred: [ValidatedPool]
    /// Pools of the slot that take no new claims. What is held of them stays held.
    package var closed: [ValidatedPool]
    /// More may give new addresses than `pools`: those that are deferred, another block of this node, or pools that were
    /// not read. Until that is used up, what cools rests.
    package var hasMore: Bool
    /// The address is that of every attachment of the network: no IPClaim keeps it.
    package var isStatic: Bool

    package init(
        pools: [ValidatedPool], exact: IPAddress? = nil, deferred: [ValidatedPool] = [], closed: [ValidatedPool] = [],
        hasMore: Bool = false, isStatic: Bool = false
    ) {
        self.pools = pools
        self.exact = exact
        self.deferred = deferred
        self.closed = closed
        self.hasMore = hasMore
        self.isStatic = isStatic
    }
}

/// Why a request for addresses cannot be met, whatever is free.
package enum SlotPlanError: Error, Hashable, Sendable, CustomStringConvertible {
    /// No pool of an element of the configuration can serve: each with its reason.
    case noUsablePool(reasons: [String])
    /// A requested address lies outside of every pool that could give it, or there is no slot left for it.
    case addressRefused(IPAddress, reason: String)

    package var description: String {
        switch self {
        case .noUsablePool(let reasons): "no pool can serve: \(reasons.joined(separator: "; "))"
        case .addressRefused(let address, let reason):
            "the requested address \(address) cannot be given: \(reason)"
        }
    }
}

extension SlotPlan {
    /// Those that may give an address, now or when it is their turn.
    var givers: [ValidatedPool] { pools + deferred }

    /// One slot from alternatives, in their order. A pool that takes no new claims is passed over; one of which all is
    /// reserved is not, for it is exhausted like any other that is full.
    package static func slot(from pools: [ValidatedPool]) throws(SlotPlanError) -> SlotPlan {
        let usable = pools.filter { $0.refusal == nil }
        guard !usable.isEmpty else {
            throw .noUsablePool(
                reasons: pools.map { "IPPool \"\($0.name)\" \($0.refusal ?? "serves no one")" })
        }
        return SlotPlan(usable: usable, closed: pools.filter { $0.refusal != nil })
    }

    /// One slot from pools that may serve. While one of them has addresses for the purpose that the claimant names, the
    /// others are no alternative: the claimant is to have one of those.
    package init(usable: [ValidatedPool], closed: [ValidatedPool]) {
        let isForPurpose = usable.contains { $0.purpose != nil }
        func isOpen(_ pool: ValidatedPool) -> Bool { !isForPurpose || pool.purpose != nil }
        self.init(pools: usable.filter(isOpen), closed: closed + usable.filter { !isOpen($0) })
    }

    /// Gives each requested address an open slot that has a pool for it: the first one, unless another address has
    /// nowhere else to go.
    ///
    /// A requested address is never answered with another one and never given beside one that was not asked for in
    /// its place, so an address without a slot is an error.
    package static func assign(_ requested: [IPAddress], to slots: [SlotPlan]) throws(SlotPlanError) -> [SlotPlan] {
        let fitting = requested.map { address in
            slots.indices.filter { index in slots[index].givers.contains { $0.usable.contains(address) } }
        }
        // Slot to requested address.
        var places: [Int: Int] = slots.enumerated().reduce(into: [:]) { places, slot in
            if slot.element.exact != nil { places[slot.offset] = -1 }
        }
        for (index, address) in requested.enumerated() {
            var visited: Set<Int> = []
            guard place(index, fitting, &places, &visited) else {
                throw .addressRefused(
                    address,
                    reason: fitting[index].isEmpty
                        ? outside(address, slots) : tooMany(besides: Array(requested[..<index])))
            }
        }
        var assigned = slots
        for (slot, index) in places where index >= 0 {
            assigned[slot].pools = slots[slot].givers.filter { $0.usable.contains(requested[index]) }
            (assigned[slot].deferred, assigned[slot].hasMore) = ([], false)
            assigned[slot].exact = requested[index]
        }
        return assigned
    }

    /// Finds a slot for one more address, moving others where that helps (an augmenting path of a bipartite matching).
    private static func place(
        _ index: Int, _ fitting: [[Int]], _ places: inout [Int: Int], _ visited: inout Set<Int>
    ) -> Bool {
        for slot in fitting[index] where places[slot] == nil {
            places[slot] = index
            return true
        }
        for slot in fitting[index] {
            guard visited.insert(slot).inserted, let other = places[slot], other >= 0,
                place(other, fitting, &places, &visited)
            else { continue }
            places[slot] = index
            return true
        }
        return false
    }

    private static func tooMany(besides earlier: [IPAddress]) -> String {
        // Without any, the slots that fit are those of the configuration's own addresses.
        let taken = earlier.isEmpty ? "" : "; requested already: \(earlier.map(\.description).joined(separator: ", "))"
        return "more addresses requested than given\(taken)"
    }

    private static func outside(_ address: IPAddress, _ slots: [SlotPlan]) -> String {
        let pools = slots.flatMap(\.givers)
        guard !pools.isEmpty else { return "there is no pool to take it from" }
        return pools.map { "IPPool \"\($0.name)\" (\($0.subnet)) \($0.reasonForLacking(address))" }
            .joined(separator: "; ")
    }
}

extension ValidatedPool {
    /// The name of the allocation of an address: the address, after the network and a dot where there is one.
    package func allocationName(of address: IPAddress) -> String {
        network.isEmpty ? address.objectName : "\(network).\(address.objectName)"
    }

    /// Why the pool takes no new claims, or nil.
    package var refusal: String? {
        // An inline one goes with its last allocation and is made again: nobody could bring it back before.
        if isBeingDeleted, !isInline { return "is being deleted" }
        if isDisabled { return "is disabled (spec.disabled)" }
        if isDraining { return "is being drained (spec.draining)" }
        return nil
    }

    /// Why the pool cannot give an address: a predicate.
    package func reasonForLacking(_ address: IPAddress) -> String {
        if address.family != family { return "is of family \(family)" }
        if !subnet.contains(address) { return "does not contain it" }
        if address == gateway { return "has it as its gateway" }
        if let purpose, configured.contains(address) {
            return "has not reserved it for the purpose \"\(purpose)\" (status.reservedFor)"
        }
        if slice != nil, configured.contains(address), !usable.contains(address) {
            return "has it outside of this node's blocks (kubectl get ipblocks)"
        }
        if configured.contains(address) { return "keeps it for a reservation (status.reserved)" }
        return "does not allow it (ranges, exclude, or a network, broadcast, multicast or loopback address)"
    }
}
