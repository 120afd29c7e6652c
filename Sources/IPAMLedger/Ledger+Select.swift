import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesCore

extension Ledger {
    /// What an ADD may take addresses from.
    struct Choice {
        /// Nil where the configuration's own ranges serve.
        var plans: [SlotPlan]?
        /// There are more pools that may serve, which were not read.
        var isCut = false
        /// What the choice rests on and the server was not asked about: see ``PoolVerification``.
        var unverified: PoolMemory?
    }

    /// The slots of the pools that are selected; nil where the configuration's own ranges serve.
    ///
    /// - Flow: where outlines of all pools are known, those that may serve are read whole, unless they were already, and
    ///   chosen from. Where that gives nothing, or they are not known, all pools that the deciding level may mean are read.
    /// - Parameter maySkip: More pools that might serve are left for another turn while the first ones are not known to be
    ///   full, and that the outlines are right is asked beside the creates: nothing can be kept or asked for in others.
    func choose(
        _ request: PoolRequest, _ facts: inout SelectionFacts, _ shelf: inout PoolShelf, maySkip: Bool, deadline: Moment
    ) throws(LedgerError) -> Choice {
        let list: PoolList?
        switch request.pools {
        case .inline: return Choice(plans: nil)
        case .listed(let listed): list = listed
        case .defaults: list = nil
        }
        if let choice = try chooseShortlisted(
            list, request, &facts, &shelf, maySkip: maySkip, deadline: deadline)
        {
            rememberRecent(choice.plans ?? [])
            return choice
        }
        try fill(&shelf, for: list, deadline: deadline)
        if let pools = shelf.listed { remember(pools) }
        if shelf.isUntelling { rememberUntelling() }
        let pools = shelf.readings.values.compactMap { try? $0.get() }.filter { pool in
            list?.names(pool.name) ?? pool.selectors.isDefault
        }
        if facts.isRehearsal, list == nil, pools.isEmpty { return Choice(plans: []) }
        try complete(&facts, for: pools.map(\.selectors), deadline: deadline)
        try enforceReservations(in: &shelf, on: pools, request, facts, deadline: deadline)
        let selection = PoolSelection(list, request, pools: shelf.readings, facts: facts)
        let plans = try selecting { () throws(SelectionError) in try selection.plans() }
        if shelf.isComplete, shelf.readings.count >= PoolMemory.minimumCount { rememberRecent(plans) }
        return Choice(plans: plans)
    }

    /// The choice by outlines; nil where they are not known, or do not lead to one.
    private func chooseShortlisted(
        _ list: PoolList?, _ request: PoolRequest, _ facts: inout SelectionFacts, _ shelf: inout PoolShelf,
        maySkip: Bool, deadline: Moment
    ) throws(LedgerError) -> Choice? {
        if let list, list.isExact { return nil }
        guard let outlines = shelf.outlines?.values else { return nil }
        let named = outlines.filter { outline in
            list?.names(outline.name) ?? outline.selectors.isDefault
        }
        // No pool for everybody says nothing of the pods that name theirs.
        if facts.isRehearsal, list == nil, named.isEmpty { return shelf.unverified == nil ? Choice(plans: []) : nil }
        try complete(&facts, for: named.map(\.selectors), deadline: deadline)
        let shortlist = PoolShortlist(list, request, outlines: named, facts: facts)
        let first = shortlist.first
        let maySkip = maySkip && shortlist.outlines.allSatisfy { $0.stickiness != .pods }
        // A pool that is named must not serve before others that a pattern names.
        let isStrict = list?.patterns.drop(while: \.isExact).contains(where: \.isExact) ?? false
        guard !first.isCut || (maySkip && !isStrict) else { return nil }
        let unread = first.names.filter { !shelf.knows($0) }
        let verifies = shelf.unverified != nil && (!unread.isEmpty || !maySkip)
        var answers = ask(
            (verifies ? [PoolMemory.verification] : []) + PoolShelf.Query.named(unread).requests, deadline: deadline)[
                ...]
        if verifies { shelf.verify(try answers.removeFirst().unlessNotFound()) }
        try shelf.add(.named(unread)) { () throws(LedgerError) in try answers.removeFirst().unlessNotFound() }
        guard shelf.outlines != nil else { return nil }
        try enforceReservations(
            in: &shelf, on: first.names.compactMap { try? shelf.readings[$0]?.get() }, request, facts,
            deadline: deadline)
        let selection = PoolSelection(
            list, request, pools: shelf.readings.filter { first.names.contains($0.key) }, facts: facts)
        // What it says of pools that were not read would be wrong, and so would that a family has none.
        guard selection.problem == nil, shortlist.families.isSubset(of: selection.families),
            selection.givesNew || !first.isCut
        else { return nil }
        let plans = try selecting { () throws(SelectionError) in try selection.plans() }
        return Choice(plans: plans, isCut: first.isCut, unverified: shelf.unverified)
    }

    /// What the shelf has is right already where the rule is compiled and no purpose opens it.
    private func enforceReservations(
        in shelf: inout PoolShelf, on pools: [ValidatedPool], _ request: PoolRequest, _ facts: SelectionFacts,
        deadline: Moment
    ) throws(LedgerError) {
        let wanted = shelf.objects(pools.filter { $0.selectors.mismatch(facts) == nil }.map(\.name)).filter {
            request.purpose != nil || !$0.hasCompiledReservations
        }
        shelf.replace(try enforceReservations(on: wanted, purpose: request.purpose, deadline: deadline))
    }

    /// Reads pools that the deciding level names and the first round did not read.
    private func fill(_ shelf: inout PoolShelf, for list: PoolList?, deadline: Moment) throws(LedgerError) {
        var query = PoolShelf.Query.all
        if let list, list.isExact {
            var seen: Set<String> = []
            let names = list.patterns.map(\.text).filter { !shelf.knows($0) && seen.insert($0).inserted }
            guard !names.isEmpty else { return }
            query = .named(names)
        } else if shelf.isComplete {
            return
        }
        var answers = ask(query.requests, deadline: deadline)[...]
        try shelf.add(query) { () throws(LedgerError) in try answers.removeFirst().unlessNotFound() }
    }

    /// Finds out what pools select by and nobody has asked for yet.
    private func complete(
        _ facts: inout SelectionFacts, for selectors: [PoolSelectors], deadline: Moment
    ) throws(LedgerError) {
        if selectors.contains(where: { !$0.nodeSubnets.isEmpty }) { facts.nodeAddresses = nodeAddresses() }
        let wantsLabels = selectors.contains { $0.nodeSelector != nil }
        if wantsLabels { noteLabelsWanted() }
        let needsNode = wantsLabels && facts.nodeLabels == nil
        let namespace = facts.namespace == nil ? facts.pod?.namespace : nil
        let needsNamespace = namespace != nil && selectors.contains { $0.namespaceSelector != nil }
        var requests: [APIRequest] = []
        if needsNode { requests.append(labelRequest) }
        if needsNamespace, let namespace {
            requests.append(.get(.namespaces, name: namespace, metadataOnly: true))
        }
        guard !requests.isEmpty else { return }
        var answers = ask(requests, deadline: deadline)[...]
        if needsNode, let found = try answers.removeFirst().unlessNotFound() {
            facts.nodeLabels = learnLabels(found)
        }
        if needsNamespace, let found = try answers.removeFirst().unlessNotFound() {
            // Its annotations do not choose, or it would have been read before.
            facts.namespace = SelectionFacts.Marks(try? ObjectMetadata(try JSONFields(found)))
            facts.namespace?.annotations = [:]
        }
    }
}

/// Runs a part of the selection; its failure is one of the ledger.
func selecting<Value>(_ body: () throws(SelectionError) -> Value) throws(LedgerError) -> Value {
    do throws(SelectionError) {
        return try body()
    } catch {
        switch error {
        case .annotation(let text): throw .annotation(text)
        case .noPool(let text): throw .poolUnusable(text)
        }
    }
}
