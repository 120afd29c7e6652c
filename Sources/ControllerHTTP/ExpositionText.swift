/// Text in the Prometheus exposition format, version 0.0.4
/// (https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format).
///
/// Of its rules these are relied on: a line ends in a line feed, the last one too; the HELP and TYPE lines of a metric
/// stand once, in front of its samples, which form one group; a sample is a name, labels in braces and a value, which
/// is what Go's ParseFloat reads, with `NaN`, `+Inf` and `-Inf`; in help a backslash and a line feed are escaped, in
/// the value of a label a quotation mark too; a histogram has cumulative buckets with the label `le`, the last one
/// `+Inf` and equal to its `_count`, and a `_sum`.
struct ExpositionText {
    static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    private(set) var text = ""

    mutating func begin(_ name: String, help: String, type: String) {
        text += "# HELP \(name) \(Self.escaped(help, quotation: false))\n# TYPE \(name) \(type)\n"
    }

    mutating func sample(_ name: String, labels: [(name: String, value: String)], value: String) {
        text += name
        var separator = "{"
        for label in labels {
            text += "\(separator)\(label.name)=\"\(Self.escaped(label.value, quotation: true))\""
            separator = ","
        }
        if !labels.isEmpty { text += "}" }
        text += " \(value)\n"
    }

    static func escaped(_ text: String, quotation: Bool) -> String {
        var escaped = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": escaped.append(contentsOf: "\\\\".unicodeScalars)
            case "\n": escaped.append(contentsOf: "\\n".unicodeScalars)
            case "\"" where quotation: escaped.append(contentsOf: "\\\"".unicodeScalars)
            default: escaped.append(scalar)
            }
        }
        return String(escaped)
    }

    /// Whole numbers without a fraction, as other programs print them, for then `le="1"` is one label everywhere.
    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        // Every integer of this range is a Double.
        if let whole = Int64(exactly: value), whole.magnitude <= 1 << 53 { return String(whole) }
        return value.description
    }
}

/// The rules for names, which a metric that breaks them would spoil a whole scrape with.
enum MetricName {
    /// `[a-zA-Z_:][a-zA-Z0-9_:]*`
    static func isValid(_ name: String) -> Bool { isValid(name, colon: true) }

    /// `[a-zA-Z_][a-zA-Z0-9_]*`; names that begin with two underscores are Prometheus' own.
    static func isValidLabel(_ name: String) -> Bool { isValid(name, colon: false) && !name.hasPrefix("__") }

    private static func isValid(_ name: String, colon: Bool) -> Bool {
        guard let first = name.utf8.first, !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) else {
            return false
        }
        return name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
                true
            case UInt8(ascii: ":"): colon
            default: false
            }
        }
    }
}
