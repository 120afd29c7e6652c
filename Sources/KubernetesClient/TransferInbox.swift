import CCurl
import KubernetesCore
import Synchronization

typealias TransferID = UInt64

/// Where the answer to a request goes, and what bounds it.
enum TransferSink: Sendable {
    case whole(deadline: Moment, ReplyBox)
    case stream(StreamLimits, headDeadline: Moment, ResponsePipe)

    /// Tells the waiting task that there is no answer, or no more of it.
    func fail(_ failure: TransportFailure) {
        switch self {
        case .whole(_, let box): box.fill(.failure(failure))
        case .stream(_, _, let pipe): pipe.finish(failure)
        }
    }
}

enum TransferCommand: Sendable {
    case start(TransferID, APIRequest, TransferSink)
    case cancel(TransferID)
    case unpause(TransferID)
    case stop
}

/// The commands for the transfer thread, in the order in which they were given.
final class TransferInbox: Sendable {
    private struct State {
        var commands: [TransferCommand] = []
        var lastID: TransferID = 0
    }

    private let state = Mutex(State())
    let multi: MultiHandle

    init(_ multi: MultiHandle) { self.multi = multi }

    func start(_ request: APIRequest, _ sink: TransferSink) -> TransferID {
        let id = state.withLock { state in
            state.lastID += 1
            state.commands.append(.start(state.lastID, request, sink))
            return state.lastID
        }
        curl_multi_wakeup(multi.pointer)
        return id
    }

    func post(_ command: TransferCommand) {
        state.withLock { $0.commands.append(command) }
        curl_multi_wakeup(multi.pointer)
    }

    func take() -> [TransferCommand] {
        state.withLock { state in
            defer { state.commands = [] }
            return state.commands
        }
    }
}

/// Owner of a multi handle.
///
/// `@unchecked`: the pointer never changes, and but for the transfer thread it is used only in curl_multi_wakeup, which
/// libcurl allows on any thread. It is freed when nobody can do that any more.
final class MultiHandle: @unchecked Sendable {
    /// Past the streams that a server allows on one connection libcurl would otherwise open one for each transfer. Some
    /// may be held by transfers that wait on a dead one.
    private static let maximumConnections = 8

    let pointer: UnsafeMutableRawPointer

    init?() {
        guard let pointer = curl_multi_init() else { return nil }
        self.pointer = pointer
        ck_msetopt_long(pointer, CURLMOPT_PIPELINING, Int(CURLPIPE_MULTIPLEX))
        ck_msetopt_long(pointer, CURLMOPT_MAX_HOST_CONNECTIONS, Self.maximumConnections)
    }

    deinit { curl_multi_cleanup(pointer) }
}
