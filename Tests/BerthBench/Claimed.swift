import IPAMAPI
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport

extension Bench {
    /// ADD of a StatefulSet's pod that was made anew and gets the address that was kept for it, in turn with ADD of a pod
    /// that keeps none.
    func claimed(_ count: Int) async throws -> [Figure] {
        let warmUp = 3
        let pool = try await pool("claimed", cooldown: "10s")
        let namespace = poolName("claimed")
        try await controlPlane.makeNamespace(namespace)
        let set = try await controlPlane.makeStatefulSet("web", namespace: namespace)
        let node = nodes[0]
        var pairs = Pairs()
        for turn in 0..<(count + warmUp) {
            let pod = try await controlPlane.makePod("web-0", namespace: namespace, node: node.name, owner: set)
            let kept = BenchAttachment(
                node: node, sandbox: try node.newSandbox(pod: pod),
                configuration: node.configuration(pools: [pool.name]))
            let plain = try attachment(turn, pool.name, on: node)
            let (a, b) = try await alternate(
                turn, { try await kept.add().checked() }, { try await plain.add().checked() })
            _ = try await kept.del(after: a).checked()
            _ = try await plain.del(after: b).checked()
            try await controlPlane.delete(pod)
            if turn == 0 { try await publish(a.addresses, namespace) }
            if turn >= warmUp { pairs.append(a.process, b.process) }
        }
        try await controlPlane.kubectl(["delete", "ipclaims,statefulsets", "--all", "--namespace", namespace])
        return [pairs.figure(.sequential, "ADD, kept address", "ADD of a pod without a claim")]
    }

    /// Writes what the controller writes of the claims of a namespace.
    private func publish(_ addresses: [String], _ namespace: String) async throws {
        try await controlPlane.withAdmin { client in
            for claim in try client.list(.ipClaims, namespace: namespace, deadline: .soon).items {
                _ = try client.patch(
                    .ipClaims, namespace: namespace, name: try IPClaim(claim).metadata.name,
                    patch: .merge(["status": ["addresses": .strings(addresses)]]), subresource: "status",
                    deadline: .soon)
            }
        }
    }
}
