import JSONText
import KubernetesCore
import Testing

@Suite struct APIErrorTests {
    static let listBerths = APIRequest.list(.berths)

    static func notFound(_ name: String?, _ group: String?, _ kind: String?) -> JSON {
        var details: JSON = [:]
        details["name"] = name.map { .string($0) }
        details["group"] = group.map { .string($0) }
        details["kind"] = kind.map { .string($0) }
        return statusBody(404, "NotFound", details: details)
    }

    /// Only the first is proof that the object is gone.
    static let absences: [(JSON, Bool)] = [
        (notFound("10.0.0.1", "ipam.berth.dev", "ipallocations"), true),
        (notFound("10.0.0.2", "ipam.berth.dev", "ipallocations"), false),
        (notFound("10.0.0.1", "other", "ipallocations"), false),
        (notFound("10.0.0.1", nil, "ipallocations"), false),
        (notFound("10.0.0.1", "ipam.berth.dev", "ippools"), false),
        (notFound("10.0.0.1", "ipam.berth.dev", "IPAllocation"), false),
        (notFound(nil, "ipam.berth.dev", "ipallocations"), false),
        (notFound(nil, nil, nil), false),
        (statusBody(404, "NotFound", details: nil), false),
        (statusBody(404, "", details: berthDetails), false),
    ]

    @Test(arguments: absences)
    func `A 404 proves absence only when it names the object`(status: JSON, isProof: Bool) throws {
        let error = try #require(apiError(response(404, status)))
        #expect(error.isNotFound == isProof)
        #expect(error.disposition == (isProof ? .notFound : .transient(retryAfter: nil)))
    }

    @Test func `The core group has no name in a 404`() throws {
        let request = APIRequest.get(.pods, namespace: "d", name: "a")
        let error = try #require(
            apiError(response(404, statusBody(404, "NotFound", details: ["name": "a", "kind": "pods"])), to: request))
        #expect(error.isNotFound)
    }

    @Test func `A list is never absent`() throws {
        let details: JSON = ["group": "ipam.berth.dev", "kind": "ipallocations"]
        let error = try #require(
            apiError(response(404, statusBody(404, "NotFound", details: details)), to: Self.listBerths))
        #expect(!error.isNotFound)
    }

    @Test func `A create in a namespace that is not there cannot succeed`() throws {
        let request = APIRequest.create(.pods, namespace: "d", name: "a", object: [:])
        let body = statusBody(404, "NotFound", details: ["name": "d", "kind": "namespaces"])
        let error = try #require(apiError(response(404, body), to: request))
        #expect(!error.isNotFound)
        #expect(error.disposition == .invalid)
    }

    static let dispositions: [(Int, String, Disposition)] = [
        (400, "BadRequest", .invalid),
        (401, "Unauthorized", .stop(.unauthenticated)),
        (403, "Forbidden", .stop(.forbidden)),
        (405, "MethodNotAllowed", .invalid),
        (406, "NotAcceptable", .invalid),
        (408, "Timeout", .transient(retryAfter: nil)),
        (409, "AlreadyExists", .alreadyExists),
        (409, "Conflict", .conflict),
        (409, "", .conflict),
        (410, "Gone", .expired),
        (410, "Expired", .expired),
        (413, "RequestEntityTooLarge", .invalid),
        (415, "UnsupportedMediaType", .invalid),
        (422, "Invalid", .invalid),
        (429, "TooManyRequests", .transient(retryAfter: nil)),
        (500, "InternalError", .transient(retryAfter: nil)),
        (502, "", .transient(retryAfter: nil)),
        (503, "ServiceUnavailable", .transient(retryAfter: nil)),
        (504, "Timeout", .transient(retryAfter: nil)),
    ]

    @Test(arguments: dispositions)
    func `Each Status has one disposition`(code: Int, reason: String, disposition: Disposition) throws {
        let error = try #require(apiError(response(code, statusBody(code, reason))))
        #expect(error.disposition == disposition)
        #expect(error.isAlreadyExists == (disposition == .alreadyExists))
        #expect(error.isConflict == (disposition == .conflict))
        #expect(error.isUnauthorized == (disposition == .stop(.unauthenticated)))
        #expect(error.isForbidden == (disposition == .stop(.forbidden)))
        #expect(error.isExpired == (disposition == .expired))
    }

    static let transportDispositions: [(TransportFailure.Kind, Disposition)] = [
        (.resolve, .transient(retryAfter: nil)),
        (.connect, .transient(retryAfter: nil)),
        (.untrusted, .stop(.untrusted)),
        (.clientCertificate, .stop(.clientCertificate)),
        (.tls, .transient(retryAfter: nil)),
        (.timeout, .transient(retryAfter: nil)),
        (.interrupted, .transient(retryAfter: nil)),
        (.oversized, .invalid),
        (.cancelled, .transient(retryAfter: nil)),
        (.internalError, .transient(retryAfter: nil)),
    ]

    @Test(arguments: transportDispositions)
    func `Each transport failure has one disposition`(kind: TransportFailure.Kind, disposition: Disposition) {
        #expect(apiError(failure(kind, sent: false))?.disposition == disposition)
    }

    @Test func `A patch that names another uid is a conflict and another 422 is not`() throws {
        func error(_ field: String) throws -> APIError {
            let details: JSON = ["name": "10.0.0.1", "causes": [["field": .string(field), "message": "immutable"]]]
            return try #require(apiError(response(422, statusBody(422, "Invalid", details: details))))
        }
        #expect(try error("metadata.uid").namesAnotherObject)
        #expect(try error("metadata.uid").disposition == .conflict)
        #expect(try !error("spec.address").namesAnotherObject)
        #expect(try error("spec.address").disposition == .invalid)
    }

    @Test(arguments: [
        (response(404, text: "404 page not found\n"), true), (response(404, statusBody(404, "NotFound")), false),
        (response(404, statusBody(404, "NotFound", details: [:])), true),
        (response(404, text: "<html>"), false), (response(503, text: "404 page not found"), false),
        (failure(.connect, sent: false), false),
    ])
    func `A server that does not know the kind of object says so in two ways`(reply: Reply, expected: Bool) {
        #expect(apiError(reply, to: getBerth)?.isUnserved == expected)
    }

    static let commits: [(Reply, Bool)] = [
        (failure(.connect, sent: false), false),
        (failure(.timeout, sent: false), false),
        (failure(.timeout, sent: true), true),
        (failure(.interrupted, sent: true), true),
        (response(400, statusBody(400, "BadRequest")), false),
        (response(403, statusBody(403, "Forbidden")), false),
        (response(404, statusBody(404, "NotFound")), false),
        (response(409, statusBody(409, "Conflict")), false),
        (response(422, statusBody(422, "Invalid")), false),
        (response(429, statusBody(429, "TooManyRequests")), false),
        (response(408, statusBody(408, "Timeout")), true),
        (response(500, statusBody(500, "InternalError")), true),
        (response(503, statusBody(503, "ServiceUnavailable")), true),
        (response(504, statusBody(504, "Timeout")), true),
        (response(200, text: "<html>"), true),
        (response(201, text: "{", contentType: "application/json"), true),
        (response(404, text: "404 page not found"), false),
        (response(502, text: "Bad Gateway"), true),
        (response(503, text: ""), true),
    ]

    @Test(arguments: commits)
    func `A write may have been committed unless the answer excludes it`(reply: Reply, expected: Bool) {
        #expect(apiError(reply, to: createBerth)?.mayHaveCommitted == expected)
        #expect(apiError(reply, to: getBerth)?.mayHaveCommitted == false)
    }

    @Test func `Attempts remember that one of them may have committed`() throws {
        let last = try #require(apiError(failure(.connect, sent: false), to: createBerth))
        let error = APIError.gaveUp(.init(count: 3, elapsed: .seconds(2), mayHaveCommitted: true), last: last)
        #expect(error.mayHaveCommitted)
        #expect(error.subject == createBerth.subject)
        #expect(error.disposition == last.disposition)
        #expect(
            "\(error)" == "create ipallocations.ipam.berth.dev \"10.0.0.1\": m "
                + "(3 attempts in 2 s; the change may have been made all the same)")
    }

    static let descriptions: [(Reply, String)] = [
        (
            response(403, statusBody(403, "Forbidden", message: "User \"x\" cannot get it")),
            "the API server answered 403 Forbidden: User \"x\" cannot get it"
        ),
        (
            response(401, statusBody(401, "Unauthorized", message: "Unauthorized")),
            "the API server answered 401 Unauthorized: Unauthorized (it does not accept the token or client "
                + "certificate: missing, expired, or of another cluster)"
        ),
        (response(503, text: ""), "no Kubernetes API server that is ready answers so: HTTP 503 without a body"),
        (response(200, text: "<p>"), "no Kubernetes API server that is ready answers so: HTTP 200 \"<p>\""),
        (
            response(200, text: "{", contentType: "application/json"),
            "the API server's answer cannot be read: not JSON: expected a member's name in quotes at byte 1"
        ),
    ]

    @Test(arguments: descriptions)
    func `An error says what was asked and what came back`(reply: Reply, description: String) throws {
        let error = try #require(apiError(reply))
        #expect("\(error)" == "get ipallocations.ipam.berth.dev \"10.0.0.1\": \(description)")
    }
}
