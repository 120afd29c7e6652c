import IPAddressing
import Testing

@Suite struct IPParseErrorTests {
    @Test(arguments: [
        ("", #""" is not an IP address: an address is missing"#),
        ("host", #""host" is not an IP address: "host" is neither dotted IPv4 nor colon-separated IPv6"#),
        ("10.0.0.01", #""10.0.0.01" is not an IP address: leading zero in "01""#),
        ("10.0.0.256", #""10.0.0.256" is not an IP address: octet "256" is above 255"#),
        ("10..0.1", #""10..0.1" is not an IP address: empty octet"#),
        ("10.0.1", #""10.0.1" is not an IP address: 3 octets instead of 4"#),
        ("10.0.0.1x", #""10.0.0.1x" is not an IP address: unexpected character "x""#),
        ("::1%eth0", #""::1%eth0" is not an IP address: a zone is not allowed, here "%eth0""#),
        (":1", #"":1" is not an IP address: empty group"#),
        ("12345::", #""12345::" is not an IP address: group "12345" has more than four digits"#),
        ("1:2", #""1:2" is not an IP address: 2 groups instead of 8"#),
        ("1::2::3", #""1::2::3" is not an IP address: "::" appears twice"#),
        ("1:2:3:4:5:6:7:8::", #""1:2:3:4:5:6:7:8::" is not an IP address: "::" stands for no group"#),
    ])
    func `an error about an address quotes the text and says what is wrong`(text: String, message: String) throws {
        let error = try #require(throws: IPParseError.self) { try address(text) }
        #expect(error.description == message)
    }

    @Test(arguments: [
        ("10.0.0.0", #""10.0.0.0" is not an IP prefix: a prefix length is missing"#),
        ("10.0.0.0/33", #""10.0.0.0/33" is not an IP prefix: "33" is not an IPv4 prefix length, from 0 to 32"#),
        ("fd00::/x", #""fd00::/x" is not an IP prefix: "x" is not an IPv6 prefix length, from 0 to 128"#),
        ("10.0.0.7/8", #""10.0.0.7/8" is not an IP prefix: it has host bits; the prefix is 10.0.0.0/8"#),
    ])
    func `an error about a prefix names the canonical one`(text: String, message: String) throws {
        let error = try #require(throws: IPParseError.self) { try prefix(text) }
        #expect(error.description == message)
    }

    @Test(arguments: [
        ("10.0.0.9-10.0.0.1", #""10.0.0.9-10.0.0.1" is not an IP range: it ends before it begins"#),
        ("10.0.0.9-fd00::1", #""10.0.0.9-fd00::1" is not an IP range: one end is IPv4, the other IPv6"#),
        (
            "10.0.1.250-2.5",
            #""10.0.1.250-2.5" is not an IP range: 10.0.1.250-10.0.2.5 is not within 10.0.1.0/24"#
        ),
    ])
    func `an error about a range names both sides`(text: String, message: String) throws {
        let subnet = try prefix("10.0.1.0/24")
        let error = try #require(throws: IPParseError.self) { try IPRange(parsing: text, in: subnet) }
        #expect(error.description == message)
    }

    @Test func `an error about a whereabouts range names the key at fault`() throws {
        let start = try #require(throws: IPParseError.self) {
            try WhereaboutsRange.parse(range: "10.0.0.0/24", start: "10.0.1.5")
        }
        #expect(
            start.description
                == #""10.0.1.5" is not a valid start of the range: 10.0.1.5 is not within 10.0.0.0/24"#)
        let end = try #require(throws: IPParseError.self) {
            try WhereaboutsRange.parse(range: "10.0.0.0/24", end: "10.0.0")
        }
        #expect(end.description == #""10.0.0" is not a valid end of the range: 3 octets instead of 4"#)
        let range = try #require(throws: IPParseError.self) {
            try WhereaboutsRange.parse(range: "10.0.0.1-10.0.1.5/24")
        }
        #expect(range.description == #""10.0.0.1-10.0.1.5/24" is not an IP range: its ends are not within one /24"#)
        let interface = try #require(throws: IPParseError.self) { try IPPrefix.parsingInterface("10.0.0.1") }
        #expect(
            interface.description
                == #""10.0.0.1" is not an IP address with a prefix length: a prefix length is missing"#)
    }

    @Test func `hostile texts stay on one line and short`() throws {
        let control = try #require(throws: IPParseError.self) { try address("10.0.0.1\n\u{1b}[31m") }
        #expect(!control.description.contains("\n"))
        #expect(!control.description.contains("\u{1b}"))
        let long = try #require(throws: IPParseError.self) { try address(String(repeating: "9", count: 10_000)) }
        #expect(long.description.utf8.count < 300)
    }
}
