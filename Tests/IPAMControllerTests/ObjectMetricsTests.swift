import IPAMAPI
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

extension ControllerTests {
    /// What the controller counts of claims, blocks, reservations and quotas.
    @Suite("Metrics of claims and blocks") struct ObjectMetricsTests {
        private static func kubectlBerth(_ rig: ControllerRig, _ arguments: [String]) async throws -> JSON {
            guard let executable = Environment.value("BERTH_TEST_KUBECTL") else {
                throw TestSetUpError(
                    "BERTH_TEST_KUBECTL is not set: run hack/test.sh, or name the kubectl-berth to test")
            }
            let outcome = try await TestSupport.run(
                executable, arguments + ["-o", "json"],
                environment: ["KUBECONFIG": rig.controlPlane.kubeconfig, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"],
                stdin: [], limit: .seconds(60))
            return try JSON(parsing: outcome.output)
        }

        @Test func `C20: kubectl berth and metrics agree about claims`() async throws {
            try await ControllerRig.idle { rig in
                try await rig.withController { running in
                    let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                    let pod = try await rig.makePod("web-0", on: node)
                    _ = try await rig.keep(10, for: try await rig.makeClaim("bound"), pool: pool, by: pod)
                    _ = try await rig.keep(11, for: try await rig.makeClaim("held"), pool: pool)
                    try await rig.makeClaim("empty")
                    let taken = try await rig.enter(12, pool: pool, node: node, pod: pod)
                    let unmet = try await rig.makeClaim("unmet", ["addresses": [.string(taken)]])
                    try await rig.waitForClaim(unmet, "not Ready") { $0.status.conditions.first?.status == .false }
                    for state in ["Bound", "Held", "Empty", "Unmet"] {
                        try await running.waitForMetric("berth_claims{state=\"\(state)\"}", 1)
                    }
                    let status = try await Self.kubectlBerth(rig, ["status"])
                    #expect(status["claims"] == ["unmet": 1, "bound": 1, "held": 1, "empty": 1], "\(status)")
                    let problems = status["problems"]?.array?.compactMap(\.string) ?? []
                    #expect(
                        problems.contains { $0.contains(unmet.name) && $0.contains(taken) && $0.contains(pod.name) },
                        "\(problems)")
                }
            }
        }

        @Test func `C20: kubectl berth and metrics agree about blocks, and both say when none is left`() async throws {
            try await ControllerRig.idle { rig in
                try await rig.withController { running in
                    let pool = try await rig.makePool("sliced", ["nodeBlocks": ["prefixLength": 25]])
                    let cidr = "\(rig.subnets.address4(0))/25"
                    let name = IPBlock.objectName(network: "", try IPPrefix(parsing: cidr))
                    let spec = IPBlock.Spec(pool: pool, cidr: cidr, node: "n1")
                    let object: JSON = [
                        "apiVersion": .string(BerthAPI.apiVersion), "kind": "IPBlock",
                        "metadata": ["name": .string(name)], "spec": spec.json,
                    ]
                    _ = try await rig.controlPlane.withAdmin {
                        try $0.create(.ipBlocks, name: name, object: object, deadline: .soon)
                    }
                    func expect(_ counts: [(state: String, count: Int)]) async throws {
                        for (state, count) in counts {
                            try await running.waitForMetric(
                                "berth_pool_blocks{pool=\"\(pool)\",state=\"\(state)\"}", count)
                        }
                        let status = try await Self.kubectlBerth(rig, ["status", pool])
                        let blocks = status["nodeBlocks"]?.array?.first
                        for (state, count) in counts {
                            #expect(blocks?[state.lowercased()]?.int == count, "\(state): \(status)")
                        }
                    }
                    try await expect([("Used", 1), ("Releasing", 0), ("Free", 1)])
                    _ = try await rig.controlPlane.withAdmin {
                        try $0.delete(.ipBlocks, name: name, preconditions: nil, deadline: .soon)
                    }
                    try await expect([("Used", 0), ("Releasing", 0), ("Free", 2)])
                }
            }
        }

        @Test func `a reservation that makes no sense, and a namespace at its quota, are counted`() async throws {
            try await ControllerRig.idle { rig in
                try await rig.withController { running in
                    let (pool, node) = (try await rig.makePool("pool", ["namespaceQuota": 1]), try await rig.makeNode())
                    try await running.waitForMetric("berth_pool_namespaces_at_quota{pool=\"\(pool)\"}", 0)
                    let pod = try await rig.makePod("web-0", on: node)
                    try await rig.enter(10, pool: pool, node: node, pod: pod)
                    try await running.waitForMetric("berth_pool_namespaces_at_quota{pool=\"\(pool)\"}", 1)
                    let status = try await Self.kubectlBerth(rig, ["status", pool])
                    let problems = status["problems"]?.array?.compactMap(\.string) ?? []
                    #expect(problems.contains { $0.contains("at their quota of 1") && $0.contains("default (1)") })

                    let good = try await rig.reserve([rig.subnets.address4(20)], "good")
                    try await rig.ledger.waitForReservation(good, "is in force") {
                        condition($0, "Enforced")?["status"] == "True"
                    }
                    try await running.waitForMetric("berth_reservations_unenforced{reason=\"Compiling\"}", 0)
                    // The webhook is not asked here: the schema takes it.
                    _ = try await rig.reserve(["\(rig.subnets.address4(30))-\(rig.subnets.address4(29))"], "bad")
                    try await running.waitForMetric("berth_reservations_unenforced{reason=\"Invalid\"}", 1)
                    try await running.waitForMetric("berth_reservations_unenforced{reason=\"Unknown\"}", 0)
                }
            }
        }
    }
}
