import JSONText
import TestSupport

/// All figures of a run, as a table for people and as JSON.
struct Report: Sendable {
    /// Where and of what they were measured.
    let machine: [(name: String, value: String)]
    let isQuick: Bool
    var figures: [Figure] = []

    var table: String {
        let head = [
            "figure", "unit", "min", "median", "p99", "runs", "beside", "min", "median", "ratio", "goal", "met", "note",
        ]
        let isNumber = [
            false, false, true, true, true, true, false, true, true, true, true, false, false,
        ]
        let rows = [head] + figures.map(\.cells)
        let widths = head.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        var lines = machine.map { "\($0.name): \($0.value)" }
        if isQuick { lines.append("quick run: few runs, small pools; not for comparison with the design's figures") }
        lines.append("")
        for (index, row) in rows.enumerated() {
            let cells = zip(row, zip(widths, isNumber)).map { cell, shape in
                Self.padded(cell, to: shape.0, onTheLeft: shape.1)
            }
            var line = cells.joined(separator: "  ")
            while line.last == " " { line.removeLast() }
            lines.append(line)
            if index == 0 { lines.append(widths.map { String(repeating: "-", count: $0) }.joined(separator: "  ")) }
        }
        return lines.joined(separator: "\n")
    }

    private static func padded(_ text: String, to width: Int, onTheLeft: Bool) -> String {
        let padding = String(repeating: " ", count: max(width - text.count, 0))
        return onTheLeft ? padding + text : text + padding
    }

    var json: JSON {
        var machine: JSON = [:]
        for (name, value) in self.machine { machine[name] = .string(value) }
        return ["machine": machine, "quick": .bool(isQuick), "figures": .array(figures.map(\.json))]
    }
}

extension Figure {
    private func text(_ value: Double?) -> String { value.map { Decimal.fitting($0, unit) } ?? "" }

    fileprivate var cells: [String] {
        [
            name, unit.rawValue, text(fastest), text(median), text(p99), count > 1 ? "\(count)" : "",
            floor?.name ?? "", text(floor?.fastest), text(floor?.median),
            floor.map { Decimal.fixed($0.ratio, 2) } ?? "", goal?.text(unit) ?? "",
            isMet.map { $0 ? "yes" : "no" } ?? "", note,
        ]
    }
}
