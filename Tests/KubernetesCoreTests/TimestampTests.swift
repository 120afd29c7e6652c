import KubernetesCore
import Testing

@Suite struct TimestampTests {
    static let known: [(Int64, String)] = [
        (0, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59Z"),
        (951_782_399, "2000-02-28T23:59:59Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (1_709_164_800, "2024-02-29T00:00:00Z"),
        (1_763_629_625, "2025-11-20T09:07:05Z"),
        (4_107_542_400, "2100-03-01T00:00:00Z"),
        (Timestamp.range.lowerBound, "0000-01-01T00:00:00Z"),
        (Timestamp.range.upperBound, "9999-12-31T23:59:59Z"),
    ]

    @Test(arguments: known)
    func `A second and its text convert into each other`(seconds: Int64, text: String) {
        #expect(Timestamp.rfc3339(secondsSince1970: seconds) == text)
        #expect(Timestamp.parse(text) == seconds)
    }

    @Test func `What lies outside the range is clamped`() {
        #expect(Timestamp.rfc3339(secondsSince1970: .max) == "9999-12-31T23:59:59Z")
        #expect(Timestamp.rfc3339(secondsSince1970: .min) == "0000-01-01T00:00:00Z")
    }

    @Test func `Fractions are padded and never negative`() {
        #expect(Timestamp.rfc3339(millisecondsSince1970: 1_042) == "1970-01-01T00:00:01.042Z")
        #expect(Timestamp.rfc3339(millisecondsSince1970: -1) == "1969-12-31T23:59:59.999Z")
        #expect(Timestamp.rfc3339(microsecondsSince1970: 42) == "1970-01-01T00:00:00.000042Z")
        #expect(Timestamp.rfc3339(microsecondsSince1970: -1_000_000) == "1969-12-31T23:59:59.000000Z")
    }

    @Test(
        arguments: [
            ("1970-01-01T00:00:00.000042Z", 0), ("1970-01-01T00:00:01.9Z", 1), ("1970-01-01t00:00:01z", 1),
            ("1970-01-01T01:00:00+01:00", 0), ("1969-12-31T23:30:00-00:30", 0), ("1970-01-01T00:00:00-00:00", 0),
        ] as [(String, Int64)])
    func `Fractions, offsets and lower case are understood`(text: String, seconds: Int64) {
        #expect(Timestamp.parse(text) == seconds)
    }

    @Test(arguments: [
        "", "1970", "1970-01-01", "1970-01-01T00:00:00", "1970-01-01 00:00:00Z", "1970-13-01T00:00:00Z",
        "1970-00-01T00:00:00Z", "1970-01-00T00:00:00Z", "1970-01-32T00:00:00Z", "2023-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z", "1970-04-31T00:00:00Z", "1970-01-01T24:00:00Z", "1970-01-01T00:60:00Z",
        "1970-01-01T00:00:60Z", "1970-01-01T00:00:00.Z", "1970-01-01T00:00:00+0100", "1970-01-01T00:00:00+24:00",
        "1970-01-01T00:00:00ZZ", "+970-01-01T00:00:00Z", "١٩٧٠-01-01T00:00:00Z",
    ])
    func `Anything else is refused`(text: String) {
        #expect(Timestamp.parse(text) == nil)
    }

    @Test func `Every day of four centuries follows the one before`() {
        var day: Int64 = -11_017  // 1939-11-03
        var previous = ""
        for _ in 0..<146_097 {
            let text = Timestamp.rfc3339(secondsSince1970: day * 86400)
            #expect(text > previous)
            #expect(Timestamp.parse(text) == day * 86400)
            previous = text
            day += 1
        }
    }

    @Test func `Random seconds survive a round trip`() {
        var generator = SeededGenerator(seed: 2)
        for _ in 0..<2000 {
            let seconds = Int64.random(in: Timestamp.range, using: &generator)
            #expect(Timestamp.parse(Timestamp.rfc3339(secondsSince1970: seconds)) == seconds)
        }
    }
}
