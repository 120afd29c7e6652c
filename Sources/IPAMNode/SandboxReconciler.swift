import IPAMAPI
import IPAMEngine
import IPAMLedger
import KubernetesClient
import KubernetesCore
import KubernetesRuntime
import Synchronization

/// What the agent looks at: everything at once.
enum SandboxKey: Hashable, Sendable { case node }

/// Holds the three truths of the node against each other: the ledger, the sandboxes, the API server's pods.
///
/// Flow: each pass (``SandboxPass``) runs on a thread of its own, with what the stores say at its beginning. A change in a
/// store leads to one a moment later, and so does the end of a waiting time; otherwise one comes after the interval.
///
/// Guarantees: two promises. No address twice: what a sandbox uses is released only on proof that it is dead, and what is
/// entered again is entered by a create or on condition of a version, for a live sandbox, never over a holder that may
/// live. Nothing lost: what a dead sandbox holds is released in the end, by the agent or by the journal's marks.
///
/// Assumptions: the journal is this machine's alone. Several agents may run on one node for a while: locks of the journal
/// keep them apart.
///
/// Caveats: where the host's sandboxes cannot be seen, or the stores do not follow, nothing is done and ``problem`` says
/// why.
///
/// Errors: what went wrong with one attachment is in the log; the next pass tries again.
final class SandboxReconciler: Reconciler {
    private let view: NodeView
    private let node: String
    private let machineID: String
    private let interval: Duration
    private let metrics: NodeMetrics
    private let worker: HostWorker<SandboxPass>
    private let state: Mutex<String?> = Mutex("the sandboxes have not been looked at yet")

    init(
        _ view: NodeView, node: String, machineID: String, interval: Duration, metrics: NodeMetrics,
        pass: @escaping @Sendable () -> SandboxPass
    ) {
        self.view = view
        self.node = node
        self.machineID = machineID
        self.interval = interval
        self.metrics = metrics
        worker = HostWorker(pass)
    }

    /// Why the agent cannot judge now; nil when it can.
    var problem: String? { state.withLock(\.self) }

    func reconcile(_ key: SandboxKey) async throws -> Requeue {
        if let problem = view.problem {
            state.withLock { $0 = problem }
            return .after(.seconds(1))
        }
        let snapshot = snapshot()
        let summary = await worker.run { $0.run(snapshot) }
        state.withLock { $0 = summary.problem }
        metrics.passed(summary)
        guard let next = summary.next else { return .after(interval) }
        return .after(min(max(next - .now(), .milliseconds(100)), interval))
    }

    private func snapshot() -> NodeSnapshot {
        var snapshot = NodeSnapshot()
        for (key, object) in view.allocations.objects {
            let allocation = object.value
            snapshot.allocations[key.name] = .some(allocation)
            guard allocation.spec.node == node, allocation.spec.machineID == machineID,
                let attachment = allocation.spec.attachment, allocation.spec.origin != .manual
            else { continue }
            snapshot.held[attachment, default: []].append(allocation)
        }
        for problem in view.allocations.problems {
            if let name = problem.key?.name { snapshot.allocations[name] = .some(nil) }
        }
        for (key, object) in view.pods.objects { snapshot.pods[key] = object.value.fact }
        for problem in view.pods.problems {
            if let key = problem.key { snapshot.unreadablePods.insert(key) }
        }
        return snapshot
    }
}
