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

/// Before the allocations have been listed once every pool looks as if nobody used it.
@Suite struct FirstListTests {
    private let view = ClusterView()
    private let writer = LedgerWriter(
        AsyncClient(SilentTransport()), gate: LeaderGate(), timeout: .seconds(1), wallTime: { "" })

    @Test func `a pool is judged when the allocations have been listed, and not before`() async throws {
        try await expectPatience(
            of: PoolLifeReconciler(
                view, writer, inlineLifetime: .zero, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
    }

    @Test func `the status of a pool is written when the allocations have been listed, and not before`() async throws {
        try await expectPatience(of: PoolStatusReconciler(view, writer, interval: .zero))
    }

    @Test func `the status of a reservation is written when the allocations have been listed, and not before`()
        async throws
    {
        try await expectPatience(of: ReservationReconciler(view, writer, interval: .zero))
    }

    private func expectPatience(of reconciler: some Reconciler<String>) async throws {
        let pool: JSON = [
            "metadata": [
                "name": "blue", "uid": "1", "resourceVersion": "1", "labels": ["ipam.berth.dev/inline": "true"],
                "finalizers": [.string(PoolLifeReconciler.finalizer)],
            ],
            "spec": ["subnet": "10.0.0.0/24"],
        ]
        let reservation: JSON = [
            "metadata": ["name": "blue", "uid": "2", "resourceVersion": "1"],
            "spec": ["ranges": ["10.0.0.7"], "reason": "a router"],
        ]
        list([pool], in: view.pools)
        list([reservation], in: view.reservations)
        #expect(try await reconciler.reconcile("blue") == .after(.seconds(1)))
        list([], in: view.allocations)
        // Now it would write.
        await #expect(throws: NotLeading.self) { try await reconciler.reconcile("blue") }
    }

    private func list(_ objects: [JSON], in store: ObjectStore<some Sendable>) {
        store.beginResync()
        #expect(store.stage(objects).isEmpty)
        store.commitResync(resourceVersion: "1")
    }
}
