import Glibc
package import Logging
import ServiceLifecycle

/// Shows the certificate of two files and follows their changes, for those who have certificates made by cert-manager.
///
/// Flow: reads both files, then again every ten seconds: a change of a mounted Secret is a change of symbolic links,
/// which no watch of the files themselves would see.
///
/// Guarantees: the certificate shown and its key belong together, whatever moment of a change the files are read at.
///
/// Errors: files that cannot be used are reported, once for each problem, and what was shown before stays.
package struct CertificateFiles: Service {
    private let certificatePath: String
    private let keyPath: String
    private let source: CertificateSource
    private let interval: Duration
    private let clock: any Clock<Duration>
    private let logger: Logger

    package init(
        certificatePath: String, keyPath: String, source: CertificateSource, interval: Duration = .seconds(10),
        clock: any Clock<Duration> = .continuous, logger: Logger
    ) {
        self.certificatePath = certificatePath
        self.keyPath = keyPath
        self.source = source
        self.interval = interval
        self.clock = clock
        self.logger = logger
    }

    /// Reads the files once.
    ///
    /// - Returns: Whether they held something new.
    @discardableResult
    package func refresh() throws(CertificateProblem) -> Bool {
        let chain = try Self.text(certificatePath)
        let key = PrivateKey(pem: try Self.text(keyPath))
        return try source.show(chain: chain, key: key)
    }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            var lastProblem: CertificateProblem?
            while !Task.isCancelled {
                lastProblem = follow(after: lastProblem)
                try? await clock.sleep(for: interval)
            }
        }
    }

    private func follow(after lastProblem: CertificateProblem?) -> CertificateProblem? {
        do {
            if try refresh() {
                logger.info(
                    "serving certificate read from file",
                    metadata: ["file": "\(certificatePath)", "notAfter": "\(source.current?.notAfter ?? 0)"])
            }
            return nil
        } catch {
            if error != lastProblem {
                logger.error("serving certificate not usable", metadata: ["problem": "\(error)"])
            }
            return error
        }
    }

    /// What is larger is neither.
    private static let maximumSize = 1 << 20

    private static func text(_ path: String) throws(CertificateProblem) -> String {
        guard let file = fopen(path, "re") else { throw unreadable(path, errno) }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16 << 10)
        while true {
            let count = fread(&chunk, 1, chunk.count, file)
            guard ferror(file) == 0 else { throw unreadable(path, errno) }
            if count == 0 { break }
            bytes += chunk[..<count]
            guard bytes.count <= maximumSize else {
                throw CertificateProblem(path, "larger than \(maximumSize >> 20) MiB")
            }
        }
        guard !bytes.contains(0) else { throw CertificateProblem(path, "not text") }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func unreadable(_ path: String, _ code: Int32) -> CertificateProblem {
        CertificateProblem(path, "cannot be read: \(String(cString: strerror(code)))")
    }
}
