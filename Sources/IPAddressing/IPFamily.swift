/// A version of the Internet Protocol. IPv4 sorts before IPv6.
package enum IPFamily: Sendable, Hashable, Comparable, CaseIterable {
    /// IPv4 (RFC 791), 32-bit addresses.
    case v4
    /// IPv6 (RFC 8200, RFC 4291), 128-bit addresses.
    case v6

    /// The number of bits in an address, 32 or 128.
    package var bitWidth: Int {
        switch self {
        case .v4: 32
        case .v6: 128
        }
    }

    /// The value of the highest address: all `bitWidth` bits are set.
    package var maximumValue: UInt128 {
        UInt128.max >> (UInt128.bitWidth - bitWidth)
    }
}

extension IPFamily: CustomStringConvertible {
    package var description: String {
        switch self {
        case .v4: "IPv4"
        case .v6: "IPv6"
        }
    }
}
