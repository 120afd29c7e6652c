/// A certificate authority that lives as long as the process, and a certificate by it for 127.0.0.1 and localhost.
package struct TestAuthority: Sendable {
    package let caPEM: String
    package let certificatePEM: String
    package let keyPEM: String

    private static let cached = Task { try await TestAuthority(name: "berth test authority") }

    package static func shared() async throws -> TestAuthority { try await cached.value }

    /// Makes a new one with the `openssl` command. Its certificates are valid for two days.
    package init(name: String) async throws {
        (caPEM, certificatePEM, keyPEM) = try await Files.withTemporaryFolder("authority") { folder in
            let ca = "\(folder)/ca.crt"
            let caKey = "\(folder)/ca.key"
            let request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
            try await runChecked(
                "openssl",
                request + [
                    "-days", "2", "-subj", "/CN=\(name)", "-keyout", caKey, "-out", ca,
                    "-addext", "keyUsage=critical,keyCertSign",
                ])
            let certificate = "\(folder)/server.crt"
            let key = "\(folder)/server.key"
            try await runChecked(
                "openssl",
                request + [
                    "-days", "2", "-subj", "/CN=127.0.0.1", "-CA", ca, "-CAkey", caKey, "-keyout", key,
                    "-out", certificate, "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
                    "-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=serverAuth",
                ])
            return (try Files.text(ca), try Files.text(certificate), try Files.text(key))
        }
    }
}
