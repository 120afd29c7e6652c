package import IPAMAPI
import IPAddressing

/// How the blocks of a sliced pool are shared out.
package struct BlockTally: Hashable, Sendable {
    /// What nodes claim from, blocks by hand among it.
    package let used: Int
    /// What is on its way back to the pool.
    package let releasing: Int
    /// What a node could still claim.
    package let free: UInt128
    /// How many blocks the pool has.
    package let total: UInt128

    /// Nil for a pool that is not sliced.
    ///
    /// - Parameter blocks: Every block there is: those of other pools of the network take room, too.
    package init?(_ pool: ValidatedPool, _ blocks: [ValidatedBlock]) {
        guard pool.nodeBlocks != nil else { return nil }
        let own = blocks.filter { $0.isPart(of: pool) }
        releasing = own.count { $0.spec.state == .releasing }
        used = own.count - releasing
        free = pool.freeBlocks(besides: blocks.filter { $0.spec.network == pool.network }.map(\.cidr)).count
        total = pool.blockCount
    }
}
