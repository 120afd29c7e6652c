import TestSupport

extension Bench {
    /// ADD in pools with many addresses taken, in turn with ADD in an empty one, with and without an occupancy hint.
    func filled() async throws -> [Figure] {
        // The quick run's pool is as full as that of 65,534 addresses with 60,000 taken.
        let size = options.isQuick ? 2_184 : 65_534
        let levels = options.isQuick ? [333, 2_000] : [10_000, 60_000]
        let empty = try await pool("empty", size: size, cooldown: "0s")
        var filled = try await pool("filled", size: size, cooldown: "0s")
        var figures: [Figure] = []
        for level in levels {
            say("  filling a pool to \(level) of \(size)")
            try await filled.fill(controlPlane, to: level)
            let isLast = level == levels.last
            for isHinted in [true, false] {
                try await setHint(isHinted, on: empty, filled)
                let kind = "\(level) taken\(isHinted ? "" : ", no hint")"
                figures.append(try await sequential(.filled, "ADD, \(kind)", filled, empty, isHinted ? 1.2 : nil))
                // Without a hint a burst measures how fast the server makes a large LIST for each node.
                guard isLast, isHinted else { continue }
                figures.append(try await bursts("100 ADDs at once, \(kind), wall", filled, empty, 1.3))
            }
            if isLast { figures.append(try await firstOfNodes("first ADD of a node, \(level) taken", empty)) }
        }
        return figures
    }

    /// ADD in a pool that is nearly full.
    func full() async throws -> [Figure] {
        let free = 5
        let empty = try await pool("full-empty", size: 1_000, length: 22, cooldown: "0s")
        var full = try await pool("full", size: 1_000, length: 22, cooldown: "0s")
        try await full.fill(controlPlane, to: full.size - free)
        let name = "ADD, \(free) of \(full.size) free"
        var figures: [Figure] = []
        try await setHint(true, on: empty, full)
        figures.append(try await sequential(.full, name, full, empty, 2))
        try await setHint(false, on: empty, full)
        figures.append(try await sequential(.full, "\(name), no hint", full, empty, nil, forgettingScans: true))
        figures.append(try await sequential(.full, "\(name), no hint, listed before", full, empty, nil))
        return figures
    }

    private func setHint(_ isHinted: Bool, on pools: BenchPool...) async throws {
        for pool in pools {
            if isHinted { try await pool.publishHint(controlPlane) } else { try await pool.removeHint(controlPlane) }
        }
    }

    /// - Parameter forgettingScans: Each ADD is the first one of its node in 5 s.
    private func sequential(
        _ section: Section, _ name: String, _ subject: BenchPool, _ empty: BenchPool, _ goal: Double?,
        forgettingScans: Bool = false
    ) async throws -> Figure {
        let count = options.isQuick ? 10 : 100
        let warmUp = 3
        var pairs = Pairs()
        for turn in 0..<(count + warmUp) {
            let inSubject = try attachment(turn, subject.name)
            let inEmpty = try attachment(turn, empty.name)
            if forgettingScans { try inSubject.node.forgetScans() }
            let (a, b) = try await alternate(turn, inSubject.add, inEmpty.add)
            for (attachment, added) in [(inSubject, a), (inEmpty, b)] where added.succeeded {
                _ = try await attachment.del(after: added).checked()
            }
            if turn >= warmUp { pairs.appendIfBothSucceeded(a, b) }
        }
        return pairs.figure(section, name, "empty pool", goal: goal.map { .ratioAtMost($0) })
    }

    private func bursts(
        _ name: String, _ subject: BenchPool, _ empty: BenchPool, _ goal: Double
    ) async throws -> Figure {
        let size = 100
        let rounds = options.isQuick ? 2 : 7
        var inSubject = Bursts()
        var inEmpty = Bursts()
        for round in -1..<rounds {
            let (a, b) = try await alternate(
                round + 1, { try await releasedBurst(size, of: subject) },
                { try await releasedBurst(size, of: empty) })
            if round < 0 { continue }
            inSubject.append(a)
            inEmpty.append(b)
        }
        return Figure(
            .filled, name, .seconds, inSubject.wall, beside: ("empty pool", inEmpty.wall),
            goal: .ratioAtMost(goal), note: inSubject.note)
    }

    private func releasedBurst(_ size: Int, of pool: BenchPool) async throws -> Burst {
        let burst = try await burst(size, of: pool)
        try await release(burst)
        return burst
    }

    /// Before its first ADD a node asks which allocations of it there are, and writes its journal.
    private func firstOfNodes(_ name: String, _ pool: BenchPool) async throws -> Figure {
        let count = options.isQuick ? 2 : 5
        var pairs = Pairs()
        for index in 0..<count {
            let node = try await newNode("new-\(index)")
            defer { try? node.remove() }
            let first = try attachment(index, pool.name, on: node)
            let second = try attachment(index, pool.name, on: node)
            let a = try await first.add()
            let b = try await second.add()
            pairs.appendIfBothSucceeded(a, b)
        }
        return pairs.figure(.filled, name, "second ADD")
    }
}

extension TestNode {
    /// Makes the plugin forget what a LIST of a pool told it a moment ago.
    fileprivate func forgetScans() throws {
        for name in try Files.names(in: "\(journal)/pools") { try Files.remove("\(journal)/pools/\(name)") }
    }
}
