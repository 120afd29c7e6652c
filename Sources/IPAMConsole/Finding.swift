package import IPAMAPI
import IPAMEngine
package import JSONText

/// Something that `check` found wrong.
package struct Finding: Hashable, Sendable {
    package enum Category: String, Hashable, Sendable, CaseIterable {
        /// Two may use one address.
        case duplicate = "Duplicate"
        /// An address is kept by nobody.
        case leak = "Leak"
        /// The ledger says what cannot be.
        case stranger = "Stranger"
    }

    package enum Kind: Hashable, Sendable {
        /// Two objects name one address of one network.
        case sameAddressTwice
        /// A pod has an address that the ledger gives to somebody else.
        case addressOfAnother
        /// A pod has an address that the ledger says is released.
        case addressReleased
        /// The ledger gives a pod an address that the pod does not have.
        case addressNotInPod
        case leak(LeakVerdict)
        case outsidePool
        case poolMissing
        case otherPoolUID
        /// The object's name is not that of its address.
        case wrongName
        case unreadable
        case labelsDisagree
        /// A pod has an address of a pool that the ledger does not know.
        case unknownAddress
        /// An address is kept for an IPClaim that is gone.
        case claimMissing
        /// Somebody has an address of an IPClaim that another one holds.
        case claimDisagrees
        /// Somebody has an address of a sliced pool that is in no block of its node.
        case outsideBlocks
        case blocksOverlap
        /// - Parameter isReturned: The controller deletes it once it has been empty for long enough.
        case blockOfNoPool(isReturned: Bool)
        case blockOfNoNode(isReturned: Bool)
        case unreadableBlock
    }

    package var kind: Kind
    /// The name of the allocation that it is about, or that there should be; empty where it is about a block.
    package var allocation: String
    /// The name of the IPBlock that it is about, or empty.
    package var block = ""
    /// The IPClaim that the allocation names, where it is about that.
    package var claim: ClaimReference?
    package var address: String
    package var pool: String
    package var pod: PodKey?
    package var node: String
    package var message: String

    package init(
        _ kind: Kind, allocation: String, address: String = "", pool: String = "", pod: PodKey? = nil,
        node: String = "", message: String
    ) {
        self.kind = kind
        self.allocation = allocation
        self.address = address
        self.pool = pool
        self.pod = pod
        self.node = node
        self.message = message
    }

    init(_ kind: Kind, _ entry: LedgerEntry, pod: PodKey? = nil, _ message: String) {
        self.init(
            kind, allocation: entry.name, address: "\(entry.record.address)", pool: entry.record.pool,
            pod: pod ?? entry.podKey, node: entry.record.node, message: message)
    }

    init(_ kind: Kind, block: String, pool: String, node: String = "", _ message: String) {
        self.init(kind, allocation: "", pool: pool, node: node, message: message)
        self.block = block
    }

    package var category: Category {
        switch kind {
        case .sameAddressTwice, .addressOfAnother, .addressReleased, .addressNotInPod: .duplicate
        case .leak, .claimMissing: .leak
        case .outsidePool, .poolMissing, .otherPoolUID, .wrongName, .unreadable, .labelsDisagree, .unknownAddress,
            .claimDisagrees, .outsideBlocks, .blocksOverlap, .blockOfNoPool, .blockOfNoNode, .unreadableBlock:
            .stranger
        }
    }

    /// One word in CamelCase.
    package var reason: String {
        switch kind {
        case .sameAddressTwice: "SameAddressTwice"
        case .addressOfAnother: "AddressOfAnother"
        case .addressReleased: "AddressReleased"
        case .addressNotInPod: "AddressNotInPod"
        case .leak(let verdict): verdict.reason.rawValue
        case .outsidePool: "OutsidePool"
        case .poolMissing: "PoolMissing"
        case .otherPoolUID: "OtherPoolUID"
        case .wrongName: "WrongName"
        case .unreadable, .unreadableBlock: "Unreadable"
        case .labelsDisagree: "LabelsDisagree"
        case .unknownAddress: "UnknownAddress"
        case .claimMissing: "ClaimMissing"
        case .claimDisagrees: "ClaimDisagrees"
        case .outsideBlocks: "OutsideBlocks"
        case .blocksOverlap: "BlocksOverlap"
        case .blockOfNoPool: "BlockOfNoPool"
        case .blockOfNoNode: "BlockOfNoNode"
        }
    }

    /// `--fix` can free it.
    package var isFixable: Bool {
        switch kind {
        case .leak(.releasable), .claimMissing: true
        default: false
        }
    }

    /// It may be work in progress of the controller or a node, until the grace period has passed.
    var mayBeUnderWay: Bool {
        switch kind {
        case .claimMissing, .claimDisagrees, .outsideBlocks, .blocksOverlap, .blockOfNoPool, .blockOfNoNode: true
        default: false
        }
    }

    /// It is a block that the controller deletes once it has been empty for ``BlockCheck/returnTime``.
    var isReturned: Bool {
        switch kind {
        case .blockOfNoPool(let isReturned), .blockOfNoNode(let isReturned): isReturned
        default: false
        }
    }

    /// What tells two findings apart, whatever is known of them in detail.
    struct Identity: Hashable {
        var category: Category
        var reason: String
        var allocation: String
        var pod: PodKey?
        var block: String
        var claim: ClaimReference?
    }

    var identity: Identity {
        Identity(
            category: category, reason: reason, allocation: allocation, pod: pod, block: block, claim: claim)
    }

    /// The name of the object that it is about, with its kind where that is not an allocation.
    var object: String { block.isEmpty ? allocation : "ipblock/\(block)" }

    package var json: JSON {
        var json: JSON = ["category": .string(category.rawValue), "reason": .string(reason)]
        if !allocation.isEmpty { json["allocation"] = .string(allocation) }
        if !block.isEmpty { json["block"] = .string(block) }
        if !address.isEmpty { json["address"] = .string(address) }
        if !pool.isEmpty { json["pool"] = .string(pool) }
        if let pod { json["pod"] = ["namespace": .string(pod.namespace), "name": .string(pod.name)] }
        if !node.isEmpty { json["node"] = .string(node) }
        if let claim { json["claim"] = claim.json }
        json["message"] = .string(message)
        json["fixable"] = .bool(isFixable)
        return json
    }
}

/// What `check` shows.
package struct CheckReport: Hashable, Sendable, Report {
    package var findings: [Finding]
    /// What was looked at.
    package var counts: Counts
    /// What `--fix` did; nil without it.
    package var fixed: [FixOutcome]?

    package struct Counts: Hashable, Sendable {
        package var allocations: Int
        package var pools: Int
        package var pods: Int
        package var nodes: Int
        package var claims: Int
        package var blocks: Int

        package init(allocations: Int, pools: Int, pods: Int, nodes: Int, claims: Int = 0, blocks: Int = 0) {
            self.allocations = allocations
            self.pools = pools
            self.pods = pods
            self.nodes = nodes
            self.claims = claims
            self.blocks = blocks
        }

        /// Most clusters have neither claims nor blocks.
        fileprivate var text: String {
            var parts = [
                Figures.count(allocations, "allocation"), Figures.count(pools, "pool"), Figures.count(pods, "pod"),
                Figures.count(nodes, "node"),
            ]
            if claims > 0 { parts.append(Figures.count(claims, "claim")) }
            if blocks > 0 { parts.append(Figures.count(blocks, "block")) }
            return parts.joined(separator: ", ")
        }
    }

    /// What became of one proven leak.
    package struct FixOutcome: Hashable, Sendable {
        package enum Result: Hashable, Sendable {
            case released
            /// Somebody else changed it first, or the proof no longer held.
            case left(String)
            case failed(String)
        }

        package var allocation: String
        package var result: Result

        package init(allocation: String, result: Result) {
            self.allocation = allocation
            self.result = result
        }
    }

    package init(findings: [Finding], counts: Counts, fixed: [FixOutcome]? = nil) {
        self.findings = findings
        self.counts = counts
        self.fixed = fixed
    }

    /// Findings that are still there.
    package var remaining: [Finding] {
        let released = Set((fixed ?? []).filter { $0.result == .released }.map(\.allocation))
        return findings.filter { !($0.category == .leak && released.contains($0.allocation)) }
    }

    package func text(_ style: Style, isWide: Bool) -> String {
        var text = ""
        if !findings.isEmpty {
            var columns: [Table.Column] = [.init("FINDING"), .init("REASON"), .init("OBJECT"), .init("POD")]
            if isWide { columns += [.init("POOL"), .init("NODE")] }
            columns.append(.init("MESSAGE"))
            text = Table(columns, rows: findings.map { row($0, isWide) }).rendered(style) + "\n"
        }
        for outcome in fixed ?? [] {
            switch outcome.result {
            case .released: text += "released \(outcome.allocation)\n"
            case .left(let why): text += "left \(outcome.allocation): \(why)\n"
            case .failed(let why): text += "failed \(outcome.allocation): \(why)\n"
            }
        }
        return text + summary + "\n"
    }

    private func row(_ finding: Finding, _ isWide: Bool) -> [Cell] {
        let tint: Tint = finding.category == .duplicate ? .red : .yellow
        var cells: [Cell] = [
            Cell(finding.category.rawValue, tint), Cell(finding.reason), Cell(finding.object),
            Cell(finding.pod?.description ?? ""),
        ]
        if isWide { cells += [Cell(finding.pool), Cell(finding.node)] }
        cells.append(Cell(finding.message))
        return cells
    }

    /// The last line.
    package var summary: String {
        let looked = counts.text
        let rest = remaining
        guard !rest.isEmpty else {
            return fixed?.isEmpty == false ? "\(looked): everything found is mended" : "\(looked): all in order"
        }
        let parts = Finding.Category.allCases.compactMap { category -> String? in
            let count = rest.count { $0.category == category }
            return count == 0 ? nil : Figures.count(count, category.rawValue.lowercased())
        }
        let fixable = rest.count(where: \.isFixable)
        let hint = fixable > 0 && fixed == nil ? "; `kubectl berth check --fix` releases \(fixable)" : ""
        return "\(looked): \(parts.joined(separator: ", "))\(hint)"
    }

    package var json: JSON {
        var json: JSON = [
            "findings": .array(findings.map(\.json)),
            "checked": [
                "allocations": .int(counts.allocations), "pools": .int(counts.pools), "pods": .int(counts.pods),
                "nodes": .int(counts.nodes), "claims": .int(counts.claims), "blocks": .int(counts.blocks),
            ],
        ]
        guard let fixed else { return json }
        json["fixed"] = .array(
            fixed.map { outcome in
                var json: JSON = ["allocation": .string(outcome.allocation)]
                switch outcome.result {
                case .released: json["result"] = "Released"
                case .left(let why): (json["result"], json["message"]) = ("Left", .string(why))
                case .failed(let why): (json["result"], json["message"]) = ("Failed", .string(why))
                }
                return json
            })
        return json
    }

    package var names: [String] {
        var seen: Set<String> = []
        return findings.map {
            $0.block.isEmpty ? ObjectText.allocation($0.allocation) : ObjectText.block($0.block)
        }.filter { seen.insert($0).inserted }
    }
}
