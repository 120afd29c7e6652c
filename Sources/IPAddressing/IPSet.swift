/// A set of addresses of one family, held as ranges.
///
/// The ranges are ascending, disjoint and as few as possible: neighbours are joined. So equal sets are equal values,
/// and nothing here costs more for many addresses than for few; `n` below is the number of ranges.
///
/// A set knows only its own family. Addresses, ranges and sets of the other one are never members: adding them changes
/// nothing, removing them changes nothing, and an intersection with them is empty.
package struct IPSet: Sendable, Hashable {
    /// The family of all addresses in the set.
    package let family: IPFamily

    /// The ranges: ascending, disjoint, at least one address apart.
    var intervals: [Interval]

    /// A range of the set without the family, which the set holds once.
    struct Interval: Sendable, Hashable {
        var lower: UInt128
        var upper: UInt128
    }

    /// The empty set of a family.
    package init(family: IPFamily) {
        self.init(family: family, intervals: [])
    }

    /// The set of all addresses in ranges, which may overlap and come in any order. O(n log n).
    package init(family: IPFamily, ranges: some Sequence<IPRange>) {
        var intervals = ranges.compactMap { range in
            range.family == family ? Interval(lower: range.lower.value, upper: range.upper.value) : nil
        }
        intervals.sort { $0.lower < $1.lower }
        self.init(family: family, intervals: Self.joined(intervals))
    }

    /// The set of the addresses of one range.
    package init(_ range: IPRange) {
        self.init(family: range.family, intervals: [Interval(lower: range.lower.value, upper: range.upper.value)])
    }

    init(family: IPFamily, intervals: [Interval]) {
        self.family = family
        self.intervals = intervals
    }

    /// Whether the set has no addresses.
    package var isEmpty: Bool {
        intervals.isEmpty
    }

    /// The number of addresses. O(n).
    ///
    /// Of all sets only the whole of IPv6 has one more than `UInt128` can count: its count is `.max`.
    package var count: UInt128 {
        guard let lastIndex else { return 0 }
        return lastIndex == .max ? .max : lastIndex + 1
    }

    /// The ranges in ascending order: disjoint and at least one address apart. O(n).
    package var ranges: [IPRange] {
        intervals.map { IPRange(validLower: address($0.lower), upper: address($0.upper)) }
    }

    /// The lowest address.
    package var first: IPAddress? {
        intervals.first.map { address($0.lower) }
    }

    /// The highest address.
    package var last: IPAddress? {
        intervals.last.map { address($0.upper) }
    }

    /// Whether the address is in the set. O(log n).
    package func contains(_ address: IPAddress) -> Bool {
        address.family == family && intervalIndex(of: address.value) != nil
    }

    /// Whether every address of the range is in the set. O(log n).
    package func contains(_ range: IPRange) -> Bool {
        guard range.family == family, let index = intervalIndex(of: range.lower.value) else { return false }
        return range.upper.value <= intervals[index].upper
    }

    /// The address at a position in ascending order, or nil beyond the last one. O(n).
    package func element(at index: UInt128) -> IPAddress? {
        var rest = index
        for interval in intervals {
            let distance = interval.upper - interval.lower
            if rest <= distance {
                return address(interval.lower + rest)
            }
            rest -= distance
            rest -= 1
        }
        return nil
    }

    /// The position of an address in ascending order, or nil when it is not in the set. O(n).
    package func index(of address: IPAddress) -> UInt128? {
        guard address.family == family, let index = intervalIndex(of: address.value) else { return nil }
        let before = intervals[..<index].reduce(0) { $0 + ($1.upper - $1.lower + 1) }
        return before + (address.value - intervals[index].lower)
    }

    /// An address of the set, each with the same probability, or nil when the set is empty. O(n).
    package func randomElement(using generator: inout some RandomNumberGenerator) -> IPAddress? {
        guard let lastIndex else { return nil }
        return element(at: UInt128.random(in: 0...lastIndex, using: &generator))
    }

    /// The position of the last address, which, unlike the count, always fits.
    private var lastIndex: UInt128? {
        guard let first = intervals.first else { return nil }
        return intervals.dropFirst().reduce(first.upper - first.lower) { $0 + ($1.upper - $1.lower + 1) }
    }

    /// The index of the interval that holds the value.
    private func intervalIndex(of value: UInt128) -> Int? {
        let index = firstInterval { $0.upper >= value }
        return index < intervals.count && intervals[index].lower <= value ? index : nil
    }

    /// The index of the first interval for which a condition holds that also holds for all after it, or the number of
    /// intervals when it holds for none.
    func firstInterval(where condition: (Interval) -> Bool) -> Int {
        var (low, high) = (0, intervals.count)
        while low < high {
            let middle = low + (high - low) / 2
            if condition(intervals[middle]) {
                high = middle
            } else {
                low = middle + 1
            }
        }
        return low
    }

    private func address(_ value: UInt128) -> IPAddress {
        IPAddress(family: family, validValue: value)
    }
}

extension IPSet: CustomStringConvertible {
    /// The ranges in ascending order, `10.0.0.1-10.0.0.5, 10.0.0.9`; empty for the empty set.
    package var description: String {
        ranges.map(\.description).joined(separator: ", ")
    }
}
