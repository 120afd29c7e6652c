/// The annotations that Berth sets or obeys.
package enum AnnotationKey {
    /// On an allocation: the controller found that the pod is gone, and asks the node's agent to free the address once
    /// the sandbox is dead. The value is the reason, one word in CamelCase.
    package static let reclaim = "\(BerthAPI.group)/reclaim"
    /// On an allocation in the state Fenced: the UID that its Node had then.
    package static let fencedNodeUID = "\(BerthAPI.group)/fenced-node-uid"
    /// On a pool: `true` lets it be deleted while it is in use.
    package static let forceDelete = "\(BerthAPI.group)/force-delete"
    /// On a pod: the purpose whose reserved addresses it may be given, see ``IPReservation``.
    package static let purpose = "\(BerthAPI.group)/purpose"
}
