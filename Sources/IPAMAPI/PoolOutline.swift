package import IPAddressing
package import JSONText
import KubernetesCore

/// What tells whether a pool may serve an attachment, without what it takes to give addresses of it.
///
/// Where there are many pools, most are for somebody else. A node remembers the outlines of all and reads whole only
/// those that may serve.
package struct PoolOutline: Hashable, Sendable {
    package let name: String
    package let uid: String
    /// A pool of this UID and generation has this outline: it follows from what the generation counts, and from the
    /// label of inline pools, which they are made with.
    package let generation: Int
    package let family: IPFamily
    /// Made from a range in a network configuration.
    package let isInline: Bool
    /// Takes no new claims.
    package let isClosed: Bool
    package let stickiness: PoolStickiness
    package let selectors: PoolSelectors

    /// Reads a pool, or what ``reduced(_:)`` left of it. A member that makes no sense throws.
    package init(_ json: JSON) throws {
        let fields = try JSONFields(json)
        // Not all of the metadata: an ADD reads hundreds of these.
        let metadata = try fields.requiredFields("metadata")
        let spec = try fields.requiredFields("spec")
        name = try metadata.requiredString("name")
        uid = try metadata.requiredString("uid")
        generation = try metadata.int("generation") ?? 0
        isInline = try metadata.fields("labels")?.string(LabelKey.inline) == "true"
        family = try spec.requiredString("subnet").utf8.contains(UInt8(ascii: ":")) ? .v6 : .v4
        isClosed =
            try metadata.has("deletionTimestamp") || spec.bool("disabled") ?? false || spec.bool("draining") ?? false
        stickiness = try spec.choice("stickiness") ?? .statefulSets
        selectors = try PoolSelectors(try IPPool.Selection(spec))
    }

    private static let metadataMembers = ["name", "uid", "generation", "deletionTimestamp"]
    private static let specMembers = [
        "subnet", "disabled", "draining", "stickiness", "default", "allowPodSelection", "podSelector",
        "namespaceSelector", "nodeSelector", "namespaces", "nodes", "interfaces", "networks", "masters", "nodeSubnets",
    ]

    /// The pool without all that its outline does not depend on: what it is when nothing is said is not said.
    package static func reduced(_ pool: JSON) -> JSON {
        func picked(_ names: [String], of member: String) -> JSON {
            var json: JSON = [:]
            for name in names {
                let value = pool[member]?[name]
                let isSaid =
                    value != false && !(name == "stickiness" && value?.string == PoolStickiness.statefulSets.rawValue)
                if isSaid { json[name] = value }
            }
            return json
        }
        var metadata = picked(metadataMembers, of: "metadata")
        if let mark = pool["metadata"]?["labels"]?[LabelKey.inline] { metadata["labels"] = [LabelKey.inline: mark] }
        return ["metadata": metadata, "spec": picked(specMembers, of: "spec")]
    }
}
