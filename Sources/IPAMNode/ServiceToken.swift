import JSONText
import KubernetesCore

/// What a service account's token says of itself (a JWT, RFC 7519), unverified: for metrics, and to tell whose it is.
package struct ServiceToken: Hashable, Sendable {
    /// Seconds since 1970; nil where it does not say.
    package var expiresAt: Int64?
    package var issuedAt: Int64?
    /// Of the pod that it is bound to; nil for one that is bound to none.
    package var podUID: String?
    /// `system:serviceaccount:berth-system:berth-node`
    package var subject: String?

    package init(expiresAt: Int64? = nil, issuedAt: Int64? = nil, podUID: String? = nil, subject: String? = nil) {
        self.expiresAt = expiresAt
        self.issuedAt = issuedAt
        self.podUID = podUID
        self.subject = subject
    }

    /// Nil for what is no JWT.
    package init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let bytes = Self.base64URL(parts[1]), let claims = try? JSON(parsing: bytes),
            claims.object != nil
        else { return nil }
        expiresAt = claims["exp"]?.int.map { Int64($0) }
        issuedAt = claims["iat"]?.int.map { Int64($0) }
        podUID = claims["kubernetes.io"]?["pod"]?["uid"]?.string
        subject = claims["sub"]?.string
    }

    /// Base 64 with the alphabet for URLs and without padding (RFC 7515, section 2).
    private static func base64URL(_ text: Substring) -> [UInt8]? {
        var standard = text.map { $0 == "-" ? "+" : $0 == "_" ? "/" : $0 }
        standard += [Character](repeating: "=", count: (4 - standard.count % 4) % 4)
        return Base64.decode(String(standard))
    }

    /// Whether it has less than a minute to live, by this machine's clock.
    func isExpired(now: Int64) -> Bool { expiresAt.map { now >= $0 - 60 } ?? false }
}
