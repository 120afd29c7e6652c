package import JSONText
import KubernetesCore

/// What of a StatefulSet says which pods it has.
package struct StatefulSetMark: Hashable, Sendable {
    package var uid: String
    package var replicas: Int
    /// The ordinal of its first pod (`spec.ordinals.start`, Kubernetes 1.27).
    package var firstOrdinal: Int

    package init(uid: String, replicas: Int, firstOrdinal: Int = 0) {
        self.uid = uid
        self.replicas = replicas
        self.firstOrdinal = firstOrdinal
    }

    /// - Throws: For what does not say how many pods there are: the API server always does.
    package init(_ json: JSON) throws(JSONDecodingError) {
        let fields = try JSONFields(json)
        uid = try fields.requiredFields("metadata").requiredString("uid")
        let spec = try fields.requiredFields("spec")
        replicas = try spec.requiredInt("replicas")
        firstOrdinal = try spec.fields("ordinals")?.int("start") ?? 0
    }
}
