import JSONText
import Testing

struct JSONSerializerTests {
    @Test(
        arguments: [
            (nil, "null"), (true, "true"), (false, "false"), (-1, "-1"), (.number("1.50e+7"), "1.50e+7"), ("", "\"\""),
            ([], "[]"), ([:], "{}"), ([[], [:]], "[[],{}]"), (["a": [1, nil]], #"{"a":[1,null]}"#),
            // Strings: only what must be escaped is.
            ("\"\\/", #""\"\\/""#),
            ("\n\r\t", #""\n\r\t""#),
            ("\0\u{01}\u{08}\u{0C}\u{1F}", #""\u0000\u0001\u0008\u000c\u001f""#),
            ("\u{7F}\u{2028}é😀", "\"\u{7F}\u{2028}é😀\""),
            (["\"a\n": 1], #"{"\"a\n":1}"#),
        ] as [(JSON, String)])
    func `a value is written compactly`(json: JSON, expected: String) {
        #expect(json.description == expected)
        #expect(json.serialized() == Array(expected.utf8))
    }

    @Test func `a value is written over lines`() {
        let json: JSON = ["a": 1, "empty": [:], "list": [1, [], ["b": "c"]]]
        #expect(
            String(decoding: json.serializedPretty(), as: UTF8.self) == """
                {
                  "a": 1,
                  "empty": {},
                  "list": [
                    1,
                    [],
                    {
                      "b": "c"
                    }
                  ]
                }
                """)
        #expect(JSON.array([]).serializedPretty() == Array("[]".utf8))
        #expect(JSON.string("a").serializedPretty() == Array("\"a\"".utf8))
    }
}

// MARK: - Round trips

/// SplitMix64: the same numbers in every run.
private struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func below(_ count: Int) -> Int { Int.random(in: 0..<count, using: &self) }

    mutating func text() -> String {
        var text = String.UnicodeScalarView()
        for _ in 0..<below(8) {
            let limit: UInt32 = [0x20, 0x80, 0x3000, 0x11_0000][below(4)]
            text.append(Unicode.Scalar(UInt32.random(in: 0..<limit, using: &self)) ?? "\u{FFFD}")
        }
        return String(text)
    }

    mutating func number() -> String {
        var text = String(Int64.random(in: .min ... .max, using: &self) >> Int64(below(64)))
        if below(3) == 0 { text += ".\(below(1000))" }
        if below(3) == 0 { text += ["e", "E", "e+", "E-"][below(4)] + "\(below(400))" }
        return text
    }

    mutating func value(depth: Int) -> JSON {
        switch below(depth == 0 ? 5 : 7) {
        case 0: return nil
        case 1: return .bool(below(2) == 0)
        case 2: return .number(number())
        case 3, 4: return .string(text())
        case 5: return .array((0..<below(5)).map { _ in value(depth: depth - 1) })
        default:
            var json: JSON = [:]
            for _ in 0..<below(5) { json[text()] = value(depth: depth - 1) }
            return json
        }
    }
}

extension JSONSerializerTests {
    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func `what is written is read again, to the byte`(seed: UInt64) throws {
        var generator = SeededGenerator(state: seed)
        for _ in 0..<200 {
            let json = generator.value(depth: 5)
            let text = json.serialized()
            let again = try JSON(parsing: text)
            #expect(again == json)
            #expect(again.serialized() == text)
            #expect(again.hashValue == json.hashValue)

            let pretty = json.serializedPretty()
            #expect(try JSON(parsing: pretty).serialized() == text)
            #expect(try JSON(parsing: pretty).serializedPretty() == pretty)
        }
    }

    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func `a part of what is written is refused, not crashed on`(seed: UInt64) throws {
        var generator = SeededGenerator(state: seed)
        for _ in 0..<100 {
            let text = JSON.array([generator.value(depth: 4)]).serialized()
            #expect(throws: JSONSyntaxError.self) { try JSON(parsing: Array(text.prefix(generator.below(text.count)))) }
            var changed = text
            changed[generator.below(text.count)] = UInt8.random(in: 0...255, using: &generator)
            if let json = try? JSON(parsing: changed) {
                #expect(try JSON(parsing: json.serialized()) == json)
            }
        }
    }
}
