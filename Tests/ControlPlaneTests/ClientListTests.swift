import IPAMAPI
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// Lists: whole, in pages, from the cache.
@Suite("Client: lists", .controlPlane, .timeLimit(.minutes(5)))
struct ClientListTests {
    @Test func `a list comes in pages that show one state`() async throws {
        try await ClientBench.run { bench in
            for number in 0..<7 { try await bench.makeConfigMap("-\(number)") }
            let (selector, name) = (bench.selector, bench.name)
            let gate = Gate()
            bench.proxy.when(.query("limit", "3"), .first(1), .holdAnswer(gate))
            async let list = bench.withClient {
                try $0.listAll(
                    .configMaps, namespace: "default", options: ListOptions(labelSelector: selector, limit: 3),
                    deadline: .soon)
            }
            // What comes after the first page was read is not in the others.
            try await gate.reached()
            try await bench.makeConfigMap("-99")
            gate.open()
            let whole = try await list
            #expect(try whole.items.map { try $0.metadataValue.name } == (0..<7).map { "\(name)-\($0)" })
            #expect(whole.continueToken == nil)
            #expect(bench.proxy.log.count == 3)
            #expect(Set(bench.proxy.log.compactMap { $0.request.queryValue("continue") }).count == 2)
        }
    }

    @Test func `a page has what was asked for and a token for the rest`() async throws {
        try await ClientBench.run { bench in
            for number in 0..<3 { try await bench.makeConfigMap("-\(number)") }
            let selector = bench.selector
            try await bench.withClient { client in
                var options = ListOptions(labelSelector: selector, limit: 2)
                let first = try client.list(.configMaps, namespace: "default", options: options, deadline: .soon)
                #expect(first.items.count == 2)
                let token = try #require(first.continueToken)
                options.continueToken = token
                let second = try client.list(.configMaps, namespace: "default", options: options, deadline: .soon)
                #expect(second.items.count == 1)
                #expect(second.continueToken == nil)
                #expect(second.resourceVersion == first.resourceVersion)
            }
        }
    }

    @Test func `a list whose state is forgotten between two pages is read again as a whole`() async throws {
        try await ClientBench.run { bench in
            for number in 0..<5 { try await bench.makeConfigMap("-\(number)") }
            let selector = bench.selector
            let continued = RequestMatcher("continued") { $0.queryValue("continue") != nil }
            let expiry = bench.proxy.when(continued, .first(1), .status(410, "Expired"))
            let list = try await bench.withClient {
                try $0.listAll(
                    .configMaps, namespace: "default", options: ListOptions(labelSelector: selector, limit: 2),
                    deadline: .soon)
            }
            #expect(expiry.hits == 1)
            #expect(list.items.count == 5)
            #expect(bench.proxy.log.last?.request.queryValue("limit") == nil)
            #expect(bench.proxy.log.count == 3)
        }
    }

    @Test func `a token that the server does not know is an error that says so`() async throws {
        try await ClientBench.run { bench in
            let selector = bench.selector
            try await bench.withClient { client in
                let options = ListOptions(labelSelector: selector, limit: 2, continueToken: "nonsense")
                let error = try failure {
                    try client.list(.configMaps, namespace: "default", options: options, deadline: .soon)
                }
                #expect(error.disposition == .invalid)
            }
        }
    }

    @Test func `a list from the cache is asked for as such, and one of a version waits for it`() async throws {
        try await ClientBench.run { bench in
            let made = try await bench.makeConfigMap().metadataValue
            let selector = bench.selector
            try await bench.withClient { client in
                let fresh = try client.list(
                    .configMaps, namespace: "default",
                    options: ListOptions(labelSelector: selector, resourceVersion: made.resourceVersion),
                    deadline: .soon)
                #expect(fresh.items.count == 1)
                // The cache has it by now.
                let cached = try client.list(
                    .configMaps, namespace: "default",
                    options: ListOptions(labelSelector: selector, resourceVersion: "0"), deadline: .soon)
                #expect(cached.items.count == 1)
            }
            #expect(bench.proxy.log.map { $0.request.queryValue("resourceVersion") } == [made.resourceVersion, "0"])
        }
    }

    @Test func `field and label selectors reach the server as they are`() async throws {
        try await ClientBench.run { bench in
            for suffix in ["-a", "-b"] { try await bench.makeConfigMap(suffix) }
            let (selector, name) = (bench.selector, bench.name)
            let list = try await bench.withClient {
                try $0.list(
                    .configMaps,
                    options: ListOptions(
                        labelSelector: "\(selector),other notin (x, y)", fieldSelector: "metadata.name=\(name)-b"),
                    deadline: .soon)
            }
            #expect(try list.items.map { try $0.metadataValue.name } == ["\(name)-b"])
        }
    }

    @Test func `a list of 600 objects is read whole, in two pages`() async throws {
        try await ClientBench.run { bench in
            let (name, selector) = (bench.name, bench.selector)
            try await bench.controlPlane.withAdmin { client in
                for number in 0..<600 {
                    let object: JSON = [
                        "apiVersion": "v1", "kind": "ConfigMap",
                        "metadata": [
                            "name": .string("\(name)-\(1000 + number)"),
                            "labels": [ControlPlane.testLabel: .string(name)],
                        ],
                    ]
                    _ = try client.create(.configMaps, namespace: "default", name: nil, object: object, deadline: .soon)
                }
            }
            let list = try await bench.withClient {
                try $0.listAll(
                    .configMaps, namespace: "default", options: ListOptions(labelSelector: selector), deadline: .soon)
            }
            #expect(try list.items.map { try $0.metadataValue.name } == (0..<600).map { "\(name)-\(1000 + $0)" })
            #expect(bench.proxy.log.count == 2)
        }
    }
}
