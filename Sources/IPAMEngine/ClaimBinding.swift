package import IPAMAPI
import KubernetesCore

/// Whether an interface of a pod may become the holder of an IPClaim.
///
/// - Flow: the claim is read, and decided about; where the decision asks for a proof, the pod that it names is read at the
///   API server, and the same is decided again. ``bind`` is then written on condition of the version that was read.
/// - Guarantees: a holder whose pod is there is never overruled by another pod, with one exception: the pod that a virtual
///   machine migrates to takes over from the one that its guest runs in, where that is proved to be of the same
///   VirtualMachineInstance. Until the latter is gone, the claim says so (``IPClaim/Holder/migratedFrom``), and no third
///   pod takes over from either. That a holder gives way does not mean that its addresses are free: they are when no
///   attachment has them any more (``ClaimInventory``).
/// - Caveats: of two sandboxes of one pod the later ADD holds the claim: what a runtime has begun anew it does not go back
///   to.
package enum ClaimBinding: Hashable, Sendable {
    /// It is the holder already.
    case bound
    case bind
    /// The same, while the guest may still run in another pod.
    case handOver(from: PodName)
    /// The holder gives way when this pod is gone, or when the guest migrates from it. One that was proved to be there
    /// already does not give way.
    case prove(PodName)
    /// Later, perhaps; the text says why.
    case wait(String)
    /// Not as things are written.
    case refuse(String)

    /// - Parameters:
    ///   - pod: The pod of the candidate, which was read at the API server for this ADD.
    ///   - machine: What the candidate's pod is of.
    ///   - gone: UIDs of pods that were proved to be gone, or to have finished.
    ///   - sources: UIDs of pods that were proved to be there, and of the same VirtualMachineInstance.
    package init(
        _ claim: IPClaim, candidate: IPClaim.Holder, networkName: String, machine: VirtualMachinePod? = nil,
        gone: Set<String>, sources: Set<String> = []
    ) {
        let name = claim.subject
        let problem = Self.mismatch(claim.spec, candidate, networkName) ?? Self.mismatch(claim, machine)
        if let problem {
            self = .refuse("\(name) \(problem)")
        } else if claim.metadata.isBeingDeleted {
            self = .wait("\(name) is being deleted")
        } else {
            // Another pod cannot have become the holder of one that is for a certain pod, whoever wrote so.
            let holder = claim.status.holder.flatMap { claim.spec.mayServe(pod: $0.pod) ? $0 : nil }
            self.init(
                holder, candidate, name: name, namespace: claim.namespace,
                Proofs(mayMigrate: machine?.isMigrationTarget ?? false, gone: gone, sources: sources))
        }
    }

    private struct Proofs {
        var mayMigrate: Bool
        var gone: Set<String>
        var sources: Set<String>
    }

    private init(
        _ holder: IPClaim.Holder?, _ candidate: IPClaim.Holder, name: String, namespace: String, _ proofs: Proofs
    ) {
        guard let holder else {
            self = .bind
            return
        }
        var asCandidate = holder
        asCandidate.migratedFrom = candidate.migratedFrom
        if asCandidate == candidate {
            self = .bound
        } else if holder.podUID == candidate.podUID, holder.node == candidate.node {
            guard holder.interface == candidate.interface else {
                self = .refuse(
                    "\(name) is held by interface \(holder.interface) of pod \"\(namespace)/\(holder.pod)\", and cannot"
                        + " serve its interface \(candidate.interface) too: name one for each, in annotations"
                        + " \(AnnotationKey.claim).<interface>")
                return
            }
            self = holder.migratedFrom.map { .handOver(from: $0) } ?? .bind
        } else {
            self = Self.succeeding(holder, candidate, proofs)
        }
    }

    /// Of pods in which a guest may run, the holder's and the one that it migrated from, two never give way to a third.
    private static func succeeding(
        _ holder: IPClaim.Holder, _ candidate: IPClaim.Holder, _ proofs: Proofs
    ) -> ClaimBinding {
        // The candidate's pod was read, so that its predecessor of the same name is gone, and it is on no other node.
        func isThere(_ pod: PodName) -> Bool { pod.pod != candidate.pod && !proofs.gone.contains(pod.podUID) }
        let isBack = holder.migratedFrom?.podUID == candidate.podUID
        let inUse = [holder.podName, holder.migratedFrom].compactMap(\.self).filter(isThere)
        guard let pod = inUse.last else { return .bind }
        if let unknown = inUse.first(where: { !proofs.sources.contains($0.podUID) }) { return .prove(unknown) }
        return inUse.count == 1 && proofs.mayMigrate && !isBack ? .handOver(from: pod) : .prove(pod)
    }

    /// A virtual machine has pods of any name, so that its claim says by its owner whose it is.
    private static func mismatch(_ claim: IPClaim, _ machine: VirtualMachinePod?) -> String? {
        guard claim.isAutomatic, let owner = claim.virtualMachine, owner.name != machine?.instance.name else {
            return nil
        }
        return "is that of \(owner.kind) \"\(owner.name)\", and this is no pod of it"
    }

    private static func mismatch(
        _ spec: IPClaim.Spec, _ candidate: IPClaim.Holder, _ networkName: String
    ) -> String? {
        if !spec.interface.isEmpty, spec.interface != candidate.interface {
            return "is for interface \(spec.interface), not \(candidate.interface) (spec.interface)"
        }
        if !spec.networkName.isEmpty, spec.networkName != networkName {
            return "is for network \"\(spec.networkName)\", not \"\(networkName)\" (spec.networkName)"
        }
        if !spec.mayServe(pod: candidate.pod) {
            return "is for pod \"\(spec.pod)\", not \"\(candidate.pod)\" (spec.pod)"
        }
        return nil
    }

    /// What both pods are told while the holder's is there.
    package static func contention(_ claim: IPClaim, _ candidate: IPClaim.Holder) -> String {
        let namespace = claim.namespace
        guard let holder = claim.status.holder else { return "\(claim.subject) is held" }
        if let source = holder.migratedFrom, source.podUID != candidate.podUID {
            return "\(claim.subject) is held by pod \"\(namespace)/\(holder.pod)\" (UID"
                + " \(holder.podUID)) on node \(holder.node), to which a virtual machine migrates from pod"
                + " \"\(namespace)/\(source.pod)\" (UID \(source.podUID)), and not both are gone; pod"
                + " \"\(namespace)/\(candidate.pod)\" (UID \(candidate.podUID)) gets its addresses when they are"
        }
        return "\(claim.subject) is held by pod \"\(namespace)/\(holder.pod)\" (UID"
            + " \(holder.podUID)) on node \(holder.node), which is there; pod \"\(namespace)/\(candidate.pod)\" (UID"
            + " \(candidate.podUID)) gets its addresses when that one is gone"
    }
}

extension IPClaim.Spec {
    fileprivate func mayServe(pod name: String) -> Bool { pod.isEmpty || pod == name }
}

/// What is kept for a claim, as its holder finds it.
package struct ClaimInventory: Hashable, Sendable {
    /// Nobody uses them: those in the state Held first, and then those that cool; in the order of their names.
    package private(set) var kept: [IPAllocation] = []
    /// The first that another attachment still has.
    package private(set) var occupied: IPAllocation?

    package init(_ allocations: [IPAllocation], of claim: ClaimReference?, attachment: Attachment) {
        for allocation in allocations.sorted(by: { $0.metadata.name < $1.metadata.name }) {
            let spec = allocation.spec
            // Of another UID is another claim, of which nothing is inherited.
            guard let claim, spec.claim?.uid == claim.uid, !allocation.metadata.isBeingDeleted else { continue }
            switch spec.state {
            case .held, .cooling: kept.append(allocation)
            case .bound, .fenced:
                if spec.attachment != attachment, occupied == nil { occupied = allocation }
            }
        }
        kept = kept.filter { $0.spec.state == .held } + kept.filter { $0.spec.state == .cooling }
    }
}
