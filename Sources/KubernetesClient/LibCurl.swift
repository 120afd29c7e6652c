import CCurl
import CHost
import Glibc

/// What all connections need of libcurl.
enum LibCurl {
    /// Nil, or why libcurl cannot be used. What has to be done once in the process before the first handle is made.
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

    /// Tells of each transfer of a multi handle that has ended since the last call. `body` may take it out of the handle.
    static func reportDone(_ multi: UnsafeMutableRawPointer, _ body: (Transfer, CURLcode) -> Void) {
        var left: CInt = 0
        while let message = curl_multi_info_read(multi, &left) {
            guard message.pointee.msg == CURLMSG_DONE, let handle = message.pointee.easy_handle else { continue }
            // The message is gone once the transfer is taken out.
            let code = message.pointee.data.result
            var context: UnsafeMutableRawPointer?
            ck_getinfo_ptr(handle, CURLINFO_PRIVATE, &context)
            guard let context else { continue }
            body(Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue(), code)
        }
    }
}
