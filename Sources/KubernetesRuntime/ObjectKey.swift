import JSONText
import KubernetesCore

/// Which object of a kind: what a store finds it by and what a reconciler is given.
package struct ObjectKey: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Nil for kinds without namespaces.
    package let namespace: String?
    package let name: String

    package init(namespace: String? = nil, name: String) {
        self.namespace = namespace
        self.name = name
    }

    package static func < (a: ObjectKey, b: ObjectKey) -> Bool {
        (a.namespace ?? "", a.name) < (b.namespace ?? "", b.name)
    }

    /// `default/web-0`, or the name alone.
    package var description: String { namespace.map { "\($0)/\(name)" } ?? name }
}

/// What tells one state of an object from another.
struct ObjectIdentity: Hashable, Sendable {
    let key: ObjectKey
    let uid: String
    let resourceVersion: String

    init(_ object: JSON) throws(JSONDecodingError) {
        let metadata = try JSONFields(object).requiredFields("metadata")
        key = ObjectKey(namespace: try metadata.string("namespace"), name: try metadata.requiredString("name"))
        uid = try metadata.requiredString("uid")
        resourceVersion = try metadata.requiredString("resourceVersion")
    }
}
