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
        /// One for each address.
        var slots: [SlotPlan]
        /// Addresses that the runtime or the pod asks for.
        var requested: [IPAddress]
        /// What the pod adds to the result.
        var routes: [Route]
        /// Names from earlier ADDs: with a version where the attachment holds them, without one where a create may
        /// still be committed.
        var leftover: [JournalEntry.Record]
    }

    /// Reads, in one round trip, the pod, its namespace, the pools, and the names that an earlier ADD may have created.
    ///
    /// One more is made only where an annotation names pools that were not read, a range needs its pool made, or a pool
    /// selects by labels of the node that were not read a moment ago.
    func survey(
        _ order: ClaimOrder, leftover: [JournalEntry.Record], deadline: Moment, isDryRun: Bool = false
    ) throws(LedgerError) -> Situation {
        let inline = order.inlinePools
        let requests =
            podRequests(order) + PoolShelf.requests(order.listedPools)
            + inline.map { APIRequest.get(.ipPools, name: $0.poolName) }
            + leftover.map { APIRequest.get(.ipAllocations, name: $0.name) }
        var answers = ask(requests, deadline: deadline)[...]

        var claimant = Claimant(
            attachment: order.attachment, origin: .container, pod: nil, node: node, machineID: machineID)
        var (podMetadata, namespace): (ObjectMetadata?, ObjectMetadata?)
        var foreseenClaim: Result<JSON, LedgerError>?
        var facts = SelectionFacts(
            node: node, interface: order.attachment.interface, network: order.attachment.networkName,
            master: order.master, isRehearsal: isDryRun)
        if let arguments = order.pod {
            podMetadata = try metadata(answers.removeFirst().unlessNotFound(), "pod", arguments.name)
            (claimant.origin, claimant.pod) = try identify(arguments, podMetadata)
            claimant.machine = podMetadata.flatMap { VirtualMachinePod($0) }
            facts.pod = .init(namespace: arguments.namespace, name: arguments.name, marks: .init(podMetadata))
            if order.readsNamespace {
                namespace = try metadata(answers.removeFirst().unlessNotFound(), "namespace", arguments.namespace)
                facts.namespace = .init(namespace)
            }
            if order.foreseenClaim != nil { foreseenClaim = answers.removeFirst() }
        }
        var shelf = PoolShelf()
        try shelf.add(order.listedPools) { () throws(LedgerError) in try answers.removeFirst().unlessNotFound() }
        var ranges: [IPPool] = []
        for definition in inline {
            let found = try answers.removeFirst().unlessNotFound()
            ranges.append(try self.inline(definition, found, deadline: deadline, isDryRun: isDryRun))
        }
        var remembered: [JournalEntry.Record] = []
        for record in leftover {
            let found = try answers.removeFirst().unlessNotFound()
            if let record = record.seen(found, by: claimant, now: transport.now()) { remembered.append(record) }
        }
        let request = try selecting { () throws(SelectionError) in
            try PoolRequest(order.demand, families: order.families, facts: facts)
        }
        let chosen = try choose(request, &facts, &shelf, deadline: deadline).map { plans throws(LedgerError) in
            try slice(
                plans, keepsAll: !order.requested(orElse: request.addresses).isEmpty, isDryRun: isDryRun,
                deadline: deadline)
        }
        let ruled = try enforceReservations(on: ranges, purpose: request.purpose, deadline: deadline)
        let slots = try order.slots(
            chosen, inline: Dictionary(uniqueKeysWithValues: ruled.map { ($0.name, $0) }), asked: request.addresses)
        for route in request.routes where !slots.contains(where: { $0.canReach(route) }) {
            throw .annotation(
                "annotation \(AnnotationKey.routes): no pool that may serve has \(route.gw.map { "\($0)" } ?? "the family")"
                    + " of the route to \(route.dst) in its subnet")
        }
        return Situation(
            claimant: claimant, podMetadata: podMetadata, namespace: namespace, foreseenClaim: foreseenClaim,
            slots: slots, requested: order.requested(orElse: request.addresses),
            routes: request.routes,
            leftover: remembered)
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

extension SlotPlan {
    /// Whether a route can be added to the result: the kernel refuses a next hop that is not on-link.
    func canReach(_ route: Route) -> Bool {
        pools.contains { pool in
            pool.family == route.dst.family && route.gw.map { pool.subnet.contains($0) || $0.isLinkLocalIPv6 } ?? true
        }
    }
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
    func seen(_ found: JSON?, by claimant: Claimant, now: Moment) -> JournalEntry.Record? {
        if let found, let allocation = try? IPAllocation(found), claimant.holds(allocation) {
            var record = JournalEntry.Record(allocation)
            record.mayCommitUntil = mayCommitUntil
            record.isKept = isKept
            return record
        }
        var record = self
        record.version = nil
        return mayStillCommit(at: now) ? record : nil
    }
}
