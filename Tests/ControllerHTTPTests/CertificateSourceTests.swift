import ControllerHTTP
import Logging
import Synchronization
import Testing

@Suite struct CertificateSourceTests {
    @Test func `What was shown last is shown`() throws {
        let source = CertificateSource()
        #expect(source.current == nil)
        let first = try makeSecret(seed: 1)
        #expect(try source.show(chain: first.certificate, key: first.key))
        #expect(try source.current == Certificate(pem: first.certificate))
        #expect(try source.show(chain: first.certificate, key: first.key) == false)
        let second = try makeSecret(seed: 2)
        #expect(try source.show(chain: second.certificate + first.authorities, key: second.key))
        #expect(try source.current == Certificate(pem: second.certificate))
    }

    @Test func `What cannot be served leaves what can`() throws {
        let source = CertificateSource()
        let good = try makeSecret(seed: 1)
        let other = try makeSecret(seed: 2)
        try source.show(chain: good.certificate, key: good.key)
        for (chain, key) in [
            (other.certificate, good.key), (good.certificate, other.key), ("", good.key), ("rubbish", good.key),
            (good.certificate, PrivateKey(pem: "")), (good.certificate + "-----BEGIN CERTIFICATE-----\nAA", other.key),
        ] {
            #expect(throws: CertificateProblem.self) { try source.show(chain: chain, key: key) }
            #expect(try source.current == Certificate(pem: good.certificate))
        }
    }
}

@Suite struct CertificateFilesTests {
    let folder: Folder
    let source = CertificateSource()

    init() throws { folder = try Folder() }

    func files(clock: any Clock<Duration> = .continuous, logger: Logger? = nil) -> CertificateFiles {
        CertificateFiles(
            certificatePath: "\(folder.path)/tls.crt", keyPath: "\(folder.path)/tls.key", source: source, clock: clock,
            logger: logger ?? ControllerServerTests.quiet)
    }

    func write(_ secret: CertificateSecret) throws {
        try folder.write("tls.crt", secret.certificate)
        try folder.write("tls.key", secret.key.pem)
    }

    @Test func `Files are read, and read again when they have changed`() throws {
        let first = try makeSecret(seed: 1)
        let second = try makeSecret(seed: 2)
        try write(first)
        #expect(try files().refresh())
        #expect(try files().refresh() == false)
        try write(second)
        #expect(try files().refresh())
        #expect(try source.current == Certificate(pem: second.certificate))
    }

    @Test func `Files in the middle of a change leave what was shown`() throws {
        let first = try makeSecret(seed: 1)
        let second = try makeSecret(seed: 2)
        try write(first)
        try files().refresh()
        try folder.write("tls.crt", second.certificate)
        #expect(throws: CertificateProblem.self) { try files().refresh() }
        #expect(try source.current == Certificate(pem: first.certificate))
        folder.remove("tls.key")
        #expect(throws: CertificateProblem("\(folder.path)/tls.key", "cannot be read: No such file or directory")) {
            try files().refresh()
        }
        try folder.write("tls.key", "a\0b")
        #expect(throws: CertificateProblem.self) { try files().refresh() }
        #expect(try source.current == Certificate(pem: first.certificate))
    }

    @Test func `A file that is no certificate is not read to its end`() throws {
        try folder.write("tls.crt", String(repeating: "a", count: (1 << 20) + 1))
        #expect(throws: CertificateProblem("\(folder.path)/tls.crt", "larger than 1 MiB")) { try files().refresh() }
    }

    @Test(.timeLimit(.minutes(1)))
    func `While it runs it follows the files and reports each problem once`() async throws {
        let lines = Lines()
        let logger = Logger(label: "t") { _ in LineHandler(lines: lines) }
        let clock = StepClock()
        let files = files(clock: clock, logger: logger)
        let first = try makeSecret(seed: 1)
        try await withThrowingTaskGroup { tasks in
            tasks.addTask { try await files.run() }
            // Nothing there yet.
            await clock.sleeping()
            clock.wake()
            await clock.sleeping()
            #expect(lines.all == ["serving certificate not usable"])
            try write(first)
            clock.wake()
            await clock.sleeping()
            #expect(try source.current == Certificate(pem: first.certificate))
            folder.remove("tls.key")
            clock.wake()
            await clock.sleeping()
            #expect(
                lines.all == [
                    "serving certificate not usable", "serving certificate read from file",
                    "serving certificate not usable",
                ])
            tasks.cancelAll()
            try await tasks.waitForAll()
        }
    }
}

/// A clock on which every sleep ends when it is told to.
final class StepClock: Clock {
    struct Instant: InstantProtocol {
        var offset: Duration
        func advanced(by duration: Duration) -> Instant { Instant(offset: offset + duration) }
        func duration(to other: Instant) -> Duration { other.offset - offset }
        static func < (a: Instant, b: Instant) -> Bool { a.offset < b.offset }
    }

    let now = Instant(offset: .zero)
    let minimumResolution: Duration = .nanoseconds(1)
    private let sleepers: (stream: AsyncStream<Void>, continuation: AsyncStream<Void>.Continuation)
    private let steps: (stream: AsyncStream<Void>, continuation: AsyncStream<Void>.Continuation)

    init() {
        sleepers = AsyncStream.makeStream()
        steps = AsyncStream.makeStream()
    }

    func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        sleepers.continuation.yield()
        for await _ in steps.stream { break }
        try Task.checkCancellation()
    }

    /// Returns when somebody has begun to sleep.
    func sleeping() async { for await _ in sleepers.stream { break } }

    func wake() { steps.continuation.yield() }
}

final class Lines: Sendable {
    private let lines = Mutex<[String]>([])

    func append(_ line: String) { lines.withLock { $0.append(line) } }

    var all: [String] { lines.withLock(\.self) }
}

struct LineHandler: LogHandler {
    let lines: Lines
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level = .info

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) { lines.append(event.message.description) }
}
