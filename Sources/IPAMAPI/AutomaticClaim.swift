package import JSONText
package import KubernetesCore

/// The IPClaim that the plugin makes for a pod that keeps its addresses without asking for it.
package struct AutomaticClaim: Hashable, Sendable {
    package let namespace: String
    package let name: String
    package let spec: IPClaim.Spec
    /// The StatefulSet or virtual machine that the claim goes with; nil where the pod has none.
    package let owner: OwnerReference?
    /// The pod asks for it, so that it is made whatever its namespace says.
    package let isAskedFor: Bool

    /// How long the addresses of a pod without a StatefulSet are kept: nothing else would ever end the claim.
    package static let secondsWithoutOwner = 86_400

    private static let maximumPodLength = 200
    private static let hashLength = 10

    package init(pod: PodReference, interface: String, networkName: String, owner: OwnerReference?) {
        namespace = pod.namespace
        name = Self.name(pod: pod.name, interface: interface, networkName: networkName)
        spec = IPClaim.Spec(
            retention: owner == nil
                ? IPClaim.Retention(.period, seconds: Self.secondsWithoutOwner)
                : IPClaim.Retention(.untilOwnerDeleted),
            interface: interface, networkName: networkName, pod: pod.name)
        self.owner = owner
        isAskedFor = false
    }

    /// The claim of a virtual machine, whichever pod its guest runs in.
    ///
    /// - Parameter machine: Its VirtualMachine, or the VirtualMachineInstance where it has none.
    package init(machine: OwnerReference, namespace: String, interface: String, networkName: String) {
        self.namespace = namespace
        name = Self.name(machine: machine.name, interface: interface, networkName: networkName)
        spec = IPClaim.Spec(
            retention: IPClaim.Retention(.untilOwnerDeleted), interface: interface, networkName: networkName)
        owner = machine
        isAskedFor = false
    }

    /// The claim that stands for an IPAMClaim in a network, whichever pods and interfaces refer to it.
    package init(_ ipamClaim: IPAMClaim, namespace: String, networkName: String) {
        self.namespace = namespace
        name = Self.name(ipamClaim: ipamClaim.metadata.name, networkName: networkName)
        spec = IPClaim.Spec(retention: IPClaim.Retention(.untilOwnerDeleted), networkName: networkName)
        owner = ipamClaim.reference
        isAskedFor = true
    }

    /// `vm1.blue.1f2e3d4c5b`
    package static func name(ipamClaim: String, networkName: String) -> String {
        name(ipamClaim, interface: "", hashing: ["IPAMClaim", ipamClaim, networkName])
    }

    /// As that of a pod, and never the same as one: `vm1.net1-1f2e3d4c5b`.
    package static func name(machine: String, interface: String, networkName: String) -> String {
        name(machine, interface: interface, hashing: ["virtual machine", machine, interface, networkName])
    }

    /// Whether a pod of this name may be one of a StatefulSet, which ends them in `-` and an ordinal. Others end so too.
    package static func isLikely(pod: String) -> Bool {
        let ordinal = pod.utf8.reversed().prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        return !ordinal.isEmpty && pod.utf8.dropLast(ordinal.count).last == UInt8(ascii: "-")
    }

    /// `web-0.eth0-1f2e3d4c5b`: the pod and the interface as far as an object's name can show them, and a hash of both and
    /// of the network, by which two such names never meet.
    package static func name(pod: String, interface: String, networkName: String) -> String {
        name(pod, interface: interface, hashing: [pod, interface, networkName])
    }

    private static func name(_ subject: String, interface: String, hashing texts: [String]) -> String {
        var start = Substring(subject).prefix(maximumPodLength)
        while let last = start.last, last == "." || last == "-" { start.removeLast() }
        let readable = interface.utf8.map { byte -> UInt8 in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): byte
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): byte | 0x20
            default: UInt8(ascii: "-")
            }
        }
        let label = readable.drop { $0 == UInt8(ascii: "-") }
        let hash = SHA256.hex(of: texts, digits: hashLength)
        return "\(start).\(label.isEmpty ? "" : "\(String(decoding: label, as: UTF8.self))-")\(hash)"
    }

    /// Of a claim that goes with its owner, whose deletion never waits for it.
    package static func ownerReferences(_ owner: OwnerReference) -> JSON {
        [
            [
                "apiVersion": .string(owner.apiVersion), "kind": .string(owner.kind), "name": .string(owner.name),
                "uid": .string(owner.uid), "blockOwnerDeletion": false,
            ]
        ]
    }

    /// The object to create.
    package func newObject() -> JSON {
        var metadata: JSON = [
            "name": .string(name), "namespace": .string(namespace), "labels": [LabelKey.automatic: "true"],
        ]
        if let owner { metadata["ownerReferences"] = Self.ownerReferences(owner) }
        return [
            "apiVersion": .string(BerthAPI.apiVersion), "kind": "IPClaim", "metadata": metadata, "spec": spec.json,
        ]
    }
}
