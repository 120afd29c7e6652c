import IPAMAPI
import IPAMEngine
import JSONText
import KubernetesClient
import KubernetesCore

extension ClusterReader {
    /// What `status` shows.
    ///
    /// - Parameters:
    ///   - systemNamespace: Of the controller, which may be in another one.
    ///   - poolNames: Empty for all.
    ///   - wallClock: Seconds since 1970, for who leads.
    package func status(
        systemNamespace: String, poolNames: [String] = [], wallClock: Int64
    ) throws -> StatusReport {
        var entries = try ruledPools()
        for name in poolNames where !entries.contains(where: { $0.name == name }) {
            throw ConsoleError.noPool(name, known: entries.map(\.name))
        }
        if !poolNames.isEmpty { entries.removeAll { !poolNames.contains($0.name) } }
        let pools = try entries.map { entry in
            try StatusReport.Pool(entry, entry.valid.map { try figures(of: $0) })
        }
        let fenced = try list(
            .ipAllocations,
            options: ListOptions(
                labelSelector: "\(LabelKey.state)=\(AllocationState.fenced.rawValue)", form: .metadata)
        ) { $0["metadata"]?["labels"]?[LabelKey.pool]?.string }
        let names = Set(entries.map { LabelValue.fitting($0.name) })
        let isSliced = entries.contains { $0.pool.spec.nodeBlocks != nil }
        return StatusReport(
            pools, blocks: isSliced ? try blocks() : [], claims: poolNames.isEmpty ? claimSection() : nil,
            fenced: poolNames.isEmpty ? fenced.count : fenced.count { names.contains($0) },
            others: controllerProblems(systemNamespace, wallClock)
                + (poolNames.isEmpty ? try reservationProblems() : []))
    }

    /// Who may not read claims is told nothing of them.
    private func claimSection() -> ClaimSection? {
        guard let claims = try? claims() else { return nil }
        guard !claims.isEmpty else { return ClaimSection([], states: [:]) }
        let options = ListOptions(labelSelector: LabelKey.claim, form: .metadata)
        let kept = try? list(.ipAllocations, options: options) { json -> (String, AllocationState)? in
            let labels = json["metadata"]?["labels"]
            guard let uid = labels?[LabelKey.claim]?.string else { return nil }
            // A missing label counts as the state that takes the address.
            return (uid, labels?[LabelKey.state]?.string.flatMap { AllocationState(rawValue: $0) } ?? .bound)
        }
        return ClaimSection(claims, states: Dictionary(grouping: kept ?? [], by: \.0).mapValues { $0.map(\.1) })
    }

    private func reservationProblems() throws -> [String] {
        let unenforced = try unenforcedReservations()
        let rest = unenforced.count - 5
        return unenforced.prefix(5) + (rest > 0 ? ["\(Figures.count(rest, "more IPReservation")) not enforced"] : [])
    }

    private func figures(of pool: ValidatedPool) throws -> PoolFigures {
        if let figures = PoolFigures(statusOf: pool) { return figures }
        let selector = "\(LabelKey.pool)=\(LabelValue.fitting(pool.name))"
        let states = try list(
            .ipAllocations, options: ListOptions(labelSelector: selector, form: .metadata)
        ) { json -> AllocationState? in
            // A missing label counts as the state that takes the address.
            json["metadata"]?["labels"]?[LabelKey.state]?.string.flatMap { AllocationState(rawValue: $0) } ?? .bound
        }
        return PoolFigures(counting: states, in: pool)
    }

    /// Who may not read Leases is told nothing of the controller.
    private func controllerProblems(_ systemNamespace: String, _ wallClock: Int64) -> [String] {
        let sighting = try? controller(systemNamespace: systemNamespace, wallClock: wallClock)
        return sighting?.problem.map { [$0] } ?? []
    }
}

extension ConsoleError {
    static func noPool(_ name: String, known: [String]) -> ConsoleError {
        let near = known.sorted().prefix(10).joined(separator: ", ")
        return ConsoleError(
            "there is no IPPool \"\(name)\"",
            remedy: known.isEmpty ? "there are no pools at all" : "there is \(near)\(known.count > 10 ? ", …" : "")")
    }
}
