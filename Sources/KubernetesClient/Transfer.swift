import CCurl
import KubernetesCore

/// Takes an answer while it arrives, called on the thread that drives the transfer.
protocol ResponseReceiver: AnyObject {
    /// The answer without its body; comes before any of it, and also when there is none.
    func receiveHead(_ head: HTTPResponse)

    /// A piece of the body. False pauses the transfer, and the same piece comes again when it goes on.
    func receive(_ bytes: UnsafeRawBufferPointer) -> Bool
}

/// One easy handle with all that it points to. It is used for one request after another; the options that all
/// requests of a connection share are set once.
final class Transfer {
    typealias Handle = UnsafeMutableRawPointer

    /// What is larger is cut off and reported as `.oversized`.
    static let maximumResponseSize = 256 << 20

    /// `CURL_ERROR_SIZE`.
    private static let errorCapacity = 256

    /// Bounds the wait for a server that does not answer at all, so that what is left of the deadline can serve another
    /// attempt.
    private static let maximumConnectTime = Duration.seconds(5)

    let handle: Handle
    private let errorText: UnsafeMutablePointer<CChar>
    private var headers: UnsafeMutablePointer<curl_slist>?
    private let urlPrefix: String
    /// Of the options that it was made with.
    let generation: Int

    /// Takes the answer while it arrives; without one the transfer collects the body.
    private var receiver: (any ResponseReceiver)?
    private var body: [UInt8] = []
    private var isOversized = false
    /// libcurl repeats a request in silence when a connection that served before turns out to be closed, or when an
    /// HTTP/2 server refuses the stream. It calls back each time it begins to send.
    private var timesBegun = 0

    /// Nil when memory has run out.
    init?(_ options: ConnectionOptions) {
        guard let handle = curl_easy_init() else { return nil }
        self.handle = handle
        errorText = .allocate(capacity: Self.errorCapacity)
        errorText.initialize(repeating: 0, count: Self.errorCapacity)
        urlPrefix = options.urlPrefix
        generation = options.generation
        options.apply(to: handle)
        let context = Unmanaged.passUnretained(self).toOpaque()
        ck_setopt_ptr(handle, CURLOPT_ERRORBUFFER, errorText)
        ck_setopt_ptr(handle, CURLOPT_PRIVATE, context)
        ck_setopt_write(handle, receiveBody, context)
        let beginning: curl_prereq_callback = beginRequest
        ck_setopt_ptr(handle, CURLOPT_PREREQFUNCTION, unsafeBitCast(beginning, to: UnsafeRawPointer.self))
        ck_setopt_ptr(handle, CURLOPT_PREREQDATA, context)
    }

    /// The handle must not be part of a multi handle any more.
    deinit {
        curl_easy_cleanup(handle)
        curl_slist_free_all(headers)
        errorText.deallocate()
    }

    /// Makes the handle ready for a request whose answer is collected. `remaining` is positive.
    func prepare(_ request: APIRequest, remaining: Duration, authorization: String?) {
        let milliseconds = max(Int(remaining.wholeMilliseconds), 1)
        ck_setopt_long(handle, CURLOPT_TIMEOUT_MS, milliseconds)
        let connectTime = min(milliseconds, Int(Self.maximumConnectTime.wholeMilliseconds))
        ck_setopt_long(handle, CURLOPT_CONNECTTIMEOUT_MS, connectTime)
        prepare(request, authorization: authorization)
    }

    /// Makes the handle ready for a request whose answer goes to `receiver` while it arrives, for as long as it takes.
    ///
    /// - Parameter stall: How long nothing may arrive before the transfer counts as dead, in whole seconds; the time
    ///   in which `receiver` has it paused does not count.
    func prepareStream(
        _ request: APIRequest, stall: Duration, authorization: String?, to receiver: any ResponseReceiver
    ) {
        ck_setopt_long(handle, CURLOPT_TIMEOUT_MS, 0)
        ck_setopt_long(handle, CURLOPT_CONNECTTIMEOUT_MS, Int(Self.maximumConnectTime.wholeMilliseconds))
        prepare(request, authorization: authorization)
        ck_setopt_long(handle, CURLOPT_LOW_SPEED_LIMIT, 1)
        ck_setopt_long(handle, CURLOPT_LOW_SPEED_TIME, max(Int(stall.components.seconds), 1))
        ck_setopt_off(handle, CURLOPT_MAXFILESIZE_LARGE, 0)
        ck_setopt_header(handle, receiveHeader, Unmanaged.passUnretained(self).toOpaque())
        self.receiver = receiver
    }

    /// Undoes what `prepareStream` did beyond an ordinary request.
    func endStream() {
        ck_setopt_long(handle, CURLOPT_LOW_SPEED_LIMIT, 0)
        ck_setopt_long(handle, CURLOPT_LOW_SPEED_TIME, 0)
        ck_setopt_off(handle, CURLOPT_MAXFILESIZE_LARGE, curl_off_t(Self.maximumResponseSize))
        ck_setopt_header(handle, nil, nil)
        receiver = nil
    }

    private func prepare(_ request: APIRequest, authorization: String?) {
        body = []
        isOversized = false
        timesBegun = 0
        errorText[0] = 0
        ck_setopt_str(handle, CURLOPT_URL, urlPrefix + request.pathAndQuery)
        setHeaders(request, authorization: authorization)
        if let requestBody = request.body {
            // libcurl keeps a copy, which it can send again. The size comes first, for the body may hold zeros.
            ck_setopt_long(handle, CURLOPT_POST, 1)
            ck_setopt_off(handle, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(requestBody.count))
            requestBody.withUnsafeBytes { bytes in
                withUnsafeBytes(of: 0) { none in
                    _ = ck_setopt_ptr(handle, CURLOPT_COPYPOSTFIELDS, bytes.baseAddress ?? none.baseAddress)
                }
            }
        } else {
            ck_setopt_long(handle, CURLOPT_HTTPGET, 1)
        }
        ck_setopt_str(handle, CURLOPT_CUSTOMREQUEST, request.method == .get ? nil : request.method.rawValue)
    }

    private func setHeaders(_ request: APIRequest, authorization: String?) {
        var list: UnsafeMutablePointer<curl_slist>?
        for header in request.headers { list = curl_slist_append(list, "\(header.name): \(header.value)") }
        if let authorization { list = curl_slist_append(list, authorization) }
        // Otherwise libcurl would wait for "100 Continue" before it sends a larger body.
        list = curl_slist_append(list, "Expect:")
        ck_setopt_ptr(handle, CURLOPT_HTTPHEADER, list)
        curl_slist_free_all(headers)
        headers = list
    }

    /// The reply, once libcurl says that the transfer is done. `server` is for messages.
    func reply(_ code: CURLcode, server: String) -> Reply {
        guard code == CURLE_OK else { return .failure(failure(code, server: server)) }
        defer { body = [] }
        return .success(response)
    }

    /// What has arrived so far.
    private var response: HTTPResponse {
        var contentType: UnsafePointer<CChar>?
        ck_getinfo_str(handle, CURLINFO_CONTENT_TYPE, &contentType)
        var retryAfter: curl_off_t = 0
        ck_getinfo_off(handle, CURLINFO_RETRY_AFTER, &retryAfter)
        return HTTPResponse(
            status: status,
            body: body,
            contentType: contentType.map { String(cString: $0) },
            retryAfter: retryAfter > 0 ? .seconds(retryAfter) : nil,
            wasSentTwice: timesBegun > 1)
    }

    private var status: Int {
        var status = 0
        ck_getinfo_long(handle, CURLINFO_RESPONSE_CODE, &status)
        return status
    }

    /// The failure for a transfer that is taken out before libcurl has finished it, or that libcurl gave up.
    func failure(_ code: CURLcode, server: String) -> TransportFailure {
        var text = errorText[0] == 0 ? String(cString: curl_easy_strerror(code)) : String(cString: errorText)
        if code == CURLE_OPERATION_TIMEDOUT, text.hasPrefix("Failed to resolve host") {
            // What libcurl says of a transfer that was still waiting for the connection of another one.
            text = "no connection was ready"
        }
        return TransportFailure(
            code, text: text, isOversized: isOversized, server: server, mayHaveBeenSent: timesBegun > 0)
    }

    /// What the write callback returns.
    fileprivate func receive(_ bytes: UnsafeRawBufferPointer) -> Int {
        if let receiver { return receiver.receive(bytes) ? bytes.count : Int(CURL_WRITEFUNC_PAUSE) }
        return append(bytes) ? bytes.count : 0
    }

    /// The empty line after the headers, which an interim answer (1xx) has too.
    fileprivate func endHead() {
        if status >= 200 { receiver?.receiveHead(response) }
    }

    private func append(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard body.count + bytes.count <= Self.maximumResponseSize else {
            isOversized = true
            return false
        }
        if body.isEmpty {
            // A known length spares a long body its reallocations.
            var length: curl_off_t = 0
            ck_getinfo_off(handle, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length)
            if length > bytes.count { body.reserveCapacity(min(Int(length), Self.maximumResponseSize)) }
        }
        body.append(contentsOf: bytes)
        return true
    }

    fileprivate func begin() { timesBegun += 1 }
}

private func transfer(_ context: UnsafeMutableRawPointer) -> Transfer {
    Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
}

private func receiveBody(
    _ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer?
) -> Int {
    guard let bytes, let context else { return 0 }
    return transfer(context).receive(UnsafeRawBufferPointer(start: bytes, count: size * count))
}

private func receiveHeader(
    _ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer?
) -> Int {
    // One call for each line, with its CR and LF.
    if size * count <= 2, let context { transfer(context).endHead() }
    return size * count
}

private func beginRequest(
    _ context: UnsafeMutableRawPointer?, _: UnsafeMutablePointer<CChar>?, _: UnsafeMutablePointer<CChar>?, _: CInt,
    _: CInt
) -> CInt {
    guard let context else { return CURL_PREREQFUNC_ABORT }
    transfer(context).begin()
    return CURL_PREREQFUNC_OK
}
