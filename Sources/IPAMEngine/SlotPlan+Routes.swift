package import IPAMAPI
import IPAddressing

extension SlotPlan {
    /// Whether a route can be added to the result: the kernel refuses a next hop that is not on-link.
    package func canReach(_ route: Route) -> Bool {
        givers.contains { pool in
            pool.family == route.dst.family && route.gw.map { pool.subnet.contains($0) || $0.isLinkLocalIPv6 } ?? true
        }
    }
}
