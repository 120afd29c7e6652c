/// A JSON value (RFC 8259) that loses nothing it was parsed from: members keep their order and numbers their text,
/// so that an object written by a newer version survives a read and a write.
///
/// Values are compared as Swift compares their texts, by canonical equivalence; members are found by the bytes of their
/// names.
package enum JSON: Hashable, Sendable {
    case null
    case bool(Bool)
    /// The literal as written, for example `-12` or `1.5e3`.
    case number(String)
    case string(String)
    case array([JSON])
    case object(JSONObject)
}

extension JSON {
    package var isNull: Bool { self == .null }

    package var string: String? {
        if case .string(let value) = self { value } else { nil }
    }

    package var bool: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    /// The value of a number written as an integer that fits 64 bits.
    package var int: Int? {
        if case .number(let text) = self { Int(text) } else { nil }
    }

    package var array: [JSON]? {
        if case .array(let value) = self { value } else { nil }
    }

    package var object: JSONObject? {
        if case .object(let value) = self { value } else { nil }
    }

    /// The member of an object, or nil for a member that is absent and for a value that is no object. To set a member
    /// makes an object of any value; to remove one leaves a value that is no object as it is.
    package subscript(key: String) -> JSON? {
        get { object?[key] }
        set {
            if object == nil, newValue == nil { return }
            var members = object ?? JSONObject()
            members[key] = newValue
            self = .object(members)
        }
    }

    /// What a value is called in a message to a person.
    package var kindDescription: String {
        switch self {
        case .null: "null"
        case .bool: "a boolean"
        case .number: "a number"
        case .string: "a string"
        case .array: "a list"
        case .object: "an object"
        }
    }

    package static func int(_ value: some BinaryInteger) -> JSON { .number(String(value)) }

    package static func strings(_ values: [String]) -> JSON { .array(values.map { .string($0) }) }
}

/// The members of a JSON object in their order. Where a name was written twice the last one counts, as in Go's decoder.
package struct JSONObject: Hashable, Sendable {
    package struct Member: Hashable, Sendable {
        package var name: String
        package var value: JSON

        package init(name: String, value: JSON) {
            self.name = name
            self.value = value
        }

        /// Swift takes `é` and `e` with an accent for equal texts; in JSON they are two names.
        func isNamed(_ other: String) -> Bool { name == other && name.utf8.elementsEqual(other.utf8) }
    }

    package private(set) var members: [Member]

    package init() { members = [] }

    /// Objects hold few members, so a scan from the end is faster than a table and lets the last duplicate win.
    package subscript(name: String) -> JSON? {
        get { members.last { $0.isNamed(name) }?.value }
        set {
            guard let newValue else {
                members.removeAll { $0.isNamed(name) }
                return
            }
            if let index = members.lastIndex(where: { $0.isNamed(name) }) {
                members[index].value = newValue
            } else {
                members.append(Member(name: name, value: newValue))
            }
        }
    }

    package var names: [String] { members.map(\.name) }
    package var isEmpty: Bool { members.isEmpty }
    package var count: Int { members.count }

    mutating func append(_ member: Member) { members.append(member) }

    package static func == (a: JSONObject, b: JSONObject) -> Bool {
        a.canonical == b.canonical
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(canonical)
    }

    /// Order and overwritten duplicates do not tell two objects apart.
    private var canonical: [String: JSON] {
        Dictionary(members.map { ($0.name, $0.value) }, uniquingKeysWith: { $1 })
    }
}

extension JSON: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByStringInterpolation, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    package init(nilLiteral: ()) { self = .null }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(integerLiteral value: Int) { self = .int(value) }
    package init(stringLiteral value: String) { self = .string(value) }
    package init(arrayLiteral elements: JSON...) { self = .array(elements) }
    package init(dictionaryLiteral elements: (String, JSON)...) {
        var members = JSONObject()
        for (name, value) in elements { members[name] = value }
        self = .object(members)
    }
}

extension JSON: CustomStringConvertible {
    package var description: String { String(decoding: serialized(), as: UTF8.self) }
}
