import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesClient
package import KubernetesCore

/// One `check`, from the lists to the proof.
///
/// Flow: lists of everything; what they show wrong, and who seems to be gone, is remembered. When somebody seems to be
/// gone, or what is wrong may be work in progress, the grace period passes. Then the objects that the suspicions are
/// about are read at the API server, and what still holds is found.
///
/// Guarantees: nothing is found that two looks did not show. A leak is releasable only by the rules of the controller.
///
/// Caveats: the controller returns blocks after minutes, so that those which it forgot are found only by a run whose
/// grace period is as long (``BlockCheck/returnTime``).
package struct CheckRun {
    private let reader: ClusterReader
    private let systemNamespace: String
    private let gracePeriod: Duration
    private var judge: LeakJudge
    private var picture = ClusterPicture()
    /// The holders that were suspected, by the names of their allocations.
    private var suspects: [String: AllocationRecord] = [:]
    private var first: [Finding] = []
    private var began: Moment

    package init(_ reader: ClusterReader, systemNamespace: String, gracePeriod: Duration) {
        self.reader = reader
        self.systemNamespace = systemNamespace
        self.gracePeriod = gracePeriod
        judge = LeakJudge(gracePeriod: gracePeriod)
        began = reader.now()
    }

    package var counts: CheckReport.Counts {
        CheckReport.Counts(
            allocations: picture.allocations.count + picture.unreadable.count, pools: picture.pools.count,
            pods: picture.pods.count, nodes: picture.nodes.count, claims: picture.claims?.count ?? 0,
            blocks: picture.blocks?.count ?? 0)
    }

    /// Why nothing is released, and what helps; nil when the nodes' agents are known.
    package var refusal: ConsoleError? {
        picture.agents.blindness.map {
            ConsoleError("refused to release anything: \($0.problem)", remedy: $0.remedy)
        }
    }

    /// Reads everything. Until when to wait before ``secondLook()``; nil when nothing is suspected.
    ///
    /// - Parameter pools: Only the allocations that name one of these are looked at; empty for all.
    package mutating func firstLook(pools: [String] = []) throws -> Moment? {
        let poolEntries = try reader.pools()
        for name in pools where !poolEntries.contains(where: { $0.name == name }) {
            throw ConsoleError.noPool(name, known: poolEntries.map(\.name))
        }
        let agents = try reader.agents(systemNamespace: systemNamespace)
        picture = ClusterPicture(
            try reader.ledger(), pools: poolEntries, pods: try reader.pods(), nodes: try reader.nodes(),
            agents: agents, claims: try reader.claimEntries(), blocks: try reader.blockEntries())
        let now = reader.now()
        began = now
        let isConcerned: (String) -> Bool = { pools.isEmpty || pools.contains($0) }
        first = LedgerCheck.findings(in: picture).filter {
            isConcerned($0.pool) && (!$0.isReturned || gracePeriod >= BlockCheck.returnTime)
        }
        for entry in picture.allocations.values where isConcerned(entry.record.pool) {
            let facts = picture.facts(about: entry.record, now: now)
            if judge.suspect(entry.record, facts, now: now) != nil { suspects[entry.name] = entry.record }
        }
        if suspects.isEmpty, !first.contains(where: \.mayBeUnderWay) { return first.isEmpty ? nil : now }
        return now + max(gracePeriod, agentsPatience)
    }

    /// A Node that is gone may have an agent that still reports: that shows only when its Lease should have been renewed.
    private var agentsPatience: Duration {
        let nodes = Set(suspects.values.map(\.node)).filter { picture.nodes[$0] == nil }
        return nodes.compactMap { picture.agents.patience(node: $0) }.max() ?? .zero
    }

    /// What still holds, by reads of the single objects.
    package mutating func secondLook() throws -> [Finding] {
        if first.isEmpty && suspects.isEmpty { return [] }
        // What is empty now only a list tells.
        if first.contains(where: \.isReturned) { picture.replaceLedger(with: try reader.ledger()) }
        let claims = Set(first.compactMap(\.claim))
        let ofClaims = picture.allocations.values.filter { $0.claim.map(claims.contains) ?? false }.map(\.name)
        try readAgain(suspects.keys + ofClaims, about: first)
        let known = Set(first.map(\.identity))
        let confirmed = LedgerCheck.findings(in: picture).filter { known.contains($0.identity) }
        return LedgerCheck.sorted(confirmed + leaks())
    }

    private mutating func leaks() -> [Finding] {
        let now = reader.now()
        return suspects.keys.compactMap { name in
            guard let entry = picture.allocations[name], let verdict = verdict(about: entry, now: now) else {
                return nil
            }
            return Finding(.leak(verdict), entry, verdict.message)
        }
    }

    private mutating func verdict(about entry: LedgerEntry, now: Moment) -> LeakVerdict? {
        let verdict = judge.judge(entry.record, picture.facts(about: entry.record, now: now), now: now)
        // Whoever came to the address meanwhile is not suspected for as long yet.
        if case .tooEarly = verdict, let known = suspects[entry.name],
            known.pod != entry.record.pod || known.attachmentDigest != entry.record.attachmentDigest
        {
            return nil
        }
        return verdict
    }

    /// Puts what the API server has now in the place of what lists showed.
    ///
    /// Allocations come first, then their claims and blocks, then pods: an allocation names what was there before it was
    /// read, and nobody takes over from a pod that was there to the end.
    ///
    /// - Parameter others: Names of allocations beside those that the findings are about.
    private mutating func readAgain(_ others: [String] = [], about findings: [Finding]) throws {
        let names = Set(findings.map(\.allocation) + others).subtracting([""]).sorted()
        let found = try reader.read(names.map { .get(.ipAllocations, name: $0) }, what: "allocations again")
        for (name, json) in zip(names, found) {
            picture.replace(name, with: json.map { LedgerObject($0, sharing: StringPool()) })
        }
        let entries = names.compactMap { picture.allocations[$0] }
        // The other one of a pair.
        for name in Set(names.compactMap { picture.unreadable[$0]?.rightName }).subtracting(names) {
            picture.replace(name, with: try reader.allocation(name))
        }
        try readClaimsAgain(findings.compactMap(\.claim))
        if findings.contains(where: \.isAboutBlocks) { picture.blocks = try reader.blockEntries() }
        let keys = Set(
            findings.compactMap(\.pod) + entries.compactMap(\.podKey) + entries.compactMap(\.migrationSource)
        ).sorted()
        let podJSON = try reader.read(
            keys.map { .get(.pods, namespace: $0.namespace, name: $0.name) }, what: "pods again")
        for (key, json) in zip(keys, podJSON) { picture.pods[key] = try json.map { try PodEntry($0) } }
        let nodes = Set(entries.map(\.record.node) + findings.map(\.node)).subtracting([""]).sorted()
        let nodeJSON = try reader.read(nodes.map { .get(.nodes, name: $0) }, what: "nodes again")
        for (name, json) in zip(nodes, nodeJSON) { picture.nodes[name] = json.map(ClusterReader.nodeFact) }
        picture.pools = Dictionary(try reader.pools().map { ($0.name, $0) }) { $1 }
        picture.agents = try reader.agents(systemNamespace: systemNamespace, earlier: picture.agents)
    }

    private mutating func readClaimsAgain(_ claims: [ClaimReference]) throws {
        let keys = Set(claims.map(PodKey.init)).sorted()
        let found = try reader.read(
            keys.map { .get(.ipClaims, namespace: $0.namespace, name: $0.name) }, what: "claims again")
        for (key, json) in zip(keys, found) { picture.claims?[key] = json.map { ClaimEntry($0) } }
    }

    // MARK: Fixing

    /// Releases proven leaks: each is proved anew by reads made just before the write, which is conditional on the
    /// version that was judged.
    ///
    /// - Throws: ``refusal``, and failures of reads. Those of writes are among the outcomes.
    package mutating func release(_ findings: [Finding], timestamp: String) throws -> [CheckReport.FixOutcome] {
        var outcomes: [CheckReport.FixOutcome] = []
        let fixable = findings.filter(\.isFixable)
        var start = 0
        while start < fixable.count {
            let batch = Array(fixable[start..<min(start + 32, fixable.count)])
            start += batch.count
            try readAgain(about: batch)
            if let refusal { throw refusal }
            for finding in batch {
                outcomes.append(.init(allocation: finding.allocation, result: release(finding, timestamp)))
            }
        }
        return outcomes
    }

    private mutating func release(_ finding: Finding, _ timestamp: String) -> CheckReport.FixOutcome.Result {
        guard let entry = picture.allocations[finding.allocation] else { return .left("it is gone") }
        guard let request = provenRelease(of: entry, finding, timestamp) else {
            return .left("\(entry.holderText): the proof no longer holds")
        }
        do throws(APIError) {
            _ = try reader.client.perform(request, deadline: reader.deadline)
            return .released
        } catch {
            if error.isConflict || error.isNotFound || error.namesAnotherObject {
                return .left("somebody changed it at the same time")
            }
            return .failed("\(error)")
        }
    }

    private mutating func provenRelease(
        of entry: LedgerEntry, _ finding: Finding, _ timestamp: String
    ) -> APIRequest? {
        if case .claimMissing = finding.kind {
            let isStill = ClaimCheck.missing(entry, picture)?.identity == finding.identity
            return isStill ? entry.abandonRequest : nil
        }
        guard case .releasable = verdict(about: entry, now: reader.now()) else { return nil }
        return entry.releaseRequest(at: timestamp)
    }
}

extension LeakVerdict {
    /// A sentence.
    package var message: String {
        let cause = reason.explanation
        switch self {
        case .releasable: return cause
        case .agentDecides: return "\(cause); the node's agent frees it when the sandbox is dead"
        case .nodeIsSilent: return "\(cause); its node does not report and may still use it"
        case .tooEarly: return "\(cause), since a moment ago"
        }
    }
}
