import IPAMAPI
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import Synchronization
import TestSupport
import Testing

/// What a test of the plugin works with: a node, names and subnets that nobody else has, and what it makes of them.
/// Afterwards nothing of it is left in the control plane.
final class PluginRig: Sendable {
    let controlPlane: ControlPlane
    let node: TestNode
    let subnets: TestSubnets
    /// The node's way to the API server, where the test asked for one.
    private let optionalProxy: FaultProxy?

    private struct Made: Sendable {
        var pools: [String] = []
        var nodes: [TestNode] = []
        var pods: [TestPod] = []
    }
    private let made = Mutex(Made())

    private init(
        _ controlPlane: ControlPlane, _ subnets: TestSubnets, _ proxy: FaultProxy?, settings: JSON
    ) async throws {
        self.controlPlane = controlPlane
        self.subnets = subnets
        optionalProxy = proxy
        node = try await TestNode(
            controlPlane, name: subnets.name("node"), through: proxy, settings: TestNode.patient(settings))
        made.withLock { $0.nodes.append(node) }
    }

    /// Lends a rig.
    ///
    /// - Parameters:
    ///   - settings: More members of the node's `berth.conf`.
    ///   - isAlone: Keeps other tests of the plugin waiting, for one that would slow them down.
    static func run<Answer>(
        settings: JSON = [:], isAlone: Bool = false, isolation: isolated (any Actor)? = #isolation,
        _ body: (PluginRig) async throws -> Answer
    ) async throws -> Answer {
        let controlPlane = try await ControlPlane.ready()
        return try await Turnstile.plugins.pass(takingAll: isAlone) {
            try await lend(try await PluginRig(controlPlane, Subnets.next(), nil, settings: settings), body)
        }
    }

    /// Lends a rig whose node talks to the API server through a proxy.
    static func runThroughProxy<Answer>(
        settings: JSON = [:], isolation: isolated (any Actor)? = #isolation,
        _ body: (PluginRig, FaultProxy) async throws -> Answer
    ) async throws -> Answer {
        let controlPlane = try await ControlPlane.ready()
        return try await Turnstile.plugins.pass {
            try await controlPlane.withFaultProxy { proxy in
                let rig = try await PluginRig(controlPlane, Subnets.next(), proxy, settings: settings)
                return try await lend(rig) { try await body($0, proxy) }
            }
        }
    }

    private static func lend<Answer>(
        _ rig: PluginRig, isolation: isolated (any Actor)? = #isolation, _ body: (PluginRig) async throws -> Answer
    ) async throws -> Answer {
        let answer: Answer
        do {
            answer = try await body(rig)
        } catch {
            try? await rig.cleanUp()
            throw error
        }
        try await rig.cleanUp()
        return answer
    }

    /// Also when the test was cancelled.
    private func cleanUp() async throws {
        try await Task.detached { [self] in
            try await removeFromControlPlane()
            for node in made.withLock(\.nodes) { try node.remove() }
        }.value
    }
}

// MARK: - Making things

extension PluginRig {
    /// Makes a pool and returns its name. Without a `subnet` it is the rig's /24.
    @discardableResult
    func makePool(_ suffix: String = "pool", _ spec: JSON = [:]) async throws -> String {
        let name = subnets.name(suffix)
        var spec = spec
        if spec["subnet"] == nil { spec["subnet"] = .string(subnets.subnet4) }
        made.withLock { $0.pools.append(name) }
        try await controlPlane.makePool(name, spec, isCompiled: true)
        return name
    }

    /// Makes a pool of the addresses with these host numbers in the rig's /24, which rest for no time.
    @discardableResult
    func makePool(_ suffix: String = "pool", hosts: ClosedRange<Int>) async throws -> String {
        try await makePool(suffix, ["ranges": [range4(hosts)], "cooldown": "0s"])
    }

    /// Makes a pool of the addresses with these host numbers in the rig's /64, which rest for no time.
    @discardableResult
    func makePool6(_ suffix: String = "pool6", hosts: ClosedRange<Int>) async throws -> String {
        let range = "\(subnets.address6(hosts.lowerBound))-\(subnets.address6(hosts.upperBound))"
        return try await makePool(
            suffix, ["subnet": .string(subnets.subnet6), "ranges": [.string(range)], "cooldown": "0s"])
    }

    func range4(_ hosts: ClosedRange<Int>) -> JSON {
        .string("\(subnets.address4(hosts.lowerBound))-\(subnets.address4(hosts.upperBound))")
    }

    /// Merges members into the spec of a pool.
    func changePool(_ name: String, _ spec: JSON) async throws {
        try await controlPlane.writeThrough(.ipPools) {
            try $0.patch(.ipPools, name: name, patch: .merge(["spec": spec]), deadline: .soon)
        }
    }

    /// Deletes a pool, and waits until the server's cache knows.
    func deletePool(_ name: String) async throws {
        try await controlPlane.withAdmin { client in
            try client.delete(.ipPools, name: name, preconditions: nil, deadline: .soon)
            let options = ListOptions(fieldSelector: "metadata.name=\(name)", resourceVersion: "0", form: .metadata)
            let end = Moment.soon
            func isThere() throws -> Bool {
                try client.list(.ipPools, options: options, deadline: end).items.contains {
                    $0["metadata"]?["deletionTimestamp"] == nil
                }
            }
            while try isThere() {}
        }
    }

    /// Another node, straight at the API server.
    func makeNode(_ suffix: String, machineID: String? = nil, settings: JSON = [:]) async throws -> TestNode {
        try await makeNode(named: subnets.name(suffix), machineID: machineID, settings: settings)
    }

    func makeNode(named name: String, machineID: String? = nil, settings: JSON = [:]) async throws -> TestNode {
        let node = try await TestNode(
            controlPlane, name: name, machineID: machineID, settings: TestNode.patient(settings))
        made.withLock { $0.nodes.append(node) }
        return node
    }

    /// A pod on the rig's node. Its namespace must exist.
    func makePod(
        _ suffix: String = "pod", namespace: String = "default", on node: TestNode? = nil,
        labels: [String: String] = [:], annotations: [String: String] = [:]
    ) async throws -> TestPod {
        let pod = try await controlPlane.makePod(
            subnets.name(suffix), namespace: namespace, node: (node ?? self.node).name, labels: labels,
            annotations: annotations)
        made.withLock { $0.pods.append(pod) }
        return pod
    }

    func recreate(_ pod: TestPod) async throws -> TestPod {
        let successor = try await controlPlane.recreate(pod)
        made.withLock { $0.pods.append(successor) }
        return successor
    }

    private func removeFromControlPlane() async throws {
        let made = made.withLock(\.self)
        for pod in made.pods { try await controlPlane.delete(pod) }
        let nodes = Set(made.nodes.map(\.name)).sorted().joined(separator: ",")
        try await deleteAllocations("\(LabelKey.node) in (\(nodes))")
        let inline = try await inlinePools().compactMap { $0["metadata"]?["name"]?.string }
        try await controlPlane.removePools(made.pools + inline)
    }

    private func deleteAllocations(_ selector: String) async throws {
        let type = ResourceType.ipAllocations
        let request = APIRequest(
            method: .delete, path: type.path(namespace: nil, name: nil), query: [.init("labelSelector", selector)],
            headers: [.init("Accept", "application/json")], subject: .init(verb: .delete, resource: type))
        _ = try await controlPlane.withAdmin { try $0.perform(request, deadline: .now() + .seconds(120)) }
    }
}

// MARK: - Looking at the ledger

extension PluginRig {
    /// The pools that the plugin made from ranges in the subnets of the rig.
    func inlinePools() async throws -> [JSON] {
        let options = ListOptions(labelSelector: "\(LabelKey.inline)=true")
        let list = try await controlPlane.withAdmin { try $0.list(.ipPools, options: options, deadline: .soon) }
        return list.items.filter { pool in
            let subnet = pool["spec"]?["subnet"]?.string ?? ""
            return subnet.hasPrefix(subnets.prefix4 + ".") || subnet.hasPrefix(subnets.prefix6 + ":")
        }
    }

    /// The allocations that a label selector selects, as they are in etcd; by default those of the rig's node.
    func objects(_ selector: String? = nil) async throws -> [JSON] {
        let options = ListOptions(labelSelector: selector ?? "\(LabelKey.node)=\(node.name)")
        return try await controlPlane.withAdmin {
            try $0.list(.ipAllocations, options: options, deadline: .soon).items
        }
    }

    /// The addresses in the ledger, by the state that they are in.
    func states(_ selector: String? = nil) async throws -> [String: String] {
        var states: [String: String] = [:]
        for object in try await objects(selector) {
            states[object["spec"]?["address"]?.string ?? "?"] = object["spec"]?["state"]?.string ?? "?"
        }
        return states
    }

    /// The addresses that an attachment holds, sorted as texts.
    func held(by sandbox: TestSandbox, network: String = "net") async throws -> [String] {
        try await states("\(LabelKey.attachment)=\(sandbox.attachment(network: network).digest)").keys.sorted()
    }

    /// One allocation as it is in etcd; nil when there is none.
    func object(_ address: String) async throws -> JSON? {
        let name = try IPAddress(parsing: address).objectName
        return try await controlPlane.withAdmin { client in
            do throws(APIError) {
                return try client.get(.ipAllocations, name: name, deadline: .soon)
            } catch {
                guard error.isNotFound else { throw error }
                return nil
            }
        }
    }

    /// Replaces an allocation by what `change` makes of it, as an administrator with an editor.
    func edit(_ address: String, _ change: (inout JSON) -> Void) async throws {
        let name = try IPAddress(parsing: address).objectName
        var object = try #require(try await object(address))
        change(&object)
        let changed = object
        _ = try await controlPlane.withAdmin {
            try $0.update(.ipAllocations, name: name, object: changed, deadline: .soon)
        }
    }

    func deleteAllocation(_ address: String) async throws {
        let name = try IPAddress(parsing: address).objectName
        _ = try await controlPlane.withAdmin {
            try $0.delete(.ipAllocations, name: name, preconditions: nil, deadline: .soon)
        }
    }

    /// Checks that the rig's node has nothing in the ledger, in whatever state.
    func expectNothingHeld(sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let states = try await states()
        #expect(states.isEmpty, "left in the ledger", sourceLocation: sourceLocation)
    }
}
