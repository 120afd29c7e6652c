import IPAMAPI
import JSONText
package import KubernetesCore

extension Ledger {
    /// Makes sure that every attachment of this node that holds something has an entry in the journal.
    ///
    /// A journal that is missing, damaged, or of an earlier boot is rebuilt once for the node: one consistent LIST of
    /// the node's allocations, under a lock. Costs one file read otherwise.
    package func ensureWhole(deadline: Moment) throws(LedgerError) {
        if try journaled({ () throws(JournalError) in try journal.isWhole() }) { return }
        try journaled { () throws(JournalError) in try journal.prepare() }
        let rebuilt: Void? = try journal.withLock(.node, until: deadline) { () throws(LedgerError) in
            try rebuild(deadline: deadline)
        }
        guard rebuilt != nil else { throw .deadline("another process was rebuilding the journal in \(journal.folder)") }
    }

    private func rebuild(deadline: Moment) throws(LedgerError) {
        if try journaled({ () throws(JournalError) in try journal.isWhole() }) { return }

        log.log(.info, "rebuilding the journal", [("folder", journal.folder)])
        // No claim of this boot was made before the journal is whole: what the ledger shows is of the earlier one.
        let boot = try journaled { () throws(JournalError) in try journal.earlierBoot() }
        let allocations = try ownAllocations(deadline: deadline)
        var held: [String: [IPAllocation]] = [:]
        for allocation in allocations where allocation.spec.node == node && allocation.spec.machineID == machineID {
            // What was entered by hand is nobody's to release.
            guard let attachment = allocation.spec.attachment, allocation.spec.origin != .manual else { continue }
            held[attachment.digest, default: []].append(allocation)
        }
        for digest in Set(journal.digests()).union(held.keys) {
            // Whoever holds the lock of an attachment writes its entry itself.
            _ = try journal.withLock(.attachment(digest: digest), until: transport.now()) { () throws(LedgerError) in
                try journaled { () throws(JournalError) in try reconcile(digest, held[digest] ?? [], boot: boot) }
            }
        }
        try journaled { () throws(JournalError) in try journal.markWhole() }
        log.log(.info, "rebuilt the journal", [("attachments", "\(held.count)")])
    }

    /// Brings one entry in line with what the ledger shows, and drops a torn one that it does not know.
    ///
    /// - Parameter boot: That of the claims whose entry is lost. Nil where the journal does not tell it: then the allocation
    ///   may, and otherwise it was this one.
    private func reconcile(_ digest: String, _ held: [IPAllocation], boot: String?) throws(JournalError) {
        let found: JournalEntry?
        switch try journal.entry(for: digest) {
        case .entry(let entry): found = entry
        case .absent: found = nil
        case .torn:
            try journal.removeEntry(for: digest)
            found = nil
        }
        if let found, held.isEmpty, found.isOfEarlierBoot(than: journal.bootID) {
            // Nothing of an earlier boot is still under way, and the ledger shows nothing.
            try journal.removeEntry(for: digest)
            return try journal.unmarkReleasing(digest)
        }
        guard let attachment = found?.attachment ?? held.first?.spec.attachment else { return }
        let since = try rebuiltSince(digest)
        // What several allocations do not agree about nobody knows.
        let boots = Set(held.map(\.boot))
        let told = boots.count == 1 ? boots.first ?? nil : nil
        var entry =
            found
            ?? JournalEntry(
                attachment: attachment, phase: .bound, since: since,
                bootID: boot ?? told ?? journal.bootID, pod: held.first?.spec.pod, records: [])
        for allocation in held where !entry.records.contains(where: { $0.name == allocation.metadata.name }) {
            entry.records.append(JournalEntry.Record(allocation))
        }
        entry.isIncomplete = false
        if entry != found { try journal.write(entry) }
    }

    /// When the ADD began whose entry is lost: no one knows. What it holds was claimed after an earlier DEL of the same
    /// attachment, unless that DEL is still to be carried out.
    private func rebuiltSince(_ digest: String) throws(JournalError) -> Moment {
        let beginning = Moment(nanoseconds: .min)
        guard !journal.isReleasing(digest), let deleted = try journal.deletedAt(digest) else { return beginning }
        return deleted + .nanoseconds(1)
    }

    /// The allocations of this node, for a rebuild.
    ///
    /// A server without consistent reads from its cache (before Kubernetes 1.31) answers a consistent LIST by reading
    /// every allocation of the cluster, which can take longer than a call may last. Then its cache must do: it may lag by
    /// what was written a moment ago, and an allocation that it lacks is left to whoever reclaims what leaked.
    private func ownAllocations(deadline: Moment) throws(LedgerError) -> [IPAllocation] {
        let selector = "\(LabelKey.node)=\(LabelValue.fitting(node))"
        let patience = (deadline - transport.now()) / 2
        do throws(LedgerError) {
            return try allocations(selector: selector, deadline: transport.now() + patience)
        } catch {
            guard case .api(let failure, _) = error, case .transient = failure.disposition else { throw error }
            log.log(.warning, "a consistent list failed, reading the server's cache", [("error", "\(error)")])
            return try allocations(selector: selector, resourceVersion: "0", deadline: deadline)
        }
    }

    /// A LIST, consistent unless a `resourceVersion` is given. Objects that do not decode hold nothing that could be told
    /// apart, and are left out.
    func allocations(
        selector: String, resourceVersion: String? = nil, limit: Int? = nil, deadline: Moment
    ) throws(LedgerError) -> [IPAllocation] {
        let options = ListOptions(labelSelector: selector, limit: limit, resourceVersion: resourceVersion)
        let list = try ask([.list(.ipAllocations, options: options)], deadline: deadline)[0].orThrow()
        return (list["items"]?.array ?? []).compactMap { item in
            do {
                return try IPAllocation(item)
            } catch {
                log.log(
                    .warning, "allocation does not decode",
                    [("allocation", item["metadata"]?["name"]?.string ?? ""), ("problem", "\(error)")])
                return nil
            }
        }
    }
}
