package import KubernetesCore

/// The API group that Berth's kinds belong to.
package enum BerthAPI {
    package static let group = "ipam.berth.dev"
    package static let version = "v1alpha1"
    package static let apiVersion = "\(group)/\(version)"

    /// Whether a text can be the name of an IPPool: a DNS-1123 subdomain that fits a label.
    package static func isValidPoolName(_ text: String) -> Bool {
        text.utf8.count <= LabelValue.maximumLength && isSubdomain(text)
    }

    /// Whether a text is a DNS-1123 subdomain, as the names of most objects must be (253 bytes at most).
    package static func isSubdomain(_ text: String) -> Bool {
        let labels = text.split(separator: ".", omittingEmptySubsequences: false)
        return text.utf8.count <= 253
            && labels.allSatisfy { label in
                !label.isEmpty && label.first != "-" && label.last != "-"
                    && label.utf8.allSatisfy { byte in
                        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                            || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || byte == UInt8(ascii: "-")
                    }
            }
    }
}

extension ResourceType {
    package static let ipPools = ResourceType(
        group: BerthAPI.group, version: BerthAPI.version, plural: "ippools", kind: "IPPool", isNamespaced: false)
    package static let ipAllocations = ResourceType(
        group: BerthAPI.group, version: BerthAPI.version, plural: "ipallocations", kind: "IPAllocation",
        isNamespaced: false)
    package static let ipReservations = ResourceType(
        group: BerthAPI.group, version: BerthAPI.version, plural: "ipreservations", kind: "IPReservation",
        isNamespaced: false)
    package static let ipBlocks = ResourceType(
        group: BerthAPI.group, version: BerthAPI.version, plural: "ipblocks", kind: "IPBlock", isNamespaced: false)
    package static let ipClaims = ResourceType(
        group: BerthAPI.group, version: BerthAPI.version, plural: "ipclaims", kind: "IPClaim", isNamespaced: true)
}

/// The labels that Berth sets. They repeat what the spec says, so that a LIST can select by it; the spec decides.
package enum LabelKey {
    /// On an allocation or a block: the pool, through ``LabelValue/fitting(_:)``.
    package static let pool = "\(BerthAPI.group)/pool"
    /// On an allocation or a block: the node, through ``LabelValue/fitting(_:)``.
    package static let node = "\(BerthAPI.group)/node"
    /// On a block that a node claimed, and nobody assigned: `true`.
    package static let claimed = "\(BerthAPI.group)/claimed"
    /// On an allocation while an attachment holds it: ``Attachment/digest``.
    package static let attachment = "\(BerthAPI.group)/attachment"
    /// On an allocation: ``AllocationState``.
    package static let state = "\(BerthAPI.group)/state"
    /// On an allocation of a named network: its name.
    package static let network = "\(BerthAPI.group)/network"
    /// On an allocation that is kept for an IPClaim: the claim's UID.
    package static let claim = "\(BerthAPI.group)/claim"
    /// On an IPClaim that the plugin made: `true`.
    package static let automatic = "\(BerthAPI.group)/automatic"
    /// On a pool that was made from a range in a network configuration: `true`.
    package static let inline = "\(BerthAPI.group)/inline"
}
