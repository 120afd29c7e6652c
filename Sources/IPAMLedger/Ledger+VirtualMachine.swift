import IPAMAPI
import IPAMEngine
import JSONText
import KubernetesCore

extension Ledger {
    /// The most allocations that one claim of a virtual machine may have.
    private static var maximumKept: Int { 64 }

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
    func see(
        _ name: PodName, of machine: VirtualMachinePod?, namespace: String, deadline: Moment
    ) throws(LedgerError) -> HolderSighting {
        let request = APIRequest.get(.pods, namespace: namespace, name: name.pod)
        guard let pod = try ask([request], deadline: deadline)[0].unlessNotFound() else { return .gone }
        return HolderSighting(
            name, found: try metadata(pod, "pod", name.pod), phase: pod["status"]?["phase"]?.string, machine: machine)
    }

    /// Lets the slots of a pod that a virtual machine migrates to take exactly the addresses that its guest has.
    ///
    /// - Flow: one consistent LIST by the claim's label: what the claim's status names may be old, and a guest does not
    ///   change its addresses.
    /// - Guarantees: every slot of the claim takes one of the guest's addresses, and all of them are taken; otherwise none
    ///   is. Each is replaced on condition of the version that was listed, and names the pod that it came from.
    /// - Errors: `claimBusy` where the ledger does not say what the guest has; `addressRefused` where this interface gives
    ///   other addresses, or more or fewer.
    func adopt(
        _ slots: inout [ClaimSlot], _ identity: Identity, _ claimant: Claimant, migratingFrom source: PodName,
        deadline: Moment
    ) throws(LedgerError) {
        let selector = "\(LabelKey.claim)=\(LabelValue.fitting(identity.reference.uid))"
        let found = try allocations(selector: selector, limit: Self.maximumKept, deadline: deadline)
        let running = MigrationInventory(found, of: identity.reference, from: source).running
        let own = found.filter { claimant.holds($0) }
        let inventory = ClaimInventory(
            found.filter { !running.contains($0) }, of: identity.reference, attachment: claimant.attachment)
        guard inventory.occupied == nil else {
            throw .claimBusy(
                "\(identity.description) cannot be handed over by pod \"\(source.pod)\" (UID \(source.podUID)):"
                    + " \(inventory.occupied?.holderDescription ?? "")")
        }
        guard !running.isEmpty || !own.isEmpty else {
            let name = "pod \"\(identity.claim.namespace)/\(source.pod)\" (UID \(source.podUID))"
            switch try see(source, of: claimant.machine, namespace: identity.claim.namespace, deadline: deadline) {
            // A guest that is at home here, in a sandbox that was made anew.
            case .gone: return slots.adopt(inventory.kept)
            case .ofSameMachine, .present:
                throw .claimBusy(
                    "the ledger has no address for \(identity.description), from whose \(name) a virtual machine migrates"
                )
            }
        }
        // An ADD of this sandbox that was killed: its DEL, or some time, settles what it left.
        for name in running.map(\.metadata.name) where slots.contains(where: { $0.isLeaving(name) }) {
            throw .deadline("the release of IPAllocation \"\(name)\" is still under way")
        }
        slots.adopt(running)
        let claiming = slots.filter { $0.claimant.claim != nil }
        let names = claiming.reduce(into: Set<String>()) { $0.formUnion($1.names) }
        let left = running.filter { !names.contains($0.metadata.name) }
        guard left.isEmpty, !claiming.contains(where: \.isUndecided) else {
            let text =
                left.isEmpty
                ? "this interface gets more addresses than the guest has"
                : "no pool that serves this interface on node \(node) gives"
                    + " \(left.map { "\($0.spec.address)" }.joined(separator: ", "))"
            throw .addressRefused(
                "a virtual machine cannot migrate here from pod \"\(source.pod)\" (UID \(source.podUID)) with the addresses"
                    + " of \(identity.description): \(text)")
        }
    }
}
