package import IPAMAPI
package import IPAMEngine
package import JSONText
package import KubernetesClient
import KubernetesCore
package import KubernetesRuntime
import Synchronization

/// What the agent keeps of a Pod of its node.
package struct NodePod: Hashable, Sendable {
    package let fact: PodFact

    package init(_ json: JSON) throws(JSONDecodingError) { fact = try PodFact(json) }
}

/// What the API server says about the node: stores that watchers keep equal to it.
///
/// Caveats: everything may lag. They say where to look; before something is written, it is read at the API server.
package final class NodeView: Sendable {
    /// The allocations that carry the node's label; those of another machine of its name too.
    package let allocations = ObjectStore<IPAllocation>(decode: { try IPAllocation($0) })
    package let pods = ObjectStore<NodePod>(decode: { try NodePod($0) })

    private let node: String
    private let connection: AsyncConnection
    private let failing = Mutex<Set<String>>([])

    package static let stores = ["allocations", "pods"]

    package init(node: String, on connection: AsyncConnection) {
        self.node = node
        self.connection = connection
    }

    /// Returns when its task is cancelled.
    ///
    /// - Parameter report: Is told what the watcher of each store does.
    package func run(report: @escaping @Sendable (_ store: StaticString, WatcherReport) -> Void) async throws {
        try await withThrowingTaskGroup { group in
            let selector = "\(LabelKey.node)=\(LabelValue.fitting(node))"
            let ledger = Watcher(
                WatchScope(.ipAllocations, labelSelector: selector), on: connection, into: allocations
            ) { self.note("allocations", $0, report) }
            group.addTask { try await ledger.run() }
            let pods = Watcher(
                WatchScope(.pods, fieldSelector: "spec.nodeName=\(node)"), on: connection, into: pods
            ) { self.note("pods", $0, report) }
            group.addTask { try await pods.run() }
            try await group.waitForAll()
        }
    }

    private func note(
        _ store: StaticString, _ event: WatcherReport, _ report: (StaticString, WatcherReport) -> Void
    ) {
        switch event {
        case .failed: _ = failing.withLock { $0.insert(store.description) }
        case .listed, .watching: _ = failing.withLock { $0.remove(store.description) }
        case .relisting, .unreadable: break
        }
        report(store, event)
    }

    /// Nil while both stores follow the API server; otherwise which one does not.
    package var problem: String? {
        if !allocations.hasSynced { return "the allocations have not been listed yet" }
        if !pods.hasSynced { return "the pods have not been listed yet" }
        let failing = failing.withLock { $0.sorted() }
        return failing.isEmpty ? nil : "the watch of the \(failing.joined(separator: " and of the ")) fails"
    }
}
