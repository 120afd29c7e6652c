package import IPAddressing
package import JSONText
import KubernetesCore

/// What decides about addresses of a Pod's metadata.
package struct PodMark: Hashable, Sendable {
    /// Of a mirror pod: the kubelet's own UID of the static pod that it stands for.
    package let configHash: String?

    package init(_ json: JSON) {
        configHash = json["metadata"]?["annotations"]?["kubernetes.io/config.hash"]?.string
    }
}

extension PodFact {
    /// A Pod as it was read, whole.
    package init(_ json: JSON) throws(JSONDecodingError) {
        let metadata = try ObjectMetadata(try JSONFields(json))
        let configHash = PodMark(json).configHash
        let phase = json["status"]?["phase"]?.string
        self =
            phase == "Succeeded" || phase == "Failed"
            ? .finished(uid: metadata.uid, configHash: configHash)
            : .present(uid: metadata.uid, configHash: configHash)
    }
}

/// What decides about addresses of a Node.
package struct NodeMark: Hashable, Sendable {
    /// Empty where the kubelet has not said it.
    package let machineID: String
    package let isReady: Bool
    package let isOutOfService: Bool
    /// What pools may select by.
    package let labels: [String: String]
    package let addresses: [IPAddress]

    package init(_ json: JSON) {
        let fields = (try? JSONFields(json)).flatMap { try? $0.fields("metadata") }
        labels = fields.flatMap { try? $0.stringMap("labels") } ?? [:]
        addresses = (json["status"]?["addresses"]?.array ?? []).compactMap {
            $0["address"]?.string.flatMap { IPAddress($0) }
        }
        machineID = json["status"]?["nodeInfo"]?["machineID"]?.string ?? ""
        isReady =
            json["status"]?["conditions"]?.array?.contains {
                $0["type"]?.string == "Ready" && $0["status"]?.string == "True"
            } ?? false
        isOutOfService =
            json["spec"]?["taints"]?.array?.contains { $0["key"]?.string == "node.kubernetes.io/out-of-service" }
            ?? false
    }
}

extension NodeFact {
    package init(_ mark: NodeMark, uid: String) {
        self = .present(
            uid: uid, machineID: mark.machineID, isReady: mark.isReady, isOutOfService: mark.isOutOfService)
    }
}
