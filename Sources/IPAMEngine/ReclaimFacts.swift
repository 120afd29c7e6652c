package import KubernetesCore

/// What is known of the pod that an allocation names, by its namespace and name.
package enum PodFact: Hashable, Sendable {
    case absent
    /// There is a pod of that name. `configHash`: the annotation of a mirror pod, which is the kubelet's own UID.
    case present(uid: String, configHash: String? = nil)
    /// There is one, in the phase Succeeded or Failed.
    case finished(uid: String, configHash: String? = nil)
}

/// What is known of the Node that an allocation names.
package enum NodeFact: Hashable, Sendable {
    case absent
    /// `machineID`: empty where it is not known. `isOutOfService`: it has the taint
    /// `node.kubernetes.io/out-of-service`, an administrator's word that the machine is off.
    case present(uid: String, machineID: String, isReady: Bool, isOutOfService: Bool)
}

/// What is known of the node agent on the allocation's node. An agent that is known to be on another machine than the
/// allocation names is ``silent``.
package enum AgentFact: Hashable, Sendable {
    /// There is no Lease of an agent.
    case none
    /// Its Lease is fresh.
    case reports
    /// Its Lease is stale.
    case silent
}

/// What is known of everything that decides whether an address may be freed. From stores it may lag.
package struct ReclaimFacts: Hashable, Sendable {
    package var pod: PodFact
    package var node: NodeFact
    package var agent: AgentFact
    /// The UID that the Node had when the allocation's machine was last seen under its name; nil where nobody knows.
    package var knownNodeUID: String?

    package init(pod: PodFact, node: NodeFact, agent: AgentFact = .none, knownNodeUID: String? = nil) {
        self.pod = pod
        self.node = node
        self.agent = agent
        self.knownNodeUID = knownNodeUID
    }
}

/// Why an address is to be freed. The raw values are reasons of events, labels of metrics and marks for the agent.
package enum ReclaimReason: String, Hashable, Sendable, CaseIterable {
    case podDeleted = "PodDeleted"
    /// Another pod has its name.
    case podReplaced = "PodReplaced"
    /// It is Succeeded or Failed.
    case podFinished = "PodFinished"
    /// The Node is gone, or another Node has its name.
    case nodeDeleted = "NodeDeleted"
    case nodeOutOfService = "NodeOutOfService"
    /// It has not reported for longer than the administrator allows.
    case nodeLost = "NodeLost"
}

package struct ReclaimSettings: Hashable, Sendable {
    /// How long the facts must speak for it, from when this controller first saw them, before an address is freed.
    package var gracePeriod: Duration
    /// After so long without a report the machine is taken for dead. Nil: never.
    package var nodeLostTimeout: Duration?

    package static let defaultGracePeriod: Duration = .seconds(30)

    package init(gracePeriod: Duration = defaultGracePeriod, nodeLostTimeout: Duration? = nil) {
        self.gracePeriod = gracePeriod
        self.nodeLostTimeout = nodeLostTimeout
    }
}

/// What the controller is to do about one allocation now.
package enum ReclaimAction: Hashable, Sendable {
    /// Nothing before the facts or the allocation change.
    case nothing
    /// Ask again at that moment, or when something changes before.
    case wait(until: Moment)
    /// Read the pod and the Node at the API server, and give what was read to
    /// ``ReclaimTracker/proved(_:_:settings:now:)``.
    case prove(ReclaimReason)
    /// Write the state Fenced and the annotation ``AnnotationKey/fencedNodeUID``.
    case fence(nodeUID: String)
    /// Write the state Bound, without that annotation: the pod is alive and its machine reports again.
    case unfence
    /// Write the annotation ``AnnotationKey/reclaim``: the agent frees the address when the sandbox is dead.
    case mark(ReclaimReason)
    /// Remove that annotation: the pod is alive.
    case unmark
    /// Free the address, on condition of the `resourceVersion` of the record that was judged.
    case release(ReclaimReason)
}
