/// The addresses from `lower` to `upper`, both included. A range is never empty and never mixes families.
package struct IPRange: Sendable, Hashable {
    /// The lowest address.
    package let lower: IPAddress

    /// The highest address, of the same family and not below `lower`.
    package let upper: IPAddress

    /// Makes a range, or returns nil when the families differ or `upper` is below `lower`.
    package init?(lower: IPAddress, upper: IPAddress) {
        guard lower.family == upper.family, lower.value <= upper.value else { return nil }
        self.init(validLower: lower, upper: upper)
    }

    /// The range of one address.
    package init(_ address: IPAddress) {
        self.init(validLower: address, upper: address)
    }

    /// Makes a range of bounds that are known to be ordered and of one family.
    init(validLower lower: IPAddress, upper: IPAddress) {
        assert(lower.family == upper.family && lower.value <= upper.value)
        self.lower = lower
        self.upper = upper
    }

    /// The family of the addresses.
    package var family: IPFamily {
        lower.family
    }

    /// The number of addresses. Of all ranges only the whole of IPv6 has one more than `UInt128` can count: its count
    /// is `.max`.
    package var count: UInt128 {
        let distance = upper.value - lower.value
        return distance == .max ? .max : distance + 1
    }

    /// Whether the address is of this family and within the bounds.
    package func contains(_ address: IPAddress) -> Bool {
        address.family == family && lower.value <= address.value && address.value <= upper.value
    }

    /// Whether every address of the other range is in this one.
    package func contains(_ other: IPRange) -> Bool {
        contains(other.lower) && contains(other.upper)
    }

    /// Whether the two ranges share an address.
    package func overlaps(_ other: IPRange) -> Bool {
        family == other.family && lower.value <= other.upper.value && other.lower.value <= upper.value
    }
}

extension IPRange: CustomStringConvertible {
    /// `10.0.0.1-10.0.0.5`, or `10.0.0.1` for one address.
    package var description: String {
        lower == upper ? "\(lower)" : "\(lower)-\(upper)"
    }
}
