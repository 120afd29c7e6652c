import IPAMAPI
import IPAMEngine
import IPAddressing

/// Which pools, in which order.
extension SelectionReasoning {
    struct Candidate {
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
        var text: String { "IPPool \"\(name)\" \(exclusion ?? "would serve")" }
    }

    /// What one address may come from.
    struct Group {
        var title: String
        var candidates: [Candidate]
        var exact: IPAddress?

        /// What the node has of a pool; nil where that is all.
        func share(of pool: ValidatedPool) -> NodeShare? {
            candidates.first { $0.name == pool.name }?.share
        }

        /// One slot, with pools as wholes.
        func plan() throws(SlotPlanError) -> SlotPlan {
            let usable = candidates.filter(\.mayServe).compactMap(\.pool)
            guard !usable.isEmpty else { throw .noUsablePool(reasons: candidates.map(\.text)) }
            return SlotPlan(usable: usable, closed: [])
        }
    }

    static func groups(
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
}
