import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesCore

extension Ledger {
    /// The IPClaim that an ADD is the holder of.
    struct Identity {
        var claim: IPClaim
        /// This ADD has made it, so that nothing can be kept for it yet.
        var isNew = false
        /// It was an earlier pod's of the name: whether this one is the later one, its read before the binding does not tell.
        var wasInherited = false
        /// The pod that the guest of a virtual machine migrates from.
        var source: PodName? { claim.status.holder?.migratedFrom }
        /// Addresses that the pod must get beside those that the claim asks for.
        var wishes: [IPAddress] = []

        var reference: ClaimReference { claim.reference }
        var description: String { "IPClaim \"\(claim.namespace)/\(claim.metadata.name)\"" }
    }

    /// How often a claim is read anew that another one keeps writing, or whose holder must be proved to be gone.
    private static var maximumBindings: Int { 4 }
    /// The most allocations that are looked at for one claim.
    private static var maximumKept: Int { 64 }

    /// Makes the attachment the holder of the claim that its pod has or names; nil where it has none.
    ///
    /// - Flow: read the claim, unless that was done beside the pod; where it is absent and made by itself, create it unless
    ///   the namespace wants none; then write the holder on condition of the version that was read. Another holder's pod
    ///   is read first, and gives way only when it is gone or has finished.
    /// - Guarantees: no address is taken for the claim before this is done. Repeated for the attachment that is the holder
    ///   it writes nothing. Killed in between it leaves a claim whose holder has no address: any ADD of the same pod goes
    ///   on from there, and one of another pod when this one is gone.
    /// - Errors: `claimBusy` where another pod has it; `addressRefused` where the claim cannot serve this interface.
    func bindClaim(
        _ order: ClaimOrder, _ situation: Situation, deadline: Moment
    ) throws(LedgerError) -> Identity? {
        guard let pod = situation.claimant.pod else { return nil }
        let pools = situation.slots.flatMap { $0.isStatic ? [] : $0.pools }
        let demand = try demanded(order, situation, pools)
        guard var identity = try findClaim(demand, of: pod, situation, deadline: deadline) else { return nil }
        try bind(&identity, situation.claimant, pod, deadline: deadline)
        return identity
    }

    private func demanded(
        _ order: ClaimOrder, _ situation: Situation, _ pools: [ValidatedPool]
    ) throws(LedgerError) -> ClaimDemand {
        do throws(ClaimDemandProblem) {
            return try ClaimDemand(
                identity: situation.claimant.pod, isStatic: situation.claimant.origin != .pod,
                metadata: situation.podMetadata, interface: order.attachment.interface,
                networkName: order.attachment.networkName, pools: pools)
        } catch {
            throw .addressRefused("\(error)")
        }
    }

    private func findClaim(
        _ demand: ClaimDemand, of pod: PodReference, _ situation: Situation, deadline: Moment
    ) throws(LedgerError) -> Identity? {
        switch demand {
        case .none: return nil
        case .ofVirtualMachine(let machine):
            let (wanted, found) = try resolve(machine, deadline: deadline)
            var situation = situation
            situation.foreseenClaim = found
            return try findClaim(.automatic(wanted), of: pod, situation, deadline: deadline)
        case .ofIPAMClaim(let demand):
            let resolved = try resolve(demand, deadline: deadline)
            var situation = situation
            situation.foreseenClaim = resolved.found
            var identity = try findClaim(.automatic(resolved.claim), of: pod, situation, deadline: deadline)
            identity?.wishes = resolved.wishes
            return identity
        case .named(let name):
            guard let found = try readClaim(pod.namespace, name, deadline: deadline) else {
                throw .addressRefused(
                    "IPClaim \"\(pod.namespace)/\(name)\", which pod \"\(pod.namespace)/\(pod.name)\" names, does not"
                        + " exist")
            }
            if found.isAutomatic, let object = found.ipamClaim {
                throw .addressRefused(
                    "IPClaim \"\(pod.namespace)/\(name)\" stands for IPAMClaim \"\(object.name)\": refer to that in"
                        + " annotation \(IPAMClaimReference.annotation)")
            }
            return Identity(claim: found)
        case .automatic(let wanted):
            var foreseen = situation.foreseenClaim
            for _ in 0..<Self.maximumBindings {
                do throws(LedgerError) {
                    let answer = foreseen
                    foreseen = nil
                    if let found = try readClaim(pod.namespace, wanted.name, answer, deadline: deadline) {
                        try refuseIfOfEarlierOwner(found, wanted)
                        return Identity(claim: found)
                    }
                } catch {
                    // CRDs of an earlier version: its pods started without claims, and so do they now.
                    guard case .api(let failure, _) = error, failure.isUnserved, !wanted.isAskedFor else { throw error }
                    log.log(.warning, "no claim is made: the API server does not know the kind", [])
                    return nil
                }
                if !wanted.isAskedFor,
                    try isTurnedOff(inNamespace: pod.namespace, situation.namespace, deadline: deadline)
                {
                    return nil
                }
                let request = APIRequest.create(
                    .ipClaims, namespace: pod.namespace, name: wanted.name, object: wanted.newObject())
                switch ask([request], deadline: deadline)[0] {
                case .success(let json):
                    log.log(.info, "made a claim", [("claim", "\(pod.namespace)/\(wanted.name)")])
                    return Identity(claim: try decode(json), isNew: true)
                case .failure(.api(let error, _)) where error.isAlreadyExists: continue
                case .failure(let error): throw error
                }
            }
            throw .claimBusy("IPClaim \"\(pod.namespace)/\(wanted.name)\" is made and deleted again and again")
        }
    }

    /// A set or machine that was made anew under its name inherits nothing: its claims go with the earlier one, in a moment.
    private func refuseIfOfEarlierOwner(_ claim: IPClaim, _ wanted: AutomaticClaim) throws(LedgerError) {
        guard let owner = claim.keeper, let present = wanted.owner, owner.uid != present.uid else { return }
        throw .claimBusy(
            "IPClaim \"\(claim.namespace)/\(claim.metadata.name)\" belongs to an earlier \(owner.kind)"
                + " \"\(owner.name)\" (UID \(owner.uid)), and is deleted with it")
    }

    /// - Parameter known: The answer, where it was asked for already.
    private func readClaim(
        _ namespace: String, _ name: String, _ known: Result<JSON, LedgerError>? = nil, deadline: Moment
    ) throws(LedgerError) -> IPClaim? {
        let answer = known ?? ask([.get(.ipClaims, namespace: namespace, name: name)], deadline: deadline)[0]
        let found = try answer.unlessNotFound()
        return try found.map { json throws(LedgerError) in try decode(json) }
    }

    private func decode(_ json: JSON) throws(LedgerError) -> IPClaim {
        do {
            return try IPClaim(json)
        } catch {
            throw .malformed(name: "claim \(json["metadata"]?["name"]?.string ?? "")", problem: "\(error)")
        }
    }

    /// Asked only before a claim is made: one that is there is used.
    private func isTurnedOff(
        inNamespace name: String, _ known: ObjectMetadata?, deadline: Moment
    ) throws(LedgerError) -> Bool {
        var metadata = known
        if metadata == nil {
            let request = APIRequest.get(.namespaces, name: name, metadataOnly: true)
            let found = try ask([request], deadline: deadline)[0].unlessNotFound()
            metadata = try self.metadata(found, "namespace", name)
        }
        do {
            return try metadata.map { try ClaimDemand.isTurnedOff($0, of: "namespace \"\(name)\"") } ?? false
        } catch {
            throw .addressRefused("\(error)")
        }
    }

    // MARK: The holder

    /// What a decision needs before it can be made.
    private struct ProofNeeded: Error {
        let pod: PodName
    }

    /// What the conversation saw last, and whom it overruled.
    private final class Sighting {
        var claim: IPClaim?
        var inherits = false
    }

    private func bind(
        _ identity: inout Identity, _ claimant: Claimant, _ pod: PodReference, deadline: Moment
    ) throws(LedgerError) {
        let candidate = IPClaim.Holder(
            pod: pod.name, podUID: pod.uid, interface: claimant.attachment.interface,
            attachment: claimant.attachment.digest, node: claimant.node, machineID: claimant.machineID)
        let networkName = claimant.attachment.networkName
        let uid = identity.claim.metadata.uid
        let machine = claimant.machine
        var (gone, sources): (Set<String>, Set<String>) = ([], [])
        let known = ClaimBinding(
            identity.claim, candidate: candidate, networkName: networkName, machine: machine, gone: gone)
        if known == .bound { return }
        for _ in 0..<Self.maximumBindings {
            let sighting = Sighting()
            let proved = (gone: gone, sources: sources)
            var conversations = [
                CompareAndSwap(
                    .ipClaims, namespace: identity.claim.namespace, name: identity.claim.metadata.name,
                    starting: identity.claim.versionObject, subresource: "status", maximumConflicts: 5
                ) { object in
                    let claim = try IPClaim(object)
                    guard claim.metadata.uid == uid else {
                        throw LedgerError.claimBusy("\(claim.metadata.name) was deleted and made anew meanwhile")
                    }
                    sighting.claim = claim
                    switch ClaimBinding(
                        claim, candidate: candidate, networkName: networkName, machine: machine, gone: proved.gone,
                        sources: proved.sources)
                    {
                    case .bound: return .leave
                    case .bind:
                        sighting.inherits =
                            claim.status.holder.map {
                                $0.pod == candidate.pod && $0.podUID != candidate.podUID
                            } ?? false
                        sighting.claim?.status.holder = candidate
                        return .patch(.merge(["status": ["holder": candidate.replacing(claim.status.holder)]]))
                    case .handOver(let source):
                        var target = candidate
                        target.migratedFrom = source
                        sighting.claim?.status.holder = target
                        return .patch(.merge(["status": ["holder": target.json]]))
                    case .prove(let pod): throw ProofNeeded(pod: pod)
                    case .wait(let text): throw LedgerError.claimBusy(text)
                    case .refuse(let text): throw LedgerError.addressRefused(text)
                    }
                }
            ]
            transport.drive(&conversations, deadline: deadline) { _ in }
            let conversation = conversations[0]
            conversations = []
            if let claim = sighting.claim { identity.claim = claim }
            switch conversation.result {
            case .success(.done), .success(.left):
                identity.wasInherited = sighting.inherits
                return
            case .success(.gone):
                throw .claimBusy("\(identity.description) was deleted while it was bound")
            case .failure(let needed as ProofNeeded):
                switch try see(needed.pod, of: machine, namespace: pod.namespace, deadline: deadline) {
                case .gone: gone.insert(needed.pod.podUID)
                case .ofSameMachine where machine?.isMigrationTarget == true:
                    if sources.insert(needed.pod.podUID).inserted { continue }
                    fallthrough
                case .ofSameMachine, .present:
                    throw .claimBusy(ClaimBinding.contention(identity.claim, candidate))
                }
            case .failure(let error as LedgerError): throw error
            case .failure(let error as APIError): throw .api(error, attempts: conversation.attempts)
            case .failure(let error): throw .malformed(name: identity.description, problem: "\(error)")
            case nil:
                if let error = conversation.lastError { throw .api(error, attempts: conversation.attempts) }
                throw .deadline("\(identity.description) was not bound yet")
            }
        }
        throw .claimBusy("\(identity.description) changes hands again and again")
    }

    // MARK: Its addresses

    /// Lets slots that have no address yet take what is kept for the claim, before anything new is taken.
    ///
    /// - Flow: read what the claim's status names and the slots could give; where that leaves a slot without, LIST by the
    ///   claim's label, once and with a limit. A pod that inherited the claim is read again beside it.
    /// - Guarantees: what another attachment still has makes the ADD wait. What is kept in pools that do not serve this
    ///   interface here, or that reserve or exclude it by now, is left alone, and the controller frees it later: the
    ///   gateway of another subnet would be wrong.
    /// - Errors: `claimBusy` names both sides.
    func adopt(
        _ slots: inout [ClaimSlot], _ identity: Identity, _ claimant: Claimant, deadline: Moment
    ) throws(LedgerError) {
        guard !identity.isNew else { return }
        if let source = identity.source, claimant.machine != nil {
            return try adopt(&slots, identity, claimant, migratingFrom: source, deadline: deadline)
        }
        guard slots.contains(where: \.isUndecided) else { return }
        var names: [String] = []
        for text in identity.claim.status.addresses.prefix(Self.maximumKept) {
            guard let address = IPAddress(text) else { continue }
            for slot in slots where slot.isUndecided {
                for name in slot.names(of: address) where !names.contains(name) { names.append(name) }
            }
        }
        let mayBeReplaced = identity.wasInherited ? claimant.pod : nil
        let podRequest = mayBeReplaced.map { pod in
            APIRequest.get(.pods, namespace: pod.namespace, name: pod.name, metadataOnly: true)
        }
        var answers = ask(
            (podRequest.map { [$0] } ?? []) + names.map { .get(.ipAllocations, name: $0) }, deadline: deadline)[...]
        if let pod = mayBeReplaced {
            let found = try answers.removeFirst().unlessNotFound()
            guard found?["metadata"]?["uid"]?.string == pod.uid else {
                throw .podChanged("pod \"\(pod.namespace)/\(pod.name)\" does not exist any more")
            }
        }
        var hinted: [IPAllocation] = []
        for answer in answers {
            if let found = try answer.unlessNotFound(), let allocation = try? IPAllocation(found) {
                hinted.append(allocation)
            }
        }
        try take(hinted, &slots, identity, claimant)
        guard slots.contains(where: \.isUndecided) else { return }
        let selector = "\(LabelKey.claim)=\(LabelValue.fitting(identity.reference.uid))"
        try take(
            try allocations(selector: selector, limit: Self.maximumKept, deadline: deadline), &slots, identity, claimant
        )
    }

    private func take(
        _ allocations: [IPAllocation], _ slots: inout [ClaimSlot], _ identity: Identity, _ claimant: Claimant
    ) throws(LedgerError) {
        let inventory = ClaimInventory(allocations, of: identity.reference, attachment: claimant.attachment)
        if let occupied = inventory.occupied {
            let pod = claimant.pod.map { "pod \"\($0.namespace)/\($0.name)\" (UID \($0.uid))" } ?? "this pod"
            throw .claimBusy(
                "\(occupied.spec.address), which \(identity.description) keeps, is not released yet:"
                    + " \(occupied.holderDescription); \(pod) gets it then")
        }
        slots.adopt(inventory.kept)
    }
}

extension Ledger.Identity {
    /// The slots of an ADD as the claim wants them: only of its pools, and with the addresses that it asks for.
    func plans(_ plans: [SlotPlan], requested: [IPAddress]) throws(LedgerError) -> [SlotPlan] {
        var plans = plans
        if !claim.spec.pools.isEmpty {
            for index in plans.indices where !plans[index].isStatic {
                let all = plans[index].pools.map(\.name)
                plans[index].pools.removeAll { !claim.spec.pools.contains($0.name) }
                guard !plans[index].pools.isEmpty else {
                    throw .addressRefused(
                        "\(description) is for \(Self.list(claim.spec.pools)) (spec.pools), and this interface is served"
                            + " by \(Self.list(all))")
                }
            }
        }
        var wishes = self.wishes.filter { !requested.contains($0) }
        for text in claim.spec.addresses {
            guard let address = IPAddress(text) else {
                throw .addressRefused("\(description): \(text.debugDescription) is not an IP address (spec.addresses)")
            }
            if !requested.contains(address), !wishes.contains(address) { wishes.append(address) }
        }
        do throws(SlotPlanError) {
            return try SlotPlan.assign(wishes, to: plans)
        } catch {
            throw .addressRefused("\(description): \(error)")
        }
    }

    private static func list(_ pools: [String]) -> String {
        pools.isEmpty ? "no pool" : pools.map { "IPPool \"\($0)\"" }.joined(separator: ", ")
    }
}
