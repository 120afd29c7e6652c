/// Durations as the API writes them (metav1.Duration, so Go's `time.ParseDuration`): `10s`, `1m30s`, `1.5h`, `500ms`.
///
/// Berth counts in whole seconds and rounds up, so that nothing is shorter than was asked for.
package enum DurationText {
    private static let units: [(name: String, nanoseconds: UInt64)] = [
        ("ns", 1), ("us", 1_000), ("µs", 1_000), ("μs", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000),
        ("m", 60_000_000_000), ("h", 3_600_000_000_000),
    ]

    /// The seconds that a text stands for; nil when it is no duration, is negative or exceeds 292 years.
    package static func seconds(_ text: String) -> Int? {
        if text == "0" { return 0 }
        var rest = text[...]
        var total: UInt64 = 0
        repeat {
            guard let part = nanoseconds(ofFirstPartIn: &rest) else { return nil }
            let (sum, overflow) = total.addingReportingOverflow(part)
            guard !overflow, sum <= UInt64(Int64.max) else { return nil }
            total = sum
        } while !rest.isEmpty
        return Int((total + 999_999_999) / 1_000_000_000)
    }

    /// Consumes a number and its unit. What is below a nanosecond is rounded up.
    private static func nanoseconds(ofFirstPartIn rest: inout Substring) -> UInt64? {
        let whole = rest.prefix(while: isDigit)
        rest.removeFirst(whole.count)
        var fraction: Substring = ""
        if rest.first == "." {
            rest.removeFirst()
            fraction = rest.prefix(while: isDigit)
            rest.removeFirst(fraction.count)
        }
        guard !whole.isEmpty || !fraction.isEmpty else { return nil }
        let name = rest.prefix { !isDigit($0) && $0 != "." }
        rest.removeFirst(name.count)
        guard let unit = units.first(where: { $0.name == name }),
            let count = UInt64(whole.isEmpty ? "0" : whole)
        else { return nil }
        let (product, overflow) = count.multipliedReportingOverflow(by: unit.nanoseconds)
        guard !overflow else { return nil }
        // Digits after the 18th cannot reach a nanosecond: all they can do is to round up.
        let digits = fraction.prefix(18)
        let scale = digits.reduce(into: 1 as UInt128) { scale, _ in scale *= 10 }
        let numerator = UInt128(UInt64(digits.isEmpty ? "0" : digits) ?? 0) * UInt128(unit.nanoseconds)
        let isInexact = numerator % scale != 0 || fraction.dropFirst(18).contains { $0 != "0" }
        let (sum, isBeyond) = product.addingReportingOverflow(UInt64(numerator / scale) + (isInexact ? 1 : 0))
        return isBeyond ? nil : sum
    }

    private static func isDigit(_ character: Character) -> Bool { ("0"..."9").contains(character) }

    /// The text of Go's `Duration.String()`: `10s`, `1m30s`, `1h0m0s`.
    package static func text(seconds: Int) -> String {
        let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60)
        if hours > 0 { return "\(hours)h\(minutes)m\(rest)s" }
        return minutes > 0 ? "\(minutes)m\(rest)s" : "\(rest)s"
    }
}
