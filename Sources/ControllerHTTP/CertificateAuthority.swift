import CX509

/// A certificate authority of ours: a certificate that signs itself, and its key.
package struct CertificateAuthority: Hashable, Sendable {
    package let certificate: Certificate
    package let key: PrivateKey

    package static let commonName = "berth-webhook-ca"
    /// Ten years.
    package static let lifetimeSeconds: Int64 = 3650 * 86400

    /// - Throws: When the certificate is no authority's, or the key is not its own or not on P-256.
    package init(certificatePEM: String, key: PrivateKey) throws(CertificateProblem) {
        let certificate = try Certificate(pem: certificatePEM, subject: CertificateSecret.Member.authority.rawValue)
        try self.init(certificate: certificate, key: key)
    }

    private init(certificate: Certificate, key: PrivateKey) throws(CertificateProblem) {
        guard certificate.isAuthority else {
            throw CertificateProblem(
                CertificateSecret.Member.authority.rawValue, "the certificate is not an authority's")
        }
        try key.check(against: certificate, CertificateSecret.Member.authorityKey.rawValue)
        self.certificate = certificate
        self.key = key
    }

    /// Makes a new one.
    ///
    /// - Parameters:
    ///   - now: Seconds since 1970.
    ///   - generator: Gives the serial number; the key is libcrypto's own.
    package static func make(
        now: Int64, using generator: inout some RandomNumberGenerator
    ) throws(CertificateProblem) -> CertificateAuthority {
        let key = try PrivateKey.make()
        let order = CertificateOrder(
            commonName: commonName, names: [], notBefore: now - CertificateOrder.skewSeconds,
            notAfter: now + lifetimeSeconds)
        let pem = try order.carriedOut(for: key, issuer: nil, using: &generator)
        return try CertificateAuthority(certificatePEM: pem, key: key)
    }

    /// Makes a key and a certificate for a server of these DNS names. It does not outlive the authority.
    ///
    /// - Parameter now: Seconds since 1970.
    package func issue(
        names: [String], now: Int64, using generator: inout some RandomNumberGenerator
    ) throws(CertificateProblem) -> ServingCertificate {
        guard !names.isEmpty else { throw CertificateProblem("serving certificate", "no name to issue it for") }
        for name in names where !DNSName.isValid(name) {
            throw CertificateProblem("serving certificate", "not a DNS name: \(name.debugDescription)")
        }
        let key = try PrivateKey.make()
        let order = CertificateOrder(
            commonName: ServingCertificate.commonName, names: names,
            notBefore: max(now - CertificateOrder.skewSeconds, certificate.notBefore),
            notAfter: min(now + ServingCertificate.lifetimeSeconds, certificate.notAfter))
        let pem = try order.carriedOut(for: key, issuer: self, using: &generator)
        return ServingCertificate(certificate: try Certificate(pem: pem), key: key)
    }
}

/// A certificate that the webhook shows, and its key.
package struct ServingCertificate: Hashable, Sendable {
    package let certificate: Certificate
    package let key: PrivateKey

    /// Clients look at subjectAltName alone, and a common name has at most 64 bytes.
    package static let commonName = "berth-webhook"
    /// One year.
    package static let lifetimeSeconds: Int64 = 365 * 86400

    /// The names by which the API server calls a Service, the first of which it verifies, and the longer ones that a
    /// person may use.
    package static func names(service: String, namespace: String, clusterDomain: String = "cluster.local") -> [String] {
        let short = "\(service).\(namespace)"
        return ["\(short).svc", "\(short).svc.\(clusterDomain)", short]
    }
}

extension PrivateKey {
    static func make() throws(CertificateProblem) -> PrivateKey {
        var text: UnsafeMutablePointer<CChar>?
        defer { cx509_free(text) }
        let problem = cx509_make_key(&text)
        guard let text, problem == nil else {
            throw CertificateProblem("private key", problem.map { String(cString: $0) } ?? "not made")
        }
        return PrivateKey(pem: String(cString: text))
    }

    /// Berth makes keys on P-256 and no others, so any other one is not ours.
    func check(against certificate: Certificate, _ subject: String) throws(CertificateProblem) {
        if let mismatch = certificate.mismatch(with: self) { throw CertificateProblem(subject, mismatch) }
        guard cx509_is_p256(pem) != 0 else { throw CertificateProblem(subject, "the private key is not on P-256") }
    }
}

/// A certificate that is to be made.
private struct CertificateOrder {
    /// How far another machine's clock may be behind ours and still find the certificate valid.
    static let skewSeconds: Int64 = 3600

    let commonName: String
    let names: [String]
    let notBefore: Int64
    let notAfter: Int64

    func carriedOut(
        for key: PrivateKey, issuer: CertificateAuthority?, using generator: inout some RandomNumberGenerator
    ) throws(CertificateProblem) -> String {
        var text: UnsafeMutablePointer<CChar>?
        defer { cx509_free(text) }
        // Never zero, whatever the generator gives (RFC 5280, section 4.1.2.2).
        let serial = max(UInt128(generator.next()) << 64 | UInt128(generator.next()), 1)
        let alternatives = names.isEmpty ? nil : names.map { "DNS:\($0)" }.joined(separator: ",")
        let problem = commonName.withCString { commonName in
            withOptionalCString(alternatives) { alternatives in
                var order = cx509_order()
                order.common_name = commonName
                order.alternative_names = alternatives
                order.not_before = notBefore
                order.not_after = notAfter
                withUnsafeMutableBytes(of: &order.serial) { bytes in
                    withUnsafeBytes(of: serial.bigEndian) { bytes.copyMemory(from: $0) }
                }
                return withOptionalCString(issuer?.certificate.pem) { issuerText in
                    withOptionalCString(issuer?.key.pem) { issuerKey in
                        cx509_make_certificate(&order, key.pem, issuerText, issuerKey, &text)
                    }
                }
            }
        }
        guard let text, problem == nil else {
            throw CertificateProblem(commonName, problem.map { String(cString: $0) } ?? "not made")
        }
        return String(cString: text)
    }
}

private func withOptionalCString<Result>(_ text: String?, _ body: (UnsafePointer<CChar>?) -> Result) -> Result {
    guard let text else { return body(nil) }
    return text.withCString { body($0) }
}

/// Names as the DNS has them for hosts (RFC 1123, section 2.1), in lower case as Kubernetes writes them.
enum DNSName {
    static func isValid(_ name: String) -> Bool {
        name.utf8.count <= 253
            && name.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
                (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-"
                    && label.utf8.allSatisfy(isLabelByte)
            }
    }

    private static func isLabelByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"): true
        default: false
        }
    }
}
