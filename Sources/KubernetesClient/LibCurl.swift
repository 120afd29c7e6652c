import CCurl
import CHost
import Glibc

/// What has to be done once in the process before the first handle is made.
enum LibCurl {
    /// Nil, or why libcurl cannot be used.
    static let initialisationFailure: String? = {
        chost_initialise()
        // A write to a connection that the server has closed is an error to report, not the end of the process.
        // CURLOPT_NOSIGNAL alone leaves OpenSSL's writes uncovered.
        _ = signal(SIGPIPE, SIG_IGN)
        let code = curl_global_init(Int(CURL_GLOBAL_SSL))
        return code == CURLE_OK ? nil : String(cString: curl_easy_strerror(code))
    }()

    /// Throws for what no connection can be made with.
    static func check(_ configuration: ClientConfiguration) throws(ConfigurationError) {
        if let failure = initialisationFailure {
            throw ConfigurationError(.unsupported, "libcurl cannot be initialised: \(failure)")
        }
        if configuration.server.scheme == .https, configuration.caPEM == nil {
            throw ConfigurationError(.invalid, "\(configuration.server.url): the CA of the server must be given")
        }
    }
}
