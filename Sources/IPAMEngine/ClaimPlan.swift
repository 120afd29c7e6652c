package import IPAMAPI
package import IPAddressing
import KubernetesCore

/// Why an IPClaim cannot be served by the pools of an interface: a sentence that names both.
package struct ClaimPlanProblem: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String
}

extension SlotPlan {
    /// The slots of an ADD as the IPClaim wants them: only of its pools, and with the addresses that it asks for.
    ///
    /// - Parameter requested: What the runtime or the pod asks for: the slots have it already.
    package static func serving(
        _ claim: IPClaim, _ plans: [SlotPlan], requested: [IPAddress]
    ) throws(ClaimPlanProblem) -> [SlotPlan] {
        let description = "IPClaim \"\(claim.namespace)/\(claim.metadata.name)\""
        var plans = plans
        if !claim.spec.pools.isEmpty {
            for index in plans.indices where !plans[index].isStatic {
                let all = plans[index].pools.map(\.name)
                plans[index].pools.removeAll { !claim.spec.pools.contains($0.name) }
                guard !plans[index].pools.isEmpty else {
                    throw ClaimPlanProblem(
                        description: "\(description) is for \(list(claim.spec.pools)) (spec.pools), and this interface"
                            + " is served by \(list(all))")
                }
            }
        }
        var wishes: [IPAddress] = []
        for text in claim.spec.addresses {
            guard let address = IPAddress(text) else {
                throw ClaimPlanProblem(
                    description: "\(description): \(text.debugDescription) is not an IP address (spec.addresses)")
            }
            if !requested.contains(address), !wishes.contains(address) { wishes.append(address) }
        }
        do throws(SlotPlanError) {
            return try assign(wishes, to: plans)
        } catch {
            throw ClaimPlanProblem(description: "\(description): \(error)")
        }
    }

    private static func list(_ pools: [String]) -> String {
        pools.isEmpty ? "no pool" : pools.map { "IPPool \"\($0)\"" }.joined(separator: ", ")
    }
}
