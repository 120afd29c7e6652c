import IPAMAPI
import IPAMEngine
import IPAMOperation
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import KubernetesRuntime
import Logging

extension ClaimReconciler {
    /// Tells the IPAMClaim that a claim stands for which addresses it has, and which pod.
    ///
    /// What is kept for the claim is written over what the IPAMClaim says, never the absence of anything: what it says
    /// before the first ADD is a wish. It is the controller that writes it, so that no node needs the right to, and no ADD
    /// waits for it. What it says late costs nothing: until then the claim itself keeps the addresses.
    ///
    /// - Returns: When to try again, where the kind is not served.
    func tellIPAMClaim(
        _ claim: IPClaim, _ allocations: [StoredObject<AllocationRecord>]
    ) async throws -> Duration? {
        guard claim.isAutomatic, let owner = claim.ipamClaim else { return nil }
        let ips = Self.ips(allocations.map(\.value), pools: view.validPools)
        guard !ips.isEmpty else { return nil }
        let json: JSON?
        do {
            // Once: a kind that is not served any more looks like a server that starts.
            let deadline = min(try writer.deadline(), writer.client.clock.now() + .seconds(2))
            json = try await writer.client.read(
                .ipamClaims, namespace: claim.namespace, name: owner.name, deadline: deadline)
        } catch let error as APIError where error.isUnserved {
            return .seconds(60)
        }
        guard let json else { return nil }
        let found = try IPAMClaim(json)
        let pod = claim.status.holder?.pod ?? found.ownerPod
        guard found.metadata.uid == owner.uid, !found.metadata.isBeingDeleted, Self.covers(ips, found.wishes),
            found.ips != ips || found.ownerPod != pod
        else { return nil }
        let forms = found.ownerPodForm.map { [$0] } ?? IPAMClaim.OwnerPodForm.allCases
        for (index, form) in forms.enumerated() {
            do {
                let outcome = try await writer.patch(
                    .ipamClaims, namespace: claim.namespace, found.metadata,
                    ["status": ["ips": .strings(ips), "ownerPod": form.json(pod)]], subresource: "status")
                // What was overtaken is looked at again with the next change of the claim.
                if case .overtaken = outcome { throw IPAMClaimOvertaken() }
                return nil
            } catch let error as APIError where error.status?.code == 422 && index + 1 < forms.count {
                // The definition has the other form.
            }
        }
        return nil
    }

    /// Whether there is an address of each family that is asked for. While an ADD has only some, what it lacks would not
    /// be asked for any more if these were written down.
    static func covers(_ ips: [String], _ wishes: [String]) -> Bool {
        func families(_ texts: [String]) -> Set<IPFamily> {
            Set(texts.compactMap { IPAddress(IPAMClaim.address($0))?.family })
        }
        return families(wishes).isSubset(of: families(ips))
    }

    /// With the prefix length of the pool's subnet, IPv4 first; one of each family, as many as an IPAMClaim may have.
    static func ips(_ records: [AllocationRecord], pools: [ValidatedPool]) -> [String] {
        let inUse = records.filter { $0.state == .bound }
        let kept = (inUse.isEmpty ? records.filter { $0.state == .held || $0.state == .fenced } : inUse)
            .filter { !$0.isBeingDeleted }.sorted { $0.address < $1.address }
        var ips: [(family: IPFamily, text: String)] = []
        for record in kept {
            guard let pool = pools.first(where: { $0.name == record.pool }),
                !ips.contains(where: { $0.family == record.address.family })
            else { continue }
            ips.append((record.address.family, "\(record.address)/\(pool.subnet.length)"))
        }
        return ips.map(\.text)
    }
}

/// Somebody else wrote the IPAMClaim: it is tried again.
struct IPAMClaimOvertaken: Error, CustomStringConvertible {
    var description: String { "the IPAMClaim was written by another at the same time" }
}
