import CCurl
import KubernetesCore

extension TransportFailure {
    /// - Parameters:
    ///   - text: libcurl's own words.
    ///   - server: `host:port`.
    init(
        _ code: CURLcode, text: String, isOversized: Bool = false, server: String, mayHaveBeenSent: Bool
    ) {
        let kind = isOversized ? Kind.oversized : Kind(code, text: text)
        self.init(kind: kind, message: kind.summary(server: server) + ": " + text, mayHaveBeenSent: mayHaveBeenSent)
    }
}

extension TransportFailure.Kind {
    init(_ code: CURLcode, text: String) {
        switch code {
        case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY: self = .resolve
        case CURLE_COULDNT_CONNECT, CURLE_PROXY: self = .connect
        case CURLE_OPERATION_TIMEDOUT: self = .timeout
        case CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_ISSUER_ERROR, CURLE_SSL_CACERT_BADFILE: self = .untrusted
        case CURLE_SSL_CERTPROBLEM, CURLE_SSL_CLIENTCERT: self = .clientCertificate
        case CURLE_SSL_CONNECT_ERROR, CURLE_SSL_CIPHER, CURLE_USE_SSL_FAILED, CURLE_SSL_ENGINE_NOTFOUND,
            CURLE_SSL_ENGINE_SETFAILED, CURLE_SSL_ENGINE_INITFAILED:
            self = .tls
        case CURLE_RECV_ERROR, CURLE_SEND_ERROR:
            // In TLS 1.3 the server judges our certificate after the handshake is over on our side.
            let words = text.split { !$0.isLetter }
            self = words.contains("alert") && words.contains("certificate") ? .clientCertificate : .interrupted
        case CURLE_GOT_NOTHING, CURLE_PARTIAL_FILE, CURLE_HTTP2, CURLE_HTTP2_STREAM, CURLE_WEIRD_SERVER_REPLY,
            CURLE_UNSUPPORTED_PROTOCOL, CURLE_BAD_CONTENT_ENCODING, CURLE_SEND_FAIL_REWIND, CURLE_SSL_SHUTDOWN_FAILED,
            CURLE_AGAIN:
            self = .interrupted
        case CURLE_FILESIZE_EXCEEDED: self = .oversized
        case CURLE_ABORTED_BY_CALLBACK: self = .cancelled
        default: self = .internalError
        }
    }

    fileprivate func summary(server: String) -> String {
        switch self {
        case .resolve: "no address found for the API server \(server)"
        case .connect: "cannot connect to the API server at \(server)"
        case .untrusted: "the certificate of the API server at \(server) is not trusted"
        case .clientCertificate: "the client certificate for the API server at \(server) cannot be used"
        case .tls: "no TLS connection to the API server at \(server)"
        case .timeout: "no answer in time from the API server at \(server)"
        case .interrupted: "the connection to the API server at \(server) broke"
        case .oversized: "the answer of the API server at \(server) exceeds \(Transfer.maximumResponseSize >> 20) MiB"
        case .cancelled: "the request to the API server at \(server) was cancelled"
        case .internalError: "libcurl failed on the way to the API server at \(server)"
        }
    }
}
