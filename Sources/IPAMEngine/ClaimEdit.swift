package import IPAMAPI
import IPAddressing
package import JSONText
import KubernetesCore

/// Whether somebody may write an IPClaim.
///
/// - Guarantees: what leaves the spec as it is, is always allowed.
/// - Assumptions: what the stores know may lag. What slips through gets a condition of the claim that says the same.
package enum ClaimEdit {
    /// - Parameters:
    ///   - old: The IPClaim as it is; nil when it is created.
    ///   - new: The IPClaim as it shall be; nil when it is deleted.
    ///   - pools: As whoever names the claim's purpose sees them.
    ///   - blocks: Those of sliced pools.
    ///   - purposes: Those that something is reserved for.
    ///   - others: Every claim there is; may contain this one.
    ///   - holder: Who has an allocation, by its name.
    package static func decide(
        old: JSON?, new: JSON?, pools: [ValidatedPool], blocks: [ValidatedBlock] = [], others: [IPClaim] = [],
        purposes: Set<String> = [], holder: (String) -> AllocationRecord?
    ) -> PoolEdit.Decision {
        guard var new, old.map({ $0["spec"] != new["spec"] }) ?? true else { return .allowed() }
        new["status"] = nil
        let claim: IPClaim
        do {
            claim = try IPClaim(new)
        } catch {
            return .refused(error.description)
        }
        let spec = claim.spec
        guard (spec.retention.policy == .period) == (spec.retention.seconds != nil) else {
            return .refused("spec.retention: \"for\" goes with the policy For, and with no other")
        }
        guard spec.purpose.isEmpty || ValidatedReservation.isPurpose(spec.purpose) else {
            return .refused("spec.purpose: \(ValidatedReservation.purposeProblem(spec.purpose))")
        }
        let missing = spec.pools.filter { name in !pools.contains { $0.name == name } }.map {
            "spec.pools: IPPool \"\($0)\" does not exist or is invalid"
        }
        let isVain = !spec.purpose.isEmpty && !purposes.contains(spec.purpose)
        let warnings =
            missing
            + (isVain
                ? ["spec.purpose: no IPReservation is for \"\(spec.purpose)\": ordinary addresses are given"] : [])
        var seen: Set<IPAddress> = []
        for (index, text) in spec.addresses.enumerated() {
            let field = "spec.addresses[\(index)]"
            guard let address = IPAddress(text) else { return .refused("\(field): \"\(text)\" is not an IP address") }
            guard seen.insert(address).inserted else { return .refused("\(field): \"\(text)\" is there twice") }
            switch ClaimWish(address, of: claim, pools: pools, blocks: blocks) {
            case .refused(let problem):
                // A pool that is not there may come.
                guard missing.isEmpty else { continue }
                return .refused("\(field): \(problem)")
            case .from(let pool):
                let name = pool.allocationName(of: address)
                if let record = holder(name), record.state != .cooling, !isOwn(record, claim) {
                    return .refused("\(field): \(address) is taken: \(describe(record))")
                }
                if let other = rival(of: claim, address, name, pools, others) {
                    return .refused(
                        "\(field): \(address) is what \(other.subject) asks for, too"
                    )
                }
            }
        }
        return .allowed(warnings: warnings)
    }

    /// Another claim that asks for the same allocation, though nobody keeps it for that one yet.
    private static func rival(
        of claim: IPClaim, _ address: IPAddress, _ name: String, _ pools: [ValidatedPool], _ others: [IPClaim]
    ) -> IPClaim? {
        others.first { other in
            guard (other.namespace, other.metadata.name) != (claim.namespace, claim.metadata.name),
                !other.metadata.isBeingDeleted, other.spec.addresses.contains(where: { IPAddress($0) == address }),
                case .from(let pool) = ClaimWish(address, of: other, pools: pools)
            else { return false }
            return pool.allocationName(of: address) == name
        }
    }

    private static func isOwn(_ record: AllocationRecord, _ claim: IPClaim) -> Bool {
        !claim.metadata.uid.isEmpty && record.claim?.uid == claim.metadata.uid
    }

    private static func describe(_ record: AllocationRecord) -> String {
        var parts = [record.state.rawValue.lowercased()]
        if let pod = record.pod { parts.append("pod \(pod.namespace)/\(pod.name)") }
        if let claim = record.claim { parts.append("claim \(claim.namespace)/\(claim.name)") }
        if !record.node.isEmpty { parts.append("node \(record.node)") }
        return parts.joined(separator: ", ")
    }
}
