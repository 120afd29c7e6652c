import TestSupport

extension Bench {
    /// What a runtime sees while the API server does not answer, and while nothing listens on its port.
    func unreachable() async throws -> [Figure] {
        let pool = try await pool("unreachable", cooldown: "10s")
        let node = try await newNode("unreachable")
        defer { try? node.remove() }
        var held: [(BenchAttachment, PluginOutcome)] = []
        for index in 0..<3 {
            let attachment = try attachment(index, pool.name, on: node)
            held.append((attachment, try await attachment.add().checked()))
        }
        var figures: [Figure] = []
        if options.isShared {
            say("  the API server is shared, so it is not stopped")
        } else {
            try await script("pause")
            do {
                figures.append(try await refused("ADD, API server hangs", pool, node))
                for (name, index) in [("DEL, API server hangs", 0), ("DEL after that", 1)] {
                    let (attachment, added) = held[index]
                    let deleted = try await attachment.del(after: added)
                    figures.append(
                        Figure(
                            .unreachable, name, .seconds, deleted.duration.inSeconds,
                            note: deleted.succeeded ? "success, written down" : "\(deleted)"))
                }
                try await script("resume")
            } catch {
                try? await script("resume")
                throw error
            }
        }
        // Nothing listens on the discard port.
        try node.writeKubeconfig(server: "https://127.0.0.1:9", caPEM: try controlPlane.target().caPEM)
        figures.append(try await refused("ADD, connection refused", pool, node))
        return figures
    }

    private func refused(_ name: String, _ pool: BenchPool, _ node: TestNode) async throws -> Figure {
        let outcome = try await attachment(0, pool.name, on: node).add()
        return Figure(
            .unreachable, name, .seconds, outcome.duration.inSeconds, goal: .atMost(10),
            note: outcome.failure.map { "code \($0.code)" } ?? "no error: \(outcome)")
    }

    private func script(_ command: String) async throws {
        try await runChecked("\(Repository.root)/hack/control-plane.sh", [command, controlPlane.folder])
    }
}
