import Glibc
import IPAMLedger
import KubernetesCore
import Synchronization

/// Lines of key=value pairs, on standard error and in a file when one is named.
///
/// A file that cannot be opened is told of once, on standard error. Every line is one write to a file opened for appending, so lines of concurrent plugins do not mix.
struct PluginLog: LedgerLog {
    let level: LogLevel
    let file: String?
    let traceID: String?
    var writeStandardError: @Sendable ([UInt8]) -> Void = { _ = Process.write($0, to: STDERR_FILENO) }
    private let complaint = Once()

    init(level: LogLevel, file: String?, traceID: String?) {
        self.level = level
        self.file = file
        self.traceID = traceID
    }

    func write(_ level: LogLevel, _ message: StaticString, _ metadata: [(String, String)]) {
        let line = line(level, message, metadata)
        writeStandardError(Array(line.utf8))
        if let file { append(line, to: file) }
    }

    func line(_ level: LogLevel, _ message: StaticString, _ metadata: [(String, String)]) -> String {
        var line = "time=\(Self.timestamp) level=\(level.name) msg=\(Self.quoted(message.description))"
        for (key, value) in metadata where !value.isEmpty { line += " \(key)=\(Self.quoted(value))" }
        if let traceID { line += " trace=\(traceID)" }
        return line + "\n"
    }

    /// A log that cannot be written is no reason to fail; standard error has the line.
    func append(_ line: String, to path: String) {
        var descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o640)
        if descriptor < 0, errno == ENOENT, let slash = path.lastIndex(of: "/") {
            mkdir(String(path[..<slash]), 0o750)
            descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o640)
        }
        guard descriptor >= 0 else {
            let reason = String(cString: strerror(errno))
            guard complaint.isFirst else { return }
            let warning = self.line(.warning, "log file cannot be opened", [("file", path), ("error", reason)])
            return writeStandardError(Array(warning.utf8))
        }
        _ = Process.write(Array(line.utf8), to: descriptor)
        close(descriptor)
    }

    private static var timestamp: String {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return Timestamp.rfc3339(
            millisecondsSince1970: Int64(now.tv_sec) * 1000 + Int64(now.tv_nsec / 1_000_000))
    }

    private static func quoted(_ text: String) -> String {
        let isPlain = text.utf8.allSatisfy { byte in
            byte > 0x20 && byte < 0x7F && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "=")
        }
        if isPlain { return text }
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\n": quoted += "\\n"
            // The control characters C0, DEL and C1, some of which terminals obey.
            case _ where scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value): quoted += "?"
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}

/// Tells the first one who asks from all others.
private final class Once: Sendable {
    private let isUsed = Atomic(false)

    var isFirst: Bool { !isUsed.exchange(true, ordering: .relaxed) }
}
