/// The annotations that Berth sets or obeys.
package enum AnnotationKey {
    /// On an allocation: the controller found that the pod is gone, and asks the node's agent to free the address once
    /// the sandbox is dead. The value is the reason, one word in CamelCase.
    package static let reclaim = "\(BerthAPI.group)/reclaim"
    /// On an allocation in the state Fenced: the UID that its Node had then.
    package static let fencedNodeUID = "\(BerthAPI.group)/fenced-node-uid"
    /// On an allocation: the boot of the machine, by the kernel's ID, in which its holder was given it, a slash, and the
    /// holder's digest, for releases and earlier versions leave it to the next holder.
    package static let boot = "\(BerthAPI.group)/boot"
    /// On an allocation for the guest of a virtual machine: see ``VirtualMachineMark``.
    package static let virtualMachineInstance = "\(BerthAPI.group)/virtual-machine-instance"
    package static let migratedFrom = "\(BerthAPI.group)/migrated-from"
    /// On a pool: `true` lets it be deleted while it is in use.
    package static let forceDelete = "\(BerthAPI.group)/force-delete"

    /// On a pod or a namespace: the pools to take addresses from, patterns in order of preference, joined by commas. This
    /// and the following may end in `.` and the name of an interface, and then hold for that interface alone.
    package static let pools = "\(BerthAPI.group)/pools"
    /// On a pod: the addresses that it must get, joined by commas.
    package static let addresses = "\(BerthAPI.group)/addresses"
    /// On a pod or a namespace: the families to take, `IPv4` or `IPv6` or both, joined by commas.
    package static let families = "\(BerthAPI.group)/families"
    /// On a pod: routes to add to the result, as JSON in the form of a pool's `spec.routes`.
    package static let routes = "\(BerthAPI.group)/routes"
    /// On a pod: the purpose whose reserved addresses it may be given, see ``IPReservation``.
    package static let purpose = "\(BerthAPI.group)/purpose"
    /// On a pod: the name of the IPClaim whose addresses it gets.
    package static let claim = "\(BerthAPI.group)/claim"
    /// On a pod or a namespace: `false`: no IPClaim is made for a pod that names none.
    package static let sticky = "\(BerthAPI.group)/sticky"

    /// What a pod or a namespace may say, each also for one interface.
    private static let selecting = [pools, addresses, families, routes, purpose, claim, sticky]

    /// The annotation that a pod or a namespace was to have where this key is almost one; nil for any other.
    package static func meant(by key: String) -> String? {
        let group = "\(BerthAPI.group)/"
        guard key.hasPrefix(group) else { return nil }
        let name = key.dropFirst(group.count).prefix { $0 != "." }
        return Misspelling.meant(by: group + name, among: selecting)
    }

    /// On a pod: the same as ``claim``, for one interface.
    package static func claim(interface: String) -> String { "\(claim).\(interface)" }
}
