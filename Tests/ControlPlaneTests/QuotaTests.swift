import IPAMAPI
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// Namespaces that have all that a pool gives them, as the controller would have written it.
@Suite("Quotas", .controlPlane, .timeLimit(.minutes(5)))
struct QuotaTests {
    @Test(arguments: [false, true])
    func `what is kept for a pod is given although its namespace has its quota meanwhile`(hasBackup: Bool) async throws
    {
        try await IdentityBench.run { identity in
            let pool = try await identity.bench.makePool()
            let pools = [pool] + (hasBackup ? [try await identity.bench.makePool()] : [])
            let kept = try await identity.keep(isPublished: false, pool)
            try await limit(pool, identity)

            let again = try await add("web-0", pools, identity)
            #expect(try again.checked().addresses == kept)
            let other = try await add("web-1", pools, identity)
            if hasBackup {
                let address = try #require(try other.checked().addresses.first)
                #expect(pools[1].addresses.contains(address))
            } else {
                try expectRefused(other, pool, identity)
            }
        }
    }

    @Test func `an ADD that used up the quota may be made again`() async throws {
        try await IdentityBench.run { identity in
            let pool = try await identity.bench.makePool()
            let sandbox = try identity.sandbox(of: try await identity.pod("worker", isOwned: false))
            let added = try await identity.add(sandbox, pool).checked()
            try await limit(pool, identity)
            #expect(try await identity.add(sandbox, pool).checked().addresses == added.addresses)
            let next = try await identity.pod("worker-2", isOwned: false)
            try expectRefused(try await identity.add(try identity.sandbox(of: next), pool), pool, identity)
            #expect(try await identity.bench.allocations(pool).count == 1)
        }
    }

    @Test func `an address that is asked for is no way around the quota`() async throws {
        try await IdentityBench.run { identity in
            let pool = try await identity.bench.makePool()
            try await limit(pool, identity)
            let pod = try await identity.pod(
                "asking", isOwned: false, annotations: [AnnotationKey.addresses: pool.addresses[0]])
            try expectRefused(try await identity.add(try identity.sandbox(of: pod), pool), pool, identity)
            #expect(try await identity.bench.allocations(pool).isEmpty)
        }
    }

    private func add(_ name: String, _ pools: [ClaimPool], _ identity: IdentityBench) async throws -> PluginOutcome {
        let sandbox = try identity.sandbox(of: try await identity.pod(name))
        return try await identity.bench.node.add(sandbox, identity.bench.configuration(pools))
    }

    /// Gives each namespace one address, which this one has.
    private func limit(_ pool: ClaimPool, _ identity: IdentityBench) async throws {
        let used: JSON = [["namespace": .string(identity.namespace), "used": 1]]
        _ = try await identity.bench.controlPlane.withAdmin { client in
            _ = try client.patch(
                .ipPools, name: pool.name, patch: .merge(["spec": ["namespaceQuota": 1]]), deadline: .soon)
            return try client.patch(
                .ipPools, name: pool.name, patch: .merge(["status": ["namespacesAtQuota": used]]),
                subresource: "status", deadline: .soon)
        }
    }

    private func expectRefused(_ outcome: PluginOutcome, _ pool: ClaimPool, _ identity: IdentityBench) throws {
        try expectFailure(
            outcome, code: 101,
            says: [
                "name another pool behind it",
                "IPPool \"\(pool.name)\" gives a namespace 1 address (spec.namespaceQuota), and"
                    + " \"\(identity.namespace)\" uses 1",
            ])
    }
}
