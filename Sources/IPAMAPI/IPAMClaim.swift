import IPAddressing
package import JSONText
package import KubernetesCore

/// What Berth knows of an IPAMClaim (`k8s.cni.cncf.io/v1alpha1`) of the Kubernetes network plumbing working group: who
/// makes a workload's network makes one for each interface whose addresses are to stay, and pods refer to it.
package struct IPAMClaim: Hashable, Sendable {
    package static let group = "k8s.cni.cncf.io"

    package let metadata: ObjectMetadata
    /// Addresses that its user wishes, with a prefix length or without: of no weight where ``ips`` says more.
    package let ipRequests: [String]
    /// What was given to it: an address of each family, with the prefix length of its subnet.
    package let ips: [String]
    package let ownerPod: String

    package init(_ json: JSON) throws(JSONDecodingError) {
        let fields = try JSONFields(json)
        metadata = try ObjectMetadata(fields)
        ipRequests = try fields.fields("spec")?.strings("ipRequests") ?? []
        ips = try fields.fields("status")?.strings("ips") ?? []
        ownerPod = try fields.fields("status")?.string("ownerPod") ?? ""
    }

    /// The addresses that it must get.
    package var wishes: [String] { ips.isEmpty ? ipRequests : ips }

    /// The owner of what is made for it.
    package var reference: OwnerReference {
        OwnerReference(
            apiVersion: "\(Self.group)/v1alpha1", kind: "IPAMClaim", name: metadata.name, uid: metadata.uid)
    }

    /// The address of one of ``wishes``; nil for what is none.
    package static func address(_ text: String) -> String { String(text.prefix { $0 != "/" }) }
}

extension ResourceType {
    package static let ipamClaims = ResourceType(
        group: IPAMClaim.group, version: "v1alpha1", plural: "ipamclaims", kind: "IPAMClaim", isNamespaced: true)
}

extension OwnerReference {
    package var isIPAMClaim: Bool {
        kind == "IPAMClaim" && apiVersion.split(separator: "/").first.map(String.init) == IPAMClaim.group
    }
}
