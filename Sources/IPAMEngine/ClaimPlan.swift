package import IPAMAPI
package import IPAddressing
import KubernetesCore

/// Why an IPClaim cannot be served by the pools of an interface: a sentence that names both.
package struct ClaimPlanProblem: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String
}

extension SlotPlan {
    /// The slots of an ADD as the IPClaim wants them: only of its pools.
    package static func restricted(
        to claim: IPClaim, _ plans: [SlotPlan]
    ) throws(ClaimPlanProblem) -> [SlotPlan] {
        guard !claim.spec.pools.isEmpty else { return plans }
        var plans = plans
        for index in plans.indices where !plans[index].isStatic {
            let all = plans[index].pools.map(\.name)
            plans[index].pools.removeAll { !claim.spec.pools.contains($0.name) }
            guard !plans[index].pools.isEmpty else {
                throw ClaimPlanProblem(
                    description: "\(claim.subject) is for \(list(claim.spec.pools)) (spec.pools), and this interface"
                        + " is served by \(list(all))")
            }
        }
        return plans
    }

    /// The same, and with the addresses that it asks for.
    ///
    /// - Parameters:
    ///   - requested: What the runtime or the pod asks for: the slots have it already.
    ///   - wishes: What the interface must get beside that, where the claim stands for something that says so.
    package static func serving(
        _ claim: IPClaim, _ plans: [SlotPlan], requested: [IPAddress], wishes: [IPAddress] = []
    ) throws(ClaimPlanProblem) -> [SlotPlan] {
        let plans = try restricted(to: claim, plans)
        var missing: [IPAddress] = []
        func wish(_ address: IPAddress) {
            if !requested.contains(address), !missing.contains(address) { missing.append(address) }
        }
        wishes.forEach(wish)
        for text in claim.spec.addresses {
            guard let address = IPAddress(text) else {
                throw ClaimPlanProblem(
                    description: "\(claim.subject): \(text.debugDescription) is not an IP address (spec.addresses)")
            }
            wish(address)
        }
        do throws(SlotPlanError) {
            return try assign(missing, to: plans)
        } catch {
            throw ClaimPlanProblem(description: "\(claim.subject): \(error)")
        }
    }

    private static func list(_ pools: [String]) -> String {
        pools.isEmpty ? "no pool" : pools.map { "IPPool \"\($0)\"" }.joined(separator: ", ")
    }
}
