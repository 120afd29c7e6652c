import ControllerHTTP
import IPAMAPI
import IPAMEngine
import KubernetesRuntime

extension ControllerMetrics {
    /// What is counted of claims, blocks, reservations and quotas when somebody asks.
    ///
    /// Caveats: like those of the pools the samples are what this replica's stores show; every replica has its own.
    static func collectObjects(in registry: MetricsRegistry, _ view: ClusterView) {
        registry.collect(
            "berth_claims",
            help:
                "IPClaims that do not get an address (Unmet), or else use one (Bound), keep one (Held), have none (Empty).",
            labels: ["state"]
        ) {
            var counts: [ClaimPhase: Int] = [:]
            for (_, object) in view.claims.objects {
                let states = view.allocations(ofClaim: object.uid).map(\.value.state)
                counts[ClaimPhase(object.value, states: states), default: 0] += 1
            }
            return ClaimPhase.allCases.map { CollectedSample(labels: [$0.rawValue], value: counts[$0] ?? 0) }
        }
        registry.collect(
            "berth_pool_blocks", help: "Blocks of a pool that is shared out among the nodes.",
            labels: ["pool", "state"]
        ) {
            let blocks = view.validBlocks
            return view.validPools.flatMap { pool -> [CollectedSample] in
                guard let tally = BlockTally(pool, blocks) else { return [] }
                return [
                    CollectedSample(labels: [pool.name, "Free"], value: Int(clamping: tally.free)),
                    CollectedSample(labels: [pool.name, "Used"], value: tally.used),
                    CollectedSample(labels: [pool.name, "Releasing"], value: tally.releasing),
                ]
            }
        }
        registry.collect(
            "berth_pool_namespaces_at_quota",
            help: "Namespaces that get nothing more of the pool (spec.namespaceQuota).", labels: ["pool"]
        ) {
            view.pools.objects.compactMap { key, object in
                guard object.value.spec.namespaceQuota != nil else { return nil }
                let count = object.value.status?.namespacesAtQuota.count ?? 0
                return CollectedSample(labels: [key.name], value: count)
            }
        }
        registry.collect(
            "berth_reservations_unenforced",
            help: "IPReservations that are not known to be in force in every pool.", labels: ["reason"]
        ) {
            var counts: [EnforcementGap: Int] = [:]
            for (_, object) in view.reservations.objects {
                if let gap = EnforcementGap(object.value) { counts[gap, default: 0] += 1 }
            }
            return EnforcementGap.allCases.map { CollectedSample(labels: [$0.rawValue], value: counts[$0] ?? 0) }
        }
    }
}
