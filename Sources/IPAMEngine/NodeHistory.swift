/// Under which UID each machine was last seen as the Node of a name.
///
/// A machine whose Node was deleted is known by that, also when another machine has taken the name by the time that
/// somebody asks. What is not remembered costs a delay: the address of a gone pod is fenced instead of freed.
package struct NodeHistory: Sendable {
    /// Machines that are remembered for one name, the latest ones.
    static let machinesOfName = 4
    /// Names that are remembered, so that a cluster whose nodes come and go for years does not fill the memory.
    static let maximumNames = 16_384

    private struct Sighting {
        var machineID: String
        var uid: String
    }

    private var sightings: [String: [Sighting]] = [:]

    package init() {}

    /// A Node as it is now. Without a machine ID there is nothing to remember.
    package mutating func observe(node: String, uid: String, machineID: String) {
        guard !machineID.isEmpty else { return }
        if sightings.count >= Self.maximumNames, sightings[node] == nil { sightings.removeAll() }
        var known = sightings[node] ?? []
        known.removeAll { $0.machineID == machineID }
        known.append(Sighting(machineID: machineID, uid: uid))
        sightings[node] = known.suffix(Self.machinesOfName)
    }

    /// The UID that the Node of this name had when the machine was last seen under it.
    package func uid(ofMachine machineID: String, node: String) -> String? {
        sightings[node]?.last { $0.machineID == machineID }?.uid
    }
}
