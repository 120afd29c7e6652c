/// The addresses that may be given to a pod.
///
/// From the ranges, or the whole subnet when there are none, are taken away:
///
/// | Address | When | Why |
/// |---|---|---|
/// | network and broadcast address | IPv4, length up to 30 | RFC 1122 §3.2.1.3; a /31 has neither (RFC 3021) |
/// | all-zero host | IPv6, length up to 126 | subnet-router anycast (RFC 4291 §2.6.1); not in a /127 (RFC 6164) |
/// | 0.0.0.0/8, 127.0.0.0/8, ::, ::1 | always | "this host" and loopback (RFC 6890) |
/// | 224.0.0.0/4, ff00::/8, 255.255.255.255 | always | multicast (RFC 5771, RFC 4291 §2.7), limited broadcast (RFC 919) |
/// | ::ffff:0:0/96 | always | IPv4-mapped (RFC 4291 §2.5.5.2): a main plugin takes it for the IPv4 address |
/// | the gateway | always | someone else's |
/// | the excluded ranges | always | the user's wish |
///
/// What lies outside the subnet, or is of another family, is no part of the result and takes nothing away.
///
/// - Parameters:
///   - subnet: The on-link prefix.
///   - ranges: Where to allocate. Empty: the whole subnet.
///   - exclude: Where not to.
///   - gateway: The router's address.
package func usableAddresses(
    subnet: IPPrefix, ranges: [IPRange] = [], exclude: [IPRange] = [], gateway: IPAddress? = nil
) -> IPSet {
    var usable = IPSet(subnet.range)
    if !ranges.isEmpty {
        usable.intersect(IPSet(family: subnet.family, ranges: ranges))
    }
    switch subnet.family {
    case .v4 where subnet.length < 31:
        usable.subtract(subnet.first)
        usable.subtract(subnet.last)
    case .v6 where subnet.length < 127:
        usable.subtract(subnet.first)
    case .v4, .v6:
        break
    }
    for range in noHosts where range.overlaps(subnet.range) {
        usable.subtract(range)
    }
    if let gateway {
        usable.subtract(gateway)
    }
    if !exclude.isEmpty {
        usable.subtract(IPSet(family: subnet.family, ranges: exclude))
    }
    return usable
}

/// What is no address of any one host, wherever it is written.
private let noHosts: [IPRange] = [
    block(.v4, 0x0000_0000, 8), block(.v4, 0x7F00_0000, 8), block(.v4, 0xE000_0000, 4),
    block(.v4, 0xFFFF_FFFF, 32), block(.v6, 0, 127), block(.v6, 0xFF << 120, 8), block(.v6, 0xFFFF << 32, 96),
]

private func block(_ family: IPFamily, _ value: UInt128, _ length: Int) -> IPRange {
    IPPrefix(holding: IPAddress(family: family, validValue: value), validLength: length).range
}
