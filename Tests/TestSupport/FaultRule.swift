package import JSONText

/// Which requests a rule is for.
package struct RequestMatcher: Sendable, CustomStringConvertible {
    package let description: String
    package let matches: @Sendable (ProxyRequest) -> Bool

    package init(_ description: String, _ matches: @escaping @Sendable (ProxyRequest) -> Bool) {
        self.description = description
        self.matches = matches
    }

    package static let any = RequestMatcher("any request") { _ in true }

    /// Every request that may change something.
    package static let mutation = RequestMatcher("mutation") { $0.method != "GET" }

    package static func method(_ method: String) -> Self { .init(method) { $0.method == method } }

    package static func path(_ path: String) -> Self { .init("path \(path)") { $0.path == path } }

    /// A regular expression that fits somewhere in the path.
    package static func path(matching pattern: String) -> Self {
        precondition((try? Regex(pattern)) != nil, "not a regular expression: \(pattern)")
        return .init("path ~ \(pattern)") { request in
            // Regex is not Sendable, so it is parsed where it is used.
            guard let expression = try? Regex(pattern) else { return false }
            return request.path.firstMatch(of: expression) != nil
        }
    }

    package static func query(_ name: String, _ value: String) -> Self {
        .init("\(name)=\(value)") { $0.queryValue(name) == value }
    }

    package static func body(contains text: String) -> Self {
        .init("body with \(text)") { String(decoding: $0.body, as: UTF8.self).contains(text) }
    }

    /// A verb and a resource as in RBAC, and the object's name, for example `create` and
    /// `ipallocations.ipam.berth.dev`.
    package static func verb(_ verb: String, _ resource: String, named name: String? = nil) -> Self {
        .init("\(verb) \(resource)\(name.map { " \($0)" } ?? "")") { request in
            guard let action = request.action, action.verb == verb, action.resource == resource else { return false }
            return name == nil || name == action.name
        }
    }

    package static func && (a: Self, b: Self) -> Self {
        .init("\(a) and \(b)") { a.matches($0) && b.matches($0) }
    }

    package static func || (a: Self, b: Self) -> Self {
        .init("(\(a) or \(b))") { a.matches($0) || b.matches($0) }
    }

    package static prefix func ! (a: Self) -> Self { .init("not \(a)") { !a.matches($0) } }
}

/// How often a rule acts.
package enum RuleCount: Hashable, Sendable {
    case first(Int)
    case always
}

/// What a client loses when it is cut off.
package enum Loss: Hashable, Sendable {
    /// The connection, by a TCP reset, with every other request that shares it.
    case connection
    /// Of an HTTP/2 connection only this request (RST_STREAM); else the connection.
    case stream
}

/// What a rule does with a request. Several actions are done in their order.
package enum FaultAction: Sendable {
    /// Answers without forwarding.
    case answer(@Sendable (ProxyRequest) -> ProxyAnswer)
    /// Waits before going on.
    case delay(Duration)
    /// Arrives at the gate and goes on when it is open, even if the client has gone by then.
    case hold(Gate)
    /// Forwards with one more query parameter, written as in a URL: what other tests make can be kept out of a list.
    case ask(String)
    /// Cuts the client off without forwarding.
    case dropBeforeForward(Loss = .connection)
    /// Refuses an HTTP/2 stream (REFUSED_STREAM): the client may send the request again at no risk. On HTTP/1.1 as
    /// `dropBeforeForward`.
    case refuseStream
    /// Neither forwards nor answers.
    case hang
    /// Forwards, arrives at the gate when the API server has answered, and gives the answer when the gate is open.
    case holdAnswer(Gate)
    /// Forwards, waits for the answer and cuts the client off without it. Of a watch: when the answer begins.
    case dropAnswer(Loss = .connection)
    /// Forwards, gives the head and so many bytes of the body, and cuts the client off.
    case cutAnswer(afterBytes: Int, Loss = .connection)
    /// Forwards, gives the head and so many bytes of the body, and then nothing more, on a connection that stays open.
    case stallAnswer(afterBytes: Int)

    package static func respond(status: Int, headers: [(String, String)] = [], body: [UInt8] = []) -> Self {
        let answer = ProxyAnswer(
            status: status, headers: headers.map { .init(name: $0.0, value: $0.1) }, body: body)
        return .answer { _ in answer }
    }

    /// Answers with a Kubernetes Status whose details name the object of the request.
    package static func status(
        _ code: Int, _ reason: String, _ message: String = "said by a test", retryAfterSeconds: Int? = nil
    ) -> Self {
        .answer { request in
            ProxyAnswer(status: code, reason: reason, message: message, retryAfterSeconds, about: request)
        }
    }

    package static let notFound = status(404, "NotFound")
    package static let alreadyExists = status(409, "AlreadyExists")
    package static let conflict = status(409, "Conflict")
    package static let unauthorized = status(401, "Unauthorized")
    package static let forbidden = status(403, "Forbidden")
    package static let internalError = status(500, "InternalError")
    package static let serviceUnavailable = status(503, "ServiceUnavailable")
    package static let serverTimeout = status(504, "Timeout")

    package static func tooManyRequests(retryAfterSeconds: Int) -> Self {
        status(429, "TooManyRequests", retryAfterSeconds: retryAfterSeconds)
    }

    /// What a load balancer or a captive portal says.
    package static func html(status: Int) -> Self {
        respond(
            status: status, headers: [("content-type", "text/html")],
            body: Array("<!doctype html><title>\(status)</title><h1>This is no API server</h1>".utf8))
    }
}

/// An answer that a rule makes up.
package struct ProxyAnswer: Sendable {
    package let status: Int
    package let headers: [ProxyRequest.Header]
    package let body: [UInt8]

    package init(status: Int, headers: [ProxyRequest.Header] = [], body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    package init(status: Int, json: JSON, headers: [ProxyRequest.Header] = []) {
        self.init(
            status: status, headers: [.init(name: "content-type", value: "application/json")] + headers,
            body: json.serialized())
    }

    /// A Kubernetes Status about the object of a request.
    package init(
        status code: Int, reason: String, message: String, _ retryAfterSeconds: Int? = nil, about request: ProxyRequest
    ) {
        var details: JSON = [:]
        if let action = request.action {
            let parts = action.resource.split(separator: ".", maxSplits: 1).map(String.init)
            details["name"] = action.name.map { .string($0) }
            details["group"] = parts.count > 1 ? .string(parts[1]) : nil
            details["kind"] = .string(parts[0])
        }
        details["retryAfterSeconds"] = retryAfterSeconds.map { .int($0) }
        let json: JSON = [
            "kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Failure", "message": .string(message),
            "reason": .string(reason), "details": details, "code": .int(code),
        ]
        self.init(
            status: code, json: json,
            headers: retryAfterSeconds.map { [.init(name: "retry-after", value: "\($0)")] } ?? [])
    }
}

/// A rule of a proxy, from `FaultProxy.when`.
package final class FaultRule: Sendable, CustomStringConvertible {
    private struct State: Sendable {
        var hits = 0
        var isRemoved = false
    }

    package let matcher: RequestMatcher
    package let count: RuleCount
    package let actions: [FaultAction]
    private let state = Observed(State())

    init(_ matcher: RequestMatcher, _ count: RuleCount, _ actions: [FaultAction]) {
        self.matcher = matcher
        self.count = count
        self.actions = actions
    }

    /// How many requests it has acted upon.
    package var hits: Int { state.value.hits }

    package var description: String { "rule for \(matcher)" }

    /// Lets all further requests pass. What it already holds stays held.
    package func remove() { state.update { $0.isRemoved = true } }

    /// Waits until it has acted upon `count` requests.
    package func hit(_ count: Int = 1, within limit: Duration = .seconds(60)) async throws {
        try await state.wait(for: "request \(count) of the \(self)", within: limit) { state -> Void? in
            state.hits >= count ? () : nil
        }
    }

    /// The actions for a request, or nil when the rule is not for it or used up.
    func claim(_ request: ProxyRequest) -> [FaultAction]? {
        guard matcher.matches(request) else { return nil }
        return state.update { [count] state in
            guard !state.isRemoved else { return false }
            if case .first(let limit) = count, state.hits >= limit { return false }
            state.hits += 1
            return true
        } ? actions : nil
    }
}
