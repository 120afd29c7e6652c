package import IPAMAPI
import IPAMEngine
package import IPAddressing
package import JSONText
import KubernetesCore

/// The IPClaim of one interface of a pod, as an ADD would find it.
package struct ClaimFinding: Hashable, Sendable {
    package enum Origin: Hashable, Sendable {
        /// Any address will do; the text says who turned claims off, where somebody did: a whole phrase.
        case none(because: String?)
        /// The pod names it, by this annotation.
        case named(annotation: String)
        /// It is made unless it is there; the text says for what.
        case automatic(String)
    }

    package var origin: Origin
    /// Its name is empty where there is none, or an ADD makes it and the network's name is not known.
    package var key: PodKey
    /// Nil where there is none yet.
    package var claim: IPClaim?
    /// What the pod gets of it: held, in cooldown, or of its own present sandbox.
    package var kept: [IPAllocation.Spec]
    /// What somebody else has of it; the ADD waits for that.
    package var occupied: [IPAllocation.Spec]
    /// Why an ADD of the pod fails, whatever is free.
    package var obstacle: String?
    /// What the interface must get beside what the claim asks for.
    package var wishes: [IPAddress]
    /// The pod from which the guest of a virtual machine, and what is kept, comes to this one.
    package var migratesFrom: PodName?

    package init(
        _ origin: Origin = .none(because: nil), key: PodKey = PodKey(namespace: "", name: ""), claim: IPClaim? = nil,
        kept: [IPAllocation.Spec] = [], occupied: [IPAllocation.Spec] = [], obstacle: String? = nil,
        wishes: [IPAddress] = [], migratesFrom: PodName? = nil
    ) {
        self.origin = origin
        self.key = key
        self.claim = claim
        self.kept = kept
        self.occupied = occupied
        self.obstacle = obstacle
        self.wishes = wishes
        self.migratesFrom = migratesFrom
    }

    /// What the slots are planned for: a claim that is not there yet asks for nothing but this.
    var planned: IPClaim? {
        if claim != nil || wishes.isEmpty { return claim }
        return IPClaim(
            metadata: ObjectMetadata(name: key.name, namespace: key.namespace, uid: ""), spec: IPClaim.Spec())
    }

    /// Lines without an indent; the first one says which claim it is. Empty where nothing is to be said.
    var lines: [String] {
        var lines: [String]
        switch origin {
        case .none(nil): return []
        case .none(let reason?): return ["claim: none, \(reason)"]
        case .named(let annotation): lines = ["claim: \(key), named by annotation \(annotation)"]
        case .automatic(let reason):
            lines = ["claim: \(key.name.isEmpty ? "one of its own" : key.description), made by itself for \(reason)"]
        }
        guard let claim else {
            if obstacle == nil { lines.append("  it is not there yet: an ADD makes it") }
            return lines
        }
        lines += kept.map { spec in
            let place = "\(spec.address) of \(spec.pool)"
            switch spec.state {
            case .bound, .fenced:
                if let migratesFrom, spec.pod?.uid == migratesFrom.podUID {
                    return "  keeps \(place), which pod \(migratesFrom.pod) has, from which the guest migrates"
                }
                return "  keeps \(place), which the pod's present sandbox has"
            case .held: return "  keeps \(place)"
            case .cooling: return "  keeps \(place), in its cooldown"
            }
        }
        lines += occupied.map { "  keeps \($0.address) of \($0.pool), which another one has" }
        if kept.isEmpty, occupied.isEmpty { lines.append("  keeps nothing yet") }
        if let unmet = claim.unmetCondition { lines.append("  not met: \(unmet.message)") }
        lines.append("  kept \(claim.retentionText)")
        return lines
    }

    package var json: JSON {
        var json: JSON
        switch origin {
        case .none(let reason):
            json = ["origin": "None"]
            json["reason"] = reason.map { .string($0) }
        case .named(let annotation): json = ["origin": "Annotation", "annotation": .string(annotation)]
        case .automatic(let reason): json = ["origin": "Automatic", "reason": .string(reason)]
        }
        guard origin.isSome else { return json }
        if !key.name.isEmpty { json["name"] = .string(key.name) }
        json["namespace"] = .string(key.namespace)
        json["exists"] = .bool(claim != nil)
        func list(_ specs: [IPAllocation.Spec]) -> JSON {
            .array(
                specs.map { spec in
                    [
                        "address": .string("\(spec.address)"), "pool": .string(spec.pool),
                        "state": .string(spec.state.rawValue),
                    ]
                })
        }
        json["kept"] = list(kept)
        json["occupied"] = list(occupied)
        json["unmet"] = (claim?.unmetCondition).map { .string($0.message) }
        json["obstacle"] = obstacle.map { .string($0) }
        return json
    }
}

extension ClaimFinding.Origin {
    var isSome: Bool { if case .none = self { false } else { true } }
}

extension IPClaim {
    /// Half a sentence: `until the claim is deleted`.
    var retentionText: String {
        switch spec.retention.policy {
        case .untilClaimDeleted: return "until the claim is deleted"
        case .untilOwnerDeleted:
            if let seconds = secondsUnused { return "for \(DurationText.text(seconds: seconds)) after the last use" }
            if let owner = keeper, !owner.isStatefulSet { return "until \(owner.kind) \"\(owner.name)\" is deleted" }
            return "until its StatefulSet is deleted, or scaled below the pod's ordinal"
        case .period: return "for \(DurationText.text(seconds: spec.retention.seconds ?? 0)) after the last use"
        }
    }
}
