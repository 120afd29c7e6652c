import IPAMAPI
package import IPAMEngine
package import JSONText
package import KubernetesCore

/// Whether a person may take an address from its holder.
package enum ReleaseDecision: Hashable, Sendable {
    /// Nobody can use it any more, or it is the person's own to tell.
    case allowed(String)
    /// Somebody may use it.
    case needsForce(String)

    package init(_ entry: LedgerEntry, _ facts: ReclaimFacts, now: Moment) {
        let record = entry.record
        switch record.state {
        case .cooling:
            self = .allowed("it was released, and rests")
            return
        case .held:
            self = .needsForce("it is kept for \(entry.holderText)")
            return
        case .bound, .fenced: break
        }
        if record.origin == .manual {
            self = .allowed("it was entered by hand")
            return
        }
        var judge = LeakJudge(gracePeriod: .zero)
        switch judge.judge(record, facts, now: now) {
        case .releasable(let reason): self = .allowed(reason.explanation)
        case .some(let verdict): self = .needsForce(verdict.message)
        case nil:
            if case .present = facts.pod {
                self = .needsForce("\(entry.holderText) is there and may use it")
            } else {
                self = .needsForce("nothing proves that \(entry.holderText) is gone")
            }
        }
    }
}

extension ClusterReader {
    /// An allocation with what may be done to it, by reads of its pod and node; nil when there is none.
    package func releaseDecision(
        _ name: String, systemNamespace: String
    ) throws -> (LedgerEntry, ReleaseDecision)? {
        switch try allocation(name) {
        case nil: return nil
        case .unreadable(let allocation):
            throw ConsoleError(
                "allocation \(name) cannot be understood: \(allocation.problem)",
                remedy: "see what it is, then: kubectl delete ipallocation \(name)")
        case .entry(let entry):
            var picture = ClusterPicture()
            if let key = entry.podKey { picture.pods[key] = try pod(key) }
            if !entry.record.node.isEmpty { picture.nodes[entry.record.node] = try node(entry.record.node) }
            picture.agents = try agents(namespace: systemNamespace)
            let now = now()
            return (entry, ReleaseDecision(entry, picture.facts(about: entry.record, now: now), now: now))
        }
    }
}

/// What `release` shows.
package struct ReleaseReport: Hashable, Sendable, Report {
    package var entry: LedgerEntry

    package init(_ entry: LedgerEntry) { self.entry = entry }

    private var outcome: String {
        let record = entry.record
        if record.state == .cooling || record.origin == .manual || (entry.claim == nil && record.cooldownSeconds == 0) {
            return "is free"
        }
        return entry.claim == nil
            ? "rests for \(DurationText.text(seconds: record.cooldownSeconds))" : "is kept for its claim"
    }

    package func text(_ style: Style, isWide: Bool) -> String { "released \(entry.name): it \(outcome)\n" }
    package var json: JSON {
        ["allocation": .string(entry.name), "result": "Released", "message": .string("it \(outcome)")]
    }
    package var names: [String] { [ObjectText.allocation(entry.name)] }
}
