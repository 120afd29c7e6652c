import IPAMAPI
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport

/// A namespace with claims, which no other test has, on a bench. No controller runs beside it.
struct IdentityBench: Sendable {
    let bench: ClaimBench
    let namespace: String
    let set: TestOwner

    static func run(
        annotations: [String: String] = [:], isolation: isolated (any Actor)? = #isolation,
        _ body: (IdentityBench) async throws -> Void
    ) async throws {
        try await ClaimBench.run { bench in
            let namespace = "identity-\(bench.label)"
            try await bench.controlPlane.makeNamespace(namespace, annotations: annotations)
            let set = try await bench.controlPlane.makeStatefulSet("web", namespace: namespace)
            let identity = IdentityBench(bench: bench, namespace: namespace, set: set)
            do {
                try await body(identity)
            } catch {
                try await identity.cleanUp()
                throw error
            }
            try await identity.cleanUp()
        }
    }

    private func cleanUp() async throws {
        let place = ["--namespace", namespace, "--all", "--ignore-not-found", "--grace-period=0", "--force"]
        try await bench.controlPlane.kubectl(["delete", "ipclaims,statefulsets,pods"] + place)
    }

    /// A pod of the set, or one of nobody.
    func pod(
        _ name: String = "web-0", of owner: TestOwner? = nil, isOwned: Bool = true, namespace: String? = nil,
        on node: TestNode? = nil, annotations: [String: String] = [:]
    ) async throws -> TestPod {
        try await bench.controlPlane.makePod(
            name, namespace: namespace ?? self.namespace, node: (node ?? bench.node).name, annotations: annotations,
            owner: isOwned ? owner ?? set : nil)
    }

    func sandbox(of pod: TestPod, on node: TestNode? = nil, interface: String = "eth0") throws -> TestSandbox {
        try (node ?? bench.node).newSandbox(pod: pod, interface: interface)
    }

    func add(_ sandbox: TestSandbox, _ pools: ClaimPool..., on node: TestNode? = nil) async throws -> PluginOutcome {
        try await (node ?? bench.node).add(sandbox, bench.configuration(pools, on: node))
    }

    func del(_ sandbox: TestSandbox, _ pools: ClaimPool..., on node: TestNode? = nil) async throws {
        try await (node ?? bench.node).del(sandbox, bench.configuration(pools, on: node)).checked()
    }

    func makeClaim(_ name: String, _ spec: JSON = [:]) async throws {
        let object: JSON = [
            "apiVersion": .string(BerthAPI.apiVersion), "kind": "IPClaim",
            "metadata": ["name": .string(name), "namespace": .string(namespace)], "spec": spec,
        ]
        let namespace = namespace
        _ = try await bench.controlPlane.withAdmin {
            try $0.create(.ipClaims, namespace: namespace, name: name, object: object, deadline: .soon)
        }
    }

    func deleteClaim(_ name: String) async throws {
        let namespace = namespace
        _ = try await bench.controlPlane.withAdmin {
            try $0.delete(.ipClaims, namespace: namespace, name: name, preconditions: nil, deadline: .soon)
        }
    }

    func claims(in namespace: String? = nil) async throws -> [IPClaim] {
        let namespace = namespace ?? self.namespace
        return try await bench.controlPlane.withAdmin { client in
            try client.list(.ipClaims, namespace: namespace, deadline: .soon).items.map { try IPClaim($0) }
        }
    }

    func allocation(_ address: String) async throws -> IPAllocation? {
        try await bench.controlPlane.allocation(address)
    }

    /// Writes what the controller writes of a claim.
    func publish(_ addresses: [String], of claim: IPClaim) async throws {
        _ = try await bench.controlPlane.withAdmin {
            try $0.patch(
                .ipClaims, namespace: claim.namespace, name: claim.metadata.name,
                patch: .merge(["status": ["addresses": .strings(addresses)]]), subresource: "status", deadline: .soon)
        }
    }
}

extension RequestMatcher {
    static let bindClaim = RequestMatcher.verb("patch", "ipclaims.ipam.berth.dev")
}
