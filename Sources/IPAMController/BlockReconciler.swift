import IPAMAPI
import IPAMEngine
import IPAMOperation
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
package import KubernetesRuntime
package import Logging
import Synchronization

/// Returns blocks that are empty to their pools.
///
/// Flow: a block without an allocation for `ControllerSettings.blockReturnDelay` becomes Releasing. After the same time
/// again a consistent LIST shows whether somebody claimed from it meanwhile; if not, the block is deleted. One that no node
/// makes of its pool as that is now, for the pool is gone or another one, or has blocks of another length elsewhere, is
/// deleted as soon as no allocation is its own: it would keep others from the addresses.
///
/// Guarantees: each write is on condition of the version that was judged. Since the node claims only from an Active block,
/// which it may have read some seconds before, no claim is under way in a block that was Releasing for longer than an ADD
/// and this memory last. A node that takes its block back changes its version, and the delete is refused. It makes no
/// difference who leads, nor whether the node is still there: its block is returned when its allocations are gone.
///
/// Assumptions: every claim that an ADD sends is decided before its deadline (120 seconds at most).
///
/// Caveats: a block that was assigned by hand, which names no machine, stays. A term of leadership begins without memory:
/// the delays then last once more.
package final class BlockReconciler: Reconciler {
    private struct Sighting {
        var uid: String
        var resourceVersion: String
        /// Since when nothing was seen in it.
        var since: Moment
    }

    private let view: ClusterView
    private let writer: LedgerWriter
    private let delay: Duration
    private let logger: Logger
    private let sightings = Mutex<[String: Sighting]>([:])

    package init(_ view: ClusterView, _ writer: LedgerWriter, delay: Duration, logger: Logger) {
        self.view = view
        self.writer = writer
        self.delay = delay
        self.logger = logger
    }

    /// A term of leadership begins.
    package func forget() { sightings.withLock { $0 = [:] } }

    package func reconcile(_ name: String) async throws -> Requeue {
        guard case .present(let object) = view.blocks[ObjectKey(name: name)],
            let block = try? ValidatedBlock(object.value), !block.metadata.isBeingDeleted
        else {
            sightings.withLock { $0[name] = nil }
            return .whenChanged
        }
        if block.hasLabelsMissing { return try await write(block, ["metadata": ["labels": block.labels]]) }
        guard !block.spec.machineID.isEmpty else { return .whenChanged }
        if block.standing(in: view.validPool(block.spec.pool)) != .regular {
            return try await judge(block)
        }
        let isEmpty = view.withIndex {
            $0.count(ofPool: block.spec.pool, in: IPSet(block.cidr.range), network: block.spec.network) == 0
        }
        guard isEmpty else {
            sightings.withLock { $0[name] = nil }
            // Who claimed in it had read it Active.
            return block.spec.state == .releasing ? try await write(block, .active) : .after(delay)
        }
        let now = writer.client.clock.now()
        let since = sightings.withLock { sightings in
            if let known = sightings[name], known.uid == object.uid, known.resourceVersion == object.resourceVersion {
                return known.since
            }
            sightings[name] = Sighting(uid: object.uid, resourceVersion: object.resourceVersion, since: now)
            return now
        }
        guard now >= since + delay else { return .after(since + delay - now) }
        switch block.spec.state {
        case .active: return try await write(block, .releasing)
        case .releasing: return try await delete(block)
        }
    }

    // MARK: A block that fits no pool

    private func judge(_ block: ValidatedBlock) async throws -> Requeue {
        sightings.withLock { $0[block.name] = nil }
        let json = try await writer.client.read(.ipPools, name: block.spec.pool, deadline: try writer.deadline())
        // What cannot be read or makes no sense may be mended, and its blocks with it.
        let pool: ValidatedPool?
        do { pool = try json.map { try ValidatedPool(ClusterView.pool($0)) } } catch { return .after(delay) }
        let standing = block.standing(in: pool)
        // The store does not know yet.
        guard standing != .regular else { return .after(.seconds(1)) }
        let options = ListOptions(labelSelector: "\(LabelKey.pool)=\(LabelValue.fitting(block.spec.pool))")
        let list = try await writer.client.list(.ipAllocations, options: options, deadline: try writer.deadline())
        let isUsed = list.items.contains { item in
            guard let allocation = try? IPAllocation(item) else { return block.contains(item) }
            guard block.contains(item) else { return false }
            return switch standing {
            case .ofNoPool: block.spec.poolUID.isEmpty || allocation.spec.poolUID == block.spec.poolUID
            case .unfit, .regular: allocation.spec.node == block.spec.node
            }
        }
        guard !isUsed else { return .after(delay) }
        let requeue = requeue(after: try await writer.delete(.ipBlocks, block.metadata))
        logger.info(
            "deleted a block that is of no pool as it is now",
            metadata: ["block": "\(block.name)", "pool": "\(block.spec.pool)", "node": "\(block.spec.node)"])
        return requeue
    }

    // MARK: One that is empty

    private func delete(_ block: ValidatedBlock) async throws -> Requeue {
        let options = ListOptions(
            labelSelector: "\(LabelKey.pool)=\(LabelValue.fitting(block.spec.pool))", form: .metadata)
        let list = try await writer.client.list(.ipAllocations, options: options, deadline: try writer.deadline())
        guard !list.items.contains(where: { block.contains($0) }) else { return try await write(block, .active) }
        return requeue(after: try await writer.delete(.ipBlocks, block.metadata))
    }

    private func write(_ block: ValidatedBlock, _ state: BlockState) async throws -> Requeue {
        try await write(block, ["spec": ["state": .string(state.rawValue)]])
    }

    private func write(_ block: ValidatedBlock, _ patch: JSON) async throws -> Requeue {
        requeue(after: try await writer.patch(.ipBlocks, block.metadata, patch))
    }

    /// The new state of one that was overtaken is on its way to the store.
    private func requeue(after outcome: WriteOutcome) -> Requeue {
        outcome == .done ? .whenChanged : .after(delay)
    }
}

/// What a block is to its pool.
private enum BlockStanding {
    case regular
    /// There is no such pool, or another one of its name.
    case ofNoPool
    /// A node makes none of this length, or here.
    case unfit
}

extension ValidatedBlock {
    fileprivate func standing(in pool: ValidatedPool?) -> BlockStanding {
        guard let pool, spec.poolUID.isEmpty || spec.poolUID == pool.uid else { return .ofNoPool }
        return isPart(of: pool) && cidr.length == pool.nodeBlocks?.prefixLength ? .regular : .unfit
    }

    /// Whether an allocation's address is in the block.
    fileprivate func contains(_ allocation: JSON) -> Bool {
        guard let name = allocation["metadata"]?["name"]?.string.flatMap({ AllocationName(objectName: $0) }) else {
            return false
        }
        return name.network == spec.network && cidr.contains(name.address)
    }

    /// Somebody who assigns a block by hand may have left out what nodes select by.
    fileprivate var hasLabelsMissing: Bool { spec.labels.contains { metadata.labels[$0.key] != $0.value } }

    fileprivate var labels: JSON {
        var json: JSON = [:]
        for (key, value) in spec.labels.sorted(by: { $0.key < $1.key }) { json[key] = .string(value) }
        return json
    }
}
