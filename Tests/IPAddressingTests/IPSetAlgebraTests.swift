import IPAddressing
import Testing

/// A set of some of the 48 highest IPv4 addresses, held one by one, against which `IPSet` is checked.
struct SetModel {
    static let universe: ClosedRange<UInt128> = 0xffff_ffd0...0xffff_ffff

    var members: Set<UInt128> = []

    var set: IPSet {
        IPSet(family: .v4, ranges: members.map { IPRange(Self.address($0)) })
    }

    static func address(_ value: UInt128) -> IPAddress {
        guard let address = IPAddress(family: .v4, value: value) else { preconditionFailure("not an IPv4 value") }
        return address
    }

    static func random(using generator: inout SplitMix64) -> SetModel {
        var model = SetModel()
        for _ in 0..<Int.random(in: 0...6, using: &generator) {
            model.members.formUnion(randomBounds(using: &generator))
        }
        return model
    }

    /// The bounds of a range in the universe, short ones more often.
    static func randomBounds(using generator: inout SplitMix64) -> ClosedRange<UInt128> {
        let lower = UInt128.random(in: universe, using: &generator)
        let length = UInt128.random(in: 0...(Bool.random(using: &generator) ? 2 : 16), using: &generator)
        return lower...min(lower + length, universe.upperBound)
    }
}

@Suite struct IPSetAlgebraTests {
    @Test(arguments: [
        // Before, between, after.
        ("10.0.0.10-20", "10.0.0.1", "10.0.0.1, 10.0.0.10-10.0.0.20"),
        ("10.0.0.10 10.0.0.20", "10.0.0.15", "10.0.0.10, 10.0.0.15, 10.0.0.20"),
        ("10.0.0.10-20", "10.0.0.22", "10.0.0.10-10.0.0.20, 10.0.0.22"),
        // Touching on one side, on both.
        ("10.0.0.10-20", "10.0.0.9", "10.0.0.9-10.0.0.20"),
        ("10.0.0.10-20", "10.0.0.21", "10.0.0.10-10.0.0.21"),
        ("10.0.0.10 10.0.0.12", "10.0.0.11", "10.0.0.10-10.0.0.12"),
        // Within, around, across.
        ("10.0.0.10-20", "10.0.0.12", "10.0.0.10-10.0.0.20"),
        ("10.0.0.10 10.0.0.12", "10.0.0.0/24", "10.0.0.0-10.0.0.255"),
        ("10.0.0.10-12 10.0.0.20-22 10.0.0.30", "10.0.0.11-21", "10.0.0.10-10.0.0.22, 10.0.0.30"),
        ("", "0.0.0.0/0", "0.0.0.0-255.255.255.255"),
        ("255.255.255.255", "0.0.0.0", "0.0.0.0, 255.255.255.255"),
        ("10.0.0.10", "fd00::1", "10.0.0.10"),
    ])
    func `a range is inserted`(before: String, inserted: String, after: String) throws {
        var tested = try set(before)
        #expect(try tested.union(range(inserted)).description == after)
        tested.insert(try range(inserted))
        #expect(tested.description == after)
    }

    @Test(arguments: [
        ("10.0.0.10-20", "10.0.0.1", "10.0.0.10-10.0.0.20"),
        ("10.0.0.10-20", "10.0.0.10", "10.0.0.11-10.0.0.20"),
        ("10.0.0.10-20", "10.0.0.20", "10.0.0.10-10.0.0.19"),
        ("10.0.0.10-20", "10.0.0.15", "10.0.0.10-10.0.0.14, 10.0.0.16-10.0.0.20"),
        ("10.0.0.10-20", "10.0.0.0/24", ""),
        ("10.0.0.10-12 10.0.0.20-22 10.0.0.30-32", "10.0.0.11-31", "10.0.0.10, 10.0.0.32"),
        ("10.0.0.10 10.0.0.20", "10.0.0.11-19", "10.0.0.10, 10.0.0.20"),
        ("0.0.0.0/0", "0.0.0.0", "0.0.0.1-255.255.255.255"),
        ("0.0.0.0/0", "255.255.255.255", "0.0.0.0-255.255.255.254"),
        ("", "0.0.0.0/0", ""),
        ("10.0.0.10", "::/0", "10.0.0.10"),
    ])
    func `a range is subtracted`(before: String, subtracted: String, after: String) throws {
        var tested = try set(before)
        #expect(try tested.subtracting(range(subtracted)).description == after)
        tested.subtract(try range(subtracted))
        #expect(tested.description == after)
    }

    @Test(arguments: [
        ("10.0.0.10-20 10.0.0.30", "10.0.0.15-25", "10.0.0.15-10.0.0.20"),
        ("10.0.0.10-20 10.0.0.30", "10.0.0.0/24", "10.0.0.10-10.0.0.20, 10.0.0.30"),
        ("10.0.0.10-20", "10.0.0.21-30", ""),
        ("10.0.0.10-20", "::/0", ""),
    ])
    func `a range is intersected`(before: String, with: String, after: String) throws {
        var tested = try set(before)
        #expect(try tested.intersection(range(with)).description == after)
        tested.intersect(try range(with))
        #expect(tested.description == after)
    }

    @Test func `sets of the other family add and remove nothing`() throws {
        let four = try set("10.0.0.1-5")
        let six = try set("fd00::/64", family: .v6)
        #expect(four.union(six) == four)
        #expect(four.subtracting(six) == four)
        #expect(four.intersection(six) == IPSet(family: .v4))
    }

    @Test(arguments: 0..<200 as Range<UInt64>)
    func `operations on two sets agree with a naive model`(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        let (left, right) = (SetModel.random(using: &generator), SetModel.random(using: &generator))
        let union = SetModel(members: left.members.union(right.members)).set
        let difference = SetModel(members: left.members.subtracting(right.members)).set
        let intersection = SetModel(members: left.members.intersection(right.members)).set
        #expect(left.set.union(right.set) == union)
        #expect(left.set.subtracting(right.set) == difference)
        #expect(left.set.intersection(right.set) == intersection)
        // The mutating forms do the same.
        var tested = left.set
        tested.insert(right.set)
        #expect(tested == union)
        tested = left.set
        tested.subtract(right.set)
        #expect(tested == difference)
        tested = left.set
        tested.intersect(right.set)
        #expect(tested == intersection)
        #expect(union.count == UInt128(left.members.union(right.members).count))
    }

    @Test(arguments: 0..<100 as Range<UInt64>)
    func `a run of changes agrees with a naive model`(seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        var model = SetModel()
        var tested = IPSet(family: .v4)
        for _ in 0..<40 {
            let bounds = SetModel.randomBounds(using: &generator)
            let (lower, upper) = (SetModel.address(bounds.lowerBound), SetModel.address(bounds.upperBound))
            let range = try #require(IPRange(lower: lower, upper: upper))
            switch Int.random(in: 0..<11, using: &generator) {
            case 0..<5:
                model.members.formUnion(bounds)
                tested.insert(range)
            case 5..<8:
                model.members.subtract(bounds)
                tested.subtract(range)
            case 8:
                model.members.insert(bounds.lowerBound)
                tested.insert(lower)
            case 9:
                model.members.remove(bounds.lowerBound)
                tested.subtract(lower)
            default:
                // From near the start of the universe, so that something is left.
                let start = min(0xffff_ffd4, bounds.upperBound)
                let wide = try #require(IPRange(lower: SetModel.address(start), upper: upper))
                model.members.formIntersection(start...bounds.upperBound)
                tested.intersect(wide)
            }
            #expect(tested == model.set)
            for value in SetModel.universe {
                #expect(tested.contains(SetModel.address(value)) == model.members.contains(value))
            }
        }
    }

    @Test(arguments: 0..<50 as Range<UInt64>)
    func `the laws of sets hold`(seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        let first = SetModel.random(using: &generator).set
        let second = SetModel.random(using: &generator).set
        let third = SetModel.random(using: &generator).set
        let whole = IPSet(try range("0.0.0.0/0"))
        // Commutative, associative, distributive, idempotent.
        #expect(first.union(second) == second.union(first))
        #expect(first.intersection(second) == second.intersection(first))
        #expect(first.union(second).union(third) == first.union(second.union(third)))
        #expect(first.intersection(second).intersection(third) == first.intersection(second.intersection(third)))
        #expect(
            first.intersection(second.union(third))
                == first.intersection(second).union(first.intersection(third)))
        #expect(first.union(first) == first)
        #expect(first.intersection(first) == first)
        #expect(first.subtracting(first).isEmpty)
        // Differences and complements (De Morgan).
        #expect(first.subtracting(second).intersection(second).isEmpty)
        #expect(first.subtracting(second).union(first.intersection(second)) == first)
        #expect(
            whole.subtracting(first.union(second))
                == whole.subtracting(first).intersection(whole.subtracting(second)))
        #expect(whole.subtracting(whole.subtracting(first)) == first)
        #expect(first.union(second).count == first.count + second.count - first.intersection(second).count)
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `large sets behave as small ones do`(seed: UInt64) throws {
        // The same ranges, from the small universe stretched over all of IPv6: one address becomes a /6 or so.
        var generator = SplitMix64(seed: seed)
        let (left, right) = (SetModel.random(using: &generator), SetModel.random(using: &generator))
        #expect(
            try Self.stretched(left).subtracting(Self.stretched(right))
                == Self.stretched(SetModel(members: left.members.subtracting(right.members))))
        #expect(
            try Self.stretched(left).union(Self.stretched(right))
                == Self.stretched(SetModel(members: left.members.union(right.members))))
    }

    /// Each member as one of 64 prefixes of IPv6, the highest value as the highest prefix.
    private static func stretched(_ model: SetModel) throws -> IPSet {
        let ranges = try model.members.map { value in
            let base = try #require(IPAddress(family: .v6, value: (value & 0x3f) << 122))
            return try #require(IPPrefix(address: base, length: 6)).range
        }
        return IPSet(family: .v6, ranges: ranges)
    }
}
