package import JSONText
package import KubernetesClient
import Yams

extension ClientConfiguration {
    /// Reads a kubeconfig file in either of its forms. For tools and tests: the plugin reads JSON alone.
    package static func load(
        yamlOrJSONKubeconfigFile path: String, context: String? = nil
    ) throws(ConfigurationError) -> ClientConfiguration {
        let json = try YAMLText.json(FileContents.read(path), path: path)
        return try load(kubeconfigJSON: json.serialized(), path: path, context: context)
    }
}

/// Text that is JSON, or YAML of which JSON can be made.
package enum YAMLText {
    /// - Parameter path: For messages.
    package static func json(_ bytes: [UInt8], path: String) throws(ConfigurationError) -> JSON {
        if let json = try? JSON(parsing: bytes) { return json }
        do {
            guard let node = try Yams.compose(yaml: String(decoding: bytes, as: UTF8.self)) else {
                throw ConfigurationError(.invalid, "\(path): the file is empty")
            }
            return node.json
        } catch let error as ConfigurationError {
            throw error
        } catch {
            throw ConfigurationError(.invalid, "\(path): neither JSON nor YAML: \(error)")
        }
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
