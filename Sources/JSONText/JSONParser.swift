/// Why bytes are not one JSON value.
package struct JSONSyntaxError: Error, Equatable, CustomStringConvertible {
    /// Offset of the first byte that does not fit, from 0.
    package let offset: Int
    package let problem: String

    package init(offset: Int, problem: String) {
        self.offset = offset
        self.problem = problem
    }

    package var description: String { "not JSON: \(problem) at byte \(offset)" }
}

extension JSON {
    /// Parses exactly one value with nothing but white space around it (RFC 8259).
    ///
    /// Nesting deeper than 256 levels is refused, so that hostile input cannot exhaust the stack. Invalid UTF-8 in a
    /// string is repaired with U+FFFD.
    ///
    /// - Parameter name: Members of this name are left out, at every level, for the time that they would cost. Of their
    ///   objects and lists only brackets and strings are checked.
    package init(parsing bytes: [UInt8], leavingOut name: String? = nil) throws(JSONSyntaxError) {
        self = try bytes.withUnsafeBufferPointer { buffer throws(JSONSyntaxError) in
            var parser = JSONParser(bytes: buffer)
            parser.unwantedName = name
            return try parser.parseDocument()
        }
    }

    package init(parsing text: String) throws(JSONSyntaxError) {
        try self.init(parsing: Array(text.utf8))
    }

    package init(parsing bytes: UnsafeBufferPointer<UInt8>) throws(JSONSyntaxError) {
        var parser = JSONParser(bytes: bytes)
        self = try parser.parseDocument()
    }
}

private struct JSONParser {
    static let maximumDepth = 256

    let bytes: UnsafeBufferPointer<UInt8>
    var offset = 0
    var depth = 0
    var unwantedName: String?

    init(bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    mutating func parseDocument() throws(JSONSyntaxError) -> JSON {
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { offset = 3 }
        let value = try parseValue()
        skipSpace()
        guard offset == bytes.count else { throw failure("unexpected text after the value") }
        return value
    }

    func failure(_ problem: String) -> JSONSyntaxError { JSONSyntaxError(offset: offset, problem: problem) }

    mutating func skipSpace() {
        while offset < bytes.count {
            switch bytes[offset] {
            case UInt8(ascii: " "), UInt8(ascii: "\n"), UInt8(ascii: "\t"), UInt8(ascii: "\r"): offset += 1
            default: return
            }
        }
    }

    /// The next byte that is not white space, not consumed; 0 at the end, which starts no token.
    mutating func peek() -> UInt8 {
        skipSpace()
        return offset < bytes.count ? bytes[offset] : 0
    }

    mutating func parseValue() throws(JSONSyntaxError) -> JSON {
        switch peek() {
        case UInt8(ascii: "{"): return try parseObject()
        case UInt8(ascii: "["): return try parseArray()
        case UInt8(ascii: "\""): return .string(try parseString())
        case UInt8(ascii: "t"): return try parseWord("true", .bool(true))
        case UInt8(ascii: "f"): return try parseWord("false", .bool(false))
        case UInt8(ascii: "n"): return try parseWord("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try parseNumber()
        default: throw failure(offset == bytes.count ? "unexpected end" : "expected a value")
        }
    }

    mutating func parseWord(_ word: StaticString, _ value: JSON) throws(JSONSyntaxError) -> JSON {
        let end = offset + word.utf8CodeUnitCount
        guard end <= bytes.count else { throw failure("unexpected end") }
        for index in 0..<word.utf8CodeUnitCount where bytes[offset + index] != word.utf8Start[index] {
            throw failure("expected a value")
        }
        offset = end
        return value
    }

    mutating func enter() throws(JSONSyntaxError) {
        depth += 1
        guard depth <= Self.maximumDepth else { throw failure("nested more than \(Self.maximumDepth) levels deep") }
        offset += 1
    }

    mutating func parseObject() throws(JSONSyntaxError) -> JSON {
        try enter()
        var object = JSONObject()
        if peek() == UInt8(ascii: "}") {
            offset += 1
        } else {
            repeat {
                guard peek() == UInt8(ascii: "\"") else { throw failure("expected a member's name in quotes") }
                let name = try parseString()
                guard peek() == UInt8(ascii: ":") else { throw failure("expected ':' after a member's name") }
                offset += 1
                if let unwantedName, name == unwantedName {
                    try skipValue()
                } else {
                    object.append(JSONObject.Member(name: name, value: try parseValue()))
                }
            } while try separated(closing: UInt8(ascii: "}"), "expected ',' or '}' in an object")
        }
        depth -= 1
        return .object(object)
    }

    /// Consumes a value that nobody wants.
    mutating func skipValue() throws(JSONSyntaxError) {
        guard peek() == UInt8(ascii: "{") || peek() == UInt8(ascii: "[") else {
            _ = try parseValue()
            return
        }
        var openCount = 0
        repeat {
            switch peek() {
            case UInt8(ascii: "{"), UInt8(ascii: "["): openCount += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"): openCount -= 1
            case UInt8(ascii: "\""):
                try skipString()
                continue
            default:
                guard offset < bytes.count else { throw failure("unexpected end") }
            }
            offset += 1
        } while openCount > 0
    }

    mutating func skipString() throws(JSONSyntaxError) {
        offset += 1
        while offset < bytes.count {
            switch bytes[offset] {
            case UInt8(ascii: "\""):
                offset += 1
                return
            case UInt8(ascii: "\\"): offset += 2
            default: offset += 1
            }
        }
        offset = bytes.count
        throw failure("a string without its closing quote")
    }

    mutating func parseArray() throws(JSONSyntaxError) -> JSON {
        try enter()
        var array: [JSON] = []
        if peek() == UInt8(ascii: "]") {
            offset += 1
        } else {
            repeat {
                array.append(try parseValue())
            } while try separated(closing: UInt8(ascii: "]"), "expected ',' or ']' in a list")
        }
        depth -= 1
        return .array(array)
    }

    /// Consumes a comma (true) or the closing bracket (false).
    mutating func separated(closing: UInt8, _ problem: String) throws(JSONSyntaxError) -> Bool {
        let byte = peek()
        guard byte == UInt8(ascii: ",") || byte == closing else {
            throw failure(offset == bytes.count ? "unexpected end" : problem)
        }
        offset += 1
        return byte != closing
    }

    mutating func parseNumber() throws(JSONSyntaxError) -> JSON {
        let start = offset
        if bytes[offset] == UInt8(ascii: "-") { offset += 1 }
        let leadingZero = offset < bytes.count && bytes[offset] == UInt8(ascii: "0")
        let integerDigits = skipDigits()
        guard integerDigits > 0 else { throw failure("expected a digit") }
        guard !leadingZero || integerDigits == 1 else { throw failure("a number with a leading zero") }
        if offset < bytes.count, bytes[offset] == UInt8(ascii: ".") {
            offset += 1
            guard skipDigits() > 0 else { throw failure("expected a digit after '.'") }
        }
        if offset < bytes.count, bytes[offset] | 0x20 == UInt8(ascii: "e") {
            offset += 1
            if offset < bytes.count, bytes[offset] == UInt8(ascii: "+") || bytes[offset] == UInt8(ascii: "-") {
                offset += 1
            }
            guard skipDigits() > 0 else { throw failure("expected a digit in the exponent") }
        }
        return .number(String(decoding: bytes[start..<offset], as: UTF8.self))
    }

    mutating func skipDigits() -> Int {
        let start = offset
        while offset < bytes.count, bytes[offset] >= UInt8(ascii: "0"), bytes[offset] <= UInt8(ascii: "9") {
            offset += 1
        }
        return offset - start
    }

    mutating func parseString() throws(JSONSyntaxError) -> String {
        offset += 1
        let start = offset
        // Nearly every string has no escape: one scan, one copy.
        while offset < bytes.count {
            let byte = bytes[offset]
            if byte == UInt8(ascii: "\"") {
                defer { offset += 1 }
                return String(decoding: bytes[start..<offset], as: UTF8.self)
            }
            if byte == UInt8(ascii: "\\") { return try parseEscapedString(prefix: bytes[start..<offset]) }
            guard byte >= 0x20 else { throw failure("a control character in a string") }
            offset += 1
        }
        throw failure("a string without its closing quote")
    }

    mutating func parseEscapedString(prefix: Slice<UnsafeBufferPointer<UInt8>>) throws(JSONSyntaxError) -> String {
        var text = Array(prefix)
        while offset < bytes.count {
            let byte = bytes[offset]
            switch byte {
            case UInt8(ascii: "\""):
                offset += 1
                return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"):
                offset += 1
                try parseEscape(into: &text)
            case 0..<0x20:
                throw failure("a control character in a string")
            default:
                text.append(byte)
                offset += 1
            }
        }
        throw failure("a string without its closing quote")
    }

    mutating func parseEscape(into text: inout [UInt8]) throws(JSONSyntaxError) {
        guard offset < bytes.count else { throw failure("unexpected end") }
        let byte = bytes[offset]
        offset += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"): text.append(contentsOf: Array(String(try parseUnicodeEscape()).utf8))
        default:
            offset -= 1
            throw failure("an unknown escape in a string")
        }
    }

    /// A `\u` escape, with its second half where it is a surrogate pair; a lone surrogate becomes U+FFFD.
    mutating func parseUnicodeEscape() throws(JSONSyntaxError) -> Unicode.Scalar {
        let first = try parseHexQuad()
        if let scalar = Unicode.Scalar(first) { return scalar }
        let mark = offset
        if first < 0xDC00, offset + 6 <= bytes.count, bytes[offset] == UInt8(ascii: "\\"),
            bytes[offset + 1] == UInt8(ascii: "u")
        {
            offset += 2
            let second = try parseHexQuad()
            if (0xDC00..<0xE000).contains(second),
                let scalar = Unicode.Scalar(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))
            {
                return scalar
            }
            offset = mark
        }
        return "\u{FFFD}"
    }

    mutating func parseHexQuad() throws(JSONSyntaxError) -> UInt32 {
        guard offset + 4 <= bytes.count else { throw failure("unexpected end") }
        var value: UInt32 = 0
        for _ in 0..<4 {
            let byte = bytes[offset]
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
            default: throw failure("expected four hexadecimal digits")
            }
            value = value << 4 | UInt32(digit)
            offset += 1
        }
        return value
    }
}
