/// What carries requests to the API server, and the clock that goes with it.
package protocol Transport: AnyObject {
    /// Performs the requests side by side and returns their replies in the same order. Blocks until all are answered or
    /// the deadline has passed, at which those without an answer fail with `.timeout`.
    func perform(_ requests: [APIRequest], deadline: Moment) -> [Reply]

    func now() -> Moment

    func sleep(until moment: Moment)
}
