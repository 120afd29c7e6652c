import IPAddressing
import Testing

@Suite struct IPRangeGrammarTests {
    @Test(arguments: [
        // One address.
        ("10.0.0.7", "10.0.0.7"),
        ("fd00::7", "fd00::7"),
        ("10.0.0.7-10.0.0.7", "10.0.0.7"),
        // Two addresses.
        ("10.0.0.1-10.0.1.9", "10.0.0.1-10.0.1.9"),
        ("FD00::1-fd00::00ff", "fd00::1-fd00::ff"),
        ("0.0.0.0-255.255.255.255", "0.0.0.0-255.255.255.255"),
        ("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("::ffff:10.0.0.1-::ffff:10.0.0.9", "::ffff:10.0.0.1-::ffff:10.0.0.9"),
        // A prefix.
        ("10.0.0.0/30", "10.0.0.0-10.0.0.3"),
        ("10.0.0.7/32", "10.0.0.7"),
        ("fd00::/126", "fd00::-fd00::3"),
        // Trailing octets of the first address replaced.
        ("192.168.1.1-100", "192.168.1.1-192.168.1.100"),
        ("10.0.1.5-2.9", "10.0.1.5-10.0.2.9"),
        ("10.0.1.5-1.2.9", "10.0.1.5-10.1.2.9"),
        ("10.0.1.5-11.1.2.9", "10.0.1.5-11.1.2.9"),
        ("10.0.1.5-5", "10.0.1.5"),
        ("10.0.1.0-255", "10.0.1.0-10.0.1.255"),
    ])
    func `every spelling of a range is understood`(text: String, meaning: String) throws {
        #expect(try range(text).description == meaning)
        #expect(try range(meaning) == range(text))
    }

    @Test(
        arguments: [
            ("", .missingAddress),
            ("10.0.0", .octetCount(3)),
            ("host", .unrecognized("host")),
            // Dashes without an address on either side.
            ("-", .missingAddress),
            ("-10.0.0.1", .missingAddress),
            ("10.0.0.1-", .missingAddress),
            ("fd00::1-", .missingAddress),
            ("10.0.0.1--5", .unexpectedCharacter("-")),
            ("10.0.0.1-5-9", .unexpectedCharacter("-")),
            // No spaces.
            ("10.0.0.1 - 10.0.0.9", .unexpectedCharacter(" ")),
            ("10.0.0.1- 10.0.0.9", .unexpectedCharacter(" ")),
            (" 10.0.0.1-10.0.0.9", .unexpectedCharacter(" ")),
            ("10.0.0.1,10.0.0.9", .unexpectedCharacter(",")),
            // Reversed.
            ("10.0.0.9-10.0.0.1", .reversedBounds),
            ("10.0.0.9-1", .reversedBounds),
            ("10.0.1.9-0.10", .reversedBounds),
            ("fd00::9-fd00::1", .reversedBounds),
            // Families mixed.
            ("10.0.0.1-fd00::1", .mixedFamilies),
            ("10.0.0.1-::ffff:10.0.0.9", .mixedFamilies),
            ("fd00::1-10.0.0.1", .mixedFamilies),
            // The short form is strict too, and for IPv4 only.
            ("10.0.0.1-09", .leadingZero("09")),
            ("10.0.0.1-256", .octetTooLarge("256")),
            ("10.0.0.1-.9", .emptyOctet),
            ("10.0.0.1-2.", .emptyOctet),
            ("10.0.0.1-1.2.3.4.5", .octetCount(5)),
            ("fd00::1-ff", .unrecognized("ff")),
            ("fd00::1-9", .unrecognized("9")),
            // Prefixes without host bits, and none after a range.
            ("10.0.0.0/33", .prefixLength("33", .v4)),
            ("10.0.0.1-10.0.0.9/24", .unexpectedCharacter("/")),
            ("10.0.0.0/24-10.0.1.0/24", .unexpectedCharacter("/")),
            ("fe80::1%eth0-fe80::2", .zone("%eth0")),
        ] as [(String, IPParseError.Reason)])
    func `what is not a range is refused with the reason`(text: String, reason: IPParseError.Reason) {
        #expect(throws: IPParseError(text: text, subject: .range, reason: reason)) { try range(text) }
    }

    @Test func `a prefix with host bits is no range, and the error names the prefix`() throws {
        let reason = IPParseError.Reason.hostBits(canonical: try prefix("10.0.0.0/24"))
        #expect(throws: IPParseError(text: "10.0.0.9/24", subject: .range, reason: reason)) {
            try range("10.0.0.9/24")
        }
    }

    @Test(arguments: [
        ("10.0.0.0/24", "10.0.0.0/24", true),
        ("10.0.0.1-254", "10.0.0.0/24", true),
        ("10.0.0.0/25", "10.0.0.0/24", true),
        ("10.0.0.0/23", "10.0.0.0/24", false),
        ("10.0.0.250-1.5", "10.0.0.0/24", false),
        ("10.0.1.0", "10.0.0.0/24", false),
        ("9.255.255.255-10.0.0.1", "10.0.0.0/24", false),
        ("fd00::1", "10.0.0.0/24", false),
        ("10.0.0.1", "::/0", false),
    ])
    func `a range must be within the subnet, when there is one`(text: String, subnet: String, fits: Bool) throws {
        let subnet = try prefix(subnet)
        guard !fits else {
            #expect(try IPRange(parsing: text, in: subnet) == range(text))
            return
        }
        let reason = IPParseError.Reason.outsideSubnet(try range(text), subnet)
        #expect(throws: IPParseError(text: text, subject: .range, reason: reason)) {
            try IPRange(parsing: text, in: subnet)
        }
    }

    @Test(arguments: IPFamily.allCases, 0..<20 as Range<UInt64>)
    func `a range and its description are inverse`(family: IPFamily, seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        for _ in 0..<50 {
            let ends = [try generator.address(family), try generator.address(family)].sorted()
            let made = try #require(IPRange(lower: ends[0], upper: ends[1]))
            #expect(try range(made.description) == made)
        }
    }
}

@Suite struct WhereaboutsRangeTests {
    @Test(
        arguments: [
            // Host bits mean nothing; the whole subnet.
            ("192.168.2.225/28", nil, nil, "192.168.2.224/28", nil),
            ("192.168.2.224/28", nil, nil, "192.168.2.224/28", nil),
            ("192.168.2.224/28", "", "", "192.168.2.224/28", nil),
            ("10.0.0.7/32", nil, nil, "10.0.0.7/32", nil),
            ("fd00::7/64", nil, nil, "fd00::/64", nil),
            // Two addresses and a length.
            ("192.168.2.10-192.168.2.20/24", nil, nil, "192.168.2.0/24", "192.168.2.10-192.168.2.20"),
            ("192.168.2.10-192.168.2.10/24", nil, nil, "192.168.2.0/24", "192.168.2.10"),
            ("192.168.2.0-192.168.2.255/24", nil, nil, "192.168.2.0/24", nil),
            ("fd00::10-fd00::20/64", nil, nil, "fd00::/64", "fd00::10-fd00::20"),
            // Bounds beside the range.
            ("192.168.2.0/24", "192.168.2.10", nil, "192.168.2.0/24", "192.168.2.10-192.168.2.255"),
            ("192.168.2.0/24", nil, "192.168.2.20", "192.168.2.0/24", "192.168.2.0-192.168.2.20"),
            ("192.168.2.77/24", "192.168.2.10", "192.168.2.20", "192.168.2.0/24", "192.168.2.10-192.168.2.20"),
            ("192.168.2.0/24", "192.168.2.0", "192.168.2.255", "192.168.2.0/24", nil),
            ("192.168.2.0/24", "192.168.2.9", "192.168.2.9", "192.168.2.0/24", "192.168.2.9"),
            // Both: the narrower of each.
            ("192.168.2.10-192.168.2.20/24", "192.168.2.5", nil, "192.168.2.0/24", "192.168.2.10-192.168.2.20"),
            (
                "192.168.2.10-192.168.2.20/24", "192.168.2.12", "192.168.2.15", "192.168.2.0/24",
                "192.168.2.12-192.168.2.15"
            ),
        ] as [(String, String?, String?, String, String?)])
    func `whereabouts ranges are understood`(
        text: String, start: String?, end: String?, subnet: String, expected: String?
    ) throws {
        let parsed = try WhereaboutsRange.parse(range: text, start: start, end: end)
        #expect(parsed.subnet.description == subnet)
        #expect(parsed.range?.description == expected)
    }

    @Test(
        arguments: [
            ("", .missingAddress),
            ("192.168.2.0", .missingPrefixLength),
            ("192.168.2.10-192.168.2.20", .missingPrefixLength),
            ("192.168.2.10/24-192.168.2.20/24", .unexpectedCharacter("/")),
            ("192.168.2.10-20/24", .unrecognized("20")),
            ("192.168.2.10 - 192.168.2.20/24", .unexpectedCharacter(" ")),
            ("192.168.2.20-192.168.2.10/24", .reversedBounds),
            ("192.168.2.10-fd00::1/64", .mixedFamilies),
            // The two addresses must be in one prefix of that length.
            ("192.168.1.10-192.168.2.20/24", .notWithinOnePrefix(length: 24)),
            ("192.168.2.10-192.168.2.20/28", .notWithinOnePrefix(length: 28)),
            ("fd00::1-fd00:0:0:1::1/64", .notWithinOnePrefix(length: 64)),
            ("192.168.2.10-192.168.2.20/33", .prefixLength("33", .v4)),
        ] as [(String, IPParseError.Reason)])
    func `what whereabouts would refuse is refused`(text: String, reason: IPParseError.Reason) {
        #expect(throws: IPParseError(text: text, subject: .range, reason: reason)) {
            try WhereaboutsRange.parse(range: text)
        }
    }

    @Test func `a bound must be an address within the subnet`() throws {
        let subnet = try prefix("192.168.2.0/24")
        for (text, reason) in [
            ("192.168.3.1", .outsideSubnet(try range("192.168.3.1"), subnet)),
            ("fd00::1", .outsideSubnet(try range("fd00::1"), subnet)),
            ("192.168.2.1/24", .unexpectedCharacter("/")),
            ("x", .unrecognized("x")),
        ] as [(String, IPParseError.Reason)] {
            #expect(throws: IPParseError(text: text, subject: .rangeStart, reason: reason)) {
                try WhereaboutsRange.parse(range: "192.168.2.0/24", start: text)
            }
            #expect(throws: IPParseError(text: text, subject: .rangeEnd, reason: reason)) {
                try WhereaboutsRange.parse(range: "192.168.2.0/24", end: text)
            }
        }
    }

    @Test(
        arguments: [
            ("192.168.2.0/24", "192.168.2.20", "192.168.2.10", "192.168.2.20-192.168.2.10"),
            ("192.168.2.10-192.168.2.20/24", "192.168.2.21", nil, "192.168.2.21-192.168.2.20"),
            ("192.168.2.10-192.168.2.20/24", nil, "192.168.2.9", "192.168.2.10-192.168.2.9"),
        ] as [(String, String?, String?, String)])
    func `bounds that leave nothing are an error`(text: String, start: String?, end: String?, shown: String) {
        #expect(throws: IPParseError(text: shown, subject: .range, reason: .reversedBounds)) {
            try WhereaboutsRange.parse(range: text, start: start, end: end)
        }
    }
}
