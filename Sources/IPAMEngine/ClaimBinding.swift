package import IPAMAPI
import KubernetesCore

/// Whether an interface of a pod may become the holder of an IPClaim.
///
/// - Flow: the claim is read, and decided about; where the decision asks for a proof, the holder's pod is read at the API
///   server, and the same is decided again. ``bind`` is then written on condition of the version that was read.
/// - Guarantees: a holder whose pod is there is never overruled by another pod. That a holder gives way does not mean that
///   its addresses are free: they are when no attachment has them any more (``ClaimInventory``).
/// - Caveats: of two sandboxes of one pod the later ADD holds the claim: what a runtime has begun anew it does not go back
///   to.
package enum ClaimBinding: Hashable, Sendable {
    /// It is the holder already.
    case bound
    case bind
    /// The holder gives way when its pod is gone.
    case prove(IPClaim.Holder)
    /// Later, perhaps; the text says why.
    case wait(String)
    /// Not as things are written.
    case refuse(String)

    /// - Parameters:
    ///   - pod: The pod of the candidate, which was read at the API server for this ADD.
    ///   - gone: UIDs of pods that were proved to be gone, or to have finished.
    package init(_ claim: IPClaim, candidate: IPClaim.Holder, networkName: String, gone: Set<String>) {
        let name = "IPClaim \"\(claim.namespace)/\(claim.metadata.name)\""
        if let problem = Self.mismatch(claim.spec, candidate, networkName) {
            self = .refuse("\(name) \(problem)")
        } else if claim.metadata.isBeingDeleted {
            self = .wait("\(name) is being deleted")
        } else {
            self.init(claim.status.holder, candidate, name: name, namespace: claim.namespace, gone: gone)
        }
    }

    private init(
        _ holder: IPClaim.Holder?, _ candidate: IPClaim.Holder, name: String, namespace: String, gone: Set<String>
    ) {
        guard let holder else {
            self = .bind
            return
        }
        if holder == candidate {
            self = .bound
        } else if holder.podUID == candidate.podUID {
            guard holder.interface == candidate.interface else {
                self = .refuse(
                    "\(name) is held by interface \(holder.interface) of pod \"\(namespace)/\(holder.pod)\", and cannot"
                        + " serve its interface \(candidate.interface) too: name one for each, in annotations"
                        + " \(AnnotationKey.claim).<interface>")
                return
            }
            self = .bind
        } else if holder.pod == candidate.pod || gone.contains(holder.podUID) {
            // The candidate's pod was read, so that its predecessor of the same name is gone.
            self = .bind
        } else {
            self = .prove(holder)
        }
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
        if !spec.pod.isEmpty, spec.pod != candidate.pod {
            return "is for pod \"\(spec.pod)\", not \"\(candidate.pod)\" (spec.pod)"
        }
        return nil
    }

    /// What both pods are told while the holder's is there.
    package static func contention(_ claim: IPClaim, _ holder: IPClaim.Holder, _ candidate: IPClaim.Holder) -> String {
        let namespace = claim.namespace
        return "IPClaim \"\(namespace)/\(claim.metadata.name)\" is held by pod \"\(namespace)/\(holder.pod)\" (UID"
            + " \(holder.podUID)) on node \(holder.node), which is there; pod \"\(namespace)/\(candidate.pod)\" (UID"
            + " \(candidate.podUID)) gets its addresses when that one is gone"
    }
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
