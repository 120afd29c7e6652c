import IPAddressing
import Testing

@Suite struct IPInterfaceAddressTests {
    @Test(arguments: [
        ("192.168.2.225/28", "192.168.2.224/28"),
        ("192.168.2.224/28", "192.168.2.224/28"),
        ("10.0.0.7/32", "10.0.0.7/32"),
        ("10.0.0.7/0", "0.0.0.0/0"),
        ("fd00::7/64", "fd00::/64"),
    ])
    func `host bits are kept and the prefix is known`(text: String, prefixText: String) throws {
        let parsed = try IPInterfaceAddress(parsing: text)
        #expect(parsed.description == text)
        #expect(parsed.prefix == (try prefix(prefixText)))
        #expect(try IPPrefix.parsingInterface(text) == parsed)
    }

    @Test(
        arguments: [
            ("10.0.0.7", .missingPrefixLength),
            ("10.0.0.7/33", .prefixLength("33", .v4)),
            ("10.0.0.7/024", .prefixLength("024", .v4)),
            ("10.0.0.07/24", .leadingZero("07")),
            ("10.0.0.7 /24", .unexpectedCharacter(" ")),
            ("/24", .missingAddress),
        ] as [(String, IPParseError.Reason)])
    func `what is not an address with a length is refused`(text: String, reason: IPParseError.Reason) {
        let error = IPParseError(text: text, subject: .interfaceAddress, reason: reason)
        #expect(throws: error) { try IPInterfaceAddress(parsing: text) }
    }

    @Test func `the length must be one of the family's`() throws {
        let four = try address("10.0.0.7")
        #expect(IPInterfaceAddress(address: four, length: 24)?.description == "10.0.0.7/24")
        #expect(IPInterfaceAddress(address: four, length: 33) == nil)
        #expect(IPInterfaceAddress(address: four, length: -1) == nil)
        #expect(IPInterfaceAddress(address: try address("::1"), length: 128) != nil)
    }
}
