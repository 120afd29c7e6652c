/// How to reach an API server and what to show it.
///
/// No textual form of it holds the token or the private key.
package struct ClientConfiguration: Sendable {
    package var server: ServerAddress
    /// The only certificates that the server's may be signed by: those of the machine are not trusted. Needed for
    /// https.
    package var caPEM: [UInt8]?
    package var clientCertificatePEM: [UInt8]?
    package var clientKeyPEM: [UInt8]?
    /// As it was when the configuration was loaded.
    package var token: String?
    /// Where `token` was read from. AsyncConnection reads it again while it runs; Connection, which serves short-lived
    /// programs, does not.
    package var tokenFile: String?
    /// The name that the server's certificate must carry where that is not the host of `server`.
    package var tlsServerName: String?
    /// No environment variable sets a proxy.
    package var proxyURL: String?
    package var userAgent: String

    package init(
        server: ServerAddress, caPEM: [UInt8]? = nil, clientCertificatePEM: [UInt8]? = nil,
        clientKeyPEM: [UInt8]? = nil, token: String? = nil, tokenFile: String? = nil, tlsServerName: String? = nil,
        proxyURL: String? = nil, userAgent: String = "berth"
    ) {
        self.server = server
        self.caPEM = caPEM
        self.clientCertificatePEM = clientCertificatePEM
        self.clientKeyPEM = clientKeyPEM
        self.token = token
        self.tokenFile = tokenFile
        self.tlsServerName = tlsServerName
        self.proxyURL = proxyURL
        self.userAgent = userAgent
    }
}

extension ClientConfiguration {
    /// What connections that are there and those that they renew do not take in, as a clause; nil where all is the same. The
    /// file of a token is read again while a program runs.
    package func change(from earlier: ClientConfiguration) -> String? {
        if caPEM != earlier.caPEM { return "the cluster's CA has changed" }
        if server != earlier.server || tlsServerName != earlier.tlsServerName || proxyURL != earlier.proxyURL {
            return "the address of the API server has changed"
        }
        let isSame = clientCertificatePEM == earlier.clientCertificatePEM && clientKeyPEM == earlier.clientKeyPEM
        if !isSame { return "the client certificate has changed" }
        return tokenFile == nil && token != earlier.token ? "the token has changed" : nil
    }
}

extension ClientConfiguration: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    private var summary: KeyValuePairs<String, String> {
        [
            "server": server.url,
            "caPEM": Self.size(caPEM),
            "clientCertificatePEM": Self.size(clientCertificatePEM),
            "clientKeyPEM": clientKeyPEM == nil ? "none" : "redacted",
            "token": token == nil ? "none" : "redacted",
            "tokenFile": tokenFile ?? "none",
            "tlsServerName": tlsServerName ?? "none",
            "proxyURL": proxyURL == nil ? "none" : "redacted",  // may hold a password
            "userAgent": userAgent,
        ]
    }

    private static func size(_ bytes: [UInt8]?) -> String { bytes.map { "\($0.count) bytes" } ?? "none" }

    package var description: String {
        "ClientConfiguration(" + summary.map { "\($0.key): \($0.value)" }.joined(separator: ", ") + ")"
    }

    package var debugDescription: String { description }

    package var customMirror: Mirror {
        Mirror(self, children: summary.map { (label: $0.key, value: $0.value as Any) }, displayStyle: .struct)
    }
}
