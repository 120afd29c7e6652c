import Testing

@testable import ControllerHTTP

@Suite struct ExpositionTextTests {
    @Test(
        arguments: [
            (0, "0"), (-0.0, "0"), (1, "1"), (-3, "-3"), (0.25, "0.25"), (1e-9, "1e-09"),
            (9_007_199_254_740_992, "9007199254740992"),
            (1e300, "1e+300"), (.infinity, "+Inf"), (-.infinity, "-Inf"), (.nan, "NaN"), (.signalingNaN, "NaN"),
            (0.1 + 0.2, "0.30000000000000004"), (.leastNonzeroMagnitude, "5e-324"),
        ] as [(Double, String)])
    func `A value is written as Go reads it`(value: Double, expected: String) {
        #expect(ExpositionText.number(value) == expected)
    }

    @Test(arguments: 1...4 as ClosedRange<UInt64>)
    func `A value is read back as it was`(seed: UInt64) {
        var generator = SeededGenerator(seed)
        for _ in 0..<500 {
            let value = Double(bitPattern: generator.next())
            guard value.isFinite else { continue }
            #expect(Double(ExpositionText.number(value)) == value)
        }
    }

    @Test(arguments: [
        ("", "", ""), ("plain é", "plain é", "plain é"), ("a\nb", #"a\nb"#, #"a\nb"#), (#"a\b"#, #"a\\b"#, #"a\\b"#),
        (#"say "x""#, #"say "x""#, #"say \"x\""#), ("\\n\n", #"\\n\n"#, #"\\n\n"#), ("\r\t", "\r\t", "\r\t"),
        ("\r\n", "\r\\n", "\r\\n"),
    ])
    func `Help and label values are escaped by their own rules`(text: String, help: String, label: String) {
        #expect(ExpositionText.escaped(text, quotation: false).utf8.elementsEqual(help.utf8))
        #expect(ExpositionText.escaped(text, quotation: true).utf8.elementsEqual(label.utf8))
    }

    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func `A label's value is read back, whatever it holds`(seed: UInt64) throws {
        var generator = SeededGenerator(seed)
        for _ in 0..<300 {
            let values = (0..<3).map { _ in generator.text() }
            var exposition = ExpositionText()
            exposition.sample(
                "m", labels: zip(["a", "b", "c"], values).map { (name: $0, value: $1) }, value: "1")
            let sample = try #require(Self.parse(exposition.text), "\(exposition.text.debugDescription)")
            #expect(sample.name == "m")
            #expect(sample.labels.map(\.0) == ["a", "b", "c"])
            #expect(sample.labels.map { Array($0.1.utf8) } == values.map { Array($0.utf8) })
            #expect(sample.value == "1")
        }
    }

    @Test(arguments: [
        ("a", true, true), ("_a9", true, true), ("a:b", true, false), (":", true, false), ("__a", true, false),
        ("", false, false), ("9a", false, false), ("a-b", false, false), ("a b", false, false), ("é", false, false),
    ])
    func `Names are those that the format knows`(name: String, metric: Bool, label: Bool) {
        #expect(MetricName.isValid(name) == metric)
        #expect(MetricName.isValidLabel(name) == label)
    }

    /// A reader of its own of one sample line, after the grammar of the format.
    static func parse(_ text: String) -> (name: String, labels: [(String, String)], value: String)? {
        var rest = Array(text.utf8)[...]
        func take(until ends: Set<UInt8>) -> String {
            let part = rest.prefix { !ends.contains($0) }
            rest = rest.dropFirst(part.count)
            return String(decoding: part, as: UTF8.self)
        }
        let name = take(until: [UInt8(ascii: "{"), UInt8(ascii: " "), UInt8(ascii: "\n")])
        var labels: [(String, String)] = []
        if rest.first == UInt8(ascii: "{") {
            repeat {
                rest = rest.dropFirst()
                let label = take(until: [UInt8(ascii: "=")])
                guard rest.starts(with: Array("=\"".utf8)) else { return nil }
                rest = rest.dropFirst(2)
                var value: [UInt8] = []
                while let byte = rest.popFirst(), byte != UInt8(ascii: "\"") {
                    if byte == UInt8(ascii: "\n") { return nil }
                    guard byte == UInt8(ascii: "\\") else {
                        value.append(byte)
                        continue
                    }
                    switch rest.popFirst() {
                    case UInt8(ascii: "n"): value.append(UInt8(ascii: "\n"))
                    case UInt8(ascii: "\\"): value.append(UInt8(ascii: "\\"))
                    case UInt8(ascii: "\""): value.append(UInt8(ascii: "\""))
                    default: return nil
                    }
                }
                labels.append((label, String(decoding: value, as: UTF8.self)))
            } while rest.first == UInt8(ascii: ",")
            guard rest.popFirst() == UInt8(ascii: "}") else { return nil }
        }
        guard rest.popFirst() == UInt8(ascii: " ") else { return nil }
        let value = take(until: [UInt8(ascii: "\n")])
        return rest.elementsEqual([UInt8(ascii: "\n")]) ? (name, labels, value) : nil
    }
}
