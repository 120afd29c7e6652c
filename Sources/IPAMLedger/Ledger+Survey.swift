import IPAMAPI
import IPAMEngine
import JSONText
import KubernetesCore

extension Ledger {
    /// What an ADD must know before it may claim.
    struct Situation {
        var claimant: Claimant
        /// Nil where there is no pod, or none in the API.
        var podMetadata: ObjectMetadata?
        var pools: [String: ValidatedPool]
        /// Names from earlier ADDs: with a version where the attachment holds them, without one where a create may
        /// still be committed.
        var leftover: [JournalEntry.Record]
    }

    /// Reads, in one round trip, the pod, every pool, and the names that an earlier ADD may have created.
    func survey(
        _ order: ClaimOrder, leftover: [JournalEntry.Record], deadline: Moment, isDryRun: Bool = false
    ) throws(LedgerError) -> Situation {
        let podRequests = order.pod.map { pod in
            [APIRequest.get(.pods, namespace: pod.namespace, name: pod.name, metadataOnly: true)]
        }
        let names = order.poolNames
        let requests =
            (podRequests ?? []) + names.map { APIRequest.get(.ipPools, name: $0) }
            + leftover.map { APIRequest.get(.ipAllocations, name: $0.name) }
        var answers = ask(requests, deadline: deadline)[...]

        var claimant = Claimant(
            attachment: order.attachment, origin: .container, pod: nil, node: node, machineID: machineID)
        var podMetadata: ObjectMetadata?
        if let arguments = order.pod {
            let found = try answers.removeFirst().unlessNotFound()
            (claimant.origin, claimant.pod, podMetadata) = try identify(arguments, found)
        }
        var pools: [String: ValidatedPool] = [:]
        let inline = Dictionary(uniqueKeysWithValues: order.inlinePools.map { ($0.poolName, $0) })
        for name in names {
            var found = try answers.removeFirst().unlessNotFound()
            if found == nil, let definition = inline[name] {
                found = try makeInlinePool(definition, deadline: deadline, isDryRun: isDryRun)
            }
            pools[name] = try validate(name, found, inline[name])
        }
        var remembered: [JournalEntry.Record] = []
        for record in leftover {
            let found = try answers.removeFirst().unlessNotFound()
            if let record = record.seen(found, by: claimant, now: transport.now()) { remembered.append(record) }
        }
        return Situation(claimant: claimant, podMetadata: podMetadata, pools: pools, leftover: remembered)
    }

    private func identify(
        _ arguments: PodArguments, _ found: JSON?
    ) throws(LedgerError) -> (AllocationOrigin, PodReference, ObjectMetadata?) {
        let name = "\(arguments.namespace)/\(arguments.name)"
        let metadata = try found.map { json throws(LedgerError) in
            do throws(JSONDecodingError) {
                return try ObjectMetadata(try JSONFields(json))
            } catch {
                throw .malformed(name: "pod \(name)", problem: "\(error)")
            }
        }
        switch PodIdentity(arguments: arguments, found: metadata) {
        case .pod(let pod): return (.pod, pod, metadata)
        case .staticPod(let pod): return (.static, pod, metadata)
        case .gone: throw .podChanged("pod \"\(name)\" does not exist (any more)")
        case .replaced(let uid):
            throw .podChanged(
                "pod \"\(name)\" was replaced: the API server has UID \(uid), the container runtime said"
                    + " \(arguments.uid ?? "nothing")")
        }
    }

    private func validate(
        _ name: String, _ found: JSON?, _ inline: InlinePoolDefinition?
    ) throws(LedgerError) -> ValidatedPool {
        guard let found else {
            throw .poolUnusable("IPPool \"\(name)\" does not exist; `kubectl get ippools` lists those that do")
        }
        do {
            let pool = try IPPool(found)
            if let inline, !inline.matches(pool) {
                throw LedgerError.poolUnusable(
                    "IPPool \"\(name)\" is not what the network configuration describes: it was edited, or its name"
                        + " belongs to another range; delete it or change the range")
            }
            return try ValidatedPool(pool)
        } catch let error as LedgerError {
            throw error
        } catch {
            throw .poolUnusable("IPPool \"\(name)\" is invalid: \(error)")
        }
    }

    /// Creates the pool of a range that is written in the network configuration, unless another node was faster.
    private func makeInlinePool(
        _ definition: InlinePoolDefinition, deadline: Moment, isDryRun: Bool
    ) throws(LedgerError) -> JSON? {
        let request = APIRequest.create(
            .ipPools, name: definition.poolName, object: definition.newObject(),
            options: WriteOptions(dryRun: isDryRun))
        switch ask([request], deadline: deadline)[0] {
        case .success(let json):
            log.log(.info, "created an inline pool", [("pool", definition.poolName)])
            return json
        case .failure(.api(let error, _)) where error.isAlreadyExists:
            return try ask([.get(.ipPools, name: definition.poolName)], deadline: deadline)[0].unlessNotFound()
        case .failure(let error):
            throw error
        }
    }
}

extension JournalEntry.Record {
    /// What is left of a name that an earlier ADD wrote down, after a read of it (nil: proven absent).
    ///
    /// With a version the claimant holds it. Without one a create of it may still be committed, at once or when its
    /// present holder is gone. Nil where it is neither.
    func seen(_ found: JSON?, by claimant: Claimant, now: Moment) -> JournalEntry.Record? {
        if let found, let allocation = try? IPAllocation(found), claimant.holds(allocation) {
            var record = JournalEntry.Record(allocation)
            record.mayCommitUntil = mayCommitUntil
            record.isKept = isKept
            return record
        }
        var record = self
        record.version = nil
        return mayStillCommit(at: now) ? record : nil
    }
}
