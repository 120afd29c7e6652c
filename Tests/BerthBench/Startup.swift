import JSONText
import TestSupport

extension Bench {
    func startup() async throws -> [Figure] {
        let count = options.isQuick ? 30 : 300
        let call = PluginCall("VERSION", configuration: ["cniVersion": "1.1.0"])
        var version = Samples()
        var libcurl = Samples()
        var empty = Samples()
        for turn in -5..<count {
            let (a, b) = try await alternate(turn, { try await plugin.run(call).checked() }, floor.empty)
            let c = try await floor.start()
            if turn < 0 { continue }
            version.append(a.duration.inMilliseconds)
            empty.append(b.duration.inMilliseconds)
            libcurl.append(c.duration.inMilliseconds)
        }
        let floor = ("empty C program", empty)
        return [
            Figure(.startup, "VERSION", .milliseconds, version, beside: floor, goal: .atMost(1.2)),
            Figure(.startup, "C program that starts libcurl", .milliseconds, libcurl, beside: floor),
        ]
    }

    func footprint() async throws -> [Figure] {
        let pool = try await pool("footprint", cooldown: "10s")
        let attachment = try attachment(0, pool.name)
        let version = PluginCall("VERSION", configuration: ["cniVersion": "1.1.0"])
        let added = try await floor.measured(attachment.addCall, of: plugin).checked()
        let deleted = try await floor.measured(attachment.delCall(after: added), of: plugin).checked()
        let inC = floor.measured(floor.add(pods[0], try floorAllocation(0, of: pool)))
        return [
            Figure(
                .footprint, "size of the executable", .megabytes,
                Double(try Files.read(plugin.executable).count) / 1e6, goal: .atMost(25)),
            try peak("VERSION", try await floor.measured(version, of: plugin).checked().process),
            try peak("ADD", added.process),
            try peak("DEL", deleted.process),
            try peak("ADD of the C program", try await inC.run().checked()),
        ]
    }

    private func peak(_ name: String, _ outcome: ProcessOutcome) throws -> Figure {
        let use = try MemoryUse(outcome)
        return Figure(
            .footprint, "peak memory, \(name)", .megabytes, Double(use.peakKilobytes) * 1024 / 1e6,
            note: "\(use.pageFaults) page faults")
    }
}
