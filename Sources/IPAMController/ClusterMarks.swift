import IPAMEngine
package import JSONText
import KubernetesCore

/// What the controller keeps of a Pod's metadata.
package struct PodMark: Hashable, Sendable {
    /// Of a mirror pod: the kubelet's own UID of the static pod that it stands for.
    package let configHash: String?

    package init(_ json: JSON) {
        configHash = json["metadata"]?["annotations"]?["kubernetes.io/config.hash"]?.string
    }
}

extension PodFact {
    /// A Pod as it was read, whole.
    init(_ json: JSON) throws(JSONDecodingError) {
        let metadata = try ObjectMetadata(try JSONFields(json))
        let configHash = PodMark(json).configHash
        let phase = json["status"]?["phase"]?.string
        self =
            phase == "Succeeded" || phase == "Failed"
            ? .finished(uid: metadata.uid, configHash: configHash)
            : .present(uid: metadata.uid, configHash: configHash)
    }
}

/// What the controller keeps of a Node.
package struct NodeMark: Hashable, Sendable {
    /// Empty where the kubelet has not said it.
    package let machineID: String
    package let isReady: Bool
    package let isOutOfService: Bool

    package init(_ json: JSON) {
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
    init(_ mark: NodeMark, uid: String) {
        self = .present(
            uid: uid, machineID: mark.machineID, isReady: mark.isReady, isOutOfService: mark.isOutOfService)
    }
}

/// What the controller keeps of the Lease by which a node agent says that it is there. Its name is the Node's.
package struct AgentMark: Hashable, Sendable {
    /// How long each renewal counts.
    package let duration: Duration
    /// Of the machine that the agent runs on; empty where it does not say.
    package let machineID: String

    /// On the Leases of node agents, and on nothing else.
    package static let selector = "app.kubernetes.io/name=berth,app.kubernetes.io/component=node-agent"
    static let machineIDAnnotation = "ipam.berth.dev/machine-id"
    private static let defaultSeconds = 40

    package init(_ json: JSON) {
        duration = .seconds(max(json["spec"]?["leaseDurationSeconds"]?.int ?? Self.defaultSeconds, 1))
        machineID = json["metadata"]?["annotations"]?[Self.machineIDAnnotation]?.string ?? ""
    }
}
