import IPAMAPI
import IPAddressing

/// Which part of a pool its occupancy hint is about.
///
/// A pool whose usable addresses span no more than a hint can hold is shown whole. Of a larger one it is a window of
/// that size: the one with the most room, so that claimants on many nodes have the largest choice; or where the lowest
/// free address is, when the pool gives addresses in their order. A window that still has half of the room of the best
/// one is kept, so that the hint does not jump from one place to another with every claim.
///
/// Bounded for pools of any size: windows begin at multiples of half their size, and no more than 64 are looked at,
/// spread evenly over the usable addresses. Where all of these are full, the one of the lowest free address is taken.
struct OccupancyWindowChoice {
    static let size = UInt128(Occupancy.maximumCount)
    static let step = size / 2
    static let maximumCandidates = 64

    let pool: ValidatedPool
    let index: LedgerIndex
    /// The hint that is published now, of whichever generation.
    let previous: IPPool.OccupancyWindow?

    /// The hint; without a free bit only when the pool has no free address. Nil when no address is usable, or when the
    /// bits, which come in eights, do not fit into a tiny subnet at the end of the family.
    func occupancy() -> Occupancy? {
        guard let first = pool.usable.first, let last = pool.usable.last else { return nil }
        guard last.value - first.value >= Self.size else {
            return occupancy(from: first.value, count: Int(last.value - first.value) + 1)
        }
        return occupancy(from: pool.strategy == .sequential ? lowest(first.value) : roomiest(), count: Int(Self.size))
    }

    private func lowest(_ first: UInt128) -> UInt128 {
        start(holding: index.firstFree(in: pool.usable, network: pool.network)?.value ?? first)
    }

    private func roomiest() -> UInt128 {
        var best: (start: UInt128, room: UInt128) = (pool.subnet.first.value, 0)
        for start in candidates {
            let room = room(from: start)
            if room > best.room { best = (start, room) }
        }
        if let previous = previousStart {
            let room = room(from: previous)
            if room > 0, 2 * room >= best.room { return previous }
        }
        if best.room == 0, let free = index.firstFree(in: pool.usable, network: pool.network) {
            return start(holding: free.value)
        }
        return best.start
    }

    /// A stranger may have written it: it must be a whole window of the subnet.
    private var previousStart: UInt128? {
        guard let previous, let first = IPAddress(previous.first),
            let occupancy = Occupancy(first: first, bitmap: previous.bitmap), occupancy.count == Int(Self.size),
            let last = first.advanced(by: Self.size - 1), pool.subnet.contains(first), pool.subnet.contains(last)
        else { return nil }
        return first.value
    }

    /// The starts of the windows to look at, ascending.
    private var candidates: [UInt128] {
        // Usable addresses that are close together are in one step.
        var steps: [ClosedRange<UInt128>] = []
        for range in pool.usable.ranges {
            let upper = range.upper.value / Self.step
            var lower = range.lower.value / Self.step
            if let last = steps.last?.upperBound, lower <= last { lower = last + 1 }
            if lower <= upper { steps.append(lower...upper) }
        }
        let total = steps.reduce(0) { $0 + ($1.upperBound - $1.lowerBound + 1) }
        let count = min(total, UInt128(Self.maximumCandidates))
        var starts: [UInt128] = []
        var before: UInt128 = 0
        for range in steps {
            let length = range.upperBound - range.lowerBound + 1
            while UInt128(starts.count) < count {
                let rank = total * UInt128(starts.count) / count
                guard rank < before + length else { break }
                starts.append(start(holding: (range.lowerBound + (rank - before)) * Self.step))
            }
            before += length
        }
        return starts
    }

    /// Where the window begins that has a value in its first half, or which ends with the subnet.
    ///
    /// A subnet that needs windows has twice the size of one at least, and so begins with a step.
    private func start(holding value: UInt128) -> UInt128 {
        min(value / Self.step * Self.step, pool.subnet.last.value - (Self.size - 1))
    }

    /// The number of free addresses in a window.
    private func room(from start: UInt128) -> UInt128 {
        guard let window = range(from: start, count: Int(Self.size)) else { return 0 }
        let usable = pool.usable.intersection(window)
        return usable.count - UInt128(index.takenCount(in: usable, network: pool.network))
    }

    private func range(from start: UInt128, count: Int) -> IPRange? {
        guard let first = IPAddress(family: pool.family, value: start),
            let last = first.advanced(by: UInt128(count - 1))
        else { return nil }
        return IPRange(lower: first, upper: last)
    }

    private func occupancy(from start: UInt128, count: Int) -> Occupancy? {
        let bytes = (count + 7) / 8
        let start = min(start, pool.family.maximumValue - UInt128(bytes * 8 - 1))
        guard let window = range(from: start, count: bytes * 8), pool.subnet.contains(window.lower) else { return nil }
        var bitmap = [UInt8](repeating: 0xff, count: bytes)
        for range in pool.usable.intersection(window).ranges {
            for bit in Int(range.lower.value - start)...Int(range.upper.value - start) {
                bitmap[bit / 8] &= ~(1 << (bit % 8))
            }
        }
        for address in index.taken(in: window, network: pool.network) {
            let bit = Int(address.value - start)
            bitmap[bit / 8] |= 1 << (bit % 8)
        }
        return Occupancy(first: window.lower, bitmap: bitmap)
    }
}
