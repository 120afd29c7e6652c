import IPAMAPI
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// Virtual machines of KubeVirt in the namespace of an IdentityBench.
struct MachineBench: Sendable {
    let identity: IdentityBench

    var bench: ClaimBench { identity.bench }
    var controlPlane: ControlPlane { identity.bench.controlPlane }

    static func run(
        annotations: [String: String] = [:], isolation: isolated (any Actor)? = #isolation,
        _ body: (MachineBench) async throws -> Void
    ) async throws {
        try await ControlPlane.kubeVirt.value
        try await IdentityBench.run(annotations: annotations) { identity in
            try await body(MachineBench(identity: identity))
        }
    }

    func machine(_ name: String = "vm1") async throws -> TestOwner {
        try await controlPlane.makeMachine(name, namespace: identity.namespace)
    }

    func instance(_ name: String = "vm1", of machine: TestOwner?) async throws -> TestOwner {
        try await controlPlane.makeInstance(name, namespace: identity.namespace, of: machine)
    }

    /// The pod that a guest runs in, or migrates to.
    func launcher(
        _ suffix: String, of instance: TestOwner, on node: TestNode? = nil, migration: String? = nil,
        annotations: [String: String] = [:]
    ) async throws -> TestPod {
        try await controlPlane.makePod(
            "virt-launcher-\(instance.name)-\(suffix)", namespace: identity.namespace, node: (node ?? bench.node).name,
            labels: migration.map { [KubeVirt.migrationLabel: $0] } ?? [:], annotations: annotations, owner: instance)
    }

    /// A machine whose guest runs in a pod, with addresses of some pools.
    func guest(_ pools: ClaimPool...) async throws -> (instance: TestOwner, pod: TestPod, added: PluginOutcome) {
        let instance = try await instance(of: try await machine())
        let pod = try await launcher("a", of: instance)
        let added = try await bench.node.add(try identity.sandbox(of: pod), bench.configuration(pools))
        return (instance, pod, try added.checked())
    }

    func claim() async throws -> IPClaim { try #require(try await identity.claims().first) }

    func finish(_ pod: TestPod) async throws {
        _ = try await controlPlane.withAdmin {
            try $0.patch(
                .pods, namespace: pod.namespace, name: pod.name, patch: .merge(["status": ["phase": "Succeeded"]]),
                subresource: "status", deadline: .soon)
        }
    }

    /// Who the ledger says has every address of some pools, by the names of their pods.
    func holders(_ pools: ClaimPool...) async throws -> Set<String> {
        var names: Set<String> = []
        for pool in pools {
            for allocation in try await bench.allocations(pool) {
                names.insert(allocation.spec.attachment == nil ? "" : allocation.spec.pod?.name ?? "?")
            }
        }
        return names
    }
}

extension RequestMatcher {
    static let readInstance = RequestMatcher.verb("get", "virtualmachineinstances.kubevirt.io")
}
