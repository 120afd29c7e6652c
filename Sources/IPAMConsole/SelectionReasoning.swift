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
        var ending = problem.map { "\($0)" } ?? (fatal.isEmpty ? nil : fatal.joined(separator: "; "))
        ending = ending ?? input.claim.obstacle
        guard ending == nil else {
            slots = groups.map(Self.ended)
            refusal = ending
            return
        }
        do {
            var plans = try Self.plans(groups, input.requested)
            if let claim = input.claim.planned {
                plans = try SlotPlan.serving(claim, plans, requested: input.requested, wishes: input.claim.wishes)
            }
            let kept = Self.kept(input.claim, plans)
            for (index, (group, plan)) in zip(groups, plans).enumerated() {
                slots.append(
                    Self.reasoning(group, plan, input.claim, kept: kept[index], input.taken, using: &generator))
            }
        } catch {
            slots = groups.map(Self.ended)
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
                        && plan.pools.contains {
                            $0.name == spec.pool && $0.network == spec.network && $0.usable.contains(spec.address)
                        }
                }
                if let found { kept[index] = rest.remove(at: found) }
            }
        }
        return kept
    }

    // MARK: Which pools, in which order

    private struct Candidate {
        var name: String
        /// Nil when it cannot be used by anyone.
        var pool: ValidatedPool?
        /// Why it is out: a predicate. Nil where it may serve.
        var exclusion: String?
        var isNamed = true
        /// It is out by the namespace's quota alone, and gives what is kept.
        var isAtQuota = false
        var share: NodeShare?

        /// It gives something, be it only what is kept.
        var mayServe: Bool { exclusion == nil || isAtQuota }

        /// What the node may use of it, in order.
        var alternatives: [ValidatedPool] {
            share.map { $0.isUsable ? $0.own : $0.own + $0.more } ?? pool.map { [$0] } ?? []
        }
        var text: String { "IPPool \"\(name)\" \(exclusion ?? "would serve")" }
    }

    /// What one address may come from.
    private struct Group {
        var title: String
        var candidates: [Candidate]
        var exact: IPAddress?
    }

    private static func groups(
        _ input: Input, using generator: inout some RandomNumberGenerator
    ) -> ([Group], problem: SelectionError?) {
        var groups: [Group]
        var problem: SelectionError?
        if case .inline(let elements) = input.request.pools {
            groups = Self.groups(elements, input)
        } else {
            let selection = PoolSelection(
                input.request.list, input.request, pools: input.pools.mapValues(\.validated), facts: input.facts)
            groups = Self.groups(selection)
            problem = selection.problem
        }
        for group in groups.indices {
            for index in groups[group].candidates.indices {
                let candidate = groups[group].candidates[index]
                guard candidate.mayServe, let pool = candidate.pool, pool.nodeBlocks != nil,
                    !input.facts.node.isEmpty
                else { continue }
                groups[group].candidates[index].share = NodeShare(
                    pool, input.blocks, node: input.facts.node, machineID: input.machineID,
                    taken: input.taken[pool.network] ?? [:], using: &generator)
            }
        }
        return (groups + Self.groups(input.staticAddresses, input), problem)
    }

    private static func groups(_ selection: PoolSelection) -> [Group] {
        let candidates = selection.considered.map {
            Candidate(
                name: $0.name, pool: $0.pool, exclusion: $0.exclusion, isNamed: $0.isNamed, isAtQuota: $0.isAtQuota)
        }
        // One that cannot be read has no family; it is shown with the first.
        guard let first = selection.families.first else { return [Group(title: "address", candidates: candidates)] }
        return selection.families.map { family in
            Group(title: "\(family)", candidates: candidates.filter { ($0.pool?.family ?? first) == family })
        }
    }

    private static func groups(
        _ elements: [[InlinePoolDefinition]], _ input: Input
    ) -> [Group] {
        elements.enumerated().map { index, element in
            Group(
                title: elements.count == 1 ? "range" : "range \(index + 1)",
                candidates: element.map { inline($0, input) })
        }
    }

    private static func groups(_ fixed: [StaticAddress], _ input: Input) -> [Group] {
        fixed.map { fixed in
            Group(
                title: "static address \(fixed.address)", candidates: [inline(fixed.pool, input)], exact: fixed.address)
        }
    }

    /// The plugin makes the pool of a range when it sees it first.
    private static func inline(_ definition: InlinePoolDefinition, _ input: Input) -> Candidate {
        let name = definition.poolName
        let entry = input.pools[name] ?? PoolEntry(definition.pool)
        guard definition.matches(entry.pool) else {
            return Candidate(name: name, exclusion: "is not what the configuration describes: it was edited")
        }
        switch entry.validated {
        case .success(let pool):
            let limit = pool.refusal == nil ? pool.quotaRefusal(input.facts.pod?.namespace) : nil
            return Candidate(name: name, pool: pool, exclusion: pool.refusal ?? limit, isAtQuota: limit != nil)
        case .failure(let problem): return Candidate(name: name, exclusion: "is invalid: \(problem)")
        }
    }

    /// - Throws: When a slot has no pool, or a requested address has no slot.
    private static func plans(_ groups: [Group], _ requested: [IPAddress]) throws(SlotPlanError) -> [SlotPlan] {
        func plan(_ group: Group) throws(SlotPlanError) -> SlotPlan {
            let usable = group.candidates.filter(\.mayServe).flatMap(\.alternatives)
            guard !usable.isEmpty else { throw .noUsablePool(reasons: group.candidates.map(\.text)) }
            return SlotPlan(usable: usable, closed: [])
        }
        var plans: [SlotPlan] = []
        for group in groups where group.exact == nil { plans.append(try plan(group)) }
        plans = try SlotPlan.assign(requested, to: plans)
        for group in groups {
            guard let exact = group.exact else { continue }
            var fixed = try plan(group)
            fixed.isStatic = true
            plans += try SlotPlan.assign([exact], to: [fixed])
        }
        return plans
    }

    private static func ended(_ group: Group) -> SlotReasoning {
        SlotReasoning(
            title: group.title,
            considered: group.candidates.map { candidate in
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
        var cooling: (address: IPAddress, pool: String)?
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
            } else if outcome != nil {
                add(.notNeeded, "an earlier pool serves")
            } else {
                let attempt = Attempt(
                    pool, candidate.share, taken[pool.network] ?? [:], exact: plan.exact, earlier: cooling != nil,
                    using: &generator)
                if let address = attempt.address {
                    outcome = .address(address, pool: pool.name, isOnly: attempt.isOnly)
                } else if cooling == nil, let address = attempt.cooling {
                    cooling = (address, pool.name)
                }
                add(outcome == nil ? .skipped : .chosen, attempt.reason)
                if attempt.endsSearch, let cooling { outcome = .takeOver(cooling.address, pool: cooling.pool) }
            }
        }
        if outcome == nil, let cooling { outcome = .takeOver(cooling.address, pool: cooling.pool) }
        if case .takeOver(_, let name) = outcome, let index = considered.firstIndex(where: { $0.name == name }) {
            considered[index].verdict = .chosen
        }
        let givers = group.candidates.filter { candidate in
            plan.exact.map { exact in candidate.alternatives.contains { $0.usable.contains(exact) } } ?? true
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
        let alternatives = candidate.alternatives
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
        if let exact = plan.exact, !alternatives.contains(where: { $0.usable.contains(exact) }) {
            return "cannot give the requested \(exact)"
        }
        return nil
    }
}
