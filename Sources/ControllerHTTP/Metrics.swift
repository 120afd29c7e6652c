import Synchronization

/// What a family of metrics holds for one combination of label values. It may be updated from any thread, and kept: to
/// update it costs no look-up.
package protocol MetricSeries: AnyObject, Sendable {
    /// What is added to the name of the family, a label more, and the value.
    var samples: [MetricSample] { get }
}

package struct MetricSample: Hashable, Sendable {
    var suffix = ""
    /// Of a bucket.
    var upperBound: String?
    let value: String
}

/// A number of events since the process began.
package final class Counter: MetricSeries {
    private let count = Atomic<UInt64>(0)

    init() {}

    package func increment(by amount: Int = 1) {
        precondition(amount >= 0, "a counter never goes down")
        count.wrappingAdd(UInt64(amount), ordering: .relaxed)
    }

    package var value: UInt64 { count.load(ordering: .relaxed) }

    package var samples: [MetricSample] { [MetricSample(value: String(value))] }
}

/// A number that goes up and down.
package final class Gauge: MetricSeries {
    private let bits = Atomic<UInt64>(0)

    init() {}

    package func set(_ value: Double) { bits.store(value.bitPattern, ordering: .relaxed) }

    package func set(_ value: Int) { set(Double(value)) }

    package func set(_ isTrue: Bool) { set(isTrue ? 1 : 0) }

    package func add(_ difference: Double) {
        var old = bits.load(ordering: .relaxed)
        while true {
            let new = (Double(bitPattern: old) + difference).bitPattern
            let (exchanged, original) = bits.compareExchange(expected: old, desired: new, ordering: .relaxed)
            if exchanged { return }
            old = original
        }
    }

    package var value: Double { Double(bitPattern: bits.load(ordering: .relaxed)) }

    package var samples: [MetricSample] { [MetricSample(value: ExpositionText.number(value))] }
}

/// How often a quantity fell into each of some ranges.
package final class Histogram: MetricSeries {
    private struct State {
        /// Of each bucket alone, the last one without an upper bound.
        var counts: [UInt64]
        var sum = 0.0
    }

    private let upperBounds: [Double]
    private let state: Mutex<State>

    /// Seconds from 1 ms to 1 minute.
    package static let durations: [Double] = [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
    ]

    init(upperBounds: [Double]) {
        self.upperBounds = upperBounds
        state = Mutex(State(counts: [UInt64](repeating: 0, count: upperBounds.count + 1)))
    }

    /// A value on the bound of two buckets belongs to the lower one. What is not a number is not counted, for the sum
    /// would never be one again.
    package func observe(_ value: Double) {
        guard !value.isNaN else { return }
        let index = upperBounds.firstIndex { value <= $0 } ?? upperBounds.count
        state.withLock { state in
            state.counts[index] += 1
            state.sum += value
        }
    }

    /// In seconds.
    package func observe(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        observe(Double(seconds) + Double(attoseconds) * 1e-18)
    }

    package var samples: [MetricSample] {
        let (counts, sum) = state.withLock { ($0.counts, $0.sum) }
        var samples: [MetricSample] = []
        var total: UInt64 = 0
        for (index, count) in counts.enumerated() {
            total += count
            let bound = index < upperBounds.count ? upperBounds[index] : .infinity
            samples.append(
                MetricSample(
                    suffix: "_bucket", upperBound: ExpositionText.number(bound), value: String(total)))
        }
        samples.append(MetricSample(suffix: "_sum", value: ExpositionText.number(sum)))
        samples.append(MetricSample(suffix: "_count", value: String(total)))
        return samples
    }
}
