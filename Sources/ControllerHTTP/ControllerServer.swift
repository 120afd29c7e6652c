import Glibc
import Hummingbird
import HummingbirdCore
package import Logging
import NIOCore
import ServiceLifecycle

/// Where a server listens.
package struct ListenAddress: Hashable, Sendable {
    /// An address, an IPv6 address without brackets.
    package var host: String
    /// 0 takes one that is free.
    package var port: Int

    package init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// Every address of the machine: of both families where it has IPv6, otherwise of IPv4.
    package static func any(port: Int) -> ListenAddress {
        ListenAddress(host: hasIPv6 ? "::" : "0.0.0.0", port: port)
    }

    private static var hasIPv6: Bool {
        let descriptor = socket(AF_INET6, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var address = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in6>.size)) == 0
            }
        }
    }
}

/// The servers of a long-lived program: probes and metrics over HTTP, and the controller's admission webhook over TLS 1.2
/// or later.
///
/// Flow: `run` binds them, says so, and answers until the task is cancelled or told to shut down; then nobody new is
/// let in, requests that are being answered are finished, and idle connections closed.
///
/// Guarantees: connections, bodies and times are bounded, see `ServerLimits`. A certificate that `CertificateSource` is
/// given shows on the next connection.
///
/// Errors: `run` throws `ListenError` when an address cannot be bound.
package struct ControllerServer: Service {
    package enum Listener: String, Hashable, Sendable, CaseIterable {
        case probes, webhook
    }

    package struct Configuration: Hashable, Sendable {
        package var probes: ListenAddress
        package var webhook: ListenAddress
        package var limits: ServerLimits

        package init(
            probes: ListenAddress = .any(port: 8080), webhook: ListenAddress = .any(port: 9443),
            limits: ServerLimits = ServerLimits()
        ) {
            self.probes = probes
            self.webhook = webhook
            self.limits = limits
        }
    }

    private struct Webhook: Sendable {
        let admission: AdmissionEndpoint
        let certificates: CertificateSource
    }

    private let configuration: Configuration
    private let probes: ProbeEndpoint
    /// Nil where there is none.
    private let webhook: Webhook?
    private let logger: Logger
    private let onListening: @Sendable (Listener, Int) -> Void

    /// - Parameter onListening: Is told the port of each server once it is bound.
    package init(
        _ configuration: Configuration = Configuration(), probes: ProbeEndpoint, admission: AdmissionEndpoint,
        certificates: CertificateSource, logger: Logger,
        onListening: @escaping @Sendable (Listener, Int) -> Void = { _, _ in }
    ) {
        self.configuration = configuration
        self.probes = probes
        webhook = Webhook(admission: admission, certificates: certificates)
        self.logger = logger
        self.onListening = onListening
    }

    /// Without a webhook.
    package init(
        _ address: ListenAddress, limits: ServerLimits = ServerLimits(), probes: ProbeEndpoint, logger: Logger,
        onListening: @escaping @Sendable (Listener, Int) -> Void = { _, _ in }
    ) {
        configuration = Configuration(probes: address, limits: limits)
        self.probes = probes
        webhook = nil
        self.logger = logger
        self.onListening = onListening
    }

    package func run() async throws {
        let limits = configuration.limits
        let http = HTTP1Channel.Configuration(idleTimeout: limits.idle.timeAmount, httpDecoderConfiguration: .berth)
        var services = [
            ListeningService(
                listener: .probes, address: configuration.probes,
                server: application(
                    .probes, probes, configuration.probes, limits.probeConnections, .http1(configuration: http)))
        ]
        if let webhook {
            services.append(
                ListeningService(
                    listener: .webhook, address: configuration.webhook,
                    server: application(
                        .webhook, webhook.admission, configuration.webhook, limits.webhookConnections,
                        HTTPServerBuilder { responder in
                            RenewableTLSChannel(
                                base: HTTP1Channel(responder: responder, configuration: http),
                                certificates: webhook.certificates)
                        })))
        }
        try await ServiceGroup(configuration: .init(services: services, logger: quietLogger)).run()
    }

    private func application<E: Endpoint>(
        _ listener: Listener, _ endpoint: E, _ address: ListenAddress, _ connections: Int, _ server: HTTPServerBuilder
    ) -> Application<EndpointResponder<E>> {
        Application(
            responder: EndpointResponder(endpoint: endpoint, limits: configuration.limits),
            server: server,
            configuration: ApplicationConfiguration(
                address: .hostname(address.host, port: address.port),
                availableConnectionsDelegate: .maximum(connections, logger: quietLogger)),
            onServerRunning: { channel in
                let port = channel.localAddress?.port ?? address.port
                logger.info(
                    "listening",
                    metadata: ["server": "\(listener.rawValue)", "address": "\(address.host)", "port": "\(port)"])
                onListening(listener, port)
            },
            logger: quietLogger)
    }

    /// The libraries' own lines are no constant messages; what they say below a warning is said here.
    private var quietLogger: Logger {
        var logger = logger
        logger.logLevel = max(logger.logLevel, .warning)
        return logger
    }
}

/// An address cannot be listened on: usually another program has the port.
package struct ListenError: Error, Hashable, CustomStringConvertible {
    package var listener: ControllerServer.Listener
    package var address: ListenAddress
    /// What the system says.
    package var code: Int32

    package init(_ listener: ControllerServer.Listener, _ address: ListenAddress, code: Int32) {
        self.listener = listener
        self.address = address
        self.code = code
    }

    package var description: String {
        "cannot listen on port \(address.port) of \(address.host) for \(listener.rawValue): "
            + String(cString: strerror(code))
    }
}

/// Says of an error of the system which address it is about.
private struct ListeningService: Service {
    let listener: ControllerServer.Listener
    let address: ListenAddress
    let server: any Service

    func run() async throws {
        do {
            try await server.run()
        } catch let error as IOError {
            throw ListenError(listener, address, code: error.errnoCode)
        }
    }
}

/// Bounds that no client, whatever it does, can cross.
package struct ServerLimits: Hashable, Sendable {
    /// Connections beyond wait in the backlog of the socket.
    package var probeConnections = 64
    package var webhookConnections = 256
    /// For how long a connection may stand open without a request, the handshake and the head of a request included.
    /// Longer than the 90 s after which kube-apiserver closes one, so that it never sends a request into a connection
    /// that is being closed.
    package var idle: Duration = .seconds(120)
    /// For how long the body of a request may take to come.
    package var body: Duration = .seconds(20)
    /// For how long a client of which nothing more is read may take to read its answer.
    package var linger: Duration = .seconds(2)

    package init() {}
}

extension Duration {
    var timeAmount: TimeAmount { TimeAmount(self) }
}

extension HTTP1Channel.Configuration.DecoderConfiguration {
    /// The API server's requests have heads of less than 1 KiB.
    static var berth: Self {
        .init(maxHeaderFieldSize: 16 << 10, maxHeaderListSize: 32 << 10, maxHeaderFieldCount: 100)
    }
}
