import KubernetesCore
import KubernetesRuntime
import Testing

@Suite struct LeaderElectionTests {
    typealias Input = LeaderElection.Input
    typealias Action = LeaderElection.Action

    /// A candidate that was given inputs, and its last action. Time stands still unless an input says otherwise.
    struct Run {
        var machine = LeaderElection(identity: "me")
        var generator = LargestGenerator()
        var time = at(.zero)
        var action = Action.ignore

        init(_ inputs: [Input] = []) { for input in inputs { handle(input) } }

        mutating func handle(_ input: Input, at moment: Duration? = nil) {
            if let moment { time = KubernetesRuntimeTests.at(moment) }
            action = machine.handle(input, now: time, using: &generator)
        }
    }

    static func record(_ holder: String?, version: Int = 1, seconds: Int = 15) -> LeaseRecord {
        LeaseRecord(uid: "u", resourceVersion: "\(version)", holder: holder, duration: .seconds(seconds))
    }

    static let mine = record("me")
    static let others = record("other")
    /// A candidate that leads since the beginning.
    static let toLeading: [Input] = [.wake, .read(nil), .written(mine)]

    @Test(arguments: [
        (15, 10, 2, 2, true), (11, 10, 2, 2, true), (10, 10, 2, 2, false), (15, 2, 2, 2, false), (15, 10, 0, 2, false),
        (15, 10, 2, 0, false),
    ])
    func `Limits leave time to stop in`(lease: Int, renew: Int, retry: Int, release: Int, isValid: Bool) {
        let limits = LeaderElectionLimits(
            leaseDuration: .seconds(lease), renewDeadline: .seconds(renew), retryPeriod: .seconds(retry),
            releaseTimeout: .seconds(release))
        #expect((limits != nil) == isValid)
    }

    @Test func `A duration is in whole seconds`() {
        let duration = Duration.milliseconds(15_500)
        #expect(
            LeaderElectionLimits(leaseDuration: duration, renewDeadline: .seconds(10), retryPeriod: .seconds(2)) == nil)
    }

    // MARK: One path after the other

    @Test func `A Lease that is not there is made, and then leads until the renewal's deadline`() {
        var run = Run([.wake])
        #expect(run.action == .read(deadline: at(.seconds(5))))
        run.handle(.read(nil), at: .seconds(1))
        #expect(run.action == .write(.create, deadline: at(.seconds(6))))
        #expect(!run.machine.isLeading(now: run.time))
        // The right counts from when the write was sent.
        run.handle(.written(Self.mine), at: .seconds(4))
        #expect(run.action == .wait(until: at(.seconds(3))))
        #expect(run.machine.leadsUntil == at(.seconds(11)))
        #expect(run.machine.isLeading(now: at(.milliseconds(10_999))))
        #expect(!run.machine.isLeading(now: at(.seconds(11))))
        #expect(run.machine.holder == "me")
    }

    @Test func `A leader renews without reading, on condition of what it wrote last`() {
        var run = Run(Self.toLeading)
        run.handle(.wake, at: .seconds(2))
        #expect(run.action == .write(.renew(Self.mine), deadline: at(.seconds(7))))
        run.handle(.written(Self.record("me", version: 2)), at: .seconds(3))
        #expect(run.machine.leadsUntil == at(.seconds(12)))
        run.handle(.wake, at: .seconds(4))
        #expect(run.action == .write(.renew(Self.record("me", version: 2)), deadline: at(.seconds(9))))
    }

    @Test func `A renewal that fails is tried again until the deadline, and not for longer`() {
        var run = Run(Self.toLeading)
        run.handle(.wake, at: .seconds(2))
        run.handle(.failed, at: .seconds(7))
        #expect(run.action == .wait(until: at(.seconds(9))))
        run.handle(.wake, at: .seconds(9))
        #expect(run.action == .write(.renew(Self.mine), deadline: at(.seconds(10))))
        run.handle(.failed, at: .seconds(10))
        #expect(run.machine.leadsUntil == nil)
        run.handle(.wake, at: .seconds(11))
        // Its own place has to be looked at like anybody's.
        #expect(run.action == .read(deadline: at(.seconds(16))))
        run.handle(.read(Self.record("me", version: 2)))
        #expect(run.action == .write(.renew(Self.record("me", version: 2)), deadline: at(.seconds(16))))
    }

    @Test func `A renewal that is confirmed when its time is over counts for nothing`() {
        var run = Run(Self.toLeading)
        run.handle(.wake, at: .seconds(2))
        run.handle(.written(Self.record("me", version: 2)), at: .seconds(12))
        #expect(run.machine.leadsUntil == nil)
        run.handle(.wake, at: .seconds(13))
        #expect(run.action == .read(deadline: at(.seconds(18))))
    }

    @Test func `A leader that finds another's name stops at once`() {
        var run = Run(Self.toLeading)
        run.handle(.wake, at: .seconds(2))
        run.handle(.conflict, at: .seconds(3))
        #expect(run.action == .read(deadline: at(.seconds(8))))
        #expect(run.machine.isLeading(now: run.time))
        run.handle(.read(Self.others))
        #expect(run.machine.leadsUntil == nil)
        #expect(run.machine.holder == "other")
    }

    @Test func `A leader whose Lease was deleted stops, and may make it again`() {
        var run = Run(Self.toLeading)
        run.handle(.wake, at: .seconds(2))
        run.handle(.conflict)
        run.handle(.read(nil))
        #expect(run.machine.leadsUntil == nil)
        #expect(run.action == .write(.create, deadline: at(.seconds(7))))
    }

    @Test func `A conflict about one's own renewal does not end the leading`() {
        var run = Run(Self.toLeading)
        run.handle(.wake, at: .seconds(2))
        run.handle(.failed, at: .seconds(7))
        run.handle(.wake, at: .seconds(8))
        // The renewal whose answer was lost had been made.
        run.handle(.conflict)
        run.handle(.read(Self.record("me", version: 2)), at: .seconds(9))
        #expect(run.machine.isLeading(now: run.time))
        #expect(run.action == .write(.renew(Self.record("me", version: 2)), deadline: at(.seconds(10))))
        run.handle(.written(Self.record("me", version: 3)))
        #expect(run.machine.leadsUntil == at(.seconds(19)))
    }

    @Test func `Another's Lease is taken when it was seen unchanged for its duration`() {
        var run = Run([.wake])
        run.handle(.read(Self.others), at: .seconds(1))
        // A look every two to four seconds.
        #expect(run.action == .wait(until: at(.seconds(5))))
        for second in [5, 9, 13] {
            run.handle(.wake, at: .seconds(second))
            run.handle(.read(Self.others))
        }
        // The last wait ends just when it may be taken.
        #expect(run.action == .wait(until: at(.seconds(16))))
        run.handle(.wake, at: .seconds(16))
        run.handle(.read(Self.others))
        #expect(run.action == .write(.take(Self.others), deadline: at(.seconds(21))))
        run.handle(.conflict)
        run.handle(.read(Self.record("third", version: 2)))
        #expect(run.action == .wait(until: at(.seconds(20))))
    }

    @Test func `A renewal of another begins its duration anew`() {
        var run = Run([.wake, .read(Self.others)])
        run.handle(.wake, at: .seconds(14))
        run.handle(.read(Self.record("other", version: 2)))
        run.handle(.wake, at: .seconds(28))
        run.handle(.read(Self.record("other", version: 2)))
        #expect(run.action == .wait(until: at(.seconds(29))))
    }

    @Test func `The holder's own duration counts, and no less than a second`() {
        for (seconds, free) in [(30, 30), (1, 1), (0, 1)] {
            let record = Self.record("other", seconds: seconds)
            var run = Run([.wake, .read(record)])
            run.handle(.wake, at: .seconds(free) - .milliseconds(1))
            run.handle(.read(record))
            #expect(run.action == .wait(until: at(.seconds(free))))
            run.handle(.wake, at: .seconds(free))
            run.handle(.read(record))
            #expect(run.action == .write(.take(record), deadline: at(.seconds(free + 5))))
        }
    }

    @Test func `A Lease that nobody holds is taken at once`() {
        let run = Run([.wake, .read(Self.record(nil))])
        #expect(run.action == .write(.take(Self.record(nil)), deadline: at(.seconds(5))))
    }

    // MARK: Stopping

    @Test func `A leader that is stopped gives the Lease back`() {
        var run = Run(Self.toLeading)
        run.handle(.stop, at: .seconds(1))
        #expect(run.machine.leadsUntil == nil)
        #expect(run.action == .write(.release(Self.mine), deadline: at(.seconds(3))))
        run.handle(.written(Self.record(nil, version: 2)))
        #expect(run.action == .finished)
        #expect(run.machine.phase == .stopped)
    }

    @Test func `A renewal under way when it is stopped is waited for and then given back`() {
        var run = Run(Self.toLeading)
        run.handle(.wake, at: .seconds(2))
        run.handle(.stop)
        #expect(run.action == .ignore)
        #expect(run.machine.leadsUntil == nil)
        run.handle(.written(Self.record("me", version: 2)), at: .seconds(3))
        #expect(run.machine.leadsUntil == nil)
        #expect(run.action == .write(.release(Self.record("me", version: 2)), deadline: at(.seconds(4))))
    }

    @Test func `What a lost answer left is looked for and given back`() {
        var run = Run([.wake, .read(nil)])
        run.handle(.stop)
        run.handle(.failed, at: .seconds(1))
        #expect(run.action == .read(deadline: at(.seconds(2))))
        run.handle(.read(Self.mine))
        #expect(run.action == .write(.release(Self.mine), deadline: at(.seconds(2))))
        // Another of its own writes came later still.
        run.handle(.conflict)
        run.handle(.read(Self.record("me", version: 2)))
        #expect(run.action == .write(.release(Self.record("me", version: 2)), deadline: at(.seconds(2))))
        run.handle(.conflict)
        run.handle(.read(Self.record("me", version: 3)))
        #expect(run.action == .finished)
    }

    @Test func `Giving back ends when its time is up`() {
        var run = Run(Self.toLeading)
        run.handle(.stop)
        run.handle(.conflict, at: .seconds(2))
        run.handle(.failed)
        #expect(run.action == .finished)
    }

    @Test(
        arguments: [
            [], [.wake, .read(others)], [.wake, .failed], toLeading + [.wake, .conflict, .read(others)],
        ] as [[Input]])
    func `Who does not hold the Lease has nothing to give back`(inputs: [Input]) {
        var run = Run(inputs)
        run.handle(.stop)
        #expect(run.action == .finished)
    }

    // MARK: Every input in every phase

    static let phases: [(name: String, inputs: [Input])] = [
        ("idle", []), ("reading", [.wake]), ("creating", [.wake, .read(nil)]), ("leading", toLeading),
        ("renewing", toLeading + [.wake]), ("releasing", toLeading + [.stop]), ("stopped", [.stop]),
    ]

    static let inputs: [Input] = [
        .wake, .read(nil), .read(mine), .read(others), .written(mine), .conflict, .failed, .stop,
    ]

    /// What each input leads to: `-` ignore, `R` read, `W` write, `P` wait, `F` finished. Columns in the order of
    /// `inputs`.
    static let table = [
        "idle": "R------F", "reading": "-WWP--P-", "creating": "----PRP-", "leading": "W------W",
        "renewing": "----PRP-", "releasing": "----FRF-", "stopped": "--------",
    ]

    static func letter(_ action: Action) -> Character {
        switch action {
        case .read: "R"
        case .write: "W"
        case .wait: "P"
        case .finished: "F"
        case .ignore: "-"
        }
    }

    @Test(arguments: phases.indices)
    func `Every input in every phase has the action of the table`(index: Int) throws {
        let (name, inputs) = Self.phases[index]
        let row = try Array(#require(Self.table[name]))
        try #require(row.count == Self.inputs.count)
        for (column, input) in Self.inputs.enumerated() {
            var run = Run(inputs)
            run.handle(input)
            #expect(Self.letter(run.action) == row[column], "\(name): \(input)")
        }
    }
}
