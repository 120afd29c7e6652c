import JSONText
import Testing

private func parse(_ text: String) throws -> JSON { try JSON(parsing: text) }

private func nested(_ depth: Int) -> String {
    String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
}

struct JSONParserTests {
    @Test(
        arguments: [
            ("null", nil), ("true", true), ("false", false), ("0", 0), ("\"\"", ""), ("[]", []), ("{}", [:]),
            // White space, of the four kinds.
            (" \t\r\n0 \t\r\n", 0),
            ("[ 1 ,\n2 ]", [1, 2]),
            ("{ \"a\" : 1 ,\t\"b\" : [ ] }", ["a": 1, "b": []]),
            ("[[],[[]],{},[{}]]", [[], [[]], [:], [[:]]]),
            ("{\"\":0}", ["": 0]),
            ("[null,true,false]", [nil, true, false]),
        ] as [(String, JSON)])
    func `every kind of value is read`(text: String, expected: JSON) throws {
        #expect(try parse(text) == expected)
    }

    @Test(arguments: [
        "0", "-0", "12", "-12", "1.5", "0.0", "-0.10", "1e3", "1E3", "1e+3", "1E-3", "1.50e007", "18446744073709551616",
        "100000000000000000000000000000000000000000000000000", "0e0", "0.1e1",
    ])
    func `a number keeps its text`(text: String) throws {
        #expect(try parse(text) == .number(text))
        #expect(try parse("[\(text)]") == [.number(text)])
        #expect(try parse(text).description == text)
    }

    @Test(
        arguments: [
            ("0", 0), ("-0", 0), ("9223372036854775807", .max), ("-9223372036854775808", .min),
            ("9223372036854775808", nil), ("1.0", nil), ("1e3", nil), ("1E0", nil), ("\"1\"", nil), ("true", nil),
        ] as [(String, Int?)])
    func `a number is an integer only when it is written as one that fits`(text: String, expected: Int?) throws {
        #expect(try parse(text).int == expected)
    }

    @Test func `a byte order mark before the value is skipped`() throws {
        #expect(try JSON(parsing: [0xEF, 0xBB, 0xBF] + Array("1".utf8)) == 1)
        #expect(throws: JSONSyntaxError.self) { try JSON(parsing: Array("1".utf8) + [0xEF, 0xBB, 0xBF]) }
        #expect(throws: JSONSyntaxError(offset: 3, problem: "unexpected end")) {
            try JSON(parsing: [0xEF, 0xBB, 0xBF])
        }
    }

    @Test(
        arguments: [
            // Nothing, or not one value.
            ("", 0, "unexpected end"),
            (" \n", 2, "unexpected end"),
            ("1 2", 2, "unexpected text after the value"),
            ("{}}", 2, "unexpected text after the value"),
            ("1\0", 1, "unexpected text after the value"),
            ("\0", 0, "expected a value"),
            ("// 1", 0, "expected a value"),
            ("\u{A0}1", 0, "expected a value"),
            ("\u{0B}1", 0, "expected a value"),
            // Words.
            ("nul", 0, "unexpected end"),
            ("nulL", 0, "expected a value"),
            ("True", 0, "expected a value"),
            ("NaN", 0, "expected a value"),
            ("Infinity", 0, "expected a value"),
            ("truefalse", 4, "unexpected text after the value"),
            ("'a'", 0, "expected a value"),
            // Numbers.
            ("-", 1, "expected a digit"),
            ("+1", 0, "expected a value"),
            ("-a", 1, "expected a digit"),
            (".5", 0, "expected a value"),
            ("01", 2, "a number with a leading zero"),
            ("-01", 3, "a number with a leading zero"),
            ("00", 2, "a number with a leading zero"),
            ("1.", 2, "expected a digit after '.'"),
            ("1.e3", 2, "expected a digit after '.'"),
            ("1e", 2, "expected a digit in the exponent"),
            ("1e+", 3, "expected a digit in the exponent"),
            ("0x10", 1, "unexpected text after the value"),
            ("1_000", 1, "unexpected text after the value"),
            ("١", 0, "expected a value"),
            // Lists.
            ("[", 1, "unexpected end"),
            ("[1", 2, "unexpected end"),
            ("[1,", 3, "unexpected end"),
            ("[1,]", 3, "expected a value"),
            ("[,1]", 1, "expected a value"),
            ("[1 2]", 3, "expected ',' or ']' in a list"),
            ("[1}", 2, "expected ',' or ']' in a list"),
            ("]", 0, "expected a value"),
            // Objects.
            ("{\"a\":1", 6, "unexpected end"),
            ("{", 1, "expected a member's name in quotes"),
            ("{a:1}", 1, "expected a member's name in quotes"),
            ("{\"a\":1,}", 7, "expected a member's name in quotes"),
            ("{,}", 1, "expected a member's name in quotes"),
            ("{1:1}", 1, "expected a member's name in quotes"),
            ("{\"a\"}", 4, "expected ':' after a member's name"),
            ("{\"a\" 1}", 5, "expected ':' after a member's name"),
            ("{\"a\":}", 5, "expected a value"),
            ("{\"a\":1 \"b\":2}", 7, "expected ',' or '}' in an object"),
            ("{\"a\":1]", 6, "expected ',' or '}' in an object"),
        ])
    func `what is no JSON is refused where it ceases to be`(text: String, offset: Int, problem: String) {
        let error = JSONSyntaxError(offset: offset, problem: problem)
        #expect(throws: error) { try parse(text) }
        #expect(error.description == "not JSON: \(problem) at byte \(offset)")
    }
}

// MARK: - Strings

extension JSONParserTests {
    @Test(
        arguments: [
            (#""a""#, "a"),
            (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{08}\u{0C}\n\r\t"),
            (#""a\nb""#, "a\nb"),
            (#""\u0041\u00e9\u00E9""#, "Aéé"),
            (#""\u0000""#, "\0"),
            (#""a\u0000b""#, "a\0b"),
            // Not escaped, though it may be.
            ("\"/\u{7F}\u{80}\u{2028}é😀\"", "/\u{7F}\u{80}\u{2028}é😀"),
            // A pair of surrogates.
            (#""\ud83d\ude00""#, "😀"),
            (#""\uD83D\uDE00x""#, "😀x"),
            (#""\ud800\udc00\udbff\udfff""#, "\u{10000}\u{10FFFF}"),
            // A surrogate on its own: high, low, twice, in the wrong order, before text, before another escape.
            (#""\ud83d""#, "\u{FFFD}"),
            (#""\ude00""#, "\u{FFFD}"),
            (#""\ud83d\ud83d""#, "\u{FFFD}\u{FFFD}"),
            (#""\ude00\ud83d""#, "\u{FFFD}\u{FFFD}"),
            (#""\ud83d\ud83d\ude00""#, "\u{FFFD}😀"),
            (#""\ud83dx""#, "\u{FFFD}x"),
            (#""\ud83d\n""#, "\u{FFFD}\n"),
            (#""\ud83d\u0041""#, "\u{FFFD}A"),
            (#""\ud83d\\ude00""#, "\u{FFFD}\\ude00"),
            (#""\ufffe\uffff""#, "\u{FFFE}\u{FFFF}"),
        ])
    func `escapes become what they stand for`(text: String, expected: String) throws {
        #expect(try parse(text).string.map { Array($0.utf8) } == Array(expected.utf8))
    }

    @Test(
        arguments: [
            (#"""#, 1, "a string without its closing quote"),
            (#""a"#, 2, "a string without its closing quote"),
            (#""\n"#, 3, "a string without its closing quote"),
            (#""\""#, 3, "a string without its closing quote"),
            (#""\"#, 2, "unexpected end"),
            (#""\u"#, 3, "unexpected end"),
            (#""\u12""#, 3, "unexpected end"),
            (#""\u12g4""#, 5, "expected four hexadecimal digits"),
            (#""\u+123""#, 3, "expected four hexadecimal digits"),
            (#""\ud83d\u""#, 9, "unexpected end"),
            (#""\ud83d\uzzzz""#, 9, "expected four hexadecimal digits"),
            (#""\U0041""#, 2, "an unknown escape in a string"),
            (#""\x41""#, 2, "an unknown escape in a string"),
            (#""\'""#, 2, "an unknown escape in a string"),
            (#""\0""#, 2, "an unknown escape in a string"),
            ("\"a\nb\"", 2, "a control character in a string"),
            ("\"\\n\tb\"", 3, "a control character in a string"),
            ("\"\0\"", 1, "a control character in a string"),
            ("\"\u{1F}\"", 1, "a control character in a string"),
        ])
    func `a string that is not one is refused`(text: String, offset: Int, problem: String) {
        #expect(throws: JSONSyntaxError(offset: offset, problem: problem)) { try parse(text) }
    }

    @Test(
        arguments: [
            ([0xFF], "\u{FFFD}"),
            ([0x61, 0xC3], "a\u{FFFD}"),
            // The second half comes as an escape.
            ([0xC3] + Array(#"\u00a9"#.utf8), "\u{FFFD}©"),
            // A surrogate and an overlong form, written as bytes.
            ([0xED, 0xA0, 0x80], "\u{FFFD}\u{FFFD}\u{FFFD}"),
            ([0xC0, 0xAF], "\u{FFFD}\u{FFFD}"),
            ([0xF4, 0x90, 0x80, 0x80], "\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}"),
        ] as [([UInt8], String)])
    func `invalid UTF-8 in a string is repaired`(bytes: [UInt8], expected: String) throws {
        let quote = UInt8(ascii: "\"")
        #expect(try JSON(parsing: [quote] + bytes + [quote]) == .string(expected))
    }

    @Test(arguments: [[0xFF], [0xC3, 0xA9], [0x5B, 0x80, 0x5D]] as [[UInt8]])
    func `bytes above ASCII outside strings are refused`(bytes: [UInt8]) {
        #expect(throws: JSONSyntaxError.self) { try JSON(parsing: bytes) }
    }
}

// MARK: - Depth and duplicates

extension JSONParserTests {
    @Test func `256 levels are read, one more is not`() throws {
        let deep = try parse(nested(256))
        #expect(deep.description == nested(256))
        #expect(throws: JSONSyntaxError(offset: 256, problem: "nested more than 256 levels deep")) {
            try parse(nested(257))
        }
        #expect(throws: JSONSyntaxError.self) { try parse(String(repeating: "[", count: 1_000_000)) }
        #expect(throws: JSONSyntaxError.self) { try parse(String(repeating: "{\"a\":", count: 1_000_000)) }
    }

    @Test func `levels that are closed do not count`() throws {
        let text = "[" + Array(repeating: nested(255), count: 10).joined(separator: ",") + "]"
        #expect(try parse(text).array?.count == 10)
        let objects = String(repeating: "{\"a\":", count: 256) + "1" + String(repeating: "}", count: 256)
        #expect(try parse("\(objects)").description == objects)
    }

    @Test func `the last of two members of one name counts, and both are written`() throws {
        let text = #"{"a":1,"b":2,"a":3}"#
        let json = try parse(text)
        #expect(json["a"] == 3)
        #expect(json.object?.names == ["a", "b", "a"])
        #expect(json.description == text)
        #expect(try json == parse(#"{"b":2,"a":3}"#))
        // An escape makes no other name.
        #expect(try parse(#"{"a":1,"\u0061":2}"#)["a"] == 2)
    }

    @Test func `members keep their order`() throws {
        let text = #"{"z":1,"a":2,"m":{"y":1,"b":2},"":3}"#
        #expect(try parse(text).description == text)
    }

    @Test func `members that nobody wants are left out, whatever they hold`() throws {
        for value in [#"[{"a": {"f:x": {}}, "b": ["]", "}", "\"]"]}]"#, "{}", "[]", "null", "17", #""text""#, "[[[]]]"]
        {
            let text = #"{"a": 1, "unwanted": "# + value + #", "b": {"unwanted": "# + value + #", "c": [2]}}"#
            #expect(
                try JSON(parsing: Array(text.utf8), leavingOut: "unwanted") == ["a": 1, "b": ["c": [2]]], "\(value)")
            #expect(try JSON(parsing: Array(text.utf8))["b"]?["unwanted"] != nil)
        }
        for broken in [#"{"unwanted": ["#, #"{"unwanted": ["x]"#, #"{"unwanted": [}"#, #"{"unwanted": ["\"#] {
            #expect(throws: JSONSyntaxError.self) {
                try JSON(parsing: Array(broken.utf8), leavingOut: "unwanted")
            }
        }
    }
}
