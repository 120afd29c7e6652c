package import JSONText

/// What the Lease says by which a node agent tells that it is there. Its name is the Node's.
///
/// The API server's garbage collector removes it with the DaemonSet that owns it, so that after an uninstallation the
/// node counts as one without an agent; that the agent is restarted or replaced by a newer one leaves it as it is.
package struct AgentMark: Hashable, Sendable {
    /// How long each renewal counts.
    package let duration: Duration
    /// Of the machine that the agent runs on; empty where it does not say.
    package let machineID: String
    /// Which agent renewed it last: while one takes the other's place, two run on a node.
    package let holder: String
    /// Whether it has the labels of an agent's Lease. One without belongs to somebody else.
    package let isAgents: Bool

    /// On the Leases of node agents, and on nothing else.
    package static let labels: [(key: String, value: String)] = [
        ("app.kubernetes.io/name", "berth"), ("app.kubernetes.io/component", "node-agent"),
    ]
    package static let selector = labels.map { "\($0.key)=\($0.value)" }.joined(separator: ",")
    package static let machineIDAnnotation = "\(BerthAPI.group)/machine-id"
    /// The version of the agent, and so of the plugin that it installs.
    package static let versionAnnotation = "\(BerthAPI.group)/version"
    private static let defaultSeconds = 40
    /// An agent that says more is believed for so long: it must not speak for a machine that is gone.
    private static let maximumSeconds = 3600

    package init(_ json: JSON) {
        let seconds = json["spec"]?["leaseDurationSeconds"]?.int ?? Self.defaultSeconds
        duration = .seconds(min(max(seconds, 1), Self.maximumSeconds))
        machineID = json["metadata"]?["annotations"]?[Self.machineIDAnnotation]?.string ?? ""
        holder = json["spec"]?["holderIdentity"]?.string ?? ""
        let labels = json["metadata"]?["labels"]
        isAgents = Self.labels.allSatisfy { labels?[$0.key]?.string == $0.value }
    }
}
