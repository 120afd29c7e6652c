internal import IPAMAPI
package import JSONText
internal import KubernetesClient
internal import KubernetesCore

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
        _ = try await withAdmin { try $0.create(.ipPools, name: name, object: object, deadline: .soon) }
        if isCompiled { try await compileNothing(into: name) }
    }

    /// Says in the status of a pool that reservations were compiled for its present generation, and that there are none.
    package func compileNothing(into name: String) async throws {
        try await withAdmin { client in
            let json = try client.get(.ipPools, name: name, deadline: .soon)
            let status: JSON = ["reservedGeneration": json["metadata"]?["generation"] ?? 1]
            _ = try client.patch(
                .ipPools, name: name, patch: .merge(["status": status]), subresource: "status", deadline: .soon)
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
