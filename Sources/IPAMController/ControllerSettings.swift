package import IPAMEngine
package import KubernetesRuntime

/// What an administrator can set of the controller's work.
package struct ControllerSettings: Sendable {
    package var reclaim = ReclaimSettings()
    /// How long a pool that was made from a network configuration stays without an allocation.
    package var inlinePoolLifetime: Duration = .seconds(3600)
    /// How long a block is empty before it is Releasing, and Releasing before it is returned: longer than an ADD may last
    /// (120 seconds) and a node remembers its blocks (5 seconds, once more after it took one back).
    package var blockReturnDelay: Duration = .seconds(150)
    /// Between two writes of one pool's status.
    package var statusInterval: Duration = .seconds(1)
    /// Of addresses that are proved to be nobody's, and freed.
    package var reclaimRate = RateLimit(perSecond: 300, burst: 300)
    /// Where the node agents keep their Leases.
    package var agentNamespace = "berth-system"
    /// For one request to the API server, with its retries.
    package var requestTimeout: Duration = .seconds(15)

    package init() {}
}
