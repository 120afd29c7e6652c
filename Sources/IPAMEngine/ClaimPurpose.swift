package import IPAMAPI
import KubernetesCore

/// What a pod is to get reserved addresses for, where its IPClaim says it.
package enum ClaimPurpose: Hashable, Sendable {
    /// The claim says nothing, or the same as the pod.
    case asPod
    /// The pools must be looked at for this purpose.
    case instead(String)
    /// Both say something else: a sentence.
    case conflict(String)

    /// - Parameter named: What the pod's annotation says.
    package init(_ claim: IPClaim, named: String?) {
        let purpose = claim.spec.purpose
        if purpose.isEmpty || purpose == named {
            self = .asPod
        } else if let named {
            self = .conflict(
                "\(claim.subject) is for the purpose \"\(purpose)\" (spec.purpose), and"
                    + " annotation \(AnnotationKey.purpose) of the pod names \"\(named)\"")
        } else {
            self = .instead(purpose)
        }
    }
}
