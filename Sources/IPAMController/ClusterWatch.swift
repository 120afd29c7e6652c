import IPAMAPI
import IPAMEngine
package import KubernetesClient
import KubernetesCore
package import KubernetesRuntime

/// Keeps a view of the cluster.
package struct ClusterWatch: Sendable {
    private let view: ClusterView
    private let connection: AsyncConnection
    private let agentNamespace: String
    private let report: @Sendable (_ store: StaticString, WatcherReport) -> Void

    /// - Parameter report: Is told what the watcher of each store does, for logs and metrics.
    package init(
        _ view: ClusterView, on connection: AsyncConnection, agentNamespace: String,
        report: @escaping @Sendable (_ store: StaticString, WatcherReport) -> Void
    ) {
        self.view = view
        self.connection = connection
        self.agentNamespace = agentNamespace
        self.report = report
    }

    /// Returns when its task is cancelled.
    package func run() async throws {
        try await withThrowingTaskGroup { group in
            // The ledger first: what it names is looked for in the others.
            add(WatchScope(.ipAllocations), view.allocations, "allocations", to: &group)
            add(WatchScope(.ipPools), view.pools, "pools", to: &group)
            add(WatchScope(.ipReservations), view.reservations, "reservations", to: &group)
            add(WatchScope(.ipBlocks), view.blocks, "blocks", to: &group)
            add(WatchScope(.nodes), view.nodes, "nodes", to: &group)
            add(WatchScope(.pods, metadataOnly: true), view.pods, "pods", to: &group)
            for (phase, store, name) in [
                ("Succeeded", view.succeeded, "succeeded" as StaticString), ("Failed", view.failed, "failed"),
            ] {
                add(
                    WatchScope(.pods, fieldSelector: "status.phase=\(phase)", metadataOnly: true), store, name,
                    to: &group)
            }
            add(
                WatchScope(.leases, namespace: agentNamespace, labelSelector: AgentMark.selector), view.agents,
                "agents", to: &group)
            add(WatchScope(.ipClaims), view.claims, "claims", to: &group)
            add(WatchScope(.statefulSets), view.statefulSets, "statefulsets", to: &group)
            try await group.waitForAll()
        }
    }

    private func add<Value>(
        _ scope: WatchScope, _ store: ObjectStore<Value>, _ name: StaticString,
        to group: inout ThrowingTaskGroup<Void, any Error>
    ) {
        let watcher = Watcher(scope, on: connection, into: store) { [report] in report(name, $0) }
        group.addTask { try await watcher.run() }
    }

    /// The stores by their names in reports, and whether each has been filled once. Those of reservations and blocks are
    /// left out: in a cluster with the CRDs of an older version they never are, and everything else works.
    package var synced: [(name: StaticString, isSynced: Bool)] {
        [
            ("allocations", view.allocations.hasSynced), ("pools", view.pools.hasSynced),
            ("nodes", view.nodes.hasSynced), ("pods", view.pods.hasSynced),
            ("succeeded", view.succeeded.hasSynced), ("failed", view.failed.hasSynced),
            ("agents", view.agents.hasSynced), ("claims", view.claims.hasSynced),
            ("statefulsets", view.statefulSets.hasSynced),
        ]
    }
}
