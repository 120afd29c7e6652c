package import IPAMAPI

/// How an IPClaim is, in one word.
package enum ClaimPhase: String, Hashable, Sendable, CaseIterable {
    /// It asks for an address that it does not get, whatever else it has: its condition Ready is False.
    case unmet = "Unmet"
    /// A sandbox has an address of it.
    case bound = "Bound"
    /// An address is kept for it, and nobody uses one.
    case held = "Held"
    /// Nothing is kept for it.
    case empty = "Empty"

    /// - Parameter states: Those of the allocations that name the claim.
    package init(_ claim: IPClaim, states: some Collection<AllocationState>) {
        if claim.unmetCondition != nil {
            self = .unmet
        } else if states.contains(where: { $0 == .bound || $0 == .fenced }) {
            self = .bound
        } else {
            self = states.contains(.held) ? .held : .empty
        }
    }
}

extension IPClaim {
    /// The condition that says which address the claim asks for and does not get; nil where there is none.
    package var unmetCondition: Condition? {
        status.conditions.first { $0.type == "Ready" && $0.status == .false }
    }
}
