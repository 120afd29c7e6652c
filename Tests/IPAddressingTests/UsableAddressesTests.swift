import IPAddressing
import Testing

@Suite struct UsableAddressesTests {
    @Test(arguments: [
        // RFC 3021 for /31; a /32 is its own.
        ("10.0.0.0/24", "10.0.0.1-10.0.0.254"),
        ("10.0.0.0/30", "10.0.0.1-10.0.0.2"),
        ("10.0.0.6/31", "10.0.0.6-10.0.0.7"),
        ("10.0.0.7/32", "10.0.0.7"),
        // RFC 4291 §2.6.1, RFC 6164 for /127.
        ("fd00::/64", "fd00::1-fd00::ffff:ffff:ffff:ffff"),
        ("fd00::/126", "fd00::1-fd00::3"),
        ("fd00::6/127", "fd00::6-fd00::7"),
        ("fd00::7/128", "fd00::7"),
    ])
    func `a subnet without ranges is usable but for its special addresses`(subnet: String, usable: String) throws {
        #expect(try usableAddresses(subnet: prefix(subnet)).description == usable)
    }

    @Test(
        arguments: [
            // Ranges: joined, cut to the subnet, and never the special addresses.
            ("10.0.0.0/24", "10.0.0.10-20", "", nil, "10.0.0.10-10.0.0.20"),
            ("10.0.0.0/24", "10.0.0.20-30 10.0.0.10-20", "", nil, "10.0.0.10-10.0.0.30"),
            ("10.0.0.0/24", "10.0.0.0-5 10.0.0.250-255", "", nil, "10.0.0.1-10.0.0.5, 10.0.0.250-10.0.0.254"),
            ("10.0.0.0/24", "10.0.0.250-1.5", "", nil, "10.0.0.250-10.0.0.254"),
            ("10.0.0.0/24", "10.0.0.0/25", "", nil, "10.0.0.1-10.0.0.127"),
            ("10.0.0.0/24", "10.0.0.128/25", "", nil, "10.0.0.128-10.0.0.254"),
            ("10.0.0.0/24", "10.0.0.255", "", nil, ""),
            ("fd00::/64", "fd00::-fd00::5", "", nil, "fd00::1-fd00::5"),
            // The gateway, in the ranges or not.
            ("10.0.0.0/24", "", "", "10.0.0.1", "10.0.0.2-10.0.0.254"),
            ("10.0.0.0/24", "10.0.0.10-20", "", "10.0.0.15", "10.0.0.10-10.0.0.14, 10.0.0.16-10.0.0.20"),
            ("10.0.0.0/24", "10.0.0.10-20", "", "10.0.0.254", "10.0.0.10-10.0.0.20"),
            ("10.0.0.6/31", "", "", "10.0.0.6", "10.0.0.7"),
            ("10.0.0.7/32", "", "", "10.0.0.7", ""),
            ("fd00::/126", "", "", "fd00::1", "fd00::2-fd00::3"),
            // Exclusions, overlapping and beyond the subnet.
            ("10.0.0.0/24", "", "10.0.0.2-253", nil, "10.0.0.1, 10.0.0.254"),
            ("10.0.0.0/24", "10.0.0.10-20", "10.0.0.11-14 10.0.0.14-19 10.0.9.0/24", nil, "10.0.0.10, 10.0.0.20"),
            ("10.0.0.0/24", "", "10.0.0.0/24", nil, ""),
            ("10.0.0.0/24", "", "10.0.0.10-255", "10.0.0.1", "10.0.0.2-10.0.0.9"),
            // The other family, which validation refuses elsewhere, takes nothing away and gives nothing.
            ("10.0.0.0/30", "", "::/0", "fd00::1", "10.0.0.1-10.0.0.2"),
            ("10.0.0.0/30", "fd00::/64", "", nil, ""),
        ] as [(String, String, String, String?, String)])
    func `ranges, exclusions and the gateway are respected`(
        subnet: String, ranges: String, exclude: String, gateway: String?, usable: String
    ) throws {
        let result = usableAddresses(
            subnet: try prefix(subnet),
            ranges: try ranges.split(separator: " ").map { try IPRange(parsing: $0) },
            exclude: try exclude.split(separator: " ").map { try IPRange(parsing: $0) },
            gateway: try gateway.map(address))
        #expect(result.description == usable)
    }

    @Test(arguments: [
        // RFC 6890: this host, loopback. RFC 5771: multicast.
        ("0.0.0.0/8", ""), ("0.1.2.0/24", ""), ("127.0.0.0/24", ""), ("224.0.0.0/24", ""), ("239.1.2.3/32", ""),
        ("::/127", ""), ("::1/128", ""), ("ff00::/8", ""), ("ff02::1:0/112", ""),
        // RFC 919: limited broadcast. RFC 4291: IPv4-mapped.
        ("255.255.255.255/32", ""), ("255.255.255.254/31", "255.255.255.254"), ("::ffff:10.0.0.0/120", ""),
        // What merely contains them is usable without them.
        ("126.0.0.0/7", "126.0.0.1-126.255.255.255"),
        ("192.0.0.0/2", "192.0.0.1-223.255.255.255, 240.0.0.0-255.255.255.254"),
        ("0.0.0.0/0", "1.0.0.0-126.255.255.255, 128.0.0.0-223.255.255.255, 240.0.0.0-255.255.255.254"),
        ("::/126", "::2-::3"),
        ("::/0", "::2-::fffe:ffff:ffff, ::1:0:0:0-feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        // Their neighbours.
        ("1.0.0.0/30", "1.0.0.1-1.0.0.2"), ("223.255.255.0/31", "223.255.255.0-223.255.255.1"),
        ("fe00::/127", "fe00::-fe00::1"), ("240.0.0.0/30", "240.0.0.1-240.0.0.2"),
    ])
    func `no address of multicast, loopback or this host is usable`(subnet: String, usable: String) throws {
        #expect(try usableAddresses(subnet: prefix(subnet)).description == usable)
    }

    @Test(arguments: 4...32)
    func `the count of every IPv4 length follows the formula`(length: Int) throws {
        var generator = SplitMix64(seed: UInt64(length))
        // In 16.0.0.0/4, which has nothing special.
        let value = UInt128.random(in: 0x1000_0000...0x1FFF_FFFF, using: &generator)
        let subnet = try #require(
            IPAddress(family: .v4, value: value).flatMap { IPPrefix(address: $0, length: length) })
        let all: UInt128 = 1 << (32 - length)
        let expected = length <= 30 ? all - 2 : all
        #expect(usableAddresses(subnet: subnet).count == expected)
        let gateway = try #require(usableAddresses(subnet: subnet).randomElement(using: &generator))
        #expect(usableAddresses(subnet: subnet, gateway: gateway).count == expected - 1)
    }

    @Test(arguments: 3...128)
    func `the count of every IPv6 length follows the formula`(length: Int) throws {
        var generator = SplitMix64(seed: UInt64(length))
        // In 2000::/3, which has nothing special.
        let value = UInt128.random(in: 0x2 << 124...0x3 << 124, using: &generator)
        let subnet = try #require(
            IPAddress(family: .v6, value: value).flatMap { IPPrefix(address: $0, length: length) })
        let highestHost = UInt128.max >> length
        let expected = length <= 126 ? highestHost : highestHost + 1
        #expect(usableAddresses(subnet: subnet).count == expected)
        let gateway = try #require(usableAddresses(subnet: subnet).randomElement(using: &generator))
        #expect(usableAddresses(subnet: subnet, gateway: gateway).count == expected - 1)
    }
}
