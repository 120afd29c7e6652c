import IPAddressing

/// The taken addresses of one family in one network, ascending, each with its allocation.
///
/// A change costs a binary search and a move of what lies behind: about a megabyte for 60,000 addresses.
struct AddressTable: Sendable {
    /// Ascending, each once.
    private(set) var values: [UInt128] = []
    /// Beside ``values``. Nil: the name is taken by an object that cannot be read.
    private(set) var records: [AllocationRecord?] = []

    /// Takes values that ascend, each once.
    init(ascending entries: some Sequence<(value: UInt128, record: AllocationRecord?)> = []) {
        for entry in entries {
            assert(values.last.map { $0 < entry.value } ?? true)
            values.append(entry.value)
            records.append(entry.record)
        }
    }

    var count: Int { values.count }
    var isEmpty: Bool { values.isEmpty }

    /// The index of the first value that is not below this one.
    private func position(of value: UInt128) -> Int {
        var (low, high) = (0, values.count)
        while low < high {
            let middle = low + (high - low) / 2
            if values[middle] >= value { high = middle } else { low = middle + 1 }
        }
        return low
    }

    /// The indices of the addresses of a range, which is of this family.
    func positions(in range: IPRange) -> Range<Int> {
        let start = position(of: range.lower.value)
        let (next, overflow) = range.upper.value.addingReportingOverflow(1)
        return start..<(overflow ? values.count : position(of: next))
    }

    func index(of value: UInt128) -> Int? {
        let index = position(of: value)
        return index < values.count && values[index] == value ? index : nil
    }

    mutating func insert(_ value: UInt128, _ record: AllocationRecord?) {
        let index = position(of: value)
        if index < values.count, values[index] == value {
            records[index] = record
        } else {
            values.insert(value, at: index)
            records.insert(record, at: index)
        }
    }

    mutating func remove(_ value: UInt128) {
        guard let index = index(of: value) else { return }
        values.remove(at: index)
        records.remove(at: index)
    }

    /// The lowest address of a range that is not taken.
    ///
    /// As values ascend, the first `n` are taken without a gap exactly when the one at `n` is the range's n-th.
    func firstFree(in range: IPRange) -> IPAddress? {
        let positions = positions(in: range)
        var (low, high) = (0, positions.count)
        while low < high {
            let middle = low + (high - low) / 2
            if values[positions.lowerBound + middle] - range.lower.value > UInt128(middle) {
                high = middle
            } else {
                low = middle + 1
            }
        }
        guard let free = range.lower.advanced(by: UInt128(low)), range.contains(free) else { return nil }
        return free
    }
}
