package import JSONText

/// What a command found, in every form in which it can be shown.
package protocol Report {
    /// For people.
    func text(_ style: Style, isWide: Bool) -> String
    /// For programs. Members are added in later versions, and none is taken away.
    var json: JSON { get }
    /// The objects that it is about, as `kubectl … -o name` writes them.
    var names: [String] { get }
}

/// The forms of output.
package enum OutputFormat: String, Hashable, Sendable, CaseIterable {
    case table
    case wide
    case json
    case yaml
    case name

    package var isForPeople: Bool { self == .table || self == .wide }
}

extension Report {
    /// The whole output, which ends in a line feed unless it is empty.
    package func rendered(as format: OutputFormat, _ style: Style) -> String {
        switch format {
        case .table: text(style, isWide: false)
        case .wide: text(style, isWide: true)
        case .json: String(decoding: json.serializedPretty(), as: UTF8.self) + "\n"
        case .yaml: json.yaml
        case .name: names.map { $0 + "\n" }.joined()
        }
    }
}

/// The names of objects in the form `type.group/name`.
package enum ObjectText {
    package static func pool(_ name: String) -> String { "ippool.ipam.berth.dev/\(name)" }
    package static func allocation(_ name: String) -> String { "ipallocation.ipam.berth.dev/\(name)" }
    package static func block(_ name: String) -> String { "ipblock.ipam.berth.dev/\(name)" }
}
