import ControllerHTTP
import IPAMAPI
import IPAMController
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import KubernetesRuntime
import Logging
import Synchronization
import TestSupport
import Testing

/// A controller that runs in this process with the role of config/rbac, and a cluster for it to look at.
///
/// It acts on everything in its control plane, which therefore is one of its own, and one test runs at a time.
final class ControllerRig: Sendable {
    static let gracePeriod: Duration = .seconds(1)

    let controlPlane: ControlPlane
    let subnets: TestSubnets
    let ledger: ObservedLedger
    /// Where the controller's requests pass, when the test asked for one.
    let proxy: FaultProxy?
    let made = Mutex(Made())

    /// What is removed at the end.
    struct Made: Sendable {
        var pools: [String] = []
        var reservations: [String] = []
        var nodes: [String] = []
        var pods: [TestPod] = []
        /// Of node agents.
        var leases: [String] = []
        var claims: [ClaimReference] = []
    }

    private init(_ controlPlane: ControlPlane, _ subnets: TestSubnets, _ ledger: ObservedLedger, _ proxy: FaultProxy?) {
        self.controlPlane = controlPlane
        self.subnets = subnets
        self.ledger = ledger
        self.proxy = proxy
    }

    /// Lends a rig beside which no controller runs yet.
    static func idle<Answer: Sendable>(
        throughProxy: Bool = false, _ body: @Sendable @escaping (ControllerRig) async throws -> Answer
    ) async throws -> Answer {
        let controlPlane = try await ControlPlane.controlled()
        guard throughProxy else { return try await lend(controlPlane, nil, body) }
        return try await controlPlane.withFaultProxy { try await lend(controlPlane, $0, body) }
    }

    private static func lend<Answer: Sendable>(
        _ controlPlane: ControlPlane, _ proxy: FaultProxy?,
        _ body: @Sendable @escaping (ControllerRig) async throws -> Answer
    ) async throws -> Answer {
        let ledger = ObservedLedger()
        let rig = ControllerRig(controlPlane, Subnets.next(), ledger, proxy)
        let connection = try AsyncConnection(try controlPlane.adminConfiguration())
        return try await withThrowingTaskGroup(of: Answer?.self) { group in
            group.addTask {
                try await ledger.run(on: connection)
                return nil
            }
            group.addTask { try await rig.cleanedUp { try await body(rig) } }
            defer { group.cancelAll() }
            while let answer = try await group.next() {
                if let answer { return answer }
            }
            throw TestSetUpError("the test did not end")
        }
    }

    /// Lends a rig with a running controller that leads.
    static func run<Answer: Sendable>(
        throughProxy: Bool = false, settings change: @Sendable @escaping (inout ControllerSettings) -> Void = { _ in },
        _ body: @Sendable @escaping (ControllerRig) async throws -> Answer
    ) async throws -> Answer {
        try await idle(throughProxy: throughProxy) { rig in
            try await rig.withController(settings: change) { _ in try await body(rig) }
        }
    }

    /// Runs a controller while `body` does.
    ///
    /// - Parameter passesProxy: Whether it does where the rig has one.
    func withController<Answer: Sendable>(
        settings change: @Sendable (inout ControllerSettings) -> Void = { _ in },
        webhook: (settings: WebhookSettings, source: CertificateSource)? = nil, waitsForLeadership: Bool = true,
        passesProxy: Bool = true, _ body: @Sendable @escaping (RunningController) async throws -> Answer
    ) async throws -> Answer {
        var settings = ControllerSettings()
        settings.reclaim.gracePeriod = Self.gracePeriod
        settings.statusInterval = .milliseconds(100)
        change(&settings)
        let registry = MetricsRegistry()
        var logger = Logger(label: "controller") { _ in SwiftLogNoOpLogHandler() }
        logger.logLevel = .critical
        let controller = try AddressController(
            try await controlPlane.configuration(as: .controller, through: passesProxy ? proxy : nil),
            settings: settings,
            election: AddressController.Election(
                namespace: "berth-system", lease: "berth-controller",
                identity: "test-\(UInt32.random(in: 0...UInt32.max))",
                limits: try #require(
                    LeaderElectionLimits(
                        leaseDuration: .seconds(6), renewDeadline: .seconds(4), retryPeriod: .milliseconds(200)))),
            webhook: webhook, registry: registry, logger: logger)
        return try await withThrowingTaskGroup(of: Answer?.self) { group in
            group.addTask {
                try await controller.run()
                return nil
            }
            group.addTask {
                if waitsForLeadership { try await self.ledger.leads(controller, registry) }
                return try await body(RunningController(controller: controller, metrics: registry))
            }
            var answer: Answer?
            while answer == nil, let next = try await group.next() { answer = next }
            // It gives its lease back before the group ends.
            group.cancelAll()
            while let _ = try? await group.next() {}
            guard let answer else { throw TestSetUpError("the controller ended by itself") }
            return answer
        }
    }

    private func cleanedUp<Answer>(_ body: () async throws -> Answer) async throws -> Answer {
        let answer: Answer
        do {
            answer = try await body()
        } catch {
            try? await removeEverything()
            throw error
        }
        try await removeEverything()
        return answer
    }

    private func removeEverything() async throws {
        try await Task.detached { [self] in
            let made = made.withLock(\.self)
            for pod in made.pods { try await controlPlane.delete(pod) }
            let inline = try await controlPlane.withAdmin { client in
                try client.list(
                    .ipPools, options: ListOptions(labelSelector: "\(LabelKey.inline)=true"), deadline: .soon
                ).items.compactMap { $0["metadata"]?["name"]?.string }
            }
            let pools = made.pools + inline
            try await controlPlane.withAdmin { client in
                for name in pools {
                    _ = try? client.patch(
                        .ipPools, name: name, patch: .merge(["metadata": ["finalizers": .null]]), deadline: .soon)
                }
                for name in made.reservations {
                    _ = try? client.delete(.ipReservations, name: name, preconditions: nil, deadline: .soon)
                }
                let blocks = try client.list(
                    .ipBlocks, options: ListOptions(form: .metadata), deadline: .soon
                ).items.compactMap { $0["metadata"]?["name"]?.string }
                for name in blocks {
                    _ = try? client.delete(.ipBlocks, name: name, preconditions: nil, deadline: .soon)
                }
                for name in made.nodes {
                    _ = try? client.delete(.nodes, name: name, preconditions: nil, deadline: .soon)
                }
                for claim in made.claims {
                    _ = try? client.delete(
                        .ipClaims, namespace: claim.namespace, name: claim.name, preconditions: nil, deadline: .soon)
                }
                for name in made.leases {
                    _ = try? client.delete(
                        .leases, namespace: "berth-system", name: name, preconditions: nil, deadline: .soon)
                }
            }
            try await controlPlane.removePools(pools)
        }.value
    }
}

// MARK: - Making things

extension ControllerRig {
    /// Makes a pool of the rig's /24 and returns its name.
    func makePool(_ suffix: String = "pool", _ spec: JSON = [:]) async throws -> String {
        let name = subnets.name(suffix)
        var spec = spec
        if spec["subnet"] == nil { spec["subnet"] = .string(subnets.subnet4) }
        if spec["cooldown"] == nil { spec["cooldown"] = "0s" }
        made.withLock { $0.pools.append(name) }
        try await controlPlane.makePool(name, spec)
        try await ledger.waitUntilSeen(
            try await controlPlane.withAdmin { try $0.get(.ipPools, name: name, deadline: .soon) })
        return name
    }

    /// Makes a reservation and returns its name.
    func reserve(_ ranges: [String], _ suffix: String = "reservation", _ members: JSON = [:]) async throws -> String {
        let name = subnets.name(suffix)
        made.withLock { $0.reservations.append(name) }
        var spec: JSON = ["ranges": .strings(ranges)]
        for member in members.object?.members ?? [] { spec[member.name] = member.value }
        let object: JSON = [
            "apiVersion": .string(BerthAPI.apiVersion), "kind": "IPReservation", "metadata": ["name": .string(name)],
            "spec": spec,
        ]
        _ = try await controlPlane.withAdmin {
            try $0.create(.ipReservations, name: name, object: object, deadline: .soon)
        }
        return name
    }

    /// A node whose kubelet reports, and whose machine ID is its name.
    @discardableResult
    func makeNode(_ suffix: String = "node", machineID: String? = nil) async throws -> String {
        let name = subnets.name(suffix)
        made.withLock { $0.nodes.append(name) }
        let object: JSON = ["apiVersion": "v1", "kind": "Node", "metadata": ["name": .string(name)]]
        _ = try await controlPlane.withAdmin { try $0.create(.nodes, name: name, object: object, deadline: .soon) }
        try await setNode(name, isReady: true, machineID: machineID ?? name)
        return name
    }

    func setNode(_ name: String, isReady: Bool, machineID: String? = nil) async throws {
        var status: JSON = ["conditions": [["type": "Ready", "status": isReady ? "True" : "Unknown"]]]
        if let machineID { status["nodeInfo"] = ["machineID": .string(machineID)] }
        try await patch(.nodes, name, ["status": status], subresource: "status")
    }

    func deleteNode(_ name: String) async throws {
        _ = try await controlPlane.withAdmin {
            try $0.delete(.nodes, name: name, preconditions: nil, deadline: .soon)
        }
    }

    func makePod(_ suffix: String, on node: String, configHash: String? = nil) async throws -> TestPod {
        let pod = try await controlPlane.makePod(subnets.name(suffix), node: node, configHash: configHash)
        made.withLock { $0.pods.append(pod) }
        return pod
    }

    func recreate(_ pod: TestPod, on node: String? = nil) async throws -> TestPod {
        let successor = try await controlPlane.recreate(pod, node: node)
        made.withLock { $0.pods.append(successor) }
        return successor
    }

    func setPhase(_ pod: TestPod, _ phase: String) async throws {
        try await patch(
            .pods, pod.name, ["status": ["phase": .string(phase)]], namespace: pod.namespace, subresource: "status")
    }

    /// Enters an allocation as the plugin of a node does.
    ///
    /// - Parameter address: In place of the one of this number in the rig's /24.
    @discardableResult
    func enter(
        _ host: Int, address: String? = nil, pool: String, node: String, pod: TestPod? = nil, podUID: String? = nil,
        origin: AllocationOrigin = .pod, state: AllocationState = .bound, machineID: String? = nil, cooldown: Int = 0,
        network: String = ""
    ) async throws -> String {
        let read = try await controlPlane.withAdmin { try $0.get(.ipPools, name: pool, deadline: .soon) }
        let isHeld = state == .bound || state == .fenced
        let reference = pod.map { PodReference(namespace: $0.namespace, name: $0.name, uid: podUID ?? $0.uid) }
        let holder = IPAMAPI.Attachment(
            networkName: "net", containerID: "c-\(subnets.name)-\(host)", interface: "eth0")
        let spec = IPAllocation.Spec(
            state: state, origin: origin, pool: pool, poolUID: read["metadata"]?["uid"]?.string ?? "",
            address: try IPAddress(parsing: address ?? subnets.address4(host)), network: network, node: node,
            machineID: machineID ?? node, attachment: isHeld ? holder : nil, pod: reference, claim: nil,
            cooldownSeconds: cooldown, claimedAt: nil, releasedAt: nil)
        try await ledger.waitUntilSeen(
            try await controlPlane.withAdmin {
                try $0.create(.ipAllocations, name: spec.objectName, object: spec.newObject(), deadline: .soon)
            })
        return spec.objectName
    }

    func patch(
        _ type: ResourceType, _ name: String, _ patch: JSON, namespace: String? = nil, subresource: String? = nil
    ) async throws {
        _ = try await controlPlane.withAdmin {
            try $0.patch(
                type, namespace: namespace, name: name, patch: .merge(patch), subresource: subresource, deadline: .soon)
        }
    }

    /// Waits until the controller has freed an address whose pod went after everything that the test did before: what
    /// it has not freed by then, it does not free.
    func waitForSentinel(_ host: Int = 250, pool: String) async throws {
        let node = try await makeNode("sentinel-\(host)")
        let pod = try await makePod("sentinel-\(host)", on: node)
        let name = try await enter(host, pool: pool, node: node, pod: pod)
        try await controlPlane.delete(pod)
        try await ledger.waitUntilGone(name)
    }
}

extension ControlPlane {
    private static let variable = "BERTH_TEST_CONTROLLER_PLANE"

    /// The control plane that the controller has for itself, with everything of config/ that the tests need.
    static func controlled() async throws -> ControlPlane {
        guard let plane else {
            throw TestSetUpError("\(variable) is not set: run hack/test.sh, or start a control plane for it")
        }
        try await plane.install()
        return plane
    }

    private static let plane = TestSupport.Environment.value(variable).map(ControlPlane.init(folder:))
}

extension Trait where Self == ConditionTrait {
    /// As `controlPlane`, for the one that the controller has for itself.
    static var controllerPlane: Self {
        .enabled(
            if: TestSupport.Environment.value("BERTH_TEST_CONTROLLER_PLANE") != nil
                || TestSupport.Environment.value("CI") != nil,
            "it needs a control plane of its own: run hack/test.sh, or set BERTH_TEST_CONTROLLER_PLANE")
    }
}

extension ServiceAccount {
    /// The controller's, with the roles of config/rbac.
    static let controller = ServiceAccount(namespace: "berth-system", name: "berth-controller")
}
