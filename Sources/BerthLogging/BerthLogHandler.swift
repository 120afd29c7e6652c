import Glibc
package import Logging
import Synchronization

/// Writes what swift-log is given to standard error, one write a line.
///
/// Messages are constant; what varies is in the metadata, which is written in the order of its keys behind the label
/// of the logger. Metadata of the call counts before that of the logger, and that before the provider's.
package struct BerthLogHandler: LogHandler {
    package var logLevel: Logger.Level
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?

    private let label: String
    private let format: LogLine.Format
    private let clock: @Sendable () -> Int64
    private let write: @Sendable ([UInt8]) -> Void

    /// - Parameters:
    ///   - clock: Milliseconds since 1970.
    ///   - write: Gets whole lines, from any thread.
    package init(
        label: String, level: Logger.Level = .info, format: LogLine.Format = .text,
        clock: @escaping @Sendable () -> Int64 = { Self.wallClock() },
        write: @escaping @Sendable ([UInt8]) -> Void = { StandardError.write($0) }
    ) {
        self.label = label
        logLevel = level
        self.format = format
        self.clock = clock
        self.write = write
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var merged = metadataProvider?.get() ?? [:]
        merged.merge(metadata) { $1 }
        if let explicit = event.metadata { merged.merge(explicit) { $1 } }
        if let error = event.error, merged["error"] == nil { merged["error"] = "\(error)" }
        let fields = merged.sorted { $0.key < $1.key }.map { (name: $0.key, value: "\($0.value)") }
        let line = LogLine(
            milliseconds: clock(), level: event.level.rawValue, message: event.message.description,
            fields: [(name: "logger", value: label)] + fields)
        write(line.bytes(format))
    }

    package static func wallClock() -> Int64 {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return Int64(now.tv_sec) * 1000 + Int64(now.tv_nsec / 1_000_000)
    }
}

/// Standard error, which threads take turns at, so that long lines do not mix.
package enum StandardError {
    private static let turn = Mutex<Void>(())

    /// A log that cannot be written is no reason to fail.
    package static func write(_ bytes: [UInt8]) {
        turn.withLock { _ in
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = rest.withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return }
                rest = rest.dropFirst(count)
            }
        }
    }
}

extension Logger {
    /// For a group of services, which below the level `notice` writes whole services into its lines.
    package var forServiceGroup: Logger {
        var logger = self
        logger.logLevel = max(logLevel, .notice)
        return logger
    }
}
