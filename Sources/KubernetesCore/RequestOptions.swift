package import JSONText

/// Which objects a list holds, and how it is read.
package struct ListOptions: Hashable, Sendable {
    /// In the server's syntax, for example `app=web,tier!=db`.
    package var labelSelector: String?
    /// For example `spec.nodeName=n1`.
    package var fieldSelector: String?
    /// The most objects in one answer; the rest is fetched with its continue token.
    package var limit: Int?
    package var continueToken: String?
    /// `0` is answered from the server's cache, which is cheap and may lag. Nil is the state of etcd.
    package var resourceVersion: String?
    /// How much of each object.
    package var form: Form

    package enum Form: Hashable, Sendable {
        case whole
        /// Only `metadata`, as a PartialObjectMetadataList.
        case metadata
        /// Only the columns that the kind's definition prints, as a Table (`includeObject=None`): the server reads them from
        /// the object that it has, and writes the fewest bytes. One that cannot do this answers with whole objects.
        case table
    }

    package init(
        labelSelector: String? = nil, fieldSelector: String? = nil, limit: Int? = nil, continueToken: String? = nil,
        resourceVersion: String? = nil, form: Form = .whole
    ) {
        self.labelSelector = labelSelector
        self.fieldSelector = fieldSelector
        self.limit = limit
        self.continueToken = continueToken
        self.resourceVersion = resourceVersion
        self.form = form
    }

    var queryItems: [APIRequest.QueryItem] {
        var items: [APIRequest.QueryItem] = []
        if let labelSelector { items.append(.init("labelSelector", labelSelector)) }
        if let fieldSelector { items.append(.init("fieldSelector", fieldSelector)) }
        if let limit { items.append(.init("limit", String(limit))) }
        if let continueToken { items.append(.init("continue", continueToken)) }
        if let resourceVersion { items.append(.init("resourceVersion", resourceVersion)) }
        if form == .table { items.append(.init("includeObject", "None")) }
        return items
    }
}

package struct WriteOptions: Hashable, Sendable {
    /// The server does everything but store the result.
    package var dryRun: Bool
    /// How long the server may work on the request; after that it gives up and commits nothing. Sent in whole seconds,
    /// rounded down; below one second in milliseconds, at least one.
    package var timeout: Duration?
    package var fieldManager: String?

    package init(dryRun: Bool = false, timeout: Duration? = nil, fieldManager: String? = nil) {
        self.dryRun = dryRun
        self.timeout = timeout
        self.fieldManager = fieldManager
    }

    static let timeoutParameter = "timeout"

    static func timeoutItem(_ timeout: Duration) -> APIRequest.QueryItem {
        let milliseconds = timeout.wholeMilliseconds
        let text = milliseconds >= 1000 ? "\(milliseconds / 1000)s" : "\(max(milliseconds, 1))ms"
        return APIRequest.QueryItem(timeoutParameter, text)
    }

    /// The inverse of `timeoutItem`.
    static func timeout(of item: APIRequest.QueryItem) -> Duration? {
        let digits = item.value.prefix { $0.isNumber }
        guard let value = Int64(digits) else { return nil }
        switch item.value.dropFirst(digits.count) {
        case "s": return .seconds(value)
        case "ms": return .milliseconds(value)
        default: return nil
        }
    }

    var queryItems: [APIRequest.QueryItem] {
        var items: [APIRequest.QueryItem] = []
        if dryRun { items.append(.init("dryRun", "All")) }
        if let fieldManager { items.append(.init("fieldManager", fieldManager)) }
        if let timeout { items.append(Self.timeoutItem(timeout)) }
        return items
    }
}

/// A delete happens only when the object is still this one, and in this state; otherwise the answer is 409.
package struct Preconditions: Hashable, Sendable {
    package var uid: String?
    package var resourceVersion: String?

    package init(uid: String? = nil, resourceVersion: String? = nil) {
        self.uid = uid
        self.resourceVersion = resourceVersion
    }

    var json: JSON {
        var json: JSON = [:]
        if let uid { json["uid"] = .string(uid) }
        if let resourceVersion { json["resourceVersion"] = .string(resourceVersion) }
        return json
    }
}

package enum Patch: Hashable, Sendable {
    /// RFC 7386.
    case merge(JSON)
    /// RFC 6902: a list of operations.
    case json([JSON])
    /// Server-side apply of the fields that `fieldManager` owns; `force` takes them from other managers.
    case apply(JSON, fieldManager: String, force: Bool)

    var contentType: String {
        switch self {
        case .merge: "application/merge-patch+json"
        case .json: "application/json-patch+json"
        case .apply: "application/apply-patch+yaml"  // JSON is YAML
        }
    }

    var queryItems: [APIRequest.QueryItem] {
        switch self {
        case .merge, .json: []
        case .apply(_, let fieldManager, let force):
            [.init("fieldManager", fieldManager)] + (force ? [.init("force", "true")] : [])
        }
    }

    func serialized() -> [UInt8] {
        switch self {
        case .merge(let json), .apply(let json, _, _): json.serialized()
        case .json(let operations): JSON.array(operations).serialized()
        }
    }

    /// It writes `metadata.resourceVersion`, which the server compares.
    var isConditional: Bool {
        switch self {
        case .merge(let json), .apply(let json, _, _): json.namesResourceVersion
        case .json(let operations): operations.contains { $0["path"]?.string == "/metadata/resourceVersion" }
        }
    }

    /// The patch for exactly the object that was read, in the state in which it was read.
    ///
    /// Writing `metadata.resourceVersion` makes the server compare it: 409 when it is stale. Writing `metadata.uid`
    /// is answered 422 when the object is another one. JSON Patch writes the two as well, for a failed `test`
    /// operation has an answer that cannot be told from an invalid patch.
    package func conditional(on metadata: ObjectMetadata) -> Patch {
        let uid = JSON.string(metadata.uid)
        let resourceVersion = JSON.string(metadata.resourceVersion)
        func pinned(_ json: JSON) -> JSON {
            var json = json
            var pin = json["metadata"] ?? [:]
            pin["uid"] = uid
            pin["resourceVersion"] = resourceVersion
            json["metadata"] = pin
            return json
        }
        switch self {
        case .merge(let json): return .merge(pinned(json))
        case .apply(let json, let fieldManager, let force):
            return .apply(pinned(json), fieldManager: fieldManager, force: force)
        case .json(let operations):
            let pins: [JSON] = [
                ["op": "add", "path": "/metadata/uid", "value": uid],
                ["op": "add", "path": "/metadata/resourceVersion", "value": resourceVersion],
            ]
            return .json(operations + pins)
        }
    }
}
