package import IPAMAPI
package import IPAddressing
package import JSONText
package import KubernetesCore

/// A reference of a pod to an IPAMClaim of the Kubernetes network plumbing working group, for one interface.
///
/// Multus names the interface of an element by its member `interface`, and otherwise by its place in the list: `net1` is
/// that of the first element. The other form of the annotation, names joined by commas, has no references.
package struct IPAMClaimReference: Hashable, Sendable {
    package static let annotation = "k8s.v1.cni.cncf.io/networks"
    private static let member = "ipam-claim-reference"

    package var name: String
    /// Which element of which pod says so, for messages.
    package var place: String

    /// Nil where the pod has none for the interface.
    ///
    /// - Throws: For a list with references that cannot be understood: none of them may be passed over.
    package init?(
        _ metadata: ObjectMetadata, of pod: PodReference, interface: String
    ) throws(ClaimDemandProblem) {
        guard let text = metadata.annotations[Self.annotation], text.contains(Self.member) else { return nil }
        let subject = "annotation \(Self.annotation) of pod \"\(pod.namespace)/\(pod.name)\""
        guard let elements = (try? JSON(parsing: Array(text.utf8)))?.array else {
            throw ClaimDemandProblem(description: "\(subject): not a list in JSON, and it names an IPAMClaim")
        }
        for (index, element) in elements.enumerated() {
            let asked = element["interface"]?.string ?? ""
            guard (asked.isEmpty ? "net\(index + 1)" : asked) == interface, let value = element[Self.member] else {
                continue
            }
            let place = "element \(index + 1) (\"\(element["name"]?.string ?? "")\") of \(subject)"
            guard let name = value.string, BerthAPI.isSubdomain(name) else {
                throw ClaimDemandProblem(
                    description: "\(place): \(Self.member) \(value) cannot be the name of an IPAMClaim")
            }
            self.name = name
            self.place = place
            return
        }
        return nil
    }
}

/// The claim of the interface that refers to an IPAMClaim, before that is read.
package struct IPAMClaimDemand: Hashable, Sendable {
    package let namespace: String
    package let reference: IPAMClaimReference
    package let networkName: String

    package var claimName: String { AutomaticClaim.name(ipamClaim: reference.name, networkName: networkName) }

    package func claim(_ found: IPAMClaim) -> AutomaticClaim {
        AutomaticClaim(found, namespace: namespace, networkName: networkName)
    }
}

/// Why a reference to an IPAMClaim cannot be followed: a sentence that names the pod, the element and the object.
package enum IPAMClaimProblem: Error, Hashable, Sendable {
    /// The object may come yet.
    case wait(String)
    /// What it says cannot be understood.
    case refuse(String)
}

extension IPAMClaimDemand {
    /// Where the kind is not served.
    package var unserved: IPAMClaimProblem {
        .wait("\(subject), and the API server does not serve \(ResourceType.ipamClaims.groupResource)")
    }

    private var subject: String { "\(reference.place) refers to IPAMClaim \"\(namespace)/\(reference.name)\"" }

    /// The claim that stands for the IPAMClaim, and the addresses that the interface must get.
    ///
    /// - Parameter found: As the API server has it; nil: proven absent.
    package func resolve(_ found: JSON?) throws(IPAMClaimProblem) -> (claim: AutomaticClaim, wishes: [IPAddress]) {
        guard let found else { throw .wait("\(subject), which does not exist") }
        let object: IPAMClaim
        do throws(JSONDecodingError) {
            object = try IPAMClaim(found)
        } catch {
            throw .refuse("\(subject), which cannot be understood: \(error)")
        }
        guard !object.metadata.isBeingDeleted else { throw .wait("\(subject), which is being deleted") }
        var wishes: [IPAddress] = []
        for text in object.wishes {
            guard let address = IPAddress(IPAMClaim.address(text)) else {
                throw .refuse("\(subject), whose \(text.debugDescription) is no address")
            }
            wishes.append(address)
        }
        return (claim(object), wishes)
    }
}
