import CCurl
package import KubernetesCore

/// An API server as libcurl reaches it: one multi handle, driven on the thread that calls `perform`.
///
/// Over https the requests of one `perform` share one HTTP/2 connection, which later ones use again. A server that
/// speaks only HTTP/1.1 gets a few connections side by side.
package final class Connection: Transport {
    /// Past the streams that a server allows on one connection libcurl would otherwise open one for each transfer.
    private static let maximumConnections = 4

    private var multi: UnsafeMutableRawPointer
    private let options: ConnectionOptions
    /// `host:port`, for messages.
    package let server: String
    /// Handles that served before; to make one costs more than to use one again.
    private var idle: [Transfer] = []

    package init(_ configuration: ClientConfiguration) throws(ConfigurationError) {
        try LibCurl.check(configuration)
        guard let multi = Self.makeMulti() else {
            throw ConfigurationError(.unsupported, "libcurl cannot be initialised: out of memory")
        }
        self.multi = multi
        options = ConnectionOptions(configuration)
        server = configuration.server.authority
    }

    deinit {
        idle = []
        curl_multi_cleanup(multi)
    }

    package func perform(_ requests: [APIRequest], deadline: Moment) -> [Reply] {
        let remaining = deadline - .now()
        guard remaining > .zero else {
            let failure = TransportFailure(
                CURLE_OPERATION_TIMEDOUT, text: "the deadline had passed before the request was sent", server: server,
                mayHaveBeenSent: false)
            return requests.map { _ in .failure(failure) }
        }
        var replies = [Reply?](repeating: nil, count: requests.count)
        var active: [Transfer?] = []
        for (index, request) in requests.enumerated() {
            let transfer = begin(request, remaining: remaining)
            active.append(transfer)
            if transfer == nil { replies[index] = .failure(outOfMemory) }
        }
        var isStuck = false
        drive(until: deadline) { transfer, code in
            guard let index = active.firstIndex(where: { $0 === transfer }) else { return }
            replies[index] = transfer.reply(code, server: server)
            if code == CURLE_OPERATION_TIMEDOUT { isStuck = true }
        }
        let result = requests.indices.map { index -> Reply in
            if let transfer = active[index] { end(transfer) }
            if let reply = replies[index] { return reply }
            isStuck = true
            return .failure(active[index]?.failure(CURLE_OPERATION_TIMEDOUT, server: server) ?? outOfMemory)
        }
        if isStuck { dropConnections() }
        return result
    }

    package func now() -> Moment { .now() }

    package func sleep(until moment: Moment) { moment.sleep() }

    private var outOfMemory: TransportFailure {
        TransportFailure(CURLE_OUT_OF_MEMORY, text: "out of memory", server: server, mayHaveBeenSent: false)
    }

    private static func makeMulti() -> UnsafeMutableRawPointer? {
        guard let multi = curl_multi_init() else { return nil }
        ck_msetopt_long(multi, CURLMOPT_PIPELINING, Int(CURLPIPE_MULTIPLEX))
        ck_msetopt_long(multi, CURLMOPT_MAX_HOST_CONNECTIONS, maximumConnections)
        return multi
    }

    /// A connection on which an answer stayed away may be dead without anybody having noticed, and libcurl would give
    /// the next request to it.
    private func dropConnections() {
        guard let fresh = Self.makeMulti() else { return }
        curl_multi_cleanup(multi)
        multi = fresh
    }

    private func begin(_ request: APIRequest, remaining: Duration) -> Transfer? {
        guard let transfer = idle.popLast() ?? Transfer(options) else { return nil }
        transfer.prepare(request, remaining: remaining, authorization: options.authorization)
        guard curl_multi_add_handle(multi, transfer.handle) == CURLM_OK else { return nil }
        return transfer
    }

    private func end(_ transfer: Transfer) {
        curl_multi_remove_handle(multi, transfer.handle)
        idle.append(transfer)
    }

    /// Runs until every transfer is done or the deadline has passed. libcurl ends each transfer at its own timeout; the
    /// check here is for the case that it does not.
    private func drive(until deadline: Moment, done: (Transfer, CURLcode) -> Void) {
        var running: CInt = 0
        while true {
            guard curl_multi_perform(multi, &running) == CURLM_OK else { return }
            LibCurl.reportDone(multi, done)
            if running == 0 { return }
            // Up to a millisecond later than the transfers' own timeouts, so that these have the word.
            let milliseconds = (deadline - .now()).wholeMilliseconds
            guard milliseconds >= 0 else { return }
            guard curl_multi_poll(multi, nil, 0, CInt(min(milliseconds + 1, 1000)), nil) == CURLM_OK else { return }
        }
    }
}
