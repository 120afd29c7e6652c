package import ControllerHTTP
import KubernetesCore
import KubernetesRuntime

/// What the agent counts. `docs/node.md` says what each one means.
package struct NodeMetrics: Sendable {
    package static let checks = ["machine-id", "token", "kubeconfig", "berth.conf", "plugin", "journal", "api"]

    private let ready: Gauge
    private let checks: MetricFamily<Gauge>
    private let reports: Gauge
    private let installs: Counter
    private let tokenWrites: Counter
    private let tokenIssued: Gauge
    private let tokenExpires: Gauge
    private let renewals: MetricFamily<Counter>
    private let releases: MetricFamily<Counter>
    private let restorations: Counter
    private let conflictsFound: Counter
    private let conflicts: Gauge
    private let sandboxes: MetricFamily<Gauge>
    private let suspected: Gauge
    private let owed: Gauge
    private let passSeconds: Histogram
    private let watchRestarts: MetricFamily<Counter>
    private let unreadable: MetricFamily<Counter>

    package init(_ registry: MetricsRegistry) {
        ready = registry.gauge("berth_node_ready", help: "1 while an ADD on this node would work.")
        checks = registry.gauges(
            "berth_node_check_ok", help: "1 for each condition of readiness that is met.",
            labels: [.oneOf("check", Self.checks)])
        reports = registry.gauge(
            "berth_node_reports", help: "1 while the agent tells the controller that it looks after the node.")
        installs = registry.counter("berth_node_plugin_installs_total", help: "How often the plugin was put in place.")
        tokenWrites = registry.counter(
            "berth_node_token_writes_total", help: "How often the plugin's token was written.")
        tokenIssued = registry.gauge(
            "berth_node_token_issued_timestamp_seconds", help: "When the plugin's token was issued; 0 without one.")
        tokenExpires = registry.gauge(
            "berth_node_token_expiration_timestamp_seconds",
            help: "When the plugin's token expires; 0 where it does not say.")
        renewals = registry.counters(
            "berth_node_lease_renewals_total", help: "Renewals of the agent's Lease.",
            labels: [.oneOf("result", ["renewed", "withheld", "failed"])])
        releases = registry.counters(
            "berth_node_released_total", help: "Addresses that the agent took from dead sandboxes.",
            labels: [.oneOf("reason", DeathCause.allCases.map(\.rawValue))])
        restorations = registry.counter(
            "berth_node_restored_total", help: "Addresses of live sandboxes that the ledger had lost.")
        conflictsFound = registry.counter(
            "berth_node_conflicts_total",
            help: "Addresses of live sandboxes that the ledger was found to give to others.")
        conflicts = registry.gauge(
            "berth_node_conflicts", help: "Addresses of live sandboxes that the ledger gives to others now.")
        sandboxes = registry.gauges(
            "berth_node_attachments", help: "Attachments of the node, by what is known of their sandboxes.",
            labels: [.oneOf("sandbox", ["alive", "dead", "unknown"])])
        suspected = registry.gauge(
            "berth_node_suspected", help: "Attachments whose sandbox seems to be dead and that wait for the proof.")
        owed = registry.gauge(
            "berth_node_pending_releases", help: "Attachments with releases that could not be made yet.")
        passSeconds = registry.histogram(
            "berth_node_pass_duration_seconds", help: "How long one look at all sandboxes took.")
        watchRestarts = registry.counters(
            "berth_watch_restarts_total", help: "Watches that failed or had to begin with a new list.",
            labels: [.oneOf("store", NodeView.stores)])
        unreadable = registry.counters(
            "berth_unreadable_objects_total", help: "States of objects that could not be read.",
            labels: [.oneOf("store", NodeView.stores)])
    }

    func looked(_ results: [ReadinessCheck]) {
        ready.set(results.allSatisfy { $0.problem == nil })
        for check in results { checks[check.name].set(check.problem == nil) }
    }

    func kept(_ report: HostKeeper.Report) {
        if report.installedPlugin { installs.increment() }
        if report.wroteToken { tokenWrites.increment() }
        tokenIssued.set(Double(report.token?.issuedAt ?? 0))
        tokenExpires.set(Double(report.token?.expiresAt ?? 0))
    }

    enum Renewal: String { case renewed, withheld, failed }

    func renewal(_ result: Renewal) {
        renewals[result.rawValue].increment()
        reports.set(result == .renewed)
    }

    func released(_ cause: DeathCause) { releases[cause.rawValue].increment() }

    func restored() { restorations.increment() }

    func foundConflict() { conflictsFound.increment() }

    func passed(_ summary: PassSummary) {
        owed.set(summary.owedReleases)
        guard summary.problem == nil else { return }
        sandboxes["alive"].set(summary.alive)
        sandboxes["dead"].set(summary.dead)
        sandboxes["unknown"].set(summary.unknown)
        suspected.set(summary.suspected)
        conflicts.set(summary.conflicts)
    }

    func took(_ duration: Duration) { passSeconds.observe(duration) }

    func watched(_ store: StaticString, _ report: WatcherReport) {
        switch report {
        case .failed, .relisting: watchRestarts[store.description].increment()
        case .unreadable: unreadable[store.description].increment()
        case .listed, .watching: break
        }
    }
}
