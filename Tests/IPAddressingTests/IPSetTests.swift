import IPAddressing
import Testing

@Suite struct IPSetTests {
    @Test(arguments: [
        ("", ""),
        ("10.0.0.9", "10.0.0.9"),
        // Sorted, overlapping ranges joined, neighbours joined, gaps kept.
        ("10.0.0.9 10.0.0.1-5", "10.0.0.1-10.0.0.5, 10.0.0.9"),
        ("10.0.0.1-5 10.0.0.3-9", "10.0.0.1-10.0.0.9"),
        ("10.0.0.6-9 10.0.0.1-5", "10.0.0.1-10.0.0.9"),
        ("10.0.0.1-5 10.0.0.7-9", "10.0.0.1-10.0.0.5, 10.0.0.7-10.0.0.9"),
        ("10.0.0.1-9 10.0.0.2-3 10.0.0.10", "10.0.0.1-10.0.0.10"),
        ("10.0.0.4 10.0.0.4 10.0.0.4", "10.0.0.4"),
        // Both ends of the family, where one step further does not exist.
        ("255.255.255.255 0.0.0.0", "0.0.0.0, 255.255.255.255"),
        ("128.0.0.0/1 0.0.0.0/1", "0.0.0.0-255.255.255.255"),
        // The other family is ignored.
        ("10.0.0.1 fd00::1", "10.0.0.1"),
    ])
    func `a set holds as few ranges as possible in order`(text: String, description: String) throws {
        let made = try set(text)
        #expect(made.description == description)
        #expect(made.ranges.map(\.description).joined(separator: ", ") == description)
        #expect(made.isEmpty == description.isEmpty)
        #expect(IPSet(family: .v4, ranges: made.ranges) == made)
    }

    @Test func `the empty set has nothing`() {
        let empty = IPSet(family: .v6)
        var generator = SplitMix64(seed: 1)
        #expect(empty.isEmpty)
        #expect(empty.count == 0)
        #expect(empty.ranges.isEmpty)
        #expect(empty.first == nil)
        #expect(empty.last == nil)
        #expect(empty.element(at: 0) == nil)
        #expect(empty.randomElement(using: &generator) == nil)
        #expect(empty != IPSet(family: .v4))
    }

    @Test(
        arguments: [
            ("10.0.0.1-5 10.0.0.9", 6),
            ("0.0.0.0/0", 1 << 32),
            ("10.0.0.0/9 11.0.0.0/9", 1 << 24),
        ] as [(String, UInt128)])
    func `the count is the sum over the ranges`(text: String, count: UInt128) throws {
        #expect(try set(text).count == count)
    }

    @Test func `members are found by binary search`() throws {
        let tested = try set("10.0.0.1-5 10.0.0.9 10.0.0.20-30")
        for (text, expected) in [
            ("10.0.0.0", false), ("10.0.0.1", true), ("10.0.0.5", true), ("10.0.0.6", false), ("10.0.0.9", true),
            ("10.0.0.10", false), ("10.0.0.30", true), ("10.0.0.31", false), ("::a00:1", false),
        ] {
            #expect(try tested.contains(address(text)) == expected, "\(text)")
        }
        #expect(try tested.contains(range("10.0.0.20-30")))
        #expect(try tested.contains(range("10.0.0.21-29")))
        #expect(try !tested.contains(range("10.0.0.5-9")))
        #expect(try !tested.contains(range("10.0.0.30-31")))
        #expect(try !tested.contains(range("fd00::1")))
        #expect(try tested.first == address("10.0.0.1"))
        #expect(try tested.last == address("10.0.0.30"))
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `position and element are inverse`(seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        let model = SetModel.random(using: &generator)
        let tested = model.set
        for (index, value) in model.members.sorted().enumerated() {
            let member = try #require(tested.element(at: UInt128(index)))
            #expect(member.value == value)
            #expect(tested.index(of: member) == UInt128(index))
        }
        #expect(tested.element(at: tested.count) == nil)
        #expect(tested.element(at: .max) == nil)
        for value in SetModel.universe where !model.members.contains(value) {
            #expect(tested.index(of: SetModel.address(value)) == nil)
        }
    }

    @Test func `the whole of IPv6 saturates the count and nothing else`() throws {
        var whole = IPSet(try range("::/0"))
        let last = try IPFamily.v6.lastAddress
        #expect(whole.count == .max)
        #expect(whole.index(of: last) == .max)
        #expect(whole.element(at: .max) == last)
        #expect(whole.element(at: .max - 1) == last.previous)
        var generator = SplitMix64(seed: 7)
        var highBits: Set<UInt128> = []
        for _ in 0..<1000 {
            highBits.insert(try #require(whole.randomElement(using: &generator)).value >> 124)
        }
        #expect(highBits == Set(0..<16))
        // Without one address the count is the same number, and exact.
        whole.subtract(try address("fd00::"))
        #expect(whole.count == .max)
        #expect(whole.element(at: .max) == nil)
        #expect(whole.element(at: .max - 1) == last)
        whole.insert(try address("fd00::"))
        #expect(whole == IPSet(try range("::/0")))
        whole.insert(last)
        #expect(whole.ranges.count == 1)
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `a random element is a member, and every member is hit`(seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        let tested = try set("10.0.0.1-5 10.0.0.9 10.0.1.0/29")
        var hits: [IPAddress: Int] = [:]
        for _ in 0..<1400 {
            let member = try #require(tested.randomElement(using: &generator))
            #expect(tested.contains(member))
            hits[member, default: 0] += 1
        }
        // 100 expected of each of the 14; five standard deviations are 48.
        #expect(hits.count == 14)
        #expect(hits.values.allSatisfy { 52...148 ~= $0 })
    }
}
