import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesCore

extension Ledger {
    /// What an ADD must know before it may claim.
    struct Situation {
        var claimant: Claimant
        /// Nil where there is no pod, or none in the API.
        var podMetadata: ObjectMetadata?
        /// Nil where it was not read.
        var namespace: ObjectMetadata?
        /// The claim that the pod would get by itself, where its name says that it may have one: asked for beside the rest,
        /// so that it costs no round trip.
        var foreseenClaim: Result<JSON, LedgerError>?
        /// One for each address, with sliced pools as wholes.
        var slots: [SlotPlan]
        /// The slots cannot have the requested addresses, unless the pod's claim is for a purpose that these are for.
        var refusal: LedgerError?
        /// Pools that may serve were left out, which were not read: see ``Ledger/choose``.
        var isCut: Bool
        /// What the choice of the pools rests on, where that is to be verified beside the creates.
        var unverified: PoolMemory?
        /// What they are made from, to be made again when it is known what of sliced pools is this node's.
        var choice: PoolChoice
        /// Addresses that the runtime or the pod asks for.
        var requested: [IPAddress]
        /// What the pod, or its claim, wants reserved addresses for.
        var purpose: String?
        /// What the pod adds to the result.
        var routes: [Route]
        var routesSource: String
        /// Names from earlier ADDs: with a version where the attachment holds them, without one where a create may
        /// still be committed.
        var leftover: [JournalEntry.Record]
    }

    /// The pools that may serve, before any of them is sliced.
    struct PoolChoice {
        /// Those that were selected; nil where the configuration's own ranges serve.
        var chosen: [SlotPlan]?
        var inline: [String: ValidatedPool]
        /// What the pod asks for by annotation.
        var asked: [IPAddress]
    }

    /// Reads, in one round trip, the pod, its namespace, the pools, and the names that an earlier ADD may have created.
    ///
    /// One more is made only where an annotation names pools that were not read, a range needs its pool made, or a pool
    /// selects by labels of the node and none did in the last hour.
    ///
    /// - Parameter purpose: What a claim says of it; what the pod says counts before it.
    func survey(
        _ order: ClaimOrder, leftover: [JournalEntry.Record], purpose: String? = nil, deadline: Moment,
        isDryRun: Bool = false
    ) throws(LedgerError) -> Situation {
        let inline = order.inlinePools
        var facts = SelectionFacts(
            node: node, interface: order.attachment.interface, network: order.attachment.networkName,
            master: order.master, isRehearsal: isDryRun)
        let askedAt = transport.now()
        let memory = labelMemory
        if let memory, memory.isFresh(at: askedAt) { facts.nodeLabels = memory.labels }
        let due = memory.flatMap { $0.isDue(at: askedAt) ? $0 : nil }
        let query = query(order, leftover: leftover, facts)
        let requests =
            podRequests(order) + query.requests + (due == nil ? [] : [labelRequest])
            + inline.map { APIRequest.get(.ipPools, name: $0.poolName) }
            + leftover.map { APIRequest.get(.ipAllocations, name: $0.name) }
        let inquiries = inquire(requests, deadline: deadline) { $0.subject.resource == .ipClaims }
        var answers = inquiries.map(\.outcome)[...]

        var claimant = Claimant(
            attachment: order.attachment, origin: .container, pod: nil, node: node, machineID: machineID)
        var (podMetadata, namespace): (ObjectMetadata?, ObjectMetadata?)
        var foreseenClaim: Result<JSON, LedgerError>?
        if let arguments = order.pod {
            podMetadata = try metadata(answers.removeFirst().unlessNotFound(), "pod", arguments.name)
            (claimant.origin, claimant.pod) = try identify(arguments, podMetadata)
            claimant.boot = journal.bootID
            claimant.machine = podMetadata.flatMap { VirtualMachinePod($0) }
            facts.pod = .init(namespace: arguments.namespace, name: arguments.name, marks: .init(podMetadata))
            if order.readsNamespace {
                namespace = try metadata(answers.removeFirst().unlessNotFound(), "namespace", arguments.namespace)
                facts.namespace = .init(namespace)
                // Pools may look at its labels all the same.
                if !order.heedsNamespace { facts.namespace?.annotations = [:] }
            }
            if order.foreseenClaim != nil {
                let answer = answers.removeFirst()
                // A server that did not know the other kinds either is starting: whoever needs the claim asks again.
                let isStarting = inquiries.contains { $0.wasUnserved && $0.request.subject.resource != .ipClaims }
                foreseenClaim = isStarting ? nil : answer
            }
        }
        var shelf = PoolShelf()
        try shelf.add(query) { () throws(LedgerError) in try answers.removeFirst().unlessNotFound() }
        // Whoever needs them and has none asks again, and says what is wrong.
        if let due, let found = try? answers.removeFirst().get() { facts.nodeLabels = renewLabels(due, found) }
        var ranges: [IPPool] = []
        for definition in inline {
            let found = try answers.removeFirst().unlessNotFound()
            ranges.append(try self.inline(definition, found, deadline: deadline, isDryRun: isDryRun))
        }
        var remembered: [JournalEntry.Record] = []
        for record in leftover {
            let found = try answers.removeFirst().unlessNotFound()
            if let record = record.seen(found, by: claimant, at: askedAt) { remembered.append(record) }
        }
        var request = try selecting { () throws(SelectionError) in
            try PoolRequest(order.demand, families: order.families, facts: facts)
        }
        request.purpose = request.purpose ?? purpose
        let requested = order.requested(orElse: request.addresses)
        let chosen = try choose(
            request, &facts, &shelf,
            maySkip: requested.isEmpty && request.purpose == nil && request.routes.isEmpty
                && !(podMetadata?.mayHaveClaim ?? false),
            deadline: deadline)
        let ruled = try enforceReservations(on: ranges, purpose: request.purpose, deadline: deadline)
        let choice = PoolChoice(
            chosen: chosen.plans, inline: Dictionary(uniqueKeysWithValues: ruled.map { ($0.name, $0) }),
            asked: request.addresses)
        let slots: [SlotPlan]
        var refusal: LedgerError?
        do throws(LedgerError) {
            slots = try order.slots(choice.chosen, inline: choice.inline, asked: choice.asked)
        } catch {
            // The purpose of a claim is not known yet, and what is reserved for it is not in the pools.
            guard case .addressRefused = error, request.purpose == nil, podMetadata?.namesClaim ?? false,
                let chosen = choice.chosen
            else { throw error }
            (slots, refusal) = (chosen, error)
        }
        try refuseUnreachable(request.routes, of: request.routesSource, from: slots)
        return Situation(
            claimant: claimant, podMetadata: podMetadata, namespace: namespace, foreseenClaim: foreseenClaim,
            slots: slots, refusal: refusal, isCut: chosen.isCut, unverified: chosen.unverified, choice: choice,
            requested: requested, purpose: request.purpose, routes: request.routes,
            routesSource: request.routesSource, leftover: remembered)
    }

    private func refuseUnreachable(
        _ routes: [Route], of source: String, from slots: [SlotPlan]
    ) throws(LedgerError) {
        for route in routes where !slots.contains(where: { $0.canReach(route) }) {
            throw .annotation(
                "\(source): no pool that may serve has \(route.gw.map { "\($0)" } ?? "the family")"
                    + " of the route to \(route.dst) in its subnet")
        }
    }

    /// The slots to be claimed: from the pools that the IPClaim wants, of sliced ones what is this node's, and with the
    /// addresses that the claim asks for.
    ///
    /// Makes no request where no pool is sliced.
    func plans(
        _ order: ClaimOrder, _ situation: Situation, _ identity: Identity?, isDryRun: Bool = false, deadline: Moment
    ) throws(LedgerError) -> [SlotPlan] {
        if let refusal = situation.refusal { throw refusal }
        var slots = situation.slots
        if let chosen = situation.choice.chosen, chosen.contains(where: \.isSliced) {
            let sliced = try slice(
                try identity?.restrict(chosen) ?? chosen, for: situation.claimant.pod?.namespace,
                requested: situation.requested + (identity?.asked ?? []), isDryRun: isDryRun, deadline: deadline)
            slots = try order.slots(sliced, inline: situation.choice.inline, asked: situation.choice.asked)
            try refuseUnreachable(situation.routes, of: situation.routesSource, from: slots)
        }
        // What was passed over comes before what cools.
        for index in slots.indices where situation.isCut && !isLastResort { slots[index].hasMore = true }
        return try identity?.plans(slots, requested: situation.requested) ?? slots
    }

    /// How to learn of the pools. What an earlier ADD left behind may be of any pool.
    private func query(
        _ order: ClaimOrder, leftover: [JournalEntry.Record], _ facts: SelectionFacts
    ) -> PoolShelf.Query {
        if let names = order.listedPools { return .named(names) }
        guard leftover.isEmpty, !readsAllPools, let memory = poolMemory else { return .all }
        let likely = likely(memory, order, facts)
        return .remembered(memory, likely: likely, isVerified: likely.isEmpty || order.foreseenClaim != nil)
    }

    private func podRequests(_ order: ClaimOrder) -> [APIRequest] {
        guard let pod = order.pod else { return [] }
        var requests = [APIRequest.get(.pods, namespace: pod.namespace, name: pod.name, metadataOnly: true)]
        if order.readsNamespace { requests.append(.get(.namespaces, name: pod.namespace, metadataOnly: true)) }
        if let claim = order.foreseenClaim {
            requests.append(.get(.ipClaims, namespace: pod.namespace, name: claim))
        }
        return requests
    }

    func metadata(
        _ found: JSON?, _ kind: String, _ name: String
    ) throws(LedgerError) -> ObjectMetadata? {
        guard let found else { return nil }
        do throws(JSONDecodingError) {
            return try ObjectMetadata(try JSONFields(found))
        } catch {
            throw .malformed(name: "\(kind) \(name)", problem: "\(error)")
        }
    }

    private func identify(
        _ arguments: PodArguments, _ metadata: ObjectMetadata?
    ) throws(LedgerError) -> (AllocationOrigin, PodReference) {
        let name = "\(arguments.namespace)/\(arguments.name)"
        switch PodIdentity(arguments: arguments, found: metadata) {
        case .pod(let pod): return (.pod, pod)
        case .staticPod(let pod): return (.static, pod)
        case .gone: throw .podChanged("pod \"\(name)\" does not exist (any more)")
        case .replaced(let uid):
            throw .podChanged(
                "pod \"\(name)\" was replaced: the API server has UID \(uid), the container runtime said"
                    + " \(arguments.uid ?? "nothing")")
        }
    }

    /// The pool of a range that the configuration spells out, made where there is none.
    private func inline(
        _ definition: InlinePoolDefinition, _ found: JSON?, deadline: Moment, isDryRun: Bool
    ) throws(LedgerError) -> IPPool {
        var found = found
        if found == nil { found = try makeInlinePool(definition, deadline: deadline, isDryRun: isDryRun) }
        let name = definition.poolName
        guard let found else { throw .poolUnusable("IPPool \"\(name)\" was deleted a moment ago") }
        do {
            let pool = try IPPool(found)
            guard definition.matches(pool) else {
                throw LedgerError.poolUnusable(
                    "IPPool \"\(name)\" is not what the network configuration describes: it was edited, or its name"
                        + " belongs to another range; delete it or change the range")
            }
            return pool
        } catch let error as LedgerError {
            throw error
        } catch {
            throw .poolUnusable("IPPool \"\(name)\" is invalid: \(error)")
        }
    }

    /// Creates the pool of a range that is written in the network configuration, unless another node was faster.
    private func makeInlinePool(
        _ definition: InlinePoolDefinition, deadline: Moment, isDryRun: Bool
    ) throws(LedgerError) -> JSON? {
        let request = APIRequest.create(
            .ipPools, name: definition.poolName, object: definition.newObject(),
            options: WriteOptions(dryRun: isDryRun))
        switch ask([request], deadline: deadline)[0] {
        case .success(let json):
            log.log(.info, "created an inline pool", [("pool", definition.poolName)])
            return json
        case .failure(.api(let error, _)) where error.isAlreadyExists:
            return try ask([.get(.ipPools, name: definition.poolName)], deadline: deadline)[0].unlessNotFound()
        case .failure(let error):
            throw error
        }
    }
}

extension ClaimOrder {
    /// By its namespace a pod may choose its pools, and pools their pods.
    var readsNamespace: Bool { pod != nil && (heedsNamespace || listedPools == nil) }
}

extension ClaimOrder {
    /// The name of the claim that the pod may have by itself.
    var foreseenClaim: String? {
        guard let pod, AutomaticClaim.isLikely(pod: pod.name) else { return nil }
        return AutomaticClaim.name(
            pod: pod.name, interface: attachment.interface, networkName: attachment.networkName)
    }
}

extension ObjectMetadata {
    /// Whether the pod may have addresses that are kept for it, unless its pools keep those of all pods.
    fileprivate var mayHaveClaim: Bool {
        let names = ["ReplicaSet", "DaemonSet", "Job"]
        return namesClaim || annotations.keys.contains(IPAMClaimReference.annotation)
            || ownerReferences.contains { $0.isController && !names.contains($0.kind) }
    }

    fileprivate var namesClaim: Bool { annotations.keys.contains { $0.hasPrefix(AnnotationKey.claim) } }
}

extension SlotPlan {
    fileprivate var isSliced: Bool { (pools + closed).contains { $0.nodeBlocks != nil } }
}

extension SelectionFacts.Marks {
    init(_ metadata: ObjectMetadata?) {
        self.init(labels: metadata?.labels ?? [:], annotations: metadata?.annotations ?? [:])
    }
}

extension JournalEntry.Record {
    /// What is left of a name that an earlier ADD wrote down, after a read of it (nil: proven absent).
    ///
    /// With a version the claimant holds it. Without one a create of it may still be committed, at once or when its
    /// present holder is gone. Nil where it is neither.
    ///
    /// - Parameter moment: When the read was asked for: what is committed later it may not show.
    func seen(_ found: JSON?, by claimant: Claimant, at moment: Moment) -> JournalEntry.Record? {
        if let found, let allocation = try? IPAllocation(found), claimant.holds(allocation) {
            var record = JournalEntry.Record(allocation)
            record.mayCommitUntil = mayCommitUntil
            record.isKept = isKept
            return record
        }
        var record = self
        record.version = nil
        return mayStillCommit(at: moment) ? record : nil
    }
}
