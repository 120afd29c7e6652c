import KubernetesCore
import KubernetesRuntime
import Testing

@Suite struct WatcherStateMachineTests {
    typealias Machine = WatcherStateMachine

    static let scope = WatchScope(.pods, fieldSelector: "status.phase=Failed", metadataOnly: true)
    static let limits = WatcherLimits(
        pageSize: 10, watchSeconds: 7...7, backoff: Backoff(base: .seconds(1), cap: .seconds(4)),
        soundWatch: .seconds(1))

    static func list(_ version: String?, limit: Int?, token: String? = nil) -> ListOptions {
        ListOptions(
            fieldSelector: "status.phase=Failed", limit: limit, continueToken: token, resourceVersion: version,
            form: .metadata)
    }

    static let any = list("0", limit: 10)
    static let mostRecent = list(nil, limit: 10)
    static let whole = list(nil, limit: nil)

    static func watch(_ version: String) -> Machine.Action {
        .watch(
            WatchOptions(
                fieldSelector: "status.phase=Failed", resourceVersion: version, timeoutSeconds: 7, metadataOnly: true))
    }

    /// A machine that was given these inputs, and its last action. Time stands still unless an input says otherwise.
    struct Run {
        var machine = Machine(scope, limits: limits)
        var generator = LargestGenerator()
        var time = at(.zero)
        var action = Machine.Action.ignore

        init(_ inputs: [Machine.Input] = []) { for input in inputs { handle(input) } }

        mutating func handle(_ input: Machine.Input, after delay: Duration = .zero) {
            time = time + delay
            action = machine.handle(input, now: time, using: &generator)
        }
    }

    static let expired = status(410, "Expired")
    static let tooLarge = status(504, "Timeout")

    static let toListed: [Machine.Input] = [.start, .page(resourceVersion: "5", continueToken: nil)]
    static let toOpening: [Machine.Input] = toListed + [.committed]
    static let toWatching: [Machine.Input] = toOpening + [.opened]

    // MARK: One path after the other

    @Test func `A list in one page, then a watch from its version on`() {
        var run = Run([.start])
        #expect(run.action == .list(Self.any, begins: true))
        run.handle(.page(resourceVersion: "5", continueToken: nil))
        #expect(run.action == .commit(resourceVersion: "5"))
        #expect(run.machine.phase == .listed(resourceVersion: "5"))
        run.handle(.committed)
        #expect(run.action == Self.watch("5"))
        run.handle(.opened)
        #expect(run.action == .read)
        run.handle(.event(resourceVersion: "6"))
        #expect(run.action == .apply)
        run.handle(.bookmark(resourceVersion: "9"))
        #expect(run.action == .read)
        run.handle(.ended, after: .seconds(7))
        #expect(run.action == Self.watch("9"))
    }

    @Test func `Pages follow each other by their tokens, without the version`() {
        var run = Run([.start, .page(resourceVersion: "5", continueToken: "t")])
        #expect(run.action == .list(Self.list(nil, limit: 10, token: "t"), begins: false))
        run.handle(.page(resourceVersion: "5", continueToken: "u"))
        #expect(run.action == .list(Self.list(nil, limit: 10, token: "u"), begins: false))
        run.handle(.page(resourceVersion: "5", continueToken: nil))
        #expect(run.action == .commit(resourceVersion: "5"))
    }

    @Test func `A page that failed is fetched again, after a pause, and what came before it stays`() {
        var run = Run([.start, .page(resourceVersion: "5", continueToken: "t"), .failed(transport(.interrupted))])
        #expect(run.action == .pause(until: at(.seconds(1))))
        run.handle(.resumed)
        #expect(run.action == .list(Self.list(nil, limit: 10, token: "t"), begins: false))
    }

    @Test func `Pages that expire are followed by a list in one answer`() {
        var run = Run([.start, .page(resourceVersion: "5", continueToken: "t"), .failed(Self.expired)])
        #expect(run.action == .list(Self.mostRecent, begins: true))
        run.handle(.page(resourceVersion: "6", continueToken: "u"))
        run.handle(.failed(Self.expired))
        #expect(run.action == .list(Self.whole, begins: true))
        run.handle(.failed(Self.expired))
        #expect(run.action == .pause(until: at(.seconds(1))))
        run.handle(.resumed)
        #expect(run.action == .list(Self.whole, begins: true))
    }

    @Test func `A version that has expired is followed by a list that is not older, at once`() {
        var run = Run(Self.toWatching + [.event(resourceVersion: "6"), .failed(Self.expired)])
        #expect(run.action == .list(Self.list("6", limit: nil), begins: true))
        // The server cannot serve that either.
        run.handle(.failed(Self.tooLarge))
        #expect(run.action == .list(Self.mostRecent, begins: true))
    }

    @Test func `A server that answers every watch with 410 is asked at growing intervals`() {
        var run = Run(Self.toWatching + [.failed(Self.expired)])
        for seconds in [1, 2, 4, 4] {
            #expect(run.action == .list(Self.list("5", limit: nil), begins: true))
            run.handle(.page(resourceVersion: "5", continueToken: nil))
            run.handle(.committed)
            #expect(run.action == Self.watch("5"))
            run.handle(.failed(Self.expired))
            #expect(run.action == .pause(until: run.time + .seconds(seconds)))
            run.handle(.resumed)
        }
        // A watch that lasts ends that.
        for input in [.page(resourceVersion: "5", continueToken: nil), .committed, .opened] as [Machine.Input] {
            run.handle(input)
        }
        run.handle(.failed(Self.expired), after: .seconds(1))
        #expect(run.action == .list(Self.list("5", limit: nil), begins: true))
    }

    @Test func `A version that expired while the server was away is followed by a list at once`() {
        var run = Run(Self.toWatching + [.failed(transport(.connect)), .resumed, .failed(Self.expired)])
        #expect(run.action == .list(Self.list("5", limit: nil), begins: true))
        run.handle(.failed(transport(.connect)))
        #expect(run.action == .pause(until: at(.seconds(2))))
    }

    @Test func `A watch that breaks goes on from the last version`() {
        var run = Run(Self.toWatching + [.bookmark(resourceVersion: "8"), .failed(transport(.timeout))])
        #expect(run.action == .pause(until: at(.seconds(1))))
        run.handle(.resumed)
        #expect(run.action == Self.watch("8"))
    }

    @Test func `Refusals in a row lead to a new list from etcd`() {
        var run = Run(Self.toWatching)
        for _ in 1...2 {
            run.handle(.failed(Self.tooLarge))
            run.handle(.resumed)
            #expect(run.action == Self.watch("5"))
        }
        run.handle(.failed(.undecodable("m", forbidden.subject)))
        run.handle(.resumed)
        #expect(run.action == .list(Self.mostRecent, begins: true))
    }

    @Test func `A server that refuses every watch is asked for lists at growing intervals`() {
        let limits = WatcherLimits(backoff: Backoff(base: .seconds(1), cap: .seconds(40)))
        var run = Run()
        run.machine = Machine(Self.scope, limits: limits)
        for input in Self.toWatching { run.handle(input) }
        for seconds in [4, 4, 4, 8, 16, 32, 40, 40] {
            for _ in 1...2 {
                run.handle(.failed(Self.tooLarge))
                run.handle(.resumed)
            }
            run.handle(.failed(Self.tooLarge))
            #expect(run.action == .pause(until: run.time + .seconds(seconds)))
            run.handle(.resumed)
            run.handle(.page(resourceVersion: "5", continueToken: nil))
            run.handle(.committed)
            #expect(run.machine.phase == .opening(resourceVersion: "5"))
        }
    }

    @Test(arguments: [
        status(401), forbidden, status(429), status(503), transport(.connect), transport(.timeout),
        .notKubernetes(httpStatus: 404, excerpt: "404 page not found", forbidden.subject),
    ])
    func `Overload, missing permission and a server that is away are waited out`(error: APIError) {
        var run = Run(Self.toOpening)
        for _ in 1...20 {
            run.handle(.failed(error))
            run.handle(.resumed)
            #expect(run.action == Self.watch("5"))
        }
    }

    @Test func `Pauses grow to the cap and begin small again after a success`() {
        var run = Run([.start])
        for seconds in [1, 2, 4, 4, 4] {
            run.handle(.failed(transport(.connect)))
            #expect(run.action == .pause(until: run.time + .seconds(seconds)))
            run.handle(.resumed)
        }
        run.handle(.page(resourceVersion: "5", continueToken: nil))
        run.handle(.committed)
        run.handle(.opened)
        run.handle(.failed(transport(.interrupted)))
        #expect(run.action == .pause(until: run.time + .seconds(1)))
        // An open watch alone is no success.
        run.handle(.resumed)
        run.handle(.opened)
        run.handle(.failed(transport(.interrupted)))
        #expect(run.action == .pause(until: run.time + .seconds(2)))
        // One that lasts is.
        run.handle(.resumed)
        run.handle(.opened)
        run.handle(.failed(transport(.timeout)), after: .seconds(1))
        #expect(run.action == .pause(until: run.time + .seconds(1)))
        // So is an event.
        run.handle(.resumed)
        run.handle(.opened)
        run.handle(.event(resourceVersion: "6"))
        run.handle(.failed(transport(.timeout)))
        #expect(run.action == .pause(until: run.time + .seconds(1)))
    }

    @Test func `The server's own time to wait counts when it is longer`() {
        let run = Run([.start, .failed(status(429, retryAfterSeconds: 9))])
        #expect(run.action == .pause(until: at(.seconds(9))))
    }

    @Test func `A watch that the server ends at once is not opened at once again`() {
        var run = Run(Self.toWatching + [.ended])
        #expect(run.action == .pause(until: at(.seconds(1))))
        run.handle(.resumed)
        run.handle(.opened)
        run.handle(.ended)
        #expect(run.action == .pause(until: at(.seconds(2))))
    }

    @Test func `A list without a version is none`() {
        var run = Run([.start])
        for seconds in [1, 2, 4] {
            run.handle(.page(resourceVersion: "", continueToken: nil))
            #expect(run.action == .pause(until: at(.seconds(seconds))))
            run.handle(.resumed)
            #expect(run.action == .list(Self.any, begins: true))
        }
    }

    // MARK: Every input in every phase

    static let phases: [(name: String, inputs: [Machine.Input])] = [
        ("empty", []), ("listing", [.start]),
        ("a later page", [.start, .page(resourceVersion: "5", continueToken: "t")]),
        ("listed", toListed), ("opening", toOpening), ("watching", toWatching),
        ("pausing before a list", [.start, .failed(forbidden)]),
        ("pausing before a watch", toWatching + [.failed(forbidden)]), ("stopped", [.stop]),
    ]

    static let inputs: [Machine.Input] = [
        .start, .page(resourceVersion: "7", continueToken: nil), .page(resourceVersion: "7", continueToken: "x"),
        .committed, .opened, .event(resourceVersion: "7"), .bookmark(resourceVersion: "7"), .ended,
        .failed(expired), .failed(forbidden), .failed(tooLarge), .resumed, .stop,
    ]

    /// What each input leads to: `-` ignore, `L` list from the beginning, `N` next page, `C` commit, `W` watch, `R`
    /// read, `A` apply, `P` pause, `S` stop. Columns in the order of `inputs`.
    static let table = [
        "empty": "L-----------S", "listing": "-CN-----LPL-S", "a later page": "-CN-----LPL-S",
        "listed": "---W--------S", "opening": "----R---LPP-S", "watching": "-----ARPLPP-S",
        "pausing before a list": "-----------LS", "pausing before a watch": "-----------WS",
        "stopped": "SSSSSSSSSSSSS",
    ]

    static func letter(_ action: Machine.Action) -> Character {
        switch action {
        case .list(_, let begins): begins ? "L" : "N"
        case .commit: "C"
        case .watch: "W"
        case .apply: "A"
        case .read: "R"
        case .pause: "P"
        case .stop: "S"
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
            let phase = run.machine.phase
            run.handle(input)
            #expect(Self.letter(run.action) == row[column], "\(name): \(input)")
            if run.action == .ignore { #expect(run.machine.phase == phase) }
        }
    }

    /// What the shell may answer to an action.
    static func answers(to action: Machine.Action) -> [Machine.Input] {
        let failures: [Machine.Input] = [.failed(expired), .failed(forbidden), .failed(tooLarge)]
        return switch action {
        case .list: inputs.filter { if case .page = $0 { true } else { false } } + failures + [.stop]
        case .commit: [.committed, .stop]
        case .watch: [.opened, .stop] + failures
        case .apply, .read: [.event(resourceVersion: "7"), .bookmark(resourceVersion: "7"), .ended, .stop] + failures
        case .pause: [.resumed, .stop]
        case .stop: []
        case .ignore: [.start, .stop]
        }
    }

    @Test(arguments: phases.indices) func `What the shell answers to an action is never ignored`(index: Int) {
        let (name, inputs) = Self.phases[index]
        for input in Self.answers(to: Run(inputs).action) {
            var run = Run(inputs)
            run.handle(input)
            #expect(run.action != .ignore, "\(name): \(input)")
        }
    }

    // MARK: Against a server that misbehaves at random

    @Test(arguments: 0..<40)
    func `Whatever the server does, no change is left out and pauses are bounded`(seed: Int) {
        var generator = SeededGenerator(seed: UInt64(seed))
        var machine = Machine(Self.scope, limits: Self.limits)
        var time = at(.zero)
        // The cluster is at a version, and remembers those since another.
        var version = 100
        var oldest = 90
        var known = 0  // what the store has
        var staged: (version: Int, pages: Int)?
        var open: Int?  // where the watch stands
        var input = Machine.Input.start
        for _ in 0..<400 {
            if Bool.random(using: &generator) { version += 1 }
            if Int.random(in: 0..<20, using: &generator) == 0 { oldest = max(oldest, version - 2) }
            let fails = Int.random(in: 0..<6, using: &generator) == 0
            let action = machine.handle(input, now: time, using: &generator)
            time = time + .milliseconds(Int.random(in: 0...900, using: &generator))
            switch action {
            case .list(let options, let begins):
                if begins { staged = nil }
                if options.continueToken != nil { #expect(staged != nil) }
                if fails {
                    input = .failed(
                        [transport(.interrupted), Self.expired, forbidden].randomElement(using: &generator)
                            ?? forbidden)
                    continue
                }
                if let floor = options.resourceVersion.flatMap({ Int($0) }), floor > 0 { #expect(floor >= known) }
                let pages = (staged?.pages ?? 0) + 1
                staged = (staged?.version ?? version, pages)
                let hasMore = options.limit != nil && pages < 3
                input = .page(
                    resourceVersion: "\(staged?.version ?? 0)", continueToken: hasMore ? "t\(pages)" : nil)
            case .commit(let committed):
                #expect(Int(committed) == staged?.version)
                known = Int(committed) ?? 0
                staged = nil
                input = .committed
            case .watch(let options):
                let from = Int(options.resourceVersion) ?? -1
                // It goes on exactly where the store stands: not before, and above all not after.
                #expect(from == known)
                open = from
                input = from < oldest ? .failed(Self.expired) : fails ? .failed(transport(.connect)) : .opened
            case .apply, .read:
                if case .event(let seen) = input, action == .apply { known = Int(seen) ?? 0 }
                if case .bookmark(let seen) = input { known = Int(seen) ?? 0 }
                if fails {
                    input = Bool.random(using: &generator) ? .ended : .failed(transport(.timeout))
                } else if let position = open, position < version {
                    open = position + 1
                    input = .event(resourceVersion: "\(position + 1)")
                } else {
                    input = .bookmark(resourceVersion: "\(open ?? 0)")
                }
            case .pause(let until):
                #expect(until - time <= .seconds(40))
                time = max(time, until)
                input = .resumed
            case .stop, .ignore: Issue.record("\(action) after \(input)")
            }
        }
    }
}
