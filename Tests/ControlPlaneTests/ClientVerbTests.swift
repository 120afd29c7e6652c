import IPAMAPI
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// Every verb of the client on a real API server.
@Suite("Client: verbs", .controlPlane, .timeLimit(.minutes(5)))
struct ClientVerbTests {
    @Test(arguments: [true, false])
    func `an object is created, read, updated, patched and deleted`(speaksHTTP2: Bool) async throws {
        try await ClientBench.run(speaksHTTP2: speaksHTTP2) { bench in
            let (name, object) = (bench.name, bench.configMap("", ["a": "1"]))
            try await bench.withClient { client in
                let type = ResourceType.configMaps
                let created = try client.create(
                    type, namespace: "default", name: name, object: object, deadline: .soon)
                #expect(created["data"] == ["a": "1"])
                #expect(try client.get(type, namespace: "default", name: name, deadline: .soon) == created)

                var changed = created
                changed["data"] = ["a": "2"]
                let updated = try client.update(
                    type, namespace: "default", name: name, object: changed, deadline: .soon)
                #expect(updated["data"] == ["a": "2"])
                #expect(try updated.metadataValue.resourceVersion != created.metadataValue.resourceVersion)

                let merged = try client.patch(
                    type, namespace: "default", name: name, patch: .merge(["data": ["a": nil, "b": "3"]]),
                    deadline: .soon)
                #expect(merged["data"] == ["b": "3"])
                let patched = try client.patch(
                    type, namespace: "default", name: name,
                    patch: .json([["op": "replace", "path": "/data/b", "value": "4"]]), deadline: .soon)
                #expect(patched["data"] == ["b": "4"])
                let applied = try client.patch(
                    type, namespace: "default", name: name,
                    patch: .apply(
                        [
                            "apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": .string(name)],
                            "data": ["c": "5"],
                        ], fieldManager: "test", force: true),
                    deadline: .soon)
                #expect(applied["data"] == ["b": "4", "c": "5"])

                try client.delete(type, namespace: "default", name: name, preconditions: nil, deadline: .soon)
                let gone = try failure { try client.get(type, namespace: "default", name: name, deadline: .soon) }
                #expect(gone.isNotFound)
                #expect(gone.disposition == .notFound)
            }
            let versions = Set(bench.proxy.log.map(\.request.httpVersion))
            #expect(versions == [speaksHTTP2 ? "2" : "1.1"])
        }
    }

    @Test func `a dry run changes nothing`() async throws {
        try await ClientBench.run { bench in
            let (name, object) = (bench.name, bench.configMap())
            try await bench.withClient { client in
                let answer = try client.create(
                    .configMaps, namespace: "default", name: name, object: object, options: WriteOptions(dryRun: true),
                    deadline: .soon)
                #expect(try answer.metadataValue.name == name)
            }
            #expect(try await bench.readConfigMap() == nil)
        }
    }

    @Test func `a name that is taken and one that is missing are told apart from other failures`() async throws {
        try await ClientBench.run { bench in
            try await bench.makeConfigMap()
            let (name, object) = (bench.name, bench.configMap())
            try await bench.withClient { client in
                let taken = try failure {
                    try client.create(.configMaps, namespace: "default", name: name, object: object, deadline: .soon)
                }
                #expect(taken.disposition == .alreadyExists)
                #expect(!taken.mayHaveCommitted)
                let missing = try failure {
                    try client.get(.configMaps, namespace: "default", name: "\(name)-no", deadline: .soon)
                }
                #expect(missing.isNotFound)
                let invalid = try failure {
                    try client.create(
                        .configMaps, namespace: "default", name: "No!",
                        object: ["apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "No!"]], deadline: .soon)
                }
                #expect(invalid.disposition == .invalid)
                #expect(invalid.status?.code == 422)
            }
            #expect(bench.proxy.log.count == 3, "none of these is worth a second attempt")
        }
    }

    @Test func `metadata alone is read without the rest`() async throws {
        try await ClientBench.run { bench in
            try await bench.makeConfigMap("", ["secret": "value"])
            let (name, selector) = (bench.name, bench.selector)
            try await bench.withClient { client in
                let one = try client.get(
                    .configMaps, namespace: "default", name: name, metadataOnly: true, deadline: .soon)
                #expect(one["kind"]?.string == "PartialObjectMetadata")
                #expect(one["data"] == nil)
                #expect(try one.metadataValue.name == name)
                let list = try client.list(
                    .configMaps, options: ListOptions(labelSelector: selector, form: .metadata), deadline: .soon)
                #expect(list.items.count == 1)
                #expect(list.items.first?["data"] == nil)
                #expect(try list.items.first?.metadataValue.name == name)
            }
        }
    }

    @Test func `a status is written apart from the spec`() async throws {
        try await ClientBench.run { bench in
            let subnets = bench.subnets
            let pool: JSON = [
                "apiVersion": .string(BerthAPI.apiVersion), "kind": "IPPool",
                "metadata": ["name": .string(subnets.name), "labels": [ControlPlane.testLabel: .string(subnets.name)]],
                "spec": ["subnet": .string(subnets.subnet4)], "status": ["allocated": 1],
            ]
            try await bench.withClient { client in
                let created = try client.create(.ipPools, name: subnets.name, object: pool, deadline: .soon)
                #expect(created["status"] == nil, "a create does not write the status")
                var object = created
                object["status"] = ["allocated": 7]
                object["spec"]?["disabled"] = true
                let written = try client.updateStatus(.ipPools, name: subnets.name, object: object, deadline: .soon)
                #expect(written["status"]?["allocated"]?.int == 7)
                #expect(written["spec"]?["disabled"]?.bool != true, "nor a write of the status the spec")
                object = written
                object["status"] = ["allocated": 8]
                let updated = try client.update(.ipPools, name: subnets.name, object: object, deadline: .soon)
                #expect(updated["status"]?["allocated"]?.int == 7)
                let stale = try failure {
                    try client.updateStatus(.ipPools, name: subnets.name, object: created, deadline: .soon)
                }
                #expect(stale.disposition == .conflict)
            }
        }
    }

    // MARK: Conditions

    @Test func `a delete names the object and its version`() async throws {
        try await ClientBench.run { bench in
            let old = try await bench.makeConfigMap().metadataValue
            let name = bench.name
            try await bench.withClient { client in
                let new = try client.patch(
                    .configMaps, namespace: "default", name: name, patch: .merge(["data": ["a": "1"]]), deadline: .soon
                ).metadataValue
                let wrong = [
                    Preconditions(uid: "00000000-0000-0000-0000-000000000000"),
                    Preconditions(uid: new.uid, resourceVersion: old.resourceVersion),
                    Preconditions(resourceVersion: old.resourceVersion),
                    Preconditions(
                        uid: "00000000-0000-0000-0000-000000000000", resourceVersion: new.resourceVersion),
                ]
                for preconditions in wrong {
                    let error = try failure {
                        try client.delete(
                            .configMaps, namespace: "default", name: name, preconditions: preconditions, deadline: .soon
                        )
                    }
                    #expect(error.disposition == .conflict, "\(preconditions)")
                    #expect(!error.mayHaveCommitted)
                }
                #expect(throws: Never.self) {
                    try client.get(.configMaps, namespace: "default", name: name, deadline: .soon)
                }
                try client.delete(
                    .configMaps, namespace: "default", name: name,
                    preconditions: Preconditions(uid: new.uid, resourceVersion: new.resourceVersion), deadline: .soon)
                let gone = try failure {
                    try client.delete(
                        .configMaps, namespace: "default", name: name, preconditions: Preconditions(uid: new.uid),
                        deadline: .soon)
                }
                #expect(gone.disposition == .notFound)
            }
        }
    }

    @Test func `an update and every kind of patch refuse a stale version and another object`() async throws {
        try await ClientBench.run { bench in
            let created = try await bench.makeConfigMap("", ["a": "1"])
            let stale = try created.metadataValue
            let name = bench.name
            try await bench.withClient { client in
                let fresh = try client.patch(
                    .configMaps, namespace: "default", name: name, patch: .merge(["data": ["a": "2"]]), deadline: .soon)
                var another = try fresh.metadataValue
                another.uid = "00000000-0000-0000-0000-000000000000"

                let update = try failure {
                    try client.update(.configMaps, namespace: "default", name: name, object: created, deadline: .soon)
                }
                #expect(update.disposition == .conflict)
                let applied: JSON = ["apiVersion": "v1", "kind": "ConfigMap", "data": ["a": "3"]]
                let patches: [Patch] = [
                    .merge(["data": ["a": "3"]]), .json([["op": "replace", "path": "/data/a", "value": "3"]]),
                    .apply(applied, fieldManager: "test", force: true),
                ]
                for patch in patches {
                    for metadata in [stale, another] {
                        let conditional = patch.conditional(on: metadata)
                        let error = try failure {
                            try client.patch(
                                .configMaps, namespace: "default", name: name, patch: conditional, deadline: .soon)
                        }
                        #expect(error.disposition == .conflict, "\(conditional)")
                    }
                }
                let unchanged = try client.get(.configMaps, namespace: "default", name: name, deadline: .soon)
                #expect(unchanged["data"] == ["a": "2"])
                for (patch, value) in zip(patches, ["3", "3", "3"]) {
                    let current = try client.get(.configMaps, namespace: "default", name: name, deadline: .soon)
                    let written = try client.patch(
                        .configMaps, namespace: "default", name: name,
                        patch: patch.conditional(on: current.metadataValue), deadline: .soon)
                    #expect(written["data"]?["a"]?.string == value)
                }
            }
        }
    }

    // MARK: Trust

    @Test func `a server of another authority is not trusted, and gets no request`() async throws {
        try await ClientBench.run { bench in
            var configuration = bench.configuration
            configuration.caPEM = Array(try bench.controlPlane.target().caPEM.utf8)
            try await bench.withClient(configuration) { client in
                let error = try failure { try client.get(.namespaces, name: "default", deadline: .soon) }
                #expect(error.disposition == .stop(.untrusted))
                #expect(!error.mayHaveCommitted)
            }
            #expect(bench.proxy.log.isEmpty)
            #expect(throws: ConfigurationError.self) {
                configuration.caPEM = nil
                _ = try Connection(configuration)
            }
        }
    }

    @Test func `a certificate must be for the name that is asked for`() async throws {
        try await ClientBench.run { bench in
            var configuration = bench.configuration
            configuration.tlsServerName = "elsewhere.example"
            try await bench.withClient(configuration) { client in
                let error = try failure { try client.get(.namespaces, name: "default", deadline: .soon) }
                #expect(error.disposition == .stop(.untrusted))
            }
            #expect(bench.proxy.log.isEmpty)
        }
    }

    @Test func `a token that is not known is refused, and says so`() async throws {
        try await ClientBench.run { bench in
            var configuration = bench.configuration
            configuration.token = "nobody's"
            try await bench.withClient(configuration) { client in
                let error = try failure { try client.get(.namespaces, name: "default", deadline: .soon) }
                #expect(error.disposition == .stop(.unauthenticated))
                #expect(!"\(error)".contains("nobody's"))
            }
            #expect(bench.proxy.log.count == 1)
        }
    }
}
