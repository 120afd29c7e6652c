/// Why a request did not bring the object that was asked for.
package enum APIError: Error, Equatable, Sendable {
    /// There is no answer.
    case transport(TransportFailure, APIRequest.Subject)
    /// The API server refused, with a Status.
    case status(APIStatus, APIRequest.Subject)
    /// An answer that no Kubernetes API server gives to this request, or gives only while it starts: HTML, an empty
    /// body, another content type, a 404 without a Status.
    case notKubernetes(httpStatus: Int, excerpt: String, APIRequest.Subject)
    /// A success whose body cannot be read.
    case undecodable(String, APIRequest.Subject)
    /// More than one attempt was made, and `last` is how the last one failed.
    indirect case gaveUp(Attempts, last: APIError)

    package struct Attempts: Hashable, Sendable {
        package let count: Int
        package let elapsed: Duration
        /// True when this holds for any of the attempts.
        package let mayHaveCommitted: Bool

        package init(count: Int, elapsed: Duration, mayHaveCommitted: Bool) {
            self.count = count
            self.elapsed = elapsed
            self.mayHaveCommitted = mayHaveCommitted
        }
    }
}

/// What a caller does about a failure; each class has one reaction.
package enum Disposition: Equatable, Sendable {
    /// The same request may succeed later, not before `retryAfter` where the server says so.
    case transient(retryAfter: Duration?)
    /// The object is not there: proven, see `APIError.isNotFound`.
    case notFound
    /// The name is taken.
    case alreadyExists
    /// The object is not in the state that the request names: read it again.
    case conflict
    /// The continue token or resourceVersion is too old: start again without it.
    case expired
    /// The request can never succeed as it is.
    case invalid
    /// Nothing will succeed until somebody changes something.
    case stop(Stop)

    package enum Stop: String, Sendable {
        case unauthenticated
        case forbidden
        /// The server's certificate is not trusted.
        case untrusted
        /// Our own certificate or key cannot be used.
        case clientCertificate
    }
}

extension APIError {
    package var subject: APIRequest.Subject {
        switch self {
        case .transport(_, let subject), .status(_, let subject), .notKubernetes(_, _, let subject),
            .undecodable(_, let subject):
            subject
        case .gaveUp(_, let last): last.subject
        }
    }

    /// The Status, where the server sent one.
    package var status: APIStatus? {
        switch self {
        case .status(let status, _): status
        case .gaveUp(_, let last): last.status
        case .transport, .notKubernetes, .undecodable: nil
        }
    }

    package var disposition: Disposition {
        switch self {
        case .gaveUp(_, let last): return last.disposition
        case .undecodable: return .invalid
        case .notKubernetes: return .transient(retryAfter: nil)
        case .transport(let failure, _):
            switch failure.kind {
            case .untrusted: return .stop(.untrusted)
            case .clientCertificate: return .stop(.clientCertificate)
            case .oversized: return .invalid
            case .resolve, .connect, .tls, .timeout, .interrupted, .cancelled, .internalError:
                return .transient(retryAfter: nil)
            }
        case .status(let status, _):
            switch status.code {
            case 401: return .stop(.unauthenticated)
            case 403: return .stop(.forbidden)
            case 404: return isNotFound ? .notFound : lacksNamespace ? .invalid : .transient(retryAfter: nil)
            case 409: return isAlreadyExists ? .alreadyExists : .conflict
            case 410: return .expired
            case 408, 429, 500...: return .transient(retryAfter: status.details.retryAfterSeconds.map { .seconds($0) })
            default: return namesAnotherObject ? .conflict : .invalid
            }
        }
    }

    /// The object that was asked for is not there. Only a Status that names its group, plural and name proves that:
    /// a server that is starting, a CRD that is not served yet, a missing namespace and a proxy answer 404 too.
    package var isNotFound: Bool {
        guard let status, status.code == 404, status.reason == "NotFound", let name = subject.name else { return false }
        let details = status.details
        return details.name == name && details.kind == subject.resource.plural
            && (details.group ?? "") == subject.resource.group
    }

    /// The namespace to create an object in is not there.
    private var lacksNamespace: Bool {
        guard let details = status?.details, let namespace = subject.namespace else { return false }
        return details.kind == "namespaces" && details.name == namespace
    }

    /// The server knows no such kind of object: it is not installed, or the server is starting.
    package var isUnserved: Bool {
        switch self {
        case .gaveUp(_, let last): last.isUnserved
        case .notKubernetes(let httpStatus, let excerpt, _): httpStatus == 404 && excerpt == "404 page not found"
        case .status(let status, _): status.code == 404 && status.details.name == nil && status.details.kind == nil
        case .transport, .undecodable: false
        }
    }

    /// Nothing is made in a namespace that is being deleted.
    package var isNamespaceTerminating: Bool {
        status.map { $0.code == 403 && $0.details.causes.contains { $0.reason == "NamespaceTerminating" } } ?? false
    }

    package var isAlreadyExists: Bool { status.map { $0.code == 409 && $0.reason == "AlreadyExists" } ?? false }

    /// A precondition failed, a stale `resourceVersion` among them.
    package var isConflict: Bool { status.map { $0.code == 409 && $0.reason != "AlreadyExists" } ?? false }
    package var isUnauthorized: Bool { status?.code == 401 }
    package var isForbidden: Bool { status?.code == 403 }

    /// The continue token or resourceVersion is older than what the server remembers.
    package var isExpired: Bool { status?.code == 410 }

    /// A patch that names another `metadata.uid` than the object has: 422, "field is immutable".
    package var namesAnotherObject: Bool {
        guard let status, status.code == 422 else { return false }
        return status.details.causes.contains { $0.field == "metadata.uid" }
    }

    /// Which of two failures of one request to report when time has run out: an answer, or a refused connection, tells
    /// more than a last attempt that the caller's own deadline cut short.
    package func orEarlier(_ earlier: APIError?) -> APIError {
        if case .transport(let failure, _) = self, failure.kind == .timeout, let earlier { return earlier }
        return self
    }

    /// For a request that changes something: the server may have committed the change, or may yet do so.
    package var mayHaveCommitted: Bool {
        if case .gaveUp(let attempts, _) = self { return attempts.mayHaveCommitted }
        guard subject.verb.isMutation else { return false }
        switch self {
        case .transport(let failure, _): return failure.mayHaveBeenSent
        case .status(let status, _): return status.code == 408 || status.code >= 500
        case .notKubernetes(let httpStatus, _, _): return !(300..<500).contains(httpStatus) || httpStatus == 408
        case .undecodable: return true
        case .gaveUp(let attempts, _): return attempts.mayHaveCommitted
        }
    }
}

extension APIError: CustomStringConvertible {
    /// A sentence for an administrator: what was asked and what came back.
    package var description: String {
        switch self {
        case .transport(let failure, let subject): return "\(subject): \(failure.message)"
        case .status(let status, let subject):
            return "\(subject): the API server answered \(status.summary)\(status.explanation)"
        case .notKubernetes(let httpStatus, let excerpt, let subject):
            let body = excerpt.isEmpty ? "without a body" : "\"\(excerpt)\""
            return "\(subject): no Kubernetes API server that is ready answers so: HTTP \(httpStatus) \(body)"
        case .undecodable(let problem, let subject):
            return "\(subject): the API server's answer cannot be read: \(problem)"
        case .gaveUp(let attempts, let last):
            let commit = attempts.mayHaveCommitted ? "; the change may have been made all the same" : ""
            return "\(last) (\(attempts.count) attempts in \(attempts.elapsed.briefDescription)\(commit))"
        }
    }
}

extension APIStatus {
    /// For example `409 AlreadyExists: pods "a" already exists`.
    fileprivate var summary: String {
        var text = String(code)
        if !reason.isEmpty { text += " \(reason)" }
        if !message.isEmpty { text += ": \(message)" }
        return text
    }

    fileprivate var explanation: String {
        switch code {
        case 401: " (it does not accept the token or client certificate: missing, expired, or of another cluster)"
        default: ""
        }
    }
}
