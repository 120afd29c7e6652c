import KubernetesCore
import Testing

@Suite struct MomentTests {
    @Test func `Moments and durations add and subtract`() {
        let moment = Moment(nanoseconds: 1_000)
        #expect(moment + .nanoseconds(5) == Moment(nanoseconds: 1_005))
        #expect(moment - .nanoseconds(5) == Moment(nanoseconds: 995))
        #expect(moment - Moment(nanoseconds: 3_000) == .nanoseconds(-2_000))
        #expect(moment < moment + .nanoseconds(1))
    }

    @Test func `Sums and differences saturate`() {
        #expect(Moment(nanoseconds: 1) + .seconds(Int64.max) == .distantFuture)
        #expect(Moment.distantFuture + .seconds(1) == .distantFuture)
        #expect(Moment(nanoseconds: -2) - .seconds(Int64.max) == Moment(nanoseconds: .min))
        #expect(Moment(nanoseconds: -2) + .seconds(Int64.min) == Moment(nanoseconds: .min))
        #expect(Moment.distantFuture - .seconds(Int64.min) == .distantFuture)
        #expect(Moment.distantFuture - Moment(nanoseconds: .min) > .seconds(Int64.max / 1_000_000_000))
    }

    @Test(arguments: [
        (0, "0 ms"), (999, "999 ms"), (1_000, "1 s"), (1_099, "1 s"), (9_850, "9.8 s"), (60_000, "60 s"),
    ])
    func `A duration in a message is brief`(milliseconds: Int, text: String) {
        #expect(Duration.milliseconds(milliseconds).briefDescription == text)
    }
}

@Suite struct BackoffTests {
    @Test(arguments: [
        (-1, 50), (0, 50), (1, 100), (2, 200), (3, 400), (4, 800), (5, 1000), (6, 1000), (10_000, 1000),
    ])
    func `The longest delay doubles up to the cap`(attempt: Int, milliseconds: Int) {
        #expect(Backoff().maximumDelay(attempt: attempt) == .milliseconds(milliseconds))
    }

    @Test func `A delay is anything from nothing to the longest`() {
        var generator = SeededGenerator(seed: 3)
        for attempt in 0..<8 {
            let longest = Backoff().maximumDelay(attempt: attempt)
            let delays = (0..<500).map { _ in Backoff().delay(attempt: attempt, using: &generator) }
            #expect(delays.allSatisfy { $0 >= .zero && $0 <= longest })
            #expect(delays.contains { $0 < longest / 10 })
            #expect(delays.contains { $0 > longest * 9 / 10 })
        }
    }

    @Test func `What the server asks for is bounded`() {
        let backoff = Backoff()
        #expect(backoff.bounded(nil) == .zero)
        #expect(backoff.bounded(.seconds(-1)) == .zero)
        #expect(backoff.bounded(.seconds(3)) == .seconds(3))
        #expect(backoff.bounded(.seconds(3600)) == .seconds(10))
    }
}
