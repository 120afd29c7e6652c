import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesCore

extension Ledger {
    /// The IPClaim that an ADD takes its addresses for.
    struct Identity {
        let pod: PodReference
        /// As it was read or made.
        let claim: IPClaim
        /// This ADD has made it, so that nothing can be kept for it yet.
        var isNew = false
        /// Addresses that the pod must get beside those that the claim asks for.
        var wishes: [IPAddress] = []

        var reference: ClaimReference { claim.reference }
        var description: String { claim.subject }
        /// What the pod is to get by its claim.
        var asked: [IPAddress] { wishes + claim.spec.addresses.compactMap { IPAddress($0) } }
    }

    /// How often a claim is looked for that others make and delete.
    private static var maximumSearches: Int { 4 }

    /// The claim that the pod has or names, made where it is absent and made by itself; nil where the pod has none.
    ///
    /// - Flow: read the claim, unless that was done beside the pod; where it is absent, create it unless the namespace
    ///   wants none.
    /// - Guarantees: one that was there has not been written to. Killed after this it leaves a claim that keeps nothing.
    func findClaim(
        _ order: ClaimOrder, _ situation: Situation, deadline: Moment
    ) throws(LedgerError) -> Identity? {
        guard let pod = situation.claimant.pod else { return nil }
        let pools = situation.slots.flatMap { $0.isStatic ? [] : $0.pools }
        let demand = try demanded(order, situation, pools)
        guard let identity = try findClaim(demand, of: pod, situation, deadline: deadline) else { return nil }
        // Before it is asked which pools and addresses it wants: a claim for something else wants other ones.
        switch ClaimBinding(
            identity.claim, candidate: situation.claimant.holder(pod), networkName: order.attachment.networkName,
            machine: situation.claimant.machine, gone: [])
        {
        case .refuse(let text): throw .addressRefused(text)
        case .wait(let text): throw .claimBusy(text)
        case .bound, .bind, .handOver, .prove: return identity
        }
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
            throw .annotation("\(error)")
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
                    "\(found.subject) stands for IPAMClaim \"\(object.name)\": refer to that in annotation"
                        + " \(IPAMClaimReference.annotation)")
            }
            return Identity(pod: pod, claim: found)
        case .automatic(let wanted):
            var foreseen = situation.foreseenClaim
            for _ in 0..<Self.maximumSearches {
                do throws(LedgerError) {
                    let answer = foreseen
                    foreseen = nil
                    if let found = try readClaim(pod.namespace, wanted.name, answer, deadline: deadline) {
                        if let owner = found.earlierKeeper(than: wanted, situation.claimant.machine) {
                            throw .claimBusy(
                                "\(found.subject) belongs to an earlier \(owner.kind) \"\(owner.name)\" (UID \(owner.uid)),"
                                    + " and is deleted with it")
                        }
                        return Identity(pod: pod, claim: found)
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
                    if situation.claimant.machine?.isMigrationTarget == true {
                        log.log(
                            .warning,
                            "a virtual machine that had no claim migrates here, and gets another address: restart it to keep one",
                            [("pod", "\(pod.namespace)/\(pod.name)")])
                    }
                    return Identity(pod: pod, claim: try decode(json), isNew: true)
                case .failure(.api(let error, _)) where error.isAlreadyExists: continue
                case .failure(let error): throw error
                }
            }
            throw .claimBusy("IPClaim \"\(pod.namespace)/\(wanted.name)\" is made and deleted again and again")
        }
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
            throw .annotation("\(error)")
        }
    }
}

extension Ledger.Identity {
    /// The slots of an ADD as the claim wants them: only of its pools.
    func restrict(_ plans: [SlotPlan]) throws(LedgerError) -> [SlotPlan] {
        do throws(ClaimPlanProblem) {
            return try SlotPlan.restricted(to: claim, plans)
        } catch {
            throw .addressRefused("\(error)")
        }
    }

    /// The same, and with the addresses that it asks for.
    func plans(_ plans: [SlotPlan], requested: [IPAddress]) throws(LedgerError) -> [SlotPlan] {
        do throws(ClaimPlanProblem) {
            return try SlotPlan.serving(claim, plans, requested: requested, wishes: wishes)
        } catch {
            throw .addressRefused("\(error)")
        }
    }
}
