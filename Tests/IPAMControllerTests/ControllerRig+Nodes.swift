import IPAMAPI
import JSONText
import KubernetesClient
import KubernetesCore
import Synchronization
import TestSupport

// What happens to nodes, and to many pods at once.
extension ControllerRig {
    func nodeUID(_ name: String) async throws -> String {
        let node = try await controlPlane.withAdmin { try $0.get(.nodes, name: name, deadline: .soon) }
        return node["metadata"]?["uid"]?.string ?? ""
    }

    /// An administrator says that the machine is off.
    func takeOutOfService(_ node: String) async throws {
        let taint: JSON = ["key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"]
        try await patch(.nodes, node, ["spec": ["taints": [taint]]])
    }

    /// The Lease of a node agent, renewed now.
    func makeAgent(_ node: String, seconds: Int) async throws {
        made.withLock { $0.leases.append(node) }
        let object: JSON = [
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": [
                "name": .string(node), "namespace": "berth-system",
                "labels": ["app.kubernetes.io/name": "berth", "app.kubernetes.io/component": "node-agent"],
            ],
            "spec": ["holderIdentity": .string(node), "leaseDurationSeconds": .int(seconds)],
        ]
        _ = try await controlPlane.withAdmin {
            try $0.create(.leases, namespace: "berth-system", name: node, object: object, deadline: .soon)
        }
    }

    func renewAgent(_ node: String, seconds: Int) async throws {
        try await patch(
            .leases, node, ["spec": ["leaseDurationSeconds": .int(seconds), "leaseTransitions": 1]],
            namespace: "berth-system")
    }

    /// Waits until an allocation asks its node's agent to free it.
    func waitForMark(_ name: String, _ reason: String) async throws {
        _ = try await ledger.wait("the mark of \(name)") { objects -> Bool? in
            objects[name]?["metadata"]?["annotations"]?[AnnotationKey.reclaim]?.string == reason ? true : nil
        }
    }

    /// Enters an allocation for each of many pods, or for none.
    func enter(
        addresses: [String], pool: String, node: String, pods: [TestPod] = [], origin: AllocationOrigin = .pod,
        state: AllocationState = .bound, cooldown: Int = 0
    ) async throws -> [String] {
        try await inParallel(addresses.count) { [self] index in
            try await enter(
                index, address: addresses[index], pool: pool, node: node,
                pod: pods.isEmpty ? nil : pods[index], origin: origin, state: state, cooldown: cooldown)
        }
    }

    func makePods(_ prefix: String, _ count: Int, on node: String) async throws -> [TestPod] {
        try await inParallel(count) { [self] index in try await makePod("\(prefix)-\(index)", on: node) }
    }

    func delete(_ pods: [TestPod]) async throws {
        _ = try await inParallel(pods.count) { [self] index in try await controlPlane.delete(pods[index]) }
    }

    /// Eight at once, the answers in the order of their numbers.
    private func inParallel<Answer: Sendable>(
        _ count: Int, _ body: @escaping @Sendable (Int) async throws -> Answer
    ) async throws -> [Answer] {
        try await withThrowingTaskGroup(of: [(Int, Answer)].self) { group in
            for lane in 0..<8 {
                group.addTask {
                    var answers: [(Int, Answer)] = []
                    for index in stride(from: lane, to: count, by: 8) { answers.append((index, try await body(index))) }
                    return answers
                }
            }
            var answers: [(Int, Answer)] = []
            for try await part in group { answers += part }
            return answers.sorted { $0.0 < $1.0 }.map(\.1)
        }
    }
}
