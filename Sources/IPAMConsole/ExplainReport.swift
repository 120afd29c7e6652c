import IPAMAPI
import IPAMEngine
import IPAddressing
package import JSONText

/// What `explain` shows: what an ADD for a pod would do now.
package struct ExplainReport: Hashable, Sendable, Report {
    /// One network configuration.
    package struct Part: Hashable, Sendable {
        package var source: NetworkSource
        package var reasoning: SelectionReasoning
        /// What decides which pools are looked at: half a sentence. Empty where that is clear.
        package var level: String
        package var claim: ClaimFinding

        package init(
            _ source: NetworkSource, _ reasoning: SelectionReasoning, level: String = "",
            claim: ClaimFinding = ClaimFinding()
        ) {
            self.source = source
            self.reasoning = reasoning
            self.level = level
            self.claim = claim
        }
    }

    package var pod: PodKey
    package var parts: [Part]
    /// What the pod holds already.
    package var held: [LedgerEntry]
    /// Whole sentences.
    package var notes: [String]

    package init(pod: PodKey, parts: [Part], held: [LedgerEntry] = [], notes: [String] = []) {
        self.pod = pod
        self.parts = parts
        self.held = held
        self.notes = notes
    }

    package var isServed: Bool { parts.allSatisfy(\.reasoning.isServed) }

    package func text(_ style: Style, isWide: Bool) -> String {
        var text = "Pod \(pod)\n"
        for entry in held {
            let interface = entry.attachment.map { " on \($0.interface)" } ?? ""
            text +=
                "  has \(entry.record.address)\(interface) of \(entry.record.pool), \(entry.record.state.rawValue)\n"
        }
        if !held.isEmpty {
            let isKept = parts.contains { !$0.claim.kept.isEmpty }
            text +=
                isKept
                ? "  (this is what a new sandbox would get)\n"
                : "  (a new sandbox gets addresses of its own; this is what one would get)\n"
        }
        for note in notes { text += "  \(note)\n" }
        for part in parts {
            text += "\n\(style.apply(.bold, to: part.source.title))"
            if !part.source.requested.isEmpty {
                text += ", asking for \(part.source.requested.map(\.description).joined(separator: ", "))"
            }
            text += "\n"
            if !part.level.isEmpty { text += "  pools: \(part.level)\n" }
            for line in part.claim.lines { text += "  \(line)\n" }
            text += part.reasoning.text(style)
            if let refusal = part.reasoning.refusal {
                text += "  \(style.apply(.red, to: "ADD fails")): \(refusal)\n"
            }
        }
        return text
    }

    package var json: JSON {
        [
            "pod": ["namespace": .string(pod.namespace), "name": .string(pod.name)],
            "held": .array(
                held.map { entry in
                    var json: JSON = [
                        "allocation": .string(entry.name), "pool": .string(entry.record.pool),
                        "state": .string(entry.record.state.rawValue),
                    ]
                    json["interface"] = entry.attachment.map { .string($0.interface) }
                    return json
                }),
            "networks": .array(
                parts.map { part in
                    var json = part.reasoning.json
                    json["source"] = .string(part.source.title)
                    json["interface"] = .string(part.source.interface)
                    json["claim"] = part.claim.json
                    if !part.level.isEmpty { json["level"] = .string(part.level) }
                    if !part.source.requested.isEmpty {
                        json["requested"] = .strings(part.source.requested.map(\.description))
                    }
                    return json
                }),
            "served": .bool(isServed),
            "notes": .strings(notes),
        ]
    }

    /// The pools that were looked at.
    package var names: [String] {
        var seen: Set<String> = []
        return parts.flatMap(\.reasoning.slots).flatMap(\.considered).map(\.name)
            .filter { seen.insert($0).inserted }.map(ObjectText.pool)
    }
}

extension PoolRequest {
    /// Which level names the pools: half a sentence. Empty for the network configuration, which is shown anyway.
    var levelText: String {
        switch pools {
        case .listed(let list) where list.source != .configuration: list.description
        case .defaults: "the cluster's default pools (spec.default), for nobody names one"
        case .listed, .inline: ""
        }
    }
}
