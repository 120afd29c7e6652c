internal import NIOCore
internal import NIOHTTP1

/// One request and its answer, on the event loop of the proxy.
///
/// Flow: the actions of the rule in their order, as far as they come before the API server; forwarding; then, when the
/// answer is complete, the actions that are about it. A watch, whose answer has no end, is relayed as it comes. A client
/// that goes away changes none of this, except that a watch is given up.
///
/// Guarantee: what the client can see of the end of a request is in the log before the client sees it.
final class ProxyExchange {
    let request: ProxyRequest
    private let core: ProxyCore
    private var client: ProxyRequestHandler?
    private var actions: ArraySlice<FaultAction>
    private var call: UpstreamCall?
    private var timer: Scheduled<Void>?
    private var hasEnded = false
    /// What is forwarded.
    private var forwarded: ProxyRequest

    // The answer.
    private var answerGates: [Gate] = []
    private var end = AnswerEnd.whole
    private var isRelaying = false
    private var withheld: [UpstreamPart] = []
    private var status = 0
    private var bytesLeft = Int.max

    private enum AnswerEnd {
        case whole
        case dropped(Loss)
        case cut(Int, Loss)
        case stalled(Int)
    }

    init(_ request: ProxyRequest, _ core: ProxyCore, _ client: ProxyRequestHandler, actions: [FaultAction]) {
        self.request = request
        forwarded = request
        self.core = core
        self.client = client
        self.actions = actions[...]
    }

    private var isWatch: Bool { request.action?.verb == "watch" }

    func start() { next() }

    func clientHasGone() {
        client = nil
        guard !hasEnded else { return }
        core.log.change(request.number) { $0.clientHasGone = true }
        if isWatch, let call {
            call.cancel()
            finish()
        }
    }

    /// The proxy stops.
    func stop() {
        timer?.cancel()
        call?.cancel()
        finish()
    }

    private func finish() {
        hasEnded = true
        client = nil
        withheld = []
        core.ended(self)
    }

    private func became(_ fate: Fate) { core.log.change(request.number) { $0.fate = fate } }

    // MARK: Before the API server

    private func next() {
        guard !hasEnded else { return }
        switch actions.popFirst() {
        case nil: forward()
        case .delay(let duration):
            became(.held)
            timer = core.loop.assumeIsolated().scheduleTask(in: TimeAmount(duration)) { self.next() }
        case .hold(let gate):
            became(.held)
            wait(at: gate) { $0.next() }
        case .ask(let parameter):
            forwarded.query += forwarded.query.isEmpty ? parameter : "&\(parameter)"
            next()
        case .answer(let make): invent(make(request))
        case .dropBeforeForward(let loss):
            became(.dropped)
            lose(loss)
        case .refuseStream:
            became(.dropped)
            let client = client
            finish()
            client?.refuseStream()
        case .hang: became(.hanging)
        case .holdAnswer(let gate):
            answerGates.append(gate)
            next()
        case .dropAnswer(let loss):
            end = .dropped(loss)
            next()
        case .cutAnswer(let bytes, let loss):
            end = .cut(bytes, loss)
            next()
        case .stallAnswer(let bytes):
            end = .stalled(bytes)
            next()
        }
    }

    /// Goes on with `body` on the event loop when the gate is open.
    private func wait(at gate: Gate, _ body: @escaping (ProxyExchange) -> Void) {
        let loop = core.loop
        let resumption = NIOLoopBound((exchange: self, body: body), eventLoop: loop)
        gate.pass {
            loop.execute { resumption.value.body(resumption.value.exchange) }
        }
    }

    private func lose(_ loss: Loss) {
        let client = client
        finish()
        client?.lose(loss)
    }

    private func invent(_ answer: ProxyAnswer) {
        became(.invented(status: answer.status))
        var headers = HTTPHeaders(answer.headers.map { ($0.name, $0.value) })
        headers.replaceOrAdd(name: "content-length", value: "\(answer.body.count)")
        let client = client
        finish()
        client?.send(
            HTTPResponseHead(version: .http1_1, status: HTTPResponseStatus(statusCode: answer.status), headers: headers)
        )
        if request.method != "HEAD", !answer.body.isEmpty { client?.send(ByteBuffer(bytes: answer.body)) }
        client?.sendEnd()
    }

    // MARK: The API server's answer

    private func forward() {
        became(.forwarded)
        switch end {
        case .cut(let bytes, _), .stalled(let bytes): bytesLeft = bytes
        case .whole, .dropped: break
        }
        let call = UpstreamCall { [self] in receive($0) }
        self.call = call
        core.upstream.send(forwarded, to: call)
    }

    private func receive(_ part: UpstreamPart) {
        guard !hasEnded else { return }
        if case .failed(let reason) = part {
            became(.failed(reason))
            return lose(.connection)
        }
        if case .head(let head) = part { status = Int(head.status.code) }
        if isRelaying { return relay(part) }
        withheld.append(part)
        // An answer is decided upon when it is complete, that of a watch, which has no end, when it begins.
        switch part {
        case .head where isWatch: decide()
        case .end where !isWatch: decide()
        case .head, .body, .end, .failed: break
        }
    }

    private func decide() {
        guard !hasEnded else { return }
        if !answerGates.isEmpty {
            became(.answerHeld(status: status))
            return wait(at: answerGates.removeFirst()) { $0.decide() }
        }
        switch end {
        case .dropped(let loss):
            becameDropped()
            return lose(loss)
        case .whole: became(isWatch ? .answering(status: status) : .answered(status: status))
        case .cut: if isWatch { became(.answering(status: status)) } else { becameDropped() }
        case .stalled: became(isWatch ? .answering(status: status) : .answerHeld(status: status))
        }
        isRelaying = true
        let parts = withheld
        withheld = []
        for part in parts where !hasEnded { relay(part) }
    }

    private func becameDropped() {
        became(.answerDropped(status: status))
        if isWatch { call?.cancel() }
    }

    private func relay(_ part: UpstreamPart) {
        switch part {
        case .head(var head):
            for name in hopByHop { head.headers.remove(name: name) }
            client?.send(head)
            if case .cut(0, let loss) = end { cut(loss) }
        case .body(var buffer):
            if case .whole = end {
                client?.send(buffer)
                return
            }
            if let bytes = buffer.readSlice(length: min(bytesLeft, buffer.readableBytes)) {
                bytesLeft -= bytes.readableBytes
                client?.send(bytes)
            }
            if bytesLeft == 0, case .cut(_, let loss) = end { cut(loss) }
        case .end:
            if case .cut(_, let loss) = end { return cut(loss) }
            if case .stalled = end { return }
            became(.answered(status: status))
            let client = client
            finish()
            client?.sendEnd()
        case .failed: break
        }
    }

    private func cut(_ loss: Loss) {
        becameDropped()
        lose(loss)
    }
}
