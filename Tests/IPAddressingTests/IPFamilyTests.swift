import IPAddressing
import Testing

@Suite struct IPFamilyTests {
    @Test func `families have a width, a highest value and a name`() {
        #expect(IPFamily.allCases == [.v4, .v6])
        #expect(IPFamily.allCases.map(\.bitWidth) == [32, 128])
        #expect(IPFamily.allCases.map(\.maximumValue) == [0xffff_ffff, .max])
        #expect(IPFamily.allCases.map(\.description) == ["IPv4", "IPv6"])
    }

    @Test func `IPv4 sorts before IPv6`() {
        #expect(IPFamily.v4 < .v6)
    }
}
