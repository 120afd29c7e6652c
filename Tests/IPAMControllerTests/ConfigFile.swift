import JSONText
import TestSupport
import Yams

/// The files of config/, as they are in the working tree.
enum ConfigFile {
    /// The documents of a YAML file.
    static func documents(_ path: String) throws -> [JSON] {
        let text = try Files.text("\(Repository.root)/config/\(path)")
        return try Yams.compose_all(yaml: text).map { JSON($0) }
    }
}

extension JSON {
    fileprivate init(_ node: Node) {
        switch node {
        case .mapping(let mapping):
            self = [:]
            for (key, value) in mapping { self[key.string ?? ""] = JSON(value) }
        case .sequence(let sequence): self = .array(sequence.map { JSON($0) })
        default:
            self =
                node.null.map { _ in .null } ?? node.bool.map { .bool($0) } ?? node.int.map { .int($0) }
                ?? .string(node.string ?? "")
        }
    }
}
