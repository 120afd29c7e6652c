/// The annotations that Berth sets or obeys.
package enum AnnotationKey {
    /// On an allocation: the controller found that the pod is gone, and asks the node's agent to free the address once
    /// the sandbox is dead. The value is the reason, one word in CamelCase.
    package static let reclaim = "\(BerthAPI.group)/reclaim"
    /// On an allocation in the state Fenced: the UID that its Node had then.
    package static let fencedNodeUID = "\(BerthAPI.group)/fenced-node-uid"
    /// On a pool: `true` lets it be deleted while it is in use.
    package static let forceDelete = "\(BerthAPI.group)/force-delete"
    /// On a pod: the name of the IPClaim whose addresses it gets.
    package static let claim = "\(BerthAPI.group)/claim"
    /// On a pod or a namespace: `false`: no IPClaim is made for a pod that names none.
    package static let sticky = "\(BerthAPI.group)/sticky"

    /// On a pod: the same as ``claim``, for one interface.
    package static func claim(interface: String) -> String { "\(claim).\(interface)" }
}
