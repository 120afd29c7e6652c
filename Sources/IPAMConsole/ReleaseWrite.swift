import IPAMAPI
import IPAMEngine
import JSONText
package import KubernetesCore

extension LedgerEntry {
    /// Nobody has it, and it is kept for a claim. A release takes it from that.
    var isKept: Bool { claim != nil && record.state == .held }

    /// A release deletes it.
    var goesAtOnce: Bool {
        if isKept { return record.cooldownSeconds == 0 }
        return record.state == .cooling || record.origin == .manual || (claim == nil && record.cooldownSeconds == 0)
    }

    /// The write that takes the address from its holder as the controller does it: back to its claim, into cooldown, or
    /// at once where there is none; and what is kept for a claim from that. Conditional on the version that was read.
    ///
    /// What is in cooldown already, and what was entered by hand, is deleted.
    ///
    /// - Parameter timestamp: RFC 3339, for people.
    package func releaseRequest(at timestamp: String) -> APIRequest {
        if isKept { return abandonRequest }
        if goesAtOnce {
            return .delete(
                .ipAllocations, name: name,
                preconditions: Preconditions(uid: uid, resourceVersion: resourceVersion))
        }
        var patch = IPAllocation.releasePatch(
            at: timestamp, to: claim == nil ? .cooling : .held, uid: uid, resourceVersion: resourceVersion)
        patch["metadata"]?["annotations"] = [AnnotationKey.reclaim: .null, AnnotationKey.fencedNodeUID: .null]
        return .patch(.ipAllocations, name: name, patch: .merge(patch))
    }

    /// The write that takes a kept address from its claim as the controller does it: into cooldown, or at once where
    /// there is none. Conditional on the version that was read.
    package var abandonRequest: APIRequest {
        if record.cooldownSeconds == 0 {
            return .delete(
                .ipAllocations, name: name,
                preconditions: Preconditions(uid: uid, resourceVersion: resourceVersion))
        }
        let patch = IPAllocation.abandonPatch(uid: uid, resourceVersion: resourceVersion)
        return .patch(.ipAllocations, name: name, patch: .merge(patch))
    }
}
