package import IPAMAPI
import IPAMEngine
package import IPAddressing
import JSONText
package import KubernetesCore

extension Ledger {
    /// Makes sure that the ledger says that an attachment holds what its sandbox is configured with (CHECK).
    ///
    /// Every address that is recorded for the attachment must be among `configured`; more addresses there are later
    /// plugins' business. One round trip; changes nothing.
    package func check(
        _ attachment: Attachment, configured: Set<IPAddress>, deadline: Moment
    ) throws(LedgerError) {
        try ensureWhole(deadline: deadline)
        let found = try journaled { () throws(JournalError) in try journal.entry(for: attachment.digest) }
        guard case .entry(let entry) = found, !entry.held.isEmpty else {
            throw .notHeld("the ledger has no address for \(attachment)")
        }
        let records = entry.held
        let pools = Set(records.map(\.pool)).sorted()
        var answers = ask(
            records.map { .get(.ipAllocations, name: $0.name) } + pools.map { .get(.ipPools, name: $0) },
            deadline: deadline)[...]
        for record in records {
            try check(
                record, of: attachment, entry.pod, configured: configured, answers.removeFirst().unlessNotFound())
        }
        for pool in pools {
            let found = try answers.removeFirst().unlessNotFound()
            let uid = found?["metadata"]?["uid"]?.string
            for record in records where record.pool == pool && record.poolUID != uid {
                throw .notHeld(
                    "\(record.address) belongs to IPPool \"\(pool)\" with UID \(record.poolUID), and that pool"
                        + (uid.map { " was replaced by one with UID \($0)" } ?? " does not exist any more"))
            }
        }
    }

    private func check(
        _ record: JournalEntry.Record, of attachment: Attachment, _ pod: PodReference?, configured: Set<IPAddress>,
        _ found: JSON?
    ) throws(LedgerError) {
        guard let found else {
            throw .notHeld("IPAllocation \"\(record.name)\" does not exist, though \(attachment) uses it")
        }
        let allocation: IPAllocation
        do {
            allocation = try IPAllocation(found)
        } catch {
            throw .malformed(name: record.name, problem: "\(error)")
        }
        let holder = Claimant(
            attachment: attachment, origin: allocation.spec.origin, pod: nil, node: node, machineID: machineID)
        guard holder.holds(allocation) || allocation.isMigrating(from: pod, claim: record.claim) else {
            throw .notHeld("\(record.address) is not held by \(attachment): \(allocation.holderDescription)")
        }
        guard configured.contains(record.address) else {
            throw .notHeld("\(record.address) is held for \(attachment), and prevResult does not have it")
        }
    }
}

extension JournalEntry {
    /// The names that the attachment was seen in.
    package var held: [Record] { records.filter { $0.version != nil } }
}
