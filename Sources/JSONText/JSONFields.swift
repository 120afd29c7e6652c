/// Why a JSON value is not the object that was expected: the path of the member and what is wrong with it.
package struct JSONDecodingError: Error, Equatable, CustomStringConvertible {
    /// For example `spec.ranges[2]`; empty for the document itself.
    package let path: String
    package let problem: String

    package init(path: String, problem: String) {
        self.path = path
        self.problem = problem
    }

    package var description: String { path.isEmpty ? problem : "\(path): \(problem)" }
}

/// Typed access to the members of a JSON object, with errors that name the member.
///
/// A member that is null counts as absent, as in Go's decoder. The plain accessors return nil for an absent member and
/// throw for one of another type; `required…` throw for an absent one too.
package struct JSONFields: Sendable {
    package let object: JSONObject
    package let path: String

    package init(_ json: JSON, path: String = "") throws(JSONDecodingError) {
        guard case .object(let object) = json else {
            throw JSONDecodingError(path: path, problem: "expected an object, found \(json.kindDescription)")
        }
        self.object = object
        self.path = path
    }

    package init(_ object: JSONObject, path: String) {
        self.object = object
        self.path = path
    }

    package func path(of name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }

    /// An error about one member.
    package func error(_ name: String, _ problem: String) -> JSONDecodingError {
        JSONDecodingError(path: path(of: name), problem: problem)
    }

    package func value(_ name: String) -> JSON? {
        guard let value = object[name], !value.isNull else { return nil }
        return value
    }

    package func has(_ name: String) -> Bool { value(name) != nil }

    private func typed<Value>(
        _ name: String, _ expected: String, _ convert: (JSON) -> Value?
    ) throws(JSONDecodingError) -> Value? {
        guard let value = value(name) else { return nil }
        guard let converted = convert(value) else {
            throw error(name, "expected \(expected), found \(value.kindDescription)")
        }
        return converted
    }

    private func required<Value>(_ name: String, _ value: Value?) throws(JSONDecodingError) -> Value {
        guard let value else { throw error(name, "missing") }
        return value
    }

    package func string(_ name: String) throws(JSONDecodingError) -> String? { try typed(name, "a string", \.string) }
    package func bool(_ name: String) throws(JSONDecodingError) -> Bool? { try typed(name, "true or false", \.bool) }
    package func int(_ name: String) throws(JSONDecodingError) -> Int? { try typed(name, "an integer", \.int) }
    package func array(_ name: String) throws(JSONDecodingError) -> [JSON]? { try typed(name, "a list", \.array) }

    package func requiredString(_ name: String) throws(JSONDecodingError) -> String {
        try required(name, string(name))
    }

    package func requiredInt(_ name: String) throws(JSONDecodingError) -> Int { try required(name, int(name)) }

    package func fields(_ name: String) throws(JSONDecodingError) -> JSONFields? {
        guard let value = value(name) else { return nil }
        return try JSONFields(value, path: path(of: name))
    }

    package func requiredFields(_ name: String) throws(JSONDecodingError) -> JSONFields {
        try required(name, fields(name))
    }

    package func strings(_ name: String) throws(JSONDecodingError) -> [String]? {
        guard let elements = try array(name) else { return nil }
        var strings: [String] = []
        for (index, element) in elements.enumerated() {
            guard let string = element.string else {
                throw error("\(name)[\(index)]", "expected a string, found \(element.kindDescription)")
            }
            strings.append(string)
        }
        return strings
    }

    package func list(_ name: String) throws(JSONDecodingError) -> [JSONFields]? {
        guard let elements = try array(name) else { return nil }
        var list: [JSONFields] = []
        for (index, element) in elements.enumerated() {
            list.append(try JSONFields(element, path: "\(path(of: name))[\(index)]"))
        }
        return list
    }

    /// A map of strings to strings, such as labels.
    package func stringMap(_ name: String) throws(JSONDecodingError) -> [String: String]? {
        guard let fields = try fields(name) else { return nil }
        var map: [String: String] = [:]
        for member in fields.object.members {
            map[member.name] = try fields.string(member.name)
        }
        return map
    }
}
