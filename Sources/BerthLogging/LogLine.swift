import JSONText
import KubernetesCore

/// One line of a log, in the two forms that Berth's programs write.
package struct LogLine: Sendable {
    package enum Format: String, CaseIterable, Sendable {
        /// `time=… level=… msg=… key=value`, as the CNI plugin writes it.
        case text
        /// An object in a line.
        case json
    }

    /// Since 1970.
    package var milliseconds: Int64
    package var level: String
    package var message: String
    /// In the order in which they are written. What is empty is left out.
    package var fields: [(name: String, value: String)]

    package init(milliseconds: Int64, level: String, message: String, fields: [(name: String, value: String)] = []) {
        self.milliseconds = milliseconds
        self.level = level
        self.message = message
        self.fields = fields
    }

    /// The line in UTF-8, with the line feed that ends it and no other control character.
    package func bytes(_ format: Format) -> [UInt8] {
        switch format {
        case .text: Array(text.utf8)
        case .json: json.serialized() + [UInt8(ascii: "\n")]
        }
    }

    private var timestamp: String { Timestamp.rfc3339(millisecondsSince1970: milliseconds) }

    private var text: String {
        var line = "time=\(timestamp) level=\(level) msg=\(Self.quoted(message))"
        for (name, value) in fields where !value.isEmpty { line += " \(Self.quoted(name))=\(Self.quoted(value))" }
        return line + "\n"
    }

    private static let reserved: Set = ["time", "level", "msg"]

    private var json: JSON {
        var json: JSON = ["time": .string(timestamp), "level": .string(level), "msg": .string(message)]
        for (name, value) in fields where !value.isEmpty {
            json[Self.reserved.contains(name) ? name + "_" : name] = .string(value)
        }
        return json
    }

    /// What a terminal or a reader of lines could take for something else is escaped as in Go's strconv.Quote.
    private static func quoted(_ text: String) -> String {
        let isPlain = text.utf8.allSatisfy { byte in
            byte > 0x20 && byte < 0x7F && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "=")
        }
        if isPlain, !text.isEmpty { return text }
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\n": quoted += "\\n"
            case "\r": quoted += "\\r"
            case "\t": quoted += "\\t"
            case _ where scalar.value < 0x20 || scalar.value == 0x7F: quoted += "\\x" + hex(scalar, digits: 2)
            case _ where isInvisible(scalar): quoted += "\\u" + hex(scalar, digits: 4)
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }

    /// Controls of ISO 6429, separators of lines, and what turns the direction of writing.
    private static func isInvisible(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x80...0x9F, 0x200B...0x200F, 0x2028...0x202E, 0x2060...0x206F, 0xFEFF: true
        default: false
        }
    }

    private static func hex(_ scalar: Unicode.Scalar, digits: Int) -> String {
        let text = String(scalar.value, radix: 16)
        return String(repeating: "0", count: max(digits - text.utf8.count, 0)) + text
    }
}
