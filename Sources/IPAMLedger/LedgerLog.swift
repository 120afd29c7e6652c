/// How much a log line matters.
package enum LogLevel: Int, Sendable, Comparable, CaseIterable {
    case debug, info, warning, error

    /// To print the case itself would cost more than all the rest of a line: the runtime looks through every conformance
    /// of the executable for one to CustomStringConvertible.
    package var name: String {
        switch self {
        case .debug: "debug"
        case .info: "info"
        case .warning: "warning"
        case .error: "error"
        }
    }

    package static func < (a: LogLevel, b: LogLevel) -> Bool { a.rawValue < b.rawValue }
}

/// Where the ledger says what it does. Messages are constant; what varies is in the metadata.
package protocol LedgerLog: Sendable {
    var level: LogLevel { get }
    func write(_ level: LogLevel, _ message: StaticString, _ metadata: [(String, String)])
}

extension LedgerLog {
    /// Metadata costs nothing where the line is not written.
    package func log(
        _ level: LogLevel, _ message: StaticString, _ metadata: @autoclosure () -> [(String, String)] = []
    ) {
        if level >= self.level { write(level, message, metadata()) }
    }
}
