import CX509

/// Why something is not the certificate or key that it should be, or could not be made.
package struct CertificateProblem: Error, Hashable, Sendable, CustomStringConvertible {
    /// What it is about: a member of a Secret, a file, or the thing that was to be made.
    package let subject: String
    package let problem: String

    package init(_ subject: String, _ problem: String) {
        self.subject = subject
        self.problem = problem
    }

    package var description: String { "\(subject): \(problem)" }
}

/// An X.509 certificate (RFC 5280) that libcrypto can read.
package struct Certificate: Hashable, Sendable {
    /// This certificate alone, one PEM block that ends in a line feed.
    package let pem: String
    /// Seconds since 1970, as is `notAfter`. Both belong to the time that it is valid.
    package let notBefore: Int64
    package let notAfter: Int64
    /// It may sign other certificates.
    package let isAuthority: Bool

    /// Reads the first certificate of a text.
    package init(pem text: String, subject: String = "certificate") throws(CertificateProblem) {
        guard let block = Self.blocks(of: text).first else {
            throw CertificateProblem(subject, "no certificate in PEM form")
        }
        var facts = cx509_facts()
        if let problem = cx509_read(block, &facts) { throw CertificateProblem(subject, String(cString: problem)) }
        pem = block
        notBefore = facts.not_before
        notAfter = facts.not_after
        isAuthority = facts.is_authority != 0
    }

    /// The certificates of a bundle that can be read, in their order, each once.
    package static func all(in bundle: String) -> [Certificate] {
        var seen: Set<Certificate> = []
        return blocks(of: bundle)
            .compactMap { try? Certificate(pem: $0) }
            .filter { seen.insert($0).inserted }
    }

    /// When two thirds of its life have passed: what has a successor by then has time to spare for one that fails.
    package var renewalTime: Int64 { notBefore + (notAfter - notBefore) / 3 * 2 }

    /// A server of this DNS name may show it; only subjectAltName counts (RFC 9110, section 4.3.4).
    package func covers(_ name: String) -> Bool { cx509_covers(pem, name) != 0 }

    /// Nil when the authority vouches for it as a server's certificate at that time, otherwise why it does not.
    package func refusal(by authority: Certificate, at now: Int64) -> String? {
        cx509_verify(pem, authority.pem, now).map { String(cString: $0) }
    }

    /// Nil when the key is that of the certificate, otherwise what is wrong with it.
    package func mismatch(with key: PrivateKey) -> String? {
        cx509_check_key(pem, key.pem).map { String(cString: $0) }
    }

    private static let begin = "-----BEGIN CERTIFICATE-----"
    private static let end = "-----END CERTIFICATE-----"

    /// RFC 7468, section 2: what stands between the blocks is explanation.
    private static func blocks(of text: String) -> [String] {
        var blocks: [String] = []
        var lines: [Substring]?
        // Also the end of a line as Windows has it, which to Swift is one character.
        for line in text.split(whereSeparator: \.isNewline) {
            if line.hasPrefix(begin) {
                lines = [line]
            } else if lines != nil {
                lines?.append(line)
                if line.hasPrefix(end), let block = lines {
                    blocks.append(block.joined(separator: "\n") + "\n")
                    lines = nil
                }
            }
        }
        return blocks
    }
}
