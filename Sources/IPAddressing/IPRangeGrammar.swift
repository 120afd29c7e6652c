extension IPRange {
    /// Parses a range in one of its spellings.
    ///
    /// | Spelling | Meaning |
    /// |---|---|
    /// | `10.0.1.5`, `fd00::5` | one address |
    /// | `10.0.1.5-10.0.2.9`, `fd00::5-fd00::9` | from the first to the last, both included |
    /// | `10.0.1.0/24`, `fd00::/64` | every address of the prefix; host bits are an error |
    /// | `10.0.1.5-100`, `10.0.1.5-2.9` | IPv4 only: the octets given replace as many trailing octets of the first |
    ///
    /// The grammar is strict: no spaces, and no prefix length after two addresses.
    ///
    /// - Parameter subnet: When given, a range that is not within it is an error that names both.
    /// - Throws: `IPParseError` with the subject `.range`.
    package init(parsing text: some StringProtocol, in subnet: IPPrefix? = nil) throws(IPParseError) {
        let text = String(text)
        do throws(IPParseError.Reason) {
            self = try AddressText.range(text.utf8Span.span)
            if let subnet, !subnet.contains(self) {
                throw .outsideSubnet(self, subnet)
            }
        } catch {
            throw IPParseError(text: text, subject: .range, reason: error)
        }
    }
}

/// The ways in which a whereabouts configuration describes a range.
package enum WhereaboutsRange {
    /// Reads the keys `range`, `range_start` and `range_end`.
    ///
    /// `range` is a subnet in which host bits mean nothing (`192.168.2.225/28` and `192.168.2.224/28` are one), or
    /// two full addresses and the length of the subnet around both, `192.168.2.10-192.168.2.20/24`.
    ///
    /// Deviation: where two addresses and `start` or `end` are given together, whereabouts ignores the latter; here
    /// they narrow the range further.
    ///
    /// - Parameters:
    ///   - start: The first address, within the subnet. Nil or empty: no bound, as in whereabouts.
    ///   - end: The last address, within the subnet. Nil or empty: no bound.
    /// - Returns: The subnet, and the range within it, or nil when that is the whole subnet.
    /// - Throws: `IPParseError` with the subject `.range`, `.rangeStart` or `.rangeEnd`, after the key at fault. A
    ///   range that ends before it begins has the subject `.range`.
    package static func parse(
        range text: String, start: String? = nil, end: String? = nil
    ) throws(IPParseError) -> (subnet: IPPrefix, range: IPRange?) {
        let (subnet, whole): (IPPrefix, IPRange)
        do throws(IPParseError.Reason) {
            (subnet, whole) = try subnetAndRange(text.utf8Span.span)
        } catch {
            throw IPParseError(text: text, subject: .range, reason: error)
        }
        let first = try bound(start, .rangeStart, in: subnet) ?? whole.lower
        let last = try bound(end, .rangeEnd, in: subnet) ?? whole.upper
        let (lower, upper) = (max(first, whole.lower), min(last, whole.upper))
        guard let range = IPRange(lower: lower, upper: upper) else {
            throw IPParseError(text: "\(lower)-\(upper)", subject: .range, reason: .reversedBounds)
        }
        return (subnet, range == subnet.range ? nil : range)
    }

    private static func bound(
        _ text: String?, _ subject: IPParseError.Subject, in subnet: IPPrefix
    ) throws(IPParseError) -> IPAddress? {
        guard let text, !text.isEmpty else { return nil }
        do throws(IPParseError.Reason) {
            let address = try AddressText.address(text.utf8Span.span)
            guard subnet.contains(address) else { throw .outsideSubnet(IPRange(address), subnet) }
            return address
        } catch {
            throw IPParseError(text: text, subject: subject, reason: error)
        }
    }

    /// Parses `address/length` or `first-last/length`.
    private static func subnetAndRange(
        _ bytes: Span<UInt8>
    ) throws(IPParseError.Reason) -> (IPPrefix, IPRange) {
        guard let dash = AddressText.firstIndex(of: UInt8(ascii: "-"), in: bytes) else {
            let subnet = try AddressText.interfaceAddress(bytes).prefix
            return (subnet, subnet.range)
        }
        let first = try AddressText.address(bytes.extracting(0..<dash))
        let last = try AddressText.interfaceAddress(bytes.extracting(dash + 1..<bytes.count))
        let range = try AddressText.range(from: first, to: last.address)
        guard last.prefix.contains(first) else { throw .notWithinOnePrefix(length: last.length) }
        return (last.prefix, range)
    }
}

extension AddressText {
    /// Parses a range in one of the spellings of `IPRange(parsing:in:)`.
    static func range(_ bytes: Span<UInt8>) throws(IPParseError.Reason) -> IPRange {
        if let dash = firstIndex(of: UInt8(ascii: "-"), in: bytes) {
            let first = try address(bytes.extracting(0..<dash))
            return try range(from: first, to: try upperBound(bytes.extracting(dash + 1..<bytes.count), after: first))
        }
        if firstIndex(of: UInt8(ascii: "/"), in: bytes) != nil {
            return try prefix(bytes).range
        }
        return IPRange(try address(bytes))
    }

    /// Joins the ends of a range.
    static func range(from first: IPAddress, to last: IPAddress) throws(IPParseError.Reason) -> IPRange {
        guard first.family == last.family else { throw .mixedFamilies }
        guard let range = IPRange(lower: first, upper: last) else { throw .reversedBounds }
        return range
    }

    /// Parses what follows the dash: an address or, after an IPv4 address, its trailing octets.
    private static func upperBound(
        _ bytes: Span<UInt8>, after first: IPAddress
    ) throws(IPParseError.Reason) -> IPAddress {
        guard first.family == .v4, firstIndex(of: UInt8(ascii: ":"), in: bytes) == nil else {
            return try address(bytes)
        }
        let (value, count) = try octets(bytes)
        guard count <= 4 else { throw .octetCount(count) }
        let replaced: UInt128 = (1 << (8 * count)) - 1
        return IPAddress(family: .v4, validValue: first.value & ~replaced | UInt128(value))
    }
}
