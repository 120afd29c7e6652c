package import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
package import KubernetesCore

/// What the ledger says of an address that a live sandbox uses.
package enum HoldingFinding: Hashable, Sendable {
    /// An ADD or DEL of the attachment is under way.
    case busy
    /// The sandbox is dead by now, a DEL has come, or its pod is gone: nothing is entered for it.
    case notWanted
    /// It says what the journal says.
    case intact
    /// An attachment of this node holds it that is dead.
    case heldByDead(Attachment)
    /// It was entered again.
    case restored
    /// The pod that the guest of the sandbox's virtual machine migrates to has it, or did when its guest came here.
    case migrated
    /// Somebody else has it, who is not known to be dead.
    case conflict(with: String)
    /// It changed meanwhile, or is being deleted: it is looked at again.
    case unsettled
}

/// What the ledger must know of sandboxes, from whoever can see them.
package protocol SandboxWitness {
    /// Whether the sandbox of an entry is there.
    func isAlive(_ entry: JournalEntry) -> Bool
    /// Whether the sandbox of another attachment of this node is gone for good, by its entry as it is now.
    func isDead(_ attachment: Attachment, _ found: Journal.Lookup) -> Bool
}

extension Ledger {
    /// Enters an address again that a live sandbox of this node uses and that the ledger has lost.
    ///
    /// - Flow: under the attachment's lock the entry is read again; the pod and the allocation are read at the API
    ///   server; the claim is written down, and then made: a create where there is no such allocation, otherwise an update
    ///   on condition of the version that was read.
    /// - Guarantees: an address is entered only for an attachment whose ADD returned it, whose sandbox is there, of which
    ///   no DEL has come, and whose pod exists. It is taken only from nobody (Cooling), or from an attachment of this node
    ///   and machine that the witness calls dead while its lock is held. The create is accounted for in the journal like
    ///   an ADD's, so that a DEL that comes next finds it.
    /// - Caveats: while a virtual machine migrates, both its sandboxes use its addresses, and the ledger names the one that
    ///   it migrates to: nothing is entered for the other one until that has given them back. An address that an ADD could not give back, and that was never returned, counts as used here; it is
    ///   free after the DEL.
    /// - Parameter holder: The dead attachment that the address may be taken from: whoever has found it before.
    package mutating func restore(
        _ attachment: Attachment, name: String, taking holder: Attachment?, witness: some SandboxWitness,
        deadline: Moment
    ) throws(LedgerError) -> HoldingFinding {
        let scope = JournalLock.Scope.attachment(digest: attachment.digest)
        let finding = try journal.withLock(scope, until: transport.now()) { () throws(LedgerError) in
            try restoreAlone(attachment, name, taking: holder, witness, deadline: deadline)
        }
        return finding ?? .busy
    }

    private func restoreAlone(
        _ attachment: Attachment, _ name: String, taking holder: Attachment?, _ witness: some SandboxWitness,
        deadline: Moment
    ) throws(LedgerError) -> HoldingFinding {
        guard let entry = try wantedEntry(attachment, witness),
            let record = entry.held.first(where: { $0.name == name })
        else { return .notWanted }
        let (pod, found) = try read(entry, name, deadline: deadline)
        guard let (origin, reference, machine) = Self.identity(entry, pod) else { return .notWanted }
        var claimant = Claimant(
            attachment: attachment, origin: origin, pod: reference, node: node, machineID: machineID,
            boot: origin == .container ? nil : journal.bootID, claim: record.claim, machine: machine)
        guard let found else {
            let spec = claimant.spec(record, claimedAt: timestamp)
            return try enter(
                entry, record, .create(.ipAllocations, name: name, object: claimant.newObject(spec)), deadline: deadline
            )
        }
        let allocation: IPAllocation
        do {
            allocation = try IPAllocation(found)
        } catch {
            throw .malformed(name: name, problem: "\(error)")
        }
        if claimant.holds(allocation) { return .intact }
        if allocation.metadata.isBeingDeleted { return .unsettled }
        claimant.claim = allocation.spec.claim
        // A DEL goes by what is written now.
        var restored = record
        restored.claim = claimant.claim
        let spec = claimant.spec(record, claimedAt: timestamp)
        let write = APIRequest.update(
            .ipAllocations, name: name, object: claimant.takingOver(allocation, spec))
        switch allocation.spec.state {
        case .cooling:
            return try enter(entry, restored, write, deadline: deadline)
        case .held:
            // Kept for the claim that it was taken for, and nobody has it.
            guard let claim = record.claim, allocation.spec.claim?.uid == claim.uid else {
                return .conflict(with: allocation.holderDescription)
            }
            return try enter(entry, restored, write, deadline: deadline)
        case .bound, .fenced:
            if let reference, allocation.isHandedOver(from: reference, of: machine, claim: record.claim) {
                return .migrated
            }
            guard let other = allocation.spec.attachment, allocation.spec.origin != .manual,
                allocation.spec.node == node, allocation.spec.machineID == machineID
            else { return .conflict(with: allocation.holderDescription) }
            // Never waits for it, so that two who want each other's lock both go on.
            let scope = JournalLock.Scope.attachment(digest: other.digest)
            let isShared = scope.byte == JournalLock.Scope.attachment(digest: attachment.digest).byte
            guard !isShared else { return .conflict(with: allocation.holderDescription) }
            let finding = try journal.withLock(scope, until: transport.now()) { () throws(LedgerError) in
                let others = try journaled { () throws(JournalError) in try journal.entry(for: other.digest) }
                guard witness.isDead(other, others) else {
                    return HoldingFinding.conflict(with: allocation.holderDescription)
                }
                return other == holder ? try enter(entry, restored, write, deadline: deadline) : .heldByDead(other)
            }
            return finding ?? .unsettled
        }
    }

    /// The entry of an attachment whose addresses are in use.
    private func wantedEntry(
        _ attachment: Attachment, _ witness: some SandboxWitness
    ) throws(LedgerError) -> JournalEntry? {
        let digest = attachment.digest
        let found = try journaled { () throws(JournalError) in try journal.entry(for: digest) }
        guard case .entry(let entry) = found, entry.phase == .bound, entry.bootID == journal.bootID,
            !journal.isReleasing(digest), witness.isAlive(entry)
        else { return nil }
        let wasDeleted = try journaled { () throws(JournalError) in
            try journal.wasDeleted(digest, since: entry.since)
        }
        return wasDeleted ? nil : entry
    }

    /// The pod and the allocation, in one round trip; nil where the API server proves that there is none.
    private func read(
        _ entry: JournalEntry, _ name: String, deadline: Moment
    ) throws(LedgerError) -> (pod: JSON?, allocation: JSON?) {
        var requests = [APIRequest.get(.ipAllocations, name: name)]
        if let pod = entry.pod {
            requests.append(.get(.pods, namespace: pod.namespace, name: pod.name, metadataOnly: true))
        }
        let answers = ask(requests, deadline: deadline)
        return (
            try answers.count > 1 ? answers[1].unlessNotFound() : nil, try answers[0].unlessNotFound()
        )
    }

    /// For whom the address is entered; nil where the pod is gone.
    private static func identity(
        _ entry: JournalEntry, _ found: JSON?
    ) -> (AllocationOrigin, PodReference?, VirtualMachinePod?)? {
        guard let pod = entry.pod else { return (.container, nil, nil) }
        let metadata = found.flatMap { try? ObjectMetadata(JSONFields($0)) }
        if found != nil, metadata == nil { return nil }
        let arguments = PodArguments(namespace: pod.namespace, name: pod.name, uid: pod.uid)
        switch PodIdentity(arguments: arguments, found: metadata) {
        case .pod(let pod): return (.pod, pod, metadata.flatMap { VirtualMachinePod($0) })
        case .staticPod(let pod): return (.static, pod, nil)
        case .gone, .replaced: return nil
        }
    }

    /// Makes the write, having written down that it may be committed.
    private func enter(
        _ entry: JournalEntry, _ record: JournalEntry.Record, _ write: APIRequest, deadline: Moment
    ) throws(LedgerError) -> HoldingFinding {
        let now = transport.now()
        guard now < deadline, let index = entry.records.firstIndex(where: { $0.name == record.name }) else {
            return .unsettled
        }
        var draft = entry
        draft.records[index].claim = record.claim
        let limit = deadline + JournalEntry.commitSlack
        draft.records[index].mayCommitUntil = max(limit, record.mayCommitUntil ?? limit)
        try journaled { () throws(JournalError) in try journal.write(draft) }
        // Once: what came of it is seen at the next look.
        let reply = transport.perform([write.limited(to: deadline - now)], deadline: deadline)[0]
        switch interpret(reply, to: write) {
        case .success(let json):
            guard let metadata = try? ObjectMetadata(JSONFields(json)) else { return .unsettled }
            draft.records[index].version = ObjectVersion(
                uid: metadata.uid, resourceVersion: metadata.resourceVersion)
            // Of two copies that were sent, the other one may be committed when the name is free again.
            if (try? reply.get())?.wasSentTwice != true { draft.records[index].mayCommitUntil = record.mayCommitUntil }
            try journaled { () throws(JournalError) in try journal.write(draft) }
            return .restored
        case .failure(let error):
            if !error.mayHaveCommitted, (try? reply.get())?.wasSentTwice != true {
                // Nothing of it is under way.
                try journaled { () throws(JournalError) in try journal.write(entry) }
            }
            if error.isAlreadyExists || error.isConflict || error.isNotFound { return .unsettled }
            throw .api(error, attempts: 1)
        }
    }
}

extension Claimant {
    /// The allocation that says that this claimant holds what it has been given before.
    fileprivate func spec(_ record: JournalEntry.Record, claimedAt: String) -> IPAllocation.Spec {
        IPAllocation.Spec(
            state: .bound, origin: origin, pool: record.pool, poolUID: record.poolUID, address: record.address,
            network: record.network, node: node, machineID: machineID, attachment: attachment, pod: pod,
            claim: claim, cooldownSeconds: record.cooldownSeconds, claimedAt: claimedAt, releasedAt: nil)
    }
}

extension JournalEntry.Record {
    /// The isolation domain, which is part of the name.
    fileprivate var network: String { AllocationName(objectName: name)?.network ?? "" }
}
