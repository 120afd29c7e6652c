package import ControllerHTTP
import IPAMAPI
import IPAMEngine
import KubernetesRuntime

/// What the controller counts. `docs/controller.md` says what each one means.
package struct ControllerMetrics: Sendable {
    private let claims: Counter
    private let releases: MetricFamily<Counter>
    private let marks: MetricFamily<Counter>
    private let releaseSeconds: MetricFamily<Histogram>
    private let cooldowns: Counter
    private let watchRestarts: MetricFamily<Counter>
    private let reconcileSeconds: MetricFamily<Histogram>
    private let queueSeconds: MetricFamily<Histogram>
    private let reconcileErrors: MetricFamily<Counter>
    private let unreadable: MetricFamily<Counter>
    private let leader: Gauge

    /// The names of what runs, as labels.
    package static let controllers = [
        "reclaim", "cooldown", "status", "pools", "reservations", "claims", "blocks", "certificates",
    ]
    static let stores = [
        "allocations", "pools", "reservations", "claims", "blocks", "nodes", "pods", "succeeded", "failed", "agents",
        "statefulsets", "secret", "webhook",
    ]
    static let reasons = ReclaimReason.allCases.map(\.rawValue)
    /// From the suspicion on: the grace period is the least.
    private static let releaseBounds: [Double] = [1, 5, 10, 20, 31, 35, 45, 60, 120, 300, 600, 1800, 3600]

    package init(_ registry: MetricsRegistry) {
        let controller = MetricLabel.oneOf("controller", Self.controllers)
        let reason = MetricLabel.oneOf("reason", Self.reasons)
        claims = registry.counter("berth_claims_seen_total", help: "Claims of addresses that the controller saw.")
        releases = registry.counters(
            "berth_reclaimed_total", help: "Addresses that the controller took from holders that are gone.",
            labels: [reason])
        marks = registry.counters(
            "berth_marked_total", help: "Addresses that the controller pointed out to a node agent.", labels: [reason])
        releaseSeconds = registry.histograms(
            "berth_reclaim_duration_seconds",
            help: "From the first suspicion to the release of an address, the grace period included.",
            upperBounds: Self.releaseBounds, labels: [reason])
        cooldowns = registry.counter("berth_cooldowns_ended_total", help: "Addresses that became free after cooling.")
        watchRestarts = registry.counters(
            "berth_watch_restarts_total", help: "Watches that failed or had to begin with a new list.",
            labels: [.oneOf("store", Self.stores)])
        reconcileSeconds = registry.histograms(
            "berth_reconcile_duration_seconds", help: "How long one reconciliation took.",
            upperBounds: Histogram.durations, labels: [controller])
        queueSeconds = registry.histograms(
            "berth_queue_latency_seconds", help: "How long a key had been due before it was reconciled.",
            upperBounds: Histogram.durations, labels: [controller])
        reconcileErrors = registry.counters(
            "berth_reconcile_errors_total", help: "Reconciliations that failed and are tried again.",
            labels: [controller])
        unreadable = registry.counters(
            "berth_unreadable_objects_total", help: "States of objects that could not be read.",
            labels: [.oneOf("store", Self.stores)])
        leader = registry.gauge("berth_leader", help: "1 while this replica leads.")
    }

    func claimed(_ count: Int) { claims.increment(by: count) }

    func released(_ reason: ReclaimReason, after duration: Duration) {
        releases[reason.rawValue].increment()
        releaseSeconds[reason.rawValue].observe(duration)
    }

    func marked(_ reason: ReclaimReason) { marks[reason.rawValue].increment() }

    func cooled() { cooldowns.increment() }

    func watchRestarted(_ store: StaticString) { watchRestarts[store.description].increment() }

    func unreadable(_ store: StaticString) { unreadable[store.description].increment() }

    func reconciled<Key>(_ controller: String, _ report: ReconcileReport<Key>) {
        reconcileSeconds[controller].observe(report.took)
        queueSeconds[controller].observe(report.late)
        if report.error != nil { reconcileErrors[controller].increment() }
    }

    func leads(_ isLeading: Bool) { leader.set(isLeading) }

    /// What is counted when somebody asks.
    func collect(
        in registry: MetricsRegistry, _ view: ClusterView, candidates: @escaping @Sendable () -> [ReclaimReason: Int],
        depths: @escaping @Sendable () -> [(controller: String, depth: Int)]
    ) {
        for (name, help, member) in Self.poolGauges {
            registry.collect("berth_pool_\(name)", help: help, labels: ["pool"]) {
                view.pools.objects.compactMap { key, object in
                    member(object.value.status).map { CollectedSample(labels: [key.name], value: $0) }
                }
            }
        }
        Self.collectObjects(in: registry, view)
        registry.collect(
            "berth_allocations_fenced", help: "Addresses whose node does not report and that are nobody's otherwise."
        ) {
            [
                CollectedSample(
                    value: view.withIndex { index in
                        index.poolNames.reduce(0) { $0 + index.tally(ofPool: $1).fenced }
                    })
            ]
        }
        registry.collect(
            "berth_reclaim_candidates", help: "Addresses whose holder seems to be gone.", labels: ["reason"]
        ) {
            let counts = candidates()
            return ReclaimReason.allCases.map { CollectedSample(labels: [$0.rawValue], value: counts[$0] ?? 0) }
        }
        registry.collect(
            "berth_allocations_marked",
            help: "Addresses of holders that are gone, which the agents of their nodes have not freed.",
            labels: ["reason"]
        ) {
            var counts: [String: Int] = [:]
            for case let record in view.allocations.objects.map(\.object.value)
            where record.state == .bound || record.state == .fenced {
                if let reason = record.reclaimMark { counts[reason, default: 0] += 1 }
            }
            return ReclaimReason.allCases.map {
                CollectedSample(labels: [$0.rawValue], value: counts[$0.rawValue] ?? 0)
            }
        }
        registry.collect(
            "berth_queue_depth", help: "Keys that wait, those for a later moment too.", labels: ["controller"]
        ) {
            depths().map { CollectedSample(labels: [$0.controller], value: $0.depth) }
        }
    }

    private static let poolGauges: [(String, String, @Sendable (IPPool.Status?) -> Int?)] = [
        ("capacity", "Usable addresses of the pool.", { $0?.capacity }),
        ("allocated", "Addresses that a holder has.", { $0?.allocated }),
        ("cooling", "Addresses in cooldown.", { $0?.cooling }),
        ("held", "Addresses that are kept for a claim.", { $0?.held }),
        ("free", "Addresses that can be claimed.", { $0?.free }),
    ]
}
