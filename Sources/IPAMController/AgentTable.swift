import IPAMAPI
import IPAMEngine
import KubernetesCore
import KubernetesRuntime

/// Which node agents report: each counts for as long as its Lease says, from when this controller saw it renewed.
struct AgentTable: Sendable {
    private struct Sighting {
        var resourceVersion: String
        var mark: AgentMark
        var since: Moment
    }

    private var sightings: [String: Sighting] = [:]

    mutating func observe(_ delta: ObjectDelta<AgentMark>, now: Moment) {
        switch delta {
        case .added(let key, let object), .changed(let key, _, let object):
            guard sightings[key.name]?.resourceVersion != object.resourceVersion else { return }
            sightings[key.name] = Sighting(
                resourceVersion: object.resourceVersion, mark: object.value, since: now)
        case .deleted(let key, _): sightings[key.name] = nil
        // Its renewals cannot be seen, so it falls silent.
        case .unreadable: break
        }
    }

    /// When the agent of a node will be silent unless it renews; nil without one.
    func silence(of node: String) -> Moment? { sightings[node].map { $0.since + $0.mark.duration } }

    func fact(node: String, machineID: String, now: Moment) -> AgentFact {
        guard let sighting = sightings[node] else { return .none }
        return Self.fact(sighting.mark, since: sighting.since, machineID: machineID, now: now)
    }

    /// The same with the Lease as it was read at the API server just now; nil when there is none.
    ///
    /// In a state that was not seen yet it was renewed a moment ago.
    func fact(node: String, machineID: String, read lease: StoredObject<AgentMark>?, now: Moment) -> AgentFact {
        guard let lease, lease.value.isAgents else { return .none }
        let known = sightings[node].flatMap { $0.resourceVersion == lease.resourceVersion ? $0.since : nil }
        return Self.fact(lease.value, since: known ?? now, machineID: machineID, now: now)
    }

    private static func fact(_ mark: AgentMark, since: Moment, machineID: String, now: Moment) -> AgentFact {
        let isOther = !mark.machineID.isEmpty && !machineID.isEmpty && mark.machineID != machineID
        return isOther || now >= since + mark.duration ? .silent : .reports
    }
}
