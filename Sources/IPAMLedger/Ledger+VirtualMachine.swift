import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesCore

extension Ledger {
    /// The claim that a virtual machine's pod gets by itself, and what the API server has under its name.
    ///
    /// - Flow: the VirtualMachineInstance and the claim are read side by side. Where there is a claim already, the former
    ///   tells whether it is that of the present machine.
    /// - Errors: `podChanged` where the instance is gone or another one; otherwise why it cannot be read. Without the answer
    ///   the pod would get any address, and a later one its machine's.
    func resolve(
        _ wanted: VirtualMachineDemand, deadline: Moment
    ) throws(LedgerError) -> (AutomaticClaim, found: Result<JSON, LedgerError>) {
        let answers = ask(
            [
                .get(
                    .virtualMachineInstances, namespace: wanted.namespace, name: wanted.instance.name,
                    metadataOnly: true),
                .get(.ipClaims, namespace: wanted.namespace, name: wanted.claimName),
            ], deadline: deadline)
        let found = try metadata(
            answers[0].unlessNotFound(), "VirtualMachineInstance", "\(wanted.namespace)/\(wanted.instance.name)")
        do throws(VirtualMachineProblem) {
            return (try wanted.claim(found), answers[1])
        } catch {
            throw .podChanged("\(error)")
        }
    }

    /// A live read of a pod that holds a claim, or held it before a migration.
    ///
    /// - Parameter node: Where the claim says that the pod is.
    func see(
        _ name: PodName, on node: String? = nil, of machine: VirtualMachinePod?, namespace: String, deadline: Moment
    ) throws(LedgerError) -> HolderSighting {
        let request = APIRequest.get(.pods, namespace: namespace, name: name.pod)
        guard let pod = try ask([request], deadline: deadline)[0].unlessNotFound() else { return .gone }
        return HolderSighting(
            name, found: try metadata(pod, "pod", name.pod), phase: pod["status"]?["phase"]?.string,
            node: (pod["spec"]?["nodeName"]?.string, node), machine: machine)
    }

    // MARK: What the guest has

    /// Lets the slots of a pod that a virtual machine migrates to take exactly the addresses that its guest has.
    ///
    /// - Flow: take what the LIST by the claim's label told that was made beside the binding: what the claim's status names
    ///   may be old, and a guest does not change its addresses. Where that would make the ADD fail, the LIST itself is too
    ///   old to be relied upon, and made once more.
    /// - Guarantees: every slot of the claim takes one of the guest's addresses, and all of them are taken; otherwise none
    ///   is. Each is replaced on condition of the version that was listed, and names the pod that it came from. Where that
    ///   version is an old one the slot reads the allocation, and takes it only while it is the source's still, or nobody's.
    /// - Assumptions: a pod claims all its addresses before its guest runs, so that a LIST from just before the binding
    ///   lacks none of them.
    /// - Errors: `claimBusy` where the ledger does not say what the guest has; `addressRefused` where this interface gives
    ///   other addresses, or more or fewer.
    func adopt(
        _ slots: inout [ClaimSlot], _ identity: Identity, _ reading: KeptReading, _ claimant: Claimant,
        migratingFrom source: PodName, deadline: Moment
    ) throws(LedgerError) {
        for index in slots.indices where slots[index].claimant.claim != nil { slots[index].migrate(from: source) }
        let handOver = HandOver(identity: identity, claimant: claimant, source: source, node: node)
        if let answers = reading.answers, let found = try? allocations(answers),
            case .taken(let taken) = handOver.attempt(slots, found)
        {
            slots = taken
            return
        }
        switch handOver.attempt(slots, try allocations(ask(reading.query.requests, deadline: deadline))) {
        case .taken(let taken): slots = taken
        case .impossible(let error): throw error
        case .absent(let kept):
            switch try see(source, of: claimant.machine, namespace: identity.claim.namespace, deadline: deadline) {
            // A guest that is at home here, in a sandbox that was made anew.
            case .gone: slots.adopt(kept)
            case .ofSameMachine, .present:
                throw .claimBusy(
                    "the ledger has no address for \(identity.description), from whose \(handOver.place) a virtual"
                        + " machine migrates")
            }
        }
    }
}

/// Whether slots can take what the guest of a virtual machine has in another pod.
private struct HandOver {
    enum Outcome {
        case taken([ClaimSlot])
        /// Nothing of the guest's is in the ledger; perhaps something that nobody uses.
        case absent(kept: [IPAllocation])
        case impossible(LedgerError)
    }

    var identity: Ledger.Identity
    var claimant: Claimant
    var source: PodName
    var node: String

    var place: String { "pod \"\(identity.claim.namespace)/\(source.pod)\" (UID \(source.podUID))" }

    /// - Parameter found: What there is of the claim.
    func attempt(_ slots: [ClaimSlot], _ found: [IPAllocation]) -> Outcome {
        let running = MigrationInventory(found, of: identity.reference, from: source).running
        let inventory = ClaimInventory(
            found.filter { !running.contains($0) }, of: identity.reference, attachment: claimant.attachment)
        if let occupied = inventory.occupied {
            return .impossible(
                .claimBusy(
                    "\(identity.description) cannot be handed over by \(place): \(occupied.holderDescription)"))
        }
        if running.isEmpty, !found.contains(where: { claimant.holds($0) }) { return .absent(kept: inventory.kept) }
        // An ADD of this sandbox that was killed: its DEL, or some time, settles what it left.
        for name in running.map(\.metadata.name) where slots.contains(where: { $0.isLeaving(name) }) {
            return .impossible(.deadline("the release of IPAllocation \"\(name)\" is still under way"))
        }
        var slots = slots
        slots.adopt(running)
        let claiming = slots.filter { $0.claimant.claim != nil }
        let names = claiming.reduce(into: Set<String>()) { $0.formUnion($1.names) }
        let left = running.filter { !names.contains($0.metadata.name) }
        let problem: String
        if !left.isEmpty {
            let addresses = left.map { "\($0.spec.address)" }.joined(separator: ", ")
            problem = "no pool that serves this interface on node \(node) gives \(addresses)"
        } else if claiming.contains(where: \.isUndecided) {
            problem = "this interface gets more addresses than the guest has"
        } else {
            return .taken(slots)
        }
        return .impossible(
            .addressRefused(
                "a virtual machine cannot migrate here from \(place) with the addresses of \(identity.description):"
                    + " \(problem)"))
    }
}

extension LedgerError {
    /// What a slot fails with rather than taking another address.
    static func guestLost(_ address: IPAddress, from source: PodName) -> LedgerError {
        .claimBusy(
            "\(address), which a virtual machine migrates with from pod \"\(source.pod)\", was taken by another"
                + " meanwhile")
    }
}
