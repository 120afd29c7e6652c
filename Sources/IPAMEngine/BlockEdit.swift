package import IPAMAPI
import IPAddressing
package import JSONText
import KubernetesCore

/// Whether an administrator may assign a block by hand.
///
/// Assumptions: what is known of pools and blocks may lag. What slips through is found by the plugin, before it claims
/// anything from the block.
package enum BlockEdit {
    /// - Parameter nodes: The names of every node there is; empty where they are not known.
    package static func decide(
        old: JSON?, new: JSON?, pools: [ValidatedPool], blocks: [ValidatedBlock], nodes: Set<String> = []
    ) -> PoolEdit.Decision {
        guard let new, old?["spec"] != new["spec"] else { return .allowed() }
        do {
            let block = try ValidatedBlock(try IPBlock(new))
            let others = blocks.filter { $0.name != block.name && $0.overlaps(block) }.sorted { $0.name < $1.name }
            guard others.isEmpty else {
                return .refused(
                    "spec.cidr: \(block.reference) overlaps \(PoolCensus.list(others.map(\.reference)))")
            }
            let decision = check(block, pools.first { $0.name == block.spec.pool })
            guard case .allowed(let warnings) = decision, !nodes.isEmpty, !nodes.contains(block.spec.node) else {
                return decision
            }
            return .allowed(warnings: warnings + ["spec.node: there is no node \"\(block.spec.node)\" at present"])
        } catch let error as PoolProblem {
            return .refused(error.description)
        } catch let error as JSONDecodingError {
            return .refused(error.description)
        } catch {
            return .refused("\(error)")
        }
    }

    private static func check(_ block: ValidatedBlock, _ pool: ValidatedPool?) -> PoolEdit.Decision {
        guard let pool else { return .allowed(warnings: ["there is no IPPool \"\(block.spec.pool)\""]) }
        guard block.isPart(of: pool) else {
            return .refused(
                "spec: \(block.spec.cidr) in network \"\(block.spec.network)\" is no part of IPPool \"\(pool.name)\":"
                    + " \(pool.subnet) in network \"\(pool.network)\"")
        }
        guard pool.nodeBlocks != nil else {
            return .allowed(warnings: [
                "IPPool \"\(pool.name)\" is not sliced (spec.nodeBlocks): the block does nothing"
            ])
        }
        return pool.isUseful(block.cidr)
            ? .allowed() : .allowed(warnings: ["IPPool \"\(pool.name)\" has no address to give in \(block.cidr)"])
    }
}
