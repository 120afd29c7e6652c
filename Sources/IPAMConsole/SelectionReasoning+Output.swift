import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText

extension SelectionReasoning {
    func text(_ style: Style) -> String {
        var text = ""
        for slot in slots {
            text += "  \(style.apply(.bold, to: slot.title))\n"
            let width = slot.considered.map(\.name.count).max() ?? 0
            for (index, pool) in slot.considered.enumerated() {
                let padding = String(repeating: " ", count: width - pool.name.count)
                let verdict = style.apply(pool.verdict.tint, to: pool.verdict.text)
                text += "    \(index + 1). \(pool.name)\(padding)   \(verdict): \(pool.reason)\n"
                let lines = pool.verdict == .fatal ? pool.share?.blockLines : pool.share?.lines
                for line in lines ?? [] { text += "         \(line)\n" }
            }
            text += "    → \(slot.outcome.text(style))\n"
        }
        return text
    }

    var json: JSON {
        var json: JSON = [
            "slots": .array(
                slots.map { slot in
                    [
                        "title": .string(slot.title),
                        "considered": .array(
                            slot.considered.map { pool in
                                var json: JSON = [
                                    "pool": .string(pool.name), "verdict": .string(pool.verdict.rawValue),
                                    "reason": .string(pool.reason),
                                ]
                                json["nodeBlocks"] = pool.share?.json
                                return json
                            }),
                        "outcome": slot.outcome.json,
                    ]
                })
        ]
        json["refusal"] = refusal.map { .string($0) }
        return json
    }
}

extension ConsideredPool.Verdict {
    fileprivate var text: String {
        switch self {
        case .chosen: "chosen"
        case .skipped: "skipped"
        case .notNeeded: "not needed"
        case .fatal: "in the way"
        }
    }

    fileprivate var tint: Tint? {
        switch self {
        case .chosen: .green
        case .skipped: .yellow
        case .notNeeded: .dim
        case .fatal: .red
        }
    }
}

extension SlotReasoning.Outcome {
    fileprivate func text(_ style: Style) -> String {
        switch self {
        case .address(let address, let pool, isOnly: true): "\(style.apply(.green, to: "\(address)")) of \(pool)"
        case .address(let address, let pool, isOnly: false):
            "one of \(pool) at random, for example \(style.apply(.green, to: "\(address)"))"
        case .takeOver(let address, let pool):
            "\(style.apply(.yellow, to: "\(address)")) of \(pool), out of its cooldown, for nothing else is free"
        case .kept(let address, let pool, let claim):
            "\(style.apply(.green, to: "\(address)")) of \(pool), which IPClaim \(claim) keeps"
        case .refused(let reason): "\(style.apply(.red, to: "nothing")): \(reason)"
        }
    }

    fileprivate var json: JSON {
        switch self {
        case .address(let address, let pool, let isOnly):
            [
                "result": "Address", "address": .string("\(address)"), "pool": .string(pool),
                "example": .bool(!isOnly),
            ]
        case .takeOver(let address, let pool):
            ["result": "TakeOver", "address": .string("\(address)"), "pool": .string(pool)]
        case .kept(let address, let pool, let claim):
            [
                "result": "Kept", "address": .string("\(address)"), "pool": .string(pool),
                "claim": ["namespace": .string(claim.namespace), "name": .string(claim.name)],
            ]
        case .refused(let reason): ["result": "Refused", "message": .string(reason)]
        }
    }
}
