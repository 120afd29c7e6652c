package import IPAddressing

/// A route of a pool, with the attributes of CNI 1.1. 0 is a value, nil is none.
package struct Route: Hashable, Sendable {
    package var dst: IPPrefix
    package var gw: IPAddress?
    package var mtu: Int?
    package var advmss: Int?
    package var priority: Int?
    package var table: Int?
    /// 0 global, 253 link, 254 host.
    package var scope: Int?

    package init(
        dst: IPPrefix, gw: IPAddress? = nil, mtu: Int? = nil, advmss: Int? = nil, priority: Int? = nil,
        table: Int? = nil, scope: Int? = nil
    ) {
        self.dst = dst
        self.gw = gw
        self.mtu = mtu
        self.advmss = advmss
        self.priority = priority
        self.table = table
        self.scope = scope
    }
}

extension Route {
    /// What the kernel takes, as the schema has it: the upper bounds of the attributes.
    static let maximums = (mtu: 65_536, advmss: 65_535, priority: 0xffff_ffff, table: 0xffff_ffff, scope: 255)

    /// The kernel refuses a next hop that is not on-link, and with it the whole result. On-link are the addresses of the
    /// subnet, and in IPv6 those of the link itself (fe80::/10), by which routers announce themselves (RFC 4861 §4.2).
    ///
    /// - Parameters:
    ///   - field: The path of the route, for problems.
    ///   - subnet: What the route must be of one family with, and its next hop on-link in; nil for a route that stands
    ///     beside no one subnet.
    package init(_ route: IPPool.RouteSpec, field: String, subnet: IPPrefix?) throws(PoolProblem) {
        self.init(
            dst: try PoolText.prefix(route.dst, field: "\(field).dst"), gw: nil, mtu: route.mtu, advmss: route.advmss,
            priority: route.priority, table: route.table, scope: route.scope)
        try PoolText.check(dst.family, of: route.dst, field: "\(field).dst", subnet: subnet ?? dst)
        if let text = route.gw {
            let address = try PoolText.address(text, field: "\(field).gw")
            try PoolText.check(address.family, of: text, field: "\(field).gw", subnet: subnet ?? dst)
            if let subnet, !subnet.contains(address), !address.isLinkLocalIPv6 {
                throw PoolText.outside(text, field: "\(field).gw", subnet: subnet)
            }
            gw = address
        }
        for (name, value, maximum) in [
            ("mtu", mtu, Self.maximums.mtu), ("advmss", advmss, Self.maximums.advmss),
            ("priority", priority, Self.maximums.priority), ("table", table, Self.maximums.table),
            ("scope", scope, Self.maximums.scope),
        ] {
            guard let value, !(0...maximum).contains(value) else { continue }
            throw PoolProblem(field: "\(field).\(name)", message: "\(value) is not between 0 and \(maximum)")
        }
    }
}

extension IPAddress {
    /// In fe80::/10 (RFC 4291 §2.5.6).
    package var isLinkLocalIPv6: Bool { family == .v6 && value >> 118 == 0xFE80 >> 6 }
}
