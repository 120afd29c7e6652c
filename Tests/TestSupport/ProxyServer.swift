internal import Glibc
internal import NIOCore
internal import NIOHTTP1
internal import NIOHTTP2
internal import NIOPosix
internal import NIOSSL

/// The sockets of a `FaultProxy`. Its state belongs to one event loop, which all of its connections share.
final class ProxyServer: Sendable {
    let port: Int
    private let reservation: ReservedPort
    private let loop: any EventLoop
    private let core: NIOLoopBound<ProxyCore>
    let connections: Observed<Int>

    static func start(
        _ target: FaultProxy.Target, authority: TestAuthority, speaksHTTP2: Bool, rules: RuleBook, log: ProxyLog
    ) async throws -> ProxyServer {
        let serverTLS = try NIOSSLContext(configuration: .proxy(authority, speaksHTTP2: speaksHTTP2))
        var upstreamTLS = TLSConfiguration.makeClientConfiguration()
        upstreamTLS.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(Array(target.caPEM.utf8)))
        let clientTLS = try NIOSSLContext(configuration: upstreamTLS)
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let connections = Observed(0)
        let core = try await loop.submit {
            let upstream = ProxyUpstream(target, tls: clientTLS, loop: loop)
            let core = ProxyCore(serverTLS, upstream, rules, log, connections, loop)
            return NIOLoopBound(core, eventLoop: loop)
        }.get()
        let server = ProxyServer(try ReservedPort(), loop, core, connections)
        try await server.resume()
        return server
    }

    private init(
        _ reservation: ReservedPort, _ loop: any EventLoop, _ core: NIOLoopBound<ProxyCore>,
        _ connections: Observed<Int>
    ) {
        port = reservation.number
        self.reservation = reservation
        self.loop = loop
        self.core = core
        self.connections = connections
    }

    func resume() async throws {
        let core = core
        let descriptor = try boundSocket(port: port)
        guard listen(descriptor, 1024) == 0 else {
            let error = SystemError("listen")
            Glibc.close(descriptor)
            throw error
        }
        let channel = try await ServerBootstrap(group: loop)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try core.value.configure(channel) }
            }
            .withBoundSocket(descriptor).get()
        await onLoop { $0.listener = (channel, descriptor) }
    }

    func suspend() async {
        let closed = await onLoop { core -> EventLoopFuture<Void>? in
            guard let (channel, descriptor) = core.listener else { return nil }
            core.listener = nil
            // A child that is being spawned has a copy of the descriptor until its exec: closing alone would let it listen.
            shutdown(descriptor, Int32(SHUT_RDWR))
            channel.close(promise: nil)
            return channel.closeFuture
        }
        try? await closed?.get()
        await resetConnections()
    }

    func resetConnections() async {
        let closed = await onLoop { $0.resetConnections() }
        try? await EventLoopFuture.andAllComplete(closed, on: loop).get()
    }

    func stop() async {
        await suspend()
        let closed = await onLoop { $0.stop() }
        try? await EventLoopFuture.andAllComplete(closed, on: loop).get()
        reservation.close()
    }

    private func onLoop<Result: Sendable>(_ body: @escaping @Sendable (ProxyCore) -> Result) async -> Result {
        do {
            let core = core
            return try await loop.submit { body(core.value) }.get()
        } catch {
            fatalError("the shared event loops never shut down, but: \(error)")
        }
    }
}

extension TLSConfiguration {
    fileprivate static func proxy(_ authority: TestAuthority, speaksHTTP2: Bool) throws -> TLSConfiguration {
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: try NIOSSLCertificate.fromPEMBytes(Array(authority.certificatePEM.utf8))
                .map { .certificate($0) },
            privateKey: .privateKey(try NIOSSLPrivateKey(bytes: Array(authority.keyPEM.utf8), format: .pem))
        )
        configuration.applicationProtocols = speaksHTTP2 ? ["h2", "http/1.1"] : ["http/1.1"]
        return configuration
    }
}

/// What belongs to the event loop of a proxy: its connections and the exchanges under way.
final class ProxyCore {
    let loop: any EventLoop
    let upstream: ProxyUpstream
    let rules: RuleBook
    let log: ProxyLog
    /// With the descriptor of its socket.
    var listener: (channel: any Channel, descriptor: Int32)?
    private let tls: NIOSSLContext
    private let connectionCount: Observed<Int>
    private var connections: [Int: any Channel] = [:]
    private var exchanges: [Int: ProxyExchange] = [:]
    private var connectionsSoFar = 0
    private var requestsSoFar = 0

    init(
        _ tls: NIOSSLContext, _ upstream: ProxyUpstream, _ rules: RuleBook, _ log: ProxyLog,
        _ connectionCount: Observed<Int>, _ loop: any EventLoop
    ) {
        self.tls = tls
        self.upstream = upstream
        self.rules = rules
        self.log = log
        self.connectionCount = connectionCount
        self.loop = loop
    }

    /// Makes a new connection ready for what its client negotiates.
    func configure(_ channel: any Channel) throws {
        connectionsSoFar += 1
        let number = connectionsSoFar
        connections[number] = channel
        connectionCount.update { $0 += 1 }
        channel.closeFuture.assumeIsolated().whenComplete { _ in
            self.connections[number] = nil
            self.connectionCount.update { $0 -= 1 }
        }
        let core = NIOLoopBound(self, eventLoop: loop)
        try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls))
        _ = channel.configureHTTP2SecureUpgrade { channel in
            channel.eventLoop.makeCompletedFuture {
                _ = try channel.pipeline.syncOperations.configureHTTP2Pipeline(
                    mode: .server, connectionConfiguration: .init(), streamConfiguration: .init()
                ) { stream in
                    stream.eventLoop.makeCompletedFuture {
                        let pipeline = stream.pipeline.syncOperations
                        try pipeline.addHandler(HTTP2FramePayloadToHTTP1ServerCodec())
                        try pipeline.addHandler(ProxyRequestHandler(core.value, number, isHTTP2: true))
                    }
                }
                try channel.pipeline.syncOperations.addHandler(CloseOnError())
            }
        } http1ChannelConfigurator: { channel in
            channel.eventLoop.makeCompletedFuture {
                let pipeline = channel.pipeline.syncOperations
                try pipeline.configureHTTPServerPipeline()
                try pipeline.addHandler(ProxyRequestHandler(core.value, number, isHTTP2: false))
            }
        }
    }

    func begin(_ request: ProxyRequest, _ handler: ProxyRequestHandler) -> ProxyExchange {
        log.append(request)
        let exchange = ProxyExchange(request, self, handler, actions: rules.actions(for: request))
        exchanges[request.number] = exchange
        return exchange
    }

    func nextRequestNumber() -> Int {
        requestsSoFar += 1
        return requestsSoFar
    }

    func ended(_ exchange: ProxyExchange) { exchanges[exchange.request.number] = nil }

    /// Closes a connection with a TCP reset, past TLS, which would say goodbye first.
    func reset(connection number: Int) {
        guard let channel = connections[number] else { return }
        if let provider = channel as? any SocketOptionProvider {
            _ = provider.setSoLinger(linger(l_onoff: 1, l_linger: 0))
        }
        guard let context = try? channel.pipeline.syncOperations.context(handlerType: NIOSSLServerHandler.self) else {
            return channel.close(promise: nil)
        }
        context.close(mode: .all, promise: nil)
    }

    func resetConnections() -> [EventLoopFuture<Void>] {
        let closed = connections.values.map(\.closeFuture)
        for number in connections.keys { reset(connection: number) }
        return closed
    }

    /// Gives up everything under way. Gates that open later find nothing to do.
    func stop() -> [EventLoopFuture<Void>] {
        for exchange in exchanges.values { exchange.stop() }
        exchanges = [:]
        return upstream.stop() + resetConnections()
    }
}

private final class CloseOnError: ChannelInboundHandler {
    typealias InboundIn = Any

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

/// A TCP port of 127.0.0.1 at which nobody listens, so that connections to it are refused, until somebody who sets
/// SO_REUSEADDR does. No other process is given it meanwhile.
package final class ReservedPort: Sendable {
    package let number: Int
    private let descriptor: Observed<Int32>

    package init() throws {
        let descriptor = try boundSocket(port: 0)
        self.descriptor = Observed(descriptor)
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        _ = withUnsafeMutableBytes(of: &address) { bytes in
            getsockname(descriptor, bytes.assumingMemoryBound(to: sockaddr.self).baseAddress, &length)
        }
        number = Int(UInt16(bigEndian: address.sin_port))
    }

    package func close() {
        let open = descriptor.update { descriptor in
            defer { descriptor = -1 }
            return descriptor
        }
        if open >= 0 { Glibc.close(open) }
    }

    deinit { close() }
}

/// A TCP socket of 127.0.0.1 with SO_REUSEADDR, at a port or at any that is free.
private func boundSocket(port: Int) throws -> Int32 {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw SystemError("socket") }
    var yes: Int32 = 1
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = UInt16(port).bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    let status = withUnsafeMutableBytes(of: &address) { bytes in
        bind(descriptor, bytes.assumingMemoryBound(to: sockaddr.self).baseAddress, socklen_t(bytes.count))
    }
    guard status == 0 else {
        let error = SystemError("bind")
        Glibc.close(descriptor)
        throw error
    }
    return descriptor
}
