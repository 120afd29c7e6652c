import CHost
import KubernetesClient
import KubernetesCore
import KubernetesRuntime
import Logging
import Synchronization

extension AddressController {
    /// Tells the log and the metrics what watchers do.
    static func report(
        _ logger: Logger, _ metrics: ControllerMetrics
    ) -> @Sendable (StaticString, WatcherReport) -> Void {
        { store, report in
            switch report {
            case .listed(let count, let version):
                // What a list of tens of thousands of objects took while it was read goes back to the system.
                chost_trim_heap()
                logger.info(
                    "listed", metadata: ["store": "\(store)", "count": "\(count)", "resourceVersion": "\(version)"])
            case .watching(let resumes):
                logger.debug("watching", metadata: ["store": "\(store)", "resumes": "\(resumes)"])
            case .failed(let error, _):
                metrics.watchRestarted(store)
                logger.warning("a watch failed", metadata: ["store": "\(store)", "error": "\(error)"])
            case .relisting(let error):
                metrics.watchRestarted(store)
                logger.info("listing anew", metadata: ["store": "\(store)", "error": "\(error)"])
            case .unreadable(let problem):
                metrics.unreadable(store)
                logger.warning(
                    "an object without a name", metadata: ["store": "\(store)", "problem": "\(problem.problem)"])
            }
        }
    }

    static func report<Key>(
        _ controller: String, _ logger: Logger, _ metrics: ControllerMetrics
    ) -> @Sendable (ReconcileReport<Key>) -> Void {
        { report in
            metrics.reconciled(controller, report)
            guard let error = report.error, !(error is NotLeading) else { return }
            logger.warning(
                "will be tried again",
                metadata: ["controller": "\(controller)", "key": "\(report.key)", "error": "\(error)"])
        }
    }

    static func report(
        leader logger: Logger, _ metrics: ControllerMetrics
    ) -> @Sendable (LeaderReport) -> Void {
        { report in
            switch report {
            case .leading: logger.notice("leading")
            case .lost: logger.warning("no longer leading: the lease could not be renewed in time")
            case .following(let holder): logger.info("following", metadata: ["holder": "\(holder ?? "nobody")"])
            case .failed(let error): logger.warning("the election failed", metadata: ["error": "\(error)"])
            }
        }
    }
}

/// Where keys go that come from a part which was made before their queue.
final class KeySink<Key: Sendable>: Sendable {
    private let receiver = Mutex<(@Sendable ([Key]) -> Void)?>(nil)

    func open(_ receiver: @escaping @Sendable ([Key]) -> Void) { self.receiver.withLock { $0 = receiver } }
    func send(_ keys: [Key]) { receiver.withLock(\.self)?(keys) }
}
