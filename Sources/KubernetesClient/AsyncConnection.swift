import CCurl
import Glibc
package import KubernetesCore

/// An API server as libcurl reaches it, for long-lived programs: one thread does the I/O of all transfers, and nobody
/// waits by holding another one.
///
/// Flow: `perform` and `stream` put a command into the inbox of the thread and suspend. The thread takes commands, lets
/// libcurl work, and resumes whoever waits.
///
/// Guarantees: a deadline and a cancelled task end a request, and free what it held, within milliseconds. A stream of
/// which nobody reads stops the server when about `StreamLimits.mark` bytes wait. When an answer stays away, later
/// requests use a new connection: the old one may be dead without anybody having noticed. A token file is read again
/// while the program runs, see `TokenSource`.
///
/// Assumptions: SIGPIPE is ignored in the whole process, which `init` sees to.
///
/// Caveats: with libcurl 7.88 to 8.14 the server learns that an HTTP/2 request was given up only when the next one uses
/// its connection (curl issue 17611); here it is gone at once. The last reference must not go away on the thread itself;
/// nothing in this module holds one there. `deinit` waits for the thread, which takes less than a millisecond.
///
/// Errors: every failure is a TransportFailure, cancellation included.
package final class AsyncConnection: AsyncTransport {
    private let inbox: TransferInbox
    private let thread: pthread_t
    /// `host:port`, for messages.
    package let server: String

    package init(_ configuration: ClientConfiguration) throws(ConfigurationError) {
        try LibCurl.check(configuration)
        guard let multi = MultiHandle() else {
            throw ConfigurationError(.unsupported, "libcurl cannot be initialised: out of memory")
        }
        server = configuration.server.authority
        inbox = TransferInbox(multi)
        let start = Unmanaged.passRetained(TransferLoopStart(inbox: inbox, configuration: configuration))
        var thread = pthread_t()
        let result = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                let start = Unmanaged<TransferLoopStart>.fromOpaque(context).takeRetainedValue()
                TransferLoop(start).run()
                return nil
            }, start.toOpaque())
        guard result == 0 else {
            start.release()
            throw ConfigurationError(.unsupported, "no thread can be started: \(String(cString: strerror(result)))")
        }
        self.thread = thread
    }

    deinit {
        inbox.post(.stop)
        pthread_join(thread, nil)
        // Only now may the multi handle go, and with `inbox` it does.
    }

    package func perform(_ request: APIRequest, deadline: Moment) async -> Reply {
        let box = ReplyBox()
        let id = inbox.start(request, .whole(deadline: deadline, box))
        return await withTaskCancellationHandler {
            await box.reply()
        } onCancel: {
            inbox.post(.cancel(id))
        }
    }

    /// Returns when the head of the answer is there, whatever its status; the body follows as `ResponseStream.body`.
    package func stream(
        _ request: APIRequest, limits: StreamLimits = StreamLimits()
    ) async throws(TransportFailure) -> ResponseStream {
        let pipe = ResponsePipe(mark: limits.mark)
        let id = inbox.start(request, .stream(limits, headDeadline: .now() + limits.head, pipe))
        // From here on the transfer ends when the owner does.
        let body = ResponseBody(connection: self, id: id, pipe: pipe)
        let head = await withTaskCancellationHandler {
            await pipe.head()
        } onCancel: {
            inbox.post(.cancel(id))
        }
        return ResponseStream(head: try head.get(), body: body)
    }

    func cancel(_ id: TransferID) { inbox.post(.cancel(id)) }

    func unpause(_ id: TransferID) { inbox.post(.unpause(id)) }
}

/// How long a stream may be silent, and how much of it may wait to be read.
package struct StreamLimits: Hashable, Sendable {
    /// Until the head of the answer is there.
    package var head: Duration
    /// Without a byte, after the head; in whole seconds. What the reader makes the server wait does not count.
    package var stall: Duration
    /// Above this many bytes the server is made to wait.
    package var mark: Int

    package init(head: Duration = .seconds(30), stall: Duration = .seconds(60), mark: Int = 1 << 20) {
        self.head = head
        self.stall = stall
        self.mark = mark
    }
}

/// An answer whose body is still on its way.
package struct ResponseStream: Sendable {
    /// Its body is empty.
    package let head: HTTPResponse
    package let body: ResponseBody

    /// The answer with the rest of its body, for one that turns out to be short.
    ///
    /// - Throws: `.oversized` when there is more than `maximumSize`.
    package func collected(maximumSize: Int = 1 << 20) async throws(TransportFailure) -> HTTPResponse {
        var response = head
        var reader = body.makeAsyncIterator()
        while let chunk = try await reader.next(isolation: nil) {
            response.body += chunk
            guard response.body.count <= maximumSize else {
                throw TransportFailure(
                    kind: .oversized, message: "an answer with status \(head.status) exceeds \(maximumSize) bytes",
                    mayHaveBeenSent: true)
            }
        }
        return response
    }
}

/// The chunks of a body as they arrive. It can be read once, by one task.
///
/// The transfer ends when the last copy is gone, when the reading task is cancelled, or with the body.
package final class ResponseBody: AsyncSequence, Sendable {
    package typealias Element = [UInt8]

    private let connection: AsyncConnection
    private let id: TransferID
    private let pipe: ResponsePipe

    init(connection: AsyncConnection, id: TransferID, pipe: ResponsePipe) {
        self.connection = connection
        self.id = id
        self.pipe = pipe
    }

    deinit { connection.cancel(id) }

    package func makeAsyncIterator() -> Iterator { Iterator(body: self) }

    package struct Iterator: AsyncIteratorProtocol {
        fileprivate let body: ResponseBody

        package mutating func next() async throws(TransportFailure) -> [UInt8]? { try await next(isolation: nil) }

        package mutating func next(
            isolation actor: isolated (any Actor)?
        ) async throws(TransportFailure) -> [UInt8]? {
            let body = body
            let piece = await withTaskCancellationHandler {
                await body.pipe.next { body.connection.unpause(body.id) }
            } onCancel: {
                body.connection.cancel(body.id)
            }
            return try piece.get()
        }
    }
}
