package import IPAMAPI
import IPAddressing
import KubernetesCore

/// The conditions of a pool that the controller sets. Others in the status are someone else's, and are kept.
package enum PoolCondition: String, Hashable, Sendable, CaseIterable {
    /// New claims are served.
    case ready = "Ready"
    /// No address is free.
    case exhausted = "Exhausted"
    /// Every allocation that names the pool is one of its own.
    case consistent = "Consistent"
    /// Nobody has an address of it any more. Only of a pool that is being drained.
    case drained = "Drained"
    /// A node that needs another block gets none. Only of a pool that is sliced.
    case blocksExhausted = "BlocksExhausted"
}

/// Counts a pool and writes its status.
package enum PoolCensus {
    /// How many allocations a message names.
    static let maximumNamed = 5
    /// How many holders that are left in a pool the condition Drained names.
    static let maximumLeft = 32
    /// How many namespaces that have used up their quota the status names.
    static let maximumNamespaces = 512

    /// The status of a pool as the ledger has it. A pool that makes no sense gets one that says so.
    ///
    /// What is kept of the status that it has: conditions of other types, the times of conditions that have not changed,
    /// and, for a large pool, the place of the occupancy window.
    ///
    /// - Parameters:
    ///   - rule: What is reserved. Nil where that is not known: what the status says of it is kept then.
    ///   - blocks: Those of nodes; nil where they are not known.
    ///   - now: RFC 3339, for conditions that change.
    package static func status(
        of pool: IPPool, rule: ReservationRule? = nil, blocks: [ValidatedBlock]? = nil, index: LedgerIndex, now: String
    ) -> IPPool.Status {
        let pool = rule?.applied(to: pool) ?? pool
        do {
            return status(of: try ValidatedPool(pool), excess: rule?.excess, blocks: blocks, index: index, now: now)
        } catch {
            return status(ofInvalid: pool, error, index: index, now: now)
        }
    }

    package static func status(
        of pool: ValidatedPool, excess: String? = nil, blocks: [ValidatedBlock]? = nil, index: LedgerIndex, now: String
    ) -> IPPool.Status {
        let census = Census(pool, excess, index)
        let occupancy = OccupancyWindowChoice(pool: pool, index: index, previous: pool.status?.occupancy).occupancy()
        return IPPool.Status(
            capacity: Int(clamping: pool.usable.count), allocated: census.tally.allocated,
            cooling: census.tally.cooling, held: census.tally.held, free: Int(clamping: census.free),
            occupancy: occupancy.map { IPPool.OccupancyWindow($0) }, reserved: pool.status?.reserved ?? [],
            reservedFor: pool.status?.reservedFor ?? [], namespacesAtQuota: namespacesAtQuota(pool, index),
            reservedGeneration: pool.status?.reservedGeneration ?? 0, observedGeneration: pool.generation,
            conditions: conditions(
                [census.ready, census.exhausted, consistent(pool, index, census.tally)]
                    + (pool.isDraining ? [drained(pool, index)] : []) + blocksExhausted(pool, blocks), pool.status,
                generation: pool.generation,
                now: now))
    }

    private static func status(
        ofInvalid pool: IPPool, _ problem: PoolProblem, index: LedgerIndex, now: String
    ) -> IPPool.Status {
        let tally = index.tally(ofPool: pool.metadata.name)
        let unknown = "the pool is not valid"
        return IPPool.Status(
            allocated: tally.allocated, cooling: tally.cooling, held: tally.held,
            reserved: pool.status?.reserved ?? [], reservedFor: pool.status?.reservedFor ?? [],
            reservedGeneration: pool.status?.reservedGeneration ?? 0, observedGeneration: pool.metadata.generation,
            conditions: conditions(
                [
                    Finding(.ready, .false, "Invalid", "\(problem)"),
                    Finding(.exhausted, .unknown, "Invalid", unknown),
                    Finding(.consistent, .unknown, "Invalid", unknown),
                ], pool.status, generation: pool.metadata.generation, now: now))
    }

    // MARK: Conditions

    struct Finding {
        var type: PoolCondition
        var status: Condition.Status
        var reason: String
        var message: String

        init(_ type: PoolCondition, _ status: Condition.Status, _ reason: String, _ message: String) {
            self.type = type
            self.status = status
            self.reason = reason
            self.message = message
        }
    }

    private static func conditions(
        _ findings: [Finding], _ previous: IPPool.Status?, generation: Int, now: String
    ) -> [Condition] {
        let previous = previous?.conditions ?? []
        let ours = findings.map { finding in
            Condition(
                type: finding.type.rawValue, status: finding.status, reason: finding.reason, message: finding.message,
                lastTransitionTime: now, observedGeneration: generation
            ).keepingTime(of: previous)
        }
        return ours + previous.filter { PoolCondition(rawValue: $0.type) == nil }
    }

    /// The counts tell whether there is anything to look for, so that the allocations are gone through only then.
    private static func consistent(_ pool: ValidatedPool, _ index: LedgerIndex, _ tally: PoolTally) -> Finding {
        let inside = index.count(ofPool: pool.name, in: pool.configured, network: pool.network)
        let ofOtherPool = index.count(ofPool: pool.name, withUIDOtherThan: pool.uid)
        guard inside < tally.total || ofOtherPool > 0 else {
            return Finding(.consistent, .true, "AllInside", "every allocation that names the pool is one of its own")
        }
        var strays: [(address: IPAddress, text: String)] = []
        for record in index.records(ofPool: pool.name) {
            if let problem = pool.strayness(of: record) {
                strays.append((record.address, "\(record.name) (\(problem))"))
            }
        }
        strays.sort { ($0.address, $0.text) < ($1.address, $1.text) }
        let subject = strays.count == 1 ? "1 allocation names" : "\(strays.count) allocations name"
        return Finding(
            .consistent, .false, "StrayAllocations",
            "\(subject) the pool without being one of its own: \(list(strays.map(\.text)))")
    }

    /// Those with the most addresses first, as many as the status has room for. What nobody uses, though it is kept for a
    /// claim, does not count: its pod must be able to come back.
    private static func namespacesAtQuota(_ pool: ValidatedPool, _ index: LedgerIndex) -> [IPPool.NamespaceUse] {
        guard let quota = pool.namespaceQuota else { return [] }
        var used: [String: Int] = [:]
        for record in index.records(ofPool: pool.name) where record.state == .bound || record.state == .fenced {
            if let namespace = record.pod?.namespace { used[namespace, default: 0] += 1 }
        }
        return used.filter { $0.value >= quota }.map { IPPool.NamespaceUse(namespace: $0.key, used: $0.value) }
            .sorted { ($1.used, $0.namespace) < ($0.used, $1.namespace) }.prefix(maximumNamespaces).map(\.self)
    }

    private static func drained(_ pool: ValidatedPool, _ index: LedgerIndex) -> Finding {
        let holders = index.records(ofPool: pool.name).filter(\.isInUse).sorted { $0.address < $1.address }
        guard !holders.isEmpty else {
            return Finding(.drained, .true, "Empty", "nobody has an address of the pool; it can be removed")
        }
        let subject = holders.count == 1 ? "1 holder is left" : "\(holders.count) holders are left"
        return Finding(
            .drained, .false, "HoldersLeft",
            "\(subject): \(list(holders.prefix(maximumLeft + 1).map(\.holderText), maximum: maximumLeft, of: holders.count))"
        )
    }

    private static func blocksExhausted(_ pool: ValidatedPool, _ blocks: [ValidatedBlock]?) -> [Finding] {
        guard let nodeBlocks = pool.nodeBlocks, let blocks else { return [] }
        let taken = blocks.filter { $0.spec.network == pool.network }
        let free = pool.freeBlocks(besides: taken.map(\.cidr)).count
        let size = "/\(nodeBlocks.prefixLength)"
        guard free == 0 else {
            return [Finding(.blocksExhausted, .false, "BlocksFree", "blocks of \(size) are free")]
        }
        return [
            Finding(
                .blocksExhausted, .true, "NoFreeBlock",
                "none of \(pool.blockCount) blocks of \(size) is free: a node without one gets no address\(nodeBlocks.borrowing ? " but those that it borrows" : "")"
            )
        ]
    }

    /// A bounded list for a message.
    static func list(_ texts: [String], maximum: Int = maximumNamed, of count: Int? = nil) -> String {
        let rest = (count ?? texts.count) - maximum
        return texts.prefix(maximum).joined(separator: ", ") + (rest > 0 ? " and \(rest) more" : "")
    }
}

/// The figures of a valid pool.
private struct Census {
    let pool: ValidatedPool
    /// Why all of it is reserved, where that is for want of room.
    let excess: String?
    /// Of the allocations that name the pool, wherever they are.
    let tally: PoolTally
    /// Usable addresses that an allocation of any pool takes.
    let taken: Int
    /// Those of other pools among them, and those that cannot be read.
    let takenByOthers: Int

    init(_ pool: ValidatedPool, _ excess: String?, _ index: LedgerIndex) {
        self.pool = pool
        self.excess = excess
        tally = index.tally(ofPool: pool.name)
        taken = index.takenCount(in: pool.usable, network: pool.network)
        takenByOthers = taken - index.count(ofPool: pool.name, in: pool.usable, network: pool.network)
    }

    var free: UInt128 { pool.usable.count - UInt128(taken) }

    var ready: PoolCensus.Finding {
        if pool.isBeingDeleted {
            let rest = tally.total > 0 ? "; allocations that it waits for: \(tally.total)" : ""
            let use = pool.isInline ? ", and made anew when it is asked for" : ""
            return .init(.ready, .false, "Deleting", "the pool is being deleted\(use)\(rest)")
        }
        if pool.isDraining { return .init(.ready, .false, "Draining", "spec.draining is true") }
        if pool.isDisabled { return .init(.ready, .false, "Disabled", "spec.disabled is true") }
        if let excess { return .init(.ready, .false, "TooManyReservedRanges", excess) }
        if pool.usable.isEmpty {
            return .init(.ready, .false, "Reserved", "reservations (status.reserved) leave no address")
        }
        let isSaturated = pool.usable.count > UInt128(Int.max)
        let note = isSaturated ? "; 9223372036854775807 in capacity and free stands for that many or more" : ""
        return .init(.ready, .true, "Serving", "new claims are served\(note)")
    }

    var exhausted: PoolCensus.Finding {
        guard free == 0 else { return .init(.exhausted, .false, "AddressesFree", "addresses are free") }
        guard !pool.usable.isEmpty else { return .init(.exhausted, .true, "Reserved", "no address is usable") }
        let subject = pool.usable.count == 1 ? "the 1 usable address" : "none of \(pool.usable.count) usable addresses"
        let verb = pool.usable.count == 1 ? "is not free" : "is free"
        var message = "\(subject) \(verb): \(tally.allocated) allocated,"
        message += " \(tally.cooling) cooling, \(tally.held) held"
        if takenByOthers > 0 { message += ", \(takenByOthers) by allocations that name another pool" }
        return .init(.exhausted, .true, "NoFreeAddress", message)
    }
}

extension ValidatedPool {
    /// Whether the status of the pool depends on an allocation: it names the pool, or takes an address of it.
    package func isConcerned(by record: AllocationRecord) -> Bool {
        record.pool == name || (record.network == network && configured.contains(record.address))
    }

    /// Why an allocation that names the pool is not one of its own; nil when it is.
    package func strayness(of record: AllocationRecord) -> String? {
        if record.network != network { return "in network \(record.network.debugDescription)" }
        if !configured.contains(record.address) { return "outside of the pool" }
        if record.poolUID != uid, !record.poolUID.isEmpty { return "of an earlier pool of this name" }
        return nil
    }
}
