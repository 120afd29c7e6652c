package import IPAMAPI
import IPAddressing
package import KubernetesCore

/// When addresses that are kept for one IPClaim are kept no longer, although the claim is there.
///
/// - Flow: whoever watches tells the state again and again; what has been in one state for long enough is to be freed.
/// - Guarantees: what an attachment has is never named, and neither is what `spec.addresses` asks for. Time counts on the
///   watcher's clock from when it saw the allocation in the version that it is in.
/// - Caveats: a watcher without memory begins to count anew.
package struct ClaimRetention: Hashable, Sendable {
    /// How long an address that the claim's holder did not take, when it took others, stays kept: longer than an ADD and
    /// its late writes last. It is of another subnet or excluded by now, or was left behind by an ADD that was killed.
    package static let surplusTime: Duration = .seconds(240)

    /// An allocation of the claim, as the watcher sees it.
    package struct Kept: Hashable, Sendable {
        package var record: AllocationRecord
        package var version: String

        package init(_ record: AllocationRecord, version: String) {
            self.record = record
            self.version = version
        }
    }

    private struct Sighting: Hashable, Sendable {
        var version: String
        /// The attachment beside which it is surplus; nil while it only waits for its next holder.
        var surplusTo: String?
        var since: Moment
    }

    private var sightings: [String: Sighting] = [:]

    package init() {}

    package var isIdle: Bool { sightings.isEmpty }

    /// - Returns: The names of what is to be freed now, and when to look again.
    package mutating func observe(
        _ claim: IPClaim, _ allocations: [Kept], now: Moment
    ) -> (expired: [String], next: Moment?) {
        let users = Set(allocations.compactMap { $0.record.state == .bound ? $0.record.attachmentDigest : nil })
        let user = claim.status.holder.flatMap { users.contains($0.attachment) ? $0.attachment : nil }
        let wishes = Set(claim.spec.addresses.compactMap { IPAddress($0) })
        var seen: [String: Sighting] = [:]
        var expired: [String] = []
        var next: Moment?
        for kept in allocations where kept.record.state == .held && !kept.record.isBeingDeleted {
            let record = kept.record
            guard !wishes.contains(record.address) else { continue }
            let limit: Duration
            if user != nil {
                limit = Self.surplusTime
            } else if let seconds = claim.secondsUnused {
                limit = .seconds(seconds)
            } else {
                continue
            }
            var sighting = Sighting(version: kept.version, surplusTo: user, since: now)
            if let known = sightings[record.name], known.version == sighting.version, known.surplusTo == user {
                sighting.since = known.since
            }
            seen[record.name] = sighting
            let end = sighting.since + limit
            if now >= end { expired.append(record.name) } else { next = min(next ?? end, end) }
        }
        sightings = seen
        return (expired.sorted(), next)
    }
}

/// Whether a claim goes because of the StatefulSet that owns it.
package enum ClaimOwnership: Hashable, Sendable {
    /// The set may have a pod of the claim's ordinal, or the claim does not depend on a set.
    case wanted
    /// There is no such set any more.
    case ownerGone
    /// The set has fewer pods.
    case scaledBelow

    /// - Parameter set: The StatefulSet of the owner's name; nil where there is none.
    package init(_ claim: IPClaim, set: StatefulSetMark?) {
        guard claim.spec.retention.policy == .untilOwnerDeleted, let owner = claim.statefulSet else {
            self = .wanted
            return
        }
        guard let set, set.uid == owner.uid else {
            self = .ownerGone
            return
        }
        guard let ordinal = Self.ordinal(of: claim.spec.pod, in: owner.name) else {
            self = .wanted
            return
        }
        let isWithin = ordinal >= set.firstOrdinal && ordinal - set.firstOrdinal < set.replicas
        self = isWithin ? .wanted : .scaledBelow
    }

    /// `web-2` of the set `web` is 2.
    package static func ordinal(of pod: String, in set: String) -> Int? {
        guard pod.hasPrefix("\(set)-") else { return nil }
        let digits = pod.dropFirst(set.count + 1)
        guard !digits.isEmpty, digits.allSatisfy({ ("0"..."9").contains($0) }) else { return nil }
        return Int(digits)
    }
}

extension IPClaim {
    /// The StatefulSet that owns the claim.
    package var statefulSet: OwnerReference? { metadata.ownerReferences.first { $0.isStatefulSet } }

    /// The virtual machine that owns the claim.
    package var virtualMachine: OwnerReference? {
        metadata.ownerReferences.first { $0.isVirtualMachine || $0.isVirtualMachineInstance }
    }

    /// The IPAMClaim that the claim stands for.
    package var ipamClaim: OwnerReference? { metadata.ownerReferences.first { $0.isIPAMClaim } }

    /// It is a pod's, was to go with its StatefulSet, and has none any more: `kubectl delete --cascade=orphan` takes the
    /// owner from all that it owned. Those of virtual machines and IPAMClaims stay, for no pod tells of their owner.
    package var isOrphaned: Bool {
        isAutomatic && spec.retention.policy == .untilOwnerDeleted && keeper == nil && !spec.pod.isEmpty
    }

    /// How long it keeps what nobody uses, in seconds; nil for as long as the claim is there.
    package var secondsUnused: Int? {
        switch spec.retention.policy {
        case .period: spec.retention.seconds
        case .untilOwnerDeleted: isOrphaned ? AutomaticClaim.secondsWithoutOwner : nil
        case .untilClaimDeleted: nil
        }
    }

    /// What the claim goes with, of those that claims are made for.
    package var keeper: OwnerReference? { statefulSet ?? virtualMachine ?? ipamClaim }

    /// What the claim goes with, where that is an earlier set or machine of the name: one that was made anew inherits
    /// nothing, for its predecessor's claims are deleted in a moment. That of an instance which has got a machine meanwhile
    /// goes on until the instance ends.
    package func earlierKeeper(than wanted: AutomaticClaim, _ machine: VirtualMachinePod?) -> OwnerReference? {
        guard let keeper, let present = wanted.owner, keeper.uid != present.uid, keeper.uid != machine?.instance.uid
        else { return nil }
        return keeper
    }
}
