// The text forms of addresses: RFC 4291 §2.2 in, RFC 5952 out. Everything works on UTF-8 bytes; strings are made only
// for errors and results.

extension IPAddress: LosslessStringConvertible {
    /// Parses an address strictly.
    ///
    /// IPv4 is four decimal octets without leading zeros. IPv6 is any text of RFC 4291 §2.2: either case, leading zeros
    /// in a group, `::` for one group or more, an IPv4 address as the last 32 bits. `::ffff:1.2.3.4` stays IPv6. Zones,
    /// brackets and surrounding space are errors.
    ///
    /// - Throws: `IPParseError` with the subject `.address`.
    package init(parsing text: some StringProtocol) throws(IPParseError) {
        let text = String(text)
        do throws(IPParseError.Reason) {
            self = try AddressText.address(text.utf8Span.span)
        } catch {
            throw IPParseError(text: text, subject: .address, reason: error)
        }
    }

    /// Parses an address as `init(parsing:)` does, and returns nil where that throws.
    package init?(_ text: String) {
        guard let address = try? IPAddress(parsing: text) else { return nil }
        self = address
    }

    /// The canonical text: a dotted quad, or IPv6 as RFC 5952 writes it.
    ///
    /// Mixed notation (RFC 5952 §5) is used for IPv4-mapped addresses, `::ffff:192.0.2.1`, and for no others: the
    /// prefixes of translators are a matter of configuration. Go's `netip` draws the same line.
    package var description: String {
        switch family {
        case .v4:
            String(unsafeUninitializedCapacity: AddressWriter.maximumIPv4Length) { buffer in
                var writer = AddressWriter(buffer: buffer)
                writer.writeDottedQuad(UInt32(truncatingIfNeeded: value))
                return writer.count
            }
        case .v6:
            String(unsafeUninitializedCapacity: AddressWriter.maximumIPv6Length) { buffer in
                var writer = AddressWriter(buffer: buffer)
                writer.writeCanonicalIPv6(value)
                return writer.count
            }
        }
    }
}

/// The parsers of the parts that addresses, prefixes, ranges and names have in common.
enum AddressText {
    /// Parses an address of either family. The first separator, a dot or a colon, decides which one.
    static func address(_ bytes: Span<UInt8>) throws(IPParseError.Reason) -> IPAddress {
        for index in bytes.indices {
            switch bytes[index] {
            case UInt8(ascii: "."): return IPAddress(family: .v4, validValue: UInt128(try dottedQuad(bytes)))
            case UInt8(ascii: ":"): return IPAddress(family: .v6, validValue: try groups(bytes))
            default: continue
            }
        }
        throw bytes.isEmpty ? .missingAddress : .unrecognized(string(bytes))
    }

    /// Parses exactly four octets.
    static func dottedQuad(_ bytes: Span<UInt8>) throws(IPParseError.Reason) -> UInt32 {
        let (value, count) = try octets(bytes)
        guard count == 4 else { throw .octetCount(count) }
        return value
    }

    /// Parses decimal octets with dots between them, and returns the value of the last four and the number of all.
    static func octets(_ bytes: Span<UInt8>) throws(IPParseError.Reason) -> (value: UInt32, count: Int) {
        guard !bytes.isEmpty else { throw .missingAddress }
        var value: UInt32 = 0
        var count = 0
        var start = 0
        while true {
            var octet: UInt32 = 0
            var index = start
            while index < bytes.count, bytes[index] != UInt8(ascii: ".") {
                guard let digit = decimalDigit(bytes[index]) else { throw unexpected(bytes, at: index) }
                // Far above 255 is enough to know.
                octet = min(octet * 10 + digit, 1000)
                index += 1
            }
            guard index > start else { throw .emptyOctet }
            if index > start + 1, bytes[start] == UInt8(ascii: "0") {
                throw .leadingZero(string(bytes.extracting(start..<index)))
            }
            guard octet <= 255 else { throw .octetTooLarge(string(bytes.extracting(start..<index))) }
            value = value << 8 | octet
            count += 1
            guard index < bytes.count else { return (value, count) }
            start = index + 1
        }
    }

    /// Parses the groups of an IPv6 address (RFC 4291 §2.2).
    static func groups(_ bytes: Span<UInt8>) throws(IPParseError.Reason) -> UInt128 {
        // All groups one after another; where `::` was, the gap is opened at the end.
        var value: UInt128 = 0
        var count = 0
        var compressedAt: Int?
        var index = 0
        if bytes.count >= 2, bytes[0] == UInt8(ascii: ":"), bytes[1] == UInt8(ascii: ":") {
            compressedAt = 0
            index = 2
        }
        while index < bytes.count {
            let start = index
            var group: UInt128 = 0
            while index < bytes.count, let digit = hexDigit(bytes[index]) {
                group = group << 4 | digit
                index += 1
            }
            if index < bytes.count, bytes[index] == UInt8(ascii: ".") {
                value = value << 32 | UInt128(try dottedQuad(bytes.extracting(start..<bytes.count)))
                count += 2
                break
            }
            if index == start {
                throw bytes[index] == UInt8(ascii: ":") ? .emptyGroup : unexpected(bytes, at: index)
            }
            guard index - start <= 4 else { throw .groupTooLong(string(bytes.extracting(start..<index))) }
            value = value << 16 | group
            count += 1
            guard index < bytes.count else { break }
            guard bytes[index] == UInt8(ascii: ":") else { throw unexpected(bytes, at: index) }
            index += 1
            guard index < bytes.count else { throw .emptyGroup }
            if bytes[index] == UInt8(ascii: ":") {
                guard compressedAt == nil else { throw .repeatedCompression }
                compressedAt = count
                index += 1
            }
        }
        guard let compressedAt else {
            guard count == 8 else { throw .groupCount(count) }
            return value
        }
        guard count < 8 else { throw count == 8 ? .needlessCompression : .groupCount(count) }
        let tailBits = 16 * (count - compressedAt)
        let tail = value & (UInt128.max >> (128 - tailBits))
        let head = (value >> tailBits) << (128 - 16 * compressedAt)
        return head | tail
    }

    /// Parses a prefix length: decimal, without sign or leading zeros, within the width of the family.
    static func prefixLength(_ bytes: Span<UInt8>, _ family: IPFamily) throws(IPParseError.Reason) -> Int {
        var length = 0
        for index in bytes.indices {
            guard let digit = decimalDigit(bytes[index]), length <= family.bitWidth else {
                throw .prefixLength(string(bytes), family)
            }
            length = length * 10 + Int(digit)
        }
        let hasLeadingZero = bytes.count > 1 && bytes[0] == UInt8(ascii: "0")
        guard !bytes.isEmpty, !hasLeadingZero, length <= family.bitWidth else {
            throw .prefixLength(string(bytes), family)
        }
        return length
    }

    /// Parses `address/length`; host bits may be set.
    static func interfaceAddress(_ bytes: Span<UInt8>) throws(IPParseError.Reason) -> IPInterfaceAddress {
        guard let slash = firstIndex(of: UInt8(ascii: "/"), in: bytes) else {
            // An error in the address is worth more than the missing length.
            _ = try address(bytes)
            throw .missingPrefixLength
        }
        let address = try address(bytes.extracting(0..<slash))
        let length = try prefixLength(bytes.extracting(slash + 1..<bytes.count), address.family)
        return IPInterfaceAddress(address: address, validLength: length)
    }

    /// Parses `address/length` without host bits.
    static func prefix(_ bytes: Span<UInt8>) throws(IPParseError.Reason) -> IPPrefix {
        let parsed = try interfaceAddress(bytes)
        guard parsed.prefix.address == parsed.address else { throw .hostBits(canonical: parsed.prefix) }
        return parsed.prefix
    }

    /// The index of the first such byte.
    static func firstIndex(of byte: UInt8, in bytes: Span<UInt8>) -> Int? {
        for index in bytes.indices where bytes[index] == byte {
            return index
        }
        return nil
    }

    /// The bytes as a string.
    static func string(_ bytes: Span<UInt8>) -> String {
        bytes.withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self) }
    }

    /// The value of an ASCII decimal digit.
    private static func decimalDigit(_ byte: UInt8) -> UInt32? {
        let digit = byte &- UInt8(ascii: "0")
        return digit <= 9 ? UInt32(digit) : nil
    }

    /// The value of an ASCII hexadecimal digit of either case.
    private static func hexDigit(_ byte: UInt8) -> UInt128? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt128(byte - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt128(byte - UInt8(ascii: "a") + 10)
        case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt128(byte - UInt8(ascii: "A") + 10)
        default: nil
        }
    }

    /// The reason for an error at this byte: the start of a zone, or a character that has no place there.
    private static func unexpected(_ bytes: Span<UInt8>, at index: Int) -> IPParseError.Reason {
        let rest = string(bytes.extracting(index..<bytes.count))
        return rest.hasPrefix("%") ? .zone(rest) : .unexpectedCharacter(String(rest.prefix(1)))
    }
}

/// Writes addresses as ASCII into a buffer that is large enough for the longest one.
struct AddressWriter {
    /// The length of `255.255.255.255`. Up to 15 bytes a string needs no allocation.
    static let maximumIPv4Length = 15
    /// The length of eight groups of four digits; the longest mixed form, `::ffff:255.255.255.255`, is shorter.
    static let maximumIPv6Length = 39

    private let buffer: UnsafeMutableBufferPointer<UInt8>
    /// The number of bytes written.
    private(set) var count = 0

    init(buffer: UnsafeMutableBufferPointer<UInt8>) {
        self.buffer = buffer
    }

    mutating func write(_ byte: UInt8) {
        buffer[count] = byte
        count += 1
    }

    mutating func writeDottedQuad(_ value: UInt32) {
        writeDecimal(UInt8(truncatingIfNeeded: value >> 24))
        for shift in stride(from: 16, through: 0, by: -8) {
            write(UInt8(ascii: "."))
            writeDecimal(UInt8(truncatingIfNeeded: value >> shift))
        }
    }

    /// Writes an IPv6 address by the rules of RFC 5952 §4 and, when it is IPv4-mapped, §5.
    mutating func writeCanonicalIPv6(_ value: UInt128) {
        if value >> 32 == 0xffff {
            for character in "::ffff:".utf8 {
                write(character)
            }
            writeDottedQuad(UInt32(truncatingIfNeeded: value))
            return
        }
        let zeros = Self.longestZeroRun(value)
        var index = 0
        while index < 8 {
            if index == zeros.lowerBound, !zeros.isEmpty {
                write(UInt8(ascii: ":"))
                write(UInt8(ascii: ":"))
                index = zeros.upperBound
                continue
            }
            if index > 0, index != zeros.upperBound || zeros.isEmpty {
                write(UInt8(ascii: ":"))
            }
            let group = Self.group(index, of: value)
            for digit in 0..<4 where group >> (12 - 4 * digit) != 0 || digit == 3 {
                writeHexDigit(group >> (12 - 4 * digit))
            }
            index += 1
        }
    }

    /// Writes eight groups of four digits, with a separator between them.
    mutating func writeFullIPv6(_ value: UInt128, separator: UInt8) {
        for index in 0..<8 {
            if index > 0 {
                write(separator)
            }
            let group = Self.group(index, of: value)
            for digit in 0..<4 {
                writeHexDigit(group >> (12 - 4 * digit))
            }
        }
    }

    private mutating func writeDecimal(_ octet: UInt8) {
        if octet >= 100 {
            write(UInt8(ascii: "0") + octet / 100)
        }
        if octet >= 10 {
            write(UInt8(ascii: "0") + octet / 10 % 10)
        }
        write(UInt8(ascii: "0") + octet % 10)
    }

    /// Writes the low four bits in lower case.
    private mutating func writeHexDigit(_ value: UInt16) {
        let digit = UInt8(value & 0xf)
        write(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
    }

    /// Group `index` from the left.
    private static func group(_ index: Int, of value: UInt128) -> UInt16 {
        UInt16(truncatingIfNeeded: value >> (112 - 16 * index))
    }

    /// The longest run of two or more zero groups, the first of several; empty when there is none (RFC 5952 §4.2).
    private static func longestZeroRun(_ value: UInt128) -> Range<Int> {
        var longest = 0..<0
        var start = 0
        for index in 0..<8 {
            if group(index, of: value) != 0 {
                start = index + 1
            } else if index + 1 - start > max(longest.count, 1) {
                longest = start..<index + 1
            }
        }
        return longest
    }
}
