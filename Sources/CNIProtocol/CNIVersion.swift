/// A version of the CNI specification that this plugin speaks, oldest first.
package enum CNIVersion: String, CaseIterable, Comparable, Sendable {
    case v010 = "0.1.0"
    case v020 = "0.2.0"
    case v030 = "0.3.0"
    case v031 = "0.3.1"
    case v040 = "0.4.0"
    case v100 = "1.0.0"
    case v110 = "1.1.0"

    package static let newest = CNIVersion.v110

    /// What a configuration without `cniVersion` is written in (libcni `ConfigDecoder`).
    package static let assumed = CNIVersion.v010

    /// Text order is version order, for no component of a supported version has two digits.
    package static func < (a: CNIVersion, b: CNIVersion) -> Bool { a.rawValue < b.rawValue }

    /// For messages: `0.1.0, 0.2.0, …`.
    static let list = allCases.map(\.rawValue).joined(separator: ", ")
}

extension CNIVersion {
    /// How a result of this version is written.
    enum ResultShape {
        /// 0.1.0 and 0.2.0: `ip4` and `ip6`, at most one address of a family, routes inside.
        case oneOfEachFamily
        /// 0.3.0 to 0.4.0: a list of addresses that name their family in `version`.
        case listNamingFamily
        /// From 1.0.0: a list of addresses.
        case list
    }

    var resultShape: ResultShape {
        switch self {
        case .v010, .v020: .oneOfEachFamily
        case .v030, .v031, .v040: .listNamingFamily
        case .v100, .v110: .list
        }
    }

    /// Whether routes carry more than destination and gateway (spec 1.1.0, "Success").
    var hasRouteAttributes: Bool { self >= .v110 }
}
