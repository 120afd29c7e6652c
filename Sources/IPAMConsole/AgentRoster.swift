package import IPAMAPI
import IPAMEngine
import JSONText
import KubernetesClient
package import KubernetesCore

/// The Lease by which a node agent says that it is there, since when it was seen unchanged.
package struct AgentSighting: Hashable, Sendable {
    /// Its name is the node's.
    package var lease: PodKey
    package var mark: AgentMark
    package var resourceVersion: String
    package var since: Moment

    package init(_ lease: PodKey, mark: AgentMark, resourceVersion: String, since: Moment) {
        self.lease = lease
        self.mark = mark
        self.resourceVersion = resourceVersion
        self.since = since
    }

    /// An agent counts for as long as its Lease says, from when this process saw it renewed.
    func fact(machineID: String, now: Moment) -> AgentFact {
        let isOther = !mark.machineID.isEmpty && !machineID.isEmpty && mark.machineID != machineID
        return isOther || now >= since + mark.duration ? .silent : .reports
    }
}

/// What Leases say of node agents, in whichever namespace Berth is installed.
///
/// A node has several where an installation of another namespace left its own, or somebody forged one. Each of them can
/// only keep an address with its holder: ``fact(node:machineID:now:)``.
package struct AgentRoster: Hashable, Sendable {
    private var sightings: [String: [AgentSighting]]
    /// The only namespace that could be looked in, where nothing of Berth is in it: nobody knows then which nodes have an
    /// agent.
    package private(set) var blindBeyond: String?

    package init(_ sightings: [AgentSighting] = [], blindBeyond: String? = nil) {
        self.sightings = Dictionary(grouping: sightings, by: \.lease.name)
        self.blindBeyond = blindBeyond
    }

    /// What forbids most of what the Leases of the node say: an agent that reports, else one that is silent.
    func fact(node: String, machineID: String, now: Moment) -> AgentFact {
        let facts = (sightings[node] ?? []).map { $0.fact(machineID: machineID, now: now) }
        return facts.contains(.reports) ? .reports : facts.first ?? .none
    }

    /// After how long a Lease that nobody renews shows that the node's agent is gone; nil for a node that has none.
    func patience(node: String) -> Duration? { sightings[node]?.map(\.mark.duration).max() }

    /// What was seen of a Lease, where that is unchanged.
    func sighting(of lease: PodKey, resourceVersion: String) -> AgentSighting? {
        sightings[lease.name]?.first { $0.lease == lease && $0.resourceVersion == resourceVersion }
    }

    /// Why nothing is proven of nodes, and what helps; nil when the agents are known.
    package var blindness: ConsoleError? {
        blindBeyond.map { namespace in
            ConsoleError(
                "nobody knows which nodes have an agent: Leases may be listed in namespace \(namespace) alone, and nothing"
                    + " of Berth is there",
                remedy:
                    "name the namespace of Berth with --system-namespace, or bind the ClusterRole berth-viewer to this"
                    + " user in the whole cluster")
        }
    }
}

/// The Lease by which replicas of the controller agree on who leads, in whichever namespace Berth is installed.
package struct ControllerSighting: Hashable, Sendable {
    package static let leaseName = "berth-controller"

    package var leadership: Leadership
    /// Where it is or, where there is none, the only one that could be looked in. Nil: it is in no namespace.
    package var namespace: String?

    package init(_ leadership: Leadership, namespace: String?) {
        self.leadership = leadership
        self.namespace = namespace
    }

    /// A sentence; nil when somebody leads.
    package var problem: String? {
        let effect = "nothing is reclaimed or counted"
        switch leadership {
        case .of: return nil
        case .never: return "berth-controller has never run\(namespace.map { " in namespace \($0)" } ?? ""): \(effect)"
        case .nobody(let last):
            return "no replica of berth-controller leads\(last.map { ", last was \($0)" } ?? ""): \(effect)"
        }
    }
}

extension ClusterReader {
    /// The Leases of node agents; what an earlier look saw unchanged keeps its time.
    ///
    /// - Parameter systemNamespace: Where to look when Leases may not be listed in all namespaces.
    package func agents(systemNamespace: String, earlier: AgentRoster = AgentRoster()) throws -> AgentRoster {
        let now = now()
        let (sightings, isEverywhere) = try agentLeases(systemNamespace: systemNamespace) { json in
            let metadata = json["metadata"]
            let lease = PodKey(
                namespace: metadata?["namespace"]?.string ?? "", name: metadata?["name"]?.string ?? "")
            let version = metadata?["resourceVersion"]?.string ?? ""
            return earlier.sighting(of: lease, resourceVersion: version)
                ?? AgentSighting(lease, mark: AgentMark(json), resourceVersion: version, since: now)
        }
        let isBlind = try !isEverywhere && sightings.isEmpty && !hasControllerLease(in: systemNamespace)
        return AgentRoster(sightings, blindBeyond: isBlind ? systemNamespace : nil)
    }

    /// Those of all namespaces or, where these may not be listed, of one.
    func agentLeases<Value>(
        systemNamespace: String, transform: (JSON) throws -> Value
    ) throws -> (found: [Value], isEverywhere: Bool) {
        let options = ListOptions(labelSelector: AgentMark.selector)
        if let found = try listIfAllowed(.leases, options: options, transform: transform) { return (found, true) }
        return (try list(.leases, namespace: systemNamespace, options: options, transform: transform), false)
    }

    /// Who may not read it has not seen it.
    private func hasControllerLease(in namespace: String) throws(ConsoleError) -> Bool {
        do throws(APIError) {
            _ = try perform(.get(.leases, namespace: namespace, name: ControllerSighting.leaseName))
            return true
        } catch {
            guard error.isNotFound || error.isForbidden else { throw ConsoleError(error) }
            return false
        }
    }

    /// The controller's Lease: that of the system namespace, else one of another namespace, of which one that is led.
    ///
    /// - Parameter wallClock: Seconds since 1970.
    func controller(systemNamespace: String, wallClock: Int64) throws -> ControllerSighting {
        if let lease = try read(.leases, namespace: systemNamespace, name: ControllerSighting.leaseName) {
            return ControllerSighting(Leadership(lease, wallClock: wallClock), namespace: systemNamespace)
        }
        let options = ListOptions(fieldSelector: "metadata.name=\(ControllerSighting.leaseName)")
        let others = try listIfAllowed(.leases, options: options) { lease in
            ControllerSighting(
                Leadership(lease, wallClock: wallClock), namespace: lease["metadata"]?["namespace"]?.string)
        }
        guard let others else { return ControllerSighting(.never, namespace: systemNamespace) }
        return others.first { $0.problem == nil } ?? others.first ?? ControllerSighting(.never, namespace: nil)
    }
}
