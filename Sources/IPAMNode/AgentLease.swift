import IPAMAPI
import IPAMOperation
package import JSONText
package import KubernetesClient
package import KubernetesCore
import Synchronization

/// Who an agent is, as its Lease has it.
package struct AgentIdentity: Hashable, Sendable {
    package var node: String
    package var machineID: String
    /// Of this process alone.
    package var holder: String
    package var namespace: String
    /// The agent's own pod; nil where it runs in none.
    package var pod: String?

    package init(node: String, machineID: String, holder: String, namespace: String, pod: String? = nil) {
        self.node = node
        self.machineID = machineID
        self.holder = holder
        self.namespace = namespace
        self.pod = pod
    }
}

/// The Lease by which the agent says that it reports: what is written, without I/O.
package enum AgentLeaseWrite {
    /// - Parameters:
    ///   - owner: The DaemonSet, with which the Lease shall go.
    ///   - time: RFC 3339 with microseconds, for people.
    package static func object(
        _ identity: AgentIdentity, owner: OwnerReference?, duration: Duration, time: String
    ) -> JSON {
        var object = patch(identity, owner: owner, duration: duration, time: time)
        object["apiVersion"] = .string(ResourceType.leases.apiVersion)
        object["kind"] = .string(ResourceType.leases.kind)
        object["metadata"]?["name"] = .string(identity.node)
        object["metadata"]?["namespace"] = .string(identity.namespace)
        object["spec"]?["acquireTime"] = .string(time)
        return object
    }

    /// A merge patch that renews it, whoever held it before.
    package static func patch(
        _ identity: AgentIdentity, owner: OwnerReference?, duration: Duration, time: String
    ) -> JSON {
        var labels: JSON = [:]
        for (key, value) in AgentMark.labels { labels[key] = .string(value) }
        var metadata: JSON = [
            "labels": labels,
            "annotations": [
                AgentMark.machineIDAnnotation: .string(identity.machineID),
                AgentMark.versionAnnotation: .string(ProductVersion.text),
            ],
        ]
        if let owner {
            metadata["ownerReferences"] = [
                [
                    "apiVersion": .string(owner.apiVersion), "kind": .string(owner.kind),
                    "name": .string(owner.name), "uid": .string(owner.uid),
                ]
            ]
        }
        return [
            "metadata": metadata,
            "spec": [
                "holderIdentity": .string(identity.holder),
                "leaseDurationSeconds": .int(max(duration.components.seconds, 1)), "renewTime": .string(time),
            ],
        ]
    }
}

/// What an agent tells of its Lease beside what its renewals throw.
package enum AgentLeaseReport: Equatable, Sendable {
    /// The Lease was written without its owner, for with it the API server refused.
    case ownerRefused(OwnerReference, APIError)
}

/// Keeps the agent's Lease, and knows by it whether another agent of the node is about.
///
/// Flow: reads the Lease and renews it, or makes it. The DaemonSet owns it, so that the API server removes it with that;
/// see ``LeaseOwner`` for when the agent's pod is asked which one that is.
///
/// Guarantees: it is renewed only when whoever calls says so: a controller that finds it fresh leaves the node's
/// addresses to the agent.
///
/// Assumptions: the agent may not delete Leases. The admission plugin OwnerReferencesPermissionEnforcement then refuses
/// what changes the owner of one (servers of today let a create pass); it is renewed without.
///
/// Caveats: two agents of one node, while one takes the other's place, renew it in turn; either of them reports.
///
/// Errors: those of the requests. A Lease of the node's name that is nobody's agent's is left alone.
package final class AgentLease: Sendable {
    package struct Foreign: Error, CustomStringConvertible {
        package let name: String
        package var description: String { "the Lease \"\(name)\" is not a node agent's; a node cannot have its name" }
    }

    /// How long another agent is remembered.
    private static let memory: Duration = .seconds(60)

    private struct State {
        var hasHeld = false
        var otherSeen: Moment?
        var owner = LeaseOwner()
    }

    private let client: AsyncClient
    private let identity: AgentIdentity
    private let duration: Duration
    private let wallTime: @Sendable () -> Int64
    private let report: @Sendable (AgentLeaseReport) -> Void
    private let state = Mutex(State())

    /// - Parameters:
    ///   - wallTime: Microseconds since 1970, for people.
    ///   - report: Is told what is no failure; each thing once.
    package init(
        _ client: AsyncClient, identity: AgentIdentity, duration: Duration,
        wallTime: @escaping @Sendable () -> Int64,
        report: @escaping @Sendable (AgentLeaseReport) -> Void = { _ in }
    ) {
        self.client = client
        self.identity = identity
        self.duration = duration
        self.wallTime = wallTime
        self.report = report
    }

    /// No other agent of the node has renewed the Lease lately, as far as this one knows.
    package var isAlone: Bool {
        let now = client.clock.now()
        return state.withLock { $0.otherSeen.map { now - $0 >= Self.memory } ?? true }
    }

    package func renew(deadline: Moment) async throws {
        let found = try await client.read(
            .leases, namespace: identity.namespace, name: identity.node, deadline: deadline)
        if let found {
            let mark = AgentMark(found)
            guard mark.isAgents else { throw Foreign(name: identity.node) }
            if mark.holder != identity.holder { sawOther() }
        }
        try await readOwner(found, deadline: deadline)
        let owner = state.withLock(\.owner)
        let isThere = found != nil
        let written = try await write(
            isThere ? owner.ofRenewal : owner.wanted, over: isThere, deadline: deadline)
        state.withLock { state in
            state.hasHeld = true
            state.owner.wrote(written)
        }
    }

    /// Before this agent has held it, it may be one's that has gone.
    private func sawOther() {
        let now = client.clock.now()
        state.withLock { state in
            if state.hasHeld { state.otherSeen = now }
        }
    }

    // MARK: Writing

    /// Writes the Lease with its owner, or without where that is refused.
    ///
    /// - Parameter isThere: It is renewed, and not made.
    /// - Returns: The Lease; nil where its being there is all that is known.
    private func write(
        _ owner: OwnerReference?, over isThere: Bool, deadline: Moment
    ) async throws(APIError) -> JSON? {
        func attempt(_ owner: OwnerReference?) async throws(APIError) -> JSON? {
            if isThere { return try await patch(owner, deadline: deadline) }
            return try await create(owner, deadline: deadline)
        }
        do throws(APIError) {
            return try await attempt(owner)
        } catch {
            guard let owner, error.isForbidden else { throw error }
            // Where this is refused too, it is not for the owner.
            let written = try await attempt(nil)
            if state.withLock({ $0.owner.refuse(owner) }) { report(.ownerRefused(owner, error)) }
            return written
        }
    }

    /// Returns the Lease; nil where there was one all the same, which the next renewal renews.
    private func create(_ owner: OwnerReference?, deadline: Moment) async throws(APIError) -> JSON? {
        do throws(APIError) {
            return try await client.create(
                .leases, namespace: identity.namespace, name: identity.node,
                object: AgentLeaseWrite.object(identity, owner: owner, duration: duration, time: time()),
                deadline: deadline)
        } catch {
            // Made by the other agent, or by this one when the answer was lost.
            guard error.isAlreadyExists else { throw error }
            return nil
        }
    }

    private func patch(_ owner: OwnerReference?, deadline: Moment) async throws(APIError) -> JSON {
        try await client.patch(
            .leases, namespace: identity.namespace, name: identity.node,
            patch: .merge(AgentLeaseWrite.patch(identity, owner: owner, duration: duration, time: time())),
            deadline: deadline)
    }

    private func time() -> String { Timestamp.rfc3339(microsecondsSince1970: wallTime()) }

    // MARK: The owner

    /// Finds out the DaemonSet of the agent's pod, where that has to be.
    private func readOwner(_ lease: JSON?, deadline: Moment) async throws {
        guard let pod = identity.pod else { return }
        let now = client.clock.now()
        guard state.withLock({ $0.owner.needsReading(lease, now: now) }) else { return }
        let json = try await client.read(.pods, namespace: identity.namespace, name: pod, deadline: deadline)
        let owner = try json.flatMap { try ObjectMetadata(JSONFields($0)).ownerReferences.first(where: \.isController) }
        state.withLock { $0.owner.read(owner, now: now) }
    }
}
