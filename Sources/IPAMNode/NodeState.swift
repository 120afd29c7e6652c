package import ControllerHTTP
package import JSONText
package import KubernetesCore

/// What the agent found at its last look, for the readiness probe, which is another process.
package struct NodeState: Hashable, Sendable {
    /// By the clock of ``bootID``.
    package var at: Moment
    package var bootID: String
    /// For how long it counts: an agent that hangs must not look ready.
    package var lifetime: Duration
    package var version: String
    package var checks: [ReadinessCheck]

    package init(at: Moment, bootID: String, lifetime: Duration, version: String, checks: [ReadinessCheck]) {
        self.at = at
        self.bootID = bootID
        self.lifetime = lifetime
        self.version = version
        self.checks = checks
    }

    /// Nil where an ADD on this node would work now, as far as the agent knows; otherwise why not.
    package func problem(now: Moment, bootID: String) -> String? {
        if let stale = staleness(now: now, bootID: bootID) { return stale }
        let problems = checks.compactMap { check in check.problem.map { "\(check.name): \($0)" } }
        return problems.isEmpty ? nil : problems.joined(separator: "\n")
    }

    /// Nil while the agent still looks.
    package func staleness(now: Moment, bootID: String) -> String? {
        guard self.bootID == bootID else { return "the agent has not looked since this machine was started" }
        let age = now - at
        return age > lifetime ? "the agent looked last \(age.briefDescription) ago" : nil
    }

    package var json: JSON {
        [
            "version": .string(version), "bootID": .string(bootID), "at": .int(at.nanoseconds),
            "lifetimeSeconds": .int(lifetime.components.seconds),
            "checks": .array(
                checks.map { check in
                    var json: JSON = ["name": .string(check.name)]
                    json["problem"] = check.problem.map { .string($0) }
                    return json
                }),
        ]
    }

    package init(_ json: JSON) throws(JSONDecodingError) {
        let fields = try JSONFields(json)
        var checks: [ReadinessCheck] = []
        for check in try fields.list("checks") ?? [] {
            checks.append(ReadinessCheck(try check.requiredString("name"), problem: try check.string("problem")))
        }
        self.init(
            at: Moment(nanoseconds: Int64(try fields.requiredInt("at"))), bootID: try fields.requiredString("bootID"),
            lifetime: .seconds(try fields.requiredInt("lifetimeSeconds")),
            version: try fields.string("version") ?? "", checks: checks)
    }

    // MARK: The file

    package func write(to path: String) throws(HostFileError) {
        try HostFile.makeFolder(HostFile.folder(of: path), mode: 0o755)
        try HostFile.write(json.serialized() + [UInt8(ascii: "\n")], to: path, mode: 0o644, durably: false)
    }

    package static func read(from path: String) throws -> NodeState {
        guard let bytes = try HostFile.read(path) else {
            throw HostFileError(path, "does not exist: the agent has not looked yet")
        }
        return try NodeState(JSON(parsing: bytes))
    }
}
