import Glibc
import JSONText
import Testing
import Yams

/// A CustomResourceDefinition of config/crd, as JSON.
struct CRD {
    let json: JSON

    /// The schema of the one version.
    var schema: JSON { version["schema"]?["openAPIV3Schema"] ?? .null }

    var version: JSON { json["spec"]?["versions"]?.array?.first ?? .null }

    init(_ plural: String) throws {
        json = try #require(try ConfigFile.documents("crd/ipam.berth.dev_\(plural).yaml").first)
    }
}

/// The files of config/.
enum ConfigFile {
    struct Failure: Error {
        let message: String
    }

    /// The documents of a YAML file.
    static func documents(_ name: String) throws -> [JSON] {
        let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")
        return try Yams.compose_all(yaml: try read("\(root)/config/\(name)")).map { JSON($0) }
    }

    private static func read(_ path: String) throws -> String {
        guard let file = fopen(path, "r") else { throw Failure(message: "cannot open \(path)") }
        defer { fclose(file) }
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16_384)
        while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { content += chunk[..<count] }
        return String(decoding: content, as: UTF8.self)
    }
}

extension JSON {
    fileprivate init(_ node: Node) {
        switch node {
        case .mapping(let mapping):
            self = [:]
            for (key, value) in mapping { self[key.string ?? ""] = JSON(value) }
        case .sequence(let sequence):
            self = .array(sequence.map { JSON($0) })
        default:
            self =
                node.null.map { _ in .null } ?? node.bool.map { .bool($0) } ?? node.int.map { .int($0) }
                ?? .string(node.string ?? "")
        }
    }
}

/// A place in an object, for example `spec.routes[].dst`.
typealias FieldPath = String

extension JSON {
    /// The type of each field of an object, by its path. The members of a list count as one.
    func fieldTypes(at path: FieldPath = "") -> [FieldPath: String] {
        switch self {
        case .object(let object):
            object.members.reduce(into: path.isEmpty ? [:] : [path: "object"]) { types, member in
                let path = path.isEmpty ? member.name : "\(path).\(member.name)"
                types.merge(member.value.fieldTypes(at: path)) { $1 }
            }
        case .array(let elements):
            elements.reduce(into: [path: "array"]) { $0.merge($1.fieldTypes(at: "\(path)[]")) { $1 } }
        case .string: [path: "string"]
        case .number: [path: int == nil ? "number" : "integer"]
        case .bool: [path: "boolean"]
        case .null: [path: "null"]
        }
    }

    /// The value at a path; of a list its first element.
    func value(at path: FieldPath) -> JSON? {
        path.split(separator: ".").reduce(self) { value, part in
            let name = Self.name(part)
            return part.count == name.count ? value?[name] : value?[name]?.array?.first
        }
    }

    /// Sets or removes the value at a path, in the first element of each list on the way.
    mutating func set(_ value: JSON?, at path: FieldPath) {
        guard let dot = path.firstIndex(of: ".") else {
            self[path] = value
            return
        }
        let name = Self.name(path[..<dot])
        let rest = String(path[path.index(after: dot)...])
        var child = self[name] ?? [:]
        if case .array(var elements) = child {
            elements[0].set(value, at: rest)
            child = .array(elements)
        } else {
            child.set(value, at: rest)
        }
        self[name] = child
    }

    /// The name of a member in a path, without the brackets of a list.
    private static func name(_ part: Substring) -> String { String(part.prefix { $0 != "[" }) }
}

/// An OpenAPI v3 schema.
extension JSON {
    /// The type of each field that the schema describes, in the form of ``fieldTypes(at:)``.
    func schemaFieldTypes() -> [FieldPath: String] {
        schemaFields().mapValues { $0["type"]?.string ?? "none" }
    }

    /// The schema of each field, but not what every object has: apiVersion, kind, metadata. The members of a map count as
    /// one, which is called `key`.
    func schemaFields(at path: FieldPath = "") -> [FieldPath: JSON] {
        var fields: [FieldPath: JSON] = path.isEmpty ? [:] : [path: self]
        if let items = self["items"] { fields.merge(items.schemaFields(at: "\(path)[]")) { $1 } }
        if let values = self["additionalProperties"] { fields.merge(values.schemaFields(at: "\(path).key")) { $1 } }
        for member in self["properties"]?.object?.members ?? [] {
            if path.isEmpty, ["apiVersion", "kind", "metadata"].contains(member.name) { continue }
            fields.merge(member.value.schemaFields(at: path.isEmpty ? member.name : "\(path).\(member.name)")) { $1 }
        }
        return fields
    }

    /// The paths of all required fields.
    func schemaRequired() -> Set<FieldPath> {
        var required = Set((self["required"]?.array ?? []).compactMap(\.string))
        for (path, schema) in schemaFields() {
            for name in schema["required"]?.array ?? [] { required.insert("\(path).\(name.string ?? "")") }
        }
        return required
    }

    /// An object with every field that the schema has. `samples` has texts for fields that do not take any text.
    func schemaSample(at path: FieldPath = "", samples: [FieldPath: JSON]) -> JSON {
        if let sample = samples[path] { return sample }
        switch self["type"]?.string {
        case "object":
            var object: JSON = [:]
            for member in self["properties"]?.object?.members ?? [] {
                if path.isEmpty, ["apiVersion", "kind", "metadata"].contains(member.name) { continue }
                let child = path.isEmpty ? member.name : "\(path).\(member.name)"
                object[member.name] = member.value.schemaSample(at: child, samples: samples)
            }
            if let values = self["additionalProperties"] {
                object["key"] = values.schemaSample(at: "\(path).key", samples: samples)
            }
            return object
        case "array":
            return .array([self["items"]?.schemaSample(at: "\(path)[]", samples: samples) ?? .null])
        case "integer": return .int((self["minimum"]?.int ?? 0) + 7)
        case "boolean": return true
        default: return self["enum"]?.array?.last ?? .string("any text for \(path)")
        }
    }
}

/// What one side has and the other has not, or has with another type; empty when they agree.
func differences(schema: [FieldPath: String], encoding: [FieldPath: String]) -> [String] {
    Set(schema.keys).union(encoding.keys).sorted().compactMap { path in
        switch (schema[path], encoding[path]) {
        case (let expected?, let found?):
            expected == found ? nil : "\(path): the schema says \(expected), the encoding has \(found)"
        case (_?, nil): "\(path): only in the schema"
        case (nil, _): "\(path): only in the encoding"
        }
    }
}
