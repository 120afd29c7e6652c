import IPAMAPI
import IPAMConsole
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import Synchronization
import TestSupport
import Testing

/// The built executable on a real API server, with pools, nodes and pods of its own.
///
/// Other tests use the same server, so that every command here names the pool that it is about.
final class ConsoleRig: Sendable {
    let controlPlane: ControlPlane
    let subnets: TestSubnets
    private let executable: String
    private let made = Mutex(Made())

    private struct Made {
        var pools: [String] = []
        var reservations: [String] = []
        var nodes: [String] = []
        var pods: [TestPod] = []
        var leases: [PodKey] = []
        var claims: [String] = []
        var blocks: [String] = []
    }

    private init(_ controlPlane: ControlPlane, _ executable: String) {
        self.controlPlane = controlPlane
        self.executable = executable
        subnets = Subnets.next()
    }

    /// Lends a rig with a pool of a /24, whose name it is, without cooldown unless the spec says so.
    static func run(
        _ spec: JSON = [:], _ body: (ConsoleRig) async throws -> Void
    ) async throws {
        guard let executable = Environment.value("BERTH_TEST_KUBECTL") else {
            throw TestSetUpError(
                "BERTH_TEST_KUBECTL is not set: run hack/test.sh, or name the kubectl-berth to test")
        }
        let rig = ConsoleRig(try await ControlPlane.ready(), executable)
        try await rig.makePool(rig.pool, spec)
        do {
            try await body(rig)
        } catch {
            try? await rig.cleanUp()
            throw error
        }
        try await rig.cleanUp()
    }

    /// The name of its pool.
    var pool: String { subnets.name }

    // MARK: Running

    func kubectlBerth(
        _ arguments: [String], environment: [String: String] = [:], stdin: String = ""
    ) async throws -> ProcessOutcome {
        var all = environment
        if all["KUBECONFIG"] == nil { all["KUBECONFIG"] = controlPlane.kubeconfig }
        all["PATH"] = "/usr/bin:/bin"
        all["LANG"] = "C.UTF-8"
        return try await TestSupport.run(
            executable, arguments, environment: all, stdin: Array(stdin.utf8), limit: .seconds(60))
    }

    /// The answer in JSON, and the exit status.
    func answer(_ arguments: [String]) async throws -> (json: JSON, status: Int32) {
        let outcome = try await kubectlBerth(arguments + ["-o", "json"])
        guard case .exited(let status) = outcome.ending, status < 2 else { throw TestSetUpError("\(outcome)") }
        return (try JSON(parsing: outcome.output), status)
    }

    // MARK: Making things

    func makePool(_ name: String, _ spec: JSON = [:]) async throws {
        var spec = spec
        if spec["subnet"] == nil { spec["subnet"] = .string(subnets.subnet4) }
        if spec["cooldown"] == nil { spec["cooldown"] = "0s" }
        made.withLock { $0.pools.append(name) }
        try await controlPlane.makePool(name, spec)
    }

    /// Makes a reservation, of which no controller knows.
    func reserve(_ suffix: String, _ spec: JSON) async throws -> String {
        let name = subnets.name(suffix)
        made.withLock { $0.reservations.append(name) }
        let object: JSON = [
            "apiVersion": .string(BerthAPI.apiVersion), "kind": "IPReservation", "metadata": ["name": .string(name)],
            "spec": spec,
        ]
        _ = try await controlPlane.withAdmin {
            try $0.create(.ipReservations, name: name, object: object, deadline: .soon)
        }
        return name
    }

    /// Makes an IPClaim in the namespace `default`, of which no controller knows, and gives its UID.
    func makeClaim(_ suffix: String, _ spec: JSON = [:], labels: JSON = [:], holder: IPClaim.Holder? = nil) async throws
        -> ClaimReference
    {
        let name = subnets.name(suffix)
        made.withLock { $0.claims.append(name) }
        let object: JSON = [
            "apiVersion": .string(BerthAPI.apiVersion), "kind": "IPClaim",
            "metadata": ["name": .string(name), "namespace": "default", "labels": labels], "spec": spec,
        ]
        let json = try await controlPlane.withAdmin {
            try $0.create(.ipClaims, namespace: "default", name: name, object: object, deadline: .soon)
        }
        if let holder { try await patchStatus(.ipClaims, name, ["holder": holder.json], namespace: "default") }
        return try IPClaim(json).reference
    }

    /// Assigns a block of the rig's pool, by hand unless it is of a machine, and gives its name.
    @discardableResult
    func makeBlock(
        _ cidr: String, node: String, machineID: String = "", poolUID: String = ""
    ) async throws -> String {
        let name = IPBlock.objectName(network: "", try IPPrefix(parsing: cidr))
        made.withLock { $0.blocks.append(name) }
        let spec = IPBlock.Spec(pool: pool, poolUID: poolUID, cidr: cidr, node: node, machineID: machineID)
        var labels: JSON = [:]
        for (key, value) in spec.labels { labels[key] = .string(value) }
        let object: JSON = [
            "apiVersion": .string(BerthAPI.apiVersion), "kind": "IPBlock",
            "metadata": ["name": .string(name), "labels": labels], "spec": spec.json,
        ]
        _ = try await controlPlane.withAdmin {
            try $0.create(.ipBlocks, name: name, object: object, deadline: .soon)
        }
        return name
    }

    /// A node whose kubelet reports, and whose machine ID is its name.
    func makeNode(_ suffix: String = "node", isReady: Bool = true) async throws -> String {
        let name = subnets.name(suffix)
        made.withLock { $0.nodes.append(name) }
        let object: JSON = ["apiVersion": "v1", "kind": "Node", "metadata": ["name": .string(name)]]
        _ = try await controlPlane.withAdmin { try $0.create(.nodes, name: name, object: object, deadline: .soon) }
        try await patchStatus(
            .nodes, name,
            [
                "conditions": [["type": "Ready", "status": isReady ? "True" : "Unknown"]],
                "nodeInfo": ["machineID": .string(name)],
            ])
        return name
    }

    /// The Lease of a node agent.
    func makeAgent(_ node: String, version: String? = nil, namespace: String = "berth-system") async throws {
        var object: JSON = [
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": [
                "name": .string(node), "namespace": .string(namespace),
                "labels": ["app.kubernetes.io/name": "berth", "app.kubernetes.io/component": "node-agent"],
            ],
            "spec": ["holderIdentity": .string(node), "leaseDurationSeconds": 40],
        ]
        if let version { object["metadata"]?["annotations"] = ["ipam.berth.dev/version": .string(version)] }
        try await makeLease(node, namespace: namespace, object)
    }

    func makeLease(_ name: String, namespace: String, _ object: JSON) async throws {
        made.withLock { $0.leases.append(PodKey(namespace: namespace, name: name)) }
        _ = try await controlPlane.withAdmin {
            try $0.create(.leases, namespace: namespace, name: name, object: object, deadline: .soon)
        }
    }

    /// A pod that reports addresses.
    func makePod(
        _ suffix: String, on node: String, reporting addresses: [String] = [], annotations: [String: String] = [:]
    ) async throws -> TestPod {
        let pod = try await controlPlane.makePod(subnets.name(suffix), node: node, annotations: annotations)
        made.withLock { $0.pods.append(pod) }
        if !addresses.isEmpty {
            try await patchStatus(
                .pods, pod.name,
                [
                    "phase": "Running", "podIP": .string(addresses[0]),
                    "podIPs": .array(addresses.map { ["ip": .string($0)] }),
                ], namespace: pod.namespace)
        }
        return pod
    }

    /// Enters an allocation as the plugin of a node does, and gives its name.
    @discardableResult
    func enter(
        _ host: Int, pool: String? = nil, node: String, pod: TestPod?, state: AllocationState = .bound,
        origin: AllocationOrigin = .pod, cooldown: Int = 0, network: String = "", poolUID: String? = nil,
        change: (inout JSON) -> Void = { _ in }
    ) async throws -> String {
        let pool = pool ?? self.pool
        let read = try await controlPlane.withAdmin { try $0.get(.ipPools, name: pool, deadline: .soon) }
        let isHeld = (state == .bound || state == .fenced) && origin != .manual
        let holder = IPAMAPI.Attachment(networkName: "net", containerID: "c-\(subnets.name)-\(host)", interface: "eth0")
        let spec = IPAllocation.Spec(
            state: state, origin: origin, pool: pool, poolUID: poolUID ?? read["metadata"]?["uid"]?.string ?? "",
            address: try IPAddress(parsing: subnets.address4(host)), network: network, node: node, machineID: node,
            attachment: isHeld ? holder : nil, pod: pod?.reference, claim: nil, cooldownSeconds: cooldown,
            claimedAt: nil, releasedAt: nil)
        var object = spec.newObject()
        change(&object)
        let (name, made) = (object["metadata"]?["name"]?.string ?? spec.objectName, object)
        _ = try await controlPlane.withAdmin {
            try $0.create(.ipAllocations, name: name, object: made, deadline: .soon)
        }
        return name
    }

    func exists(_ allocation: String) async throws -> Bool {
        try await controlPlane.withAdmin { client in
            do throws(APIError) {
                _ = try client.get(.ipAllocations, name: allocation, deadline: .soon)
                return true
            } catch {
                guard error.isNotFound else { throw error }
                return false
            }
        }
    }

    func read(_ allocation: String) async throws -> IPAllocation {
        try await controlPlane.withAdmin {
            try IPAllocation($0.get(.ipAllocations, name: allocation, deadline: .soon))
        }
    }

    func patchStatus(
        _ type: ResourceType, _ name: String, _ status: JSON, namespace: String? = nil
    ) async throws {
        _ = try await controlPlane.withAdmin {
            try $0.patch(
                type, namespace: namespace, name: name, patch: .merge(["status": status]), subresource: "status",
                deadline: .soon)
        }
    }

    private func cleanUp() async throws {
        let made = made.withLock(\.self)
        for pod in made.pods { try await controlPlane.delete(pod) }
        try await controlPlane.withAdmin { client in
            for name in made.reservations {
                _ = try? client.delete(.ipReservations, name: name, preconditions: nil, deadline: .soon)
            }
            for name in made.claims {
                _ = try? client.delete(
                    .ipClaims, namespace: "default", name: name, preconditions: nil, deadline: .soon)
            }
            for name in made.blocks {
                _ = try? client.delete(.ipBlocks, name: name, preconditions: nil, deadline: .soon)
            }
            for name in made.nodes { _ = try? client.delete(.nodes, name: name, preconditions: nil, deadline: .soon) }
            for lease in made.leases {
                _ = try? client.delete(
                    .leases, namespace: lease.namespace, name: lease.name, preconditions: nil, deadline: .soon)
            }
        }
        try await controlPlane.removePools(made.pools)
    }
}
