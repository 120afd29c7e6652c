import Glibc
import IPAMConsole

/// Standard output and error, and the person at them.
enum Terminal {
    /// - Parameter color: Nil lets the terminal and `NO_COLOR` decide (no-color.org).
    static func style(color: Bool?) -> Style {
        let isPlain = !(variable("NO_COLOR") ?? "").isEmpty || variable("TERM") == "dumb"
        return Style(isColored: color ?? (isatty(STDOUT_FILENO) == 1 && !isPlain), isUnicode: isUnicode)
    }

    /// As the C library reads the locale's variables.
    private static var isUnicode: Bool {
        for name in ["LC_ALL", "LC_CTYPE", "LANG"] {
            guard let value = variable(name), !value.isEmpty else { continue }
            let locale = value.lowercased()
            return locale.contains("utf-8") || locale.contains("utf8")
        }
        return isatty(STDOUT_FILENO) != 1
    }

    static func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

    /// Of this process, all of it.
    static var environment: [String: String] {
        var all: [String: String] = [:]
        var entry = environ
        while let text = entry.pointee.map({ String(cString: $0) }) {
            if let equals = text.firstIndex(of: "=") {
                all[String(text[..<equals])] = String(text[text.index(after: equals)...])
            }
            entry += 1
        }
        return all
    }

    static func say(_ text: String) { write(text, to: STDOUT_FILENO) }
    static func complain(_ text: String) { write("\(text)\n", to: STDERR_FILENO) }

    private static func write(_ text: String, to descriptor: Int32) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            bytes = bytes.dropFirst(count)
        }
    }

    /// Asks a question that only `y` or `yes` answers.
    ///
    /// - Throws: When there is nobody to ask.
    static func confirms(_ question: String) throws(ConsoleError) -> Bool {
        guard isatty(STDIN_FILENO) == 1 else {
            throw ConsoleError("\(question): standard input is no terminal", remedy: "confirm with --yes")
        }
        write("\(question) [y/N] ", to: STDERR_FILENO)
        let answer = readLine()?.lowercased() ?? ""
        return answer == "y" || answer == "yes"
    }
}

/// Says on standard error, where that is a terminal, what takes long. One line that is written over.
final class ProgressLine {
    private let isShown = isatty(STDERR_FILENO) == 1
    private var length = 0
    private var shownAt: Int64 = 0

    func show(_ text: String) {
        guard isShown else { return }
        // A terminal need not be written to a thousand times a second.
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        let now = Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
        guard length == 0 || now - shownAt > 100 else { return }
        shownAt = now
        let padding = String(repeating: " ", count: max(length - text.count, 0))
        length = text.count
        put("\r\(text)\(padding)")
    }

    func clear() {
        guard length > 0 else { return }
        put("\r\(String(repeating: " ", count: length))\r")
        length = 0
    }

    private func put(_ text: String) {
        let bytes = Array(text.utf8)
        _ = bytes.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}
