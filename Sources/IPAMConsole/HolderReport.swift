package import IPAMAPI
package import IPAMEngine
package import IPAddressing
package import JSONText
package import KubernetesCore

/// Who has an address, and why.
package struct Holder: Hashable, Sendable {
    package var entry: LedgerEntry
    /// Why it is in its state, and what will happen to it.
    package var why: String
    /// What disagrees with the cluster.
    package var problems: [String]

    package init(_ entry: LedgerEntry, why: String, problems: [String] = []) {
        self.entry = entry
        self.why = why
        self.problems = problems
    }

    /// Explains a state by what was read of the holder's pod and node.
    ///
    /// - Parameter wallClock: Seconds since 1970, for ages.
    package static func why(_ entry: LedgerEntry, _ facts: ReclaimFacts, now: Moment, wallClock: Int64) -> String {
        let record = entry.record
        if record.isBeingDeleted { return "its object is being deleted; finalizers keep it" }
        switch record.state {
        case .cooling: return cooling(entry, wallClock)
        case .held: return "kept for \(entry.holderText)"
        case .bound, .fenced: break
        }
        if record.origin == .manual { return "entered by hand; nothing frees it but you" }
        var judge = LeakJudge(gracePeriod: .zero)
        switch judge.judge(record, facts, now: now) {
        case .releasable(let reason): return "\(reason.explanation); berth-controller frees it after its grace period"
        case .some(let verdict): return verdict.message
        case nil: break
        }
        if record.state == .fenced {
            return facts.nodeReports
                ? "its node reports again; berth-controller takes the fence away"
                : "its node does not report; kept until that is back, deleted or out of service"
        }
        switch (record.origin, facts.pod) {
        case (.container, _): return "a container that is no pod; kept until its DEL, or its node's end"
        case (.static, .absent): return "a static pod; a missing mirror pod says nothing"
        case (_, .present) where record.migratedFrom != nil:
            return "the pod is there; a virtual machine has migrated, or migrates, to it from pod"
                + " \(record.migratedFrom?.pod ?? "")"
        case (_, .present): return facts.nodeReports ? "the pod is there" : "the pod is there; its node does not report"
        case (_, .absent), (_, .finished): return "kept: nothing proves that its sandbox is gone"
        }
    }

    private static func cooling(_ entry: LedgerEntry, _ wallClock: Int64) -> String {
        let seconds = entry.record.cooldownSeconds
        guard let released = entry.releasedAt.flatMap(Timestamp.parse) else {
            return "released; rests for \(DurationText.text(seconds: seconds))"
        }
        let age = max(wallClock - released, 0)
        if age > Int64(seconds) + 60 {
            return
                "released \(Figures.age(seconds: age)) ago; its rest is over, and berth-controller has not deleted it"
        }
        return "released \(Figures.age(seconds: age)) ago; rests for \(DurationText.text(seconds: seconds))"
    }

    package var json: JSON {
        let record = entry.record
        var json: JSON = [
            "name": .string(entry.name), "address": .string("\(record.address)"), "network": .string(record.network),
            "pool": .string(record.pool), "state": .string(record.state.rawValue),
            "origin": .string(record.origin.rawValue),
        ]
        if !record.node.isEmpty { json["node"] = .string(record.node) }
        json["pod"] = record.pod?.json
        json["attachment"] = entry.attachment?.json
        json["claim"] = entry.claim?.json
        json["claimedAt"] = entry.claimedAt.map { .string($0) }
        json["releasedAt"] = entry.releasedAt.map { .string($0) }
        json["why"] = .string(why)
        if !problems.isEmpty { json["problems"] = .strings(problems) }
        return json
    }
}

extension ReclaimFacts {
    fileprivate var nodeReports: Bool {
        if agent == .reports { return true }
        guard agent == .none, case .present(_, _, let isReady, _) = node else { return false }
        return isReady
    }
}

/// Where an address lies that nobody holds.
package struct Vacancy: Hashable, Sendable {
    package var address: IPAddress
    package var network: String
    /// Nil in no pool.
    package var pool: String?
    package var isUsable: Bool
    /// A predicate of the address.
    package var explanation: String

    /// One for each pool whose subnet contains the address; one that says that there is none.
    package static func vacancies(
        of address: IPAddress, network: String?, pools: [PoolEntry], reservations: [ValidatedReservation] = []
    ) -> [Vacancy] {
        let near = pools.sorted { $0.name < $1.name }.compactMap { entry in entry.valid.map { (entry, $0) } }.filter {
            $0.1.subnet.contains(address) && (network == nil || network == $0.1.network)
        }
        guard !near.isEmpty else {
            return [
                Vacancy(
                    address: address, network: network ?? "", pool: nil, isUsable: false,
                    explanation: "is in the subnet of no pool")
            ]
        }
        return near.map { entry, pool in
            let isUsable = pool.usable.contains(address)
            let place = pool.network.isEmpty ? "" : " (network \(pool.network))"
            let what =
                isUsable
                ? pool.refusal.map { "is free in IPPool \(pool.name)\(place), which \($0)" }
                    ?? "is free in IPPool \(pool.name)\(place)"
                : unusable(address, entry, pool, place, reservations)
            return Vacancy(
                address: address, network: pool.network, pool: pool.name, isUsable: isUsable, explanation: what)
        }
    }

    private static func unusable(
        _ address: IPAddress, _ entry: PoolEntry, _ pool: ValidatedPool, _ place: String,
        _ reservations: [ValidatedReservation]
    ) -> String {
        let ours = reservations.filter {
            $0.isAbout(pool: pool.name, network: pool.network) && $0.addresses(address.family).contains(address)
        }
        guard !ours.isEmpty, pool.configured.contains(address) else {
            let exclusion = address == pool.gateway ? nil : entry.exclusion(of: address)
            return "is never given: IPPool \(pool.name)\(place) \(exclusion ?? pool.reasonForLacking(address))"
        }
        let titles = ours.map(\.title).sorted().joined(separator: "; ")
        return "is reserved in IPPool \(pool.name)\(place) by \(titles)"
    }

    package var json: JSON {
        var json: JSON = ["address": .string("\(address)"), "network": .string(network)]
        json["pool"] = pool.map { .string($0) }
        json["usable"] = .bool(isUsable)
        json["message"] = .string("\(address) \(explanation)")
        return json
    }
}

/// What `who` shows.
package struct HolderReport: Hashable, Sendable, Report {
    package var holders: [Holder]
    /// The IPClaims that were asked for; what is kept for them are the holders.
    package var claims: [ClaimSummary] = []
    package var vacancies: [Vacancy]
    /// Whole sentences, of what was asked for and not found, or cannot be read.
    package var notes: [String]
    /// Seconds since 1970.
    package var wallClock: Int64

    package init(_ holders: [Holder], vacancies: [Vacancy] = [], notes: [String] = [], wallClock: Int64) {
        func isLess(_ a: Holder, _ b: Holder) -> Bool {
            let (x, y) = (a.entry.record, b.entry.record)
            return (x.network, x.address) < (y.network, y.address)
        }
        self.holders = holders.sorted(by: isLess)
        self.vacancies = vacancies
        self.notes = notes
        self.wallClock = wallClock
    }

    package func text(_ style: Style, isWide: Bool) -> String {
        var text = claims.map { $0.text(style) }.joined()
        if holders.count == 1, claims.isEmpty, let holder = holders.first, !isWide {
            text += detail(holder, style)
        } else if !holders.isEmpty {
            text += table(style, isWide)
            for holder in holders {
                for problem in holder.problems {
                    text += "\(style.apply(.yellow, to: "!")) \(holder.entry.record.address): \(problem)\n"
                }
            }
        }
        for vacancy in vacancies { text += "\(vacancy.address) \(vacancy.explanation)\n" }
        for note in notes { text += "\(note)\n" }
        return text
    }

    private func detail(_ holder: Holder, _ style: Style) -> String {
        let (entry, record) = (holder.entry, holder.entry.record)
        let network = record.network.isEmpty ? "" : " in network \(record.network)"
        let verb = entry.attachment == nil ? "had by" : "held by"
        var lines: [(String, String)] = [("State", state(entry)), ("Why", holder.why), ("Pool", record.pool)]
        if !record.node.isEmpty { lines.append(("Node", record.node)) }
        if let attachment = entry.attachment {
            lines.append(("Interface", "\(attachment.interface) in CNI network \(attachment.networkName)"))
            lines.append(("Container", attachment.containerID))
        }
        if let claim = entry.claim { lines.append(("Claim", "\(claim.namespace)/\(claim.name)")) }
        for problem in holder.problems { lines.append(("Problem", problem)) }
        var text = style.apply(.bold, to: "\(record.address)") + "\(network): \(verb) \(entry.holderText)\n"
        for (name, value) in lines {
            text += "  " + style.apply(.dim, to: name) + String(repeating: " ", count: 12 - name.count) + "\(value)\n"
        }
        return text
    }

    private func state(_ entry: LedgerEntry) -> String {
        let since = entry.record.state == .cooling ? entry.releasedAt : entry.claimedAt
        guard let since, let age = age(since) else { return entry.record.state.rawValue }
        return "\(entry.record.state.rawValue), for \(age) (since \(since))"
    }

    private func age(_ timestamp: String?) -> String? {
        timestamp.flatMap(Timestamp.parse).map { Figures.age(seconds: wallClock - $0) }
    }

    private func table(_ style: Style, _ isWide: Bool) -> String {
        let hasNetworks = isWide || holders.contains { !$0.entry.record.network.isEmpty }
        var columns: [Table.Column] = [
            .init("ADDRESS"), .init("POOL"), .init("STATE"), .init("SINCE"), .init("POD"), .init("NODE"),
            .init("INTERFACE"),
        ]
        if hasNetworks { columns.append(.init("NETWORK")) }
        if isWide { columns += [.init("CONTAINER"), .init("CLAIM")] }
        columns.append(.init("WHY"))
        let rows = holders.map { holder -> [Cell] in
            let (entry, record) = (holder.entry, holder.entry.record)
            let tint: Tint? =
                switch record.state {
                case .bound: nil
                case .fenced: .red
                case .cooling, .held: .dim
                }
            var cells: [Cell] = [
                "\(record.address)", Cell(record.pool), Cell(record.state.rawValue, tint),
                Cell(age(record.state == .cooling ? entry.releasedAt : entry.claimedAt) ?? ""),
                Cell(entry.podKey?.description ?? ""), Cell(record.node), Cell(entry.attachment?.interface ?? ""),
            ]
            if hasNetworks { cells.append(Cell(record.network)) }
            if isWide {
                cells += [
                    Cell(entry.attachment?.containerID ?? ""),
                    Cell(entry.claim.map { "\($0.namespace)/\($0.name)" } ?? ""),
                ]
            }
            return cells + [Cell(holder.why)]
        }
        return Table(columns, rows: rows).rendered(style)
    }

    package var json: JSON {
        var json: JSON = ["holders": .array(holders.map(\.json))]
        if !claims.isEmpty { json["claims"] = .array(claims.map(\.json)) }
        if !vacancies.isEmpty { json["free"] = .array(vacancies.map(\.json)) }
        if !notes.isEmpty { json["notes"] = .strings(notes) }
        return json
    }

    package var names: [String] { holders.map { ObjectText.allocation($0.entry.name) } }
}
