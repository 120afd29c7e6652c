package import IPAMAPI
package import IPAddressing

/// Which pools may serve an attachment, in which order, and why the others may not: a pure function of what was read.
///
/// - Flow: the level that decides (``PoolRequest``) names pools; patterns expand in the order of the names, default pools
///   come with the more specific one first, then by name. What is disabled, being deleted, of a family that is not wanted,
///   or for somebody else is out, with its reason. What is left serves, family by family: the next pool when one is full.
/// - Guarantees: all families that the level names are served or none. A pool that may not be picked by an annotation is
///   not picked by one. A pool of which the namespace has its quota stays in the plans: it gives nothing new, but what is
///   held of it or kept for a claim is still to be had.
/// - Errors: ``problem``: nothing is left of a family, or an exact name stands for nothing.
package struct PoolSelection: Hashable, Sendable {
    /// A pool that was looked at.
    package struct Considered: Hashable, Sendable {
        package var name: String
        /// Nil where it makes no sense.
        package var pool: ValidatedPool?
        /// Why it is out: a predicate. Nil where it may serve.
        package var exclusion: String?
        /// It was named as it is, and not found by a pattern or as a default.
        package var isNamed: Bool
        /// By its selectors it is for somebody else.
        package internal(set) var isForOthers = false
        /// It is out by the namespace's quota alone.
        package internal(set) var isAtQuota = false
        /// It gives something, be it only what is kept.
        package var mayServe: Bool { exclusion == nil || isAtQuota }

        package init(_ name: String, _ pool: ValidatedPool?, exclusion: String? = nil, isNamed: Bool = true) {
            self.name = name
            self.pool = pool
            self.exclusion = exclusion
            self.isNamed = isNamed
        }
    }

    /// What a read of a pool told; a pool that is not there has no reading.
    package typealias Reading = Result<ValidatedPool, PoolProblem>

    /// Everything that was looked at, in the order of preference.
    package private(set) var considered: [Considered] = []
    /// In the order of the addresses.
    package private(set) var families: [IPFamily] = []
    /// Why nobody is served, whatever is free.
    package private(set) var problem: SelectionError?
    private let place: String

    /// - Parameters:
    ///   - list: The pools that the deciding level names; nil: the default pools.
    ///   - pools: Every pool that `list` names, and all that there are where it has patterns or is nil.
    package init(
        _ list: PoolList?, _ request: PoolRequest, pools: [String: Reading], facts: SelectionFacts
    ) {
        place = "interface \(facts.interface) on node \"\(facts.node)\""
        if let list {
            consider(list, request, pools)
        } else {
            considerDefaults(pools)
        }
        for index in considered.indices where considered[index].exclusion == nil {
            guard let pool = considered[index].pool else { continue }
            if let families = request.families, !families.contains(pool.family) {
                considered[index].exclusion = "is of family \(pool.family), which is not asked for"
            } else if let mismatch = pool.selectors.mismatch(facts) {
                (considered[index].exclusion, considered[index].isForOthers) = (mismatch, true)
            } else if let refusal = pool.refusal {
                considered[index].exclusion = refusal
            } else if let refusal = pool.quotaRefusal(facts.pod?.namespace) {
                (considered[index].exclusion, considered[index].isAtQuota) = (refusal, true)
            }
        }
        families = request.families ?? Self.families(considered, isOrdered: list != nil)
        problem = problem ?? lack(list)
    }

    /// One slot for each family.
    package func plans() throws(SelectionError) -> [SlotPlan] {
        if let problem { throw problem }
        return families.map { family in
            let ofFamily = entries(of: family)
            return SlotPlan(
                usable: ofFamily.filter(\.mayServe).compactMap(\.pool),
                closed: ofFamily.filter { !$0.mayServe }.compactMap(\.pool))
        }
    }

    /// Each family has a pool that gives new addresses.
    package var givesNew: Bool {
        families.allSatisfy { family in entries(of: family).contains { $0.exclusion == nil } }
    }

    /// The pools of a family, in their order.
    package func entries(of family: IPFamily) -> [Considered] { considered.filter { $0.pool?.family == family } }

    private func lack(_ list: PoolList?) -> SelectionError? {
        guard !families.isEmpty else { return .noPool(nothing(list)) }
        for family in families {
            let ofFamily = entries(of: family)
            if ofFamily.isEmpty {
                return .noPool("no \(family) pool is named for \(place), though \(family) is asked for")
            }
            if !ofFamily.contains(where: \.mayServe) {
                return .noPool("no \(family) pool can serve \(place): \(Self.reasons(ofFamily))")
            }
        }
        return nil
    }

    // MARK: Which pools

    private mutating func consider(_ list: PoolList, _ request: PoolRequest, _ pools: [String: Reading]) {
        let exact = Set(list.patterns.filter(\.isExact).map(\.text))
        var seen: Set<String> = []
        for pattern in list.patterns {
            let names = pattern.isExact ? [pattern.text] : pools.keys.filter { pattern.matches($0) }.sorted()
            for name in names where seen.insert(name).inserted {
                if exact.contains(name) {
                    consider(named: name, list, request, pools)
                } else {
                    consider(matched: name, list, request, pools)
                }
            }
        }
    }

    private mutating func consider(
        named name: String, _ list: PoolList, _ request: PoolRequest, _ pools: [String: Reading]
    ) {
        switch pools[name] {
        case nil: refuse(name, nil, list, "does not exist", "; `kubectl get ippools` lists those that do")
        case .failure(let problem): refuse(name, nil, list, "is invalid: \(problem)")
        case .success(let pool) where !Self.mayPick(name, pool.selectors, list, request):
            refuse(
                name, pool, list, "may not be picked by annotations",
                ": its spec.allowPodSelection is not true, and the network configuration does not list it")
        case .success(let pool): considered.append(Considered(name, pool))
        }
    }

    /// A pool that was named and cannot be what was meant ends the search.
    private mutating func refuse(
        _ name: String, _ pool: ValidatedPool?, _ list: PoolList, _ exclusion: String, _ rest: String = ""
    ) {
        considered.append(Considered(name, pool, exclusion: exclusion))
        let text = "IPPool \"\(name)\" \(exclusion)\(rest)"
        problem =
            problem ?? (list.source == .configuration ? .noPool(text) : .annotation("\(list.description): \(text)"))
    }

    /// Of a pattern.
    private mutating func consider(
        matched name: String, _ list: PoolList, _ request: PoolRequest, _ pools: [String: Reading]
    ) {
        switch pools[name] {
        case nil: break
        case .failure(let problem):
            considered.append(Considered(name, nil, exclusion: "is invalid: \(problem)", isNamed: false))
        case .success(let pool) where pool.isInline:
            break
        case .success(let pool):
            let exclusion =
                Self.mayPick(name, pool.selectors, list, request)
                ? nil : "may not be picked by annotations (spec.allowPodSelection)"
            considered.append(Considered(name, pool, exclusion: exclusion, isNamed: false))
        }
    }

    private mutating func considerDefaults(_ pools: [String: Reading]) {
        let defaults = pools.values.compactMap { try? $0.get() }.filter { $0.selectors.isDefault && !$0.isInline }
        considered = defaults.sorted { Self.precedes(($0.name, $0.selectors), ($1.name, $1.selectors)) }
            .map { Considered($0.name, $0, isNamed: false) }
    }

    /// The order of default pools: the more specific one first, then by name.
    static func precedes(
        _ first: (name: String, selectors: PoolSelectors), _ second: (name: String, selectors: PoolSelectors)
    ) -> Bool {
        let (one, other) = (first.selectors.specificity, second.selectors.specificity)
        return one == other ? first.name < second.name : one > other
    }

    static func mayPick(
        _ name: String, _ selectors: PoolSelectors, _ list: PoolList, _ request: PoolRequest
    ) -> Bool {
        list.source == .configuration || selectors.allowsPodSelection
            || request.configured.contains { $0.matches(name) }
    }

    // MARK: Whom they serve

    /// A pool that was named stands for its family even when it is out: a pod that silently lacks a family is worse than
    /// one that waits. What a pattern or the defaults found counts where it is for this attachment at all.
    private static func families(_ considered: [Considered], isOrdered: Bool) -> [IPFamily] {
        var families: [IPFamily] = []
        for entry in considered {
            guard let pool = entry.pool, !families.contains(pool.family) else { continue }
            if entry.isNamed || entry.mayServe || entry.exclusion == pool.refusal {
                families.append(pool.family)
            }
        }
        return isOrdered ? families : families.sorted()
    }

    private func nothing(_ list: PoolList?) -> String {
        guard let list else {
            let found =
                considered.isEmpty
                ? "there is none; name pools in the network configuration, or make one with spec.default: true"
                : Self.reasons(considered)
            return "neither annotations nor the network configuration name a pool, and no default pool (spec.default)"
                + " can serve \(place): \(found)"
        }
        let names = list.patterns.map(\.text).joined(separator: ", ")
        let found = considered.isEmpty ? "no IPPool is called so" : Self.reasons(considered)
        return "no pool can serve \(place): \(list.description) names \(names): \(found)"
    }

    /// The most pools that a message gives reasons for.
    private static let maximumReasons = 16

    /// Those of the pools that would be for this attachment come first.
    private static func reasons(_ considered: [Considered]) -> String {
        let ordered = considered.filter { !$0.isForOthers } + considered.filter(\.isForOthers)
        let texts = ordered.prefix(maximumReasons).map { entry in
            "IPPool \"\(entry.name)\" \(entry.exclusion ?? "would serve")"
        }
        let rest = considered.count - maximumReasons
        return texts.joined(separator: "; ") + (rest > 0 ? "; and \(rest) more" : "")
    }
}

extension ValidatedPool {
    /// Why the pool gives nothing more to a namespace, as far as the controller has counted: a predicate.
    ///
    /// Soft: claims that begin before the controller has counted an earlier one do not see it.
    package func quotaRefusal(_ namespace: String?) -> String? {
        guard let namespace, let quota = namespaceQuota,
            let use = status?.namespacesAtQuota.first(where: { $0.namespace == namespace }), use.used >= quota
        else { return nil }
        let share = quota == 1 ? "1 address" : "\(quota) addresses"
        return "gives a namespace \(share) (spec.namespaceQuota), and \"\(namespace)\" uses \(use.used)"
    }
}
