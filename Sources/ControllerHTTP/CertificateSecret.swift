package import JSONText
import KubernetesCore

/// What the Secret of the webhook holds, as text, whatever that is worth: `CertificatePlan` judges it.
///
/// The two of the server have the names that type kubernetes.io/tls gives them.
package struct CertificateSecret: Hashable, Sendable {
    package enum Member: String, CaseIterable, Sendable {
        case authority = "ca.crt"
        case authorityKey = "ca.key"
        case certificate = "tls.crt"
        case key = "tls.key"
    }

    package static let type = "kubernetes.io/tls"

    /// The authority that signs, and behind it the ones before it that replicas may still be showing certificates of.
    /// It is the `caBundle` of the webhook configuration.
    package var authorities: String
    package var authorityKey: PrivateKey
    package var certificate: String
    package var key: PrivateKey

    package init(authorities: String, authorityKey: PrivateKey, certificate: String, key: PrivateKey) {
        self.authorities = authorities
        self.authorityKey = authorityKey
        self.certificate = certificate
        self.key = key
    }

    /// Reads the member `data` of a Secret. Never fails: what is missing, of a wrong type or not base 64 is empty.
    package init(secretData: JSON?) {
        func text(_ member: Member) -> String {
            guard let encoded = secretData?[member.rawValue]?.string, let bytes = Base64.decode(encoded) else {
                return ""
            }
            // libcrypto takes text up to the first zero.
            return bytes.contains(0) ? "" : String(decoding: bytes, as: UTF8.self)
        }
        self.init(
            authorities: text(.authority), authorityKey: PrivateKey(pem: text(.authorityKey)),
            certificate: text(.certificate), key: PrivateKey(pem: text(.key)))
    }

    /// The member `data` of a Secret.
    package var secretData: JSON {
        var data: JSON = [:]
        for member in Member.allCases {
            data[member.rawValue] = .string(Base64.encode(Array(self[member].utf8)))
        }
        return data
    }

    package var isEmpty: Bool { Member.allCases.allSatisfy { self[$0].isEmpty } }

    private subscript(member: Member) -> String {
        switch member {
        case .authority: authorities
        case .authorityKey: authorityKey.pem
        case .certificate: certificate
        case .key: key.pem
        }
    }

    /// `caBundle` of a webhook's clientConfig.
    package var caBundle: String { Base64.encode(Array(authorities.utf8)) }
}
