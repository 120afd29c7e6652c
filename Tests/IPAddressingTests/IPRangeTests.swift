import IPAddressing
import Testing

@Suite struct IPRangeTests {
    @Test func `bounds must be ordered and of one family`() throws {
        let (low, high, six) = (try address("10.0.0.1"), try address("10.0.0.9"), try address("::1"))
        #expect(IPRange(lower: low, upper: high)?.description == "10.0.0.1-10.0.0.9")
        #expect(IPRange(lower: low, upper: low)?.description == "10.0.0.1")
        #expect(IPRange(lower: low, upper: low) == IPRange(low))
        #expect(IPRange(lower: high, upper: low) == nil)
        #expect(IPRange(lower: low, upper: six) == nil)
        #expect(IPRange(lower: six, upper: high) == nil)
    }

    @Test(
        arguments: [
            ("10.0.0.7", 1),
            ("10.0.0.0/24", 256),
            ("0.0.0.0/0", 1 << 32),
            ("fd00::/64", 1 << 64),
            ("::/1", 1 << 127),
            // One less than the whole is exact; the whole saturates at the same number.
            ("::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", .max),
            ("::/0", .max),
        ] as [(String, UInt128)])
    func `the count is exact until it saturates`(text: String, count: UInt128) throws {
        #expect(try range(text).count == count)
    }

    @Test func `a range contains its bounds and what is between`() throws {
        let tested = try range("10.0.0.10-10.0.0.20")
        #expect(try tested.contains(address("10.0.0.10")))
        #expect(try tested.contains(address("10.0.0.15")))
        #expect(try tested.contains(address("10.0.0.20")))
        #expect(try !tested.contains(address("10.0.0.9")))
        #expect(try !tested.contains(address("10.0.0.21")))
        #expect(try !range("::/0").contains(address("10.0.0.10")))
        #expect(try tested.contains(range("10.0.0.12-10.0.0.20")))
        #expect(try !tested.contains(range("10.0.0.12-10.0.0.21")))
        #expect(try !tested.contains(range("10.0.0.0/24")))
    }

    @Test(arguments: [
        ("10.0.0.1-10.0.0.5", "10.0.0.5-10.0.0.9", true),
        ("10.0.0.1-10.0.0.5", "10.0.0.6-10.0.0.9", false),
        ("10.0.0.0/8", "10.0.0.6", true),
        ("10.0.0.6", "10.0.0.6", true),
        ("10.0.0.6", "10.0.0.7", false),
        ("::/0", "0.0.0.0/0", false),
    ])
    func `ranges overlap when they share an address`(left: String, right: String, expected: Bool) throws {
        #expect(try range(left).overlaps(range(right)) == expected)
        #expect(try range(right).overlaps(range(left)) == expected)
    }
}
