import JSONText
import KubernetesClient
import KubernetesCore
import KubernetesRuntime
import TestSupport
import Testing

/// Candidates for one Lease on a real API server, each behind a proxy of its own.
@Suite("Leader election", .controlPlane, .timeLimit(.minutes(5)))
struct ElectionTests {
    /// Short, so that a test can wait for a Lease to run out, and not so short that a busy machine lets it run out.
    static let limits = LeaderElectionLimits(
        leaseDuration: .seconds(8), renewDeadline: .seconds(4), retryPeriod: .milliseconds(200),
        releaseTimeout: .seconds(1))

    struct Term: Equatable, Sendable {
        let identity: String
        let start: Moment
        var end: Moment?
    }

    struct Candidate: Sendable {
        let identity: String
        let proxy: FaultProxy
        let task: Task<Void, any Error>
    }

    struct Bench: Sendable {
        let controlPlane: ControlPlane
        let name: String
        let candidates: [Candidate]
        /// In the order in which they began.
        let terms: Observed<[Term]>

        /// Waits until a term has begun that `condition` is true of.
        func began(
            _ what: String, _ condition: @escaping @Sendable (Term) -> Bool = { _ in true }
        ) async throws -> Term {
            try await terms.wait(for: what) { $0.first(where: condition) }
        }

        func candidate(_ identity: String) throws -> Candidate {
            try #require(candidates.first { $0.identity == identity })
        }

        func holder() async throws -> String? {
            let name = name
            let lease = try await controlPlane.withAdmin {
                try $0.get(.leases, namespace: "default", name: name, deadline: .soon)
            }
            return try LeaseRecord(lease).holder
        }

        /// No term began before the earlier ones had ended.
        func expectNoOverlap() {
            let terms = terms.value
            for (earlier, later) in zip(terms, terms.dropFirst()) {
                #expect((earlier.end ?? .distantFuture) <= later.start, "\(earlier) and \(later)")
            }
        }
    }

    /// Two candidates, `a` and `b`, and at the end no Lease.
    static func run(
        limits: LeaderElectionLimits? = limits, _ body: (Bench) async throws -> Void
    ) async throws {
        let limits = try #require(limits)
        let controlPlane = try ControlPlane.required()
        let name = Subnets.next().name
        let terms = Observed<[Term]>([])
        try await controlPlane.withFaultProxy { first in
            try await controlPlane.withFaultProxy { second in
                var candidates: [Candidate] = []
                for (identity, proxy) in [("a", first), ("b", second)] {
                    let configuration = try await controlPlane.configuration(as: .admin, through: proxy)
                    let elector = LeaderElector(
                        namespace: "default", name: name, identity: identity,
                        on: try AsyncConnection(configuration), limits: limits)
                    let task = Task {
                        try await elector.run { leadership in
                            #expect(leadership.isHeld)
                            terms.update { $0.append(Term(identity: identity, start: .now())) }
                            try? await BootClock().sleep(until: .distantFuture)
                            terms.update { terms in
                                let last = terms.lastIndex { $0.identity == identity }
                                if let last { terms[last].end = .now() }
                            }
                        }
                    }
                    candidates.append(Candidate(identity: identity, proxy: proxy, task: task))
                }
                let bench = Bench(controlPlane: controlPlane, name: name, candidates: candidates, terms: terms)
                let result: Result<Void, any Error>
                do { result = .success(try await body(bench)) } catch { result = .failure(error) }
                for candidate in candidates {
                    candidate.task.cancel()
                    try await candidate.task.value
                }
                try result.get()
            }
        }
        let request = APIRequest.delete(.leases, namespace: "default", name: name, preconditions: nil)
        try await controlPlane.withAdmin { client in
            if let error = client.transport.failure(of: request), !error.isNotFound { throw error }
        }
    }

    enum Cut: CaseIterable, Sendable {
        case refused, silent
    }

    @Test(arguments: Cut.allCases)
    func `a leader that is cut off stops acting before the other begins`(cut: Cut) async throws {
        try await Self.run { bench in
            let first = try await bench.began("the first leader")
            let leader = try bench.candidate(first.identity)
            // It goes on renewing, and the other goes on waiting.
            try await leader.proxy.waitFor("renewals") { $0.count("patch", "leases.coordination.k8s.io") >= 3 }
            #expect(bench.terms.value.count == 1)
            let start = Moment.now()
            switch cut {
            case .refused: await leader.proxy.suspend()
            case .silent: leader.proxy.when(.any, .always, .hang)
            }
            let second = try await bench.began("the second leader") { $0.identity != first.identity }
            let end = try #require(bench.terms.value.first?.end)
            #expect(end <= second.start)
            #expect(end - start < .seconds(8), "it would act after its lease")
            #expect(second.start - start > .seconds(4))
            // The first one comes back and follows.
            if cut == .refused { try await leader.proxy.resume() } else { leader.proxy.removeRules() }
            leader.proxy.clearLog()
            try await leader.proxy.waitFor("looks at the Lease") {
                $0.filter("get", "leases.coordination.k8s.io").count { $0.fate == .answered(status: 200) } >= 2
            }
            #expect(bench.terms.value.count == 2)
            #expect(try await bench.holder() == second.identity)
            bench.expectNoOverlap()
        }
    }

    @Test func `a leader whose renewals are made and never confirmed stops, and somebody leads again`() async throws {
        try await Self.run { bench in
            let first = try await bench.began("the first leader")
            let leader = try bench.candidate(first.identity)
            leader.proxy.when(.mutation, .always, .dropAnswer(.stream))
            try await bench.terms.wait(for: "its end") { $0.first?.end != nil ? () : nil }
            // It still writes its name, so the other one waits.
            leader.proxy.removeRules()
            try await bench.terms.wait(for: "another term") { $0.count == 2 ? () : nil }
            bench.expectNoOverlap()
        }
    }

    @Test func `a leader that is shut down hands over at once`() async throws {
        let limits = LeaderElectionLimits(
            leaseDuration: .seconds(60), renewDeadline: .seconds(40), retryPeriod: .milliseconds(200))
        try await Self.run(limits: limits) { bench in
            let first = try await bench.began("the first leader")
            let leader = try bench.candidate(first.identity)
            leader.task.cancel()
            try await leader.task.value
            let second = try await bench.began("the second leader") { $0.identity != first.identity }
            bench.expectNoOverlap()
            #expect(try await bench.holder() == second.identity)
            // The last one gives it back too.
            let last = try bench.candidate(second.identity)
            last.task.cancel()
            try await last.task.value
            #expect(try await bench.holder() == nil)
        }
    }

    @Test func `a Lease that somebody deleted is made again`() async throws {
        try await Self.run { bench in
            _ = try await bench.began("the first leader")
            let name = bench.name
            _ = try await bench.controlPlane.withAdmin {
                try $0.delete(.leases, namespace: "default", name: name, preconditions: nil, deadline: .soon)
            }
            try await bench.terms.wait(for: "another term") { $0.count >= 2 ? () : nil }
            let held = try await bench.holder()
            #expect(held != nil)
        }
    }
}
