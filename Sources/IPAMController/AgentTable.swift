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
        let isOther = !sighting.mark.machineID.isEmpty && !machineID.isEmpty && sighting.mark.machineID != machineID
        return isOther || now >= sighting.since + sighting.mark.duration ? .silent : .reports
    }
}
