import IPAMAPI
import IPAMEngine
import JSONText
import KubernetesCore

/// Makes an interface of a pod the holder of an IPClaim, on condition of the version that was read.
///
/// - Guarantees: whom ``ClaimBinding`` does not let give way is not overruled. Repeated for the holder it writes nothing.
/// - Caveats: left unfinished, or after an answer that never came, the holder may be written or not. It has no address
///   then that it does not hold itself: any ADD of the same pod goes on from there, and one of another pod when this one
///   is gone.
struct HolderWrite: Conversation {
    enum Ending {
        case bound
        /// The holder gives way when this pod is proved to be gone, or to be where the guest migrates from.
        case needsProof(PodName)
        case failed(LedgerError)
    }

    private struct ProofNeeded: Error {
        let pod: PodName
    }

    /// What the conversation saw last, and whom it overruled.
    private final class Sighting {
        var claim: IPClaim
        var overruled: IPClaim.Holder?
        var source: PodName?

        init(_ claim: IPClaim) { self.claim = claim }
    }

    private let candidate: IPClaim.Holder
    private let sighting: Sighting
    private var swap: CompareAndSwap
    private var pausedUntil: Moment?

    /// - Parameters:
    ///   - claim: As it was read.
    ///   - machine: What the candidate's pod is of.
    ///   - gone: UIDs of pods that were proved to be gone, or to have finished.
    ///   - sources: UIDs of pods that were proved to be there, and of the same VirtualMachineInstance.
    ///   - isFirst: Only as the first holder that the claim ever has.
    init(
        _ claim: IPClaim, candidate: IPClaim.Holder, networkName: String, machine: VirtualMachinePod? = nil,
        gone: Set<String> = [], sources: Set<String> = [], isFirst: Bool = false
    ) {
        self.candidate = candidate
        let sighting = Sighting(claim)
        self.sighting = sighting
        let known = claim
        swap = CompareAndSwap(
            .ipClaims, namespace: claim.namespace, name: claim.metadata.name, starting: claim.versionObject,
            subresource: "status", maximumConflicts: 5
        ) { object in
            let seen = try IPClaim(object)
            // What the conversation begins with says less than what was read: it has no labels.
            let claim = seen.metadata.resourceVersion == known.metadata.resourceVersion ? known : seen
            guard claim.metadata.uid == known.metadata.uid else {
                throw LedgerError.claimBusy("\(claim.metadata.name) was deleted and made anew meanwhile")
            }
            sighting.claim = claim
            let binding = ClaimBinding(
                claim, candidate: candidate, networkName: networkName, machine: machine, gone: gone, sources: sources)
            if isFirst, binding != .bound, let holder = claim.status.holder {
                throw LedgerError.claimBusy(
                    "\(claim.subject) was bound by pod \"\(claim.namespace)/\(holder.pod)\" (UID \(holder.podUID),"
                        + " interface \(holder.interface)) as soon as it was made")
            }
            switch binding {
            case .bound:
                sighting.source = claim.status.holder?.migratedFrom
                return .leave
            case .bind:
                (sighting.overruled, sighting.source) = (claim.status.holder, nil)
                return .patch(.merge(["status": ["holder": candidate.replacing(claim.status.holder)]]))
            case .handOver(let source):
                (sighting.overruled, sighting.source) = (claim.status.holder, source)
                var target = candidate
                target.migratedFrom = source
                return .patch(.merge(["status": ["holder": target.json]]))
            case .prove(let pod): throw ProofNeeded(pod: pod)
            case .wait(let text): throw LedgerError.claimBusy(text)
            case .refuse(let text): throw LedgerError.addressRefused(text)
            }
        }
    }

    mutating func next(remaining: Duration) -> ConversationStep { swap.next(remaining: remaining) }

    mutating func receive(_ result: Result<JSON, APIError>, wasSentTwice: Bool) {
        swap.receive(result, wasSentTwice: wasSentTwice)
    }

    /// The next step, for who drives it beside slots.
    mutating func next(now: Moment, remaining: Duration) -> ClaimSlot.Step {
        ClaimSlot.Step(&swap, &pausedUntil, now: now, remaining: remaining)
    }

    /// The claim as it was decided about last, before its holder was written.
    var claim: IPClaim { sighting.claim }

    /// The pod that the guest migrates from, once the candidate is the holder.
    var source: PodName? { sighting.source }

    /// The write that made the candidate the holder, if it was this conversation's, was the first one, on condition of the
    /// version that it began with.
    var wasUndisturbed: Bool { swap.attempts == 1 }

    /// It overruled another pod of the same name: which of the two is the later one, what was read before that holder was
    /// does not tell.
    var hasInherited: Bool { sighting.overruled.map { Self.isNamesake($0, of: candidate) } ?? false }

    static func isNamesake(_ holder: IPClaim.Holder, of candidate: IPClaim.Holder) -> Bool {
        holder.pod == candidate.pod && holder.podUID != candidate.podUID
    }

    /// How it ended; nil while it is under way.
    var ending: Ending? {
        switch swap.result {
        case nil: nil
        case .success(.done), .success(.left): .bound
        case .success(.gone): .failed(.claimBusy("\(claim.subject) was deleted while it was bound"))
        case .failure(let needed as ProofNeeded): .needsProof(needed.pod)
        case .failure(let error as LedgerError): .failed(error)
        case .failure(let error as APIError): .failed(.api(error, attempts: swap.attempts))
        case .failure(let error): .failed(.malformed(name: claim.subject, problem: "\(error)"))
        }
    }

    /// Why the candidate is not the holder, once that is decided.
    var failure: LedgerError? {
        switch ending {
        case nil, .bound: nil
        case .failed(let error): error
        case .needsProof: .claimBusy(ClaimBinding.contention(claim, candidate))
        }
    }

    /// Why it is not over at the deadline.
    var delay: LedgerError {
        swap.lastError.map { .api($0, attempts: swap.attempts) } ?? .deadline("\(claim.subject) was not bound yet")
    }
}

extension Claimant {
    /// What the claim says of the claimant when it is the holder.
    func holder(_ pod: PodReference) -> IPClaim.Holder {
        IPClaim.Holder(
            pod: pod.name, podUID: pod.uid, interface: attachment.interface, attachment: attachment.digest, node: node,
            machineID: machineID)
    }
}
