internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import NIOSSL

/// A part of the API server's answer.
enum UpstreamPart {
    case head(HTTPResponseHead)
    case body(ByteBuffer)
    case end
    /// There is no answer, or no more of it.
    case failed(String)
}

/// A proxy's connections to the API server: HTTP/1.1, one request at a time on each, kept for the next one.
///
/// Belongs to the proxy's event loop. Nothing is ever sent twice.
final class ProxyUpstream {
    private let target: FaultProxy.Target
    private let tls: NIOSSLContext
    private let loop: any EventLoop
    private var idle: [UpstreamHandler] = []
    private var channels: [ObjectIdentifier: any Channel] = [:]
    private var isStopped = false

    init(_ target: FaultProxy.Target, tls: NIOSSLContext, loop: any EventLoop) {
        self.target = target
        self.tls = tls
        self.loop = loop
    }

    /// Sends a request and tells `receive` of its answer, until `.end` or `.failed`.
    func send(_ request: ProxyRequest, to call: UpstreamCall) {
        guard !isStopped else { return call.receive(.failed("the proxy has stopped")) }
        if let handler = idle.popLast() { return handler.send(head(request), request.body, call) }
        let host = target.host
        let isName = (try? SocketAddress(ipAddress: host, port: 0)) == nil
        let pool = NIOLoopBound(self, eventLoop: loop)
        ClientBootstrap(group: loop)
            .connectTimeout(.seconds(10))
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { [tls] channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHandler(NIOSSLClientHandler(context: tls, serverHostname: isName ? host : nil))
                    try pipeline.addHTTPClientHandlers()
                    try pipeline.addHandler(UpstreamHandler(pool.value))
                }
            }
            .connect(host: host, port: target.port)
            .assumeIsolated()
            .whenComplete { result in
                do {
                    let channel = try result.get()
                    let handler = try channel.pipeline.syncOperations.handler(type: UpstreamHandler.self)
                    self.add(channel)
                    handler.send(self.head(request), request.body, call)
                } catch {
                    call.receive(.failed("\(error)"))
                }
            }
    }

    private func add(_ channel: any Channel) {
        guard !isStopped else { return channel.close(promise: nil) }
        channels[ObjectIdentifier(channel)] = channel
        channel.closeFuture.assumeIsolated().whenComplete { _ in self.channels[ObjectIdentifier(channel)] = nil }
    }

    private func head(_ request: ProxyRequest) -> HTTPRequestHead {
        var headers = HTTPHeaders(request.headers.map { ($0.name, $0.value) })
        for name in hopByHop + ["host", "expect", "content-length"] { headers.remove(name: name) }
        headers.add(name: "host", value: "\(target.host):\(target.port)")
        if !request.body.isEmpty || ["POST", "PUT", "PATCH"].contains(request.method) {
            headers.add(name: "content-length", value: "\(request.body.count)")
        }
        let uri = request.query.isEmpty ? request.path : "\(request.path)?\(request.query)"
        return HTTPRequestHead(
            version: .http1_1, method: HTTPMethod(rawValue: request.method), uri: uri, headers: headers)
    }

    func stop() -> [EventLoopFuture<Void>] {
        isStopped = true
        idle = []
        let open = Array(channels.values)
        // Without the mutual goodbye of TLS, for which a busy server might be waited for.
        for channel in open {
            if let context = try? channel.pipeline.syncOperations.context(handlerType: NIOSSLClientHandler.self) {
                context.close(mode: .all, promise: nil)
            } else {
                channel.close(promise: nil)
            }
        }
        return open.map(\.closeFuture)
    }

    fileprivate func isFree(_ handler: UpstreamHandler) {
        if !isStopped { idle.append(handler) }
    }

    fileprivate func hasClosed(_ handler: UpstreamHandler) { idle.removeAll { $0 === handler } }
}

/// A request at the API server.
final class UpstreamCall {
    private var receiver: ((UpstreamPart) -> Void)?
    fileprivate weak var handler: UpstreamHandler?

    init(_ receiver: @escaping (UpstreamPart) -> Void) { self.receiver = receiver }

    func receive(_ part: UpstreamPart) { receiver?(part) }

    /// Takes no further part of the answer and closes the connection.
    func cancel() {
        receiver = nil
        handler?.close()
    }
}

/// Headers that are about one connection (RFC 9110, section 7.6.1).
let hopByHop = [
    "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings",
]

private final class UpstreamHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    private let pool: ProxyUpstream
    private var context: ChannelHandlerContext?
    private var call: UpstreamCall?
    private var keepsAlive = true
    private var problem = "the API server closed the connection"

    init(_ pool: ProxyUpstream) { self.pool = pool }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func send(_ head: HTTPRequestHead, _ body: [UInt8], _ call: UpstreamCall) {
        guard let context else { return call.receive(.failed(problem)) }
        self.call = call
        call.handler = self
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if !body.isEmpty {
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: body)))), promise: nil)
        }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }

    func close() { context?.close(promise: nil) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            keepsAlive = head.isKeepAlive
            call?.receive(.head(head))
        case .body(let buffer): call?.receive(.body(buffer))
        case .end:
            let ended = call
            call = nil
            if keepsAlive { pool.isFree(self) } else { close() }
            ended?.receive(.end)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        problem = "\(error)"
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.context = nil
        pool.hasClosed(self)
        let broken = call
        call = nil
        broken?.receive(.failed(problem))
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }
}
