internal import NIOCore
internal import NIOHTTP1
internal import NIOHTTP2

/// The client's side of an HTTP/1.1 connection or of an HTTP/2 stream: gathers requests and gives answers.
final class ProxyRequestHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let core: ProxyCore
    private let connection: Int
    private let isHTTP2: Bool
    private var context: ChannelHandlerContext?
    private var head: HTTPRequestHead?
    private var body: [UInt8] = []
    private var exchange: ProxyExchange?
    private var keepsAlive = true

    init(_ core: ProxyCore, _ connection: Int, isHTTP2: Bool) {
        self.core = core
        self.connection = connection
        self.isHTTP2 = isHTTP2
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            body = []
            if !isHTTP2, head.headers.contains(name: "expect") {
                let goOn = HTTPResponseHead(version: .http1_1, status: .continue)
                context.writeAndFlush(wrapOutboundOut(.head(goOn)), promise: nil)
            }
        case .body(let buffer): body.append(contentsOf: buffer.readableBytesView)
        case .end:
            guard let head else { return }
            keepsAlive = isHTTP2 || head.isKeepAlive
            let exchange = core.begin(request(head), self)
            self.exchange = exchange
            exchange.start()
        }
    }

    private func request(_ head: HTTPRequestHead) -> ProxyRequest {
        let parts = head.uri.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        return ProxyRequest(
            number: core.nextRequestNumber(),
            method: head.method.rawValue,
            path: String(parts[0]),
            query: parts.count > 1 ? String(parts[1]) : "",
            headers: head.headers.map { .init(name: $0.name, value: $0.value) },
            body: body,
            httpVersion: isHTTP2 ? "2" : "1.1",
            connection: connection
        )
    }

    func channelInactive(context: ChannelHandlerContext) {
        clientHasGone()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        clientHasGone()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func clientHasGone() {
        context = nil
        let exchange = exchange
        self.exchange = nil
        exchange?.clientHasGone()
    }

    // What an exchange calls. All of it does nothing once the client has gone.

    func send(_ head: HTTPResponseHead) {
        var head = head
        if !keepsAlive { head.headers.replaceOrAdd(name: "connection", value: "close") }
        context?.writeAndFlush(wrapOutboundOut(.head(head)), promise: nil)
    }

    func send(_ bytes: ByteBuffer) {
        context?.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(bytes))), promise: nil)
    }

    func sendEnd() {
        exchange = nil
        guard let context else { return }
        let written = context.writeAndFlush(wrapOutboundOut(.end(nil)))
        if !keepsAlive {
            written.assumeIsolated().whenComplete { [weak self] _ in self?.context?.close(promise: nil) }
        }
    }

    func lose(_ loss: Loss) {
        exchange = nil
        switch loss {
        case .stream where isHTTP2: context?.close(promise: nil)
        case .stream, .connection: core.reset(connection: connection)
        }
    }

    func refuseStream() {
        guard isHTTP2, let context else { return lose(.connection) }
        exchange = nil
        guard
            let codec = try? context.channel.pipeline.syncOperations.context(
                handlerType: HTTP2FramePayloadToHTTP1ServerCodec.self)
        else { return lose(.connection) }
        // Past the codec, which speaks HTTP/1.
        codec.writeAndFlush(NIOAny(HTTP2Frame.FramePayload.rstStream(.refusedStream)), promise: nil)
    }
}
