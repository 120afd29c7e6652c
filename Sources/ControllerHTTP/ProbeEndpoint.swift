/// One of the things that a replica needs in order to be ready.
package struct ReadinessCheck: Hashable, Sendable {
    /// For example `stores`.
    package let name: String
    /// What it waits for; nil when it is ready.
    package let problem: String?

    package init(_ name: String, problem: String? = nil) {
        self.name = name
        self.problem = problem
    }
}

/// What kubelet and Prometheus ask for, over plain HTTP: `/healthz`, `/readyz`, `/metrics`.
///
/// Answers are those of kube-apiserver with `?verbose`: a line for each check, `[+]` or `[-]`, and a summary.
/// `/healthz` says only that the process answers, for nothing that a restart could not mend must restart it.
package struct ProbeEndpoint: Endpoint {
    private let metrics: MetricsRegistry
    private let readiness: @Sendable () async -> [ReadinessCheck]

    package init(metrics: MetricsRegistry, readiness: @escaping @Sendable () async -> [ReadinessCheck]) {
        self.metrics = metrics
        self.readiness = readiness
    }

    private static let paths: Set = ["/healthz", "/readyz", "/metrics"]
    private static let methods = ["GET", "HEAD"]

    package func admit(_ head: RequestHead) -> Admittance {
        guard Self.paths.contains(head.path) else { return .reply(.notFound) }
        return Self.methods.contains(head.method) ? .withoutBody : .reply(.methodNotAllowed(Self.methods))
    }

    package func reply(to head: RequestHead, body: [UInt8]) async -> HTTPReply {
        switch head.path {
        case "/healthz": .text(200, "ok")
        case "/readyz": Self.report(await readiness())
        case "/metrics": .text(200, metrics.render(), contentType: ExpositionText.contentType)
        default: .notFound
        }
    }

    private static func report(_ checks: [ReadinessCheck]) -> HTTPReply {
        var text = ""
        for check in checks {
            text += check.problem.map { "[-]\(check.name) not ready: \($0)\n" } ?? "[+]\(check.name) ok\n"
        }
        let isReady = checks.allSatisfy { $0.problem == nil }
        return .text(isReady ? 200 : 503, text + "readyz check \(isReady ? "passed" : "failed")\n")
    }
}
