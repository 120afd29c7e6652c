package import IPAMAPI
import JSONText
package import KubernetesCore

/// How a DEL shares out its time. A pod's end waits for it.
package struct ReleaseBudget: Sendable {
    /// For the release itself.
    package var release: Duration = .seconds(3)
    /// The same, while the API server was found unreachable a moment ago.
    package var impatient: Duration = .milliseconds(300)
    /// For releases that earlier DELs could not make. ``impatient`` where that is shorter and holds.
    package var followUp: Duration = .milliseconds(500)
    /// The most of those that one DEL looks at.
    package var followUpCount = 4

    package init() {}
}

extension Ledger {
    /// Releases everything that an attachment holds, or writes down that it is to be released.
    ///
    /// - Flow: under the attachment's lock leave a tombstone, release what the journal names, on condition of the
    ///   versions that it kept, and forget it. What cannot be settled in time stays in the journal, on disk, marked. Then
    ///   make a few releases that earlier calls left so, unless this one could not be made itself.
    /// - Guarantees: after success the address is free, cooling, or marked; a claim that is still under way finds the
    ///   tombstone and takes itself back. A second call finds no entry and makes no request, unless other releases are
    ///   still to be made.
    /// - Parameter wasReturned: Whether the attachment's addresses were given to anyone, and must cool.
    /// - Errors: only where the release could neither be made nor written down.
    package mutating func delete(
        _ attachment: Attachment, wasReturned: Bool = true, budget: ReleaseBudget = ReleaseBudget()
    ) throws(LedgerError) {
        let patience = journal.wasUnreachableRecently() ? budget.impatient : budget.release
        let deadline = transport.now() + patience
        let outcome: DeleteOutcome?
        do throws(LedgerError) {
            try ensureWhole(deadline: deadline)
            let scope = JournalLock.Scope.attachment(digest: attachment.digest)
            outcome = try journal.withLock(scope, until: deadline) { () throws(LedgerError) in
                try deleteAlone(attachment, wasReturned: wasReturned, deadline: deadline)
            }
        } catch {
            return try deleteBlindly(attachment, because: error, deadline: deadline)
        }
        switch outcome {
        case nil:
            try deleteLater(attachment)
        case .unsettled:
            break
        case .nothingHeld:
            // The last DELs of a node may all be repeated ones: nothing else would ever make the releases it owes.
            let patience = journal.wasUnreachableRecently() ? min(budget.impatient, budget.followUp) : budget.followUp
            carryOutReleases(limit: budget.followUpCount, deadline: transport.now() + patience)
        case .released:
            carryOutReleases(limit: budget.followUpCount, deadline: transport.now() + budget.followUp)
            // A hint that could not be tidied up is no reason to fail.
            try? journal.sweep()
        }
    }

    private enum DeleteOutcome { case nothingHeld, released, unsettled }

    /// The release proper, while no other ADD or DEL of the attachment is under way.
    private func deleteAlone(
        _ attachment: Attachment, wasReturned: Bool, deadline: Moment
    ) throws(LedgerError) -> DeleteOutcome {
        let digest = attachment.digest
        do throws(JournalError) {
            try journal.bury(digest)
        } catch {
            // No claim is under way, and the release itself needs no room on the disk.
            log.log(.warning, "tombstone cannot be written", [("error", "\(error)")])
        }
        switch try journaled({ () throws(JournalError) in try journal.entry(for: digest) }) {
        case .absent:
            log.log(.debug, "nothing is held", [("attachment", "\(attachment)")])
            return .nothingHeld
        case .torn(let problem):
            log.log(.error, "journal entry is torn", [("entry", digest), ("problem", problem)])
            try journaled { () throws(JournalError) in try journal.markTorn() }
            try deleteByLabel(attachment, deadline: deadline)
            return .released
        case .entry(var entry):
            if !wasReturned { entry.phase = .claiming }
            let left = release(entry.records, of: attachment, mode: entry.releaseMode, deadline: deadline)
            try settle(entry, left: left)
            journal.noteUnreachable(left.contains { $0.wasUnreachable })
            return left.isEmpty ? .released : .unsettled
        }
    }

    /// Another ADD or DEL of the attachment is still under way. An ADD finds the tombstone and takes itself back; should
    /// it be killed first, the mark leads a later DEL to what it left.
    private func deleteLater(_ attachment: Attachment) throws(LedgerError) {
        log.log(.warning, "attachment is busy, release left to its ADD", [("attachment", "\(attachment)")])
        try journaled { () throws(JournalError) in
            try journal.bury(attachment.digest)
            try journal.markReleasing(attachment.digest)
        }
    }

    /// Releases names side by side; returns those that could not be settled before the deadline.
    func release(
        _ records: [JournalEntry.Record], of attachment: Attachment, mode: ReleaseMode, deadline: Moment
    ) -> [Release] {
        makeReleases(records, of: attachment, mode: mode, deadline: deadline).filter { !$0.isSettled }
    }

    /// Releases names side by side, as far as that can be done before the deadline.
    func makeReleases(
        _ records: [JournalEntry.Record], of attachment: Attachment, mode: ReleaseMode, deadline: Moment
    ) -> [Release] {
        let transport = transport
        var releases = records.map { record in
            Release(
                record, of: attachment, machineID: machineID, mode: mode, releasedAt: timestamp,
                now: { transport.now() })
        }
        transport.drive(&releases, deadline: deadline) { _ in }
        for release in releases {
            let metadata = [("attachment", "\(attachment)"), ("allocation", release.record.name)]
            if let error = release.error {
                // To wait until no create can be committed any more is as it should be, and said at each look.
                let level = release.isAwaitingCommit ? LogLevel.debug : .warning
                log.log(level, "release is not settled", metadata + [("error", "\(error)")])
            } else {
                log.log(.info, release.wasMade ? "released" : "not held any more", metadata)
            }
        }
        return releases
    }

    /// Forgets an entry, or keeps of it what is left to release.
    func settle(_ entry: JournalEntry, left: [Release]) throws(LedgerError) {
        let digest = entry.attachment.digest
        try journaled { () throws(JournalError) in
            if left.isEmpty {
                forget(digest)
            } else {
                var entry = entry
                entry.records = left.map(\.record)
                try journal.write(entry, durably: true)
                try journal.markReleasing(digest)
            }
        }
    }

    /// Removes an entry of which nothing is left. One that cannot be removed is no error: whoever looks at it again finds
    /// that the attachment holds nothing.
    private func forget(_ digest: String) {
        do throws(JournalError) {
            try journal.removeEntry(for: digest)
            try journal.unmarkReleasing(digest)
        } catch {
            log.log(.warning, "journal entry cannot be removed", [("error", "\(error)")])
        }
    }

    /// Makes releases that earlier calls could only write down, as many as the time allows.
    package mutating func carryOutReleases(limit: Int, deadline: Moment) {
        _ = carryOut(journal.releasing().shuffled(using: &generator).prefix(limit), deadline: deadline)
    }

    /// Makes such releases for the sake of some pools; returns what they freed there.
    mutating func carryOutReleases(
        ofPools uids: Set<String>, limit: Int, deadline: Moment
    ) -> [FreedAddress] {
        let journal = journal
        let digests = journal.releasing().shuffled(using: &generator).lazy.filter { digest in
            guard case .entry(let entry)? = try? journal.entry(for: digest) else { return false }
            return entry.records.contains { uids.contains($0.poolUID) }
        }
        return carryOut(digests.prefix(limit), deadline: deadline).filter { uids.contains($0.poolUID) }
    }

    private func carryOut(_ digests: some Sequence<String>, deadline: Moment) -> [FreedAddress] {
        var freed: [FreedAddress] = []
        for digest in digests {
            guard transport.now() < deadline else { break }
            do throws(LedgerError) {
                // Whoever holds the lock is at work on this very attachment.
                let scope = JournalLock.Scope.attachment(digest: digest)
                let found = try journal.withLock(scope, until: transport.now()) { () throws(LedgerError) in
                    // An ADD may have taken the attachment up since the list was read.
                    journal.isReleasing(digest) ? try carryOutRelease(digest, deadline: deadline) : []
                }
                freed += found ?? []
            } catch {
                log.log(.warning, "earlier release failed again", [("entry", digest), ("error", "\(error)")])
            }
        }
        return freed
    }

    private func carryOutRelease(_ digest: String, deadline: Moment) throws(LedgerError) -> [FreedAddress] {
        switch try journaled({ () throws(JournalError) in try journal.entry(for: digest) }) {
        case .absent:
            try journaled { () throws(JournalError) in try journal.unmarkReleasing(digest) }
        case .torn:
            try journaled { () throws(JournalError) in try journal.markTorn() }
        case .entry(let entry) where entry.isIncomplete:
            // Only a rebuild can tell what it holds, and one will run before the next ADD or DEL.
            try journaled { () throws(JournalError) in try journal.markTorn() }
        case .entry(let entry):
            let releases = makeReleases(
                entry.records, of: entry.attachment, mode: entry.releaseMode, deadline: deadline)
            try settle(entry, left: releases.filter { !$0.isSettled })
            return releases.compactMap(\.freed)
        }
        return []
    }

    // MARK: Without a journal

    /// A DEL while the journal cannot be made whole or used: the API server does not answer, or the disk is at fault.
    private func deleteBlindly(
        _ attachment: Attachment, because error: LedgerError, deadline: Moment
    ) throws(LedgerError) {
        log.log(.warning, "journal cannot be used", [("attachment", "\(attachment)"), ("error", "\(error)")])
        do throws(LedgerError) {
            if case .journal = error { return try deleteByLabel(attachment, deadline: deadline) }
            let digest = attachment.digest
            if case .api = error { journal.noteUnreachable(true) }
            try journaled { () throws(JournalError) in
                try journal.bury(digest)
                switch try journal.entry(for: digest) {
                case .entry: break
                case .absent, .torn:
                    let unknown = JournalEntry(
                        attachment: attachment, phase: .bound, since: transport.now(), bootID: journal.bootID,
                        records: [], isIncomplete: true)
                    try journal.write(unknown, durably: true)
                }
                try journal.markReleasing(digest)
            }
        } catch let second {
            if case .journal = second { throw error }
            throw second
        }
    }

    /// Asks the ledger itself what the attachment holds.
    private func deleteByLabel(_ attachment: Attachment, deadline: Moment) throws(LedgerError) {
        let selector = "\(LabelKey.attachment)=\(attachment.digest)"
        let records = try allocations(selector: selector, deadline: deadline)
            .filter {
                $0.spec.attachment == attachment && $0.spec.machineID == machineID && $0.spec.origin != .manual
            }
            .map { JournalEntry.Record($0) }
        let left = release(records, of: attachment, mode: .cool, deadline: deadline)
        if let error = left.first?.error { throw error }
        try? journal.removeEntry(for: attachment.digest)
    }

    // MARK: After a failed claim

    /// Takes back what a failed claim holds or may come to hold; what cannot be settled is left in the journal.
    ///
    /// - Parameter names: What an earlier claim of the attachment returned, and is not to be touched.
    func rollBack(
        _ records: [JournalEntry.Record], keeping names: Set<String>, entry: JournalEntry, deadline: Moment
    ) {
        let left = release(
            records.filter { !names.contains($0.name) }, of: entry.attachment, mode: entry.releaseMode,
            deadline: deadline)
        do throws(LedgerError) {
            if names.isEmpty { return try settle(entry, left: left) }
            var entry = entry
            entry.records = records.filter { names.contains($0.name) } + left.map(\.record)
            try journaled { () throws(JournalError) in try journal.write(entry) }
        } catch {
            // The entry that names them is on disk since before they were created.
            log.log(.error, "roll-back could not be written down", [("error", "\(error)")])
        }
    }
}

extension JournalEntry {
    /// Addresses that were never returned have not been used by anyone.
    var releaseMode: ReleaseMode { phase == .claiming ? .delete : .cool }
}
