import Glibc
import IPAMAPI
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport

extension Bench {
    /// berth-controller on a large cluster: start, memory, and how far it is behind.
    func controller() async throws -> [Figure] {
        guard let executable = Environment.value("BERTH_BENCH_CONTROLLER") else {
            throw TestSetUpError("BERTH_BENCH_CONTROLLER is not set: run hack/bench.sh")
        }
        let count = options.isQuick ? 2_000 : 60_000
        let cluster = try await LargeCluster(self, count: count)
        let lists = try await cluster.bareLists()
        let process = try await ControllerProcess(executable, controlPlane)
        defer { process.end() }
        let started = try await process.ready()
        var figures = [
            Figure(
                .controller, "controller, start to synced, \(count) pods", .seconds, Samples([started]),
                beside: ("bare lists", Samples([lists])), goal: .atMost(15)),
            Figure(
                .controller, "controller, memory, \(count) pods", .megabytes, try process.memory("VmRSS"),
                goal: .atMost(250), note: "at most \(Decimal.fitting(try process.memory("VmHWM"), .megabytes)) MB"),
        ]
        figures.append(try await idle(process))
        figures += try await leaks(cluster)
        figures.append(try await lag(cluster))
        figures.append(try await crowded(cluster))
        figures.append(
            Figure(
                .controller, "controller, memory after that", .megabytes, try process.memory("VmRSS"),
                goal: .atMost(250)))
        return figures
    }

    private func idle(_ process: ControllerProcess) async throws -> Figure {
        let seconds = options.isQuick ? 2 : 10
        // What it does after its start is over.
        try await Task.sleep(for: .seconds(3))
        let before = try process.processorTime()
        try await Task.sleep(for: .seconds(seconds))
        let used = try process.processorTime() - before
        return Figure(
            .controller, "controller, processor time of an idle second", .milliseconds,
            used * 1000 / Double(seconds))
    }

    /// Pods that go all at once without a DEL.
    private func leaks(_ cluster: LargeCluster) async throws -> [Figure] {
        let count = options.isQuick ? 100 : 1_000
        let start = ContinuousClock.now
        try await cluster.deletePods(count)
        let deleted = (ContinuousClock.now - start).inSeconds
        try await cluster.waitUntilAllocated(cluster.count - count)
        let took = (ContinuousClock.now - start).inSeconds
        // Grace period and five seconds; the pool has no cooldown. The deletion itself takes the API server a while.
        return [
            Figure(
                .controller, "\(count) pods deleted at once, until every address is free", .seconds, took,
                goal: .atMost(ControllerProcess.graceSeconds + 5 + deleted),
                note:
                    "grace \(Decimal.short(ControllerProcess.graceSeconds)) s, deletion \(Decimal.fixed(deleted, 1)) s")
        ]
    }

    /// How often claimants meet in a pool that is nearly full, while the controller publishes what is free.
    private func crowded(_ cluster: LargeCluster) async throws -> Figure {
        let size = options.isQuick ? 4_000 : 16_000
        let perSecond = 50
        let seconds = options.isQuick ? 2 : 10
        let pool = try await pool("crowded", size: size, cooldown: "0s")
        try await cluster.fill(pool, to: size * 95 / 100)
        let before = try await requestCounts()
        var claims = 0
        var failures = 0
        for _ in 0..<seconds {
            let start = ContinuousClock.now
            let attachments = try (0..<perSecond).map { try attachment($0, pool.name) }
            let outcomes = try await withThrowingTaskGroup(of: (Int, PluginOutcome).self) { group in
                for (index, attachment) in attachments.enumerated() {
                    group.addTask {
                        try await Task.sleep(until: start + .seconds(1) / perSecond * index, clock: .continuous)
                        return (index, try await attachment.add())
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            claims += outcomes.count(where: \.1.succeeded)
            failures += outcomes.count(where: { !$0.1.succeeded })
            try await release(Burst(wall: 0, held: outcomes.map { (attachments[$0.0], $0.1) }))
        }
        let creates = try await requestCounts().since(before)["POST ipallocations"]
        return Figure(
            .controller, "creates for an ADD, pool 95 % full, \(perSecond) a second", .requests,
            Double(creates) / Double(max(claims, 1)), goal: .atMost(1.2), note: "\(failures) failed")
    }

    /// How long after the last of many claims the pool's status has counted them all.
    private func lag(_ cluster: LargeCluster) async throws -> Figure {
        let perSecond = 200
        let seconds = options.isQuick ? 2 : 5
        var samples = Samples()
        for _ in 0..<seconds {
            let start = ContinuousClock.now
            try await cluster.claim(perSecond)
            let claimed = ContinuousClock.now
            try await cluster.waitUntilCounted()
            samples.append((ContinuousClock.now - claimed).inSeconds)
            try await Task.sleep(until: start + .seconds(1), clock: .continuous)
        }
        return Figure(
            .controller, "occupancy behind the ledger, \(perSecond) claims a second", .seconds, samples,
            goal: .atMost(2))
    }
}

/// A cluster of pods and their allocations, on nodes of 120 pods.
private final class LargeCluster {
    private static let podsOfNode = 120
    private static let namespace = "bench"

    let count: Int
    private let bench: Bench
    private let pool: BenchPool
    private var pods: [(name: String, uid: String)] = []
    private var allocated = 0
    private var nextIndex = 0

    init(_ bench: Bench, count: Int) async throws {
        self.bench = bench
        self.count = count
        pool = try await bench.pool("controller", cooldown: "0s")
        try await bench.controlPlane.makeNamespace(Self.namespace)
        say("  making \((count + Self.podsOfNode - 1) / Self.podsOfNode) nodes and \(count) pods")
        try await makeNodes()
        try await makePods()
        say("  making their allocations")
        try await claim(count)
    }

    private func node(_ index: Int) -> String { "bench-node-\(index / Self.podsOfNode)" }

    private func makeNodes() async throws {
        let names = Set((0..<count).map(node)).sorted()
        try await Fillers.make(
            names.map { name in
                .create(
                    .nodes, name: name,
                    object: ["apiVersion": "v1", "kind": "Node", "metadata": ["name": .string(name)]])
            }, "nodes made", bench.controlPlane)
        let ready: JSON = [
            "status": ["conditions": [["type": "Ready", "status": "True"]], "nodeInfo": ["machineID": ""]]
        ]
        try await Fillers.change(
            names.map { .patch(.nodes, name: $0, patch: .merge(ready), subresource: "status") }, "nodes ready",
            bench.controlPlane)
    }

    private func makePods() async throws {
        let requests = (0..<count).map { index -> APIRequest in
            let name = "pod-\(index)"
            return .create(
                .pods, namespace: Self.namespace, name: name,
                object: [
                    "apiVersion": "v1", "kind": "Pod",
                    "metadata": ["name": .string(name), "namespace": .string(Self.namespace)],
                    "spec": [
                        "nodeName": .string(node(index)), "automountServiceAccountToken": false,
                        "containers": [["name": "none", "image": "none"]],
                    ],
                ])
        }
        try await Fillers.make(requests, "pods made", bench.controlPlane)
        let options = ListOptions(limit: 5_000, form: .metadata)
        pods = try await bench.controlPlane.withAdmin { client in
            try client.listAll(
                .pods, namespace: Self.namespace, options: options, deadline: .now() + .seconds(120)
            ).items.compactMap { pod in
                guard let name = pod["metadata"]?["name"]?.string, let uid = pod["metadata"]?["uid"]?.string else {
                    return nil
                }
                return (name, uid)
            }
        }
    }

    /// Takes so many addresses of another pool for pods that are there, and waits until the controller has counted them.
    func fill(_ other: BenchPool, to number: Int) async throws {
        let specs = try (0..<number).map { try spec($0, of: other, containers: "e") }
        try await Fillers.create(specs, bench.controlPlane)
        try await waitUntilAllocated(number, in: other.name)
    }

    /// Enters so many more allocations, each of a pod as long as there are pods.
    func claim(_ number: Int) async throws {
        let specs = try (nextIndex..<nextIndex + number).map { try spec($0, of: pool, containers: "0") }
        try await Fillers.create(specs, bench.controlPlane)
        nextIndex += number
        allocated += number
    }

    private func spec(_ index: Int, of pool: BenchPool, containers digit: String) throws -> IPAllocation.Spec {
        guard let address = pool.range.lower.advanced(by: UInt128(index)) else {
            throw TestSetUpError("\(pool.name) is full")
        }
        let pod = pods[index % pods.count]
        let digits = String(index, radix: 16)
        return Fillers.spec(
            address, of: Fillers.Pool(name: pool.name, uid: pool.uid), node: node(index % pods.count), machineID: "",
            attachment: Attachment(
                networkName: "net", containerID: String(repeating: digit, count: 64 - digits.count) + digits,
                interface: "eth0"),
            pod: PodReference(namespace: Self.namespace, name: pod.name, uid: pod.uid))
    }

    /// Those whose addresses were claimed last, once each.
    func deletePods(_ number: Int) async throws {
        let options: JSON = ["kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0]
        let requests = pods.suffix(number).map { pod -> APIRequest in
            var request = APIRequest.delete(.pods, namespace: Self.namespace, name: pod.name, preconditions: nil)
            request.headers.append(APIRequest.Header("Content-Type", "application/json"))
            request.body = options.serialized()
            return request
        }
        try await Fillers.change(requests, "pods deleted", bench.controlPlane)
        pods.removeLast(number)
        allocated -= number
    }

    func waitUntilAllocated(_ expected: Int, in pool: String? = nil) async throws {
        let deadline = ContinuousClock.now + .seconds(180)
        while try await statusAllocated(pool ?? self.pool.name) != expected {
            guard ContinuousClock.now < deadline else { throw TestSetUpError("the pool's status does not get there") }
            try await Task.sleep(for: .milliseconds(100))
        }
    }

    func waitUntilCounted() async throws { try await waitUntilAllocated(allocated) }

    private func statusAllocated(_ name: String) async throws -> Int? {
        try await bench.controlPlane.withAdmin { client in
            try client.get(.ipPools, name: name, deadline: .soon)["status"]?["allocated"]?.int
        }
    }

    /// What the API server alone needs for the two large lists, in seconds.
    func bareLists() async throws -> Double {
        let target = try bench.controlPlane.target()
        let token = try await bench.controlPlane.token(of: .admin)
        return try await Files.withTemporaryFolder("lists") { folder in
            try Files.write("\(folder)/ca.crt", target.caPEM)
            let start = ContinuousClock.now
            for (path, accept) in [
                ("/apis/ipam.berth.dev/v1alpha1/ipallocations", "application/json"),
                ("/api/v1/pods", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"),
            ] {
                try await runChecked(
                    "curl",
                    [
                        "--silent", "--fail", "--output", "/dev/null", "--cacert", "\(folder)/ca.crt", "--header",
                        "Accept: \(accept)", "--header", "Authorization: Bearer \(token)",
                        "https://\(target.host):\(target.port)\(path)?resourceVersion=0",
                    ])
            }
            return (ContinuousClock.now - start).inSeconds
        }
    }
}

/// A running berth-controller.
private final class ControllerProcess: Sendable {
    static let graceSeconds = 5.0

    private let process: RunningProcess
    private let started = ContinuousClock.now
    private let port: Int

    init(_ executable: String, _ controlPlane: ControlPlane) async throws {
        try await controlPlane.makeNamespace("berth-system")
        port = 20_000 + Int(getpid()) % 20_000
        process = try Command(
            executable,
            [
                "--kubeconfig", controlPlane.kubeconfig, "--bind-address", "127.0.0.1", "--probe-port", "\(port)",
                "--webhook-port", "0", "--grace-period", "\(Int(Self.graceSeconds))s", "--log-level", "warning",
            ], limit: .seconds(1_800)
        ).start()
    }

    /// Waits until it is ready, and gives how long that took.
    func ready() async throws -> Double {
        while started.duration(to: .now) < .seconds(120), !process.hasEnded {
            let outcome = try await run("curl", ["--silent", "--fail", "http://127.0.0.1:\(port)/readyz"])
            if outcome.succeeded { return started.duration(to: .now).inSeconds }
            try await Task.sleep(for: .milliseconds(20))
        }
        end()
        throw TestSetUpError("the controller is not ready: \(await process.outcome())")
    }

    /// A line of /proc/PID/status, in megabytes.
    func memory(_ name: String) throws -> Double {
        let lines = try Files.text("/proc/\(process.processID)/status").split(separator: "\n")
        guard let line = lines.first(where: { $0.hasPrefix("\(name):") }),
            let kibibytes = Double(line.split(whereSeparator: \.isWhitespace)[1])
        else { throw TestSetUpError("no \(name)") }
        return kibibytes * 1024 / 1e6
    }

    /// In seconds.
    func processorTime() throws -> Double {
        let text = try Files.text("/proc/\(process.processID)/stat")
        let fields = text[(text.lastIndex(of: ")") ?? text.startIndex)...].split(separator: " ")
        guard fields.count > 13, let user = Double(fields[12]), let system = Double(fields[13]) else {
            throw TestSetUpError("no times")
        }
        return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    func end() { process.kill(SIGTERM) }
}
