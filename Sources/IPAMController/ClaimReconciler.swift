package import IPAMAPI
import IPAMEngine
import IPAMOperation
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
package import KubernetesRuntime
package import Logging
import Synchronization

/// Keeps addresses for IPClaims, and frees what is kept for none.
///
/// Flow: a claim and all its allocations are looked at together. Of a claim that is gone what is kept goes into cooldown.
/// Of one that is there: made by itself, it is deleted when its StatefulSet is gone or too small, or when it has kept
/// nothing for long enough; where it has lost its owner, it is given to the StatefulSet that has adopted its pod, or ends
/// like a claim that never had one; the addresses that it asks for are entered for it; what it has kept for longer than its
/// retention is freed; and its status is written, and that of the IPAMClaim that it stands for.
///
/// Guarantees: nothing is freed before a read at the API server shows that the claim, its StatefulSet or its ordinal is
/// gone, or that the claim still wants it freed, nor while a pod is there that a virtual machine has migrated from and may
/// still run in; each write is on condition of the version that was judged. What an attachment has is left to its release,
/// after which it is looked at again. The holder of a claim is never written.
///
/// Assumptions: runs only on the leader, and pods come and go without it.
///
/// Errors: a claim whose address another has gets the condition `Ready` False, which names both, and is tried again.
package final class ClaimReconciler: Reconciler {
    /// Until an address that another has is tried again.
    static let retry: Duration = .seconds(5)
    /// Until a claim is looked at again that waits for what the API server tells nobody of.
    static let slowRetry: Duration = .seconds(60)
    /// The same, for a namespace's labels.
    static let labelRetry: Duration = .seconds(15)
    /// Between two looks for a new owner of a claim that has lost its own.
    static let adoptionPause: Duration = .seconds(60)
    /// Between two looks at whether the pod of a claim that keeps nothing is still there.
    static let podPause: Duration = .seconds(30)

    let view: ClusterView
    let writer: LedgerWriter
    private let logger: Logger
    private let retentions = Mutex<[String: ClaimRetention]>([:])
    /// Since when a claim has kept nothing, by its UID.
    private let idle = Mutex<[String: (resourceVersion: String, since: Moment)]>([:])

    package init(_ view: ClusterView, _ writer: LedgerWriter, logger: Logger) {
        self.view = view
        self.writer = writer
        self.logger = logger
    }

    /// A term of leadership begins.
    package func forget() {
        retentions.withLock { $0 = [:] }
        idle.withLock { $0 = [:] }
    }

    package func reconcile(_ reference: ClaimReference) async throws -> Requeue {
        let key = ObjectKey(namespace: reference.namespace, name: reference.name)
        let allocations = view.allocations(ofClaim: reference.uid)
        switch view.claims[key] {
        // What cannot be read is not gone.
        case .unreadable: return .whenChanged
        case .present(let object) where object.uid == reference.uid:
            return try await keep(object, allocations)
        case .absent, .present:
            return try await free(reference, allocations)
        }
    }

    // MARK: A claim that is gone

    private func free(
        _ reference: ClaimReference, _ allocations: [StoredObject<AllocationRecord>]
    ) async throws -> Requeue {
        retentions.withLock { $0[reference.uid] = nil }
        idle.withLock { $0[reference.uid] = nil }
        let kept = allocations.filter { $0.value.state == .held && !$0.value.isBeingDeleted }
        guard !kept.isEmpty else { return .whenChanged }
        // The store may not have seen it yet.
        if let claim = try await read(reference), claim.metadata.uid == reference.uid { return .after(.seconds(1)) }
        var isInUse = false
        for object in kept where try await !abandon(object, "its claim is gone") { isInUse = true }
        return isInUse ? .after(Self.retry) : .whenChanged
    }

    /// Returns whether nothing is left to do.
    private func abandon(_ object: StoredObject<AllocationRecord>, _ reason: String) async throws -> Bool {
        if try await isGuestElsewhere(object.value) { return false }
        guard case .done = try await writer.abandon(object) else { return true }
        let claim = object.value.claim.map { "\($0.namespace)/\($0.name)" } ?? ""
        logger.info(
            "freed a kept address",
            metadata: ["allocation": "\(object.value.name)", "claim": "\(claim)", "reason": "\(reason)"])
        return true
    }

    /// Whether a virtual machine may run in the pod that it was migrating from when its last holder gave the address back.
    private func isGuestElsewhere(_ record: AllocationRecord) async throws -> Bool {
        guard let source = record.migratedFrom, let claim = record.claim else { return false }
        let json = try await writer.client.read(
            .pods, namespace: claim.namespace, name: source.pod, deadline: try writer.deadline())
        guard let json else { return false }
        return try PodFact(json) == .present(uid: source.podUID)
    }

    private func read(_ reference: ClaimReference) async throws -> IPClaim? {
        let json = try await writer.client.read(
            .ipClaims, namespace: reference.namespace, name: reference.name, deadline: try writer.deadline())
        return try json.map { try IPClaim($0) }
    }

    // MARK: A claim that is there

    private func keep(
        _ object: StoredObject<IPClaim>, _ allocations: [StoredObject<AllocationRecord>]
    ) async throws -> Requeue {
        let claim = object.value
        guard !claim.metadata.isBeingDeleted else { return .whenChanged }
        // Nobody finds it: no node's plugin has made it.
        var isUnwanted = claim.isAutomatic && !claim.hasOwnName && allocations.isEmpty
        if !isUnwanted { isUnwanted = try await self.isUnwanted(claim) }
        if isUnwanted {
            try await delete(object)
            return .whenChanged
        }
        var wakeUps: [Duration] = []
        if claim.isOrphaned, case .present = view.pods[claim.podKey] {
            if try await adopt(object) { return .whenChanged }
            wakeUps.append(Self.adoptionPause)
        }
        if claim.isAutomatic, let pause = try await endIdle(object, allocations) { wakeUps.append(pause) }
        let (condition, pause) = try await hold(claim, allocations)
        if let pause { wakeUps.append(pause) }
        if let pause = try await expire(claim, allocations) { wakeUps.append(pause) }
        try await writeStatus(object, allocations, condition)
        if let pause = try await tellIPAMClaim(claim, allocations) { wakeUps.append(pause) }
        return wakeUps.min().map { .after($0) } ?? .whenChanged
    }

    /// Whether the claim goes with its StatefulSet, by the store first and then by a read.
    private func isUnwanted(_ claim: IPClaim) async throws -> Bool {
        guard let owner = claim.statefulSet else { return false }
        let key = ObjectKey(namespace: claim.namespace, name: owner.name)
        let known: StatefulSetMark?
        switch view.statefulSets[key] {
        case .unreadable: return false
        case .absent: known = nil
        case .present(let object): known = object.value
        }
        guard ClaimOwnership(claim, set: known) != .wanted else { return false }
        let json = try await writer.client.read(
            .statefulSets, namespace: claim.namespace, name: owner.name, deadline: try writer.deadline())
        return ClaimOwnership(claim, set: try json.map { try StatefulSetMark($0) }) != .wanted
    }

    /// Gives a claim that has lost its owner to the StatefulSet that its pod has now.
    private func adopt(_ object: StoredObject<IPClaim>) async throws -> Bool {
        let claim = object.value
        let json = try await writer.client.read(
            .pods, namespace: claim.namespace, name: claim.spec.pod, deadline: try writer.deadline())
        let pod = try json.map { try ObjectMetadata(JSONFields($0)) }
        guard let set = pod?.ownerReferences.first(where: { $0.isController && $0.isStatefulSet }) else { return false }
        // The set that is being deleted without them may still own its pods when it has lost its claims.
        let found = try await writer.client.read(
            .statefulSets, namespace: claim.namespace, name: set.name, deadline: try writer.deadline())
        guard let owner = try found.map({ try ObjectMetadata(JSONFields($0)) }), owner.uid == set.uid,
            !owner.isBeingDeleted
        else { return false }
        let outcome: WriteOutcome
        do {
            outcome = try await writer.patch(
                .ipClaims, namespace: claim.namespace, object.metadata(claim.metadata.name),
                ["metadata": ["ownerReferences": AutomaticClaim.ownerReferences(set)]])
        } catch let error as APIError where error.isForbidden {
            // Roles of an earlier version.
            logger.warning("a claim that has lost its StatefulSet stays without one", metadata: ["error": "\(error)"])
            return false
        }
        guard case .done = outcome else { return true }
        logger.info(
            "gave a claim without an owner to the StatefulSet of its pod",
            metadata: [
                "claim": "\(claim.namespace)/\(claim.metadata.name)", "statefulSet": "\(set.name)",
            ])
        return true
    }

    private func delete(_ object: StoredObject<IPClaim>) async throws {
        let claim = object.value
        // Another state of one that was overtaken is on its way to the store.
        let outcome = try await writer.delete(
            .ipClaims, namespace: claim.namespace, object.metadata(claim.metadata.name))
        guard case .done = outcome else { return }
        logger.info(
            "deleted a claim that nobody wants any more",
            metadata: ["claim": "\(claim.namespace)/\(claim.metadata.name)"])
    }

    /// A claim without an owner that was made by itself is deleted when its retention is over and nothing of it is left.
    private func endIdle(
        _ object: StoredObject<IPClaim>, _ allocations: [StoredObject<AllocationRecord>]
    ) async throws -> Duration? {
        let claim = object.value
        guard allocations.isEmpty, let seconds = claim.secondsUnused else {
            idle.withLock { $0[object.uid] = nil }
            return nil
        }
        guard case .absent = view.pods[claim.podKey] else {
            idle.withLock { $0[object.uid] = nil }
            // The end of a pod that never got an address tells of no claim.
            return Self.podPause
        }
        let now = writer.client.clock.now()
        let since = idle.withLock { idle in
            if let known = idle[object.uid], known.resourceVersion == object.resourceVersion { return known.since }
            idle[object.uid] = (object.resourceVersion, now)
            return now
        }
        // What was kept has been so for the whole retention; a pod that comes back just now may not be in the store yet.
        let end = since + min(.seconds(seconds), ClaimRetention.surplusTime)
        guard now >= end else { return end - now }
        try await delete(object)
        return nil
    }

    private func expire(
        _ claim: IPClaim, _ allocations: [StoredObject<AllocationRecord>]
    ) async throws -> Duration? {
        let now = writer.client.clock.now()
        let kept = allocations.map { ClaimRetention.Kept($0.value, version: $0.resourceVersion) }
        let (expired, next) = retentions.withLock { retentions in
            var retention = retentions[claim.metadata.uid] ?? ClaimRetention()
            let answer = retention.observe(claim, kept, now: now)
            retentions[claim.metadata.uid] = retention.isIdle ? nil : retention
            return answer
        }
        if !expired.isEmpty {
            // What was seen may be old: a retention that was made longer counts, and a new holder too.
            guard let current = try await read(claim.reference), current.metadata.uid == claim.metadata.uid,
                current.spec == claim.spec, current.status.holder == claim.status.holder
            else { return Self.retry }
            for object in allocations where expired.contains(object.value.name) {
                let isDone = try await abandon(object, "nobody has used it for as long as it is kept")
                if !isDone { return Self.retry }
            }
        }
        return next.map { max($0 - now, .zero) }
    }

    // MARK: Addresses that a claim asks for

    /// Enters what is missing. Returns the condition Ready, as if it were new, and when to try again what nothing wakes up.
    private func hold(
        _ claim: IPClaim, _ allocations: [StoredObject<AllocationRecord>]
    ) async throws -> (Condition, pause: Duration?) {
        var problems: [(reason: String, message: String)] = []
        var pauses: [Duration] = []
        guard !claim.spec.addresses.isEmpty else { return (ready(claim, problems), nil) }
        let own = Dictionary(allocations.map { ($0.value.address, $0) }) { first, _ in first }
        let (pools, blocks) = (view.validPools(purpose: claim.spec.purpose), view.validBlocks)
        let missing = claim.spec.addresses.compactMap { IPAddress($0) }.filter { own[$0] == nil }
        let labels =
            missing.contains { ClaimWish.looksAtNamespace($0, of: claim, pools: pools) }
            ? try await namespaceLabels(claim.namespace) : nil
        for text in claim.spec.addresses {
            guard let address = IPAddress(text) else {
                problems.append(("Invalid", "\(text.debugDescription) is not an IP address"))
                continue
            }
            let kept = own[address]
            // What a pod uses is not judged before its release.
            if let kept, !kept.value.isFreelyKept { continue }
            var alternatives = pools
            if let name = kept?.value.pool, claim.spec.pools.isEmpty, view.stays(pool: name) {
                // A pool that takes no claims for a while is the one that the claim's pods are given all the same.
                alternatives = pools.filter { $0.name == name }
                guard !alternatives.isEmpty else {
                    problems.append(("NotInPool", "IPPool \"\(name)\", in which \(address) is kept, is invalid"))
                    continue
                }
            }
            switch ClaimWish(
                address, of: claim, kept: kept?.value, pools: alternatives, blocks: blocks,
                namespaceLabels: kept == nil ? labels : nil)
            {
            case .refused(let problem):
                problems.append(("NotInPool", problem))
                pauses.append(labels != nil && kept == nil ? Self.labelRetry : Self.slowRetry)
            case .from(let pool):
                let isThere = kept?.value.name == pool.allocationName(of: address)
                if isThere, kept?.value.pool == pool.name { continue }
                guard view.hasRule(pool) else {
                    problems.append(
                        (
                            "Compiling",
                            "\(address) is kept once it is known what of IPPool \"\(pool.name)\" is reserved"
                                + " (status.reservedGeneration)"
                        ))
                    continue
                }
                let problem =
                    if isThere, let kept {
                        try await move(kept, to: pool, for: claim)
                    } else {
                        try await hold(address, of: pool, for: claim)
                    }
                if let problem {
                    problems.append((isThere ? "NotMoved" : "AddressTaken", problem))
                    pauses.append(isThere ? Self.slowRetry : labels == nil ? Self.retry : Self.labelRetry)
                }
            }
        }
        return (ready(claim, problems), pauses.min())
    }

    private func ready(_ claim: IPClaim, _ problems: [(reason: String, message: String)]) -> Condition {
        Condition(
            type: "Ready", status: problems.isEmpty ? .true : .false, reason: problems.first?.reason ?? "Kept",
            message: problems.isEmpty
                ? claim.spec.addresses.isEmpty
                    ? "the claim keeps what its pods get" : "every address that the claim asks for is kept for it"
                : problems.map(\.message).joined(separator: "; "),
            lastTransitionTime: writer.timestamp, observedGeneration: claim.metadata.generation)
    }

    /// Read when a wish depends on them, once for each time that a claim is looked at: nobody watches namespaces.
    private func namespaceLabels(_ name: String) async throws -> [String: String] {
        let json = try await writer.client.read(.namespaces, name: name, deadline: try writer.deadline())
        return try json.map { try ObjectMetadata(try JSONFields($0)).labels } ?? [:]
    }

    /// Of two pools that overlap, or follow each other, the claim and its pods may mean the other one. Returns why it cannot
    /// be moved.
    private func move(
        _ kept: StoredObject<AllocationRecord>, to pool: ValidatedPool, for claim: IPClaim
    ) async throws -> String? {
        let outcome: WriteOutcome
        do {
            outcome = try await writer.move(kept, to: pool)
        } catch let error as APIError where error.status?.code == 422 {
            // The custom resource is that of an earlier version.
            return
                "\(kept.value.address) cannot be moved from IPPool \"\(kept.value.pool)\" to \"\(pool.name)\": \(error)"
        }
        // Another state of one that was overtaken is on its way to the store.
        guard case .done = outcome else { return nil }
        logger.info(
            "a kept address is another pool's now",
            metadata: [
                "allocation": "\(kept.value.name)", "claim": "\(claim.namespace)/\(claim.metadata.name)",
                "before": "\(kept.value.pool)", "pool": "\(pool.name)",
            ])
        return nil
    }

    private func hold(_ address: IPAddress, of pool: ValidatedPool, for claim: IPClaim) async throws -> String? {
        let spec = IPAllocation.Spec(
            state: .held, origin: .pod, pool: pool.name, poolUID: pool.uid, address: address, network: pool.network,
            node: "", machineID: "", attachment: nil, pod: nil, claim: claim.reference,
            cooldownSeconds: pool.cooldownSeconds, claimedAt: writer.timestamp, releasedAt: nil)
        func isTaken(by holder: String) -> String {
            "\(address), which claim \"\(claim.namespace)/\(claim.metadata.name)\" asks for, is taken: \(holder)"
        }
        // As long as the store shows another holder the API server is not asked.
        if let record = view.allocations.value(ObjectKey(name: spec.objectName)), !record.isBeingDeleted {
            return record.claim?.uid == claim.metadata.uid ? nil : isTaken(by: record.holderDescription)
        }
        if case .done = try await writer.hold(spec) { return nil }
        let json = try await writer.client.read(
            .ipAllocations, name: spec.objectName, deadline: try writer.deadline())
        guard let json else { return "\(address) is being released" }
        let found: IPAllocation
        do {
            found = try IPAllocation(json)
        } catch {
            return "IPAllocation \"\(spec.objectName)\" cannot be read: \(error); correct it or delete it"
        }
        if found.spec.claim?.uid == claim.metadata.uid { return nil }
        return isTaken(by: found.holderDescription)
    }

    // MARK: Status

    private func writeStatus(
        _ object: StoredObject<IPClaim>, _ allocations: [StoredObject<AllocationRecord>], _ ready: Condition
    ) async throws {
        let claim = object.value
        let kept = Set(allocations.filter { $0.value.state != .cooling }.map(\.value.address))
        var status = claim.status
        status.addresses = kept.sorted().prefix(64).map { "\($0)" }
        status.observedGeneration = claim.metadata.generation
        let ready = ready.keepingTime(of: status.conditions)
        status.conditions = status.conditions.filter { $0.type != ready.type } + [ready]
        guard status != claim.status else { return }
        var json = status.json
        json["holder"] = nil
        if status.addresses.isEmpty { json["addresses"] = .null }
        // The new state of one that was overtaken is on its way to the store.
        _ = try await writer.patch(
            .ipClaims, namespace: claim.namespace, object.metadata(claim.metadata.name), ["status": json],
            subresource: "status")
    }
}

extension AllocationRecord {
    /// It is kept, and no attachment has it.
    fileprivate var isFreelyKept: Bool { self.state == .held && !self.isBeingDeleted }
}

extension IPClaim {
    /// Whether one that was made by itself for a pod has the name that it is looked for by.
    fileprivate var hasOwnName: Bool {
        spec.pod.isEmpty
            || metadata.name
                == AutomaticClaim.name(pod: spec.pod, interface: spec.interface, networkName: spec.networkName)
    }

    /// Of the pod that an automatic claim was made for.
    fileprivate var podKey: ObjectKey { ObjectKey(namespace: namespace, name: spec.pod) }
}
