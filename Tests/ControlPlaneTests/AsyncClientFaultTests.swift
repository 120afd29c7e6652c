import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// The asynchronous client on a real API server, and what is between them.
@Suite("Asynchronous client", .controlPlane, .timeLimit(.minutes(5)))
struct AsyncClientFaultTests {
    @Test(arguments: [true, false])
    func `an object is created, read, changed, listed and deleted`(speaksHTTP2: Bool) async throws {
        try await ClientBench.run(speaksHTTP2: speaksHTTP2) { bench in
            let client = AsyncClient(try AsyncConnection(bench.configuration))
            let name = bench.name
            let created = try await client.create(
                .configMaps, namespace: "default", name: name, object: bench.configMap("", ["a": "1"]), deadline: .soon)
            #expect(created["data"] == ["a": "1"])
            #expect(try await client.get(.configMaps, namespace: "default", name: name, deadline: .soon) == created)
            let outcome = try await client.modify(.configMaps, namespace: "default", name: name, deadline: .soon) {
                object in
                var object = object
                object["data"] = ["a": "2"]
                return .update(object)
            }
            guard case .done(let changed?) = outcome else {
                Issue.record("\(outcome)")
                return
            }
            #expect(changed["data"] == ["a": "2"])
            let list = try await client.list(
                .configMaps, namespace: "default", options: ListOptions(labelSelector: bench.selector), deadline: .soon)
            #expect(try list.items.map { try $0.metadataValue.name } == [name])
            try await client.delete(.configMaps, namespace: "default", name: name, preconditions: nil, deadline: .soon)
            let gone = await #expect(throws: APIError.self) {
                try await client.get(.configMaps, namespace: "default", name: name, deadline: .soon)
            }
            #expect(gone?.isNotFound == true)
            #expect(Set(bench.proxy.log.map(\.request.httpVersion)) == [speaksHTTP2 ? "2" : "1.1"])
            #expect(Set(bench.proxy.log.map(\.request.connection)) == [1])
        }
    }

    @Test func `fifty requests share one connection with a watch`() async throws {
        try await ClientBench.run { bench in
            try await bench.makeConfigMap()
            let connection = try AsyncConnection(bench.configuration)
            let stream = try await connection.stream(
                .watch(.configMaps, namespace: "default", options: WatchOptions(resourceVersion: "0")))
            #expect(stream.head.status == 200)
            let request = APIRequest.get(.configMaps, namespace: "default", name: bench.name)
            let answers = await withTaskGroup(of: Bool.self) { group in
                for _ in 0..<50 {
                    group.addTask {
                        let reply = await connection.perform(request, deadline: .soon)
                        return (try? interpret(reply, to: request).get()) != nil
                    }
                }
                return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
            }
            #expect(answers == 50)
            #expect(bench.proxy.connectionCount == 1)
            withExtendedLifetime(stream) {}
        }
    }

    @Test func `after an answer that stayed away the next request uses a new connection`() async throws {
        try await ClientBench.run { bench in
            let client = AsyncClient(try AsyncConnection(bench.configuration))
            let request = APIRequest.get(.namespaces, name: "default")
            _ = try await client.perform(request, deadline: .soon)
            bench.proxy.when(.any, .first(1), .hang)
            let error = await #expect(throws: APIError.self) {
                try await client.perform(request, deadline: .now() + .seconds(3))
            }
            #expect(error?.transportKind == .timeout)
            _ = try await client.perform(request, deadline: .soon)
            #expect(bench.proxy.log.map(\.request.connection) == [1, 1, 2])
        }
    }

    @Test func `a cancelled request goes, and those beside it stay`() async throws {
        try await ClientBench.run { bench in
            try await bench.makeConfigMap()
            let connection = try AsyncConnection(bench.configuration)
            let gate = Gate()
            bench.proxy.when(.any, .always, .hold(gate))
            let kept = APIRequest.get(.configMaps, namespace: "default", name: bench.name)
            let given = APIRequest.create(
                .configMaps, namespace: "default", name: "\(bench.name)-x", object: bench.configMap("-x"))
            let keeping = Task { await connection.perform(kept, deadline: .soon) }
            let giving = Task { await connection.perform(given, deadline: .soon) }
            try await gate.reached(2)
            giving.cancel()
            guard case .failure(let failure) = await giving.value else {
                Issue.record("an answer")
                return
            }
            #expect(failure.kind == .cancelled)
            #expect(failure.mayHaveBeenSent)
            // Debian's libcurl tells the server with the next request.
            let next = Task { await connection.perform(kept, deadline: .soon) }
            try await bench.proxy.waitFor("the client to go") {
                $0.filter("create", "configmaps").first?.clientHasGone == true
            }
            gate.open()
            for task in [keeping, next] {
                #expect(try interpret(await task.value, to: kept).get()["kind"] == "ConfigMap")
            }
            #expect(bench.proxy.connectionCount == 1)
        }
    }

    @Test func `a token that was refused is read again from its file`() async throws {
        try await Files.withTemporaryFolder { folder in
            try await ClientBench.run { bench in
                var configuration = bench.configuration
                let token = try #require(configuration.token)
                let file = "\(folder)/token"
                try Files.write(file, "stale")
                configuration.token = nil
                configuration.tokenFile = file
                let client = AsyncClient(try AsyncConnection(configuration))
                let request = APIRequest.get(.namespaces, name: "default")
                let error = await #expect(throws: APIError.self) {
                    try await client.perform(request, deadline: .soon)
                }
                #expect(error?.isUnauthorized == true)
                try Files.write(file, token)
                // Not with every request, but within a second.
                let start = Moment.now()
                while (try? await client.perform(request, deadline: .soon)) == nil, .now() - start < .seconds(20) {}
                #expect(Moment.now() - start < .seconds(20))
            }
        }
    }
}
