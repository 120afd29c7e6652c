import Glibc
import KubernetesClient
import Synchronization

/// A TCP server on loopback that plays one script for each connection it accepts. It knows just enough of HTTP/1.1 to
/// tell where a request ends, and stands for servers that misbehave: no real one can be made to do so on demand.
final class LoopbackServer: Sendable {
    enum Act: Sendable {
        /// Reads one request and sends this text.
        case answer(String)
        /// Reads one request and sends nothing, until the client goes away.
        case silence
        /// Reads one request, sends this text and closes.
        case cut(String)
    }

    static func response(_ status: String, _ body: String, headers: [String] = []) -> String {
        let lines = ["HTTP/1.1 \(status)", "Content-Type: application/json", "Content-Length: \(body.utf8.count)"]
        return (lines + headers).joined(separator: "\r\n") + "\r\n\r\n" + body
    }

    let port: UInt16
    private let descriptor: Int32
    private let scripts: [[Act]]
    private let received = Mutex<[String]>([])
    private let accepted = Mutex(0)

    /// Without scripts nothing is accepted: connections are made by the kernel and stay silent.
    init(_ scripts: [Act]...) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(INADDR_LOOPBACK).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = descriptor
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(descriptor, address, length) | listen(descriptor, 16) | getsockname(descriptor, address, &length)
            }
        }
        guard result == 0 else { throw ConfigurationError(.unreadable, "no loopback socket: \(errno)") }
        port = UInt16(bigEndian: address.sin_port)
        self.scripts = scripts
        guard !scripts.isEmpty else { return }
        var thread = pthread_t()
        pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                Unmanaged<LoopbackServer>.fromOpaque(context).takeRetainedValue().run()
                return nil
            }, Unmanaged.passRetained(self).toOpaque())
        pthread_detach(thread)
    }

    deinit { close(descriptor) }

    /// Request line and body of every request, in order.
    var requests: [String] { received.withLock(\.self) }
    var connections: Int { accepted.withLock(\.self) }

    private func run() {
        for script in scripts {
            let client = accept(descriptor, nil, nil)
            guard client >= 0 else { return }
            accepted.withLock { $0 += 1 }
            play(script, on: client)
            close(client)
        }
    }

    private func play(_ script: [Act], on client: Int32) {
        for act in script {
            guard let request = readRequest(client) else { return }
            received.withLock { $0.append(request) }
            switch act {
            case .answer(let text): write(text, to: client)
            case .silence: _ = readRequest(client)
            case .cut(let text):
                write(text, to: client)
                return
            }
        }
        // The client closes first, so that it is not surprised.
        _ = readRequest(client)
    }

    private func write(_ text: String, to client: Int32) {
        send(client, text, text.utf8.count, Int32(MSG_NOSIGNAL))
    }

    private func readRequest(_ client: Int32) -> String? {
        var text = ""
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            if let request = complete(text) { return request }
            let count = recv(client, &buffer, buffer.count, 0)
            guard count > 0 else { return nil }
            text += String(decoding: buffer[..<count], as: UTF8.self)
        }
    }

    private func complete(_ text: String) -> String? {
        guard let end = text.firstRange(of: "\r\n\r\n") else { return nil }
        let lines = text[..<end.lowerBound].split(separator: "\r\n")
        let length = lines.first { $0.lowercased().hasPrefix("content-length:") }
            .flatMap { Int($0.split(separator: " ").last ?? "") }
        let body = text[end.upperBound...]
        guard body.utf8.count >= length ?? 0, let line = lines.first else { return nil }
        return "\(line)\(body.isEmpty ? "" : " \(body)")"
    }
}
