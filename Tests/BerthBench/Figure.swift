import JSONText

/// One line of the result.
struct Figure: Sendable {
    enum Unit: String, Sendable {
        case milliseconds = "ms"
        case seconds = "s"
        case megabytes = "MB"
        case requests = "requests"
    }

    /// What a figure is held against, measured beside it in the same run.
    struct Floor: Sendable {
        /// For example `C program`.
        let name: String
        let fastest: Double
        let median: Double
        /// The median of the ratios, pair by pair.
        let ratio: Double
    }

    enum Goal: Sendable {
        case atMost(Double)
        case exactly(Double)
        case ratioAtMost(Double)
    }

    let section: Section
    let name: String
    let unit: Unit
    let median: Double
    /// nil where only one thing was measured.
    let fastest: Double?
    let p99: Double?
    let count: Int
    var floor: Floor?
    var goal: Goal?
    /// What else was seen, for example `0 failed, 0 duplicates`.
    var note = ""

    init(_ section: Section, _ name: String, _ unit: Unit, _ value: Double, goal: Goal? = nil, note: String = "") {
        self.section = section
        self.name = name
        self.unit = unit
        median = value
        fastest = nil
        p99 = nil
        count = 1
        self.goal = goal
        self.note = note
    }

    init(
        _ section: Section, _ name: String, _ unit: Unit, _ samples: Samples, beside floor: (String, Samples)? = nil,
        goal: Goal? = nil, note: String = ""
    ) {
        self.section = section
        self.name = name
        self.unit = unit
        median = samples.median
        fastest = samples.values.min()
        p99 = samples.p99
        count = samples.values.count
        self.floor = floor.map {
            Floor(
                name: $0, fastest: $1.values.min() ?? 0, median: $1.median, ratio: samples.ratio(to: $1))
        }
        self.goal = goal
        self.note = note
    }

    /// nil without a goal.
    var isMet: Bool? {
        switch goal {
        case .atMost(let limit): median <= limit
        case .exactly(let value): median == value
        case .ratioAtMost(let limit): (floor?.ratio).map { $0 <= limit }
        case nil: nil
        }
    }
}

extension Figure {
    /// One line of the progress.
    var summary: String {
        var text = "\(name): \(Decimal.fitting(median, unit)) \(unit.rawValue)"
        if let floor { text += ", \(Decimal.fixed(floor.ratio, 2)) × \(floor.name)" }
        return text
    }
}

extension Figure.Goal {
    func text(_ unit: Figure.Unit) -> String {
        switch self {
        case .atMost(let value): "≤ \(Decimal.short(value)) \(unit.rawValue)"
        case .exactly(let value): Decimal.short(value)
        case .ratioAtMost(let value): "≤ \(Decimal.short(value)) ×"
        }
    }
}

extension Figure {
    var json: JSON {
        var json: JSON = [
            "section": .string(section.rawValue), "figure": .string(name), "unit": .string(unit.rawValue),
            "median": Decimal.json(median), "count": .int(count),
        ]
        json["min"] = fastest.map(Decimal.json)
        json["p99"] = p99.map(Decimal.json)
        if let floor {
            json["floor"] = [
                "name": .string(floor.name), "min": Decimal.json(floor.fastest), "median": Decimal.json(floor.median),
                "ratio": Decimal.json(floor.ratio),
            ]
        }
        if let goal { json["goal"] = .string(goal.text(unit)) }
        json["met"] = isMet.map { .bool($0) }
        if !note.isEmpty { json["note"] = .string(note) }
        return json
    }
}

/// Numbers as text.
enum Decimal {
    static func fixed(_ value: Double, _ digits: Int) -> String {
        var scale = 1
        for _ in 0..<digits { scale *= 10 }
        let scaled = Int((value.magnitude * Double(scale)).rounded())
        let fraction = String(scaled % scale)
        let padding = String(repeating: "0", count: max(digits - fraction.count, 0))
        return (value < 0 ? "-" : "") + "\(scaled / scale)" + (digits > 0 ? ".\(padding)\(fraction)" : "")
    }

    /// With as many digits after the point as the size of the number is worth.
    static func fitting(_ value: Double, _ unit: Figure.Unit) -> String {
        if unit == .requests { return short(value) }
        return fixed(value, value.magnitude < 10 ? 2 : 1)
    }

    /// Without zeros at the end.
    static func short(_ value: Double) -> String {
        var text = fixed(value, 2)
        while text.last == "0" { text.removeLast() }
        if text.last == "." { text.removeLast() }
        return text
    }

    static func json(_ value: Double) -> JSON { .number(fixed(value, 4)) }
}
