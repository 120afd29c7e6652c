import IPAddressing
import Testing

@Suite struct IPAddressTests {
    @Test func `a value that needs more bits than the family has makes no address`() {
        #expect(IPAddress(family: .v4, value: 0xffff_ffff)?.description == "255.255.255.255")
        #expect(IPAddress(family: .v4, value: 0x1_0000_0000) == nil)
        #expect(IPAddress(family: .v4, value: .max) == nil)
        #expect(IPAddress(family: .v6, value: .max) != nil)
    }

    @Test func `addresses of two families are never equal`() throws {
        let four = try #require(IPAddress(family: .v4, value: 1))
        let six = try #require(IPAddress(family: .v6, value: 1))
        #expect(four != six)
        #expect(try address("::ffff:10.0.0.1") != address("10.0.0.1"))
    }

    @Test func `addresses sort by family and then by value`() throws {
        let sorted = ["0.0.0.0", "10.0.0.9", "10.0.0.10", "255.255.255.255", "::", "::1", "fd00::1", "fd00::1:0"]
        let shuffled = try sorted.reversed().map(address)
        #expect(shuffled.sorted().map(\.description) == sorted)
    }

    @Test(
        arguments: [
            ("10.0.0.0", 1, "10.0.0.1"),
            ("10.0.0.255", 1, "10.0.1.0"),
            ("0.0.0.0", 0xffff_ffff, "255.255.255.255"),
            ("fd00::ffff:ffff:ffff:ffff", 1, "fd00:0:0:1::"),
            ("10.0.0.7", 0, "10.0.0.7"),
            // Beyond the last address of the family.
            ("255.255.255.255", 1, nil),
            ("0.0.0.1", 0xffff_ffff, nil),
            ("10.0.0.0", .max, nil),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 1, nil),
            ("::2", .max, nil),
            ("::", .max, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] as [(String, UInt128, String?)])
    func `advancing stays within the family`(from start: String, by distance: UInt128, to end: String?) throws {
        #expect(try address(start).advanced(by: distance)?.description == end)
    }

    @Test(arguments: IPFamily.allCases)
    func `next and previous are inverse and end at the ends`(family: IPFamily) throws {
        let first = try #require(IPAddress(family: family, value: 0))
        let last = try family.lastAddress
        #expect(first.previous == nil)
        #expect(last.next == nil)
        #expect(first.next?.previous == first)
        #expect(last.previous?.next == last)
    }
}
