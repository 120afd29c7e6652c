package import IPAMAPI
import IPAMEngine
import IPAddressing
package import JSONText
import KubernetesCore

/// How full one pool is, by the word of the controller or by a count of its allocations.
package struct PoolFigures: Hashable, Sendable {
    package enum Source: String, Hashable, Sendable {
        /// The status that the controller has written for the pool as it now is.
        case status
        /// This command counted the allocations, for there is no such status.
        case counted
    }

    package var allocated: Int
    package var cooling: Int
    package var held: Int
    package var free: UInt128
    package var capacity: UInt128
    package var source: Source

    package init(allocated: Int, cooling: Int, held: Int, free: UInt128, capacity: UInt128, source: Source) {
        self.allocated = allocated
        self.cooling = cooling
        self.held = held
        self.free = free
        self.capacity = capacity
        self.source = source
    }

    /// Nil when the controller has not looked at the pool as it now is.
    package init?(statusOf pool: ValidatedPool) {
        guard let status = pool.status, status.observedGeneration == pool.generation,
            let allocated = status.allocated, let free = status.free
        else { return nil }
        let capacity = pool.usable.count
        // Beyond 2^63-1 the status cannot count.
        let used = UInt128(max(allocated + (status.cooling ?? 0) + (status.held ?? 0), 0))
        let exactFree = free == Int.max ? capacity - min(used, capacity) : UInt128(max(free, 0))
        self.init(
            allocated: allocated, cooling: status.cooling ?? 0, held: status.held ?? 0, free: exactFree,
            capacity: capacity, source: .status)
    }

    /// - Parameter states: Those of the allocations that name the pool. They count as lying in it.
    package init(counting states: some Sequence<AllocationState?>, in pool: ValidatedPool) {
        var tally = (allocated: 0, cooling: 0, held: 0)
        for state in states {
            switch state {
            case .cooling: tally.cooling += 1
            case .held: tally.held += 1
            case .bound, .fenced, nil: tally.allocated += 1
            }
        }
        let capacity = pool.usable.count
        let used = UInt128(tally.allocated + tally.cooling + tally.held)
        self.init(
            allocated: tally.allocated, cooling: tally.cooling, held: tally.held, free: capacity - min(used, capacity),
            capacity: capacity, source: .counted)
    }

    package var used: UInt128 { capacity - min(free, capacity) }
}

/// What `status` shows.
package struct StatusReport: Hashable, Sendable, Report {
    package struct Pool: Hashable, Sendable {
        package var entry: PoolEntry
        /// Nil for a pool that makes no sense.
        package var figures: PoolFigures?

        package init(_ entry: PoolEntry, _ figures: PoolFigures?) {
            self.entry = entry
            self.figures = figures
        }

        var isExhausted: Bool { figures.map { $0.free == 0 } ?? false }
    }

    /// Exhausted ones first, then the fuller ones.
    package private(set) var pools: [Pool]
    /// One sentence each.
    package private(set) var problems: [String]
    /// Of pools that are sliced, in the order of their names.
    package private(set) var blocks: [BlockSection]
    /// Nil where single pools were asked for.
    package private(set) var claims: ClaimSection?

    /// - Parameters:
    ///   - fenced: How many allocations are in the state Fenced.
    ///   - others: What is wrong beside the pools.
    package init(
        _ pools: [Pool], blocks: [ValidatedBlock] = [], claims: ClaimSection? = nil, fenced: Int = 0,
        others: [String] = []
    ) {
        self.pools = pools.sorted(by: Self.comesFirst)
        self.blocks = pools.compactMap(\.entry.valid).compactMap { BlockSection($0, blocks) }
            .sorted { $0.pool < $1.pool }
        self.claims = claims
        problems = self.pools.flatMap(Self.problems) + self.blocks.compactMap(\.problem)
        let counted = self.pools.filter { $0.figures?.source == .counted }.map(\.entry.name).sorted()
        if !counted.isEmpty {
            let more = counted.count > 5 ? " and \(counted.count - 5) more" : ""
            problems.append(
                "no status of the present generation, so that their allocations were counted just now: "
                    + counted.prefix(5).joined(separator: ", ") + more)
        }
        if fenced > 0 {
            let subject = fenced == 1 ? "1 address is" : "\(fenced) addresses are"
            problems.append(
                "\(subject) fenced: the nodes do not report, and may still use them"
                    + " (kubectl get ipallocations -l \(LabelKey.state)=Fenced)")
        }
        problems += claims?.problems ?? []
        problems += others
    }

    private static func comesFirst(_ a: Pool, _ b: Pool) -> Bool {
        let (x, y) = (rank(a), rank(b))
        if x.group != y.group { return x.group < y.group }
        if x.share != y.share { return x.share > y.share }
        return a.entry.name < b.entry.name
    }

    private static func rank(_ pool: Pool) -> (group: Int, share: Double) {
        guard let figures = pool.figures else { return (1, 0) }
        let share = figures.capacity == 0 ? 1 : Double(figures.used) / Double(figures.capacity)
        return (pool.isExhausted ? 0 : 2, share)
    }

    private static func problems(of pool: Pool) -> [String] {
        let name = "IPPool \(pool.entry.name)"
        var problems: [String] = []
        if case .failure(let problem) = pool.entry.validated { problems.append("\(name) is not valid: \(problem)") }
        if pool.isExhausted {
            let figures = pool.figures
            let cooling = figures.map { $0.cooling > 0 ? ", \($0.cooling) of them cooling" : "" } ?? ""
            problems.append("\(name) is exhausted: none of \(figures?.capacity ?? 0) addresses is free\(cooling)")
        }
        for condition in pool.entry.pool.status?.conditions ?? [] {
            switch (PoolCondition(rawValue: condition.type), condition.status) {
            case (.ready, .false) where condition.reason != "Invalid":
                problems.append("\(name) serves no new claims: \(condition.message)")
            case (.consistent, .false): problems.append("\(name): \(condition.message)")
            default: break
            }
        }
        if let quota = pool.entry.pool.spec.namespaceQuota, let used = pool.entry.pool.status?.namespacesAtQuota,
            !used.isEmpty
        {
            let named = used.prefix(5).map { "\($0.namespace) (\($0.used))" }.joined(separator: ", ")
            let more = used.count > 5 ? " and \(used.count - 5) more" : ""
            problems.append("\(name): at their quota of \(quota) (spec.namespaceQuota) are \(named)\(more)")
        }
        return problems
    }

    package func text(_ style: Style, isWide: Bool) -> String {
        var text = ""
        if pools.isEmpty {
            text = "There are no pools.\n"
        } else {
            var columns: [Table.Column] = [
                .init("POOL"), .init("SUBNET"), .init("USED"), .init("ALLOCATED", .right), .init("COOLING", .right),
                .init("HELD", .right), .init("FREE", .right), .init("CONDITIONS"),
            ]
            if isWide {
                columns += [
                    .init("CAPACITY", .right), .init("RESERVED", .right), .init("NETWORK"), .init("GATEWAY"),
                    .init("STRATEGY"),
                ]
            }
            text = Table(columns, rows: pools.map { row($0, style, isWide) }).rendered(style)
        }
        text += BlockSection.text(blocks, style, isWide: isWide) + (claims?.text ?? "")
        if !problems.isEmpty {
            text += "\n" + style.apply(.bold, to: "Problems:") + "\n"
            for problem in problems { text += "  " + style.apply(.yellow, to: "!") + " \(problem)\n" }
        }
        return text
    }

    private func row(_ pool: Pool, _ style: Style, _ isWide: Bool) -> [Cell] {
        let spec = pool.entry.pool.spec
        var cells: [Cell] = [Cell(pool.entry.name), Cell(spec.subnet)]
        if let figures = pool.figures {
            let tint: Tint = figures.free == 0 ? .red : figures.used * 10 >= figures.capacity * 8 ? .yellow : .green
            cells += [
                Cell(Figures.bar(used: figures.used, of: figures.capacity, style), tint),
                "\(figures.allocated)", "\(figures.cooling)", "\(figures.held)", "\(figures.free)",
            ]
        } else {
            cells += ["", "", "", "", ""]
        }
        let conditions = Self.conditions(pool)
        cells.append(Cell(conditions, conditions == "Ready" ? nil : .red))
        if isWide {
            cells += [
                Cell(pool.figures.map { "\($0.capacity)" } ?? ""),
                Cell(pool.entry.valid.map { "\($0.reservedCount)" } ?? ""), Cell(spec.network),
                Cell(spec.gateway ?? ""),
                Cell(spec.strategy.rawValue),
            ]
        }
        return cells
    }

    /// The conditions that say something, by their reasons where they are bad.
    private static func conditions(_ pool: Pool) -> String {
        var texts: [String] = []
        let isBeingDeleted = pool.entry.pool.metadata.isBeingDeleted
        // The controller may not have written it yet.
        if isBeingDeleted { texts.append("Deleting") }
        if case .failure = pool.entry.validated { texts.append("Invalid") }
        if pool.isExhausted { texts.append("Exhausted") }
        for condition in pool.entry.pool.status?.conditions ?? [] {
            switch (PoolCondition(rawValue: condition.type), condition.status) {
            case (.ready, .true): if !pool.isExhausted, !isBeingDeleted { texts.append("Ready") }
            case (.ready, .false):
                if condition.reason != "Invalid", !texts.contains(condition.reason) { texts.append(condition.reason) }
            case (.consistent, .false): texts.append("Inconsistent")
            default: break
            }
        }
        return texts.joined(separator: ",")
    }

    package var json: JSON {
        var json: JSON = ["pools": .array(pools.map(Self.json)), "problems": .strings(problems)]
        if !blocks.isEmpty { json["nodeBlocks"] = .array(blocks.map(\.json)) }
        json["claims"] = claims?.json
        return json
    }

    private static func json(_ pool: Pool) -> JSON {
        let spec = pool.entry.pool.spec
        var json: JSON = ["name": .string(pool.entry.name), "subnet": .string(spec.subnet)]
        if !spec.network.isEmpty { json["network"] = .string(spec.network) }
        if let figures = pool.figures {
            json["capacity"] = .int(figures.capacity)
            json["allocated"] = .int(figures.allocated)
            json["cooling"] = .int(figures.cooling)
            json["held"] = .int(figures.held)
            json["free"] = .int(figures.free)
            json["source"] = .string(figures.source.rawValue)
            json["reserved"] = pool.entry.valid.map { .int($0.reservedCount) }
        }
        json["exhausted"] = .bool(pool.isExhausted)
        json["conditions"] = .array((pool.entry.pool.status?.conditions ?? []).map(\.json))
        return json
    }

    package var names: [String] { pools.map { ObjectText.pool($0.entry.name) } }
}
