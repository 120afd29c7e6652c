package import IPAMAPI
package import IPAMEngine
package import IPAddressing
import JSONText
import KubernetesCore

/// Who claims: everything that an allocation records of its holder.
package struct Claimant: Hashable, Sendable {
    package var attachment: Attachment
    package var origin: AllocationOrigin
    package var pod: PodReference?
    package var node: String
    package var machineID: String
    /// The boot of the machine. Nil for what is no pod: a runtime of pods makes every sandbox of a new boot under a new ID,
    /// others may have one ID always, and an ADD that finds its address writes nothing.
    package var boot: String?
    /// The IPClaim that it takes addresses for, and that keeps them when it is gone.
    package var claim: ClaimReference?
    /// The virtual machine whose guest the pod runs.
    package var machine: VirtualMachinePod?
    /// The pod that the guest, and what is bound to it, comes from.
    package var source: PodName?

    package init(
        attachment: Attachment, origin: AllocationOrigin, pod: PodReference?, node: String, machineID: String,
        boot: String? = nil, claim: ClaimReference? = nil, machine: VirtualMachinePod? = nil
    ) {
        self.attachment = attachment
        self.origin = origin
        self.pod = pod
        self.node = node
        self.machineID = machineID
        self.boot = boot
        self.claim = claim
        self.machine = machine
    }

    /// What the allocation says of the virtual machine; only what a claim keeps can migrate.
    var mark: VirtualMachineMark? {
        guard claim != nil, let machine else { return nil }
        return VirtualMachineMark(instanceUID: machine.instance.uid, migratedFrom: source)
    }

    /// The allocation that says that this claimant holds an address of a pool.
    func spec(_ address: IPAddress, of pool: ValidatedPool, claimedAt: String) -> IPAllocation.Spec {
        IPAllocation.Spec(
            state: .bound, origin: origin, pool: pool.name, poolUID: pool.uid, address: address,
            network: pool.network, node: node, machineID: machineID, attachment: attachment, pod: pod, claim: claim,
            cooldownSeconds: pool.cooldownSeconds, claimedAt: claimedAt, releasedAt: nil)
    }

    /// The object that enters an address for the claimant.
    func newObject(_ spec: IPAllocation.Spec) -> JSON { spec.newObject(of: mark, boot: boot) }

    /// The object that puts the claimant in the place of another holder, on condition of the version that was read.
    func takingOver(_ allocation: IPAllocation, _ spec: IPAllocation.Spec) -> JSON {
        allocation.takenOver(by: spec, of: mark, boot: boot)
    }

    /// Whether an allocation is held by this very attachment on this very machine.
    func holds(_ allocation: IPAllocation) -> Bool {
        attachment == allocation.spec.attachment && node == allocation.spec.node
            && machineID == allocation.spec.machineID && allocation.spec.state != .cooling
            && !allocation.metadata.isBeingDeleted
    }
}

extension Claimant {
    /// Whether the claimant may take over an allocation that it read.
    ///
    /// What another node released is taken over for the pool that it is of, and no other: more a node may not write (the
    /// policies of config/policy). Where pools overlap, such an address is passed over. What is kept for an IPClaim only
    /// its holder takes, and what a guest has the pod that it migrates to.
    func mayTakeOver(_ allocation: IPAllocation, forPool pool: String) -> Bool {
        let isOfPool = allocation.spec.pool == pool
        guard !allocation.metadata.isBeingDeleted else { return false }
        switch allocation.spec.state {
        case .cooling: return allocation.spec.node == node || isOfPool
        case .held: return isOfPool && claim != nil && allocation.spec.claim?.uid == claim?.uid
        case .bound:
            // Its guest is about to run here.
            guard let source, let claim else { return false }
            return isOfPool && allocation.spec.claim?.uid == claim.uid && allocation.isRunning(in: source)
        case .fenced: return false
        }
    }

    /// Why the claimant has to wait for an allocation of its IPClaim; nil where no other attachment has it.
    func busy(_ allocation: IPAllocation) -> LedgerError? {
        guard let claim, allocation.spec.claim?.uid == claim.uid, !allocation.metadata.isBeingDeleted,
            allocation.spec.attachment != attachment
        else { return nil }
        switch allocation.spec.state {
        case .held, .cooling: return nil
        case .bound, .fenced:
            let pod = pod.map { "pod \"\($0.namespace)/\($0.name)\" (UID \($0.uid))" } ?? "this pod"
            return .claimBusy(
                "\(allocation.spec.address), which \(claim.subject) keeps, is not released"
                    + " yet: \(allocation.holderDescription); \(pod) gets it then")
        }
    }
}

/// An address that the API server has entered for the claimant.
package struct HeldAddress: Hashable, Sendable {
    package var pool: ValidatedPool
    package var address: IPAddress
    package var version: ObjectVersion

    package init(pool: ValidatedPool, address: IPAddress, version: ObjectVersion) {
        self.pool = pool
        self.address = address
        self.version = version
    }

    package var name: String { pool.allocationName(of: address) }
}
