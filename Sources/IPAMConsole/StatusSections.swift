package import IPAMAPI
package import IPAMEngine
import IPAddressing
import JSONText
import KubernetesCore

/// How a sliced pool is shared out among the nodes, as `status` shows it.
package struct BlockSection: Hashable, Sendable {
    package struct Node: Hashable, Sendable {
        package var name: String
        package var used: Int
        package var releasing: Int
        /// Of both those that somebody assigned.
        package var byHand: Int
    }

    package var pool: String
    package var prefixLength: Int
    package var tally: BlockTally
    package var allowsBorrowing: Bool
    /// By name.
    package var nodes: [Node]

    /// Nil for a pool that is not sliced.
    package init?(_ pool: ValidatedPool, _ blocks: [ValidatedBlock]) {
        guard let nodeBlocks = pool.nodeBlocks, let tally = BlockTally(pool, blocks) else { return nil }
        self.pool = pool.name
        prefixLength = nodeBlocks.prefixLength
        self.tally = tally
        allowsBorrowing = nodeBlocks.borrowing
        let own = Dictionary(grouping: blocks.filter { $0.isPart(of: pool) }, by: \.spec.node)
        nodes = own.map { name, blocks in
            let releasing = blocks.count { $0.spec.state == .releasing }
            return Node(
                name: name, used: blocks.count - releasing, releasing: releasing,
                byHand: blocks.count { $0.spec.machineID.isEmpty })
        }.sorted { $0.name < $1.name }
    }

    var problem: String? {
        guard tally.free == 0 else { return nil }
        let rest = allowsBorrowing ? "; nodes borrow from each other" : ": a node without one gets no address"
        return "IPPool \(pool) has no free block of /\(prefixLength)\(rest)"
    }

    static func text(_ sections: [BlockSection], _ style: Style, isWide: Bool) -> String {
        guard !sections.isEmpty else { return "" }
        if isWide {
            let columns: [Table.Column] = [
                .init("BLOCKS OF"), .init("NODE"), .init("USED", .right), .init("RELEASING", .right),
                .init("BY HAND", .right),
            ]
            let rows = sections.flatMap { section in
                section.nodes.map { node -> [Cell] in
                    [
                        Cell(section.pool), Cell(node.name), "\(node.used)", "\(node.releasing)", "\(node.byHand)",
                    ]
                }
            }
            return "\n" + Table(columns, rows: rows).rendered(style)
        }
        let columns: [Table.Column] = [
            .init("BLOCKS OF"), .init("SIZE"), .init("USED", .right), .init("RELEASING", .right),
            .init("FREE", .right), .init("TOTAL", .right), .init("NODES", .right),
        ]
        let rows = sections.map { section -> [Cell] in
            let tally = section.tally
            return [
                Cell(section.pool), "/\(section.prefixLength)", "\(tally.used)", "\(tally.releasing)",
                Cell("\(tally.free)", tally.free == 0 ? .red : nil), "\(tally.total)", "\(section.nodes.count)",
            ]
        }
        return "\n" + Table(columns, rows: rows).rendered(style)
    }

    var json: JSON {
        [
            "pool": .string(pool), "prefixLength": .int(prefixLength), "used": .int(tally.used),
            "releasing": .int(tally.releasing), "free": .int(tally.free), "total": .int(tally.total),
            "borrowing": .bool(allowsBorrowing),
            "nodes": .array(
                nodes.map {
                    [
                        "name": .string($0.name), "used": .int($0.used), "releasing": .int($0.releasing),
                        "byHand": .int($0.byHand),
                    ]
                }),
        ]
    }
}

/// How many IPClaims there are, as `status` shows it.
package struct ClaimSection: Hashable, Sendable {
    private static let maximumNamed = 5

    package var counts: [ClaimPhase: Int] = [:]
    /// One sentence for each that does not get what it asks for.
    package var unmet: [String] = []

    /// - Parameter states: Those of the allocations of a claim, by the label value of its UID.
    package init(_ claims: [IPClaim], states: [String: [AllocationState]]) {
        for claim in claims.sorted(by: { ($0.namespace, $0.metadata.name) < ($1.namespace, $1.metadata.name) }) {
            counts[ClaimPhase(claim, states: states[LabelValue.fitting(claim.metadata.uid)] ?? []), default: 0] += 1
            if let condition = claim.unmetCondition {
                unmet.append("IPClaim \(claim.namespace)/\(claim.metadata.name): \(condition.message)")
            }
        }
    }

    var problems: [String] {
        let rest = unmet.count - Self.maximumNamed
        return unmet.prefix(Self.maximumNamed)
            + (rest > 0 ? ["\(Figures.count(rest, "more IPClaim")) without an address that they ask for"] : [])
    }

    var text: String {
        guard !counts.isEmpty else { return "" }
        let parts = ClaimPhase.allCases.compactMap { phase in
            counts[phase].map { "\($0) \(phase.rawValue.lowercased())" }
        }
        return "\nIPClaims: \(parts.joined(separator: ", "))\n"
    }

    var json: JSON {
        var json: JSON = [:]
        for phase in ClaimPhase.allCases { json[phase.rawValue.lowercased()] = .int(counts[phase] ?? 0) }
        return json
    }
}
