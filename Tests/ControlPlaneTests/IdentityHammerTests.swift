import IPAMAPI
import IPAddressing
import JSONText
import TestSupport
import Testing

/// StatefulSet pods that come and go on several nodes while their ADDs are killed at random. No controller runs.
@Suite("Identity under a hammer", .controlPlane, .timeLimit(.minutes(10)))
struct IdentityHammerTests {
    private static let rounds = 6
    private static let pods = 4

    @Test func `whatever is killed, pods of a StatefulSet keep both of their addresses, on any node`() async throws {
        try await IdentityBench.run { identity in
            let bench = identity.bench
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6))
            try await bench.withNode { other in
                let nodes = [bench.node, other]
                try await withThrowingTaskGroup { group in
                    for ordinal in 0..<Self.pods {
                        group.addTask { try await Self.live("web-\(ordinal)", identity, nodes, v4, v6) }
                    }
                    try await group.waitForAll()
                }
            }
            for pool in [v4, v6] {
                let left = try await bench.allocations(pool)
                #expect(left.count == Self.pods, "\(left.map(\.holderDescription))")
                #expect(left.allSatisfy { $0.spec.state == .held })
                #expect(Set(left.compactMap(\.spec.claim?.uid)).count == Self.pods)
            }
            #expect(try await identity.claims().count == Self.pods)
        }
    }

    /// The lives of one pod, each on a node that is drawn: an ADD that is killed, and one that is repeated until it is
    /// served, as a runtime does.
    private static func live(
        _ name: String, _ identity: IdentityBench, _ nodes: [TestNode], _ v4: ClaimPool, _ v6: ClaimPool
    ) async throws {
        var addresses: [String]?
        for round in 0..<rounds {
            let node = try #require(nodes.randomElement())
            let configuration = identity.bench.configuration([v4, v6], on: node)
            let pod = try await identity.pod(name, on: node)
            let doomed = try identity.sandbox(of: pod, on: node)
            _ = try await node.runner.run(
                node.call("ADD", doomed, configuration), killAfter: .milliseconds(Int.random(in: 2...120)))
            try await node.delAgain(doomed, configuration).checked()

            let sandbox = try identity.sandbox(of: pod, on: node)
            var added: PluginOutcome?
            for _ in 0..<60 where added == nil {
                let outcome = try await node.add(sandbox, configuration)
                if outcome.addresses.isEmpty {
                    #expect(outcome.code == PluginCode.tryAgainLater, "\(outcome)")
                    // What was created after its DEL a later one frees.
                    try await node.delAgain(doomed, configuration).checked()
                } else {
                    added = outcome
                }
            }
            let served = try #require(added, "\(name) was not served").addresses
            #expect(served.count == 2 && served == addresses ?? served, "\(name), round \(round)")
            addresses = served
            try await node.del(sandbox, configuration, previous: added).checked()
            // Once more: what a killed call had under way may have been carried out since.
            try await node.delAgain(doomed, configuration).checked()
            try await identity.bench.controlPlane.delete(pod)
        }
    }
}
