import IPAMAPI
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

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

    /// Adds a sandbox, and holds back every request until all of its round trip are there.
    ///
    /// - Parameter rounds: What each round trip asks, in any order.
    func add(
        _ sandbox: TestSandbox, _ pools: [ClaimPool], inRounds rounds: [[String]], on node: TestNode? = nil
    ) async throws -> PluginOutcome {
        let (proxy, node) = (bench.proxy, node ?? bench.node)
        proxy.clearLog()
        var seen = 0
        var gate = Gate("round trip 1")
        var rule: FaultRule? = proxy.when(.any, .always, .hold(gate))
        let call = try node.runner.start(node.call("ADD", sandbox, bench.configuration(pools, on: node)))
        for (number, round) in rounds.enumerated() {
            try await gate.reached(round.count)
            let verbs = proxy.log.verbs.dropFirst(seen)
            #expect(verbs.sorted() == round.sorted())
            seen += verbs.count
            rule?.remove()
            let next = Gate("round trip \(number + 2)")
            rule = number + 1 < rounds.count ? proxy.when(.any, .always, .hold(next)) : nil
            gate.open()
            gate = next
        }
        let outcome = try await call.outcome().checked()
        #expect(proxy.log.verbs.dropFirst(seen) == [], "another round trip")
        return outcome
    }

    /// Lets a pod of the set get addresses and go, so that they are kept.
    ///
    /// - Parameter isPublished: The controller has written down what is kept.
    func keep(isPublished: Bool, _ pools: ClaimPool...) async throws -> [String] {
        let pod = try await pod()
        let sandbox = try sandbox(of: pod)
        let configuration = bench.configuration(pools)
        let added = try await bench.node.add(sandbox, configuration).checked()
        try await bench.node.del(sandbox, configuration, previous: added).checked()
        if isPublished {
            for claim in try await claims() { try await publish(added.addresses, of: claim) }
        }
        try await bench.controlPlane.delete(pod)
        return added.addresses
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
