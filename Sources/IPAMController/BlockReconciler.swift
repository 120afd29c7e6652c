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
/// again a consistent LIST shows whether somebody claimed from it meanwhile; if not, the block is deleted. In one that no
/// node makes of its pool as that is now, for it has another length or lies elsewhere, the allocations of other nodes do
/// not count: it would keep everybody from these addresses. One whose pool is gone, or is another one now, no ADD uses,
/// and it is deleted at once when nothing of that pool is in it.
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
        guard let pool = view.validPool(block.spec.pool), block.isOf(pool) else { return try await endOfNoPool(block) }
        let fits = block.fits(pool)
        guard fits ? !isOccupied(block) : !isOccupiedByItsNode(block) else {
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
        case .releasing: return try await delete(block, fits: fits)
        }
    }

    private func isOccupied(_ block: ValidatedBlock) -> Bool {
        view.withIndex {
            $0.count(ofPool: block.spec.pool, in: IPSet(block.cidr.range), network: block.spec.network) > 0
        }
    }

    private func isOccupiedByItsNode(_ block: ValidatedBlock) -> Bool {
        view.allocations(onNode: block.spec.node).contains { block.contains(allocation: $0.name) }
    }

    // MARK: One of no pool

    private func endOfNoPool(_ block: ValidatedBlock) async throws -> Requeue {
        sightings.withLock { $0[block.name] = nil }
        let json = try await writer.client.read(.ipPools, name: block.spec.pool, deadline: try writer.deadline())
        // The store may not know yet; and what makes no sense may be mended.
        if let uid = json?["metadata"]?["uid"]?.string, block.spec.poolUID.isEmpty || block.spec.poolUID == uid {
            return .after(delay)
        }
        let isUsed = try await allocations(ofPoolOf: block, .whole).contains { item in
            let uid = item["spec"]?["poolUID"]?.string
            return block.contains(item) && (block.spec.poolUID.isEmpty || uid == nil || uid == block.spec.poolUID)
        }
        return isUsed ? .after(delay) : try await end(block, "its pool is gone")
    }

    private func end(_ block: ValidatedBlock, _ reason: String) async throws -> Requeue {
        let requeue = requeue(after: try await writer.delete(.ipBlocks, block.metadata))
        logger.info(
            "deleted a block that fits no pool",
            metadata: [
                "block": "\(block.name)", "pool": "\(block.spec.pool)", "node": "\(block.spec.node)",
                "reason": "\(reason)",
            ])
        return requeue
    }

    /// A consistent LIST.
    private func allocations(ofPoolOf block: ValidatedBlock, _ form: ListOptions.Form) async throws -> [JSON] {
        let options = ListOptions(
            labelSelector: "\(LabelKey.pool)=\(LabelValue.fitting(block.spec.pool))", form: form)
        return try await writer.client.list(.ipAllocations, options: options, deadline: try writer.deadline()).items
    }

    // MARK: One that is empty

    private func delete(_ block: ValidatedBlock, fits: Bool) async throws -> Requeue {
        guard fits else {
            let isUsed = try await allocations(ofPoolOf: block, .whole).contains { item in
                block.contains(item) && item["spec"]?["node"]?.string == block.spec.node
            }
            return isUsed ? try await write(block, .active) : try await end(block, "the pool has no such blocks")
        }
        let isUsed = try await allocations(ofPoolOf: block, .metadata).contains { block.contains($0) }
        guard !isUsed else { return try await write(block, .active) }
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

extension ValidatedBlock {
    fileprivate func isOf(_ pool: ValidatedPool) -> Bool { spec.poolUID.isEmpty || spec.poolUID == pool.uid }

    /// Whether nodes make such blocks of the pool.
    fileprivate func fits(_ pool: ValidatedPool) -> Bool {
        isPart(of: pool) && cidr.length == pool.nodeBlocks?.prefixLength
    }

    /// Whether an allocation's address is in the block.
    fileprivate func contains(_ allocation: JSON) -> Bool {
        contains(allocation: allocation["metadata"]?["name"]?.string ?? "")
    }

    fileprivate func contains(allocation name: String) -> Bool {
        guard let name = AllocationName(objectName: name) else { return false }
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
