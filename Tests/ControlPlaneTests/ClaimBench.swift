import IPAMAPI
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport

/// A node whose plugin reaches the API server through a proxy, and pools that no other test has.
struct ClaimBench: Sendable {
    let controlPlane: ControlPlane
    let proxy: FaultProxy
    let node: TestNode
    /// What the pools and pods of the test are found by when it is over.
    let label: String

    /// - Parameters:
    ///   - settings: Members of `berth.conf`.
    ///   - isWhole: The node's journal is whole already, and the proxy's log empty.
    static func run(
        speaksHTTP2: Bool = true, settings: JSON = [:], isWhole: Bool = true,
        isolation: isolated (any Actor)? = #isolation, _ body: (ClaimBench) async throws -> Void
    ) async throws {
        let controlPlane = try await ControlPlane.ready()
        let label = Subnets.next().name
        // A test that waits for the end of an ADD's time sets its own.
        let settings = TestNode.patient(settings)
        try await Turnstile.plugins.pass {
            do {
                try await controlPlane.withFaultProxy(speaksHTTP2: speaksHTTP2) { proxy in
                    try await withTestNode(controlPlane, through: proxy, settings: settings) { node in
                        let bench = ClaimBench(controlPlane: controlPlane, proxy: proxy, node: node, label: label)
                        if isWhole {
                            try await bench.makeWhole(node)
                            proxy.clearLog()
                        }
                        try await body(bench)
                    }
                }
            } catch {
                try await controlPlane.cleanUp(label)
                throw error
            }
            try await controlPlane.cleanUp(label)
        }
    }

    /// Lets a node build its journal, as its first call does.
    func makeWhole(_ node: TestNode) async throws {
        let outcome = try await node.add(try node.newSandbox(), node.configuration(pools: ["none"]))
        guard outcome.code == PluginCode.poolUnusable else { throw TestSetUpError("\(outcome)") }
    }

    /// Lends another node behind the same proxy, its journal whole.
    func withNode(
        name: String? = nil, isolation: isolated (any Actor)? = #isolation, _ body: (TestNode) async throws -> Void
    ) async throws {
        try await withTestNode(
            controlPlane, name: name, through: proxy, settings: ["timeoutSeconds": 60]
        ) { node in
            try await makeWhole(node)
            try await body(node)
        }
    }

    // MARK: Pools and pods

    /// Makes a pool of so many addresses.
    func makePool(
        _ family: IPFamily = .v4, size: Int = 20, cooldown: String = "10s", strategy: PoolStrategy = .random,
        isCompiled: Bool = true
    ) async throws -> ClaimPool {
        let subnets = Subnets.next()
        let address = family == .v4 ? subnets.address4 : subnets.address6
        let pool = ClaimPool(
            name: subnets.name(family == .v4 ? "v4" : "v6"),
            first: family == .v4 ? subnets.address4(0) : subnets.address6(0),
            addresses: (10..<10 + size).map(address))
        let object: JSON = [
            "apiVersion": .string(BerthAPI.apiVersion), "kind": "IPPool",
            "metadata": ["name": .string(pool.name), "labels": [ControlPlane.testLabel: .string(label)]],
            "spec": [
                "subnet": .string(family == .v4 ? subnets.subnet4 : subnets.subnet6),
                "ranges": [.string("\(address(10))-\(address(9 + size))")],
                "cooldown": .string(cooldown), "strategy": .string(strategy.rawValue),
            ],
        ]
        try await controlPlane.writeThrough(.ipPools) {
            try $0.create(.ipPools, name: pool.name, object: object, deadline: .soon)
        }
        if isCompiled { try await controlPlane.compileNothing(into: pool.name) }
        return pool
    }

    /// A pod whose name is none that a StatefulSet gives.
    func newPod(on node: TestNode? = nil, configHash: String? = nil) async throws -> TestPod {
        try await controlPlane.makePod(
            Subnets.next().name("pod"), node: (node ?? self.node).name, labels: [ControlPlane.testLabel: label],
            configHash: configHash)
    }

    // MARK: Calls

    func configuration(
        _ pools: [ClaimPool], on node: TestNode? = nil, ipam: JSON = [:], members: JSON = [:]
    ) -> JSON {
        (node ?? self.node).configuration(pools: pools.map(\.name), ipam: ipam, members: members)
    }

    /// Adds a container that is no pod, or a given sandbox, on the bench's node.
    func add(_ sandbox: TestSandbox, _ pools: ClaimPool...) async throws -> PluginOutcome {
        try await node.add(sandbox, configuration(pools))
    }

    func del(_ sandbox: TestSandbox, _ pools: ClaimPool..., previous: PluginOutcome? = nil) async throws {
        try await node.del(sandbox, configuration(pools), previous: previous).checked()
    }

    /// DELs as a runtime sends them, until nothing of the sandbox is left to do.
    func delUntilDone(_ sandbox: TestSandbox, _ pools: ClaimPool...) async throws {
        try await delUntilDone(sandbox, pools)
    }

    func delUntilDone(_ sandbox: TestSandbox, _ pools: [ClaimPool]) async throws {
        for _ in 0..<20 {
            try node.forgetOutage()
            try await node.delAgain(sandbox, configuration(pools)).checked()
            if !node.journalEntries.contains(sandbox.attachment().digest) { return }
        }
    }

    /// Starts a call that the test sees running.
    func start(_ command: String, _ sandbox: TestSandbox, _ pools: ClaimPool...) throws -> RunningPlugin {
        try node.runner.start(node.call(command, sandbox, configuration(pools)))
    }

    /// Does something many times, 8 at once, and gives what came of it in order.
    func sideBySide<Answer: Sendable>(
        _ count: Int, _ body: @escaping @Sendable (Int) async throws -> Answer
    ) async throws -> [Answer] {
        try await withThrowingTaskGroup(of: (Int, Answer).self) { group in
            var answers: [Int: Answer] = [:]
            for number in 0..<count {
                if number >= 8, let (number, answer) = try await group.next() { answers[number] = answer }
                group.addTask { (number, try await body(number)) }
            }
            for try await (number, answer) in group { answers[number] = answer }
            return (0..<count).compactMap { answers[$0] }
        }
    }

    /// Adds and deletes sandboxes on a node, whose DELs look at what earlier ones left to do, until `isDone`.
    ///
    /// - Returns: How many it took; nil when it was in vain.
    @discardableResult
    func carryOut(
        on node: TestNode? = nil, attempts: Int = 20, until isDone: () async throws -> Bool
    ) async throws -> Int? {
        let node = node ?? self.node
        let pool = try await makePool()
        for attempt in 1...attempts {
            let sandbox = try node.newSandbox()
            let configuration = configuration([pool], on: node, ipam: ["timeoutSeconds": 60])
            let added = try await node.add(sandbox, configuration).checked()
            try node.forgetOutage()
            try await node.del(sandbox, configuration, previous: added).checked()
            if try await isDone() { return attempt }
        }
        return nil
    }

    // MARK: The ledger

    func allocations(_ pool: ClaimPool) async throws -> [IPAllocation] {
        try await controlPlane.allocations(pool: pool.name)
    }

    /// The addresses of a pool that an attachment holds, and which.
    func holders(_ pool: ClaimPool) async throws -> [String: IPAMAPI.Attachment] {
        var holders: [String: IPAMAPI.Attachment] = [:]
        for allocation in try await allocations(pool) {
            if let holder = allocation.spec.attachment { holders["\(allocation.spec.address)"] = holder }
        }
        return holders
    }

    /// Whether nobody holds an address of these pools.
    func areFree(_ pools: ClaimPool...) async throws -> Bool {
        for pool in pools where try await !holders(pool).isEmpty { return false }
        return true
    }

    /// Enters an allocation of an address as the plugin of another node would.
    @discardableResult
    func enter(
        _ address: String, of pool: ClaimPool, _ state: AllocationState = .bound, cooldown: Int = 10
    ) async throws -> IPAllocation {
        let holder = IPAMAPI.Attachment(networkName: "net", containerID: Subnets.next().name, interface: "eth0")
        let read = try await controlPlane.withAdmin { try $0.get(.ipPools, name: pool.name, deadline: .soon) }
        let spec = IPAllocation.Spec(
            state: state, origin: .container, pool: pool.name, poolUID: read["metadata"]?["uid"]?.string ?? "",
            address: try IPAddress(parsing: address), network: "", node: "elsewhere", machineID: "another",
            attachment: state == .bound ? holder : nil, pod: nil, claim: nil, cooldownSeconds: cooldown,
            claimedAt: nil, releasedAt: nil)
        let entered = try await controlPlane.withAdmin {
            try IPAllocation(
                $0.create(.ipAllocations, name: spec.objectName, object: spec.newObject(), deadline: .soon))
        }
        try await waitForCache(of: entered)
        return entered
    }

    /// Waits until the server's cache has this version of an allocation.
    func waitForCache(of allocation: IPAllocation) async throws {
        let options = ListOptions(
            labelSelector: "\(LabelKey.pool)=\(allocation.spec.pool)",
            resourceVersion: allocation.metadata.resourceVersion, form: .metadata)
        _ = try await controlPlane.withAdmin { try $0.list(.ipAllocations, options: options, deadline: .soon) }
    }

    /// Deletes the allocation of an address, as the controller does at the end of its cooldown.
    func deleteAllocation(_ address: String) async throws {
        let name = try IPAddress(parsing: address).objectName
        _ = try await controlPlane.withAdmin {
            try $0.delete(.ipAllocations, name: name, preconditions: nil, deadline: .soon)
        }
    }

    /// Changes an allocation by a merge patch, as an administrator with an editor.
    func edit(_ address: String, _ patch: JSON) async throws {
        let name = try IPAddress(parsing: address).objectName
        _ = try await controlPlane.withAdmin {
            try $0.patch(.ipAllocations, name: name, patch: .merge(patch), deadline: .soon)
        }
    }

    /// Writes the occupancy of a pool as the controller does: every address is taken but these.
    func publish(_ pool: ClaimPool, free: Set<String>, generation: Int? = nil, cooling: Int = 0) async throws {
        try await controlPlane.withAdmin { client in
            let outcome = try client.modify(.ipPools, name: pool.name, subresource: "status", deadline: .soon) { json in
                let metadata = try ObjectMetadata(JSONFields(json))
                let first = try IPAddress(parsing: pool.first)
                var bitmap = [UInt8](repeating: 0xFF, count: 32)
                for address in try free.map({ try IPAddress(parsing: $0) }) {
                    let index = Int(address.value - first.value)
                    bitmap[index / 8] &= ~(1 << (index % 8))
                }
                let status = IPPool.Status(
                    capacity: pool.addresses.count, allocated: pool.addresses.count - free.count - cooling,
                    cooling: cooling, held: 0, free: free.count,
                    occupancy: IPPool.OccupancyWindow(first: pool.first, bitmap: bitmap),
                    reservedGeneration: metadata.generation,
                    observedGeneration: generation ?? metadata.generation)
                var object = json
                object["status"] = status.json
                return .update(object)
            }
            guard case .done = outcome else { throw TestSetUpError("the status was not written: \(outcome)") }
        }
    }

    /// Changes the spec of a pool by a merge patch.
    func change(_ pool: ClaimPool, _ spec: JSON) async throws {
        try await controlPlane.writeThrough(.ipPools) {
            try $0.patch(.ipPools, name: pool.name, patch: .merge(["spec": spec]), deadline: .soon)
        }
    }

    func deletePool(_ pool: ClaimPool) async throws {
        _ = try await controlPlane.withAdmin {
            try $0.delete(.ipPools, name: pool.name, preconditions: nil, deadline: .soon)
        }
    }
}

/// A pool of a test.
struct ClaimPool: Hashable, Sendable {
    let name: String
    /// The first address of its subnet.
    let first: String
    /// All that it can give.
    let addresses: [String]
}

extension ControlPlane {
    static let testLabel = "test.berth.dev/bench"

    /// Deletes the pods, pools, reservations and config maps of a bench, and the allocations of these pools.
    func cleanUp(_ label: String) async throws {
        try await withAdmin { client in
            let selector = "\(Self.testLabel)=\(label)"
            let pools = try client.list(
                .ipPools, options: ListOptions(labelSelector: selector, form: .metadata), deadline: .soon)
            let names = pools.items.compactMap { $0["metadata"]?["name"]?.string }
            if !names.isEmpty {
                try client.deleteAll(.ipAllocations, "\(LabelKey.pool) in (\(names.joined(separator: ",")))")
                try client.deleteAll(.ipPools, selector)
            }
            try client.deleteAll(.ipReservations, selector)
            try client.deleteAll(.pods, namespace: "default", selector)
            try client.deleteAll(.configMaps, namespace: "default", selector)
        }
    }
}

extension Client {
    fileprivate func deleteAll(_ type: ResourceType, namespace: String? = nil, _ labelSelector: String) throws {
        let options: JSON = ["kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0]
        let request = APIRequest(
            method: .delete, path: type.path(namespace: namespace, name: nil),
            query: [APIRequest.QueryItem("labelSelector", labelSelector)],
            headers: [
                APIRequest.Header("Accept", "application/json"), APIRequest.Header("Content-Type", "application/json"),
            ],
            body: options.serialized(), subject: APIRequest.Subject(verb: .delete, resource: type))
        for attempt in 1... {
            do throws(APIError) {
                _ = try perform(request, deadline: .now() + .seconds(60))
                return
            } catch {
                // Hundreds of objects take a busy server longer than one request may last; some are gone by then.
                guard error.status?.code == 504, attempt < 10 else { throw error }
            }
        }
    }
}

// MARK: - The proxy's log

extension RequestMatcher {
    static let create = RequestMatcher.verb("create", "ipallocations.ipam.berth.dev")
    static let readAllocation = RequestMatcher.verb("get", "ipallocations.ipam.berth.dev")
    static let readPool = RequestMatcher.verb("get", "ippools.ipam.berth.dev")
    static let takeOver = RequestMatcher.verb("update", "ipallocations.ipam.berth.dev")
    /// A release with a cooldown.
    static let cool = RequestMatcher.verb("patch", "ipallocations.ipam.berth.dev")
    /// A release without a cooldown, or of what was never used.
    static let remove = RequestMatcher.verb("delete", "ipallocations.ipam.berth.dev")
    static let listAllocations = RequestMatcher.verb("list", "ipallocations.ipam.berth.dev")
}

extension [ProxyLogEntry] {
    /// Verb and plural of every request in the order in which they came, for example `get pods`.
    var verbs: [String] {
        map { entry in
            guard let action = entry.request.action else { return entry.request.description }
            return "\(action.verb) \(action.resource.prefix { $0 != "." })"
        }
    }

    /// The names of the objects of requests of one verb on allocations.
    func allocationNames(_ verb: String) -> [String] {
        filter(verb, "ipallocations.ipam.berth.dev").compactMap { $0.request.action?.name }
    }

    var lists: [ProxyLogEntry] { filter("list", "ipallocations.ipam.berth.dev") }

    /// How the API server answered the requests of one verb on allocations.
    func statuses(_ verb: String) -> [Int] {
        filter(verb, "ipallocations.ipam.berth.dev").compactMap(\.fate.serverStatus)
    }
}

// MARK: - What the plugin answers

extension PluginOutcome {
    /// The code of an error, as in docs of the plugin: 11 means that the runtime shall try again.
    var code: Int? { failure?.code }
}

enum PluginCode {
    static let inputOutput = 5
    static let tryAgainLater = 11
    static let poolUnusable = 100
    static let annotationRefused = 107
    static let exhausted = 101
    static let addressRefused = 102
    static let notHeld = 103
    static let forbidden = 104
    static let untrusted = 105
}

extension TestNode {
    /// The attachments that the journal has an entry of, by their digests.
    var journalEntries: Set<String> { names("entries") }
    /// Those with something left to release.
    var pendingReleases: Set<String> { names("releasing") }

    private func names(_ folder: String) -> Set<String> {
        Set(((try? Files.names(in: "\(journal)/\(folder)")) ?? []).filter { !$0.hasSuffix("~") })
    }

    /// Lets DELs make what earlier ones, side by side with many others, had no time for.
    func catchUp(_ configuration: JSON) async throws {
        for _ in 0..<100 where !pendingReleases.isEmpty {
            try forgetOutage()
            try await delAgain(try newSandbox(), configuration).checked()
        }
    }

    /// As half a minute does: a DEL is in a hurry after one that got no answer.
    func forgetOutage() throws { try Files.remove("\(journal)/unreachable") }

    func entryPath(_ sandbox: TestSandbox) -> String { "\(journal)/entries/\(sandbox.attachment().digest)" }

    /// Makes what the node remembers of its labels older.
    func ageLabels(seconds: Int) throws {
        let path = "\(journal)/pools/node-labels"
        var record = try JSON(parsing: try Files.read(path))
        for member in ["at", "wantedAt"] {
            record[member] = record[member]?.int.map { .int($0 - seconds * 1_000_000_000) }
        }
        try Files.write(path, String(decoding: record.serialized(), as: UTF8.self))
    }
}
