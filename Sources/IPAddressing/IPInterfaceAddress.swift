/// An address together with the length of the prefix that is on-link around it, as an interface carries it.
package struct IPInterfaceAddress: Sendable, Hashable {
    /// The address, host bits included.
    package let address: IPAddress

    /// The number of bits of the prefix, from 0 to the width of the family.
    package let length: Int

    /// Joins an address and a length, or returns nil when the family has no such length.
    package init?(address: IPAddress, length: Int) {
        guard 0...address.family.bitWidth ~= length else { return nil }
        self.init(address: address, validLength: length)
    }

    /// Parses `192.168.2.225/28`; host bits may be set.
    ///
    /// - Throws: `IPParseError` with the subject `.interfaceAddress`.
    package init(parsing text: some StringProtocol) throws(IPParseError) {
        let text = String(text)
        do throws(IPParseError.Reason) {
            self = try AddressText.interfaceAddress(text.utf8Span.span)
        } catch {
            throw IPParseError(text: text, subject: .interfaceAddress, reason: error)
        }
    }

    /// Joins an address and a length that is known to be one of the family's.
    init(address: IPAddress, validLength length: Int) {
        self.address = address
        self.length = length
    }

    /// The family of the address.
    package var family: IPFamily {
        address.family
    }

    /// The prefix around the address.
    package var prefix: IPPrefix {
        IPPrefix(holding: address, validLength: length)
    }
}

extension IPInterfaceAddress: CustomStringConvertible {
    /// The canonical text, `10.0.0.7/24`.
    package var description: String {
        "\(address)/\(length)"
    }
}
