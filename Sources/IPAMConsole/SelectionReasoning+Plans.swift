import IPAMAPI
import IPAMEngine
import IPAddressing

/// Why a pool whose blocks are not right ends the search, as ``NodeShare/conflict`` says.
struct BlockConflict: Error, CustomStringConvertible {
    var pool: String
    var text: String

    var description: String { "IPPool \"\(pool)\": \(text)" }
}

/// Why an ADD is refused, whatever is free: a sentence.
private struct Refusal: Error, CustomStringConvertible {
    var description: String
}

/// What each slot may be given, in the order in which the plugin decides it.
extension SelectionReasoning {
    /// One for each group.
    ///
    /// - Throws: What refuses the ADD: a slot without a pool, a requested address without a slot, a route that leads
    ///   nowhere, the IPClaim, or a block that overlaps another one.
    static func plans(_ groups: [Group], _ input: Input) throws -> [SlotPlan] {
        let open = groups.filter { $0.exact == nil }
        var chosen: [SlotPlan] = []
        for group in open { chosen.append(try group.plan()) }
        var plans = try assigned(chosen, groups, input)
        if let obstacle = input.claim.obstacle { throw Refusal(description: obstacle) }
        let claim = input.claim.planned
        if open.flatMap(\.candidates).contains(where: { $0.pool?.nodeBlocks != nil }) {
            if let claim { chosen = try SlotPlan.restricted(to: claim, chosen) }
            var sliced: [SlotPlan] = []
            for (group, plan) in zip(open, chosen) { sliced.append(try slice(plan, group, input)) }
            plans = try assigned(sliced, groups, input)
        }
        guard let claim else { return plans }
        return try SlotPlan.serving(claim, plans, requested: input.requested, wishes: input.claim.wishes)
    }

    /// With what is requested, and with the addresses that the configuration gives to everybody.
    private static func assigned(_ plans: [SlotPlan], _ groups: [Group], _ input: Input) throws -> [SlotPlan] {
        var plans = try SlotPlan.assign(input.requested, to: plans)
        for group in groups {
            guard let exact = group.exact else { continue }
            var fixed = try group.plan()
            fixed.isStatic = true
            plans += try SlotPlan.assign([exact], to: [fixed])
        }
        let request = input.request
        for route in request.routes where !plans.contains(where: { $0.canReach(route) }) {
            throw Refusal(
                description: "\(request.routesSource): no pool that may serve has"
                    + " \(route.gw.map { "\($0)" } ?? "the family") of the route to \(route.dst) in its subnet")
        }
        return plans
    }

    /// The plan with what is the node's of sliced pools.
    ///
    /// Behind a pool that may serve nothing is claimed until that is used up, and behind one of which the node may yet have
    /// more everything waits.
    private static func slice(_ plan: SlotPlan, _ group: Group, _ input: Input) throws(BlockConflict) -> SlotPlan {
        let namespace = input.facts.pod?.namespace
        var sliced = plan
        sliced.pools = []
        var asked = input.requested + input.claim.wishes
        asked += input.claim.planned?.spec.addresses.compactMap { IPAddress($0) } ?? []
        var isOpen = true
        for pool in plan.pools {
            var places = [pool]
            var isLast = true
            if let share = group.share(of: pool) {
                let hasQuota = pool.quotaRefusal(namespace) != nil
                let isDue = isOpen && !sliced.pools.contains { $0.quotaRefusal(namespace) == nil && !$0.usable.isEmpty }
                let mayClaim = !hasQuota && (isDue || asked.contains { pool.usable.contains($0) })
                let claims = mayClaim && !share.isUsable
                if claims, let conflict = share.conflict { throw BlockConflict(pool: pool.name, text: conflict) }
                places = claims ? share.own + share.more : share.own
                isLast = hasQuota || claims && !share.next.isAnotherBlock
            }
            if isOpen { sliced.pools += places } else { sliced.deferred += places }
            isOpen = isOpen && isLast
        }
        return sliced
    }
}
