import IPAddressing
import Testing

@Suite struct IPPrefixTests {
    @Test(arguments: [
        ("10.0.0.0/8", "10.0.0.0", "10.255.255.255"),
        ("0.0.0.0/0", "0.0.0.0", "255.255.255.255"),
        ("10.19.120.0/22", "10.19.120.0", "10.19.123.255"),
        ("10.0.0.6/31", "10.0.0.6", "10.0.0.7"),
        ("10.0.0.7/32", "10.0.0.7", "10.0.0.7"),
        ("::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("fd00:1:2::/48", "fd00:1:2::", "fd00:1:2:ffff:ffff:ffff:ffff:ffff"),
        ("fd00::/65", "fd00::", "fd00::7fff:ffff:ffff:ffff"),
        ("fd00::6/127", "fd00::6", "fd00::7"),
        ("fd00::7/128", "fd00::7", "fd00::7"),
    ])
    func `a prefix has a first and a last address`(text: String, first: String, last: String) throws {
        let parsed = try prefix(text)
        #expect(parsed.description == text)
        #expect(parsed.first.description == first)
        #expect(parsed.last.description == last)
        #expect(parsed.range.lower == parsed.first)
        #expect(parsed.range.upper == parsed.last)
    }

    @Test(
        arguments: [
            // No length, or none of the family's.
            ("10.0.0.0", .missingPrefixLength),
            ("10.0.0.0/", .prefixLength("", .v4)),
            ("10.0.0.0/33", .prefixLength("33", .v4)),
            ("10.0.0.0/128", .prefixLength("128", .v4)),
            ("fd00::/129", .prefixLength("129", .v6)),
            ("10.0.0.0/99999999999999999999", .prefixLength("99999999999999999999", .v4)),
            // Lengths in other notations.
            ("10.0.0.0/08", .prefixLength("08", .v4)),
            ("0.0.0.0/00", .prefixLength("00", .v4)),
            ("10.0.0.0/+8", .prefixLength("+8", .v4)),
            ("10.0.0.0/-8", .prefixLength("-8", .v4)),
            ("10.0.0.0/ 8", .prefixLength(" 8", .v4)),
            ("10.0.0.0/8/8", .prefixLength("8/8", .v4)),
            ("10.0.0.0/255.0.0.0", .prefixLength("255.0.0.0", .v4)),
            // Faults of the address.
            ("/8", .missingAddress),
            ("10.0.0/8", .octetCount(3)),
            ("10/8", .unrecognized("10")),
            ("10.0.0", .octetCount(3)),
            ("fe80::%eth0/64", .zone("%eth0")),
            ("", .missingAddress),
        ] as [(String, IPParseError.Reason)])
    func `what is not a prefix is refused with the reason`(text: String, reason: IPParseError.Reason) {
        #expect(throws: IPParseError(text: text, subject: .prefix, reason: reason)) { try prefix(text) }
    }

    @Test(arguments: [
        ("10.0.0.1/8", "10.0.0.0/8"),
        ("10.0.0.1/0", "0.0.0.0/0"),
        ("10.0.0.7/31", "10.0.0.6/31"),
        ("fd00::1/64", "fd00::/64"),
        ("::ffff:10.0.0.1/120", "::ffff:10.0.0.0/120"),
    ])
    func `host bits are refused with the canonical prefix`(text: String, canonical: String) throws {
        let reason = IPParseError.Reason.hostBits(canonical: try prefix(canonical))
        #expect(throws: IPParseError(text: text, subject: .prefix, reason: reason)) { try prefix(text) }
    }

    @Test func `making a prefix clears host bits and checks the length`() throws {
        let four = try address("192.168.2.225")
        #expect(IPPrefix(address: four, length: 28)?.description == "192.168.2.224/28")
        #expect(IPPrefix(address: four, length: 0)?.description == "0.0.0.0/0")
        #expect(IPPrefix(address: four, length: 32)?.description == "192.168.2.225/32")
        #expect(IPPrefix(address: four, length: 33) == nil)
        #expect(IPPrefix(address: four, length: -1) == nil)
        let six = try address("fd00::ffff")
        #expect(IPPrefix(address: six, length: 120)?.description == "fd00::ff00/120")
        #expect(IPPrefix(address: six, length: 128)?.description == "fd00::ffff/128")
        #expect(IPPrefix(address: six, length: 129) == nil)
    }

    @Test(arguments: [
        ("10.0.0.0/8", "10.255.255.255", true),
        ("10.0.0.0/8", "11.0.0.0", false),
        ("10.0.0.0/8", "9.255.255.255", false),
        ("0.0.0.0/0", "203.0.113.7", true),
        ("10.0.0.7/32", "10.0.0.7", true),
        ("10.0.0.7/32", "10.0.0.6", false),
        ("fd00::/64", "fd00::ffff:ffff:ffff:ffff", true),
        ("fd00::/64", "fd00:0:0:1::", false),
        // The other family, even where the bits agree.
        ("0.0.0.0/0", "::1", false),
        ("::/0", "10.0.0.1", false),
        ("::ffff:0:0/96", "10.0.0.1", false),
        ("::ffff:0:0/96", "::ffff:10.0.0.1", true),
    ])
    func `a prefix contains the addresses that share its bits`(text: String, member: String, expected: Bool) throws {
        #expect(try prefix(text).contains(address(member)) == expected)
    }

    @Test(arguments: [
        ("10.0.0.0/8", "10.1.0.0/16", true, true),
        ("10.1.0.0/16", "10.0.0.0/8", false, true),
        ("10.0.0.0/8", "10.0.0.0/8", true, true),
        ("10.0.0.0/9", "10.128.0.0/9", false, false),
        ("fd00::/64", "fd00::/65", true, true),
        ("::/0", "0.0.0.0/0", false, false),
    ])
    func `two prefixes nest or are disjoint`(left: String, right: String, contains: Bool, overlaps: Bool) throws {
        let (left, right) = (try prefix(left), try prefix(right))
        #expect(left.contains(right) == contains)
        #expect(left.contains(right.range) == contains)
        #expect(left.overlaps(right) == overlaps)
        #expect(right.overlaps(left) == overlaps)
    }

    @Test(arguments: IPFamily.allCases, 0..<10 as Range<UInt64>)
    func `first, last and membership agree at every length`(family: IPFamily, seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        for length in 0...family.bitWidth {
            let member = try generator.address(family)
            let made = try #require(IPPrefix(address: member, length: length))
            #expect(made.contains(member))
            #expect(made.contains(made.first))
            #expect(made.contains(made.last))
            #expect(made.first.previous.map { made.contains($0) } != true)
            #expect(made.last.next.map { made.contains($0) } != true)
            #expect(made.first <= member && member <= made.last)
            #expect(try prefix(made.description) == made)
            #expect(made.last.value - made.first.value == family.maximumValue >> length)
        }
    }
}
