import ControllerHTTP
import IPAMController
import TestSupport

/// A controller while a test runs it.
struct RunningController: Sendable {
    let controller: AddressController
    let metrics: MetricsRegistry

    /// A sample by the name of its series, for example `berth_pool_free{pool="blue"}`.
    func metric(_ series: String) -> Int? {
        for line in metrics.render().split(separator: "\n") where line.hasPrefix(series + " ") {
            return Int(line.dropFirst(series.count + 1))
        }
        return nil
    }

    /// Waits until it has read everything once.
    func waitForStores() async throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while controller.synced.contains(where: { !$0.isSynced }) {
            guard ContinuousClock.now < deadline else { throw TestSetUpError("the stores are not filled") }
            // Readiness is for kubelet, which polls too.
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    /// Waits until a sample has a value.
    func waitForMetric(_ series: String, _ value: Int) async throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while metric(series) != value {
            guard ContinuousClock.now < deadline else {
                throw TestSetUpError("\(series) is \(metric(series) ?? -1), not \(value)")
            }
            // Metrics are for scrapers, who poll too.
            try await Task.sleep(for: .milliseconds(10))
        }
    }
}
