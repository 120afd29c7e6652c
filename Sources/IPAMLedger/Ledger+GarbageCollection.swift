package import IPAMAPI
import JSONText
package import KubernetesCore

extension Ledger {
    /// Releases what attachments of a network hold on this node that the runtime does not know (GC).
    ///
    /// - Flow: one consistent LIST of this node's allocations; every attachment of the network that is bound there and
    ///   not in `valid` is released like in a DEL.
    /// - Guarantees: other networks, nodes and machines are left alone, and what was entered by hand. So are attachments
    ///   whose ADD began after `startedAt` or is still under way. An error with one attachment does not keep the others from being released.
    /// - Errors: all of them, one for each attachment that could not be released.
    package mutating func collect(
        network: String, valid: Set<Attachment>, startedAt: Moment, deadline: Moment
    ) throws(LedgerError) -> [(attachment: Attachment, error: LedgerError)] {
        try ensureWhole(deadline: deadline)
        let allocations = try allocations(
            selector: "\(LabelKey.node)=\(LabelValue.fitting(node))", deadline: deadline)
        var stale: [Attachment: [JournalEntry.Record]] = [:]
        for allocation in allocations where allocation.spec.node == node && allocation.spec.machineID == machineID {
            guard let attachment = allocation.spec.attachment, attachment.networkName == network,
                !valid.contains(attachment), allocation.spec.origin != .manual
            else { continue }
            stale[attachment, default: []].append(JournalEntry.Record(allocation))
        }
        // What never reached the ledger, or has left it, is known to the journal alone.
        for digest in journal.digests() {
            guard case .entry(let entry)? = try? journal.entry(for: digest), stale[entry.attachment] == nil,
                entry.attachment.networkName == network, !valid.contains(entry.attachment)
            else { continue }
            stale[entry.attachment] = []
        }
        var failures: [(attachment: Attachment, error: LedgerError)] = []
        for (attachment, records) in stale.sorted(by: { $0.key.digest < $1.key.digest }) {
            do throws(LedgerError) {
                // One whose lock is held has an ADD or DEL under way: it is not garbage, or soon gone.
                let scope = JournalLock.Scope.attachment(digest: attachment.digest)
                _ = try journal.withLock(scope, until: transport.now()) { () throws(LedgerError) in
                    try collect(attachment, records, startedAt: startedAt, deadline: deadline)
                }
            } catch {
                failures.append((attachment, error))
            }
        }
        return failures
    }

    private func collect(
        _ attachment: Attachment, _ listed: [JournalEntry.Record], startedAt: Moment, deadline: Moment
    ) throws(LedgerError) {
        let digest = attachment.digest
        var entry = JournalEntry(
            attachment: attachment, phase: .bound, since: Moment(nanoseconds: .min), bootID: journal.bootID,
            records: listed)
        if case .entry(let found) = try journaled({ () throws(JournalError) in try journal.entry(for: digest) }) {
            guard found.since < startedAt else { return }
            entry = found
            for record in listed where !entry.records.contains(where: { $0.name == record.name }) {
                entry.records.append(record)
            }
        }
        log.log(.info, "collecting an attachment that the runtime does not know", [("attachment", "\(attachment)")])
        try journaled { () throws(JournalError) in try journal.bury(digest) }
        let left = release(entry.records, of: attachment, mode: entry.releaseMode, deadline: deadline)
        try settle(entry, left: left)
        // A name that only waits until no create of it can be committed any more is written down, and no failure.
        if let error = left.first(where: { !$0.isAwaitingCommit })?.error { throw error }
    }
}
