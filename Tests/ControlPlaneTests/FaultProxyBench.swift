import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport

/// A proxy, and one object that a test is about.
struct ProxyBench: Sendable {
    let controlPlane: ControlPlane
    let proxy: FaultProxy
    let configuration: ClientConfiguration
    let name = Subnets.next().name

    static func run(speaksHTTP2: Bool = true, _ body: (ProxyBench) async throws -> Void) async throws {
        let controlPlane = try ControlPlane.required()
        try await controlPlane.withFaultProxy(speaksHTTP2: speaksHTTP2) { proxy in
            let configuration = try await controlPlane.configuration(as: .admin, through: proxy)
            try await body(ProxyBench(controlPlane: controlPlane, proxy: proxy, configuration: configuration))
            try await removeObjects(named: proxy.log.compactMap { $0.request.action?.name }, controlPlane)
        }
    }

    private static func removeObjects(named names: [String], _ controlPlane: ControlPlane) async throws {
        try await controlPlane.withAdmin { client in
            for name in Set(names) {
                let request = APIRequest.delete(.configMaps, namespace: "default", name: name, preconditions: nil)
                if let error = client.transport.failure(of: request), !error.isNotFound { throw error }
            }
        }
    }

    func get(_ name: String) -> APIRequest { .get(.configMaps, namespace: "default", name: name) }

    func create(_ name: String? = nil, data: JSON = [:]) -> APIRequest {
        let name = name ?? self.name
        let object: JSON = [
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": .string(name)], "data": data,
        ]
        return .create(.configMaps, namespace: "default", name: name, object: object)
    }

    func withConnection<Answer: Sendable>(
        _ body: @escaping @Sendable (Connection) throws -> Answer
    ) async throws -> Answer {
        try await controlPlane.withConnection(configuration, body)
    }

    /// How the create fails at its first attempt.
    func createFails() async throws -> APIError? {
        try await withConnection { $0.failure(of: create()) }
    }

    /// How a create fails when its client gives up after a time in which the request has reached the proxy, which on a
    /// busy machine may take several attempts, each of another name.
    func createTimesOut() async throws -> (APIError?, name: String) {
        var limit = Duration.milliseconds(50)
        while true {
            let name = Subnets.next().name
            let allowed = limit
            let error = try await withConnection { $0.failure(of: create(name), within: allowed) }
            if proxy.log.first(named: name) != nil || limit > .seconds(10) { return (error, name) }
            limit *= 2
        }
    }

    /// Whether the server has the object, asked past the proxy.
    func exists(_ name: String? = nil) async throws -> Bool {
        let request = get(name ?? self.name)
        return try await controlPlane.withAdmin { client in
            do throws(APIError) {
                _ = try client.perform(request, deadline: .soon)
                return true
            } catch {
                guard error.isNotFound else { throw error }
                return false
            }
        }
    }

    /// Watches all config maps with curl, from what there is.
    func watch() async throws -> ProcessOutcome {
        try await Files.withTemporaryFolder { folder in
            try Files.write("\(folder)/ca", proxy.caPEM)
            let url = "\(proxy.url)/api/v1/namespaces/default/configmaps?watch=1&resourceVersion=0"
            let token = try await controlPlane.token(of: .admin)
            return try await TestSupport.run(
                "curl", ["--silent", "--no-buffer", "--cacert", "\(folder)/ca", "--header", "@-", url],
                stdin: Array("Authorization: Bearer \(token)".utf8))
        }
    }
}
