/// What came back over HTTP, not yet looked into.
package struct HTTPResponse: Sendable {
    package var status: Int
    package var body: [UInt8]
    package var contentType: String?
    /// The header `Retry-After` in its form of seconds.
    package var retryAfter: Duration?
    /// The transport had to send the request again on a new connection, so a 409 may be our own doing.
    package var wasSentTwice: Bool

    package init(
        status: Int, body: [UInt8] = [], contentType: String? = nil, retryAfter: Duration? = nil,
        wasSentTwice: Bool = false
    ) {
        self.status = status
        self.body = body
        self.contentType = contentType
        self.retryAfter = retryAfter
        self.wasSentTwice = wasSentTwice
    }
}

/// Why there is no answer.
package struct TransportFailure: Error, Equatable, Sendable, CustomStringConvertible {
    package enum Kind: String, Sendable {
        /// The server's name, or the proxy's, has no address.
        case resolve
        /// Nothing accepts connections at the address, or it cannot be reached.
        case connect
        /// The server's certificate is not signed by the given CA, has expired or names another host.
        case untrusted
        /// Our own certificate or key cannot be used.
        case clientCertificate
        /// The TLS handshake failed for another reason.
        case tls
        /// The deadline passed.
        case timeout
        /// The connection ended before the answer was complete.
        case interrupted
        /// The answer exceeds the size that is accepted.
        case oversized
        case cancelled
        /// libcurl refused what we asked of it.
        case internalError
    }

    package let kind: Kind
    /// Names the server.
    package let message: String
    /// False only when no byte of the request can have reached the server.
    package let mayHaveBeenSent: Bool

    package init(kind: Kind, message: String, mayHaveBeenSent: Bool) {
        self.kind = kind
        self.message = message
        self.mayHaveBeenSent = mayHaveBeenSent
    }

    package var description: String { message }
}

package typealias Reply = Result<HTTPResponse, TransportFailure>
