import IPAMAPI
import KubernetesCore

/// An interface of the pod `shop/web-0` as the holder of a claim.
func claimHolder(
    _ pod: String = "web-0", uid: String = "u1", interface: String = "eth0", attachment: String = "a1"
) -> IPClaim.Holder {
    IPClaim.Holder(
        pod: pod, podUID: uid, interface: interface, attachment: attachment, node: "n1", machineID: "m1")
}

/// The claim `shop/vip`.
func ipClaim(
    holder: IPClaim.Holder? = nil, spec: IPClaim.Spec = IPClaim.Spec(), owner: OwnerReference? = nil,
    isBeingDeleted: Bool = false, addresses: [String] = [], isAutomatic: Bool = false
) -> IPClaim {
    IPClaim(
        metadata: ObjectMetadata(
            name: "vip", namespace: "shop", uid: "c1", resourceVersion: "1",
            labels: isAutomatic ? [LabelKey.automatic: "true"] : [:],
            deletionTimestamp: isBeingDeleted ? "2025-11-20T09:07:05Z" : nil,
            ownerReferences: owner.map { [$0] } ?? []), spec: spec,
        status: IPClaim.Status(holder: holder, addresses: addresses))
}
