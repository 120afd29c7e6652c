import IPAddressing
import Testing

@Suite struct ObjectNamesTests {
    @Test(arguments: [
        ("10.19.120.7", "10.19.120.7"),
        ("0.0.0.0", "0.0.0.0"),
        ("fd00::1", "fd00-0000-0000-0000-0000-0000-0000-0001"),
        ("::", "0000-0000-0000-0000-0000-0000-0000-0000"),
        ("::ffff:10.0.0.1", "0000-0000-0000-0000-0000-ffff-0a00-0001"),
        ("2001:db8:a:b0:c00:d000:e:f", "2001-0db8-000a-00b0-0c00-d000-000e-000f"),
    ])
    func `an address has a name and back`(text: String, name: String) throws {
        #expect(try address(text).objectName == name)
        #expect(try IPAddress(objectName: name) == address(text))
    }

    @Test(arguments: [
        "", "10.19.120", "10.19.120.07", "10.19.120.7.", "10-19-120-7", "blue.10.19.120.7",
        // Only the one form of IPv6: all groups, all digits, lower case.
        "fd00::1", "fd00--1", "fd00-0-0-0-0-0-0-1",
        "FD00-0000-0000-0000-0000-0000-0000-0001",
        "fd00-0000-0000-0000-0000-0000-0000-000g",
        "fd00:0000:0000:0000:0000:0000:0000:0001",
        "fd00-0000-0000-0000-0000-0000-0000-00001",
        "fd00-0000-0000-0000-0000-0000-0000-001",
        "fd000-000-0000-0000-0000-0000-0000-0001",
        "fd00-0000-0000-0000-0000-0000-0000-0-01",
        "fd0000000000000000000000000000000000001",
        "-d00-0000-0000-0000-0000-0000-0000-0001",
    ])
    func `no other name is that of an address`(name: String) {
        #expect(IPAddress(objectName: name) == nil)
    }

    @Test(arguments: [
        ("a", true), ("blue", true), ("storage-2", true), ("a--b", true), ("x1", true),
        (String(repeating: "n", count: 63), true),
        // The name of an IPv6 address is a label that begins with a letter; it stands left of a dot, so it is no trap.
        ("fd00-0000-0000-0000-0000-0000-0000-0001", true),
        (String(repeating: "n", count: 64), false),
        ("", false), ("1a", false), ("10", false), ("-a", false), ("a-", false), ("-", false), ("a.b", false),
        ("Blue", false), ("a_b", false), ("a b", false), ("é", false), ("aé", false), ("a\n", false), ("a\0", false),
    ])
    func `a network is a DNS label that begins with a letter`(name: String, isValid: Bool) throws {
        #expect(AllocationName.isValidNetworkName(name) == isValid)
        let made = AllocationName(network: name, address: try address("10.0.0.1"))
        #expect((made != nil) == (isValid || name.isEmpty))
    }

    @Test(arguments: [
        ("10.19.120.7", "", "10.19.120.7"),
        ("blue.10.19.120.7", "blue", "10.19.120.7"),
        ("fd00-0000-0000-0000-0000-0000-0000-0001", "", "fd00::1"),
        ("blue.fd00-0000-0000-0000-0000-0000-0000-0001", "blue", "fd00::1"),
        // Networks that try to look like addresses.
        ("a10.10.19.120.7", "a10", "10.19.120.7"),
        ("fd00-0000-0000-0000-0000-0000-0000-0001.10.0.0.1", "fd00-0000-0000-0000-0000-0000-0000-0001", "10.0.0.1"),
        (
            "fd00-0000-0000-0000-0000-0000-0000-0001.fd00-0000-0000-0000-0000-0000-0000-0002",
            "fd00-0000-0000-0000-0000-0000-0000-0001", "fd00::2"
        ),
    ])
    func `a name is parsed from the right`(name: String, network: String, addressText: String) throws {
        let parsed = try #require(AllocationName(objectName: name))
        #expect(parsed.network == network)
        #expect(parsed.address == (try address(addressText)))
        #expect(parsed.objectName == name)
        #expect(parsed.description == name)
        #expect(parsed == AllocationName(network: network, address: parsed.address))
    }

    @Test(arguments: [
        "", ".", "blue", "blue.", "19.120.7", "blue.19.120.7", "10.19.120.7.", "10.19.120.7.blue",
        // A network that is none.
        ".10.19.120.7", "1.10.19.120.7", "Blue.10.19.120.7", "a.b.10.19.120.7", "a-.10.19.120.7",
        "..10.19.120.7", "blue..10.19.120.7", "10.19.120.7.10.19.120.7",
        ".fd00-0000-0000-0000-0000-0000-0000-0001", "1.fd00-0000-0000-0000-0000-0000-0000-0001",
        "a.b.fd00-0000-0000-0000-0000-0000-0000-0001", "0000-0000-0000-0000-0000-0000-0000-0001.10.0.0.1",
        // An address in another spelling.
        "blue.10.19.120.07", "blue.FD00-0000-0000-0000-0000-0000-0000-0001", "blue.fd00--1",
        "blue-10.19.120.7-x", String(repeating: "n", count: 64) + ".10.0.0.1",
    ])
    func `no other name is that of an allocation`(name: String) {
        #expect(AllocationName(objectName: name) == nil)
    }

    @Test(arguments: IPFamily.allCases, 0..<20 as Range<UInt64>)
    func `names and addresses are inverse, and names are DNS subdomains`(family: IPFamily, seed: UInt64) throws {
        let subdomain = /[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/
        var generator = SplitMix64(seed: seed)
        for _ in 0..<50 {
            let random = try generator.address(family)
            #expect(IPAddress(objectName: random.objectName) == random)
            for network in ["", "b", "storage-net-7", "fd00-0000-0000-0000-0000-0000-0000-0001"] {
                let name = try #require(AllocationName(network: network, address: random))
                #expect(AllocationName(objectName: name.objectName) == name)
                #expect(name.objectName.utf8.count <= 253)
                #expect(name.objectName.wholeMatch(of: subdomain) != nil)
            }
        }
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `names of IPv6 addresses sort as the addresses do`(seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        let addresses = try (0..<50).map { _ in try generator.address(.v6) }
        #expect(addresses.sorted().map(\.objectName) == addresses.map(\.objectName).sorted())
    }
}
