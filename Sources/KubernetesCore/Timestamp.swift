/// Timestamps as the API writes them (RFC 3339), in UTC.
package enum Timestamp {
    /// 0000-01-01T00:00:00Z … 9999-12-31T23:59:59Z; what lies outside is clamped.
    package static let range: ClosedRange<Int64> = -62_167_219_200...253_402_300_799

    /// `2025-11-20T09:07:05Z`, the form of metav1.Time.
    package static func rfc3339(secondsSince1970 seconds: Int64) -> String { text(seconds, fraction: 0, digits: 0) }

    /// `2025-11-20T09:07:05.042Z`
    package static func rfc3339(millisecondsSince1970 milliseconds: Int64) -> String {
        text(milliseconds.floored(by: 1000), fraction: milliseconds.remainder(by: 1000), digits: 3)
    }

    /// `2025-11-20T09:07:05.000042Z`, the form of metav1.MicroTime.
    package static func rfc3339(microsecondsSince1970 microseconds: Int64) -> String {
        text(microseconds.floored(by: 1_000_000), fraction: microseconds.remainder(by: 1_000_000), digits: 6)
    }

    private static func text(_ seconds: Int64, fraction: Int64, digits: Int) -> String {
        let clamped = min(max(seconds, range.lowerBound), range.upperBound)
        let date = civil(fromDay: clamped.floored(by: 86400))
        let time = clamped.remainder(by: 86400)
        var text = "\(padded(date.year, 4))-\(padded(date.month, 2))-\(padded(date.day, 2))"
        text += "T\(padded(time / 3600, 2)):\(padded(time / 60 % 60, 2)):\(padded(time % 60, 2))"
        if digits > 0 { text += "." + padded(fraction, digits) }
        return text + "Z"
    }

    private static func padded(_ value: Int64, _ width: Int) -> String {
        let text = String(value)
        return String(repeating: "0", count: max(width - text.count, 0)) + text
    }

    /// Seconds since 1970 of `2025-11-20T09:07:05Z`, with or without a fraction, which is dropped, and with `Z` or an
    /// offset. Nil for anything else. As in Go a leap second is not accepted.
    package static func parse(_ text: String) -> Int64? {
        var rest = text.utf8[...]
        func number(_ digits: Int, in allowed: ClosedRange<Int64>) -> Int64? {
            guard rest.count >= digits else { return nil }
            var value: Int64 = 0
            for byte in rest.prefix(digits) {
                guard let digit = digit(byte) else { return nil }
                value = value * 10 + digit
            }
            rest = rest.dropFirst(digits)
            return allowed.contains(value) ? value : nil
        }
        func skip(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> Bool {
            guard rest.first == UInt8(ascii: first) || rest.first == UInt8(ascii: second) else { return false }
            rest = rest.dropFirst()
            return true
        }
        guard let year = number(4, in: 0...9999), skip("-", "-"), let month = number(2, in: 1...12), skip("-", "-"),
            let day = number(2, in: 1...daysInMonth(year, month)), skip("T", "t"),
            let hour = number(2, in: 0...23), skip(":", ":"), let minute = number(2, in: 0...59), skip(":", ":"),
            let second = number(2, in: 0...59)
        else { return nil }
        if skip(".", ".") {
            let digits = rest.prefix { digit($0) != nil }.count
            guard digits > 0 else { return nil }
            rest = rest.dropFirst(digits)
        }
        var offset: Int64 = 0
        if !skip("Z", "z") {
            guard let sign = rest.first, skip("+", "-"), let hours = number(2, in: 0...23), skip(":", ":"),
                let minutes = number(2, in: 0...59)
            else { return nil }
            offset = (hours * 3600 + minutes * 60) * (sign == UInt8(ascii: "-") ? -1 : 1)
        }
        guard rest.isEmpty else { return nil }
        return days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset
    }

    private static func digit(_ byte: UInt8) -> Int64? {
        byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") ? Int64(byte - UInt8(ascii: "0")) : nil
    }

    private static func daysInMonth(_ year: Int64, _ month: Int64) -> Int64 {
        switch month {
        case 2: (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": years begin in March, so that the leap day is the
    // last of a year, and eras of 400 years have a fixed length.

    private static let daysOfEra: Int64 = 146_097
    /// From 0000-03-01 to 1970-01-01.
    private static let daysToEpoch: Int64 = 719_468

    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let year = month <= 2 ? year - 1 : year
        let era = year.floored(by: 400)
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * daysOfEra + dayOfEra - daysToEpoch
    }

    private static func civil(fromDay day: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = day + daysToEpoch
        let era = shifted.floored(by: daysOfEra)
        let dayOfEra = shifted - era * daysOfEra
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return (year, month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
    }
}

extension Int64 {
    /// Division that rounds down.
    fileprivate func floored(by divisor: Int64) -> Int64 {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? quotient - 1 : quotient
    }

    /// What `floored(by:)` leaves, never negative.
    fileprivate func remainder(by divisor: Int64) -> Int64 { self - floored(by: divisor) * divisor }
}
