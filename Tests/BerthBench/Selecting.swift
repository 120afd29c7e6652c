import IPAMAPI
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport

extension Bench {
    /// ADD that finds its pool among 200 default pools, in turn with ADD that names it.
    func selection() async throws -> [Figure] {
        let total = 200
        let count = options.isQuick ? 20 : 200
        let warmUp = 5
        let pool = try await pool("selection", cooldown: "10s")
        say("  making \(total) pools")
        for index in 1..<total {
            let other = try await self.pool("selection-\(index)", size: 254, length: 24, cooldown: "10s")
            try await other.publishHint(controlPlane)
            try await select(other.name, ["default": true, "podSelector": ["matchLabels": ["tier": "t\(index)"]]])
        }
        try await select(pool.name, ["default": true])
        var pairs = Pairs()
        for turn in 0..<(count + warmUp) {
            let open = try attachment(turn)
            let named = try attachment(turn, pool.name)
            let (a, b) = try await alternate(turn, open.add, named.add)
            for (attachment, added) in [(open, a), (named, b)] where added.succeeded {
                _ = try await attachment.del(after: added).checked()
            }
            if turn >= warmUp { pairs.appendIfBothSucceeded(a, b) }
        }
        // What follows names its pools, and must not be served by these.
        for name in try await poolNames() { try await select(name, ["default": false]) }
        return [
            pairs.figure(.selection, "ADD, one of \(total) default pools", "named pool", goal: .ratioAtMost(1.3)),
            pairs.processorFigure(.selection, "ADD, one of \(total) default pools", "named pool"),
        ]
    }

    private func poolNames() async throws -> [String] {
        let prefix = poolName("selection")
        return try await controlPlane.withAdmin { client in
            try client.list(.ipPools, deadline: .soon).items.compactMap { $0["metadata"]?["name"]?.string }
        }.filter { $0.hasPrefix(prefix) }
    }

    private func select(_ name: String, _ spec: JSON) async throws {
        _ = try await controlPlane.withAdmin {
            try $0.patch(.ipPools, name: name, patch: .merge(["spec": spec]), deadline: .soon)
        }
        try await controlPlane.compileNothing(into: name)
    }
}
