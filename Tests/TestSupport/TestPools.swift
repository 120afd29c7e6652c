internal import IPAMAPI
package import JSONText
package import KubernetesClient
package import KubernetesCore

extension ControlPlane {
    /// Makes a pool; `spec` is as in YAML.
    ///
    /// - Parameter isCompiled: Its status says, as that of a controller does, that nothing is reserved. Otherwise claims
    ///   list the reservations.
    package func makePool(_ name: String, _ spec: JSON, isCompiled: Bool = false) async throws {
        let object: JSON = [
            "apiVersion": "ipam.berth.dev/v1alpha1", "kind": "IPPool", "metadata": ["name": .string(name)],
            "spec": spec,
        ]
        try await writeThrough(.ipPools) { try $0.create(.ipPools, name: name, object: object, deadline: .soon) }
        if isCompiled { try await compileNothing(into: name) }
    }

    /// Says in the status of a pool that reservations were compiled for its present generation, and that there are none.
    package func compileNothing(into name: String) async throws {
        try await writeThrough(.ipPools) { client in
            let json = try client.get(.ipPools, name: name, deadline: .soon)
            let status: JSON = ["reservedGeneration": json["metadata"]?["generation"] ?? 1]
            return try client.patch(
                .ipPools, name: name, patch: .merge(["status": status]), subresource: "status", deadline: .soon)
        }
    }

    /// Writes an object, and waits until the server's cache has it, from which the plugin lists pools.
    ///
    /// - Parameter write: Gives the object as it was written.
    package func writeThrough(_ type: ResourceType, _ write: @escaping @Sendable (Client) throws -> JSON) async throws {
        try await withAdmin { client in
            let version = try write(client)["metadata"]?["resourceVersion"]?.string
            // Answered when the cache is as new as that; nothing has the label.
            let options = ListOptions(
                labelSelector: "test.berth.dev/nothing", resourceVersion: version, form: .metadata)
            _ = try client.list(type, options: options, deadline: .soon)
        }
    }

    /// Removes pools with all that is allocated from them. Those that are not there are no error.
    package func removePools(_ names: [String]) async throws {
        if names.isEmpty { return }
        let labels = names.map { LabelValue.fitting($0) }.joined(separator: ",")
        let type = ResourceType.ipAllocations
        let collection = APIRequest(
            method: .delete, path: type.path(namespace: nil, name: nil),
            query: [.init("labelSelector", "\(LabelKey.pool) in (\(labels))")],
            headers: [.init("Accept", "application/json")], subject: .init(verb: .delete, resource: type))
        try await withAdmin { client in
            for name in names {
                do throws(APIError) {
                    try client.delete(.ipPools, name: name, preconditions: nil, deadline: .soon)
                } catch {
                    guard error.isNotFound else { throw error }
                }
            }
            _ = try client.perform(collection, deadline: .now() + .seconds(120))
        }
    }
}
