import JSONText
import KubernetesCore

@testable import IPAMLedger

/// An answer of the API server, or the want of one, as a test feeds it to a state machine.
enum Answer: Hashable, Sendable, CustomStringConvertible {
    /// The write was made: the object of the request, with this version. For a delete a Status that says so.
    case done(version: String = "1", uid: String = "u1")
    /// The object as it is.
    case object(Holder, version: String = "7", uid: String = "u1")
    case alreadyExists
    case conflict
    /// The object is not there, and the server says so by its name.
    case notFound
    /// The server does not serve the kind yet.
    case unserved
    /// A Status of another kind.
    case status(Int, String, retryAfter: Int? = nil)
    /// The patch names another `metadata.uid`.
    case anotherObject
    case html(Int)
    case unreadable
    /// Sent, and nothing came back.
    case timeout
    /// Never sent.
    case unreachable
    case untrusted
    /// The transport had to send the request a second time.
    indirect case twice(Answer)

    static let tooMany = Answer.status(429, "TooManyRequests")
    static let forbidden = Answer.status(403, "Forbidden")
    static let unauthorized = Answer.status(401, "Unauthorized")
    static let invalid = Answer.status(422, "Invalid")
    static let failed = Answer.status(500, "InternalError")

    var isTwice: Bool {
        if case .twice = self { true } else { false }
    }

    func result(for request: APIRequest) throws -> Result<JSON, APIError> {
        interpret(try reply(to: request), to: request)
    }

    func reply(to request: APIRequest) throws -> Reply {
        let name = request.subject.name ?? ""
        switch self {
        case .done(let version, let uid):
            if request.method == .delete {
                return json(200, ["kind": "Status", "apiVersion": "v1", "status": "Success"])
            }
            if request.method == .patch { return json(200, try allocation(name, .cooling, version: version, uid: uid)) }
            var object = try JSON(parsing: request.body ?? [])
            object["metadata"]?["uid"] = .string(uid)
            object["metadata"]?["resourceVersion"] = .string(version)
            return json(request.method == .post ? 201 : 200, object)
        case .object(let holder, let version, let uid):
            return json(200, try allocation(name, holder, version: version, uid: uid))
        case .alreadyExists: return status(409, "AlreadyExists", name)
        case .conflict: return status(409, "Conflict", name)
        case .notFound: return status(404, "NotFound", name)
        case .unserved: return json(404, Self.status(404, "NotFound", details: [:]))
        case .status(let code, let reason, let retryAfter):
            return status(code, reason, name, retryAfter: retryAfter)
        case .anotherObject:
            let cause: JSON = ["reason": "FieldValueInvalid", "field": "metadata.uid", "message": "immutable"]
            return json(422, Self.status(422, "Invalid", details: ["causes": [cause]]))
        case .html(let code):
            return .success(HTTPResponse(status: code, body: Array("<html>".utf8), contentType: "text/html"))
        case .unreadable:
            return .success(HTTPResponse(status: 201, body: Array("{".utf8), contentType: "application/json"))
        case .timeout: return failure(.timeout, wasSent: true)
        case .unreachable: return failure(.connect, wasSent: false)
        case .untrusted: return failure(.untrusted, wasSent: false)
        case .twice(let answer):
            return try answer.reply(to: request).map { response in
                var response = response
                response.wasSentTwice = true
                return response
            }
        }
    }

    private func status(_ code: Int, _ reason: String, _ name: String, retryAfter: Int? = nil) -> Reply {
        var details: JSON = ["name": .string(name), "group": "ipam.berth.dev", "kind": "ipallocations"]
        details["retryAfterSeconds"] = retryAfter.map { .int($0) }
        return json(code, Self.status(code, reason, details: details))
    }

    private static func status(_ code: Int, _ reason: String, details: JSON) -> JSON {
        [
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": .int(code), "reason": .string(reason),
            "message": "no", "details": details,
        ]
    }

    private func json(_ code: Int, _ json: JSON) -> Reply {
        .success(HTTPResponse(status: code, body: json.serialized(), contentType: "application/json"))
    }

    private func failure(_ kind: TransportFailure.Kind, wasSent: Bool) -> Reply {
        .failure(TransportFailure(kind: kind, message: "\(kind)", mayHaveBeenSent: wasSent))
    }

    var description: String {
        switch self {
        case .done(let version, _): "done v\(version)"
        case .object(let holder, let version, _): "\(holder) v\(version)"
        case .alreadyExists: "409 exists"
        case .conflict: "409 conflict"
        case .notFound: "404"
        case .unserved: "404 unserved"
        case .status(let code, _, let retryAfter): "\(code)" + (retryAfter.map { " after \($0) s" } ?? "")
        case .anotherObject: "422 another object"
        case .html(let code): "HTML \(code)"
        case .unreadable: "unreadable"
        case .timeout: "timeout"
        case .unreachable: "unreachable"
        case .untrusted: "untrusted"
        case .twice(let answer): "\(answer), sent twice"
        }
    }
}
