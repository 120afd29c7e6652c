package import IPAMAPI
package import KubernetesCore

/// How an attempt ended to release what a dead sandbox holds.
package enum ReclaimOutcome: Hashable, Sendable {
    /// An ADD or DEL of the attachment is under way, or something that shares its lock.
    case busy
    /// It is not dead, or not the one that was judged.
    case kept
    /// Nothing of it is held any more; what was taken from it.
    case released([JournalEntry.Record])
    /// Some could not be settled, so many; they are in the journal, marked, and come again.
    case owed(Int, released: [JournalEntry.Record])
}

extension Ledger {
    /// Releases what an attachment holds whose sandbox is dead, for the agent of its node.
    ///
    /// - Flow: under the attachment's lock the entry is read again and judged once more; then a tombstone is left, and
    ///   everything is released as by a DEL.
    /// - Guarantees: nothing is written while an ADD or DEL of the attachment holds the lock, nor unless `isDead` says so
    ///   of the entry as it is under the lock. Each release is on condition of the attachment, the machine and the
    ///   version. What cannot be settled stays in the journal. What was entered by hand is not touched.
    /// - Assumptions: the runtime is done with the sandbox: a tombstone refuses an ADD of it that has begun already.
    /// - Parameter listed: What the ledger shows for the attachment; it may lag.
    package mutating func reclaim(
        _ attachment: Attachment, listed: [IPAllocation], deadline: Moment,
        isDead: (Journal.Lookup) throws(LedgerError) -> Bool
    ) throws(LedgerError) -> ReclaimOutcome {
        let scope = JournalLock.Scope.attachment(digest: attachment.digest)
        let outcome = try journal.withLock(scope, until: transport.now()) { () throws(LedgerError) in
            try reclaimAlone(attachment, listed, deadline: deadline, isDead: isDead)
        }
        return outcome ?? .busy
    }

    private func reclaimAlone(
        _ attachment: Attachment, _ listed: [IPAllocation], deadline: Moment,
        isDead: (Journal.Lookup) throws(LedgerError) -> Bool
    ) throws(LedgerError) -> ReclaimOutcome {
        let digest = attachment.digest
        let found = try journaled { () throws(JournalError) in try journal.entry(for: digest) }
        guard try isDead(found) else { return .kept }
        var entry: JournalEntry
        switch found {
        case .entry(let known) where known.isIncomplete:
            // The same: a DEL came while nobody could say what it holds.
            try journaled { () throws(JournalError) in try journal.markTorn() }
            return .kept
        case .entry(let known): entry = known
        case .absent:
            entry = JournalEntry(
                attachment: attachment, phase: .bound, since: Moment(nanoseconds: .min), bootID: journal.bootID,
                records: [])
        case .torn:
            // A rebuild tells what it holds.
            try journaled { () throws(JournalError) in try journal.markTorn() }
            return .kept
        }
        for allocation in listed where !entry.records.contains(where: { $0.name == allocation.metadata.name }) {
            entry.records.append(JournalEntry.Record(allocation))
        }
        let manual = Set(listed.filter { $0.spec.origin == .manual }.map(\.metadata.name))
        entry.records.removeAll { manual.contains($0.name) }
        do throws(JournalError) {
            try journal.bury(digest)
        } catch {
            // No claim is under way, and the release itself needs no room on the disk.
            log.log(.warning, "tombstone cannot be written", [("error", "\(error)")])
        }
        let releases = makeReleases(
            entry.records, of: attachment, mode: entry.releaseMode, deadline: deadline)
        let left = releases.filter { !$0.isSettled }
        try settle(entry, left: left)
        journal.noteUnreachable(left.contains { $0.wasUnreachable })
        let made = releases.filter { $0.isSettled && $0.wasMade }.map(\.record)
        return left.isEmpty ? .released(made) : .owed(left.count, released: made)
    }

    /// What is left to a quiet node's agent: releases that are owed, and what killed writers left.
    package mutating func settleDebts(limit: Int, deadline: Moment) {
        carryOutReleases(limit: limit, deadline: deadline)
        // A hint that could not be tidied up is no reason to fail.
        try? journal.sweep()
    }
}
