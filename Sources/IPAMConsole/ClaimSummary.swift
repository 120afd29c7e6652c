package import IPAMAPI
package import IPAMEngine
import IPAddressing
package import JSONText
import KubernetesCore

/// An IPClaim as `who` shows it.
package struct ClaimSummary: Hashable, Sendable {
    package var claim: IPClaim
    package var phase: ClaimPhase
    /// Addresses that it asks for and that are not its own.
    package var missing: [String]

    /// - Parameter records: The allocations that name it.
    package init(_ claim: IPClaim, _ records: [AllocationRecord]) {
        self.claim = claim
        phase = ClaimPhase(claim, states: records.map(\.state))
        let own = Set(records.map(\.address))
        missing = claim.spec.addresses.filter { text in IPAddress(text).map { !own.contains($0) } ?? true }
    }

    func text(_ style: Style) -> String {
        let key = PodKey(namespace: claim.namespace, name: claim.metadata.name)
        let spec = claim.spec
        let tint: Tint? = phase == .unmet ? .yellow : nil
        let automatic = claim.isAutomatic ? ", made by itself" : ""
        var lines: [(String, String)] = []
        if let holder = claim.status.holder {
            let verb = phase == .bound ? "" : ", which uses none of it"
            lines.append(
                (
                    "Holder",
                    "interface \(holder.interface) of pod \(claim.namespace)/\(holder.pod) on node \(holder.node)\(verb)"
                ))
        }
        if !spec.addresses.isEmpty { lines.append(("Asks for", spec.addresses.joined(separator: ", "))) }
        if let unmet = claim.unmetCondition { lines.append(("Not met", unmet.message)) }
        if !spec.pools.isEmpty { lines.append(("Pools", spec.pools.joined(separator: ", "))) }
        lines.append(("Kept", claim.retentionText))
        var text = style.apply(.bold, to: "IPClaim \(key)") + ": \(style.apply(tint, to: phase.rawValue))\(automatic)\n"
        for (name, value) in lines {
            text += "  " + style.apply(.dim, to: name) + String(repeating: " ", count: 12 - name.count) + "\(value)\n"
        }
        return text
    }

    package var json: JSON {
        var json: JSON = [
            "namespace": .string(claim.namespace), "name": .string(claim.metadata.name),
            "phase": .string(phase.rawValue), "automatic": .bool(claim.isAutomatic), "spec": claim.spec.json,
        ]
        json["holder"] = claim.status.holder?.json
        if !missing.isEmpty { json["missing"] = .strings(missing) }
        json["unmet"] = (claim.unmetCondition).map { .string($0.message) }
        return json
    }
}
