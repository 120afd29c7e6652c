import NIOSSL
import Synchronization

/// The certificate that the webhook's server shows. It may change at any time: connections that are made afterwards get
/// the new one, those that are open keep what they have.
///
/// Guarantees: what cannot be served never replaces what can. Until there is a certificate, connections are closed
/// before the handshake.
package final class CertificateSource: Sendable {
    private struct Loaded {
        let chain: String
        let key: PrivateKey
        let leaf: Certificate
        let context: NIOSSLContext
    }

    private let loaded = Mutex<Loaded?>(nil)

    package init() {}

    /// Shows a certificate from now on.
    ///
    /// - Parameter chain: The server's certificate, and behind it those of intermediate authorities, in PEM.
    /// - Returns: False when it is what is shown already.
    /// - Throws: When the certificate or the key cannot be read, or one is not the other's.
    @discardableResult
    package func show(chain: String, key: PrivateKey) throws(CertificateProblem) -> Bool {
        if loaded.withLock({ $0?.chain == chain && $0?.key == key }) { return false }
        let leaf = try Certificate(pem: chain, subject: CertificateSecret.Member.certificate.rawValue)
        if let mismatch = leaf.mismatch(with: key) {
            throw CertificateProblem(CertificateSecret.Member.key.rawValue, mismatch)
        }
        let context = try Self.context(chain: chain, key: key)
        loaded.withLock { $0 = Loaded(chain: chain, key: key, leaf: leaf, context: context) }
        return true
    }

    /// The certificate that is shown.
    package var current: Certificate? { loaded.withLock { $0?.leaf } }

    var context: NIOSSLContext? { loaded.withLock { $0?.context } }

    private static func context(chain: String, key: PrivateKey) throws(CertificateProblem) -> NIOSSLContext {
        do {
            let certificates = try NIOSSLCertificate.fromPEMBytes(Array(chain.utf8))
            let privateKey = try NIOSSLPrivateKey(bytes: Array(key.pem.utf8), format: .pem)
            var configuration = TLSConfiguration.makeServerConfiguration(
                certificateChain: certificates.map { .certificate($0) }, privateKey: .privateKey(privateKey))
            configuration.minimumTLSVersion = .tlsv12
            configuration.applicationProtocols = ["http/1.1"]
            return try NIOSSLContext(configuration: configuration)
        } catch {
            throw CertificateProblem("TLS", "the certificate and its key cannot be used: \(error)")
        }
    }
}
