import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesCore

/// What this node knows of its blocks of one pool.
private struct BlockRecord {
    /// The newest first.
    var blocks: [ValidatedBlock] = []
    /// UIDs of blocks that this node saw to overlap no other one after they were there.
    var verified: Set<String> = []
}

/// How a pool may be used by this node.
private struct BlockShare {
    var open: [ValidatedPool]
    var closed: [ValidatedPool]
    /// Whether the node has all that it can have of the pool.
    var isLast: Bool
}

extension Ledger {
    /// How long what a LIST of its blocks told this node is used by other ADDs of it.
    private static var blockMemory: Duration { .seconds(5) }
    /// How often a claim asks for another block of one pool.
    private static var maximumBlockTurns: Int { 8 }
    /// The most creates of blocks in one go.
    private static var maximumBlockCreates: Int { 64 }

    /// Runs `body`, and where it finds this node's blocks full, lets it have another one and runs it again.
    mutating func withMoreBlocks<Value>(
        deadline: Moment, _ body: (inout Ledger) throws(LedgerError) -> Value
    ) throws(LedgerError) -> Value {
        (fullBlocks, fullPools, isLastResort) = ([:], [], false)
        var turns: [String: Int] = [:]
        while true {
            do throws(LedgerError) {
                return try body(&self)
            } catch {
                // The last pool is the one that the plan ended with: see `slice`.
                guard case .exhausted(let fills) = error, let last = fills.last, let slice = last.slice, !slice.isLast,
                    !isLastResort, transport.now() < deadline
                else { throw error }
                fullPools.formUnion(fills.filter { $0.slice == nil && $0.limit == nil }.map(\.poolUID))
                guard turns[last.poolUID, default: 0] < Self.maximumBlockTurns else {
                    // Others are in the blocks that were claimed. What cools is left, and the pools behind.
                    isLastResort = true
                    continue
                }
                turns[last.poolUID, default: 0] += 1
                fullBlocks[last.poolUID] = Set(
                    fills.filter { $0.poolUID == last.poolUID }.flatMap { $0.slice?.blocks ?? [] })
            }
        }
    }

    /// Replaces each sliced pool of the plans by what of it is this node's.
    ///
    /// - Flow: one LIST tells the node's blocks of a pool. Without one, or where `withMoreBlocks` found them full, a
    ///   Releasing one is taken back, or a free one claimed: by creating its object, for the name of a CIDR is there once;
    ///   then one LIST shows whether another block of the network overlaps it. Behind a pool that may serve none is claimed
    ///   until that is used up. A plan ends with the first sliced pool of which the node may yet have more, so that the next
    ///   pool is tried only when no block is free; those after it are deferred, and give what an IPClaim asks for or keeps.
    /// - Guarantees: of two blocks that overlap at most one is ever used by nodes. For each is used only after a LIST that
    ///   began when it was there has shown no other, and of two such LISTs the later one shows both. A block is used only
    ///   while it is Active: one that is Releasing is taken back first, on condition of its version.
    /// - Assumptions: what is remembered is at most ``blockMemory`` old, so it names only blocks that are still there and
    ///   stay: the controller waits longer between Releasing and the delete than this memory and an ADD last together.
    ///   That an earlier LIST showed no overlap does not age, for whoever makes an overlapping block later sees this one.
    /// - Caveats: who deletes a block by hand while it is used must expect others in it. A block that was claimed for an
    ///   ADD which then fails stays; it holds no address, and the controller returns it.
    /// - Errors: a block that overlaps another one, with the names of both, where another block could be claimed.
    /// - Parameters:
    ///   - namespace: Of the claimant. For a pool of which it has its quota no block is claimed.
    ///   - requested: Addresses that must be given, which may be any pool's.
    func slice(
        _ plans: [SlotPlan], for namespace: String?, requested: [IPAddress], isDryRun: Bool, deadline: Moment
    ) throws(LedgerError) -> [SlotPlan] {
        var sliced: [SlotPlan] = []
        for var plan in plans {
            let (pools, closed) = (plan.pools, plan.closed)
            (plan.pools, plan.closed) = ([], [])
            var isOpen = true
            for pool in pools {
                guard pool.nodeBlocks != nil else {
                    if isOpen { plan.pools.append(pool) } else { plan.deferred.append(pool) }
                    continue
                }
                let hasQuota = pool.quotaRefusal(namespace) != nil
                let givesNew = isOpen && !hasQuota
                let isWanted = requested.contains { pool.usable.contains($0) } && !hasQuota
                let isDue = fullBlocks[pool.uid] != nil || !plan.pools.contains { mayGive($0, namespace) }
                let mayClaim = (givesNew && isDue || isWanted) && !isLastResort
                let share = try share(of: pool, mayClaim: mayClaim, isDryRun: isDryRun, deadline: deadline)
                plan.closed += share.closed
                if isOpen { plan.pools += share.open } else { plan.deferred += share.open }
                if givesNew, !share.isLast, !isLastResort { (isOpen, plan.hasMore) = (false, true) }
            }
            for pool in closed {
                guard pool.nodeBlocks != nil else {
                    plan.closed.append(pool)
                    continue
                }
                let share = try share(of: pool, mayClaim: false, isDryRun: isDryRun, deadline: deadline)
                plan.closed += share.closed + share.open
            }
            sliced.append(plan)
        }
        return sliced
    }

    /// Whether a pool that stands before others may have a new address for the claimant, as far as it is known.
    private func mayGive(_ pool: ValidatedPool, _ namespace: String?) -> Bool {
        guard pool.quotaRefusal(namespace) == nil, !pool.usable.isEmpty else { return false }
        guard let slice = pool.slice else { return !fullPools.contains(pool.uid) }
        // What may be borrowed is of no block of the node.
        return slice.blocks.isEmpty || !slice.isLast || fullBlocks[pool.uid] == nil
    }

    /// One ADD of the node at a time, so that those which come at once share a block.
    private func share(
        of pool: ValidatedPool, mayClaim: Bool, isDryRun: Bool, deadline: Moment
    ) throws(LedgerError) -> BlockShare {
        let share = try journal.withLock(.pool(uid: Self.blockKey(pool)), until: deadline) { () throws(LedgerError) in
            try shareAlone(of: pool, mayClaim: mayClaim, isDryRun: isDryRun, deadline: deadline)
        }
        guard let share else {
            throw .deadline("another ADD of this node was claiming a block of IPPool \"\(pool.name)\"")
        }
        return share
    }

    private func shareAlone(
        of pool: ValidatedPool, mayClaim: Bool, isDryRun: Bool, deadline: Moment
    ) throws(LedgerError) -> BlockShare {
        let memory = remembered(pool, mayBeEmpty: !mayClaim)
        var conflict: LedgerError?
        var record = if let memory { memory } else { try ownBlocks(of: pool, deadline: deadline) }
        if record.blocks.contains(where: { !record.verified.contains($0.metadata.uid) }) {
            do throws(LedgerError) {
                try verify(&record, of: pool, deadline: deadline)
            } catch {
                // What overlaps is not used, and that is no reason to fail while others serve.
                guard case .poolUnusable = error else { throw error }
                conflict = error
            }
        }
        func usable() -> [ValidatedBlock] {
            record.blocks.filter { $0.spec.state == .active && record.verified.contains($0.metadata.uid) }
        }
        let full = fullBlocks[pool.uid]
        func isEnough() -> Bool {
            let useful = usable().filter { pool.isUseful($0.cidr) }
            return full.map { full in useful.contains { !full.contains($0.name) } } ?? !useful.isEmpty
        }
        var isLast = false
        if mayClaim, !isEnough() {
            if let conflict { throw conflict }
            if isDryRun {
                let free = try freeBlocks(of: pool, deadline: deadline)
                isLast = free.isEmpty
                if let cidr = Self.choice(free, pool).flatMap({ pool.block(at: $0) }) {
                    return BlockShare(
                        open: pool.narrowed(
                            to: [ValidatedBlock(cidr, of: pool, node: node, machineID: machineID)] + usable(),
                            isLast: false), closed: [], isLast: false)
                }
            } else {
                try takeBack(&record, of: pool, deadline: deadline)
                if !isEnough() { isLast = try !claimBlock(&record, of: pool, deadline: deadline) }
            }
        }
        let blocks = usable()
        let resting = record.blocks.filter { $0.spec.state == .releasing }
        return BlockShare(
            open: pool.narrowed(to: blocks, isLast: isLast),
            closed: resting.isEmpty ? [] : pool.narrowed(to: resting, isLast: false), isLast: isLast)
    }

    // MARK: What there is

    private func ownBlocks(of pool: ValidatedPool, deadline: Moment) throws(LedgerError) -> BlockRecord {
        let selector = "\(LabelKey.pool)=\(LabelValue.fitting(pool.name)),\(LabelKey.node)=\(LabelValue.fitting(node))"
        let at = transport.now()
        let json = try ask(
            [.list(.ipBlocks, options: ListOptions(labelSelector: selector))], deadline: deadline)[0].orThrow()
        var record = BlockRecord(blocks: [], verified: verifiedBlocks(of: pool))
        record.blocks = own(Self.blocks(in: json), of: pool)
        remember(record, of: pool, at: at)
        return record
    }

    /// All blocks of the pool's network.
    private func everyBlock(of pool: ValidatedPool, deadline: Moment) throws(LedgerError) -> [ValidatedBlock] {
        Self.blocks(in: try ask([.list(.ipBlocks)], deadline: deadline)[0].orThrow()).filter {
            $0.spec.network == pool.network
        }
    }

    private func freeBlocks(of pool: ValidatedPool, deadline: Moment) throws(LedgerError) -> IPSet {
        pool.freeBlocks(besides: try everyBlock(of: pool, deadline: deadline).map(\.cidr))
    }

    private static func blocks(in json: JSON) -> [ValidatedBlock] {
        (json["items"]?.array ?? []).compactMap { item in
            (try? IPBlock(item)).flatMap { try? ValidatedBlock($0) }
        }
    }

    /// The newest first: in the one that was claimed last most is free.
    private func own(_ blocks: [ValidatedBlock], of pool: ValidatedPool) -> [ValidatedBlock] {
        blocks.filter { $0.isPart(of: pool) && $0.belongs(toNode: node, machineID: machineID) }.sorted {
            ($1.metadata.creationTimestamp ?? "", $0.cidr.address)
                < ($0.metadata.creationTimestamp ?? "", $1.cidr.address)
        }
    }

    /// Marks those of the node's blocks that overlap no other one, as a LIST shows that begins now.
    private func verify(
        _ record: inout BlockRecord, of pool: ValidatedPool, deadline: Moment
    ) throws(LedgerError) {
        let at = transport.now()
        let every = try everyBlock(of: pool, deadline: deadline)
        var conflict: String?
        for block in own(every, of: pool) where !record.verified.contains(block.metadata.uid) {
            if let other = every.first(where: { $0.name != block.name && $0.overlaps(block) }) {
                conflict = "\(block.reference) overlaps \(other.reference): delete one of them"
            } else {
                record.verified.insert(block.metadata.uid)
            }
        }
        record.blocks = own(every, of: pool)
        remember(record, of: pool, at: at)
        if let conflict { throw .poolUnusable("IPPool \"\(pool.name)\": \(conflict)") }
    }

    // MARK: Another one

    private static func choice(_ free: IPSet, _ pool: ValidatedPool) -> IPAddress? {
        var generator = SystemRandomNumberGenerator()
        return pool.strategy == .sequential ? free.first : free.randomElement(using: &generator)
    }

    /// Makes Releasing blocks Active, one that has something to give at most.
    private func takeBack(
        _ record: inout BlockRecord, of pool: ValidatedPool, deadline: Moment
    ) throws(LedgerError) {
        for (index, block) in record.blocks.enumerated()
        where block.spec.state == .releasing && record.verified.contains(block.metadata.uid)
            && pool.isUseful(block.cidr)
        {
            let patch = Patch.merge(["spec": ["state": .string(BlockState.active.rawValue)]])
            let answer = ask(
                [.patch(.ipBlocks, name: block.name, patch: patch.conditional(on: block.metadata))],
                deadline: deadline)[0]
            switch answer {
            case .success(let json):
                guard let active = (try? IPBlock(json)).flatMap({ try? ValidatedBlock($0) }),
                    active.spec.state == .active
                else { continue }
                record.blocks[index] = active
                remember(record, of: pool, at: transport.now())
                return
            case .failure(.api(let error, _))
            where error.isConflict || error.isNotFound || error.namesAnotherObject:
                // Another ADD was faster, or the controller: a LIST that follows tells.
                continue
            case .failure(let error): throw error
            }
        }
    }

    /// Claims a block of the pool that nobody has. Whether there was one.
    private func claimBlock(
        _ record: inout BlockRecord, of pool: ValidatedPool, deadline: Moment
    ) throws(LedgerError) -> Bool {
        let known = Set(record.blocks.filter { $0.spec.state == .active }.map(\.metadata.uid))
        var free = try freeBlocks(of: pool, deadline: deadline)
        for _ in 0..<Self.maximumBlockCreates {
            guard let number = Self.choice(free, pool), let cidr = pool.block(at: number) else { return false }
            free.subtract(number)
            guard pool.isUseful(cidr) else { continue }
            let block = ValidatedBlock(cidr, of: pool, node: node, machineID: machineID)
            let answer = ask([.create(.ipBlocks, name: block.name, object: block.newObject())], deadline: deadline)[0]
            switch answer {
            case .success(let json):
                log.log(.info, "claimed a block", [("block", block.name), ("pool", pool.name)])
                do throws(LedgerError) {
                    try verify(&record, of: pool, deadline: deadline)
                } catch {
                    // Nothing was claimed in it, and its name is to be free again.
                    guard case .poolUnusable = error, withdraw(json, deadline: deadline) else { throw error }
                    continue
                }
                return true
            case .failure(.api(let error, _)) where error.isAlreadyExists:
                // Another node was faster, or the answer to this create was lost, and the block is this node's.
                try verify(&record, of: pool, deadline: deadline)
                if record.blocks.contains(where: { $0.spec.state == .active && !known.contains($0.metadata.uid) }) {
                    return true
                }
                free = try freeBlocks(of: pool, deadline: deadline)
            case .failure(let error): throw error
            }
        }
        throw .deadline("\(Self.maximumBlockCreates) blocks of IPPool \"\(pool.name)\" were tried, and others had them")
    }

    private func withdraw(_ json: JSON, deadline: Moment) -> Bool {
        guard let made = try? IPBlock(json) else { return false }
        let preconditions = Preconditions(
            uid: made.metadata.uid, resourceVersion: made.metadata.resourceVersion)
        let answer = ask(
            [.delete(.ipBlocks, name: made.metadata.name, preconditions: preconditions)], deadline: deadline)[0]
        return (try? answer.get()) != nil
    }

    // MARK: Memory

    private static func blockKey(_ pool: ValidatedPool) -> String { "\(pool.uid).blocks" }

    /// - Parameter mayBeEmpty: Nothing is claimed. Otherwise a LIST is as good as the claim that follows where there is none.
    private func remembered(_ pool: ValidatedPool, mayBeEmpty: Bool) -> BlockRecord? {
        guard let json = journal.scanRecord(pool: Self.blockKey(pool)), let at = json["at"]?.int,
            transport.now() - Moment(nanoseconds: Int64(at)) < Self.blockMemory
        else { return nil }
        let blocks = own(Self.blocks(in: json), of: pool)
        guard mayBeEmpty || !blocks.isEmpty else { return nil }
        return BlockRecord(blocks: blocks, verified: verifiedBlocks(of: pool))
    }

    private func verifiedBlocks(of pool: ValidatedPool) -> Set<String> {
        Set((journal.scanRecord(pool: Self.blockKey(pool))?["verified"]?.array ?? []).compactMap(\.string))
    }

    private func remember(_ record: BlockRecord, of pool: ValidatedPool, at: Moment) {
        let items: [JSON] = record.blocks.map { block in
            [
                "metadata": [
                    "name": .string(block.name), "uid": .string(block.metadata.uid),
                    "resourceVersion": .string(block.metadata.resourceVersion),
                    "creationTimestamp": .string(block.metadata.creationTimestamp ?? ""),
                ], "spec": block.spec.json,
            ]
        }
        let uids = record.blocks.map(\.metadata.uid).filter { record.verified.contains($0) }
        journal.writeScanRecord(
            ["at": .int(at.nanoseconds), "items": .array(items), "verified": .strings(uids)],
            pool: Self.blockKey(pool))
    }
}
