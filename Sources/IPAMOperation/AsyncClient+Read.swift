package import JSONText
package import KubernetesClient
package import KubernetesCore

extension AsyncClient {
    /// The object as it is in etcd; nil when that proves that there is none.
    package func read(
        _ type: ResourceType, namespace: String? = nil, name: String, deadline: Moment
    ) async throws(APIError) -> JSON? {
        do throws(APIError) {
            return try await get(type, namespace: namespace, name: name, deadline: deadline)
        } catch {
            guard error.isNotFound else { throw error }
            return nil
        }
    }
}
