package import JSONText

/// The `request` of an AdmissionReview of admission.k8s.io/v1: a change that the API server asks about.
package struct AdmissionRequest: Hashable, Sendable {
    package enum Operation: String, Sendable {
        case create = "CREATE"
        case update = "UPDATE"
        case delete = "DELETE"
        case connect = "CONNECT"
    }

    package struct Kind: Hashable, Sendable {
        package var group: String
        package var version: String
        package var kind: String

        package init(group: String, version: String, kind: String) {
            self.group = group
            self.version = version
            self.kind = kind
        }
    }

    package struct Resource: Hashable, Sendable {
        package var group: String
        package var version: String
        package var resource: String
        /// For example `status`; nil for the object itself.
        package var subresource: String?

        package init(group: String, version: String, resource: String, subresource: String? = nil) {
            self.group = group
            self.version = version
            self.resource = resource
            self.subresource = subresource
        }
    }

    /// Names the question, for its answer; it is not the UID of the object.
    package var uid: String
    package var operation: Operation
    package var kind: Kind
    package var resource: Resource
    /// Empty for an object to be created whose name the server makes up.
    package var name: String
    /// Empty for a kind without namespaces.
    package var namespace: String
    /// Nothing will be stored.
    package var isDryRun: Bool
    /// As it would be stored. There at CREATE and UPDATE.
    package var object: JSON?
    /// As it is stored. There at UPDATE and DELETE.
    package var oldObject: JSON?
    package var username: String

    package init(
        uid: String, operation: Operation, kind: Kind, resource: Resource, name: String, namespace: String = "",
        isDryRun: Bool = false, object: JSON? = nil, oldObject: JSON? = nil, username: String = ""
    ) {
        self.uid = uid
        self.operation = operation
        self.kind = kind
        self.resource = resource
        self.name = name
        self.namespace = namespace
        self.isDryRun = isDryRun
        self.object = object
        self.oldObject = oldObject
        self.username = username
    }
}

/// The object in which the API server asks a webhook, and in which it is answered.
package enum AdmissionReview {
    package static let apiVersion = "admission.k8s.io/v1"
    package static let kind = "AdmissionReview"

    /// Reads the body of a request.
    package static func request(_ body: [UInt8]) throws(AdmissionReviewError) -> AdmissionRequest {
        let json: JSON
        do {
            json = try JSON(parsing: body)
        } catch {
            throw .notJSON(error)
        }
        do throws(JSONDecodingError) {
            let review = try JSONFields(json)
            let kind = try review.string("kind")
            let version = try review.string("apiVersion")
            guard kind == Self.kind, version == apiVersion else {
                throw JSONDecodingError(
                    path: "",
                    problem: "expected \(Self.kind) of \(apiVersion), found \(kind ?? "no kind") of "
                        + (version ?? "no apiVersion"))
            }
            return try AdmissionRequest(review.requiredFields("request"))
        } catch {
            throw .notAReview(error)
        }
    }

    package static func response(to request: AdmissionRequest, _ answer: AdmissionAnswer) -> JSON {
        var response: JSON = ["uid": .string(request.uid), "allowed": .bool(answer.refusal == nil)]
        if let refusal = answer.refusal {
            response["status"] = [
                "status": "Failure", "message": .string(refusal.message),
                "reason": .string(refusal.cause.statusReason), "code": .int(refusal.cause.rawValue),
            ]
        }
        let warnings = answer.warnings.prefix(AdmissionAnswer.maximumWarnings).map(AdmissionAnswer.warningText)
        if !warnings.isEmpty { response["warnings"] = .strings(warnings) }
        return ["apiVersion": .string(apiVersion), "kind": .string(kind), "response": response]
    }
}

/// Why the body of a request is not a question that a webhook can answer.
package enum AdmissionReviewError: Error, Equatable, Sendable, CustomStringConvertible {
    case notJSON(JSONSyntaxError)
    case notAReview(JSONDecodingError)

    package var description: String {
        switch self {
        case .notJSON(let error): error.description
        case .notAReview(let error): error.description
        }
    }
}

extension AdmissionRequest {
    fileprivate init(_ request: JSONFields) throws(JSONDecodingError) {
        uid = try request.nonEmptyString("uid")
        let operationText = try request.requiredString("operation")
        guard let operation = Operation(rawValue: operationText) else {
            throw request.error("operation", "unknown: \(operationText.debugDescription)")
        }
        self.operation = operation
        let kind = try request.requiredFields("kind")
        self.kind = Kind(
            group: try kind.string("group") ?? "", version: try kind.nonEmptyString("version"),
            kind: try kind.nonEmptyString("kind"))
        let resource = try request.requiredFields("resource")
        let subresource = try request.string("subResource") ?? ""
        self.resource = Resource(
            group: try resource.string("group") ?? "", version: try resource.nonEmptyString("version"),
            resource: try resource.nonEmptyString("resource"), subresource: subresource.isEmpty ? nil : subresource)
        name = try request.string("name") ?? ""
        namespace = try request.string("namespace") ?? ""
        isDryRun = try request.bool("dryRun") ?? false
        username = try request.fields("userInfo")?.string("username") ?? ""
        object = try request.objectValue("object", isRequired: operation == .create || operation == .update)
        oldObject = try request.objectValue("oldObject", isRequired: operation == .update || operation == .delete)
    }
}

extension JSONFields {
    fileprivate func nonEmptyString(_ name: String) throws(JSONDecodingError) -> String {
        let text = try requiredString(name)
        if text.isEmpty { throw error(name, "empty") }
        return text
    }

    fileprivate func objectValue(_ name: String, isRequired: Bool) throws(JSONDecodingError) -> JSON? {
        guard let fields = try isRequired ? requiredFields(name) : fields(name) else { return nil }
        return .object(fields.object)
    }
}
