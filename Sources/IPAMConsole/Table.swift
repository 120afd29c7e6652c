/// How a text stands out where there are colours.
package enum Tint: String, Hashable, Sendable {
    case red = "31"
    case yellow = "33"
    case green = "32"
    case dim = "2"
    case bold = "1"
}

/// What the terminal, or the file that the output goes to, can show.
package struct Style: Hashable, Sendable {
    package var isColored: Bool
    /// Bars are drawn with block elements, else with `#` and `-`.
    package var isUnicode: Bool

    package init(isColored: Bool = false, isUnicode: Bool = true) {
        self.isColored = isColored
        self.isUnicode = isUnicode
    }

    package func apply(_ tint: Tint?, to text: String) -> String {
        guard isColored, let tint, !text.isEmpty else { return text }
        return "\u{1B}[\(tint.rawValue)m\(text)\u{1B}[0m"
    }
}

/// A text in a table.
package struct Cell: Hashable, Sendable, ExpressibleByStringInterpolation {
    package var text: String
    package var tint: Tint?

    package init(_ text: String, _ tint: Tint? = nil) {
        self.text = text
        self.tint = tint
    }

    package init(stringLiteral value: String) { self.init(value) }

    /// What is empty is shown as `-`, so that columns stay columns for `awk`.
    var shown: String { text.isEmpty ? "-" : text }
}

/// A table as kubectl prints them: capitals above, columns as wide as need be, three spaces between.
package struct Table: Hashable, Sendable {
    package enum Alignment: Hashable, Sendable {
        case left
        case right
    }

    package struct Column: Hashable, Sendable {
        var title: String
        var alignment: Alignment

        package init(_ title: String, _ alignment: Alignment = .left) {
            self.title = title
            self.alignment = alignment
        }
    }

    package var columns: [Column]
    package var rows: [[Cell]]

    package init(_ columns: [Column], rows: [[Cell]] = []) {
        self.columns = columns
        self.rows = rows
    }

    /// Lines that each end in a line feed.
    package func rendered(_ style: Style) -> String {
        var widths = columns.map(\.title.count)
        for row in rows {
            for (index, cell) in row.enumerated() { widths[index] = max(widths[index], cell.shown.count) }
        }
        var output = line(columns.map { Cell($0.title, .bold) }, widths, style)
        for row in rows { output += line(row, widths, style) }
        return output
    }

    private func line(_ cells: [Cell], _ widths: [Int], _ style: Style) -> String {
        var line = ""
        for (index, cell) in cells.enumerated() {
            let text = style.apply(cell.tint, to: cell.shown)
            let padding = String(repeating: " ", count: widths[index] - cell.shown.count)
            let isLast = index == cells.count - 1
            switch columns[index].alignment {
            case .left: line += isLast ? text : text + padding + "   "
            case .right: line += padding + text + (isLast ? "" : "   ")
            }
        }
        return line + "\n"
    }
}

/// Figures for people.
package enum Figures {
    /// A bar of ten characters, and the percentage: `████████░░  83%`.
    ///
    /// A pool is shown full only when nothing is left, and empty only when nothing is used: `<1%` and `>99%`.
    package static func bar(used: UInt128, of total: UInt128, _ style: Style, width: Int = 10) -> String {
        let (full, empty) = style.isUnicode ? ("█", "░") : ("#", "-")
        guard total > 0 else { return String(repeating: empty, count: width) + "     -" }
        let used = min(used, total)
        let percent = share(used, of: total, steps: 100)
        let text =
            switch percent {
            case 0 where used > 0: "<1%"
            case 100 where used < total: ">99%"
            default: "\(percent)%"
            }
        let filled = used < total ? min(share(used, of: total, steps: width), width - 1) : width
        return String(repeating: full, count: filled) + String(repeating: empty, count: width - filled)
            + String(repeating: " ", count: max(5 - text.count, 1)) + text
    }

    /// Rounded to the nearest step.
    private static func share(_ used: UInt128, of total: UInt128, steps: Int) -> Int {
        // Both are made small, so that the product cannot overflow.
        let shift = UInt128(max(64 - total.leadingZeroBitCount, 0))
        let (small, whole) = (used >> shift, total >> shift)
        return Int((small * UInt128(2 * steps) + whole) / (2 * whole))
    }

    /// How long something lasts, as kubectl writes it: `45s`, `3m12s`, `5h30m`, `12d`.
    package static func age(seconds: Int64) -> String {
        let seconds = max(seconds, 0)
        let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400)
        switch true {
        case seconds < 120: return "\(seconds)s"
        case minutes < 10: return two(minutes, "m", seconds % 60, "s")
        case minutes < 180: return "\(minutes)m"
        case hours < 8: return two(hours, "h", minutes % 60, "m")
        case hours < 48: return "\(hours)h"
        case days < 8: return two(days, "d", hours % 24, "h")
        case days < 730: return "\(days)d"
        default: return two(days / 365, "y", days % 365, "d")
        }
    }

    private static func two(_ large: Int64, _ unit: String, _ small: Int64, _ smallUnit: String) -> String {
        small == 0 ? "\(large)\(unit)" : "\(large)\(unit)\(small)\(smallUnit)"
    }

    /// `1 pool`, `2 pools`.
    package static func count(_ number: some BinaryInteger, _ one: String, _ many: String? = nil) -> String {
        "\(number) \(number == 1 ? one : many ?? one + "s")"
    }
}
