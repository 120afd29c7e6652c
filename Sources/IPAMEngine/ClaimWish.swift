package import IPAMAPI
package import IPAddressing
import KubernetesCore

/// Where an address comes from that an IPClaim asks for.
package enum ClaimWish: Hashable, Sendable {
    case from(ValidatedPool)
    /// The text says why no pool gives it to the claim.
    case refused(String)

    /// Whether a pool that may give an address to the claim looks at labels of its namespace.
    package static func looksAtNamespace(_ address: IPAddress, of claim: IPClaim, pools: [ValidatedPool]) -> Bool {
        pools.contains { pool in
            pool.selectors.namespaceSelector != nil && pool.usable.contains(address)
                && (claim.spec.pools.isEmpty || claim.spec.pools.contains(pool.name))
        }
    }

    /// Of several pools of one network the one that the address is kept in, or the first by name: an address is one
    /// allocation whichever it is of. Of several networks the claim must name the pool, for the same address on another
    /// wire is another one: what is kept on one stays there.
    ///
    /// - Parameters:
    ///   - kept: The allocation of the address, where the claim has it already.
    ///   - blocks: Those of sliced pools.
    ///   - namespaceLabels: Nil where they are not known: pools that look at them are then taken to be for the claim's
    ///     namespace, and the pod's ADD judges.
    package init(
        _ address: IPAddress, of claim: IPClaim, kept: AllocationRecord? = nil, pools: [ValidatedPool],
        blocks: [ValidatedBlock] = [], namespaceLabels: [String: String]? = nil
    ) {
        func refusal(_ pool: ValidatedPool) -> String? {
            if let refusal = pool.refusal { return refusal }
            if let problem = pool.namespaceProblem(claim.namespace, namespaceLabels) { return problem }
            guard pool.usable.contains(address) else { return pool.reasonForLacking(address) }
            return pool.blockLacking(address, blocks).map { "gives it to nobody: it belongs to the block \($0) itself" }
        }
        let named = claim.spec.pools
        let candidates = pools.filter { named.isEmpty || named.contains($0.name) }.sorted { $0.name < $1.name }
        let all = candidates.filter { refusal($0) == nil }
        let ofNetwork = all.filter { $0.allocationName(of: address) == kept?.name }
        let giving = kept != nil && (named.isEmpty || !ofNetwork.isEmpty) ? ofNetwork : all
        guard let pool = giving.first(where: { $0.name == kept?.pool }) ?? giving.first else {
            let near = candidates.filter { !named.isEmpty || $0.subnet.contains(address) }
            let reasons = near.prefix(5).map { pool in
                "IPPool \"\(pool.name)\" (\(pool.subnet)) \(refusal(pool) ?? "")"
            }
            let missing = named.filter { name in !pools.contains { $0.name == name } }.map {
                "IPPool \"\($0)\" does not exist or is invalid"
            }
            let text = (reasons + missing).joined(separator: "; ")
            self = .refused("\(address) cannot be kept: \(text.isEmpty ? "no IPPool has it" : text)")
            return
        }
        let networks = Set(giving.map(\.network))
        guard networks.count == 1 else {
            self = .refused(
                "\(address) is an address of several networks"
                    + " (\(giving.map { "IPPool \"\($0.name)\"" }.joined(separator: ", "))): name the pool in spec.pools"
            )
            return
        }
        self = .from(pool)
    }
}

extension ValidatedPool {
    /// Why claims of a namespace may not keep addresses of the pool: a predicate. Nil when they may.
    fileprivate func namespaceProblem(_ name: String, _ labels: [String: String]?) -> String? {
        let namespaces = selectors.namespaces
        if !namespaces.isEmpty, !namespaces.contains(where: { $0.matches(name) }) {
            return
                "is for namespaces \(namespaces.map(\.text).joined(separator: ", ")) (spec.namespaces), not for \"\(name)\""
        }
        guard let labels, let unmet = selectors.namespaceSelector?.unmet(by: labels) else { return nil }
        return "is for namespaces with \(unmet) (spec.namespaceSelector), not for \"\(name)\""
    }
}
