import ControllerHTTP
import Testing

@Suite struct CertificateTests {
    static func authority(at now: Int64 = epoch, seed: UInt64 = 7) throws -> CertificateAuthority {
        #expect(isHostInitialised)
        var generator = SeededGenerator(seed)
        return try CertificateAuthority.make(now: now, using: &generator)
    }

    static func issue(
        by authority: CertificateAuthority, names: [String] = serviceNames, at now: Int64 = epoch, seed: UInt64 = 8
    ) throws -> ServingCertificate {
        var generator = SeededGenerator(seed)
        return try authority.issue(names: names, now: now, using: &generator)
    }

    /// What the openssl command says of a certificate, each run of white space one space.
    static func description(_ certificate: Certificate) throws -> String {
        let folder = try Folder()
        let file = try folder.write("c.pem", certificate.pem)
        return try output(of: "openssl x509 -noout -text -in \(file)")
            .split(whereSeparator: \.isWhitespace).joined(separator: " ")
    }

    @Test func `An authority is one to everybody's eyes`() throws {
        let authority = try Self.authority()
        let text = try Self.description(authority.certificate)
        for part in [
            "Version: 3", "Issuer: CN = berth-webhook-ca", "Subject: CN = berth-webhook-ca",
            "Not Before: Jan 15 07:00:00 2027 GMT", "Not After : Jan 12 08:00:00 2037 GMT",
            "Signature Algorithm: ecdsa-with-SHA256", "ASN1 OID: prime256v1",
            "X509v3 Basic Constraints: critical CA:TRUE, pathlen:0",
            "X509v3 Key Usage: critical Certificate Sign, CRL Sign", "X509v3 Subject Key Identifier: ",
        ] {
            #expect(text.contains(part), "\(part) in \(text)")
        }
        #expect(authority.certificate.isAuthority)
        #expect(authority.certificate.notBefore == epoch - 3600)
        #expect(authority.certificate.notAfter == epoch + 3650 * day)
    }

    @Test func `A serving certificate is a server's, by the authority, for its names`() throws {
        let authority = try Self.authority()
        let serving = try Self.issue(by: authority)
        let text = try Self.description(serving.certificate)
        for part in [
            "Version: 3", "Issuer: CN = berth-webhook-ca", "Subject: CN = berth-webhook Subject",
            "Not Before: Jan 15 07:00:00 2027 GMT", "Not After : Jan 15 08:00:00 2028 GMT",
            "X509v3 Basic Constraints: critical CA:FALSE", "X509v3 Key Usage: critical Digital Signature",
            "X509v3 Extended Key Usage: TLS Web Server Authentication", "X509v3 Authority Key Identifier: ",
            "X509v3 Subject Alternative Name: DNS:berth-webhook.berth-system.svc, "
                + "DNS:berth-webhook.berth-system.svc.cluster.local, DNS:berth-webhook.berth-system",
        ] {
            #expect(text.contains(part), "\(part) in \(text)")
        }
        #expect(serving.certificate.isAuthority == false)
        #expect(serving.certificate.refusal(by: authority.certificate, at: epoch) == nil)
        #expect(serving.certificate.mismatch(with: serving.key) == nil)
        for name in serviceNames { #expect(serving.certificate.covers(name)) }
        for name in ["berth-webhook", "x.berth-webhook.berth-system.svc", "berth-webhook.berth-system.svc.", "*", ""] {
            #expect(serving.certificate.covers(name) == false, "\(name)")
        }
    }

    @Test func `Serial numbers have 128 bits of the generator and are never zero`() throws {
        struct Constant: RandomNumberGenerator {
            let value: UInt64
            func next() -> UInt64 { value }
        }
        func serial(_ value: UInt64) throws -> String {
            var generator = Constant(value: value)
            let authority = try CertificateAuthority.make(now: epoch, using: &generator)
            let file = try Folder()
            let path = try file.write("c.pem", authority.certificate.pem)
            return try output(of: "openssl x509 -noout -serial -in \(path)")
        }
        #expect(isHostInitialised)
        // DER is signed: openssl would print a minus sign in front of a number that was not kept positive.
        #expect(try serial(0xFFFF_FFFF_FFFF_FFF0) == "serial=FFFFFFFFFFFFFFF0FFFFFFFFFFFFFFF0\n")
        #expect(try serial(0x0123_4567_89AB_CDEF) == "serial=0123456789ABCDEF0123456789ABCDEF\n")
        #expect(try serial(0) == "serial=01\n")
    }

    @Test func `No serving certificate outlives its authority`() throws {
        let authority = try Self.authority()
        let late = try Self.issue(by: authority, at: epoch + 3640 * day)
        #expect(late.certificate.notAfter == authority.certificate.notAfter)
        // A clock that has stepped back makes none that is older than the authority.
        let early = try Self.issue(by: authority, at: epoch - 3600)
        #expect(early.certificate.notBefore == authority.certificate.notBefore)
    }

    @Test(arguments: [
        [], [""], ["a", ""], ["a,DNS:evil"], ["*.a"], ["A.b"], ["a..b"], ["-a"], ["a-"], ["a\nb"], ["é"],
        ["10.0.0.1:1"],
        [String(repeating: "a", count: 64)],
        [String(repeating: "a.", count: 127)],
    ])
    func `A certificate is issued for DNS names and nothing else`(names: [String]) throws {
        let authority = try Self.authority()
        #expect(throws: CertificateProblem.self) { try Self.issue(by: authority, names: names) }
    }

    @Test func `The longest names of a Service fit`() throws {
        let names = ServingCertificate.names(
            service: String(repeating: "s", count: 63), namespace: String(repeating: "n", count: 63))
        let serving = try Self.issue(by: try Self.authority(), names: names)
        for name in names { #expect(serving.certificate.covers(name)) }
    }

    @Test func `Another authority, an expired certificate and an authority's own are refused`() throws {
        let authority = try Self.authority()
        let serving = try Self.issue(by: authority)
        let other = try Self.authority(seed: 99)
        #expect(serving.certificate.refusal(by: other.certificate, at: epoch) != nil)
        #expect(serving.certificate.mismatch(with: other.key) == "the private key is not that of the certificate")
        #expect(
            serving.certificate.refusal(by: authority.certificate, at: epoch + 366 * day) == "certificate has expired")
        #expect(
            serving.certificate.refusal(by: authority.certificate, at: epoch - 3601)
                == "certificate is not yet valid")
        #expect(throws: CertificateProblem.self) {
            try CertificateAuthority(certificatePEM: serving.certificate.pem, key: serving.key)
        }
        #expect(throws: CertificateProblem.self) {
            try CertificateAuthority(certificatePEM: authority.certificate.pem, key: other.key)
        }
    }

    @Test(arguments: [
        "", "rubbish", "-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----", "-----BEGIN PUBLIC KEY-----\nAAAA\n",
    ])
    func `Rubbish is no certificate and no key`(text: String) throws {
        #expect(throws: CertificateProblem.self) { try Certificate(pem: text) }
        #expect(Certificate.all(in: text) == [])
        let authority = try Self.authority()
        #expect(authority.certificate.mismatch(with: PrivateKey(pem: text)) != nil)
    }

    @Test(arguments: 1...4 as ClosedRange<UInt64>)
    func `A spoiled certificate is read or refused, not crashed on`(seed: UInt64) throws {
        var generator = SeededGenerator(seed)
        let authority = try Self.authority()
        let bytes = Array(authority.certificate.pem.utf8)
        for _ in 0..<200 {
            var spoiled = bytes
            let index = Int.random(in: 30..<bytes.count, using: &generator)
            spoiled[index] = UInt8.random(in: 1...127, using: &generator)
            guard let certificate = try? Certificate(pem: String(decoding: spoiled, as: UTF8.self)) else { continue }
            _ = certificate.mismatch(with: authority.key)
            if certificate.pem != authority.certificate.pem {
                #expect(certificate.refusal(by: authority.certificate, at: epoch) != nil)
            }
            _ = certificate.covers("a")
        }
    }

    @Test func `A key behind a pass phrase is no key, and nobody is asked for it`() throws {
        let folder = try Folder()
        let key = try folder.write("k.pem", try Self.authority().key.pem)
        let encrypted = try output(of: "openssl pkcs8 -topk8 -in \(key) -passout pass:x -v2 aes128")
        #expect(encrypted.contains("ENCRYPTED"))
        #expect(
            try Self.authority().certificate.mismatch(with: PrivateKey(pem: encrypted))
                == "no private key in PEM form, or an encrypted one")
    }

    @Test func `A bundle is read certificate by certificate, each once`() throws {
        let first = try Self.authority(seed: 1).certificate
        let second = try Self.authority(seed: 2).certificate
        let bundle =
            "# first\r\n" + first.pem.split(separator: "\n").joined(separator: "\r\n")
            + "\nrubbish\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + second.pem + first.pem
        #expect(Certificate.all(in: bundle) == [first, second])
        #expect(try Certificate(pem: bundle) == first)
    }

    @Test func `A key shows in no text`() throws {
        let key = try Self.authority().key
        let secret = try makeSecret()
        for text in ["\(key)", "\(key.debugDescription)", "\(secret)", String(reflecting: secret)] {
            #expect(text.contains("PRIVATE KEY-----") == false)
        }
        var dumped = ""
        dump(secret, to: &dumped)
        #expect(dumped.contains("PRIVATE KEY-----") == false)
        #expect(key.pem.contains("PRIVATE KEY-----"))
    }
}
