package import IPAMAPI
package import IPAMEngine
package import IPAddressing
import JSONText

/// A pool that was looked at for an address, and what came of it.
package struct ConsideredPool: Hashable, Sendable {
    package enum Verdict: String, Hashable, Sendable {
        /// The address comes from it.
        case chosen = "Chosen"
        /// It can give none, or not the one that is asked for.
        case skipped = "Skipped"
        /// It would do; an earlier one is taken.
        case notNeeded = "NotNeeded"
        /// It ends the whole search: nothing is given at all.
        case fatal = "Fatal"
    }

    package var name: String
    package var verdict: Verdict
    /// Half a sentence.
    package var reason: String
    /// What the pod's node has of it; nil for a pool that is not sliced into blocks, and for a pod without a node.
    package var share: NodeShare?

    package init(_ name: String, _ verdict: Verdict, _ reason: String, share: NodeShare? = nil) {
        self.name = name
        self.verdict = verdict
        self.reason = reason
        self.share = share
    }
}

/// How one address of an attachment would be found.
package struct SlotReasoning: Hashable, Sendable {
    package enum Outcome: Hashable, Sendable {
        /// - Parameter isOnly: Another one cannot be given; else it is one of several, chosen at random.
        case address(IPAddress, pool: String, isOnly: Bool)
        /// Nothing is free; an address in cooldown is taken over.
        case takeOver(IPAddress, pool: String)
        /// An IPClaim keeps it for the pod.
        case kept(IPAddress, pool: String, claim: PodKey)
        case refused(String)
    }

    /// For example `IPv4`.
    package var title: String
    /// In the order in which they are looked at.
    package var considered: [ConsideredPool]
    package var outcome: Outcome

    package init(title: String, considered: [ConsideredPool], outcome: Outcome) {
        self.title = title
        self.considered = considered
        self.outcome = outcome
    }
}

/// What an ADD would do now, and why, as a pure function of what is known.
///
/// It follows the plugin: the pools that may serve are brought into an order (`PoolSelection`), and each is asked in turn
/// for a candidate (`CandidateSource`).
package struct SelectionReasoning: Hashable, Sendable {
    package struct Input: Sendable {
        package var request: PoolRequest
        /// Of whom, as far as the API tells.
        package var facts: SelectionFacts
        package var staticAddresses: [StaticAddress]
        package var requested: [IPAddress]
        package var pools: [String: PoolEntry]
        /// What is taken in each network.
        package var taken: [String: [IPAddress: AllocationState?]]
        /// Every block there is.
        package var blocks: [ValidatedBlock]
        /// As the node says it; nil where it does not.
        package var machineID: String?
        package var claim: ClaimFinding

        package init(
            request: PoolRequest, facts: SelectionFacts, staticAddresses: [StaticAddress] = [],
            requested: [IPAddress] = [], pools: [String: PoolEntry], taken: [String: [IPAddress: AllocationState?]],
            blocks: [ValidatedBlock] = [], machineID: String? = nil, claim: ClaimFinding = ClaimFinding()
        ) {
            self.request = request
            self.facts = facts
            self.staticAddresses = staticAddresses
            self.requested = requested
            self.pools = pools
            self.taken = taken
            self.blocks = blocks
            self.machineID = machineID
            self.claim = claim
        }
    }

    package var slots: [SlotReasoning]
    /// Why nothing is given at all, whatever the slots say; nil when all of them are served.
    package var refusal: String?

    package init(slots: [SlotReasoning], refusal: String? = nil) {
        self.slots = slots
        self.refusal = refusal
    }

    package var isServed: Bool { refusal == nil }

    package init(_ input: Input, using generator: inout some RandomNumberGenerator) {
        slots = []
        let (groups, problem) = Self.groups(input, using: &generator)
        let fatal = groups.flatMap(\.candidates).filter { $0.pool == nil && $0.isNamed }.map(\.text)
        if let ending = problem.map({ "\($0)" }) ?? (fatal.isEmpty ? nil : fatal.joined(separator: "; ")) {
            slots = groups.map { Self.ended($0) }
            refusal = ending
            return
        }
        do {
            let plans = try Self.plans(groups, input)
            let kept = Self.kept(input.claim, plans)
            for (index, (group, plan)) in zip(groups, plans).enumerated() {
                slots.append(
                    Self.reasoning(group, plan, input.claim, kept: kept[index], input.taken, using: &generator))
            }
        } catch {
            slots = groups.map { Self.ended($0, by: error as? BlockConflict) }
            refusal = "\(error)"
            return
        }
        let refusals = slots.compactMap { slot in
            if case .refused(let reason) = slot.outcome { "\(slot.title): \(reason)" } else { nil }
        }
        refusal = refusals.isEmpty ? nil : refusals.joined(separator: "; ")
    }

    /// The pools that decide whether the pod has an IPClaim. Empty where nobody is served.
    package static func servingPools(
        _ input: Input, using generator: inout some RandomNumberGenerator
    ) -> [ValidatedPool] {
        let (groups, problem) = groups(input, using: &generator)
        guard problem == nil else { return [] }
        return groups.filter { $0.exact == nil }.flatMap { group in
            SlotPlan(usable: group.candidates.filter(\.mayServe).compactMap(\.pool), closed: []).pools
        }
    }

    /// What the slots take of what is kept: those that must have a certain address first, as the plugin does.
    private static func kept(_ finding: ClaimFinding, _ plans: [SlotPlan]) -> [Int: IPAllocation.Spec] {
        var rest = finding.kept
        var kept: [Int: IPAllocation.Spec] = [:]
        for isExact in [true, false] {
            for (index, plan) in plans.enumerated()
            where kept[index] == nil && (plan.exact != nil) == isExact && !plan.isStatic {
                let found = rest.firstIndex { spec in
                    (plan.exact == nil || plan.exact == spec.address)
                        && (plan.pools + plan.deferred).contains {
                            $0.name == spec.pool && $0.network == spec.network && $0.usable.contains(spec.address)
                        }
                }
                if let found { kept[index] = rest.remove(at: found) }
            }
        }
        return kept
    }

    /// - Parameter conflict: What is wrong with the blocks of a pool, where that ends the search.
    private static func ended(_ group: Group, by conflict: BlockConflict? = nil) -> SlotReasoning {
        SlotReasoning(
            title: group.title,
            considered: group.candidates.map { candidate in
                if let conflict, conflict.pool == candidate.name {
                    return ConsideredPool(candidate.name, .fatal, conflict.text, share: candidate.share)
                }
                guard let exclusion = candidate.exclusion else {
                    return ConsideredPool(candidate.name, .notNeeded, "it could serve")
                }
                let isFatal = candidate.pool == nil && candidate.isNamed
                return ConsideredPool(candidate.name, isFatal ? .fatal : .skipped, exclusion)
            }, outcome: .refused("nothing is given"))
    }

    // MARK: Which address

    private static func reasoning(
        _ group: Group, _ plan: SlotPlan, _ claim: ClaimFinding, kept: IPAllocation.Spec?,
        _ taken: [String: [IPAddress: AllocationState?]], using generator: inout some RandomNumberGenerator
    ) -> SlotReasoning {
        var considered: [ConsideredPool] = []
        var outcome: SlotReasoning.Outcome?
        // What comes when no pool gives anything else.
        var resorts: [(index: Int, found: Attempt.LastResort)] = []
        func settle(_ resort: (index: Int, found: Attempt.LastResort)?) {
            guard let (index, found) = resort else { return }
            let name = considered[index].name
            outcome =
                found.isCooling
                ? .takeOver(found.address, pool: name) : .address(found.address, pool: name, isOnly: found.isOnly)
            considered[index].verdict = .chosen
            if let reason = found.reason { considered[index].reason = reason }
        }
        if let kept { outcome = .kept(kept.address, pool: kept.pool, claim: claim.key) }
        for candidate in group.candidates {
            if let exclusion = candidate.exclusion, !(candidate.isAtQuota && kept?.pool == candidate.name) {
                considered.append(ConsideredPool(candidate.name, .skipped, exclusion))
                continue
            }
            guard let pool = candidate.pool else { continue }
            func add(_ verdict: ConsideredPool.Verdict, _ reason: String) {
                considered.append(ConsideredPool(pool.name, verdict, reason, share: candidate.share))
            }
            if let lack = lack(of: candidate, group, plan, claim) {
                add(.skipped, lack)
            } else if let kept {
                let isHere = kept.pool == pool.name
                let place = isHere ? "" : " of another pool"
                add(isHere ? .chosen : .notNeeded, "\(kept.address)\(place) is kept for the pod")
            } else if case .refused = outcome {
                add(.skipped, "is not asked: the ADD fails before")
            } else if outcome != nil {
                add(.notNeeded, "an earlier pool serves")
            } else {
                let attempt = Attempt(
                    pool, candidate.share, taken[pool.network] ?? [:], exact: plan.exact, of: plan.places(in: pool),
                    isDoubted: resorts.contains { !$0.found.isCooling }, using: &generator)
                if let address = attempt.address {
                    outcome = .address(address, pool: pool.name, isOnly: attempt.isOnly)
                    add(.chosen, attempt.reason)
                } else if let conflict = attempt.conflict {
                    outcome = .refused("\(BlockConflict(pool: pool.name, text: conflict))")
                    add(.fatal, attempt.reason)
                } else {
                    resorts += attempt.resorts.map { (considered.count, $0) }
                    add(.skipped, attempt.reason)
                    if attempt.awaitsList { settle(resorts.first { !$0.found.isCooling }) }
                }
            }
        }
        if outcome == nil { settle(resorts.first) }
        let givers = group.candidates.filter { candidate in
            plan.exact == nil || candidate.pool.map { !plan.places(in: $0).isEmpty } ?? false
        }
        let refusal: String
        if givers.allSatisfy({ $0.exclusion != nil }) {
            refusal = givers.map(\.text).joined(separator: "; ")
        } else {
            refusal = plan.exact.map { "\($0) is taken" } ?? "every pool is exhausted; the runtime tries again"
        }
        return SlotReasoning(title: group.title, considered: considered, outcome: outcome ?? .refused(refusal))
    }

    /// Why a pool that is for the pod is no alternative all the same: a predicate.
    private static func lack(
        of candidate: Candidate, _ group: Group, _ plan: SlotPlan, _ finding: ClaimFinding
    ) -> String? {
        if candidate.pool?.purpose == nil,
            group.candidates.contains(where: { $0.mayServe && $0.pool?.purpose != nil })
        {
            return "has nothing reserved for the pod's purpose"
        }
        if !plan.isStatic, let claim = finding.claim, !claim.spec.pools.isEmpty,
            !claim.spec.pools.contains(candidate.name)
        {
            return "is none of those that IPClaim \(finding.key) names (spec.pools)"
        }
        if let exact = plan.exact, let pool = candidate.pool, plan.places(in: pool).isEmpty {
            return "cannot give the requested \(exact)"
        }
        return nil
    }
}

extension SlotPlan {
    /// What of a pool the address may come from.
    fileprivate func places(in pool: ValidatedPool) -> [ValidatedPool] { pools.filter { $0.name == pool.name } }
}
