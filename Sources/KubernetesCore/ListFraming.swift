package import JSONText

/// Cuts the members of `items` out of a list while it arrives, so that a list of 60,000 objects never stands in memory
/// as one text.
///
/// Flow: `append` returns the items that a chunk has completed; `finish` returns the rest of the list, its `items`
/// empty, from which `ObjectList` takes version and continue token. What is not a list (a Status, for example) comes
/// out of `finish` whole.
///
/// Guarantees: the items come in their order and each once, however the stream was cut into chunks. No more is kept
/// than one unfinished item and the rest of the list, each at most as long as its bound. `append` and `finish` together
/// accept exactly what a JSON parser accepts: the pieces are parsed, and so is what stands between them.
///
/// Errors: after one the framing is of no use any more. Items that came before it stand for nothing: a list counts only
/// when `finish` has returned.
package struct ListFraming: Sendable {
    private enum Place {
        case envelope
        /// Directly inside the brackets of `items`.
        case items(Expected)
        case item(Shape)
    }

    private enum Expected { case itemOrEnd, item, commaOrEnd }

    /// A string, number or word has no closing bracket of its own.
    private enum Shape { case bracketed, string, word }

    private let maximumItemLength: Int
    private let maximumEnvelopeLength: Int
    private var place = Place.envelope
    private var depth = 0
    private var isInString = false
    private var isEscaped = false
    /// The next string at depth 1 is a member's name.
    private var expectsName = false
    /// The outermost value is an object, whose `items` were not seen yet.
    private var expectsItems = false
    private var name: [UInt8] = []
    private var isInName = false
    private var envelope: [UInt8] = []
    /// The beginning of an item that an earlier chunk left unfinished.
    private var pending: [UInt8] = []

    /// - Parameters:
    ///   - maximumItemLength: In bytes.
    ///   - maximumEnvelopeLength: Of all that is not an item, in bytes.
    package init(maximumItemLength: Int = 16 << 20, maximumEnvelopeLength: Int = 1 << 20) {
        self.maximumItemLength = maximumItemLength
        self.maximumEnvelopeLength = maximumEnvelopeLength
    }

    /// The items that this chunk completes.
    package mutating func append(_ chunk: [UInt8]) throws(ListFramingError) -> [JSON] {
        try chunk.withUnsafeBufferPointer { bytes throws(ListFramingError) in try scan(bytes) }
    }

    private mutating func scan(_ bytes: UnsafeBufferPointer<UInt8>) throws(ListFramingError) -> [JSON] {
        var found: [JSON] = []
        var itemStart = 0
        var index = 0
        while index < bytes.count {
            let byte = bytes[index]
            switch place {
            case .envelope:
                guard envelope.count < maximumEnvelopeLength else {
                    throw ListFramingError("more than \(maximumEnvelopeLength) bytes beside the items")
                }
                envelope.append(byte)
                scanEnvelope(byte)
                index += 1
            case .items(let expected):
                try scanBetween(byte, expected)
                if case .item = place { itemStart = index } else { index += 1 }
            case .item(let shape):
                let end = endOfItem(shape, bytes, from: index)
                index = end.index
                guard index - itemStart + pending.count <= maximumItemLength else {
                    throw ListFramingError("an item longer than \(maximumItemLength) bytes")
                }
                guard end.isComplete else { continue }
                found.append(try item(UnsafeBufferPointer(rebasing: bytes[itemStart..<index])))
                place = .items(.commaOrEnd)
            }
        }
        if case .item = place { pending.append(contentsOf: bytes[itemStart...]) }
        return found
    }

    /// The list without its items.
    package mutating func finish() throws(ListFramingError) -> JSON {
        do {
            return try JSON(parsing: envelope)
        } catch {
            throw ListFramingError("\(error)" + (envelope.isEmpty ? "" : ", the items not counted"))
        }
    }

    private mutating func scanEnvelope(_ byte: UInt8) {
        if isInString {
            if isEscaped {
                isEscaped = false
            } else if byte == UInt8(ascii: "\\") {
                isEscaped = true
            } else if byte == UInt8(ascii: "\"") {
                isInString = false
                isInName = false
                return
            }
            // A name written with escapes is not recognised: no server writes `items` so, and then the list has none.
            if isInName { name.append(byte) }
            return
        }
        switch byte {
        case UInt8(ascii: "\""):
            isInString = true
            if depth == 1, expectsName {
                isInName = true
                expectsName = false
                name.removeAll(keepingCapacity: true)
            }
        case UInt8(ascii: "{"):
            if depth == 0 { expectsItems = true }
            depth += 1
            expectsName = depth == 1
        case UInt8(ascii: "["):
            depth += 1
            if depth == 2, expectsItems, name.elementsEqual("items".utf8) { place = .items(.itemOrEnd) }
        case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
        case UInt8(ascii: ","): if depth == 1 { expectsName = true }
        default: break
        }
    }

    private mutating func scanBetween(_ byte: UInt8, _ expected: Expected) throws(ListFramingError) {
        switch (byte, expected) {
        case (UInt8(ascii: " "), _), (UInt8(ascii: "\n"), _), (UInt8(ascii: "\t"), _), (UInt8(ascii: "\r"), _): break
        case (UInt8(ascii: ","), .commaOrEnd): place = .items(.item)
        case (UInt8(ascii: "]"), .itemOrEnd), (UInt8(ascii: "]"), .commaOrEnd):
            envelope.append(byte)
            depth -= 1
            // A second member of that name, which no server sends, is one like any other.
            expectsItems = false
            place = .envelope
        case (UInt8(ascii: ","), _), (UInt8(ascii: "]"), _), (_, .commaOrEnd):
            throw ListFramingError("not JSON: items not separated by single commas")
        case (UInt8(ascii: "{"), _), (UInt8(ascii: "["), _): place = .item(.bracketed)
        case (UInt8(ascii: "\""), _): place = .item(.string)
        default: place = .item(.word)
        }
    }

    /// The index after the last byte of the item, or of the chunk.
    private mutating func endOfItem(
        _ shape: Shape, _ bytes: UnsafeBufferPointer<UInt8>, from start: Int
    ) -> (index: Int, isComplete: Bool) {
        var index = start
        while index < bytes.count {
            let byte = bytes[index]
            if isInString {
                if isEscaped {
                    isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    isEscaped = true
                } else if byte == UInt8(ascii: "\"") {
                    isInString = false
                    if shape == .string { return (index + 1, true) }
                }
                index += 1
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): isInString = true
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                if shape == .word { return (index, true) }
                depth -= 1
                if depth == 2 { return (index + 1, true) }
            case UInt8(ascii: ","): if shape == .word { return (index, true) }
            default: break
            }
            index += 1
        }
        return (index, false)
    }

    private mutating func item(_ bytes: UnsafeBufferPointer<UInt8>) throws(ListFramingError) -> JSON {
        do {
            guard !pending.isEmpty else { return try JSON(parsing: bytes) }
            pending.append(contentsOf: bytes)
            defer { pending.removeAll(keepingCapacity: true) }
            return try JSON(parsing: pending)
        } catch {
            throw ListFramingError("an item: \(error)")
        }
    }
}

/// Why bytes are not a list.
package struct ListFramingError: Error, Equatable, Sendable, CustomStringConvertible {
    package let problem: String

    init(_ problem: String) { self.problem = problem }

    package var description: String { problem }
}
