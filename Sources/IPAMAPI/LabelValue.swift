/// Texts as the values of labels.
package enum LabelValue {
    /// The longest value that Kubernetes takes, in bytes.
    package static let maximumLength = 63

    private static let hashLength = 16

    /// A label value that stands for a text, always the same one for the same text.
    ///
    /// It is the text itself when that is valid: empty, or at most 63 letters, digits, `-`, `_` and `.` with a letter or
    /// digit at both ends. Otherwise it is what is valid of the text, 46 characters at most, `-`, and 16 hexadecimal
    /// digits of its SHA-256, so that two texts do not meet in one value.
    package static func fitting(_ text: String) -> String {
        guard !isValid(text) else { return text }
        let start = text.utf8.filter(isAllowed).drop { !isAlphanumeric($0) }.prefix(maximumLength - hashLength - 1)
        let hash = SHA256.hex(text).prefix(hashLength)
        return start.isEmpty ? String(hash) : "\(String(decoding: start, as: UTF8.self))-\(hash)"
    }

    /// Whether Kubernetes takes a text as the value of a label.
    package static func isValid(_ text: String) -> Bool {
        guard let first = text.utf8.first, let last = text.utf8.last else { return true }
        return text.utf8.count <= maximumLength && isAlphanumeric(first) && isAlphanumeric(last)
            && text.utf8.allSatisfy(isAllowed)
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "a")...UInt8(ascii: "z"):
            true
        default: false
        }
    }

    private static func isAllowed(_ byte: UInt8) -> Bool {
        isAlphanumeric(byte) || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_") || byte == UInt8(ascii: ".")
    }
}
