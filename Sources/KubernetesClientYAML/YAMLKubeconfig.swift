import JSONText
package import KubernetesClient
import Yams

extension ClientConfiguration {
    /// Reads a kubeconfig file in either of its forms. For tools and tests: the plugin reads JSON alone.
    package static func load(
        yamlOrJSONKubeconfigFile path: String, context: String? = nil
    ) throws(ConfigurationError) -> ClientConfiguration {
        var bytes = try FileContents.read(path)
        if (try? JSON(parsing: bytes)) == nil {
            do {
                guard let node = try Yams.compose(yaml: String(decoding: bytes, as: UTF8.self)) else {
                    throw ConfigurationError(.invalid, "\(path): the file is empty")
                }
                bytes = node.json.serialized()
            } catch let error as ConfigurationError {
                throw error
            } catch {
                throw ConfigurationError(.invalid, "\(path): neither JSON nor YAML: \(error)")
            }
        }
        return try load(kubeconfigJSON: bytes, path: path, context: context)
    }
}

extension Node {
    /// A kubeconfig holds strings and booleans alone: an unquoted `1234` is a name or a token.
    fileprivate var json: JSON {
        switch self {
        case .scalar(let scalar):
            if null != nil { return .null }
            return bool.map { .bool($0) } ?? .string(scalar.string)
        case .sequence(let sequence): return .array(sequence.map(\.json))
        case .mapping(let mapping):
            var object = JSONObject()
            for (key, value) in mapping { object[key.string ?? ""] = value.json }
            return .object(object)
        case .alias: return .null
        }
    }
}
