import JSONText
import KubernetesClient
import KubernetesCore
import KubernetesRuntime
import TestSupport

/// A watcher of the config maps of one test, what it reported, and what an observer has made of its store's deltas.
struct WatcherBench: Sendable {
    typealias Content = [String: StoredObject<String>]

    let controlPlane: ControlPlane
    /// Of the test; names of objects begin with it.
    let name: String
    let store: ObjectStore<String>
    let reports = Observed<[WatcherReport]>([])
    private let mirror = Observed<Content>([:])

    var selector: String { "\(ControlPlane.testLabel)=\(name)" }

    private init(_ controlPlane: ControlPlane, _ name: String) {
        self.controlPlane = controlPlane
        self.name = name
        store = ObjectStore { object in object["data"]?["v"]?.string ?? "" }
        store.observe { [mirror] deltas in
            mirror.update { mirror in
                for delta in deltas {
                    switch delta {
                    case .added(let key, let new), .changed(let key, _, let new): mirror[key.name] = new
                    case .deleted(let key, _), .unreadable(let key, _, _): mirror[key.name] = nil
                    }
                }
            }
        }
    }

    /// Runs a watcher beside `body`, which begins when the store has synced.
    static func run(
        _ controlPlane: ControlPlane, _ configuration: ClientConfiguration, _ name: String,
        limits: WatcherLimits = limits(), _ body: (WatcherBench) async throws -> Void
    ) async throws {
        let bench = WatcherBench(controlPlane, name)
        let watcher = Watcher(
            WatchScope(.configMaps, namespace: "default", labelSelector: bench.selector),
            on: try AsyncConnection(configuration), into: bench.store, limits: limits,
            report: { [reports = bench.reports] report in reports.update { $0.append(report) } })
        let task = Task { try await watcher.run() }
        do {
            try await bench.store.waitUntilSynced()
            try await body(bench)
        } catch {
            task.cancel()
            try await task.value
            throw error
        }
        task.cancel()
        try await task.value
    }

    /// With a proxy between the watcher and the API server. `prepare` is called before the watcher begins.
    static func run(
        limits: WatcherLimits = limits(), prepare: (ClientBench) async throws -> Void = { _ in },
        _ body: (WatcherBench, FaultProxy) async throws -> Void
    ) async throws {
        try await ClientBench.run { bench in
            try await prepare(bench)
            try await run(bench.controlPlane, bench.configuration, bench.name, limits: limits) { watched in
                try await body(watched, bench.proxy)
            }
        }
    }

    /// Those of the watcher, but for pauses that a test has time for.
    static func limits(pageSize: Int = 1000, stall: Duration = .seconds(60)) -> WatcherLimits {
        WatcherLimits(
            pageSize: pageSize, stall: stall, backoff: Backoff(base: .milliseconds(20), cap: .milliseconds(500)))
    }

    // MARK: Changes, made past the proxy

    func make(_ suffix: String, _ value: String = "1") async throws {
        let name = name + suffix
        let object: JSON = [
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": ["name": .string(name), "labels": [ControlPlane.testLabel: .string(self.name)]],
            "data": ["v": .string(value)],
        ]
        _ = try await controlPlane.withAdmin {
            try $0.create(.configMaps, namespace: "default", name: name, object: object, deadline: .soon)
        }
    }

    func set(_ suffix: String, _ value: String) async throws {
        let name = name + suffix
        _ = try await controlPlane.withAdmin {
            try $0.patch(
                .configMaps, namespace: "default", name: name, patch: .merge(["data": ["v": .string(value)]]),
                deadline: .soon)
        }
    }

    func delete(_ suffix: String) async throws {
        let name = name + suffix
        _ = try await controlPlane.withAdmin {
            try $0.delete(.configMaps, namespace: "default", name: name, preconditions: nil, deadline: .soon)
        }
    }

    // MARK: What has come of it

    /// Waits until the store, and whoever follows its deltas, has what a fresh list has.
    func caughtUp() async throws {
        let selector = selector
        let list = try await controlPlane.withAdmin {
            try $0.list(
                .configMaps, namespace: "default", options: ListOptions(labelSelector: selector), deadline: .soon)
        }
        var fresh: Content = [:]
        for item in list.items {
            let metadata = try item.metadataValue
            fresh[metadata.name] = StoredObject(
                uid: metadata.uid, resourceVersion: metadata.resourceVersion, value: item["data"]?["v"]?.string ?? "")
        }
        let expected = fresh
        try await mirror.wait(for: "the content of a fresh list: \(expected)") { $0 == expected ? () : nil }
        // The store is never older than what its observers were told.
        guard Dictionary(uniqueKeysWithValues: store.objects.map { ($0.key.name, $0.object) }) == expected else {
            throw TestSetUpError("the store has \(store.objects), a fresh list \(expected)")
        }
    }

    /// The same, where what is there now may have been there before: waits until nothing older is still to come.
    func settled() async throws {
        try await make("-mark")
        let name = name + "-mark"
        try await mirror.wait(for: "the mark") { $0[name].map { _ in } }
        try await caughtUp()
        try await delete("-mark")
        try await caughtUp()
    }

    func waitFor(_ what: String, _ condition: @escaping @Sendable ([String]) -> Bool) async throws {
        try await reports.wait(for: what) { condition($0.map(Self.name)) ? () : nil }
    }

    var reportNames: [String] { reports.value.map(Self.name) }

    private static func name(_ report: WatcherReport) -> String {
        switch report {
        case .listed(let count, _): "listed \(count)"
        case .watching(let resumes): resumes ? "resumed" : "watching"
        case .failed: "failed"
        case .relisting: "relisting"
        case .unreadable: "unreadable"
        }
    }
}
