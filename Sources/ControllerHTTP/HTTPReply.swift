package import JSONText

/// The head of a request, as far as an endpoint decides by it.
package struct RequestHead: Hashable, Sendable {
    /// In capitals, for example `POST`.
    package var method: String
    /// Without the query.
    package var path: String
    /// The header `Content-Type` as it came.
    package var contentType: String?

    package init(method: String, path: String, contentType: String? = nil) {
        self.method = method
        self.path = path
        self.contentType = contentType
    }
}

/// An answer.
package struct HTTPReply: Hashable, Sendable {
    package var status: Int
    package var contentType: String
    /// The methods of the header `Allow`, with status 405.
    package var allowedMethods: [String]
    package var body: [UInt8]

    package static func text(
        _ status: Int, _ body: String, contentType: String = "text/plain; charset=utf-8"
    ) -> HTTPReply {
        HTTPReply(status: status, contentType: contentType, allowedMethods: [], body: Array(body.utf8))
    }

    package static func json(_ body: JSON) -> HTTPReply {
        HTTPReply(status: 200, contentType: "application/json", allowedMethods: [], body: body.serialized())
    }

    static let notFound = HTTPReply.text(404, "404 page not found\n")

    static func methodNotAllowed(_ allowed: [String]) -> HTTPReply {
        var reply = HTTPReply.text(405, "method not allowed\n")
        reply.allowedMethods = allowed
        return reply
    }

    static func tooLarge(limit: Int) -> HTTPReply {
        .text(413, "the body is larger than \(limit >> 20) MiB\n")
    }
}

/// Answers requests, without any I/O of its own.
package protocol Endpoint: Sendable {
    /// Decides by the head of a request what to do about its body.
    func admit(_ head: RequestHead) -> Admittance
    /// Answers a request that was admitted; `body` is empty unless it was asked for.
    func reply(to head: RequestHead, body: [UInt8]) async -> HTTPReply
}

package enum Admittance: Hashable, Sendable {
    /// The request is answered without its body.
    case reply(HTTPReply)
    case withoutBody
    /// At most so many bytes; more are answered with 413.
    case withBody(limit: Int)
}
