package import IPAddressing

/// Which addresses of a window of the pool are not available, as the controller saw it last. A hint.
package struct Occupancy: Hashable, Sendable {
    /// The most addresses that a window has, so that a pool's object stays small (2 KiB).
    package static let maximumCount = 16_384

    /// The address of bit 0.
    package let first: IPAddress
    /// Bit i, counted from the lowest one of each byte, is set when `first + i` is not available.
    package private(set) var bitmap: [UInt8]

    /// Nil for a window that is larger than ``maximumCount``, has no bits, or ends beyond the family's last address.
    package init?(first: IPAddress, bitmap: [UInt8]) {
        guard !bitmap.isEmpty, bitmap.count <= Self.maximumCount / 8,
            first.family.maximumValue - first.value >= UInt128(bitmap.count * 8 - 1)
        else { return nil }
        self.first = first
        self.bitmap = bitmap
    }

    /// The number of bits.
    package var count: Int { bitmap.count * 8 }

    /// The number of bits that are not set.
    package var freeCount: Int { bitmap.reduce(0) { $0 + (~$1).nonzeroBitCount } }

    package func address(at index: Int) -> IPAddress? {
        (0..<count).contains(index) ? first.advanced(by: UInt128(index)) : nil
    }

    /// The bit of an address; nil outside of the window.
    package func index(of address: IPAddress) -> Int? {
        guard address.family == first.family, address.value >= first.value,
            address.value - first.value < UInt128(count)
        else { return nil }
        return Int(address.value - first.value)
    }

    /// What lies outside of the window counts as taken.
    package func isTaken(_ index: Int) -> Bool {
        guard (0..<count).contains(index) else { return true }
        return bitmap[index / 8] & (1 << (index % 8)) != 0
    }

    /// What lies outside of the window counts as taken.
    package func isTaken(_ address: IPAddress) -> Bool { index(of: address).map { isTaken($0) } ?? true }

    /// Sets or clears a bit of the window.
    package mutating func set(_ index: Int, taken isTaken: Bool) {
        precondition((0..<count).contains(index), "no such bit")
        if isTaken {
            bitmap[index / 8] |= 1 << (index % 8)
        } else {
            bitmap[index / 8] &= ~(1 << (index % 8))
        }
    }
}
