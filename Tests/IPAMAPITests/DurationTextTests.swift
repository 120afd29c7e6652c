import Testing

@testable import IPAMAPI

@Suite struct DurationTextTests {
    @Test(
        arguments: [
            ("0", 0), ("0s", 0), ("10s", 10), ("1m30s", 90), ("1h", 3600), ("24h", 86_400), ("1h2m3s", 3723),
            // Rounded up.
            ("500ms", 1), ("1s1ns", 2), ("1.0000000001s", 2), ("1.5s", 2), ("0.000000000000000000000001s", 1),
            // Fractions and repeated units, as in Go.
            ("1.5h", 5400), (".5m", 30), ("5.s", 5), ("30s30s", 60), ("90m", 5400), ("1000000us", 1), ("1000000µs", 1),
            ("1000000μs", 1),
        ])
    func `texts of Go's durations are read in whole seconds`(text: String, seconds: Int) {
        #expect(DurationText.seconds(text) == seconds)
    }

    @Test(
        arguments: [
            "", "10", "s", "-5s", "+5s", "1d", "1 s", " 1s", "1s ", "10S", ".s", "1..5s", "1.5.5s", "1m30", "ten",
            // More than Go's 292 years, and more than 64 bits.
            "2562048h", "99999999999999999999s", "9223372036.9s", "18446744073709.9ms",
        ])
    func `anything else is refused`(text: String) {
        #expect(DurationText.seconds(text) == nil)
    }

    @Test(
        arguments: [
            (0, "0s"), (10, "10s"), (60, "1m0s"), (90, "1m30s"), (3600, "1h0m0s"), (3661, "1h1m1s"),
            (86_400, "24h0m0s"),
        ])
    func `they are written as Go writes them`(seconds: Int, text: String) {
        #expect(DurationText.text(seconds: seconds) == text)
        #expect(DurationText.seconds(text) == seconds)
    }
}
