import IPAMAPI
import IPAMEngine
package import IPAMOperation
import KubernetesRuntime
package import Logging

/// What reclaiming leaves behind for people: a line of the log, an Event on the pool, and a count.
package struct ReclaimJournal: Sendable {
    private let logger: Logger
    private let events: EventRecorder
    private let metrics: ControllerMetrics
    let enqueue: @Sendable ([ReclaimKey]) -> Void

    package init(
        _ logger: Logger, _ events: EventRecorder, _ metrics: ControllerMetrics,
        enqueue: @escaping @Sendable ([ReclaimKey]) -> Void
    ) {
        self.logger = logger
        self.events = events
        self.metrics = metrics
        self.enqueue = enqueue
    }

    func released(_ record: AllocationRecord, _ reason: ReclaimReason, after duration: Duration) {
        metrics.released(reason, after: duration)
        tell("reclaimed an address", record, reason.rawValue, ReclaimMessage.released(record, reason))
    }

    func fenced(_ record: AllocationRecord, _ reason: ReclaimReason, lease: String?) {
        tell(
            "fenced an address", record, "Fenced", ReclaimMessage.fenced(record, reason, lease: lease), isWarning: true)
    }

    func unfenced(_ record: AllocationRecord) {
        tell("unfenced an address", record, "Unfenced", ReclaimMessage.unfenced(record))
    }

    func marked(_ record: AllocationRecord, _ reason: ReclaimReason) {
        metrics.marked(reason)
        tell("marked an address for the node agent", record, "Marked", ReclaimMessage.marked(record, reason))
    }

    func unmarked(_ record: AllocationRecord) {
        tell("unmarked an address", record, "Unmarked", ReclaimMessage.unmarked(record))
    }

    private func tell(
        _ message: Logger.Message, _ record: AllocationRecord, _ reason: String, _ text: String,
        isWarning: Bool = false
    ) {
        logger.log(
            level: isWarning ? .warning : .info, message,
            metadata: [
                "allocation": "\(record.name)", "pool": "\(record.pool)",
                "pod": "\(record.pod.map { "\($0.namespace)/\($0.name)" } ?? "")",
                "podUID": "\(record.pod?.uid ?? "")", "node": "\(record.node)", "reason": "\(reason)",
            ])
        events.record(
            EventRecorder.Subject(kind: "IPPool", name: record.pool, uid: record.poolUID), reason: reason,
            message: text, isWarning: isWarning)
    }
}
