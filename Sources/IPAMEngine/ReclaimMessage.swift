import IPAMAPI

/// What the log and the events say about reclaiming.
package enum ReclaimMessage {
    /// `reclaimed 10.0.0.1 of pod ns/a on node n1: the pod is deleted`
    package static func released(_ record: AllocationRecord, _ reason: ReclaimReason) -> String {
        "reclaimed \(subject(record)): \(reason.explanation)"
    }

    /// - Parameter lease: That of the node's agent, `NAMESPACE/NAME`; nil where the node has none. With one it is the
    ///   agent that does not report for the machine, also when the kubelet does.
    package static func fenced(_ record: AllocationRecord, _ reason: ReclaimReason, lease: String?) -> String {
        let silence =
            lease.map { "the node does not report: Lease \($0) of its agent is stale, or another machine's" }
            ?? "the node does not report"
        return "fenced \(subject(record)): \(reason.explanation), and \(silence)"
    }

    package static func unfenced(_ record: AllocationRecord) -> String {
        "unfenced \(subject(record)): the node reports again, and nothing says that the holder is gone"
    }

    package static func marked(_ record: AllocationRecord, _ reason: ReclaimReason) -> String {
        "marked \(subject(record)) for the node agent: \(reason.explanation)"
    }

    package static func unmarked(_ record: AllocationRecord) -> String {
        "unmarked \(subject(record)): the pod is there"
    }

    private static func subject(_ record: AllocationRecord) -> String {
        let holder: String =
            switch (record.origin, record.pod) {
            case (.static, let pod?): "static pod \(pod.namespace)/\(pod.name)"
            case (_, let pod?): "pod \(pod.namespace)/\(pod.name)"
            case (_, nil): "a container"
            }
        let node = record.node.isEmpty ? "" : " on node \(record.node)"
        return "\(record.addressText) of \(holder)\(node)"
    }
}

extension ReclaimReason {
    /// Half a sentence.
    package var explanation: String {
        switch self {
        case .podDeleted: "the pod is deleted"
        case .podReplaced: "another pod has its name"
        case .podFinished: "the pod has finished"
        case .nodeDeleted: "the node is deleted"
        case .nodeOutOfService: "the node is out of service"
        case .nodeLost: "the node has not reported for longer than allowed"
        }
    }
}

extension AllocationRecord {
    /// `10.0.0.1`, or `10.0.0.1 in network red`.
    var addressText: String { self.network.isEmpty ? "\(self.address)" : "\(self.address) in network \(self.network)" }
}
