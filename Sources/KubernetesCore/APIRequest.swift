package import JSONText

/// One request to the API server, complete but for the server's address and the credentials.
package struct APIRequest: Equatable, Sendable {
    package enum Method: String, Sendable {
        case get = "GET"
        case post = "POST"
        case put = "PUT"
        case patch = "PATCH"
        case delete = "DELETE"
    }

    package struct QueryItem: Hashable, Sendable {
        package var name: String
        package var value: String

        package init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    package struct Header: Hashable, Sendable {
        package var name: String
        package var value: String

        package init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    package var method: Method
    /// Its segments are percent-encoded.
    package var path: String
    /// Not encoded; `pathAndQuery` does it.
    package var query: [QueryItem]
    /// `Accept`, and `Content-Type` when there is a body.
    package var headers: [Header]
    package var body: [UInt8]?
    package let subject: Subject
    /// The request names the state of the object that it applies to, so that it can succeed only once.
    package let isConditional: Bool

    package init(
        method: Method, path: String, query: [QueryItem] = [], headers: [Header], body: [UInt8]? = nil,
        subject: Subject, isConditional: Bool = false
    ) {
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.subject = subject
        self.isConditional = isConditional
    }

    package var isMutation: Bool { subject.verb.isMutation }

    /// The request target in origin form (RFC 9112, section 3.2.1).
    package var pathAndQuery: String {
        if query.isEmpty { return path }
        let items = query.map {
            PercentEncoding.queryComponent($0.name) + "=" + PercentEncoding.queryComponent($0.value)
        }
        return path + "?" + items.joined(separator: "&")
    }

    /// The request with `?timeout=` below the time that is left, so that the server cannot commit it after the caller
    /// has given up: nine tenths, rounded down. A shorter timeout that it has already stays, and so does a request that
    /// changes nothing.
    package func limited(to remaining: Duration) -> APIRequest {
        guard isMutation else { return self }
        let limit = remaining * 9 / 10
        var request = self
        if let index = query.firstIndex(where: { $0.name == WriteOptions.timeoutParameter }) {
            if let timeout = WriteOptions.timeout(of: query[index]), timeout <= limit { return self }
            request.query.remove(at: index)
        }
        request.query.append(WriteOptions.timeoutItem(limit))
        return request
    }
}

extension APIRequest {
    /// What a request is about, for messages and for telling whose absence a 404 reports.
    package struct Subject: Hashable, Sendable, CustomStringConvertible {
        package enum Verb: String, Sendable {
            case get, list, watch, create, update, patch, delete

            package var isMutation: Bool {
                switch self {
                case .get, .list, .watch: false
                case .create, .update, .patch, .delete: true
                }
            }
        }

        package let verb: Verb
        package let resource: ResourceType
        package let namespace: String?
        /// Nil for a list, a watch, and a create that leaves the name to the server.
        package let name: String?
        package let subresource: String?

        package init(
            verb: Verb, resource: ResourceType, namespace: String? = nil, name: String? = nil,
            subresource: String? = nil
        ) {
            self.verb = verb
            self.resource = resource
            self.namespace = namespace
            self.name = name
            self.subresource = subresource
        }

        /// For example `create ipallocations.ipam.berth.dev "10.0.0.1"` or `get pods "default/web-0"`.
        package var description: String {
            var text = "\(verb.rawValue) \(resource.groupResource)"
            if let subresource { text += "/\(subresource)" }
            switch (namespace, name) {
            case (let namespace?, let name?): text += " \"\(namespace)/\(name)\""
            case (nil, let name?): text += " \"\(name)\""
            case (let namespace?, nil): text += " in namespace \"\(namespace)\""
            case (nil, nil): break
            }
            return text
        }
    }
}

extension APIRequest {
    package static func get(
        _ type: ResourceType, namespace: String? = nil, name: String, metadataOnly: Bool = false
    ) -> APIRequest {
        APIRequest(
            method: .get,
            path: type.path(namespace: namespace, name: name),
            headers: [metadataOnly ? .acceptMetadata : .acceptJSON],
            subject: Subject(verb: .get, resource: type, namespace: namespace, name: name))
    }

    /// Without a namespace, the objects of all namespaces.
    package static func list(
        _ type: ResourceType, namespace: String? = nil, options: ListOptions = ListOptions()
    ) -> APIRequest {
        APIRequest(
            method: .get,
            path: type.path(namespace: namespace, name: nil),
            query: options.queryItems,
            headers: [.accept(options.form)],
            subject: Subject(verb: .list, resource: type, namespace: namespace))
    }

    /// `name` is the name that the object carries; nil when the server is to generate one. With a subresource it
    /// names the object that owns it, for example the service account of a token request.
    package static func create(
        _ type: ResourceType, namespace: String? = nil, name: String?, object: JSON, subresource: String? = nil,
        options: WriteOptions = WriteOptions()
    ) -> APIRequest {
        sending(
            object, as: .post,
            to: type.path(namespace: namespace, name: subresource == nil ? nil : name, subresource: subresource),
            options,
            Subject(verb: .create, resource: type, namespace: namespace, name: name, subresource: subresource))
    }

    /// Conditional when the object carries `metadata.resourceVersion`: the server answers 409 when that is stale.
    package static func update(
        _ type: ResourceType, namespace: String? = nil, name: String, object: JSON, subresource: String? = nil,
        options: WriteOptions = WriteOptions()
    ) -> APIRequest {
        sending(
            object, as: .put, to: type.path(namespace: namespace, name: name, subresource: subresource), options,
            Subject(verb: .update, resource: type, namespace: namespace, name: name, subresource: subresource),
            isConditional: object.namesResourceVersion)
    }

    /// A request that carries a whole object.
    private static func sending(
        _ object: JSON, as method: Method, to path: String, _ options: WriteOptions, _ subject: Subject,
        isConditional: Bool = false
    ) -> APIRequest {
        APIRequest(
            method: method, path: path, query: options.queryItems,
            headers: [.acceptJSON, .contentType("application/json")], body: object.serialized(), subject: subject,
            isConditional: isConditional)
    }

    package static func patch(
        _ type: ResourceType, namespace: String? = nil, name: String, patch: Patch, subresource: String? = nil,
        options: WriteOptions = WriteOptions()
    ) -> APIRequest {
        APIRequest(
            method: .patch,
            path: type.path(namespace: namespace, name: name, subresource: subresource),
            query: patch.queryItems + options.queryItems,
            headers: [.acceptJSON, .contentType(patch.contentType)],
            body: patch.serialized(),
            subject: Subject(
                verb: .patch, resource: type, namespace: namespace, name: name, subresource: subresource),
            isConditional: patch.isConditional)
    }

    package static func delete(
        _ type: ResourceType, namespace: String? = nil, name: String, preconditions: Preconditions?,
        options: WriteOptions = WriteOptions()
    ) -> APIRequest {
        // With a body the server reads DeleteOptions from it alone, and only `timeout` from the query.
        var body: JSON = ["kind": "DeleteOptions", "apiVersion": "v1"]
        if let preconditions { body["preconditions"] = preconditions.json }
        if options.dryRun { body["dryRun"] = ["All"] }
        return APIRequest(
            method: .delete,
            path: type.path(namespace: namespace, name: name),
            query: WriteOptions(timeout: options.timeout).queryItems,
            headers: [.acceptJSON, .contentType("application/json")],
            body: body.serialized(),
            subject: Subject(verb: .delete, resource: type, namespace: namespace, name: name),
            isConditional: preconditions?.uid != nil || preconditions?.resourceVersion != nil)
    }
}

extension APIRequest.Header {
    static let acceptJSON = APIRequest.Header("Accept", "application/json")
    // A server that cannot cut objects down to their metadata takes the second choice.
    static let acceptMetadata = APIRequest.Header(
        "Accept", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json")

    static func accept(_ form: ListOptions.Form) -> APIRequest.Header {
        switch form {
        case .whole: acceptJSON
        case .metadata:
            APIRequest.Header(
                "Accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json")
        case .table: APIRequest.Header("Accept", "application/json;as=Table;g=meta.k8s.io;v=v1,application/json")
        }
    }

    static func contentType(_ type: String) -> APIRequest.Header { APIRequest.Header("Content-Type", type) }
}

extension JSON {
    /// An object with a `metadata.resourceVersion`, which the server compares before it writes.
    var namesResourceVersion: Bool { self["metadata"]?["resourceVersion"]?.string.map { !$0.isEmpty } ?? false }
}
