import BerthLogging
import JSONText
import Testing

@Suite struct LogLineTests {
    static func line(_ message: String, _ fields: [(name: String, value: String)] = []) -> LogLine {
        LogLine(milliseconds: 1_764_000_000_042, level: "info", message: message, fields: fields)
    }

    static func text(_ line: LogLine, _ format: LogLine.Format = .text) -> String {
        String(decoding: line.bytes(format), as: UTF8.self)
    }

    static let prefix = "time=2025-11-24T16:00:00.042Z level=info msg="

    @Test func `A line of text holds what the line of the plugin holds`() {
        let line = Self.line("address released", [(name: "address", value: "10.0.0.1"), (name: "pod", value: "a/b c")])
        #expect(Self.text(line) == Self.prefix + "\"address released\" address=10.0.0.1 pod=\"a/b c\"\n")
    }

    @Test(arguments: [
        ("plain", "plain"), ("", "\"\""), ("a b", "\"a b\""), ("a=b", "\"a=b\""), ("\"", #""\"""#), ("\\ ", #""\\ ""#),
        ("a\\b", "a\\b"),
        // Control characters of every kind.
        ("a\nb", #""a\nb""#), ("\r\t", #""\r\t""#), ("\u{1B}[31m", #""\x1b[31m""#), ("\u{7F}", #""\x7f""#),
        ("\0", #""\x00""#), ("\u{85}", #""\u0085""#), ("\u{2028}", #""\u2028""#), ("\u{202E}x", #""\u202ex""#),
        // What a person can read stays.
        ("é😀", "\"é😀\""),
    ])
    func `A value is quoted where a reader could take it for more than one`(value: String, expected: String) {
        #expect(Self.text(Self.line(value)) == Self.prefix + expected + "\n")
    }

    @Test func `Empty fields are left out`() {
        let line = Self.line("m", [(name: "a", value: ""), (name: "b", value: "1")])
        #expect(Self.text(line) == Self.prefix + "m b=1\n")
        #expect(Self.text(line, .json).contains("\"a\"") == false)
    }

    @Test func `A line of JSON is one object with the same fields`() throws {
        let line = Self.line("two\nlines", [(name: "level", value: "x"), (name: "pod", value: "\u{1B}\"")])
        let text = Self.text(line, .json)
        #expect(text.split(separator: "\n", omittingEmptySubsequences: false).map(\.isEmpty) == [false, true])
        let expected: JSON = [
            "time": "2025-11-24T16:00:00.042Z", "level": "info", "msg": "two\nlines", "level_": "x", "pod": "\u{1B}\"",
        ]
        #expect(try JSON(parsing: text) == expected)
    }

    @Test func `Whatever a value holds, it stays within its line`() throws {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<500 {
            var scalars = String.UnicodeScalarView()
            for _ in 0..<Int.random(in: 0...12, using: &generator) {
                let limit: UInt32 = [0x30, 0xA0, 0x2100, 0x11_0000].randomElement(using: &generator) ?? 0
                scalars.append(Unicode.Scalar(UInt32.random(in: 0..<limit, using: &generator)) ?? "?")
            }
            let line = Self.line("m", [(name: "k", value: String(scalars))])
            for format in LogLine.Format.allCases {
                let bytes = line.bytes(format)
                #expect(bytes.dropLast().allSatisfy { $0 >= 0x20 }, "\(format) \(String(scalars).debugDescription)")
                #expect(bytes.last == UInt8(ascii: "\n"))
            }
        }
    }
}
