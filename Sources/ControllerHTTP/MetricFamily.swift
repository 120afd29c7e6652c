import Synchronization

/// A label of a metric. The number of values is bounded, so that nothing from outside can make the metrics grow; what
/// would be one more counts as `other`.
package struct MetricLabel: Hashable, Sendable {
    enum Values: Hashable {
        case oneOf([String])
        case first(Int)
    }

    package static let other = "other"

    let name: String
    let values: Values

    /// The values are known. When those of all labels are, every series is there from the start, with 0, so that the
    /// first event of its kind shows as an increase.
    package static func oneOf(_ name: String, _ values: [String]) -> MetricLabel {
        MetricLabel(name: name, values: .oneOf(values))
    }

    /// The first so many values that occur.
    package static func first(_ limit: Int, _ name: String) -> MetricLabel {
        MetricLabel(name: name, values: .first(limit))
    }
}

/// The metrics of one name, a series for each combination of label values.
package final class MetricFamily<Series: MetricSeries>: Sendable {
    private struct State {
        var series: [[String]: Series] = [:]
        /// Of each label of which the first values count, those.
        var seen: [Set<String>]
    }

    private let labels: [MetricLabel]
    private let make: @Sendable () -> Series
    private let state: Mutex<State>

    init(labels: [MetricLabel], make: @escaping @Sendable () -> Series) {
        self.labels = labels
        self.make = make
        state = Mutex(State(seen: labels.map { _ in [] }))
        for values in Self.combinations(labels[...]) { _ = self[values] }
    }

    /// The series of the values of the labels, in the order of the labels. Keep it where it is updated often.
    package subscript(values: String...) -> Series { self[values] }

    package subscript(values: [String]) -> Series {
        precondition(values.count == labels.count, "a value for each label")
        return state.withLock { state in
            let known = values.indices.map { Self.known(values[$0], labels[$0], &state.seen[$0]) }
            if let series = state.series[known] { return series }
            let series = make()
            state.series[known] = series
            return series
        }
    }

    private static func known(_ value: String, _ label: MetricLabel, _ seen: inout Set<String>) -> String {
        switch label.values {
        case .oneOf(let values): return values.contains(value) ? value : MetricLabel.other
        case .first(let limit):
            if seen.contains(value) { return value }
            guard seen.count < limit else { return MetricLabel.other }
            seen.insert(value)
            return value
        }
    }

    /// None when the values of a label are not known.
    private static func combinations(_ labels: ArraySlice<MetricLabel>) -> [[String]] {
        guard let label = labels.first else { return [[]] }
        guard case .oneOf(let values) = label.values else { return [] }
        let rest = combinations(labels.dropFirst())
        return values.flatMap { value in rest.map { [value] + $0 } }
    }
}

extension MetricFamily: MetricSource {
    func append(to text: inout ExpositionText, name: String) {
        let series = state.withLock(\.series).sorted { $0.key.lexicographicallyPrecedes($1.key) }
        for (values, series) in series {
            let pairs = zip(labels, values).map { (name: $0.name, value: $1) }
            for sample in series.samples {
                let bound = sample.upperBound.map { [(name: "le", value: $0)] } ?? []
                text.sample(name + sample.suffix, labels: pairs + bound, value: sample.value)
            }
        }
    }
}

/// What the samples under one name come from.
protocol MetricSource: Sendable {
    func append(to text: inout ExpositionText, name: String)
}

/// A sample that is computed when somebody asks.
package struct CollectedSample: Sendable {
    /// Of each label, in the order in which they were declared.
    package let labels: [String]
    package let value: Double

    package init(labels: [String] = [], value: Double) {
        self.labels = labels
        self.value = value
    }

    package init(labels: [String] = [], value: Int) { self.init(labels: labels, value: Double(value)) }
}

/// Samples that are computed at every scrape.
struct CollectedMetric: MetricSource {
    let labels: [String]
    let limit: Int
    let collect: @Sendable () -> [CollectedSample]

    func append(to text: inout ExpositionText, name: String) {
        let samples = collect().sorted { $0.labels.lexicographicallyPrecedes($1.labels) }
        var last: [String]?
        var count = 0
        // Prometheus would refuse the whole scrape for one series that stands twice.
        for sample in samples where sample.labels != last && sample.labels.count == labels.count && count < limit {
            last = sample.labels
            count += 1
            let pairs = zip(labels, sample.labels).map { (name: $0, value: $1) }
            text.sample(name, labels: pairs, value: ExpositionText.number(sample.value))
        }
    }
}
