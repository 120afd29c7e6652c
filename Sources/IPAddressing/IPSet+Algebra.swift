// Changes of one range cost a binary search and a move of what lies behind; operations on two sets are one pass over
// the ranges of both. Addresses are never expanded.

extension IPSet {
    /// Adds an address.
    package mutating func insert(_ address: IPAddress) {
        insert(IPRange(address))
    }

    /// Adds the addresses of a range.
    package mutating func insert(_ range: IPRange) {
        guard range.family == family else { return }
        var joined = Interval(lower: range.lower.value, upper: range.upper.value)
        let start = firstInterval { $0.upper >= joined.lower || $0.touches(joined) }
        let end = firstInterval { $0.lower > joined.upper && !joined.touches($0) }
        if start < end {
            joined.lower = min(joined.lower, intervals[start].lower)
            joined.upper = max(joined.upper, intervals[end - 1].upper)
        }
        intervals.replaceSubrange(start..<end, with: CollectionOfOne(joined))
    }

    /// Adds the addresses of another set.
    package mutating func insert(_ other: IPSet) {
        self = union(other)
    }

    /// Removes an address.
    package mutating func subtract(_ address: IPAddress) {
        subtract(IPRange(address))
    }

    /// Removes the addresses of a range.
    package mutating func subtract(_ range: IPRange) {
        guard range.family == family else { return }
        let (lower, upper) = (range.lower.value, range.upper.value)
        let start = firstInterval { $0.upper >= lower }
        let end = firstInterval { $0.lower > upper }
        guard start < end else { return }
        var rest: [Interval] = []
        if intervals[start].lower < lower {
            rest.append(Interval(lower: intervals[start].lower, upper: lower - 1))
        }
        if intervals[end - 1].upper > upper {
            rest.append(Interval(lower: upper + 1, upper: intervals[end - 1].upper))
        }
        intervals.replaceSubrange(start..<end, with: rest)
    }

    /// Removes the addresses of another set.
    package mutating func subtract(_ other: IPSet) {
        self = subtracting(other)
    }

    /// Keeps only the addresses that are also in the range.
    package mutating func intersect(_ range: IPRange) {
        intersect(IPSet(range))
    }

    /// Keeps only the addresses that are also in the other set.
    package mutating func intersect(_ other: IPSet) {
        self = intersection(other)
    }

    /// The addresses that are in this set or in the range.
    package func union(_ range: IPRange) -> IPSet {
        var result = self
        result.insert(range)
        return result
    }

    /// The addresses that are in this set or in the other.
    package func union(_ other: IPSet) -> IPSet {
        guard other.family == family, !other.isEmpty else { return self }
        var merged: [Interval] = []
        merged.reserveCapacity(intervals.count + other.intervals.count)
        var (left, right) = (intervals[...], other.intervals[...])
        while let mine = left.first, let theirs = right.first {
            if mine.lower <= theirs.lower {
                merged.append(mine)
                left.removeFirst()
            } else {
                merged.append(theirs)
                right.removeFirst()
            }
        }
        merged.append(contentsOf: left)
        merged.append(contentsOf: right)
        return IPSet(family: family, intervals: Self.joined(merged))
    }

    /// The addresses of this set that are not in the range.
    package func subtracting(_ range: IPRange) -> IPSet {
        var result = self
        result.subtract(range)
        return result
    }

    /// The addresses of this set that are not in the other.
    package func subtracting(_ other: IPSet) -> IPSet {
        guard other.family == family else { return self }
        var result: [Interval] = []
        var removed = other.intervals[...]
        for var interval in intervals {
            while let next = removed.first, next.upper < interval.lower {
                removed.removeFirst()
            }
            var isUsedUp = false
            while let next = removed.first, next.lower <= interval.upper {
                if next.lower > interval.lower {
                    result.append(Interval(lower: interval.lower, upper: next.lower - 1))
                }
                guard next.upper < interval.upper else {
                    isUsedUp = true
                    break
                }
                interval.lower = next.upper + 1
                removed.removeFirst()
            }
            if !isUsedUp {
                result.append(interval)
            }
        }
        return IPSet(family: family, intervals: result)
    }

    /// The addresses of this set that are also in the range.
    package func intersection(_ range: IPRange) -> IPSet {
        intersection(IPSet(range))
    }

    /// The addresses that are in both sets.
    package func intersection(_ other: IPSet) -> IPSet {
        guard other.family == family else { return IPSet(family: family) }
        var result: [Interval] = []
        var (left, right) = (intervals[...], other.intervals[...])
        while let mine = left.first, let theirs = right.first {
            let (lower, upper) = (max(mine.lower, theirs.lower), min(mine.upper, theirs.upper))
            if lower <= upper {
                result.append(Interval(lower: lower, upper: upper))
            }
            if mine.upper < theirs.upper {
                left.removeFirst()
            } else {
                right.removeFirst()
            }
        }
        return IPSet(family: family, intervals: result)
    }

    /// Joins what overlaps or touches in intervals that ascend by their lower bound.
    static func joined(_ ascending: [Interval]) -> [Interval] {
        var result: [Interval] = []
        result.reserveCapacity(ascending.count)
        for interval in ascending {
            if let last = result.last, last.upper >= interval.lower || last.touches(interval) {
                result[result.count - 1].upper = max(last.upper, interval.upper)
            } else {
                result.append(interval)
            }
        }
        return result
    }
}

extension IPSet.Interval {
    /// Whether `next` begins right after this interval. The last address of a family touches nothing.
    fileprivate func touches(_ next: Self) -> Bool {
        upper < next.lower && next.lower - upper == 1
    }
}
