import IPAMAPI
import IPAMEngine
import JSONText
import KubernetesCore

/// The labels of the node, as an ADD of this node read them, because a pool selects by them.
struct NodeLabelMemory {
    /// How long they are good for.
    private static let lifetime: Duration = .seconds(60)
    /// How long after a pool wanted them they are read in the first round trip, when they are older than that.
    private static let wantedFor: Duration = .seconds(3600)

    let labels: [String: String]
    private let readAt: Moment
    private let wantedAt: Moment

    init(labels: [String: String], readAt: Moment, wantedAt: Moment) {
        self.labels = labels
        self.readAt = readAt
        self.wantedAt = wantedAt
    }

    init?(_ record: JSON) {
        guard let readAt = record["at"]?.int, let wantedAt = record["wantedAt"]?.int,
            let labels = try? JSONFields(record).stringMap("labels")
        else { return nil }
        self.init(
            labels: labels, readAt: Moment(nanoseconds: Int64(readAt)), wantedAt: Moment(nanoseconds: Int64(wantedAt)))
    }

    var record: JSON {
        var json: JSON = [:]
        for (key, value) in labels.sorted(by: { $0.key < $1.key }) { json[key] = .string(value) }
        return ["at": .int(readAt.nanoseconds), "wantedAt": .int(wantedAt.nanoseconds), "labels": json]
    }

    func isFresh(at now: Moment) -> Bool { now - readAt < Self.lifetime }

    /// Whether an ADD reads them in its first round trip, before it knows whether a pool wants them: pools of this node did
    /// in the last hour, and what was read then is too old.
    func isDue(at now: Moment) -> Bool { now - wantedAt < Self.wantedFor && !isFresh(at: now) }

    /// The same after another read.
    func renewed(_ labels: [String: String], at now: Moment) -> Self {
        Self(labels: labels, readAt: now, wantedAt: wantedAt)
    }

    /// The same after a pool wanted them again; nil where that was written down a while ago.
    func wanted(at now: Moment) -> Self? {
        now - wantedAt < Self.wantedFor / 2 ? nil : Self(labels: labels, readAt: readAt, wantedAt: now)
    }
}

extension Ledger {
    /// The journal is of one node, and a pool's record begins otherwise.
    private static let labelKey = "node-labels"

    var labelMemory: NodeLabelMemory? { journal.scanRecord(pool: Self.labelKey).flatMap { NodeLabelMemory($0) } }

    private func remember(_ memory: NodeLabelMemory) { journal.writeScanRecord(memory.record, pool: Self.labelKey) }

    private static func labels(of node: JSON) -> [String: String] {
        SelectionFacts.Marks(try? ObjectMetadata(try JSONFields(node))).labels
    }

    var labelRequest: APIRequest { .get(.nodes, name: node, metadataOnly: true) }

    /// Takes in the answer to a ``labelRequest`` of the first round trip.
    func renewLabels(_ memory: NodeLabelMemory, _ found: JSON) -> [String: String] {
        let labels = Self.labels(of: found)
        remember(memory.renewed(labels, at: transport.now()))
        return labels
    }

    /// Takes in the answer to a ``labelRequest`` that was made because a pool wants them.
    func learnLabels(_ found: JSON) -> [String: String] {
        let labels = Self.labels(of: found)
        remember(NodeLabelMemory(labels: labels, readAt: transport.now(), wantedAt: transport.now()))
        return labels
    }

    /// Notes that a pool wants the labels, which are known.
    func noteLabelsWanted() {
        if let memory = labelMemory?.wanted(at: transport.now()) { remember(memory) }
    }
}
