import IPAMAPI
import IPAddressing
import JSONText
import KubernetesCore

/// What becomes of an address when its attachment is gone.
enum ReleaseMode: Hashable, Sendable {
    /// Never returned in a result, so nobody has used it: deleted.
    case delete
    /// In use until a moment ago: nobody gets it before its cooldown is over. Deleted where that is zero.
    case cool

    enum Outcome: Hashable, Sendable { case deleted, cooling, held }

    /// What the allocation becomes. What an IPClaim keeps goes back to it, unless it was made for this attachment and
    /// never used.
    func outcome(isClaimed: Bool, _ record: JournalEntry.Record) -> Outcome {
        switch self {
        case .delete: isClaimed && record.isKept ? .held : .deleted
        case .cool: isClaimed ? .held : record.cooldownSeconds == 0 ? .deleted : .cooling
        }
    }
}

/// The release of one name, on condition that this attachment still holds it.
///
/// - Flow: write on condition of the version that the journal kept; where there is none, it is stale, or of an entry that
///   was made by hand, read the allocation and compare the attachment.
/// - Guarantees: an allocation that names another attachment, another machine or none is left as it is, and so is one
///   that somebody has turned into an entry by hand.
/// - Assumptions: the attachment's lock is held.
/// - Caveats: while a create of the name may still be committed, its absence settles nothing: ``isSettled`` stays false.
/// - Errors: ``error`` tells what kept an unsettled name from being settled.
struct Release: Conversation {
    let record: JournalEntry.Record
    private let now: () -> Moment
    private let isDeleted: Bool
    private var swap: CompareAndSwap
    /// When the answer was asked for that came last.
    private var askedAt: Moment?

    init(
        _ record: JournalEntry.Record, of attachment: Attachment, machineID: String, mode: ReleaseMode,
        releasedAt: String, now: @escaping () -> Moment
    ) {
        self.record = record
        self.now = now
        let holder = Holder(attachment: attachment, machineID: machineID)
        isDeleted = mode.outcome(isClaimed: record.claim != nil, record) == .deleted
        swap = CompareAndSwap(
            .ipAllocations, name: record.name,
            starting: record.isManual ? nil : record.version.map { holder.remembered(record, $0) }
        ) { object in
            guard holder.isNamed(in: object), !Self.isManual(object) else { return .leave }
            let state: IPAllocation.ReleasedState
            switch mode.outcome(isClaimed: object["spec"]?["claim"]?.object != nil, record) {
            case .deleted: return .delete
            case .cooling: state = .cooling
            case .held: state = .held
            }
            let metadata = try ObjectMetadata(try JSONFields(object))
            return .patch(
                .merge(
                    IPAllocation.releasePatch(
                        at: releasedAt, to: state, uid: metadata.uid, resourceVersion: metadata.resourceVersion)))
        }
    }

    /// Somebody has made it an entry by hand, which is nobody else's to release.
    private static func isManual(_ object: JSON) -> Bool {
        object["spec"]?["origin"]?.string == AllocationOrigin.manual.rawValue
    }

    mutating func next(remaining: Duration) -> ConversationStep {
        let step = swap.next(remaining: remaining)
        if case .send = step { askedAt = now() }
        return step
    }

    mutating func receive(_ result: Result<JSON, APIError>, wasSentTwice: Bool) {
        swap.receive(result, wasSentTwice: wasSentTwice)
    }

    /// Whether nothing of this name is, or can come to be, held by the attachment.
    var isSettled: Bool {
        switch swap.result {
        // A name that was free, or somebody else's, may have become ours since.
        case .success: !record.mayStillCommit(at: askedAt ?? now())
        case .failure, nil: false
        }
    }

    /// Whether it was this release that took the name from the attachment. Otherwise the attachment did not hold it any
    /// more, or the answer to the write was lost.
    var wasMade: Bool {
        if case .success(.done) = swap.result { true } else { false }
    }

    /// The address, once it is settled; nil before.
    var freed: FreedAddress? {
        guard isSettled, case .success(let outcome) = swap.result else { return nil }
        let isFree =
            switch outcome {
            case .done: isDeleted
            case .gone: true
            case .left: false
            }
        return FreedAddress(address: record.address, poolUID: record.poolUID, isFree: isFree)
    }

    /// Whether all that is left is that a create which nothing was heard of may still be committed.
    var isAwaitingCommit: Bool {
        if case .success = swap.result { !isSettled } else { false }
    }

    var error: LedgerError? {
        if isSettled { return nil }
        switch swap.result {
        case .success:
            return .deadline("the create of IPAllocation \"\(record.name)\" may still be committed")
        case .failure(let error as APIError):
            return .api(error, attempts: swap.attempts)
        case .failure(let error):
            return .malformed(name: record.name, problem: "\(error)")
        case nil:
            if let error = swap.lastError { return .api(error, attempts: swap.attempts) }
            return .deadline("IPAllocation \"\(record.name)\" was not released yet")
        }
    }

    /// Whether the API server could not be asked, as opposed to an answer that leaves the name open.
    var wasUnreachable: Bool {
        if case .success = swap.result { return false }
        if case .transport = swap.lastError { return true }
        return swap.attempts == 0
    }
}

/// An address that a release took from its attachment a moment ago, or found taken from it.
struct FreedAddress: Hashable, Sendable {
    var address: IPAddress
    var poolUID: String
    /// Whether its allocation is gone. Otherwise it is cooling, or somebody else's by now.
    var isFree: Bool
}

/// Who an allocation must name to be released. Compared on the raw object, for one that was edited by hand into
/// something that does not decode can still say whose it is.
private struct Holder {
    var attachment: Attachment
    var machineID: String

    func isNamed(in object: JSON) -> Bool {
        guard object["metadata"]?["deletionTimestamp"]?.string == nil, let spec = object["spec"],
            let found = spec["attachment"]
        else { return false }
        return spec["machineID"]?.string == machineID
            && found["containerID"]?.string == attachment.containerID
            && found["interface"]?.string == attachment.interface
            && found["networkName"]?.string == attachment.networkName
    }

    /// The allocation as the journal remembers it.
    func remembered(_ record: JournalEntry.Record, _ version: ObjectVersion) -> JSON {
        var spec: JSON = ["machineID": .string(machineID), "attachment": attachment.json]
        spec["claim"] = record.claim?.json
        return [
            "metadata": [
                "name": .string(record.name), "uid": .string(version.uid),
                "resourceVersion": .string(version.resourceVersion),
            ],
            "spec": spec,
        ]
    }
}
