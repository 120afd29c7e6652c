/// How long to wait before the next attempt: exponential, with full jitter, so that many clients that failed together
/// do not come back together.
///
/// | Attempt that failed | Delay, uniformly random |
/// |---|---|
/// | 0 | 0 … base |
/// | n | 0 … min(cap, base · 2ⁿ) |
package struct Backoff: Hashable, Sendable {
    package let base: Duration
    package let cap: Duration

    package init(base: Duration = .milliseconds(50), cap: Duration = .seconds(1)) {
        self.base = base
        self.cap = cap
    }

    package func maximumDelay(attempt: Int) -> Duration {
        var maximum = base
        for _ in 0..<max(attempt, 0) where maximum < cap { maximum *= 2 }
        return min(maximum, cap)
    }

    package func delay(attempt: Int, using generator: inout some RandomNumberGenerator) -> Duration {
        .nanoseconds(Int64.random(in: 0...max(maximumDelay(attempt: attempt).wholeNanoseconds, 0), using: &generator))
    }

    /// The wait that a server asks for, but no more than ten times the cap: a server's mistake must not use up the
    /// whole deadline.
    package func bounded(_ retryAfter: Duration?) -> Duration { min(max(retryAfter ?? .zero, .zero), cap * 10) }
}
