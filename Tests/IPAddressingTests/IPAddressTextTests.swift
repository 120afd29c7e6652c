import IPAddressing
import Testing

@Suite struct IPAddressTextTests {
    @Test(
        arguments: [
            ("0.0.0.0", 0),
            ("10.19.120.7", 0x0a13_7807),
            ("255.255.255.255", 0xffff_ffff),
            ("1.20.100.0", 0x0114_6400),
        ] as [(String, UInt128)])
    func `dotted quads are read and written`(text: String, value: UInt128) throws {
        let parsed = try address(text)
        #expect(parsed == IPAddress(family: .v4, value: value))
        #expect(parsed.description == text)
    }

    @Test(arguments: [
        // RFC 4291 §2.2.
        ("ABCD:EF01:2345:6789:ABCD:EF01:2345:6789", "abcd:ef01:2345:6789:abcd:ef01:2345:6789"),
        ("2001:DB8:0:0:8:800:200C:417A", "2001:db8::8:800:200c:417a"),
        ("2001:DB8::8:800:200C:417A", "2001:db8::8:800:200c:417a"),
        ("FF01:0:0:0:0:0:0:101", "ff01::101"),
        ("FF01::101", "ff01::101"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("::1", "::1"),
        ("0:0:0:0:0:0:0:0", "::"),
        ("::", "::"),
        ("0:0:0:0:0:0:13.1.68.3", "::d01:4403"),
        ("::13.1.68.3", "::d01:4403"),
        ("0:0:0:0:0:FFFF:129.144.52.38", "::ffff:129.144.52.38"),
        ("::FFFF:129.144.52.38", "::ffff:129.144.52.38"),
        // RFC 5952 §1 and §2.1: leading zeros.
        ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
        ("2001:0db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
        ("2001:db8::1:0:0:1", "2001:db8::1:0:0:1"),
        ("2001:db8::0:1:0:0:1", "2001:db8::1:0:0:1"),
        ("2001:0db8::1:0:0:1", "2001:db8::1:0:0:1"),
        ("2001:db8:0:0:1::1", "2001:db8::1:0:0:1"),
        ("2001:db8:0000:0:1::1", "2001:db8::1:0:0:1"),
        ("2001:DB8:0:0:1::1", "2001:db8::1:0:0:1"),
        ("2001:db8:aaaa:bbbb:cccc:dddd:eeee:0001", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:1"),
        ("2001:db8:aaaa:bbbb:cccc:dddd:eeee:001", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:1"),
        ("2001:db8:aaaa:bbbb:cccc:dddd:eeee:01", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:1"),
        ("2001:db8:aaaa:bbbb:cccc:dddd:eeee:1", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:1"),
        // RFC 5952 §2.2: zero compression.
        ("2001:db8:aaaa:bbbb:cccc:dddd::1", "2001:db8:aaaa:bbbb:cccc:dddd:0:1"),
        ("2001:db8:aaaa:bbbb:cccc:dddd:0:1", "2001:db8:aaaa:bbbb:cccc:dddd:0:1"),
        ("2001:db8:0:0:0::1", "2001:db8::1"),
        ("2001:db8:0:0::1", "2001:db8::1"),
        ("2001:db8:0::1", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:db8::aaaa:0:0:1", "2001:db8::aaaa:0:0:1"),
        ("2001:db8:0:0:aaaa::1", "2001:db8::aaaa:0:0:1"),
        // RFC 5952 §2.3: upper and lower case.
        ("2001:db8:aaaa:bbbb:cccc:dddd:eeee:aaaa", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:aaaa"),
        ("2001:db8:aaaa:bbbb:cccc:dddd:eeee:AAAA", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:aaaa"),
        ("2001:db8:aaaa:bbbb:cccc:dddd:eeee:AaAa", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:aaaa"),
        // RFC 5952 §4.1: leading zeros go, a zero group keeps one.
        ("2001:0db8::0001", "2001:db8::1"),
        // RFC 5952 §4.2.1: shorten as much as possible.
        ("2001:db8:0:0:0:0:2:1", "2001:db8::2:1"),
        ("2001:db8::0:1", "2001:db8::1"),
        // RFC 5952 §4.2.2: one zero group is not shortened.
        ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ("2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        // RFC 5952 §4.2.3: the longest run, and the first of equals.
        ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
        ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
        // RFC 5952 §5: the IPv4-mapped prefix is well known, so its tail is decimal; others are not.
        ("0:0:0:0:0:ffff:192.0.2.1", "::ffff:192.0.2.1"),
        ("::ffff:c000:201", "::ffff:192.0.2.1"),
        ("::ffff:0:0", "::ffff:0.0.0.0"),
        ("::192.0.2.1", "::c000:201"),
        ("::ffff:0:192.0.2.1", "::ffff:0:c000:201"),
        ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"),
        ("2001:db8:122:344::192.0.2.33", "2001:db8:122:344::c000:221"),
        // Runs at either end, and nothing to shorten.
        ("1:0:0:0:0:0:0:0", "1::"),
        ("1:2:3:4:5:6:0:0", "1:2:3:4:5:6::"),
        ("0:0:3:4:5:6:7:8", "::3:4:5:6:7:8"),
        ("0:2:3:4:5:6:7:0", "0:2:3:4:5:6:7:0"),
        ("0:2:0:4:0:6:0:8", "0:2:0:4:0:6:0:8"),
        ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
        ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
        ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"),
        ("1:2:3:4:5::1.2.3.4", "1:2:3:4:5:0:102:304"),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("1000:200:30:4::a0:b00", "1000:200:30:4::a0:b00"),
    ])
    func `IPv6 in any form is written in the canonical one`(text: String, canonical: String) throws {
        let parsed = try address(text)
        #expect(parsed.family == .v6)
        #expect(parsed.description == canonical)
        #expect(try address(canonical) == parsed)
    }

    @Test(
        arguments: [
            // Nothing, or something else.
            ("", .missingAddress),
            ("10", .unrecognized("10")),
            ("ff", .unrecognized("ff")),
            ("localhost", .unrecognized("localhost")),
            // Leading zeros, which some readers take for octal.
            ("10.0.0.01", .leadingZero("01")),
            ("010.0.0.1", .leadingZero("010")),
            ("10.00.0.1", .leadingZero("00")),
            ("10.0.0.0000000000000000001", .leadingZero("0000000000000000001")),
            // Octets out of bounds, however long.
            ("256.0.0.1", .octetTooLarge("256")),
            ("1.2.3.999", .octetTooLarge("999")),
            ("1.2.3.1000", .octetTooLarge("1000")),
            ("1.2.99999999999999999999999.4", .octetTooLarge("99999999999999999999999")),
            // Empty octets.
            ("1..2.3", .emptyOctet),
            (".1.2.3", .emptyOctet),
            ("1.2.3.", .emptyOctet),
            ("1.2.3.4.", .emptyOctet),
            (".", .emptyOctet),
            // Too few, too many.
            ("1.2.3", .octetCount(3)),
            ("1.2", .octetCount(2)),
            ("1.2.3.4.5", .octetCount(5)),
            // Other notations that inet_aton takes.
            ("0x0a.0.0.1", .unexpectedCharacter("x")),
            ("1.2.3.4/24", .unexpectedCharacter("/")),
            ("+1.2.3.4", .unexpectedCharacter("+")),
            ("1.2.3.-4", .unexpectedCharacter("-")),
            ("1.2.3.4:80", .unexpectedCharacter(":")),
            // Space, line ends, NUL, digits of other scripts.
            (" 1.2.3.4", .unexpectedCharacter(" ")),
            ("1.2.3.4 ", .unexpectedCharacter(" ")),
            ("1.2.3.4\n", .unexpectedCharacter("\n")),
            ("1.2.3.4\0", .unexpectedCharacter("\0")),
            ("1.2.3.٤", .unexpectedCharacter("٤")),
            ("1.2.3.4é", .unexpectedCharacter("é")),
        ] as [(String, IPParseError.Reason)])
    func `what is not a dotted quad is refused with the reason`(text: String, reason: IPParseError.Reason) {
        #expect(throws: IPParseError(text: text, subject: .address, reason: reason)) { try address(text) }
        #expect(IPAddress(text) == nil)
    }

    @Test(
        arguments: [
            // Zones and brackets belong to sockets and URLs.
            ("::1%eth0", .zone("%eth0")),
            ("fe80::1%25eth0", .zone("%25eth0")),
            ("fe80::%1", .zone("%1")),
            ("[::1]", .unexpectedCharacter("[")),
            ("::1/128", .unexpectedCharacter("/")),
            // Two compressions, or one that stands for nothing.
            ("1::2::3", .repeatedCompression),
            ("::1::", .repeatedCompression),
            ("1:2:3:4::5:6:7:8", .needlessCompression),
            ("::1:2:3:4:5:6:7:8", .needlessCompression),
            ("1:2:3:4:5:6:7:8::", .needlessCompression),
            ("1:2:3:4:5:6::1.2.3.4", .needlessCompression),
            // Group counts.
            ("1:2:3:4:5:6:7:8:9", .groupCount(9)),
            ("1:2:3:4:5:6:7:8:9::", .groupCount(9)),
            ("1:2:3:4:5:6:7", .groupCount(7)),
            ("1:2", .groupCount(2)),
            ("1:2:3:4:5:6:7:1.2.3.4", .groupCount(9)),
            ("1:2:3:4:5:1.2.3.4", .groupCount(7)),
            // Groups.
            ("12345::", .groupTooLong("12345")),
            ("::00001", .groupTooLong("00001")),
            ("::ffffffffffffffffffffffffffffffffffffffff", .groupTooLong("ffffffffffffffffffffffffffffffffffffffff")),
            ("::g", .unexpectedCharacter("g")),
            ("1:2:3:4:5:6:7:x", .unexpectedCharacter("x")),
            ("::-1", .unexpectedCharacter("-")),
            ("::1 ", .unexpectedCharacter(" ")),
            ("::é", .unexpectedCharacter("é")),
            // Single colons at the ends, three in a row.
            (":", .emptyGroup),
            (":1:2:3:4:5:6:7", .emptyGroup),
            ("1:2:3:4:5:6:7:", .emptyGroup),
            ("1:2:3:4:5:6:7:8:", .emptyGroup),
            (":::", .emptyGroup),
            ("1:::2", .emptyGroup),
            // An IPv4 address only at the end, and only a strict one.
            ("::1.2.3.4:5", .unexpectedCharacter(":")),
            ("::1.2.3", .octetCount(3)),
            ("::1.2.3.04", .leadingZero("04")),
            ("::ffff:1.2.3.256", .octetTooLarge("256")),
            ("::ff.2.3.4", .unexpectedCharacter("f")),
            ("::.2.3.4", .emptyOctet),
            ("::ffff:1.2.3.4%eth0", .zone("%eth0")),
        ] as [(String, IPParseError.Reason)])
    func `what is not IPv6 is refused with the reason`(text: String, reason: IPParseError.Reason) {
        #expect(throws: IPParseError(text: text, subject: .address, reason: reason)) { try address(text) }
        #expect(IPAddress(text) == nil)
    }

    @Test func `a substring is parsed as a string is`() throws {
        let words = "from 2001:db8:1111:2222:3333:4444:5555:6666 to 10.0.0.7".split(separator: " ")
        #expect(try IPAddress(parsing: words[1]).value == 0x2001_0db8_1111_2222_3333_4444_5555_6666)
        #expect(try IPAddress(parsing: words[3]).value == 0x0a00_0007)
    }

    @Test(arguments: IPFamily.allCases, 0..<20 as Range<UInt64>)
    func `text and address are inverse`(family: IPFamily, seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        for _ in 0..<100 {
            let random = try generator.address(family)
            #expect(try address(random.description) == random)
            #expect(IPAddress(random.description.uppercased()) == random)
        }
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `canonical IPv6 agrees with a naive writer`(seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        for _ in 0..<100 {
            let random = try generator.address(.v6)
            guard random.value >> 32 != 0xffff else { continue }
            #expect(random.description == Self.naiveCanonicalText(random.value))
        }
    }

    /// RFC 5952 §4 on strings: the longest run of zero groups, the first of equals, becomes `::`.
    private static func naiveCanonicalText(_ value: UInt128) -> String {
        let groups = (0..<8).map { String(UInt16(truncatingIfNeeded: value >> (16 * (7 - $0))), radix: 16) }
        for length in stride(from: 8, through: 2, by: -1) {
            for start in 0...8 - length where groups[start..<start + length].allSatisfy({ $0 == "0" }) {
                let head = groups[..<start].joined(separator: ":")
                let tail = groups[(start + length)...].joined(separator: ":")
                return "\(head)::\(tail)"
            }
        }
        return groups.joined(separator: ":")
    }
}
