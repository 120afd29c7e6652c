import IPAMAPI
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport

/// A proxy in front of the API server, a client that reaches it only through the proxy, and names of its own.
struct ClientBench: Sendable {
    let controlPlane: ControlPlane
    let proxy: FaultProxy
    let configuration: ClientConfiguration
    let subnets: TestSubnets

    var name: String { subnets.name }
    /// Selects what the test made.
    var selector: String { "\(ControlPlane.testLabel)=\(name)" }

    static func run(
        speaksHTTP2: Bool = true, isolation: isolated (any Actor)? = #isolation,
        _ body: (ClientBench) async throws -> Void
    ) async throws {
        let controlPlane = try await ControlPlane.ready()
        let subnets = Subnets.next()
        do {
            try await controlPlane.withFaultProxy(speaksHTTP2: speaksHTTP2) { proxy in
                try await body(
                    ClientBench(
                        controlPlane: controlPlane, proxy: proxy,
                        configuration: try await controlPlane.configuration(as: .admin, through: proxy),
                        subnets: subnets))
            }
        } catch {
            try await controlPlane.cleanUp(subnets.name)
            throw error
        }
        try await controlPlane.cleanUp(subnets.name)
    }

    /// Calls `body` with a client on a connection of its own, on a thread where it may block.
    func withClient<Answer: Sendable>(
        _ configuration: ClientConfiguration? = nil, _ body: @escaping @Sendable (Client) throws -> Answer
    ) async throws -> Answer {
        try await controlPlane.withConnection(configuration ?? self.configuration) { try body(Client($0)) }
    }

    /// A config map that is not made yet.
    func configMap(_ suffix: String = "", _ data: JSON = [:]) -> JSON {
        [
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": [
                "name": .string(name + suffix), "labels": [ControlPlane.testLabel: .string(name)],
            ],
            "data": data,
        ]
    }

    /// Makes a config map, past the proxy.
    @discardableResult
    func makeConfigMap(_ suffix: String = "", _ data: JSON = [:]) async throws -> JSON {
        let (object, name) = (configMap(suffix, data), name + suffix)
        return try await controlPlane.withAdmin {
            try $0.create(.configMaps, namespace: "default", name: name, object: object, deadline: .soon)
        }
    }

    /// The config map as it is in etcd, read past the proxy; nil when there is none.
    func readConfigMap(_ suffix: String = "") async throws -> JSON? {
        let name = name + suffix
        return try await controlPlane.withAdmin { client in
            do throws(APIError) {
                return try client.get(.configMaps, namespace: "default", name: name, deadline: .soon)
            } catch {
                guard error.isNotFound else { throw error }
                return nil
            }
        }
    }
}

extension ResourceType {
    static let configMaps = ResourceType(
        group: "", version: "v1", plural: "configmaps", kind: "ConfigMap", isNamespaced: true)
}

extension JSON {
    var metadataValue: ObjectMetadata {
        get throws { try ObjectMetadata(JSONFields(self)) }
    }
}

/// How a call ended that should have failed.
func failure(_ body: () throws -> some Any) throws -> APIError {
    do {
        _ = try body()
    } catch let error as APIError {
        return error
    }
    throw TestSetUpError("the call should have failed")
}
