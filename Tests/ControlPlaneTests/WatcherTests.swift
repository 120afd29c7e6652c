import JSONText
import KubernetesClient
import KubernetesCore
import KubernetesRuntime
import TestSupport
import Testing

/// A watcher and its store on a real API server, and what is between them.
@Suite("Watcher", .controlPlane, .timeLimit(.minutes(5)))
struct WatcherTests {
    static let watch = RequestMatcher.verb("watch", "configmaps")
    static let list = RequestMatcher.verb("list", "configmaps")

    static func makeTwo(_ bench: ClientBench) async throws {
        for suffix in ["-a", "-b"] { try await bench.makeConfigMap(suffix, ["v": "1"]) }
    }

    @Test func `a store follows objects through their lives, by one list and one watch`() async throws {
        try await WatcherBench.run(prepare: Self.makeTwo) { bench, proxy in
            try await bench.caughtUp()
            #expect(bench.store.count == 2)
            try await bench.waitFor("the watch") { $0 == ["listed 2", "watching"] }
            try await bench.make("-c")
            try await bench.set("-a", "2")
            try await bench.delete("-b")
            try await bench.caughtUp()
            #expect(bench.store.value(ObjectKey(namespace: "default", name: bench.name + "-a")) == "2")
            // Deleted and made anew.
            try await bench.delete("-a")
            try await bench.make("-a", "3")
            try await bench.caughtUp()
            #expect(proxy.log.count("list", "configmaps") == 1)
            #expect(proxy.log.count("watch", "configmaps") == 1)
            #expect(proxy.connectionCount == 1)
        }
    }

    @Test func `a watch of metadata alone brings no more`() async throws {
        try await ClientBench.run { bench in
            try await Self.makeTwo(bench)
            let store = ObjectStore<JSON> { $0 }
            let watcher = Watcher(
                WatchScope(.configMaps, namespace: "default", labelSelector: bench.selector, metadataOnly: true),
                on: try AsyncConnection(bench.configuration), into: store)
            let names = Observed<Set<String>>([])
            store.observe { deltas in names.update { names in for delta in deltas { names.insert(delta.key.name) } } }
            let task = Task { try await watcher.run() }
            try await store.waitUntilSynced()
            try await bench.makeConfigMap("-c", ["v": "1"])
            let expected = Set(["-a", "-b", "-c"].map { bench.name + $0 })
            try await names.wait(for: "three objects") { $0 == expected ? () : nil }
            #expect(store.objects.allSatisfy { $0.object.value["data"] == nil })
            task.cancel()
            try await task.value
        }
    }

    // MARK: Watches that break

    @Test func `a watch whose connection is reset goes on where it was`() async throws {
        try await WatcherBench.run(prepare: Self.makeTwo) { bench, proxy in
            for round in 1...3 {
                try await bench.waitFor("watch \(round)") {
                    $0.count { ["watching", "resumed"].contains($0) } == round
                }
                await proxy.resetConnections()
                try await bench.set("-a", "\(round + 1)")
                try await bench.caughtUp()
            }
            #expect(proxy.log.count("list", "configmaps") == 1)
        }
    }

    @Test(arguments: [0, 1, 200, 900])
    func `a watch that is cut in the middle of an event goes on before it`(bytes: Int) async throws {
        try await WatcherBench.run(prepare: { bench in
            try await Self.makeTwo(bench)
            bench.proxy.when(Self.watch, .first(3), .cutAnswer(afterBytes: bytes))
        }) { bench, proxy in
            for round in 1...6 {
                try await bench.set("-a", "\(round + 1)")
                try await bench.caughtUp()
            }
            #expect(proxy.log.count("watch", "configmaps") >= 4)
            #expect(proxy.log.count("list", "configmaps") == 1)
        }
    }

    @Test(arguments: [true, false])
    func `a watch that falls silent is given up, with its connection`(hasHead: Bool) async throws {
        try await WatcherBench.run(
            limits: WatcherBench.limits(stall: .seconds(1)),
            prepare: { bench in
                try await Self.makeTwo(bench)
                bench.proxy.when(Self.watch, .first(1), hasHead ? .stallAnswer(afterBytes: 0) : .hang)
            }
        ) { bench, proxy in
            try await proxy.waitFor("the watch") { $0.count("watch", "configmaps") == 1 }
            try await bench.set("-a", "2")
            try await bench.delete("-b")
            try await bench.caughtUp()
            let failures = bench.reports.value.compactMap { report in
                if case .failed(let error, _) = report { error.transportKind } else { nil }
            }
            #expect(failures.first == .timeout)
            let watches = proxy.log.filter("watch", "configmaps")
            #expect(watches.count >= 2)
            // Nobody else may have noticed yet that the old one is dead.
            #expect(watches.first?.request.connection != watches.dropFirst().first?.request.connection)
            #expect(proxy.log.count("list", "configmaps") == 1)
        }
    }

    @Test func `a server that is away is waited for, and what was missed is made up for`() async throws {
        try await WatcherBench.run(prepare: Self.makeTwo) { bench, proxy in
            try await bench.caughtUp()
            await proxy.suspend()
            try await bench.make("-c")
            try await bench.delete("-b")
            try await bench.set("-a", "2")
            try await bench.waitFor("failures") { $0.count { $0 == "failed" } >= 2 }
            // What was known stays known.
            #expect(bench.store.count == 2)
            try await proxy.resume()
            try await bench.caughtUp()
            #expect(proxy.log.count("list", "configmaps") == 1)
        }
    }

    // MARK: New lists

    /// 410 as the answer to the watch, and as an event in it.
    @Test(arguments: [true, false])
    func `a version that has expired leads to a new list, which is not older`(isEvent: Bool) async throws {
        let status: JSON = [
            "kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Failure", "reason": "Expired",
            "message": "too old resource version", "code": 410,
        ]
        let event: JSON = ["type": "ERROR", "object": status]
        let answer = FaultAction.respond(
            status: isEvent ? 200 : 410, headers: [("content-type", "application/json")],
            body: (isEvent ? event : status).serialized() + Array("\n".utf8))
        try await WatcherBench.run(prepare: Self.makeTwo) { bench, proxy in
            try await bench.caughtUp()
            await proxy.suspend()
            try await bench.delete("-b")
            try await bench.delete("-a")
            try await bench.make("-a", "2")
            try await bench.make("-c")
            let rule = proxy.when(Self.watch, .first(1), answer)
            try await proxy.resume()
            try await rule.hit()
            try await bench.caughtUp()
            #expect(bench.reportNames.contains("relisting"))
            let lists = proxy.log.filter("list", "configmaps")
            #expect(lists.count == 2)
            #expect(lists.first?.request.queryValue("resourceVersion") == "0")
            let version = lists.last?.request.queryValue("resourceVersion").flatMap { Int($0) }
            #expect(version ?? 0 > 0)
            #expect(lists.last?.request.queryValue("limit") == nil)
        }
    }

    @Test func `a list that fails is made again from etcd, page by page`() async throws {
        try await WatcherBench.run(
            limits: WatcherBench.limits(pageSize: 2),
            prepare: { bench in
                for number in 0..<5 { try await bench.makeConfigMap("-\(number)", ["v": "1"]) }
                bench.proxy.when(Self.list, .first(1), .internalError)
            }
        ) { bench, proxy in
            try await bench.caughtUp()
            let lists = proxy.log.filter("list", "configmaps").map(\.request)
            #expect(lists.map { $0.queryValue("resourceVersion") } == ["0", nil, nil, nil])
            #expect(lists.map { $0.queryValue("limit") } == ["2", "2", "2", "2"])
            #expect(lists.map { $0.queryValue("continue") != nil } == [false, false, true, true])
            #expect(bench.reportNames.first == "relisting")
        }
    }

    @Test func `pages that expire, break or are refused leave nothing out and nothing behind`() async throws {
        let later = Self.list && RequestMatcher("a later page") { $0.queryValue("continue") != nil }
        try await WatcherBench.run(
            limits: WatcherBench.limits(pageSize: 2),
            prepare: { bench in
                for number in 0..<5 { try await bench.makeConfigMap("-\(number)", ["v": "1"]) }
                bench.proxy.when(Self.list, .first(1), .internalError)
                bench.proxy.when(later, .first(1), .cutAnswer(afterBytes: 300))
                bench.proxy.when(later, .first(1), .tooManyRequests(retryAfterSeconds: 1))
                bench.proxy.when(later, .first(1), .status(410, "Expired"))
            }
        ) { bench, proxy in
            try await bench.caughtUp()
            #expect(bench.store.count == 5)
            let lists = proxy.log.filter("list", "configmaps").map(\.request)
            #expect(lists.map { $0.queryValue("limit") } == ["2", "2", "2", "2", "2", nil])
            #expect(lists.last?.queryValue("continue") == nil)
        }
    }

    // MARK: Everything at once

    @Test(arguments: 0..<4)
    func `whatever happens on the way, the store ends equal to a fresh list`(seed: Int) async throws {
        try await WatcherBench.run(
            limits: WatcherBench.limits(pageSize: 2, stall: .seconds(1)), prepare: Self.makeTwo
        ) { bench, proxy in
            var generator = SplitMix64(seed: UInt64(seed))
            var existing: Set<String> = ["-a", "-b"]
            for round in 0..<40 {
                switch Int.random(in: 0..<10, using: &generator) {
                case 0: await proxy.resetConnections()
                case 1: proxy.when(Self.watch, .first(1), .status(410, "Expired"))
                case 2:
                    let bytes = Int.random(in: 0...2000, using: &generator)
                    proxy.when(Self.watch, .first(2), .cutAnswer(afterBytes: bytes, .stream))
                case 3: proxy.when(Self.list, .first(1), .cutAnswer(afterBytes: 100))
                case 4: proxy.when(Self.list, .first(1), .serverTimeout)
                case 5: proxy.when(.any, .first(2), .html(status: 502))
                case 6: proxy.when(Self.watch, .first(1), .stallAnswer(afterBytes: 100))
                case 7: proxy.when(.any, .first(1), .unauthorized)
                case 8:
                    await proxy.suspend()
                    try await proxy.resume()
                default: try await bench.settled()
                }
                for _ in 0..<Int.random(in: 1...3, using: &generator) {
                    let suffix = ["-a", "-b", "-c", "-d", "-e"].randomElement(using: &generator) ?? "-a"
                    if !existing.contains(suffix) {
                        try await bench.make(suffix, "\(round)")
                        existing.insert(suffix)
                    } else if Bool.random(using: &generator) {
                        try await bench.set(suffix, "\(round)")
                    } else {
                        try await bench.delete(suffix)
                        existing.remove(suffix)
                    }
                }
            }
            proxy.removeRules()
            try await bench.settled()
            #expect(bench.store.count == existing.count)
        }
    }
}

/// With an API server of its own, which nobody else misses.
@Suite("Watcher: a restart of the API server", .controlPlane, .timeLimit(.minutes(5)))
struct WatcherRestartTests {
    @Test func `an API server that restarts has forgotten old versions, and the watcher lists anew`() async throws {
        try await Self.withControlPlane { controlPlane, restart in
            try await WatcherBench.run(
                controlPlane, controlPlane.adminConfiguration(), Subnets.next().name
            ) { bench in
                try await bench.make("-a")
                try await bench.make("-b")
                try await bench.caughtUp()
                // Changes that the watcher is not told of move the cluster's version past its own.
                try await controlPlane.withAdmin { client in
                    for number in 0..<5 {
                        let name = "other-\(number)"
                        _ = try client.create(
                            .configMaps, namespace: "default", name: name,
                            object: ["apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": .string(name)]],
                            deadline: .soon)
                    }
                }
                try await restart()
                try await bench.waitFor("a new list") { $0.count { $0.hasPrefix("listed") } == 2 }
                let expirations = bench.reports.value.count { report in
                    if case .relisting(let error) = report { error.isExpired } else { false }
                }
                #expect(expirations == 1)
                try await bench.set("-a", "2")
                try await bench.delete("-b")
                try await bench.caughtUp()
            }
        }
    }

    private static func withControlPlane(
        _ body: (ControlPlane, _ restart: @Sendable () async throws -> Void) async throws -> Void
    ) async throws {
        try await Files.withTemporaryFolder("restart") { folder in
            @Sendable func script(_ command: String) async throws {
                try await runChecked(
                    "\(Repository.root)/hack/control-plane.sh", [command, folder], limit: .seconds(240))
            }
            do {
                try await script("start")
                try await body(ControlPlane(folder: folder)) { try await script("restart-apiserver") }
            } catch {
                try await script("stop")
                throw error
            }
            try await script("stop")
        }
    }
}
