import IPAMAPI
import IPAddressing
import JSONText
import TestSupport
import Testing

/// What users of Spiderpool must find here of workloads: their pods, which come, go and come again.
@Suite("Seed: Spiderpool, workloads", .controlPlane, .timeLimit(.minutes(10)))
struct SeedWorkloadTests {
    /// Who makes the pods of a test, and what it calls them.
    enum Workload: String, CaseIterable, Sendable {
        case pod, deployment, replicaSet, statefulSet, daemonSet, job

        func podName(_ index: Int) -> String {
            switch self {
            case .pod: "alone\(index)"
            case .deployment: "shop-7d9f8b6c5-x\(index)kq2"
            case .replicaSet: "rs-x\(index)kq2"
            case .statefulSet: "web-\(index)"
            case .daemonSet: "agent-x\(index)kq2"
            case .job: "import-x\(index)kq2"
            }
        }

        /// The pods of a Deployment are its ReplicaSet's.
        func owner(_ identity: IdentityBench) -> TestOwner? {
            func owner(_ kind: String, _ version: String = "apps/v1") -> TestOwner {
                TestOwner(
                    apiVersion: version, kind: kind, namespace: identity.namespace, name: rawValue.lowercased(),
                    uid: "00000000-0000-4000-8000-000000000001")
            }
            return switch self {
            case .pod: nil
            case .deployment, .replicaSet: owner("ReplicaSet")
            case .statefulSet: identity.set
            case .daemonSet: owner("DaemonSet")
            case .job: owner("Job", "batch/v1")
            }
        }

        func makePod(_ identity: IdentityBench, _ index: Int = 0, on node: TestNode? = nil) async throws -> TestPod {
            let owner = owner(identity)
            return try await identity.pod(podName(index), of: owner, isOwned: owner != nil, on: node)
        }
    }

    @Test(arguments: Workload.allCases, [[IPFamily.v4], [.v6], [.v4, .v6]])
    func `S20: pods of every kind of workload get an address of each family, and give it back`(
        workload: Workload, families: [IPFamily]
    ) async throws {
        try await IdentityBench.run { identity in
            let bench = identity.bench
            var pools: [ClaimPool] = []
            for family in families { pools.append(try await bench.makePool(family, cooldown: "0s")) }
            let configuration = bench.configuration(pools)
            let pod = try await workload.makePod(identity)
            let sandbox = try identity.sandbox(of: pod)
            let added = try await bench.node.add(sandbox, configuration).checked()
            #expect(added.addresses.count == families.count)
            for (pool, address) in zip(pools, added.addresses) {
                #expect(pool.addresses.contains(address))
                let held = try #require(try await identity.allocation(address))
                #expect(held.spec.pod == pod.reference && held.spec.attachment == sandbox.attachment())
            }
            try await bench.node.check(sandbox, configuration, previous: added).checked()
            expectSilentSuccess(try await bench.node.del(sandbox, configuration, previous: added))
            for address in added.addresses {
                let left = try await identity.allocation(address)?.spec.state
                #expect(left == (workload == .statefulSet ? .held : nil))
            }
        }
    }

    @Test func `S21: a workload whose pods name another pool moves there with each new pod, and back`() async throws {
        try await IdentityBench.run { identity in
            let bench = identity.bench
            let pools = [try await bench.makePool(cooldown: "0s"), try await bench.makePool(cooldown: "0s")]
            for pool in pools { try await bench.change(pool, ["allowPodSelection": true]) }
            let configuration = bench.node.configuration()
            for workload in [Workload.deployment, .statefulSet] {
                var last: (pod: TestPod, sandbox: TestSandbox)?
                for (index, pool) in [pools[0], pools[1], pools[0]].enumerated() {
                    let owner = workload.owner(identity)
                    let isSurging = workload == .deployment
                    // A StatefulSet ends the old pod first, a Deployment starts the new one first.
                    if !isSurging, let last {
                        expectSilentSuccess(try await bench.node.del(last.sandbox, configuration))
                        try await bench.controlPlane.delete(last.pod)
                    }
                    let pod = try await identity.pod(
                        workload.podName(isSurging ? index : 0), of: owner, isOwned: true,
                        annotations: [AnnotationKey.pools: pool.name])
                    let sandbox = try identity.sandbox(of: pod)
                    let added = try await bench.node.add(sandbox, configuration).checked()
                    #expect(Set(added.addresses).isSubset(of: pool.addresses), "\(workload), round \(index)")
                    if isSurging, let last {
                        // Who runs keeps what it has, and gives it back where it was from.
                        let old = pools[(index + 1) % 2]
                        #expect(try await bench.holders(old).values.contains(last.sandbox.attachment()))
                        expectSilentSuccess(try await bench.node.del(last.sandbox, configuration))
                        try await bench.controlPlane.delete(last.pod)
                    }
                    last = (pod, sandbox)
                }
                if let last {
                    expectSilentSuccess(try await bench.node.del(last.sandbox, configuration))
                    try await bench.controlPlane.delete(last.pod)
                }
            }
            // All that is left is kept for the StatefulSet.
            for pool in pools {
                #expect(try await bench.allocations(pool).allSatisfy { $0.spec.state == .held })
            }
        }
    }

    @Test func `S33: two StatefulSets on one pool keep their own addresses, in whatever order their pods return`()
        async throws
    {
        try await IdentityBench.run { identity in
            let bench = identity.bench
            // As many addresses as pods: whoever took another's would show.
            let pool = try await bench.makePool(size: 6, cooldown: "0s")
            let sets = [
                "web": identity.set,
                "db": try await bench.controlPlane.makeStatefulSet("db", namespace: identity.namespace),
            ]
            let names = sets.keys.sorted().flatMap { set in (0..<3).map { (set, "\(set)-\($0)") } }
            var first: [String: [String]] = [:]
            var running: [(pod: TestPod, sandbox: TestSandbox)] = []
            let started = try await concurrently(names) { set, name in
                let pod = try await identity.pod(name, of: sets[set])
                let sandbox = try identity.sandbox(of: pod)
                return (pod, sandbox, try await identity.add(sandbox, pool).checked().addresses)
            }
            for (pod, sandbox, addresses) in started {
                first[pod.name] = addresses
                running.append((pod, sandbox))
            }
            #expect(Set(first.values.flatMap(\.self)) == Set(pool.addresses))
            for (pod, sandbox) in running {
                try await identity.del(sandbox, pool)
                try await bench.controlPlane.delete(pod)
            }
            // What is kept is nobody else's, though nobody uses it.
            #expect(try await bench.add(try bench.node.newSandbox(), pool).code == PluginCode.exhausted)
            try await bench.withNode { other in
                let again = try await concurrently(Array(names.reversed())) { set, name in
                    let pod = try await identity.pod(name, of: sets[set], on: other)
                    let sandbox = try identity.sandbox(of: pod, on: other)
                    return (name, try await identity.add(sandbox, pool, on: other).checked().addresses)
                }
                #expect(Dictionary(uniqueKeysWithValues: again) == first)
            }
        }
    }

    /// One of those that compete, and what came of it.
    private struct Started: Sendable {
        let workload: Workload
        let node: TestNode
        let pod: TestPod
        let sandbox: TestSandbox
        let outcome: PluginOutcome
    }

    @Test func `S34: workloads of all kinds that compete for one pool share it without a loss, and wait their turn`()
        async throws
    {
        try await IdentityBench.run { identity in
            let bench = identity.bench
            let pool = try await bench.makePool(size: 9, cooldown: "0s")
            let pods = try await concurrently(Workload.allCases.flatMap { kind in (0..<2).map { (kind, $0) } }) {
                workload, index in
                (workload, try await workload.makePod(identity, index))
            }
            try await bench.withNode { other in
                let nodes = [bench.node, other]
                let started = try await concurrently(Array(pods.enumerated())) { index, entry in
                    let node = nodes[index % 2]
                    let sandbox = try identity.sandbox(of: entry.1, on: node)
                    let outcome = try await identity.add(sandbox, pool, on: node)
                    return Started(
                        workload: entry.0, node: node, pod: entry.1, sandbox: sandbox, outcome: outcome)
                }
                let served = started.filter(\.outcome.succeeded)
                let waiting = started.filter { !$0.outcome.succeeded }
                #expect(served.count == 9 && waiting.count == 3)
                #expect(Set(served.flatMap(\.outcome.addresses)) == Set(pool.addresses))
                for loser in waiting { try expectFailure(loser.outcome, code: PluginCode.exhausted, says: [pool.name]) }
                // Those that keep nothing end, and make room for those that wait.
                for winner in served where winner.workload != .statefulSet {
                    try await identity.del(winner.sandbox, pool, on: winner.node)
                }
                let kept = Set(
                    served.filter { $0.workload == .statefulSet }.flatMap(\.outcome.addresses))
                try await bench.withNode { third in
                    for loser in waiting {
                        let sandbox = try identity.sandbox(of: loser.pod, on: third)
                        let added = try await identity.add(sandbox, pool, on: third).checked()
                        #expect(kept.isDisjoint(with: added.addresses))
                    }
                }
                let holders = try await bench.holders(pool)
                #expect(holders.count == kept.count + 3)
            }
        }
    }

    @Test func `S25: an IPv6 pool of hundreds gives its last address, and takes all of them back`() async throws {
        try await PluginRig.run { rig in
            let pool = try await rig.makePool6(hosts: 1...200)
            let nodes = [
                rig.node, try await rig.makeNode("n1"), try await rig.makeNode("n2"), try await rig.makeNode("n3"),
            ]
            let calls = (0..<200).map { nodes[$0 % nodes.count] }
            let added = try await concurrently(calls) { node in
                let sandbox = try node.newSandbox()
                let configuration = node.configuration(pools: [pool])
                return (node, sandbox, try await node.add(sandbox, configuration).checked().addresses)
            }
            #expect(Set(added.flatMap(\.2)) == Set((1...200).map { rig.subnets.address6($0) }))
            let full = try await rig.node.add(try rig.node.newSandbox(), rig.node.configuration(pools: [pool]))
            try expectFailure(full, code: 101, says: ["200 usable"])
            _ = try await concurrently(added) { node, sandbox, _ in
                expectSilentSuccess(try await node.del(sandbox, node.configuration(pools: [pool])))
            }
            for node in nodes { try await node.catchUp(node.configuration(pools: [pool])) }
            #expect(try await rig.objects("\(LabelKey.pool)=\(pool)").isEmpty)
        }
    }

    /// Pods with many networks were slow where all of them waited for one lock (whereabouts #313).
    @Test func `W10: pods with sixteen networks get an address of each, all at once, and give all of them back`()
        async throws
    {
        try await PluginRig.run { rig in
            let pools = [try await rig.makePool("a", hosts: 10...89), try await rig.makePool("b", hosts: 90...169)]
            let sandboxes = try (0..<8).map { _ in try rig.node.newSandbox() }
            let attachments = sandboxes.flatMap { sandbox in
                (0..<16).map { (sandbox.with(interface: "net\($0)"), "network-\($0)", pools[$0 % 2]) }
            }
            let added = try await concurrently(attachments) { sandbox, network, pool in
                try await rig.node.add(sandbox, rig.node.configuration(network: network, pools: [pool])).checked()
                    .addresses
            }
            #expect(Set(added.flatMap(\.self)).count == 128)
            #expect(try await rig.states().count == 128)
            _ = try await concurrently(attachments) { sandbox, network, pool in
                expectSilentSuccess(
                    try await rig.node.del(sandbox, rig.node.configuration(network: network, pools: [pool])))
            }
            try await rig.node.catchUp(rig.node.configuration(pools: pools))
            try await rig.expectNothingHeld()
        }
    }
}
