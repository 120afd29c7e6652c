import KubernetesCore

/// Whether and when a request is made again, as `Client` promises it.
struct Retries {
    let start: Moment
    let deadline: Moment
    let backoff: Backoff
    private var attempts = 0
    private var mayHaveCommitted = false

    init(start: Moment, deadline: Moment, backoff: Backoff) {
        self.start = start
        self.deadline = deadline
        self.backoff = backoff
    }

    /// The moment of the next attempt.
    ///
    /// - Throws: When there is none: the failure itself after the first attempt, later `.gaveUp`.
    mutating func next(
        after failure: APIError, of request: APIRequest, now: Moment, using generator: inout some RandomNumberGenerator
    ) throws(APIError) -> Moment {
        attempts += 1
        mayHaveCommitted = mayHaveCommitted || failure.mayHaveCommitted
        if case .transient(let retryAfter) = failure.disposition, !failure.isCancellation,
            !failure.mayHaveCommitted || request.isConditional
        {
            let delay = backoff.delay(attempt: attempts - 1, using: &generator)
            let resumption = now + max(delay, backoff.bounded(retryAfter))
            if resumption < deadline { return resumption }
        }
        throw ended(by: failure, now: now)
    }

    /// What is thrown when there is no further attempt; `failure` has been counted.
    func ended(by failure: APIError, now: Moment) -> APIError {
        guard attempts > 1 else { return failure }
        return .gaveUp(
            APIError.Attempts(count: attempts, elapsed: now - start, mayHaveCommitted: mayHaveCommitted),
            last: failure)
    }
}
