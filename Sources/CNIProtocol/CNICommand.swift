/// A verb of the CNI protocol: a value of `CNI_COMMAND`.
package enum CNICommand: String, CaseIterable, Sendable {
    case add = "ADD"
    case del = "DEL"
    case check = "CHECK"
    case gc = "GC"
    case status = "STATUS"
    case version = "VERSION"

    /// The first version of the specification that has the verb. VERSION itself came with 0.2.0, but answers everyone.
    package var since: CNIVersion {
        switch self {
        case .add, .del, .version: .v010
        case .check: .v040
        case .gc, .status: .v110
        }
    }

    /// The environment variables without which the verb cannot be served (spec 1.1.0, "CNI operations").
    ///
    /// DEL works without `CNI_NETNS`, which is empty or gone after a reboot. `CNI_PATH` is not demanded: this plugin
    /// executes no other.
    var requiredVariables: [String] {
        switch self {
        case .add, .check: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"]
        case .del: ["CNI_CONTAINERID", "CNI_IFNAME"]
        case .gc, .status, .version: []
        }
    }
}
