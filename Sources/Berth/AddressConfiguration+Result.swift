import CNIProtocol
import IPAMAPI
import IPAMConfiguration
import IPAMEngine
import IPAMLedger
import IPAddressing

extension AddressConfiguration {
    /// Refuses what the version's result cannot hold, as far as the configuration alone tells.
    func supports(_ version: CNIVersion) throws(CNIError) {
        var families = staticAddresses.map(\.address.family)
        if case .inline(let elements) = demand { families += elements.compactMap { $0.first?.subnet.family } }
        if families.isEmpty { return }
        try CNIResult.supports(
            version: version, v4Count: families.count { $0 == .v4 }, v6Count: families.count { $0 == .v6 })
    }

    /// The result for what was claimed, in the order of the slots.
    ///
    /// An IPPool's gateway makes the default route of its family. A gateway that stands beside an inline range does
    /// not, as in whereabouts, whose users write that route themselves or, on a second interface, do not want it.
    ///
    /// Routes that the pod asks for come first, for they are meant for it alone.
    func result(_ claimed: ClaimedAddresses) -> CNIResult {
        let held = claimed.held
        var routes: [ResultRoute] = []
        func add(_ route: ResultRoute) {
            let isKnown = routes.contains { $0.dst == route.dst && $0.table == route.table }
            if !isKnown { routes.append(route) }
        }
        for route in claimed.routes { add(ResultRoute(route)) }
        for route in self.routes { add(route) }
        for route in held.flatMap(\.pool.routes) { add(ResultRoute(route)) }
        for pool in held.map(\.pool) where !pool.isInline {
            guard let gateway = pool.gateway, let everywhere = IPPrefix.everything(pool.family) else { continue }
            add(ResultRoute(dst: everywhere, gw: gateway))
        }
        let ips = held.compactMap { held in
            IPInterfaceAddress(address: held.address, length: held.pool.subnet.length)
                .map { ResultIP(address: $0, gateway: held.pool.gateway) }
        }
        return CNIResult(ips: ips, routes: routes, dns: dns, isRepeated: claimed.isRepeated)
    }
}

extension IPPrefix {
    fileprivate static func everything(_ family: IPFamily) -> IPPrefix? {
        IPAddress(family: family, value: 0).flatMap { IPPrefix(address: $0, length: 0) }
    }
}
