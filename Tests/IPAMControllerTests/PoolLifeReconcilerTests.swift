import IPAMController
import JSONText
import KubernetesClient
import KubernetesCore
import KubernetesRuntime
import Logging
import Testing

/// Nothing is asked in these tests: no term of leadership has begun.
private struct SilentTransport: AsyncTransport {
    func perform(_ request: APIRequest, deadline: Moment) async -> Reply {
        Issue.record("a request was made: \(request)")
        return .failure(TransportFailure(kind: .cancelled, message: "", mayHaveBeenSent: false))
    }
}

@Suite struct PoolLifeReconcilerTests {
    @Test func `a pool is judged when the allocations have been listed, and not before`() async throws {
        let view = ClusterView()
        let writer = LedgerWriter(
            AsyncClient(SilentTransport()), gate: LeaderGate(), timeout: .seconds(1), wallTime: { "" })
        let reconciler = PoolLifeReconciler(
            view, writer, inlineLifetime: .zero, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let pool: JSON = [
            "metadata": [
                "name": "blue", "uid": "1", "resourceVersion": "1", "labels": ["ipam.berth.dev/inline": "true"],
                "finalizers": [.string(PoolLifeReconciler.finalizer)],
            ],
            "spec": ["subnet": "10.0.0.0/24"],
        ]
        view.pools.beginResync()
        #expect(view.pools.stage([pool]).isEmpty)
        view.pools.commitResync(resourceVersion: "1")
        #expect(try await reconciler.reconcile("blue") == .after(.seconds(1)))
        view.allocations.beginResync()
        view.allocations.commitResync(resourceVersion: "1")
        // Now it would be removed, after a look at the API server.
        await #expect(throws: NotLeading.self) { try await reconciler.reconcile("blue") }
    }
}
