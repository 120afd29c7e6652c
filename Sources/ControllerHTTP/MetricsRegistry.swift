import Synchronization

/// The metrics of the process, as Prometheus reads them.
///
/// Flow: every metric is declared once, at the start, with its help and its labels; who declared it updates it from any
/// thread; `render` writes all of them, in the order of their names and of their labels' values.
///
/// Guarantees: the text is valid (see `ExpositionText`). The number of series is bounded: see `MetricLabel`, and
/// `limit` of what is collected.
///
/// Caveats: a name that is not valid or declared twice is a mistake in the program, and ends it.
package final class MetricsRegistry: Sendable {
    private struct Entry {
        let type: String
        let help: String
        let source: any MetricSource
    }

    private let entries = Mutex<[String: Entry]>([:])

    package init() {}

    package func counter(_ name: String, help: String) -> Counter {
        counters(name, help: help, labels: [])[[]]
    }

    /// - Parameter name: Ends in `_total`, by convention.
    package func counters(_ name: String, help: String, labels: [MetricLabel]) -> MetricFamily<Counter> {
        family(name, "counter", help, labels) { Counter() }
    }

    package func gauge(_ name: String, help: String) -> Gauge {
        gauges(name, help: help, labels: [])[[]]
    }

    package func gauges(_ name: String, help: String, labels: [MetricLabel]) -> MetricFamily<Gauge> {
        family(name, "gauge", help, labels) { Gauge() }
    }

    package func histogram(
        _ name: String, help: String, upperBounds: [Double] = Histogram.durations
    ) -> Histogram {
        histograms(name, help: help, upperBounds: upperBounds, labels: [])[[]]
    }

    /// - Parameter upperBounds: Of the buckets, rising; one without a bound is added.
    package func histograms(
        _ name: String, help: String, upperBounds: [Double] = Histogram.durations, labels: [MetricLabel]
    ) -> MetricFamily<Histogram> {
        precondition(
            upperBounds.allSatisfy(\.isFinite) && zip(upperBounds, upperBounds.dropFirst()).allSatisfy { $0 < $1 },
            "the bounds of buckets are finite and rise")
        precondition(labels.allSatisfy { $0.name != "le" }, "le is the label of the buckets")
        return family(name, "histogram", help, labels) { Histogram(upperBounds: upperBounds) }
    }

    /// A metric that is computed at every scrape.
    ///
    /// - Parameters:
    ///   - isCounter: It never goes down, but for a restart of the process.
    ///   - labels: Names.
    ///   - limit: How many samples are shown at most; the first by the values of their labels.
    ///   - collect: Is called on any thread, also twice at once. A sample whose labels another one has, or that has
    ///     another number of them, is left out.
    package func collect(
        _ name: String, help: String, isCounter: Bool = false, labels: [String] = [], limit: Int = 10_000,
        _ collect: @escaping @Sendable () -> [CollectedSample]
    ) {
        add(
            name, isCounter ? "counter" : "gauge", help, labels,
            CollectedMetric(labels: labels, limit: limit, collect: collect))
    }

    package func render() -> String {
        var text = ExpositionText()
        for (name, entry) in entries.withLock(\.self).sorted(by: { $0.key < $1.key }) {
            text.begin(name, help: entry.help, type: entry.type)
            entry.source.append(to: &text, name: name)
        }
        return text.text
    }

    private func family<Series: MetricSeries>(
        _ name: String, _ type: String, _ help: String, _ labels: [MetricLabel],
        make: @escaping @Sendable () -> Series
    ) -> MetricFamily<Series> {
        let family = MetricFamily(labels: labels, make: make)
        add(name, type, help, labels.map(\.name), family)
        return family
    }

    private func add(_ name: String, _ type: String, _ help: String, _ labels: [String], _ source: any MetricSource) {
        precondition(MetricName.isValid(name), "not the name of a metric: \(name)")
        precondition(
            labels.allSatisfy(MetricName.isValidLabel) && Set(labels).count == labels.count,
            "labels have names, each another one: \(labels)")
        let old = entries.withLock { $0.updateValue(Entry(type: type, help: help, source: source), forKey: name) }
        precondition(old == nil, "declared twice: \(name)")
    }
}
