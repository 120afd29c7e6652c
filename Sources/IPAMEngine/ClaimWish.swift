package import IPAMAPI
package import IPAddressing

/// Where an address comes from that an IPClaim asks for.
package enum ClaimWish: Hashable, Sendable {
    case from(ValidatedPool)
    /// The text says why no pool gives it to the claim.
    case refused(String)

    /// Of several pools of one network the first by name: an address is one allocation whichever it is of. Of several
    /// networks the claim must name the pool, for the same address on another wire is another one.
    package init(_ address: IPAddress, of claim: IPClaim, pools: [ValidatedPool]) {
        let named = claim.spec.pools
        let candidates = pools.filter { named.isEmpty || named.contains($0.name) }.sorted { $0.name < $1.name }
        let giving = candidates.filter {
            $0.refusal == nil && $0.usable.contains(address) && $0.mayKeep(forNamespace: claim.namespace)
        }
        guard let pool = giving.first else {
            let near = candidates.filter { !named.isEmpty || $0.subnet.contains(address) }
            let reasons = near.prefix(5).map { pool in
                "IPPool \"\(pool.name)\" (\(pool.subnet)) \(pool.refusal ?? pool.namespaceProblem(claim.namespace) ?? pool.reasonForLacking(address))"
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
    /// Whether claims of a namespace may keep addresses that no pod has asked for yet. By labels of namespaces it is not
    /// judged here, but when a pod claims.
    fileprivate func mayKeep(forNamespace name: String) -> Bool { namespaceProblem(name) == nil }

    fileprivate func namespaceProblem(_ name: String) -> String? {
        let namespaces = selectors.namespaces
        guard !namespaces.isEmpty, !namespaces.contains(where: { $0.matches(name) }) else { return nil }
        return
            "is for namespaces \(namespaces.map(\.text).joined(separator: ", ")) (spec.namespaces), not for \"\(name)\""
    }
}
