/// A pattern that names are held against: `*` for any run of characters, `?` for one, `[1-3,5]` for a number of a set, the
/// rest for itself.
///
/// Numbers are written as in the set: `[1-12]` matches `1` and `12` and not `01`, `[01-12]` matches `01` and not `1`.
package struct NamePattern: Hashable, Sendable, CustomStringConvertible {
    /// As it was written.
    package let text: String
    private let tokens: [Token]

    private enum Token: Hashable, Sendable {
        case literal(UInt8)
        case any
        case run
        case number([NumberRange])
    }

    private struct NumberRange: Hashable, Sendable {
        var values: ClosedRange<Int>
        /// Of numbers with leading zeros; nil where there are none.
        var width: Int?

        func contains(_ digits: ArraySlice<UInt8>) -> Bool {
            guard let value = Int(String(decoding: digits, as: UTF8.self)), values.contains(value) else { return false }
            if let width { return digits.count == width }
            return digits.count == 1 || digits.first != UInt8(ascii: "0")
        }
    }

    package static let maximumLength = 253
    private static let maximumDigits = 9

    /// - Throws: What is wrong with the text, which is quoted in it.
    package init(parsing text: String) throws(PatternError) {
        self.text = text
        guard !text.isEmpty else { throw PatternError(text: text, problem: "is empty") }
        guard text.utf8.count <= Self.maximumLength else {
            throw PatternError(text: text, problem: "is longer than \(Self.maximumLength) characters")
        }
        var tokens: [Token] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "*"): if tokens.last != .run { tokens.append(.run) }
            case UInt8(ascii: "?"): tokens.append(.any)
            case UInt8(ascii: "["):
                guard let end = rest.firstIndex(of: UInt8(ascii: "]")) else {
                    throw PatternError(text: text, problem: "has a \"[\" without its \"]\"")
                }
                tokens.append(.number(try Self.numbers(rest[..<end], of: text)))
                rest = rest[(end + 1)...]
            case UInt8(ascii: "]"): throw PatternError(text: text, problem: "has a \"]\" without its \"[\"")
            case 0x21...0x7e: tokens.append(.literal(byte))
            default: throw PatternError(text: text, problem: "holds a blank or a character that no name has")
            }
        }
        self.tokens = tokens
    }

    private static func numbers(_ list: ArraySlice<UInt8>, of text: String) throws(PatternError) -> [NumberRange] {
        var ranges: [NumberRange] = []
        for element in list.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
            let bounds = element.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
            let numbers = bounds.compactMap { bound -> Int? in
                let isNumber = !bound.isEmpty && bound.count <= maximumDigits && bound.allSatisfy(isDigit)
                return isNumber ? Int(String(decoding: bound, as: UTF8.self)) : nil
            }
            guard numbers.count == bounds.count, (1...2).contains(numbers.count),
                numbers[0] <= numbers[numbers.count - 1]
            else {
                throw PatternError(
                    text: text,
                    problem: "has in its brackets \"\(String(decoding: element, as: UTF8.self))\", which is neither a"
                        + " number nor a range such as 1-3")
            }
            let isPadded = bounds.contains { $0.count > 1 && $0.first == UInt8(ascii: "0") }
            guard !isPadded || bounds.allSatisfy({ $0.count == bounds[0].count }) else {
                throw PatternError(text: text, problem: "has numbers with leading zeros that differ in length")
            }
            ranges.append(
                NumberRange(values: numbers[0]...numbers[numbers.count - 1], width: isPadded ? bounds[0].count : nil))
        }
        return ranges
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    /// Whether it stands for one name only, which is its text.
    package var isExact: Bool {
        tokens.allSatisfy { if case .literal = $0 { true } else { false } }
    }

    /// Follows all ways to read the name at once, so that the work is bounded by pattern times name.
    package func matches(_ name: String) -> Bool {
        let name = Array(name.utf8)
        // Where in the name the tokens so far can end.
        var ends: Set<Int> = [0]
        for token in tokens {
            var next: Set<Int> = []
            switch token {
            case .literal(let byte):
                for end in ends where end < name.count && name[end] == byte { next.insert(end + 1) }
            case .any:
                for end in ends where end < name.count { next.insert(end + 1) }
            case .run:
                if let first = ends.min() { next.formUnion(first...name.count) }
            case .number(let ranges):
                for end in ends {
                    let digits = name[end...].prefix(Self.maximumDigits).prefix(while: Self.isDigit)
                    for count in 0..<digits.count
                    where ranges.contains(where: { $0.contains(digits.prefix(count + 1)) }) {
                        next.insert(end + count + 1)
                    }
                }
            }
            if next.isEmpty { return false }
            ends = next
        }
        return ends.contains(name.count)
    }

    package var description: String { text }
}

/// Why a text is no pattern.
package struct PatternError: Error, Hashable, Sendable, CustomStringConvertible {
    package let text: String
    /// A predicate of the text.
    package let problem: String

    package var description: String { "\(text.debugDescription) \(problem)" }
}
