import CCurl

/// What all transfers of a connection share, in the form that libcurl takes.
struct ConnectionOptions {
    let configuration: ClientConfiguration
    /// Scheme, authority and base path, to which the path of a request is appended.
    let urlPrefix: String
    /// The header line for the token that the configuration holds.
    let authorization: String?
    /// `CURLOPT_CONNECT_TO`, where the URL names another host than the one to connect to.
    private let connectTo: ConnectTo?

    /// Tells options that are meant for new connections from earlier ones.
    let generation: Int

    init(_ configuration: ClientConfiguration, generation: Int = 0) {
        self.configuration = configuration
        self.generation = generation
        let server = configuration.server
        authorization = configuration.token.map(Self.authorization)
        if let name = configuration.tlsServerName, name != server.host {
            // The URL's host is the name that libcurl verifies and sends as SNI. It also becomes `:authority`, which
            // the API server does not look at.
            let named = ServerAddress(
                scheme: server.scheme, host: name, port: server.port, basePath: server.basePath)
            urlPrefix = named.url
            connectTo = ConnectTo("::\(ServerAddress.bracketed(server.host)):\(server.port)")
        } else {
            urlPrefix = server.url
            connectTo = nil
        }
    }

    static func authorization(token: String) -> String { "Authorization: Bearer \(token)" }

    func apply(to handle: Transfer.Handle) {
        applySecurity(to: handle)
        applyRoute(to: handle)
        ck_setopt_long(handle, CURLOPT_NOSIGNAL, 1)
        // A resolver that hangs in its thread must not keep a transfer from ending at its deadline.
        ck_setopt_long(handle, CURLOPT_QUICK_EXIT, 1)
        ck_setopt_long(handle, CURLOPT_FOLLOWLOCATION, 0)
        ck_setopt_long(handle, CURLOPT_PATH_AS_IS, 1)
        // For a length that is announced; Transfer counts what comes without one.
        ck_setopt_off(handle, CURLOPT_MAXFILESIZE_LARGE, curl_off_t(Transfer.maximumResponseSize))
        ck_setopt_str(handle, CURLOPT_USERAGENT, configuration.userAgent)
        ck_setopt_str(handle, CURLOPT_PROTOCOLS_STR, configuration.server.scheme.rawValue)
    }

    private func applySecurity(to handle: Transfer.Handle) {
        ck_setopt_long(handle, CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2))
        // Debian's libcurl otherwise trusts the machine's certificates beside those given.
        ck_setopt_str(handle, CURLOPT_CAPATH, nil)
        ck_setopt_str(handle, CURLOPT_CAINFO, nil)
        if let ca = configuration.caPEM { setBlob(handle, CURLOPT_CAINFO_BLOB, ca) }
        if let certificate = configuration.clientCertificatePEM, let key = configuration.clientKeyPEM {
            setBlob(handle, CURLOPT_SSLCERT_BLOB, certificate)
            setBlob(handle, CURLOPT_SSLKEY_BLOB, key)
        }
    }

    private func applyRoute(to handle: Transfer.Handle) {
        // Without these two libcurl reads http_proxy, https_proxy and no_proxy from the environment.
        ck_setopt_str(handle, CURLOPT_PROXY, configuration.proxyURL ?? "")
        ck_setopt_str(handle, CURLOPT_NOPROXY, "")
        ck_setopt_long(handle, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1)
        let isSecure = configuration.server.scheme == .https
        let version = isSecure ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1
        ck_setopt_long(handle, CURLOPT_HTTP_VERSION, Int(version))
        // Requests that begin together wait for the first one's connection, so as to share it.
        ck_setopt_long(handle, CURLOPT_PIPEWAIT, isSecure ? 1 : 0)
        if let connectTo { ck_setopt_ptr(handle, CURLOPT_CONNECT_TO, connectTo.list) }
    }

    private func setBlob(_ handle: Transfer.Handle, _ option: CURLoption, _ bytes: [UInt8]) {
        bytes.withUnsafeBytes { _ = ck_setopt_blob(handle, option, $0.baseAddress, $0.count) }
    }

    private final class ConnectTo {
        let list: UnsafeMutablePointer<curl_slist>?

        init(_ entry: String) { list = curl_slist_append(nil, entry) }

        deinit { curl_slist_free_all(list) }
    }
}
