import IPAMAPI
import KubernetesCore
import Testing

@testable import IPAMEngine

@Suite struct PodIdentityTests {
    private static let hash = "0123456789abcdef0123456789abcdef"
    private static let otherHash = "fedcba9876543210fedcba9876543210"
    private static let uid = "6f3c2a50-1d1c-4f0e-9d5e-2b1f3a4c5d6e"
    private static let otherUID = "11111111-2222-3333-4444-555555555555"

    /// What the API server has under the pod's name.
    enum Found: Sendable, CustomTestStringConvertible {
        case nothing
        case pod(String)
        /// The annotation `config.hash` may be missing.
        case mirror(String, hash: String?)
        /// A pod that carries the hash without being a mirror.
        case annotated(String, hash: String)

        var metadata: ObjectMetadata? {
            switch self {
            case .nothing: nil
            case .pod(let uid): ObjectMetadata(name: "web-0", namespace: "shop", uid: uid)
            case .mirror(let uid, let hash):
                ObjectMetadata(
                    name: "web-0", namespace: "shop", uid: uid,
                    annotations: ["kubernetes.io/config.mirror": hash ?? "x"].merging(
                        hash.map { ["kubernetes.io/config.hash": $0] } ?? [:]
                    ) { $1 })
            case .annotated(let uid, let hash):
                ObjectMetadata(
                    name: "web-0", namespace: "shop", uid: uid, annotations: ["kubernetes.io/config.hash": hash])
            }
        }

        var testDescription: String {
            switch self {
            case .nothing: "nothing"
            case .pod(let uid): "pod \(uid)"
            case .mirror(let uid, let hash): "mirror \(uid) of \(hash ?? "nothing")"
            case .annotated(let uid, let hash): "pod \(uid) annotated \(hash)"
            }
        }
    }

    private static func reference(_ uid: String) -> PodReference {
        PodReference(namespace: "shop", name: "web-0", uid: uid)
    }

    private static let cases: [(uid: String?, found: Found, identity: PodIdentity)] = [
        // A pod like any other.
        (uid, .pod(uid), .pod(reference(uid))),
        (uid, .pod(otherUID), .replaced(uid: otherUID)),
        (uid, .nothing, .gone),
        (uid, .annotated(uid, hash: hash), .pod(reference(uid))),
        // The runtime does not say the UID: the API server's counts.
        (nil, .pod(uid), .pod(reference(uid))),
        (nil, .nothing, .gone),
        (nil, .annotated(uid, hash: hash), .pod(reference(uid))),
        // A static pod: the runtime says the kubelet's own UID.
        (hash, .mirror(uid, hash: hash), .staticPod(reference(hash))),
        (hash, .nothing, .staticPod(reference(hash))),
        // Its manifest was changed, and the mirror is the former's or the next one's.
        (hash, .mirror(uid, hash: otherHash), .replaced(uid: otherHash)),
        // Its name is another pod's by now.
        (hash, .pod(uid), .replaced(uid: uid)),
        (hash, .annotated(uid, hash: hash), .replaced(uid: uid)),
        // A runtime that says the mirror's UID, or none.
        (uid, .mirror(uid, hash: hash), .staticPod(reference(uid))),
        (nil, .mirror(uid, hash: hash), .staticPod(reference(hash))),
        (otherUID, .mirror(uid, hash: hash), .replaced(uid: hash)),
        // A mirror that lacks the annotation is known by its own UID alone.
        (uid, .mirror(uid, hash: nil), .staticPod(reference(uid))),
        (nil, .mirror(uid, hash: nil), .staticPod(reference(uid))),
        (hash, .mirror(uid, hash: nil), .replaced(uid: uid)),
        // What merely resembles a hash is no static pod.
        (String(hash.dropLast()), .nothing, .gone),
        (hash + "0", .nothing, .gone),
        (hash.uppercased(), .nothing, .gone),
        ("g" + hash.dropFirst(), .nothing, .gone),
        ("é" + hash.dropFirst(2), .nothing, .gone),
        ("", .nothing, .gone),
    ]

    @Test(arguments: cases)
    func `the pod of a sandbox is told from what the runtime says and the API server has`(
        uid: String?, found: Found, identity: PodIdentity
    ) {
        let arguments = PodArguments(namespace: "shop", name: "web-0", uid: uid)
        #expect(PodIdentity(arguments: arguments, found: found.metadata) == identity)
    }
}
