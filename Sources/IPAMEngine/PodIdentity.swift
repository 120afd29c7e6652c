package import IPAMAPI
package import KubernetesCore

/// What the container runtime says about the pod of a sandbox.
package struct PodArguments: Hashable, Sendable {
    package var namespace: String
    package var name: String
    /// nil where the runtime does not say (CNI_ARGS without K8S_POD_UID).
    package var uid: String?

    package init(namespace: String, name: String, uid: String?) {
        self.namespace = namespace
        self.name = name
        self.uid = uid
    }
}

/// Whose sandbox an ADD is for.
package enum PodIdentity: Hashable, Sendable {
    /// A pod that the API server knows by this UID.
    case pod(PodReference)
    /// A static pod: the UID is the kubelet's own, and the mirror in the API has another one or is missing.
    case staticPod(PodReference)
    /// The API server has no such pod any more.
    case gone
    /// The API server has another pod of that name.
    case replaced(uid: String)

    /// The kubelet puts the UID of a static pod into this annotation of the mirror pod.
    static let configHashAnnotation = "kubernetes.io/config.hash"

    /// Decides from what the runtime said and the pod's metadata as the API server has it (nil: proven absent).
    ///
    /// The kubelet names a static pod by a hash of 32 hexadecimal digits, which no UID of the API server is, so a
    /// static pod is known even while its mirror is missing.
    package init(arguments: PodArguments, found metadata: ObjectMetadata?) {
        guard let metadata else {
            if let uid = arguments.uid, Self.looksLikeConfigHash(uid) {
                self = .staticPod(
                    PodReference(namespace: arguments.namespace, name: arguments.name, uid: uid))
            } else {
                self = .gone
            }
            return
        }
        let hash = metadata.annotations[Self.configHashAnnotation]
        let isMirror = metadata.annotations["kubernetes.io/config.mirror"] != nil
        let uid = arguments.uid ?? (isMirror ? hash : nil) ?? metadata.uid
        let reference = PodReference(namespace: arguments.namespace, name: arguments.name, uid: uid)
        if isMirror {
            // A mirror that carries another hash belongs to a changed manifest; its pod is not ours.
            self = uid == hash || uid == metadata.uid ? .staticPod(reference) : .replaced(uid: hash ?? metadata.uid)
        } else {
            self = uid == metadata.uid ? .pod(reference) : .replaced(uid: metadata.uid)
        }
    }

    private static func looksLikeConfigHash(_ uid: String) -> Bool {
        uid.utf8.count == 32
            && uid.utf8.allSatisfy { byte in
                (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                    || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
            }
    }
}
