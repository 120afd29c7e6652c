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

    package init(_ name: String, _ verdict: Verdict, _ reason: String) {
        self.name = name
        self.verdict = verdict
        self.reason = reason
    }
}

/// How one address of an attachment would be found.
package struct SlotReasoning: Hashable, Sendable {
    package enum Outcome: Hashable, Sendable {
        /// - Parameter isOnly: Another one cannot be given; else it is one of several, chosen at random.
        case address(IPAddress, pool: String, isOnly: Bool)
        /// Nothing is free; an address in cooldown is taken over.
        case takeOver(IPAddress, pool: String)
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

        package init(
            request: PoolRequest, facts: SelectionFacts, staticAddresses: [StaticAddress] = [],
            requested: [IPAddress] = [], pools: [String: PoolEntry], taken: [String: [IPAddress: AllocationState?]]
        ) {
            self.request = request
            self.facts = facts
            self.staticAddresses = staticAddresses
            self.requested = requested
            self.pools = pools
            self.taken = taken
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
        var groups = Self.groups(input.staticAddresses, input.pools)
        var problem: SelectionError?
        if case .inline(let elements) = input.request.pools {
            groups = Self.groups(elements, input.pools) + groups
        } else {
            let selection = PoolSelection(
                input.request.list, input.request, pools: input.pools.mapValues(\.validated), facts: input.facts)
            groups = Self.groups(selection) + groups
            problem = selection.problem
        }
        let fatal = groups.flatMap(\.candidates).filter { $0.pool == nil && $0.isNamed }.map(\.text)
        if problem != nil || !fatal.isEmpty {
            slots = groups.map(Self.ended)
            refusal = problem.map { "\($0)" } ?? fatal.joined(separator: "; ")
            return
        }
        do throws(SlotPlanError) {
            let plans = try Self.plans(groups, input.requested)
            for (group, plan) in zip(groups, plans) {
                slots.append(Self.reasoning(group, plan, input.taken, using: &generator))
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

    // MARK: Which pools, in which order

    private struct Candidate {
        var name: String
        /// Nil when it cannot be used by anyone.
        var pool: ValidatedPool?
        /// Why it is out: a predicate. Nil where it may serve.
        var exclusion: String?
        var isNamed = true

        var text: String { "IPPool \"\(name)\" \(exclusion ?? "would serve")" }
    }

    /// What one address may come from.
    private struct Group {
        var title: String
        var candidates: [Candidate]
        var exact: IPAddress?
    }

    private static func groups(_ selection: PoolSelection) -> [Group] {
        let candidates = selection.considered.map {
            Candidate(name: $0.name, pool: $0.pool, exclusion: $0.exclusion, isNamed: $0.isNamed)
        }
        // One that cannot be read has no family; it is shown with the first.
        guard let first = selection.families.first else { return [Group(title: "address", candidates: candidates)] }
        return selection.families.map { family in
            Group(title: "\(family)", candidates: candidates.filter { ($0.pool?.family ?? first) == family })
        }
    }

    private static func groups(
        _ elements: [[InlinePoolDefinition]], _ pools: [String: PoolEntry]
    ) -> [Group] {
        elements.enumerated().map { index, element in
            Group(
                title: elements.count == 1 ? "range" : "range \(index + 1)",
                candidates: element.map { inline($0, pools) })
        }
    }

    private static func groups(_ fixed: [StaticAddress], _ pools: [String: PoolEntry]) -> [Group] {
        fixed.map { fixed in
            Group(
                title: "static address \(fixed.address)", candidates: [inline(fixed.pool, pools)], exact: fixed.address)
        }
    }

    /// The plugin makes the pool of a range when it sees it first.
    private static func inline(_ definition: InlinePoolDefinition, _ pools: [String: PoolEntry]) -> Candidate {
        let name = definition.poolName
        let entry = pools[name] ?? PoolEntry(definition.pool)
        guard definition.matches(entry.pool) else {
            return Candidate(name: name, exclusion: "is not what the configuration describes: it was edited")
        }
        switch entry.validated {
        case .success(let pool): return Candidate(name: name, pool: pool, exclusion: pool.refusal)
        case .failure(let problem): return Candidate(name: name, exclusion: "is invalid: \(problem)")
        }
    }

    /// - Throws: When a slot has no pool, or a requested address has no slot.
    private static func plans(_ groups: [Group], _ requested: [IPAddress]) throws(SlotPlanError) -> [SlotPlan] {
        func plan(_ group: Group) throws(SlotPlanError) -> SlotPlan {
            let open = group.candidates.filter { $0.exclusion == nil }.compactMap(\.pool)
            guard !open.isEmpty else { throw .noUsablePool(reasons: group.candidates.map(\.text)) }
            return SlotPlan(usable: open, closed: [])
        }
        var plans: [SlotPlan] = []
        for group in groups where group.exact == nil { plans.append(try plan(group)) }
        plans = try SlotPlan.assign(requested, to: plans)
        for group in groups {
            guard let exact = group.exact else { continue }
            plans += try SlotPlan.assign([exact], to: [plan(group)])
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
        _ group: Group, _ plan: SlotPlan, _ taken: [String: [IPAddress: AllocationState?]],
        using generator: inout some RandomNumberGenerator
    ) -> SlotReasoning {
        var considered: [ConsideredPool] = []
        var outcome: SlotReasoning.Outcome?
        var cooling: (address: IPAddress, pool: String)?
        for candidate in group.candidates {
            if let exclusion = candidate.exclusion {
                considered.append(ConsideredPool(candidate.name, .skipped, exclusion))
                continue
            }
            guard let pool = candidate.pool else { continue }
            if pool.purpose == nil, plan.pools.contains(where: { $0.purpose != nil }) {
                considered.append(ConsideredPool(pool.name, .skipped, "has nothing reserved for the pod's purpose"))
                continue
            }
            if let exact = plan.exact, !pool.usable.contains(exact) {
                considered.append(ConsideredPool(pool.name, .skipped, "cannot give the requested \(exact)"))
                continue
            }
            if outcome != nil {
                considered.append(ConsideredPool(pool.name, .notNeeded, "an earlier pool serves"))
                continue
            }
            let attempt = Attempt(pool, taken[pool.network] ?? [:], exact: plan.exact, using: &generator)
            if let address = attempt.address {
                outcome = .address(address, pool: pool.name, isOnly: attempt.isOnly)
            } else if cooling == nil, let address = attempt.cooling {
                cooling = (address, pool.name)
            }
            considered.append(ConsideredPool(pool.name, outcome == nil ? .skipped : .chosen, attempt.reason))
        }
        if outcome == nil, let cooling {
            outcome = .takeOver(cooling.address, pool: cooling.pool)
            if let index = considered.firstIndex(where: { $0.name == cooling.pool }) {
                considered[index].verdict = .chosen
            }
        }
        let refusal =
            plan.exact.map { "\($0) is taken" } ?? "every pool is exhausted; the runtime tries again"
        return SlotReasoning(title: group.title, considered: considered, outcome: outcome ?? .refused(refusal))
    }

    /// The search in one pool, as the plugin makes it: by the hint of the pool's status, and by a list when that is wrong.
    private struct Attempt {
        var address: IPAddress?
        var isOnly = false
        /// What could be taken over.
        var cooling: IPAddress?
        var reason: String

        init(
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
            let more = pool.reservedCount > 0 ? "; \(pool.reservedCount) more are reserved" : ""
            let capacity = pool.usable.count
            guard scan.freeCount == 0 else { return "\(scan.freeCount) of \(capacity) \(what) are free\(more)" }
            let counts = scan.counts
            return
                "none of \(capacity) \(what) is free\(more): \(counts.allocated) allocated, \(counts.cooling) cooling,"
                + " \(counts.held) held"
        }
    }
}

// MARK: - Output

extension SelectionReasoning {
    func text(_ style: Style) -> String {
        var text = ""
        for slot in slots {
            text += "  \(style.apply(.bold, to: slot.title))\n"
            let width = slot.considered.map(\.name.count).max() ?? 0
            for (index, pool) in slot.considered.enumerated() {
                let padding = String(repeating: " ", count: width - pool.name.count)
                let verdict = style.apply(pool.verdict.tint, to: pool.verdict.text)
                text += "    \(index + 1). \(pool.name)\(padding)   \(verdict): \(pool.reason)\n"
            }
            text += "    → \(slot.outcome.text(style))\n"
        }
        return text
    }

    var json: JSON {
        var json: JSON = [
            "slots": .array(
                slots.map { slot in
                    [
                        "title": .string(slot.title),
                        "considered": .array(
                            slot.considered.map {
                                [
                                    "pool": .string($0.name), "verdict": .string($0.verdict.rawValue),
                                    "reason": .string($0.reason),
                                ]
                            }),
                        "outcome": slot.outcome.json,
                    ]
                })
        ]
        json["refusal"] = refusal.map { .string($0) }
        return json
    }
}

extension ConsideredPool.Verdict {
    fileprivate var text: String {
        switch self {
        case .chosen: "chosen"
        case .skipped: "skipped"
        case .notNeeded: "not needed"
        case .fatal: "in the way"
        }
    }

    fileprivate var tint: Tint? {
        switch self {
        case .chosen: .green
        case .skipped: .yellow
        case .notNeeded: .dim
        case .fatal: .red
        }
    }
}

extension SlotReasoning.Outcome {
    fileprivate func text(_ style: Style) -> String {
        switch self {
        case .address(let address, let pool, isOnly: true): "\(style.apply(.green, to: "\(address)")) of \(pool)"
        case .address(let address, let pool, isOnly: false):
            "one of \(pool) at random, for example \(style.apply(.green, to: "\(address)"))"
        case .takeOver(let address, let pool):
            "\(style.apply(.yellow, to: "\(address)")) of \(pool), out of its cooldown, for nothing else is free"
        case .refused(let reason): "\(style.apply(.red, to: "nothing")): \(reason)"
        }
    }

    fileprivate var json: JSON {
        switch self {
        case .address(let address, let pool, let isOnly):
            [
                "result": "Address", "address": .string("\(address)"), "pool": .string(pool),
                "example": .bool(!isOnly),
            ]
        case .takeOver(let address, let pool):
            ["result": "TakeOver", "address": .string("\(address)"), "pool": .string(pool)]
        case .refused(let reason): ["result": "Refused", "message": .string(reason)]
        }
    }
}
