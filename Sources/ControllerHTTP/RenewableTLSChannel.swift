import HummingbirdCore
import Logging
import NIOCore
import NIOSSL

/// HTTP over TLS with the certificate of the moment at which a connection is made. (The channel of HummingbirdTLS has
/// one certificate for good.)
struct RenewableTLSChannel: ServerChildChannel {
    let base: HTTP1Channel
    let certificates: CertificateSource

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<HTTP1Channel.Value> {
        guard let context = certificates.context else {
            return channel.eventLoop.makeFailedFuture(NoCertificate())
        }
        return channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context))
        }.flatMap {
            base.setup(channel: channel, logger: logger)
        }
    }

    func handle(value: HTTP1Channel.Value, logger: Logger) async {
        await base.handle(value: value, logger: logger)
    }

    /// The connection is closed, and the client will come again.
    private struct NoCertificate: Error {}
}
