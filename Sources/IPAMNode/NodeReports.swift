import IPAMAPI
import IPAMLedger
package import IPAMOperation
package import Logging

/// What the agent leaves behind for people: a line of the log, Events, and a count.
package struct NodeReports: Sendable {
    let logger: Logger
    private let events: EventRecorder
    let metrics: NodeMetrics
    private let node: String

    package init(_ logger: Logger, _ events: EventRecorder, _ metrics: NodeMetrics, node: String) {
        self.logger = logger
        self.events = events
        self.metrics = metrics
        self.node = node
    }

    func released(
        _ records: [JournalEntry.Record], of attachment: Attachment, _ pod: PodReference?, _ cause: DeathCause
    ) {
        for record in records {
            metrics.released(cause)
            logger.info(
                "released an address of a dead sandbox", metadata: metadata(record, attachment, pod, cause.rawValue))
            events.record(
                pool(record), reason: cause.rawValue,
                message: "released \(subject(record, pod)): \(cause.explanation)")
        }
    }

    func owed(_ count: Int, of attachment: Attachment, _ cause: DeathCause) {
        logger.warning(
            "addresses of a dead sandbox could not be released yet",
            metadata: ["attachment": "\(attachment)", "count": "\(count)", "reason": "\(cause.rawValue)"])
    }

    func restored(_ record: JournalEntry.Record, of attachment: Attachment, _ pod: PodReference?) {
        metrics.restored()
        logger.warning("entered an address again", metadata: metadata(record, attachment, pod, "Restored"))
        let message = "entered \(subject(record, pod)) again: its sandbox uses it, and the ledger had lost it"
        tell(record, pod, "Restored", message)
    }

    func conflict(_ record: JournalEntry.Record, of attachment: Attachment, _ pod: PodReference?, with holder: String) {
        metrics.foundConflict()
        var metadata = metadata(record, attachment, pod, "AddressConflict")
        metadata["holder"] = "\(holder)"
        logger.error("two holders have one address", metadata: metadata)
        let message = "\(subject(record, pod)) is in use by its sandbox, and the ledger gives it to another: \(holder)"
        tell(record, pod, "AddressConflict", message)
    }

    func failed(_ what: Logger.Message, _ attachment: Attachment, _ error: LedgerError) {
        logger.warning(what, metadata: ["attachment": "\(attachment)", "error": "\(error)"])
    }

    private func tell(_ record: JournalEntry.Record, _ pod: PodReference?, _ reason: String, _ message: String) {
        events.record(pool(record), reason: reason, message: message, isWarning: true)
        if let pod { events.record(.init(pod: pod), reason: reason, message: message, isWarning: true) }
    }

    private func pool(_ record: JournalEntry.Record) -> EventRecorder.Subject {
        EventRecorder.Subject(kind: "IPPool", name: record.pool, uid: record.poolUID)
    }

    private func subject(_ record: JournalEntry.Record, _ pod: PodReference?) -> String {
        let holder = pod.map { "pod \($0.namespace)/\($0.name)" } ?? "a container"
        return "\(record.address) of \(holder) on node \(node)"
    }

    private func metadata(
        _ record: JournalEntry.Record, _ attachment: Attachment, _ pod: PodReference?, _ reason: String
    ) -> Logger.Metadata {
        [
            "allocation": "\(record.name)", "pool": "\(record.pool)", "attachment": "\(attachment)",
            "pod": "\(pod.map { "\($0.namespace)/\($0.name)" } ?? "")", "podUID": "\(pod?.uid ?? "")",
            "reason": "\(reason)",
        ]
    }
}

/// The ledger's lines in the agent's log.
struct LedgerLogger: LedgerLog {
    let logger: Logger

    var level: LogLevel {
        switch logger.logLevel {
        case .trace, .debug: .debug
        case .info, .notice: .info
        case .warning: .warning
        case .error, .critical: .error
        }
    }

    func write(_ level: LogLevel, _ message: StaticString, _ metadata: [(String, String)]) {
        let level: Logger.Level =
            switch level {
            case .debug: .debug
            case .info: .info
            case .warning: .warning
            case .error: .error
            }
        logger.log(
            level: level, "\(message)",
            metadata: Dictionary(metadata.map { ($0.0, "\($0.1)") }, uniquingKeysWith: { $1 }))
    }
}
