import IPAMAPI
import IPAMEngine
import KubernetesCore

/// Compares the ledger with IPClaims, by the rules of docs/claims.md.
///
/// Guarantees: nothing is found that these allow. What an attachment has outlives its claim. A holder that waits until its
/// predecessor's sandbox is gone has nothing yet, and whether the predecessor is gone is for ``LeakJudge`` to say. And of
/// a guest that migrates, either pod may have the addresses.
package enum ClaimCheck {
    package static func findings(in picture: ClusterPicture) -> [Finding] {
        var findings: [Finding] = []
        var users: [ClaimReference: [LedgerEntry]] = [:]
        for entry in picture.allocations.values {
            if let finding = missing(entry, picture) { findings.append(finding) }
            if let claim = entry.claim, isInUse(entry, picture) { users[claim, default: []].append(entry) }
        }
        for (claim, entries) in users { findings += disagreeing(claim, entries, picture) }
        return findings
    }

    // MARK: Claims that are gone

    /// What is kept for a claim that is gone.
    static func missing(_ entry: LedgerEntry, _ picture: ClusterPicture) -> Finding? {
        guard let claims = picture.claims, let claim = entry.claim, entry.record.state == .held,
            !entry.record.isBeingDeleted, !isGuestElsewhere(entry, picture)
        else { return nil }
        let found = claims[PodKey(claim)]
        guard found?.uid != claim.uid else { return nil }
        let name = claim.subject
        var finding = Finding(
            .claimMissing, entry,
            found == nil
                ? "it is kept for \(name), which does not exist"
                : "it is kept for an earlier \(name) of another UID")
        finding.claim = claim
        return finding
    }

    /// As long as the pod is there that a virtual machine migrated from, its guest may run there, and nobody frees what
    /// its last holder gave back.
    private static func isGuestElsewhere(_ entry: LedgerEntry, _ picture: ClusterPicture) -> Bool {
        guard let source = entry.record.migratedFrom, let key = entry.migrationSource else { return false }
        return picture.pods[key]?.fact == .present(uid: source.podUID)
    }

    // MARK: Holders

    /// A pod that is there has it.
    private static func isInUse(_ entry: LedgerEntry, _ picture: ClusterPicture) -> Bool {
        guard entry.attachment != nil, let key = entry.podKey, let pod = picture.pods[key] else { return false }
        return pod.isLive && pod.isNamed(by: entry.record.pod)
    }

    /// - Parameter entries: What pods that are there have of the claim.
    private static func disagreeing(
        _ claim: ClaimReference, _ entries: [LedgerEntry], _ picture: ClusterPicture
    ) -> [Finding] {
        guard let claims = picture.claims else { return [] }
        let name = claim.subject
        func finding(_ entry: LedgerEntry, _ message: String) -> Finding {
            var finding = Finding(.claimDisagrees, entry, message)
            finding.claim = claim
            return finding
        }
        let found = claims[PodKey(claim)]
        if let found, found.uid == claim.uid, let holder = found.holder {
            return entries.filter { !holder.mayHave($0) }.map { entry in
                finding(
                    entry,
                    "\(name) is held by interface \(holder.interface) of pod \(claim.namespace)/\(holder.pod) on node"
                        + " \(holder.node), and \(entry.userText), which is there, has this address of it")
            }
        }
        // Whoever holds it has all of it.
        let sources = Set(entries.compactMap(\.record.migratedFrom?.podUID))
        let users = entries.filter { !sources.contains($0.record.pod?.uid ?? "") }.sorted { $0.name < $1.name }
        return users.compactMap { entry in
            users.first { $0.user != entry.user }.map { other in
                finding(
                    entry,
                    "\(entry.userText) has this address of \(name), and \(other.userText) has \(other.record.address)")
            }
        }
    }
}

extension IPClaim.Holder {
    /// Another sandbox of the pod waits for what the earlier one has.
    fileprivate func mayHave(_ entry: LedgerEntry) -> Bool {
        guard let uid = entry.record.pod?.uid else { return false }
        return uid == migratedFrom?.podUID || uid == podUID && entry.attachment?.interface == interface
    }
}

extension LedgerEntry {
    fileprivate struct User: Hashable {
        var podUID: String?
        var interface: String?
    }

    fileprivate var user: User { User(podUID: record.pod?.uid, interface: attachment?.interface) }

    fileprivate var userText: String {
        let pod = podKey.map { "pod \($0)" } ?? "a container"
        return "interface \(attachment?.interface ?? "") of \(pod) on node \(record.node)"
    }

    /// The pod that a virtual machine migrated from, whose last holder had the address.
    var migrationSource: PodKey? {
        guard let claim, let source = record.migratedFrom else { return nil }
        return PodKey(namespace: claim.namespace, name: source.pod)
    }
}

extension PodKey {
    init(_ claim: ClaimReference) { self.init(namespace: claim.namespace, name: claim.name) }
}
