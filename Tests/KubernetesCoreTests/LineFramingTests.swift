import KubernetesCore
import Testing

@Suite struct LineFramingTests {
    /// The lines of a text that arrives in these chunks.
    static func lines(_ chunks: [String], maximumLength: Int = 100) throws -> (lines: [String], isAtEnd: Bool) {
        var framing = LineFraming(maximumLength: maximumLength)
        var lines: [String] = []
        for chunk in chunks {
            framing.append(Array(chunk.utf8))
            while let line = try framing.next() { lines.append(String(decoding: line, as: UTF8.self)) }
        }
        return (lines, framing.isAtEndOfLine)
    }

    @Test(
        arguments: [
            ([], [], true),
            ([""], [], true),
            (["a\n"], ["a"], true),
            (["a"], [], false),
            (["a", "b\nc", "\n"], ["ab", "c"], true),
            (["a\nb\nc"], ["a", "b"], false),
            // Empty lines are left out.
            (["\n\na\n\n", "\n", "b\n"], ["a", "b"], true),
            // A carriage return is white space to a JSON parser, not ours to cut.
            (["a\r\n"], ["a\r"], true),
        ] as [([String], [String], Bool)])
    func `A stream is cut at its newlines`(chunks: [String], lines: [String], isAtEnd: Bool) throws {
        let result = try Self.lines(chunks)
        #expect(result.lines == lines)
        #expect(result.isAtEnd == isAtEnd)
    }

    @Test func `The lines are the same however the stream is cut into chunks`() throws {
        let text = "{\"a\":1}\n\n{\"é\":\"\\n\"}\nlast\nrest"
        let bytes = Array(text.utf8)
        var generator = SeededGenerator(seed: 7)
        for _ in 0..<500 {
            var framing = LineFraming(maximumLength: 20)
            var found: [[UInt8]] = []
            var start = 0
            while start < bytes.count {
                let end = Int.random(in: start...bytes.count, using: &generator)
                framing.append(Array(bytes[start..<end]))
                start = end
                while let line = try framing.next() { found.append(Array(line)) }
            }
            #expect(found == text.split(separator: "\n").dropLast().map { Array($0.utf8) })
            #expect(!framing.isAtEndOfLine)
        }
    }

    @Test func `A line of the greatest length passes, a longer one does not, whole or in pieces`() throws {
        #expect(try Self.lines(["1234567890\n"], maximumLength: 10).lines == ["1234567890"])
        #expect(try Self.lines(["12345", "67890", "\n"], maximumLength: 10).lines == ["1234567890"])
        for chunks in [["12345678901\n"], ["12345678901"], ["123456", "78901"], ["a\n", "12345678901\nb\n"]] {
            #expect(throws: LineTooLong.self) { try Self.lines(chunks, maximumLength: 10) }
        }
    }
}
