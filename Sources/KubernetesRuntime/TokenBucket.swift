package import KubernetesCore

/// How often something may be done: `burst` times at once, and `perSecond` times in the long run.
package struct RateLimit: Hashable, Sendable {
    package let perSecond: Int
    package let burst: Int

    package init(perSecond: Int, burst: Int) {
        self.perSecond = max(perSecond, 1)
        self.burst = max(burst, 1)
    }

    fileprivate var interval: Duration { .seconds(1) / perSecond }
}

/// Keeps a rate limit.
package struct TokenBucket: Hashable, Sendable {
    private let rate: RateLimit
    /// When it is full again.
    private var full = Moment(nanoseconds: .min)

    package init(_ rate: RateLimit) { self.rate = rate }

    /// Nil when it may be done now, otherwise when it may be.
    package mutating func take(now: Moment) -> Moment? {
        let base = max(full, now)
        let allowedFrom = base - rate.interval * (rate.burst - 1)
        guard allowedFrom <= now else { return allowedFrom }
        full = base + rate.interval
        return nil
    }
}
