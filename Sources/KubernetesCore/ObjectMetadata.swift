package import JSONText

/// The `metadata` that every object of the API has.
package struct ObjectMetadata: Hashable, Sendable {
    package var name: String
    package var namespace: String?
    /// Empty only in an object that no server has stored.
    package var uid: String
    /// Opaque: it may only be compared for equality. Empty only in an object that no server has stored.
    package var resourceVersion: String
    /// 0 for kinds without one.
    package var generation: Int
    package var labels: [String: String]
    package var annotations: [String: String]
    package var finalizers: [String]
    /// RFC 3339, by the server's clock.
    package var deletionTimestamp: String?
    package var creationTimestamp: String?
    package var ownerReferences: [OwnerReference]

    package init(
        name: String, namespace: String? = nil, uid: String = "", resourceVersion: String = "", generation: Int = 0,
        labels: [String: String] = [:], annotations: [String: String] = [:], finalizers: [String] = [],
        deletionTimestamp: String? = nil, creationTimestamp: String? = nil, ownerReferences: [OwnerReference] = []
    ) {
        self.name = name
        self.namespace = namespace
        self.uid = uid
        self.resourceVersion = resourceVersion
        self.generation = generation
        self.labels = labels
        self.annotations = annotations
        self.finalizers = finalizers
        self.deletionTimestamp = deletionTimestamp
        self.creationTimestamp = creationTimestamp
        self.ownerReferences = ownerReferences
    }

    /// Reads the member `metadata` of an object.
    package init(_ object: JSONFields) throws(JSONDecodingError) {
        let fields = try object.requiredFields("metadata")
        name = try fields.requiredString("name")
        namespace = try fields.string("namespace")
        uid = try fields.string("uid") ?? ""
        resourceVersion = try fields.string("resourceVersion") ?? ""
        generation = try fields.int("generation") ?? 0
        labels = try fields.stringMap("labels") ?? [:]
        annotations = try fields.stringMap("annotations") ?? [:]
        finalizers = try fields.strings("finalizers") ?? []
        deletionTimestamp = try fields.string("deletionTimestamp")
        creationTimestamp = try fields.string("creationTimestamp")
        ownerReferences = []
        for reference in try fields.list("ownerReferences") ?? [] {
            ownerReferences.append(try OwnerReference(reference))
        }
    }

    /// It stays until its finalizers are gone, and nothing can bring it back.
    package var isBeingDeleted: Bool { deletionTimestamp != nil }
}

package struct OwnerReference: Hashable, Sendable {
    package var apiVersion: String
    package var kind: String
    package var name: String
    package var uid: String
    package var isController: Bool

    package init(apiVersion: String, kind: String, name: String, uid: String, isController: Bool = false) {
        self.apiVersion = apiVersion
        self.kind = kind
        self.name = name
        self.uid = uid
        self.isController = isController
    }

    init(_ fields: JSONFields) throws(JSONDecodingError) {
        apiVersion = try fields.requiredString("apiVersion")
        kind = try fields.requiredString("kind")
        name = try fields.requiredString("name")
        uid = try fields.requiredString("uid")
        isController = try fields.bool("controller") ?? false
    }
}

/// One answer to a list.
package struct ObjectList: Sendable {
    /// Items of built-in types carry neither `kind` nor `apiVersion`.
    package let items: [JSON]
    package let resourceVersion: String
    /// Nil on the last page.
    package let continueToken: String?

    package init(items: [JSON], resourceVersion: String, continueToken: String? = nil) {
        self.items = items
        self.resourceVersion = resourceVersion
        self.continueToken = continueToken
    }

    package init(_ json: JSON) throws(JSONDecodingError) {
        let fields = try JSONFields(json)
        let metadata = try fields.fields("metadata")
        items = try fields.array("items") ?? []
        resourceVersion = try metadata?.string("resourceVersion") ?? ""
        let token = try metadata?.string("continue") ?? ""
        continueToken = token.isEmpty ? nil : token
    }
}
