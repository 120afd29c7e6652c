/// What was measured of one thing, in the order in which it was measured.
struct Samples: Sendable {
    private(set) var values: [Double] = []

    init(_ values: [Double] = []) { self.values = values }

    mutating func append(_ value: Double) { values.append(value) }

    var median: Double { percentile(50) }
    var p99: Double { percentile(99) }

    /// By the nearest rank; of few values the 99th is the largest. Of no values 0.
    func percentile(_ percent: Double) -> Double {
        guard !values.isEmpty else { return 0 }
        let rank = (percent / 100 * Double(values.count)).rounded(.up)
        return values.sorted()[max(Int(rank), 1) - 1]
    }

    /// The median of the ratios, pair by pair, to what was measured beside: the machine's drift cancels out.
    func ratio(to other: Samples) -> Double {
        Samples(zip(values, other.values).filter { $1 > 0 }.map { $0 / $1 }).median
    }
}

extension Duration {
    var inSeconds: Double { self / .seconds(1) }
    var inMilliseconds: Double { self / .milliseconds(1) }
}
