import CCurl
import KubernetesCore

/// What the transfer thread is started with.
final class TransferLoopStart: Sendable {
    let inbox: TransferInbox
    let configuration: ClientConfiguration

    init(inbox: TransferInbox, configuration: ClientConfiguration) {
        self.inbox = inbox
        self.configuration = configuration
    }
}

/// The transfer thread: everything here is used on it alone.
///
/// Flow: take the commands, let libcurl work, report what is done, wait for the network or a command.
///
/// Guarantees: handles are added and removed only between libcurl's own steps, never inside a callback of it. Every
/// sink gets its end, when the thread stops too.
final class TransferLoop {
    private struct Live {
        let transfer: Transfer
        let sink: TransferSink
    }

    /// To make a handle costs more than to use one again.
    private static let maximumIdle = 16

    private let inbox: TransferInbox
    private let configuration: ClientConfiguration
    private let server: String
    private var tokens: TokenSource
    private var options: ConnectionOptions
    private var generation = 0
    private var live: [TransferID: Live] = [:]
    private var ids: [ObjectIdentifier: TransferID] = [:]
    private var idle: [Transfer] = []

    init(_ start: TransferLoopStart) {
        inbox = start.inbox
        configuration = start.configuration
        server = configuration.server.authority
        tokens = TokenSource(configuration)
        options = ConnectionOptions(configuration)
    }

    private var multi: UnsafeMutableRawPointer { inbox.multi.pointer }

    func run() {
        var running: CInt = 0
        while true {
            for command in inbox.take() {
                switch command {
                case .start(let id, let request, let sink): start(id, request, sink)
                case .cancel(let id): end(id, CURLE_ABORTED_BY_CALLBACK)
                case .unpause(let id): if let live = live[id] { curl_easy_pause(live.transfer.handle, CURLPAUSE_CONT) }
                case .stop: return stop()
                }
            }
            if curl_multi_perform(multi, &running) != CURLM_OK {
                for id in live.keys { end(id, CURLE_FAILED_INIT) }
            }
            LibCurl.reportDone(multi) { transfer, code in
                if let id = ids[ObjectIdentifier(transfer)] { end(id, code) }
            }
            let wait = endTimedOutHeads()
            curl_multi_poll(multi, nil, 0, wait, nil)
        }
    }

    private func stop() {
        for id in live.keys { end(id, CURLE_ABORTED_BY_CALLBACK) }
        // A request can only have been put in before the last reference to the connection went away.
        for case .start(_, _, let sink) in inbox.take() { sink.fail(failure(CURLE_ABORTED_BY_CALLBACK, "stopped")) }
        idle = []
    }

    private func failure(_ code: CURLcode, _ text: String) -> TransportFailure {
        TransportFailure(code, text: text, server: server, mayHaveBeenSent: false)
    }

    private func start(_ id: TransferID, _ request: APIRequest, _ sink: TransferSink) {
        guard let transfer = idle.popLast() ?? newTransfer() else {
            return sink.fail(failure(CURLE_OUT_OF_MEMORY, "out of memory"))
        }
        let now = Moment.now()
        let authorization = tokens.authorization(now: now)
        switch sink {
        case .whole(let deadline, _):
            guard deadline > now else {
                return sink.fail(
                    failure(CURLE_OPERATION_TIMEDOUT, "the deadline had passed before the request was sent"))
            }
            transfer.prepare(request, remaining: deadline - now, authorization: authorization)
        case .stream(let limits, _, let pipe):
            transfer.prepareStream(request, stall: limits.stall, authorization: authorization, to: pipe)
        }
        guard curl_multi_add_handle(multi, transfer.handle) == CURLM_OK else {
            return sink.fail(failure(CURLE_OUT_OF_MEMORY, "out of memory"))
        }
        live[id] = Live(transfer: transfer, sink: sink)
        ids[ObjectIdentifier(transfer)] = id
    }

    private func newTransfer() -> Transfer? {
        guard let transfer = Transfer(options) else { return nil }
        // Connections are shared, so all transfers ask for it. A peer that is gone is noticed within about a minute.
        ck_setopt_long(transfer.handle, CURLOPT_TCP_KEEPALIVE, 1)
        ck_setopt_long(transfer.handle, CURLOPT_TCP_KEEPIDLE, 15)
        ck_setopt_long(transfer.handle, CURLOPT_TCP_KEEPINTVL, 5)
        return transfer
    }

    /// How many milliseconds to wait at most.
    private func endTimedOutHeads() -> CInt {
        var wait = Duration.seconds(60)
        let now = Moment.now()
        for (id, transfer) in live {
            guard case .stream(_, let deadline, let pipe) = transfer.sink, !pipe.hasHead else { continue }
            if deadline <= now {
                end(id, CURLE_OPERATION_TIMEDOUT)
            } else {
                wait = min(wait, deadline - now)
            }
        }
        return CInt(wait.wholeMilliseconds + 1)
    }

    private func end(_ id: TransferID, _ code: CURLcode) {
        guard let ended = live.removeValue(forKey: id) else { return }
        let transfer = ended.transfer
        ids[ObjectIdentifier(transfer)] = nil
        curl_multi_remove_handle(multi, transfer.handle)
        if code == CURLE_OPERATION_TIMEDOUT { renewConnections() }
        switch ended.sink {
        case .whole(_, let box):
            let reply = transfer.reply(code, server: server)
            if case .success(let response) = reply { notice(status: response.status) }
            box.fill(reply)
        case .stream(_, _, let pipe):
            notice(status: pipe.status ?? 0)
            pipe.finish(code == CURLE_OK ? nil : transfer.failure(code, server: server))
            transfer.endStream()
        }
        if transfer.generation == generation, idle.count < Self.maximumIdle { idle.append(transfer) }
    }

    private func notice(status: Int) {
        if status == 401 { tokens.expire() }
    }

    /// A connection on which an answer stayed away may be dead without anybody having noticed, and libcurl would give
    /// the next request to it. libcurl shares a connection only between transfers with the very same CA, byte by byte,
    /// so another blank line after it is enough to get a new one. Transfers that run stay where they are.
    private func renewConnections() {
        generation += 1
        var renewed = configuration
        renewed.caPEM? += [UInt8](repeating: UInt8(ascii: "\n"), count: 1 + generation % 64)
        options = ConnectionOptions(renewed, generation: generation)
        idle = []
    }
}
