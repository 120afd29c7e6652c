package import JSONText

/// A request as it came to a `FaultProxy`.
package struct ProxyRequest: Sendable, CustomStringConvertible {
    package struct Header: Hashable, Sendable {
        package let name: String
        package let value: String
    }

    /// From 1, in the order in which the requests were complete.
    package let number: Int
    /// `GET`, `POST` …
    package let method: String
    /// Without the query.
    package let path: String
    /// What follows the `?`, as it was sent; empty without one.
    package internal(set) var query: String
    package let headers: [Header]
    package let body: [UInt8]
    /// `1.1` or `2`.
    package let httpVersion: String
    /// Which of the client's connections it came on, from 1.
    package let connection: Int

    package func header(_ name: String) -> String? {
        headers.first { $0.name.lowercased() == name.lowercased() }?.value
    }

    package var userAgent: String? { header("user-agent") }

    /// The value of a query parameter, percent-decoded; empty for one without a value.
    package func queryValue(_ name: String) -> String? {
        for item in query.split(separator: "&") {
            let parts = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if percentDecoded(parts[0]) == name { return parts.count > 1 ? percentDecoded(parts[1]) : "" }
        }
        return nil
    }

    /// The body, when it is JSON.
    package var json: JSON? { try? JSON(parsing: body) }

    /// What it asks of which object, when its path is one of Kubernetes' API.
    package var action: KubernetesAction? { KubernetesAction(self) }

    package var description: String {
        action?.description ?? "\(method) \(path)\(query.isEmpty ? "" : "?\(query)")"
    }
}

/// What a request asks of the API server, in the words of RBAC.
package struct KubernetesAction: Hashable, Sendable, CustomStringConvertible {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
    package let verb: String
    /// Plural and group, for example `ipallocations.ipam.berth.dev` or `pods`.
    package let resource: String
    package let namespace: String?
    /// For a create the name in the body.
    package let name: String?
    package let subresource: String?

    init?(_ request: ProxyRequest) {
        // /api/v1/… or /apis/<group>/<version>/…, then [namespaces/<namespace>/]<plural>[/<name>[/<subresource>]]
        var parts = request.path.split(separator: "/").map(String.init)[...]
        let group: String
        switch parts.popFirst() {
        case "api": group = ""
        case "apis":
            guard let name = parts.popFirst() else { return nil }
            group = "." + name
        default: return nil
        }
        guard parts.popFirst() != nil else { return nil }
        var namespace: String?
        let ownSubresources = ["status", "finalize"]
        if parts.count >= 3, parts.first == "namespaces", !ownSubresources.contains(parts[parts.startIndex + 2]) {
            namespace = parts[parts.startIndex + 1]
            parts = parts.dropFirst(2)
        }
        guard let plural = parts.popFirst() else { return nil }
        let name = parts.popFirst()
        self.namespace = namespace
        resource = plural + group
        subresource = parts.popFirst()
        self.name = name ?? (request.method == "POST" ? request.json?["metadata"]?["name"]?.string : nil)
        switch request.method {
        case "GET": verb = name != nil ? "get" : ["true", "1"].contains(request.queryValue("watch")) ? "watch" : "list"
        case "POST": verb = "create"
        case "PUT": verb = "update"
        case "PATCH": verb = "patch"
        case "DELETE": verb = name != nil ? "delete" : "deletecollection"
        default: return nil
        }
    }

    /// For example `create ipallocations.ipam.berth.dev 10.0.0.7` or `get pods default/web-0`.
    package var description: String {
        let object = [namespace, name].compactMap(\.self).joined(separator: "/")
        return "\(verb) \(resource)\(subresource.map { "/\($0)" } ?? "")\(object.isEmpty ? "" : " \(object)")"
    }
}

/// Percent-decodes a part of a URL; an escape that is none stays as it is.
private func percentDecoded(_ text: Substring) -> String {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
        let digits = String(decoding: rest.prefix(2), as: UTF8.self)
        if byte == UInt8(ascii: "%"), digits.utf8.count == 2, let decoded = UInt8(digits, radix: 16) {
            bytes.append(decoded)
            rest = rest.dropFirst(2)
        } else {
            bytes.append(byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
        }
    }
    return String(decoding: bytes, as: UTF8.self)
}

/// What became of a request.
package enum Fate: Hashable, Sendable, CustomStringConvertible {
    /// Held by a rule, not forwarded yet.
    case held
    /// At the API server.
    case forwarded
    /// The API server's answer to a watch has begun.
    case answering(status: Int)
    /// The API server has answered, and a rule holds the answer.
    case answerHeld(status: Int)
    /// The client was sent the API server's whole answer; a client that had gone by then did not get it.
    case answered(status: Int)
    /// The client was sent an answer by a rule; the API server never saw the request.
    case invented(status: Int)
    /// The API server has answered, and the client was cut off before all of the answer.
    case answerDropped(status: Int)
    /// The client was cut off; the API server never saw the request.
    case dropped
    /// Neither forwarded nor answered, until the proxy stops.
    case hanging
    /// The API server could not be reached or broke off; the client was cut off.
    case failed(String)

    /// The status with which the API server answered, whether the client got it or not.
    package var serverStatus: Int? {
        switch self {
        case .answering(let status), .answerHeld(let status), .answered(let status), .answerDropped(let status): status
        case .held, .forwarded, .invented, .dropped, .hanging, .failed: nil
        }
    }

    package var description: String {
        switch self {
        case .held: "held"
        case .forwarded: "forwarded"
        case .answering(let status): "\(status), going on"
        case .answerHeld(let status): "\(status), held"
        case .answered(let status): "\(status)"
        case .invented(let status): "\(status), invented"
        case .answerDropped(let status): "\(status), dropped"
        case .dropped: "dropped"
        case .hanging: "hanging"
        case .failed(let reason): "failed: \(reason)"
        }
    }
}

/// A line of a proxy's log.
package struct ProxyLogEntry: Sendable, CustomStringConvertible {
    package let request: ProxyRequest
    package internal(set) var fate = Fate.forwarded
    /// The client closed the connection or gave the request up before it was answered.
    package internal(set) var clientHasGone = false

    package var description: String {
        "#\(request.number) \(request): \(fate)\(clientHasGone ? ", client gone" : "")"
    }
}

extension [ProxyLogEntry] {
    package func count(_ verb: String, _ resource: String) -> Int { filter(verb, resource).count }

    /// The requests of one verb and resource, for example `create` and `ipallocations.ipam.berth.dev`.
    package func filter(_ verb: String, _ resource: String) -> [ProxyLogEntry] {
        filter { $0.request.action?.verb == verb && $0.request.action?.resource == resource }
    }

    /// The first request about an object of a name; for a create it is the name in the body.
    package func first(named name: String) -> ProxyLogEntry? { first { $0.request.action?.name == name } }
}
