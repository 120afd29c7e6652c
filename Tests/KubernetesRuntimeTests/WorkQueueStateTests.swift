import KubernetesCore
import KubernetesRuntime
import Testing

@Suite struct WorkQueueStateTests {
    typealias State = WorkQueueState<String>

    static let backoff = Backoff(base: .seconds(1), cap: .seconds(8))

    static func state(concurrency: Int = 2, rate: RateLimit? = nil) -> State {
        State(WorkLimits(concurrency: concurrency, backoff: backoff, rate: rate))
    }

    @Test func `Keys run in the order of their moments`() {
        var state = Self.state(concurrency: 3)
        state.add("later", at: at(.seconds(2)))
        state.add("first", at: at(.zero))
        state.add("second", at: at(.zero))
        #expect(state.depth == 3)
        #expect(state.next(now: at(.seconds(1))) == .run("first", late: .seconds(1)))
        #expect(state.next(now: at(.seconds(1))) == .run("second", late: .seconds(1)))
        #expect(state.next(now: at(.seconds(1))) == .wait(until: at(.seconds(2))))
        #expect(state.next(now: at(.seconds(2))) == .run("later", late: .zero))
        #expect(state.next(now: at(.seconds(2))) == .wait(until: nil))
        #expect(state.depth == 0)
        #expect(state.running == 3)
    }

    @Test func `A key that waits keeps the earlier moment`() {
        var state = Self.state()
        state.add("a", at: at(.seconds(5)))
        state.add("a", at: at(.seconds(9)))
        #expect(state.next(now: at(.zero)) == .wait(until: at(.seconds(5))))
        state.add("a", at: at(.seconds(3)))
        #expect(state.depth == 1)
        #expect(state.next(now: at(.seconds(2))) == .wait(until: at(.seconds(3))))
        #expect(state.next(now: at(.seconds(9))) == .run("a", late: .seconds(6)))
        #expect(state.next(now: at(.seconds(9))) == .wait(until: nil))
    }

    @Test func `A key never runs twice at once, and runs again when it was added meanwhile`() {
        var generator = LargestGenerator()
        var state = Self.state()
        state.add("a", at: at(.zero))
        #expect(state.next(now: at(.zero)) == .run("a", late: .zero))
        state.add("a", at: at(.seconds(4)))
        state.add("a", at: at(.seconds(2)))
        state.add("a", at: at(.seconds(3)))
        #expect(state.next(now: at(.seconds(5))) == .wait(until: nil))
        state.finish("a", .done, now: at(.seconds(5)), using: &generator)
        #expect(state.next(now: at(.seconds(5))) == .run("a", late: .seconds(3)))
        state.finish("a", .done, now: at(.seconds(5)), using: &generator)
        #expect(state.isEmpty)
    }

    @Test func `No more run than may, and the next begins when one has ended`() {
        var generator = LargestGenerator()
        var state = Self.state(concurrency: 1)
        state.add("a", at: at(.zero))
        state.add("b", at: at(.zero))
        #expect(state.next(now: at(.zero)) == .run("a", late: .zero))
        #expect(state.next(now: at(.zero)) == .wait(until: nil))
        state.finish("a", .done, now: at(.zero), using: &generator)
        #expect(state.next(now: at(.zero)) == .run("b", late: .zero))
    }

    @Test func `A key that asks to come back does, or earlier when it is added`() {
        var generator = LargestGenerator()
        var state = Self.state()
        for added in [nil, at(.seconds(3))] as [Moment?] {
            state.add("a", at: at(.zero))
            #expect(state.next(now: at(.zero)) == .run("a", late: .zero))
            if let added { state.add("a", at: added) }
            state.finish("a", .again(after: .seconds(9)), now: at(.zero), using: &generator)
            #expect(state.next(now: at(.zero)) == .wait(until: added ?? at(.seconds(9))))
            #expect(state.next(now: at(.seconds(9))) == .run("a", late: added == nil ? .zero : .seconds(6)))
            state.finish("a", .done, now: at(.seconds(9)), using: &generator)
            #expect(state.isEmpty)
        }
    }

    @Test func `Failures in a row of one key wait longer and longer, up to the cap, until it succeeds`() {
        var generator = LargestGenerator()
        var state = Self.state()
        state.add("a", at: at(.zero))
        var now = at(.zero)
        func fail(_ retryAfter: Duration? = nil) {
            #expect(state.next(now: now) == .run("a", late: .zero))
            state.finish("a", .failed(retryAfter: retryAfter), now: now, using: &generator)
        }
        func expectPause(_ duration: Duration) {
            #expect(state.next(now: now) == .wait(until: now + duration))
            now = now + duration
        }
        for seconds in [1, 2, 4, 8, 8] {
            fail()
            expectPause(.seconds(seconds))
        }
        // Another key has its own count.
        state.add("b", at: now)
        #expect(state.next(now: now) == .run("a", late: .zero))
        #expect(state.next(now: now) == .run("b", late: .zero))
        state.finish("b", .failed(retryAfter: nil), now: now, using: &generator)
        #expect(state.next(now: now) == .wait(until: now + .seconds(1)))
        state.finish("a", .done, now: now, using: &generator)
        now = now + .seconds(1)
        #expect(state.next(now: now) == .run("b", late: .zero))
        state.finish("b", .done, now: now, using: &generator)
        // From the beginning, unless the server asks for more, within its bound.
        state.add("a", at: now)
        fail()
        expectPause(.seconds(1))
        fail(.seconds(30))
        expectPause(.seconds(30))
        fail(.seconds(1000))
        expectPause(.seconds(80))
    }

    @Test func `Starts are limited to a burst and a rate`() {
        var state = Self.state(concurrency: 100, rate: RateLimit(perSecond: 2, burst: 3))
        for index in 0..<7 { state.add("k\(index)", at: at(.zero)) }
        var starts: [Moment] = []
        var now = at(.seconds(10))
        while state.depth > 0 {
            switch state.next(now: now) {
            case .run: starts.append(now)
            case .wait(let until): now = until ?? at(.seconds(1000))
            }
        }
        let halves = starts.map { ($0 - at(.seconds(10))).wholeMilliseconds }
        #expect(halves == [0, 0, 0, 500, 1000, 1500, 2000])
        // The bucket fills up again, and not beyond its burst.
        for index in 0..<5 { state.add("l\(index)", at: at(.zero)) }
        var burst = 0
        while case .run = state.next(now: at(.seconds(500))) { burst += 1 }
        #expect(burst == 3)
    }

    @Test func `A key that is added earlier and earlier does not fill the memory, and runs once`() {
        var state = Self.state()
        for step in 0..<10_000 { state.add("a", at: at(.seconds(20_000 - step))) }
        #expect(state.depth == 1)
        #expect(state.next(now: at(.seconds(30_000))) == .run("a", late: .seconds(19_999)))
        #expect(state.next(now: at(.seconds(30_000))) == .wait(until: nil))
    }

    /// The rules, without any cleverness.
    struct Model {
        var waiting: [Int: Moment] = [:]
        var running: [Int: Moment?] = [:]

        mutating func add(_ key: Int, _ due: Moment) {
            if let again = running[key] {
                running[key] = .some(min(again ?? due, due))
            } else {
                waiting[key] = min(waiting[key] ?? due, due)
            }
        }

        mutating func finish(_ key: Int, again: Moment?) {
            let added = running.removeValue(forKey: key) ?? nil
            if let added { add(key, added) }
            if let again { add(key, again) }
        }
    }

    @Test(arguments: 0..<40)
    func `Random schedules are those of the model`(seed: Int) {
        var generator = SeededGenerator(seed: UInt64(seed))
        let concurrency = Int.random(in: 1...4, using: &generator)
        var state = WorkQueueState<Int>(WorkLimits(concurrency: concurrency))
        var model = Model()
        var now = at(.zero)
        for _ in 0..<1500 {
            switch Int.random(in: 0..<4, using: &generator) {
            case 0:
                now = now + .milliseconds(Int.random(in: 0...30, using: &generator))
            case 1:
                let key = Int.random(in: 0..<12, using: &generator)
                let due = now + .milliseconds(Int.random(in: -20...60, using: &generator))
                state.add(key, at: due)
                model.add(key, due)
            case 2:
                guard let key = model.running.keys.sorted().randomElement(using: &generator) else { continue }
                let delay = Bool.random(using: &generator) ? Duration.milliseconds(40) : nil
                state.finish(key, delay.map { .again(after: $0) } ?? .done, now: now, using: &generator)
                model.finish(key, again: delay.map { now + $0 })
            default:
                let earliest = model.waiting.values.min()
                switch state.next(now: now) {
                case .run(let key, let late):
                    #expect(model.running.count < concurrency)
                    #expect(model.running[key] == nil)
                    #expect(model.waiting[key] == earliest)
                    #expect(earliest.map { now - $0 } == late)
                    #expect(late >= .zero)
                    model.waiting[key] = nil
                    model.running[key] = .some(nil)
                case .wait(let until):
                    if model.running.count >= concurrency {
                        #expect(until == nil)
                    } else {
                        #expect(until == earliest)
                        if let earliest { #expect(earliest > now) }
                    }
                }
            }
            #expect(state.depth == model.waiting.count)
            #expect(state.running == model.running.count)
        }
    }
}
