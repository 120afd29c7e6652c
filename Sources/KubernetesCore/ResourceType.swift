/// A kind of object that the API server serves, and where it serves it.
package struct ResourceType: Hashable, Sendable {
    /// Empty for the core group.
    package let group: String
    package let version: String
    /// The name in paths and in RBAC rules, for example `pods`.
    package let plural: String
    package let kind: String
    package let isNamespaced: Bool

    package init(group: String, version: String, plural: String, kind: String, isNamespaced: Bool) {
        self.group = group
        self.version = version
        self.plural = plural
        self.kind = kind
        self.isNamespaced = isNamespaced
    }

    /// What an object of the type carries, for example `v1` or `apps/v1`.
    package var apiVersion: String { group.isEmpty ? version : "\(group)/\(version)" }

    /// What messages call the type, for example `pods` or `leases.coordination.k8s.io`.
    package var groupResource: String { group.isEmpty ? plural : "\(plural).\(group)" }

    /// The path at the API server, its segments percent-encoded. Without a name it is the collection, without a
    /// namespace the collection of all namespaces.
    package func path(namespace: String?, name: String?, subresource: String? = nil) -> String {
        var path = group.isEmpty ? "/api/\(version)" : "/apis/\(group)/\(version)"
        if let namespace { path += "/namespaces/" + PercentEncoding.pathSegment(namespace) }
        path += "/" + plural
        if let name { path += "/" + PercentEncoding.pathSegment(name) }
        if let subresource { path += "/" + subresource }
        return path
    }
}

extension ResourceType {
    package static let pods = ResourceType(core: "pods", kind: "Pod")
    package static let namespaces = ResourceType(core: "namespaces", kind: "Namespace", isNamespaced: false)
    package static let nodes = ResourceType(core: "nodes", kind: "Node", isNamespaced: false)
    package static let serviceAccounts = ResourceType(core: "serviceaccounts", kind: "ServiceAccount")
    package static let events = ResourceType(core: "events", kind: "Event")
    package static let leases = ResourceType(
        group: "coordination.k8s.io", version: "v1", plural: "leases", kind: "Lease", isNamespaced: true)
    package static let statefulSets = ResourceType(
        group: "apps", version: "v1", plural: "statefulsets", kind: "StatefulSet", isNamespaced: true)
    package static let secrets = ResourceType(core: "secrets", kind: "Secret")
    package static let validatingWebhookConfigurations = ResourceType(
        group: "admissionregistration.k8s.io", version: "v1", plural: "validatingwebhookconfigurations",
        kind: "ValidatingWebhookConfiguration", isNamespaced: false)
    package static let customResourceDefinitions = ResourceType(
        group: "apiextensions.k8s.io", version: "v1", plural: "customresourcedefinitions",
        kind: "CustomResourceDefinition", isNamespaced: false)

    private init(core plural: String, kind: String, isNamespaced: Bool = true) {
        self.init(group: "", version: "v1", plural: plural, kind: kind, isNamespaced: isNamespaced)
    }
}

/// Percent-encoding as in RFC 3986, section 2.
package enum PercentEncoding {
    /// Everything but unreserved characters and `:`, which RBAC names contain and a segment may hold (section 3.3).
    package static func pathSegment(_ text: String) -> String { encode(text) { $0 == UInt8(ascii: ":") } }

    /// Everything but unreserved characters.
    package static func queryComponent(_ text: String) -> String { encode(text) { _ in false } }

    private static func encode(_ text: String, keeping isKept: (UInt8) -> Bool) -> String {
        if text.utf8.allSatisfy({ isUnreserved($0) || isKept($0) }) { return text }
        var output: [UInt8] = []
        for byte in text.utf8 {
            if isUnreserved(byte) || isKept(byte) {
                output.append(byte)
            } else {
                output.append(UInt8(ascii: "%"))
                output.append(hexDigits[Int(byte >> 4)])
                output.append(hexDigits[Int(byte & 0xF)])
            }
        }
        return String(decoding: output, as: UTF8.self)
    }

    private static let hexDigits = Array("0123456789ABCDEF".utf8)

    private static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"):
            true
        default: false
        }
    }
}
