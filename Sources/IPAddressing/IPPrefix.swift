/// A network prefix (RFC 4632 §3.1, RFC 4291 §2.3): the addresses whose first `length` bits agree.
package struct IPPrefix: Sendable, Hashable {
    /// The network address; all bits after `length` are zero.
    package let address: IPAddress

    /// The number of leading bits that are fixed, from 0 to the width of the family.
    package let length: Int

    /// The prefix of this length that holds `address`, or nil when the family has no such length.
    ///
    /// Host bits of `address` are cleared.
    package init?(address: IPAddress, length: Int) {
        guard 0...address.family.bitWidth ~= length else { return nil }
        self.init(holding: address, validLength: length)
    }

    /// Parses `10.0.0.0/8` strictly: an address as `IPAddress(parsing:)` takes it, and a length without leading zeros.
    ///
    /// - Throws: `IPParseError` with the subject `.prefix`. Host bits are an error that names the canonical prefix.
    package init(parsing text: some StringProtocol) throws(IPParseError) {
        let text = String(text)
        do throws(IPParseError.Reason) {
            self = try AddressText.prefix(text.utf8Span.span)
        } catch {
            throw IPParseError(text: text, subject: .prefix, reason: error)
        }
    }

    /// The prefix of a length that is known to be one of the family's.
    init(holding address: IPAddress, validLength length: Int) {
        let hostMask = Self.hostMask(address.family, length)
        self.address = IPAddress(family: address.family, validValue: address.value & ~hostMask)
        self.length = length
    }

    /// Parses an address with the length of its prefix, `192.168.2.225/28`, where host bits are allowed.
    ///
    /// - Throws: `IPParseError` with the subject `.interfaceAddress`.
    package static func parsingInterface(_ text: some StringProtocol) throws(IPParseError) -> IPInterfaceAddress {
        try IPInterfaceAddress(parsing: text)
    }

    /// The family of the addresses.
    package var family: IPFamily {
        address.family
    }

    /// The lowest address, which is `address`.
    package var first: IPAddress {
        address
    }

    /// The highest address, with all host bits set.
    package var last: IPAddress {
        IPAddress(family: family, validValue: address.value | Self.hostMask(family, length))
    }

    /// All addresses, from `first` to `last`.
    package var range: IPRange {
        IPRange(validLower: first, upper: last)
    }

    /// Whether the address is of this family and within the prefix.
    package func contains(_ address: IPAddress) -> Bool {
        address.family == family && (address.value ^ self.address.value) & ~Self.hostMask(family, length) == 0
    }

    /// Whether every address of the other prefix is within this one.
    package func contains(_ other: IPPrefix) -> Bool {
        length <= other.length && contains(other.address)
    }

    /// Whether every address of the range is within this prefix.
    package func contains(_ range: IPRange) -> Bool {
        contains(range.lower) && contains(range.upper)
    }

    /// Whether the two prefixes share an address, which means that one contains the other.
    package func overlaps(_ other: IPPrefix) -> Bool {
        contains(other.address) || other.contains(address)
    }

    /// The bits that are free within a prefix of this length.
    private static func hostMask(_ family: IPFamily, _ length: Int) -> UInt128 {
        UInt128.max >> (UInt128.bitWidth - family.bitWidth + length)
    }
}

extension IPPrefix: CustomStringConvertible {
    /// The canonical text, `10.0.0.0/8`.
    package var description: String {
        "\(address)/\(length)"
    }
}
