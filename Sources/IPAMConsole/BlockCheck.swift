import IPAMAPI
import IPAMEngine
import IPAddressing
import KubernetesCore

/// Compares IPBlocks with one another, with pools and nodes, and with the ledger, by the rules of docs/blocks.md.
///
/// Guarantees: nothing is found that these allow. A block that a node made may be of a pool or a node that is gone until
/// the controller has returned it, which takes ``returnTime`` from when it is empty. What a claim keeps, or a pod
/// requests, is given within the blocks of its node alone, so that no address in use may lie elsewhere but where the pool
/// lends.
package enum BlockCheck {
    /// How long the controller takes at most to return a block that is empty: twice 150 seconds, and a little.
    package static let returnTime: Duration = .seconds(330)

    package static func findings(in picture: ClusterPicture) -> [Finding] {
        guard let entries = picture.blocks else { return [] }
        var findings: [Finding] = []
        var blocks: [ValidatedBlock] = []
        for entry in entries {
            switch entry.validated {
            case .success(let block) where block.metadata.isBeingDeleted: break
            case .success(let block): blocks.append(block)
            case .failure(let problem):
                findings.append(
                    Finding(
                        .unreadableBlock, block: entry.name, pool: entry.pool,
                        "nobody claims from it, for it cannot be understood: \(problem.text)"))
            }
        }
        findings += overlaps(among: blocks)
        findings += blocks.compactMap { poolless($0, picture) ?? nodeless($0, picture) }
        return findings + outside(of: blocks, picture)
    }

    // MARK: Blocks

    /// Of two that share an address one contains the other, so that those which a block overlaps are found beside it when
    /// all are in order: what contains it before, and what it contains after it.
    private static func overlaps(among blocks: [ValidatedBlock]) -> [Finding] {
        let sorted = blocks.sorted {
            ($0.spec.network, $0.cidr.address, $0.cidr.length) < ($1.spec.network, $1.cidr.address, $1.cidr.length)
        }
        var others: [String: [ValidatedBlock]] = [:]
        var open: [ValidatedBlock] = []
        for block in sorted {
            while let last = open.last, !last.overlaps(block) { open.removeLast() }
            for outer in open {
                others[outer.name, default: []].append(block)
                others[block.name, default: []].append(outer)
            }
            open.append(block)
        }
        return sorted.compactMap { block in
            guard let found = others[block.name], let other = found.first else { return nil }
            let more = found.count > 1 ? " (and \(found.count - 1) more)" : ""
            return finding(.blocksOverlap, block, "it overlaps \(other.reference)\(more): delete one of them")
        }
    }

    private static func poolless(_ block: ValidatedBlock, _ picture: ClusterPicture) -> Finding? {
        let spec = block.spec
        let problem: String
        if let pool = picture.pools[spec.pool] {
            if !spec.poolUID.isEmpty, spec.poolUID != pool.pool.metadata.uid {
                problem = "it belongs to an earlier IPPool \"\(spec.pool)\" of another UID"
            } else if let valid = pool.valid, !block.isPart(of: valid) {
                problem =
                    "it is no part of IPPool \"\(spec.pool)\": \(valid.subnet) in network \"\(valid.network)\""
            } else {
                return nil
            }
        } else {
            problem = "there is no IPPool \"\(spec.pool)\""
        }
        return unused(block, problem, picture) { .blockOfNoPool(isReturned: $0) }
    }

    private static func nodeless(_ block: ValidatedBlock, _ picture: ClusterPicture) -> Finding? {
        guard picture.nodes[block.spec.node] ?? .absent == .absent else { return nil }
        return unused(block, "there is no node \"\(block.spec.node)\"", picture) { .blockOfNoNode(isReturned: $0) }
    }

    /// One by hand nobody returns. Of one that a node made, the addresses in it are what is wrong until they are gone.
    private static func unused(
        _ block: ValidatedBlock, _ problem: String, _ picture: ClusterPicture, _ kind: (Bool) -> Finding.Kind
    ) -> Finding? {
        guard !block.spec.machineID.isEmpty else {
            return finding(kind(false), block, "\(problem), and a block by hand stays until somebody deletes it")
        }
        let isEmpty = !picture.allocations.values.contains {
            $0.record.pool == block.spec.pool && $0.record.network == block.spec.network
                && block.cidr.contains($0.record.address)
        }
        guard isEmpty else { return nil }
        return finding(kind(true), block, "\(problem), it is empty, and the controller has not returned it")
    }

    private static func finding(_ kind: Finding.Kind, _ block: ValidatedBlock, _ message: String) -> Finding {
        Finding(kind, block: block.name, pool: block.spec.pool, node: block.spec.node, message)
    }

    // MARK: Addresses

    private static func outside(of blocks: [ValidatedBlock], _ picture: ClusterPicture) -> [Finding] {
        let pools = picture.pools.values.compactMap(\.valid).filter { $0.nodeBlocks?.borrowing == false }
        let sliced = Dictionary(pools.map { ($0.name, $0) }) { $1 }
        guard !sliced.isEmpty else { return [] }
        let ofNodes = Dictionary(grouping: blocks, by: \.spec.node)
        return picture.allocations.values.compactMap { entry in
            let record = entry.record
            guard entry.attachment != nil, record.origin != .manual, !record.node.isEmpty, !record.isBeingDeleted,
                let pool = sliced[record.pool], pool.strayness(of: record) == nil
            else { return nil }
            let own = (ofNodes[record.node] ?? []).filter { $0.isPart(of: pool) && $0.isUsed(by: record) }
            guard !own.contains(where: { $0.cidr.contains(record.address) }) else { return nil }
            let other = blocks.first { $0.isPart(of: pool) && $0.cidr.contains(record.address) }
            return Finding(
                .outsideBlocks, entry,
                "it is in no block that node \(record.node) has of IPPool \"\(pool.name)\""
                    + (other.map { ", but in \($0.reference)" } ?? ""))
        }
    }
}

extension ValidatedBlock {
    /// A machine of the same name, but another one, has blocks of its own.
    fileprivate func isUsed(by record: AllocationRecord) -> Bool {
        record.machineID.isEmpty
            ? spec.node == record.node : belongs(toNode: record.node, machineID: record.machineID)
    }
}

extension Finding {
    /// Only a list of all blocks tells whether it still holds.
    var isAboutBlocks: Bool {
        if case .outsideBlocks = kind { return true }
        return !block.isEmpty
    }
}
