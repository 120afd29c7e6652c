/// One IPv4 or IPv6 address, held as an integer.
///
/// Every value is valid: a 33rd bit of an IPv4 address cannot exist. Addresses of different families are never equal,
/// so `::ffff:10.0.0.1` (IPv6, RFC 4291 §2.5.5.2) is not `10.0.0.1`. All IPv4 addresses sort before all IPv6 addresses.
package struct IPAddress: Sendable, Hashable {
    /// The family, which fixes the width of `value`.
    package let family: IPFamily

    /// The address in host order; an IPv4 address is in the low 32 bits.
    package let value: UInt128

    /// Makes an address from its integer value, or returns nil when `value` needs more bits than `family` has.
    package init?(family: IPFamily, value: UInt128) {
        guard value <= family.maximumValue else { return nil }
        self.init(family: family, validValue: value)
    }

    /// Makes an address from a value that is known to fit.
    init(family: IPFamily, validValue value: UInt128) {
        assert(value <= family.maximumValue)
        self.family = family
        self.value = value
    }

    /// The address `distance` above this one, or nil beyond the last address of the family.
    package func advanced(by distance: UInt128) -> IPAddress? {
        let (sum, overflow) = value.addingReportingOverflow(distance)
        return overflow ? nil : IPAddress(family: family, value: sum)
    }

    /// The address one above this one, or nil for the last address of the family.
    package var next: IPAddress? {
        advanced(by: 1)
    }

    /// The address one below this one, or nil for the first address of the family.
    package var previous: IPAddress? {
        value == 0 ? nil : IPAddress(family: family, validValue: value - 1)
    }
}

extension IPAddress: Comparable {
    package static func < (left: IPAddress, right: IPAddress) -> Bool {
        left.family == right.family ? left.value < right.value : left.family < right.family
    }
}
