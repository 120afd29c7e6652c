package import IPAMAPI
package import KubernetesCore

/// What a pod says of the virtual machine whose guest runs in it, or will.
package struct VirtualMachinePod: Hashable, Sendable {
    /// The VirtualMachineInstance: the pod's controller.
    package let instance: OwnerReference
    /// The guest comes from another pod of the instance. A pod that was migrated to stays so when it is migrated from.
    package let isMigrationTarget: Bool

    package init(instance: OwnerReference, isMigrationTarget: Bool = false) {
        self.instance = instance
        self.isMigrationTarget = isMigrationTarget
    }

    /// Nil for the pod of anything else.
    package init?(_ metadata: ObjectMetadata) {
        guard let instance = metadata.ownerReferences.first(where: { $0.isController && $0.isVirtualMachineInstance })
        else { return nil }
        self.instance = instance
        isMigrationTarget = !(metadata.labels[KubeVirt.migrationLabel] ?? "").isEmpty
    }
}

/// The claim of the virtual machine that a pod runs, before it is known which object the machine is.
package struct VirtualMachineDemand: Hashable, Sendable {
    package let namespace: String
    package let instance: OwnerReference
    package let interface: String
    package let networkName: String

    /// An instance has the name of its VirtualMachine.
    package var claimName: String {
        AutomaticClaim.name(machine: instance.name, interface: interface, networkName: networkName)
    }

    /// - Parameter found: The VirtualMachineInstance's metadata, as the API server has it; nil: proven absent.
    /// - Throws: Where that is not the one that the pod is of.
    package func claim(_ found: ObjectMetadata?) throws(VirtualMachineProblem) -> AutomaticClaim {
        let name = "VirtualMachineInstance \"\(namespace)/\(instance.name)\""
        guard let found else {
            throw VirtualMachineProblem(description: "\(name), which the pod is of, does not exist (any more)")
        }
        guard found.uid == instance.uid else {
            throw VirtualMachineProblem(
                description: "\(name) was made anew: the API server has UID \(found.uid), the pod is of \(instance.uid)"
            )
        }
        let machine = found.ownerReferences.first { $0.isController && $0.isVirtualMachine }
        // Its claim is found by the name of the instance; where that is another one, it is not the machine's.
        let owner = machine.flatMap { $0.name == instance.name ? $0 : nil } ?? instance
        return AutomaticClaim(machine: owner, namespace: namespace, interface: interface, networkName: networkName)
    }
}

package struct VirtualMachineProblem: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String
}

/// What a live read tells of a pod that has an IPClaim, or had it before a migration.
package enum HolderSighting: Hashable, Sendable {
    /// No such pod, or one that has finished for good, or that is on another node than its holding says.
    case gone
    /// It is there, and of the same VirtualMachineInstance as the pod that asks.
    case ofSameMachine
    case present

    /// - Parameters:
    ///   - metadata: Of the pod's object; nil: proven absent.
    ///   - node: Where the pod is, and where the claim says that it is; nil where it does not say. A pod never moves, so that
    ///     where they differ the pod's own node did not make it the holder.
    ///   - machine: What the pod that asks is of.
    package init(
        _ name: PodName, found metadata: ObjectMetadata?, phase: String?, node: (actual: String?, claimed: String?),
        machine: VirtualMachinePod?
    ) {
        guard let metadata else {
            self = .gone
            return
        }
        let isElsewhere = node.claimed.map { $0 != node.actual } ?? false
        if metadata.uid != name.podUID || phase == "Succeeded" || phase == "Failed" || isElsewhere {
            self = .gone
        } else if let machine, VirtualMachinePod(metadata)?.instance.uid == machine.instance.uid {
            self = .ofSameMachine
        } else {
            self = .present
        }
    }
}

/// The addresses that a guest takes with it, as the pod that it migrates to finds them.
package struct MigrationInventory: Hashable, Sendable {
    /// In the order of their names.
    package private(set) var running: [IPAllocation] = []

    /// What the source has, and what an earlier migration from it that failed has given back.
    package init(_ allocations: [IPAllocation], of claim: ClaimReference, from source: PodName) {
        running = allocations.filter { allocation in
            guard allocation.spec.claim?.uid == claim.uid, !allocation.metadata.isBeingDeleted else { return false }
            return allocation.isRunning(in: source)
        }.sorted { $0.metadata.name < $1.metadata.name }
    }
}

extension IPAllocation {
    /// Whether a guest in this pod uses the address, whatever the ledger was told by a migration that failed.
    package func isRunning(in source: PodName) -> Bool {
        switch spec.state {
        case .bound: spec.pod?.uid == source.podUID
        case .held: spec.pod?.uid == source.podUID || virtualMachine?.migratedFrom == source
        case .cooling, .fenced: false
        }
    }

    /// Whether the holder has the address from this pod, in which the guest may still run.
    package func isMigrating(from pod: PodReference?, claim: ClaimReference?) -> Bool {
        guard let pod, let claim, spec.claim?.uid == claim.uid, spec.state == .bound || spec.state == .held else {
            return false
        }
        return virtualMachine?.migratedFrom == PodName(pod: pod.name, podUID: pod.uid)
    }

    /// Whether the pod of a sandbox that has lost the address and its holder's are pods of one guest.
    package func isHandedOver(from pod: PodReference, of machine: VirtualMachinePod?, claim: ClaimReference?) -> Bool {
        guard let machine, let claim, let holder = spec.pod, spec.claim?.uid == claim.uid,
            virtualMachine?.instanceUID == machine.instance.uid
        else { return false }
        return holder.namespace == pod.namespace && holder.uid != pod.uid
    }
}
