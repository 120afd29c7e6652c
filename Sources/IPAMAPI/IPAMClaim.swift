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
    /// The name of the pod that has them; empty for none.
    package let ownerPod: String
    /// How the definition that the server has describes the pod, as far as its status shows.
    package let ownerPodForm: OwnerPodForm?

    /// Releases from 0.5 on have an object there, definitions between them a text.
    package enum OwnerPodForm: Hashable, Sendable, CaseIterable {
        case object, text

        package func json(_ pod: String) -> JSON {
            switch self {
            case .object: ["name": .string(pod)]
            case .text: .string(pod)
            }
        }
    }

    package init(_ json: JSON) throws(JSONDecodingError) {
        let fields = try JSONFields(json)
        metadata = try ObjectMetadata(fields)
        ipRequests = try fields.fields("spec")?.strings("ipRequests") ?? []
        ips = try fields.fields("status")?.strings("ips") ?? []
        let owner = json["status"]?["ownerPod"]
        // It is for people: what is neither is no reason to refuse the rest.
        ownerPod = owner?.string ?? owner?["name"]?.string ?? ""
        ownerPodForm = owner.flatMap { $0.string != nil ? .text : $0["name"] != nil ? .object : nil }
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
