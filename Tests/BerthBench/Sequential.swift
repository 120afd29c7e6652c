import TestSupport

extension Bench {
    /// ADD and DEL one after another, each beside the C program that makes the same requests.
    func sequential() async throws -> [Figure] {
        let count = options.isQuick ? 20 : 200
        let warmUp = 5
        // The default cooldown, so a DEL is a patch.
        let pool = try await pool("sequential", cooldown: "10s")
        let floorPool = try await self.pool("sequential-floor", cooldown: "10s")
        var add = Pairs()
        var del = Pairs()
        var repeated = Pairs()
        for turn in 0..<(count + warmUp) {
            let attachment = try attachment(turn, pool.name)
            let command = floor.add(pods[turn % pods.count], try floorAllocation(turn, of: floorPool))
            let (added, created) = try await alternate(
                turn, { try await attachment.add().checked() }, { try await command.run().checked() })
            let (deleted, released) = try await alternate(
                turn, { try await attachment.del(after: added).checked() }, { try await floor.release(created) })
            let (again, empty) = try await alternate(
                turn, { try await attachment.delAgain().checked() }, { try await floor.empty() })
            if turn < warmUp { continue }
            add.append(added.process, created)
            del.append(deleted.process, released)
            repeated.append(again.process, empty)
        }
        let kept = try await claimed(count / 2)
        return [
            add.figure(.sequential, "ADD", FloorProgram.name, goal: .ratioAtMost(1.3)),
            add.processorFigure(.sequential, "ADD", FloorProgram.name),
            del.figure(.sequential, "DEL", FloorProgram.name),
            del.processorFigure(.sequential, "DEL", FloorProgram.name),
            repeated.figure(.sequential, "DEL, repeated", "empty C program"),
        ] + kept
    }
}

extension Bench {
    /// ADD and DEL of two builds of the plugin in turn.
    func builds() async throws -> [Figure] {
        guard let executable = options.otherPlugin else { return [] }
        guard Files.isExecutable(executable) else { throw TestSetUpError("\(executable) is no program") }
        let count = options.isQuick ? 20 : 300
        let warmUp = 5
        let pool = try await pool("builds", cooldown: "10s")
        let ours = try await newNode("this-build")
        let theirs = try await newNode("other-build", runner: PluginRunner(executable: executable))
        defer { for node in [ours, theirs] { try? node.remove() } }
        var pairs = (add: Pairs(), del: Pairs(), again: Pairs())
        for turn in 0..<(count + warmUp) {
            let a = try attachment(turn, pool.name, on: ours)
            let b = try attachment(turn, pool.name, on: theirs)
            let (addA, addB) = try await alternate(
                turn, { try await a.add().checked() }, { try await b.add().checked() })
            let (delA, delB) = try await alternate(
                turn, { try await a.del(after: addA).checked() }, { try await b.del(after: addB).checked() })
            let (againA, againB) = try await alternate(
                turn, { try await a.delAgain().checked() }, { try await b.delAgain().checked() })
            if turn < warmUp { continue }
            pairs.add.append(addA.process, addB.process)
            pairs.del.append(delA.process, delB.process)
            pairs.again.append(againA.process, againB.process)
        }
        return [
            pairs.add.figure(.builds, "ADD", "other build"),
            pairs.add.processorFigure(.builds, "ADD", "other build"),
            pairs.del.figure(.builds, "DEL", "other build"),
            pairs.del.processorFigure(.builds, "DEL", "other build"),
            pairs.again.figure(.builds, "DEL, repeated", "other build"),
            pairs.again.processorFigure(.builds, "DEL, repeated", "other build"),
        ]
    }
}

/// Durations of one thing and of what it is held against, in milliseconds.
struct Pairs: Sendable {
    private(set) var subject = Samples()
    private(set) var floor = Samples()
    /// What of it the processor spent in the processes themselves.
    private var subjectProcessor = Samples()
    private var floorProcessor = Samples()
    private var failureCount = 0

    mutating func append(_ subject: ProcessOutcome, _ floor: ProcessOutcome) {
        self.subject.append(subject.duration.inMilliseconds)
        self.floor.append(floor.duration.inMilliseconds)
        subjectProcessor.append(subject.processorTime.inMilliseconds)
        floorProcessor.append(floor.processorTime.inMilliseconds)
    }

    /// A failed call has no duration worth a place among those that succeeded.
    mutating func appendIfBothSucceeded(_ subject: PluginOutcome, _ floor: PluginOutcome) {
        for outcome in [subject, floor] where !outcome.succeeded {
            failureCount += 1
            if failureCount == 1 { say("  failed: \(outcome)") }
        }
        if subject.succeeded, floor.succeeded { append(subject.process, floor.process) }
    }

    func figure(
        _ section: Section, _ name: String, _ floorName: String, goal: Figure.Goal? = nil
    ) -> Figure {
        Figure(
            section, name, .milliseconds, subject, beside: (floorName, floor), goal: goal,
            note: failureCount > 0 ? "\(failureCount) failed" : "")
    }

    func processorFigure(_ section: Section, _ name: String, _ floorName: String) -> Figure {
        Figure(
            section, "\(name), processor time", .milliseconds, subjectProcessor, beside: (floorName, floorProcessor))
    }
}
