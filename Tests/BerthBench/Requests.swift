import IPAddressing
import JSONText
import TestSupport

extension Bench {
    /// What the API server itself counted.
    func requests() async throws -> [Figure] {
        let count = 5
        let pool4 = try await pool("requests-v4", cooldown: "10s")
        let subnet = Subnets.next()
        // In its one canonical form, as the API wants it.
        let prefix6 = try IPPrefix(parsing: subnet.subnet6)
        let pool6 = try await BenchPool(
            controlPlane, poolName("requests-v6"), subnet: "\(prefix6)",
            range: try IPRange(parsing: "\(subnet.address6(1))-\(subnet.address6(0xFFFF))"), cooldown: "10s")
        let single = try (0..<count).map { try attachment($0, pool4.name) }
        let deaf = try (0..<count).map { try attachment($0, pool4.name, ipam: ["namespaceAnnotations": false]) }
        let dual = try (0..<count).map { try attachment($0, pool4.name, pool6.name) }
        var added: [PluginOutcome] = []
        var addedDual: [PluginOutcome] = []
        var figures: [Figure] = []
        func measure(_ name: String, _ goal: Double?, _ body: () async throws -> Void) async throws {
            let before = try await requestCounts()
            try await body()
            let made = try await requestCounts().since(before)
            figures.append(
                Figure(
                    .requests, "requests, \(name)", .requests, Double(made.total) / Double(count),
                    goal: goal.map { .exactly($0) }, note: made.description(for: count)))
        }
        try await measure("ADD, one family, named pool, namespaceAnnotations: false", 3) {
            for attachment in deaf { _ = try await attachment.add().checked() }
        }
        try await measure("ADD, one family, named pool", nil) {
            for attachment in single { added.append(try await attachment.add().checked()) }
        }
        try await measure("CHECK", nil) {
            for (attachment, outcome) in zip(single, added) {
                _ = try await attachment.check(after: outcome).checked()
            }
        }
        try await measure("DEL", 1) {
            for (attachment, outcome) in zip(single, added) { _ = try await attachment.del(after: outcome).checked() }
        }
        try await measure("DEL, repeated", 0) {
            for attachment in single { _ = try await attachment.delAgain().checked() }
        }
        try await measure("ADD, dual stack", nil) {
            for attachment in dual { addedDual.append(try await attachment.add().checked()) }
        }
        try await measure("DEL, dual stack", 2) {
            for (attachment, outcome) in zip(dual, addedDual) { _ = try await attachment.del(after: outcome).checked() }
        }
        return figures
    }

    /// The server counts a request shortly after it has answered it, so this waits until nothing more is counted.
    func requestCounts() async throws -> RequestCounts {
        var counts = try await readRequestCounts()
        while true {
            try await Task.sleep(for: .milliseconds(200))
            let next = try await readRequestCounts()
            if next == counts { return counts }
            counts = next
        }
    }

    private func readRequestCounts() async throws -> RequestCounts {
        RequestCounts(metrics: try await controlPlane.kubectl(["get", "--raw", "/metrics"]))
    }
}

/// Requests for pods, namespaces and Berth's kinds, by verb and resource.
struct RequestCounts: Equatable, Sendable {
    private static let metric = "apiserver_request_total{"

    private var counts: [String: Int] = [:]

    init(metrics: String) {
        for line in metrics.split(separator: "\n") where line.hasPrefix(Self.metric) {
            guard let end = line.lastIndex(of: "}"),
                let value = Double(line[line.index(after: end)...].drop { $0 == " " }.prefix { $0 != " " })
            else { continue }
            func label(_ name: String) -> Substring? {
                for separator in ["{", ","] {
                    guard let range = line.firstRange(of: "\(separator)\(name)=\"") else { continue }
                    return line[range.upperBound...].prefix { $0 != "\"" }
                }
                return nil
            }
            guard let verb = label("verb"), let resource = label("resource"), let group = label("group"),
                group == "ipam.berth.dev" || (group.isEmpty && (resource == "pods" || resource == "namespaces"))
            else { continue }
            counts["\(verb) \(resource)", default: 0] += Int(value)
        }
    }

    func since(_ earlier: RequestCounts) -> RequestCounts {
        var difference = self
        for (name, count) in counts { difference.counts[name] = count - (earlier.counts[name] ?? 0) }
        return difference
    }

    /// For example `POST ipallocations`.
    subscript(name: String) -> Int { counts[name] ?? 0 }

    var total: Int { counts.values.reduce(0, +) }

    /// Those of one of `calls` calls.
    func description(for calls: Int) -> String {
        counts.filter { $0.value != 0 }.sorted { $0.key < $1.key }
            .map { "\($0.key) \(Decimal.short(Double($0.value) / Double(calls)))" }.joined(separator: ", ")
    }
}
