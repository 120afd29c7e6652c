import IPAMAPI
package import IPAMEngine
import JSONText
package import KubernetesClient
package import KubernetesCore
package import KubernetesRuntime
import Synchronization

/// The controller does not lead, or will not for long enough: nothing was written.
package struct NotLeading: Error, CustomStringConvertible {
    package var description: String { "this replica does not lead" }
}

/// The right to write, which every write asks for. It is open during a term of leadership.
package final class LeaderGate: Sendable {
    private let leadership = Mutex<Leadership?>(nil)

    package init() {}

    package func open(_ leadership: Leadership) { self.leadership.withLock { $0 = leadership } }
    package func close() { leadership.withLock { $0 = nil } }

    package var isOpen: Bool { leadership.withLock { $0?.isHeld ?? false } }

    /// Between `open` and `close`, also when the right to write has run out meanwhile.
    package var isInTerm: Bool { leadership.withLock { $0 != nil } }

    /// Until when a request may last that begins now.
    package func deadline(now: Moment, within timeout: Duration) throws(NotLeading) -> Moment {
        let held = leadership.withLock { $0.flatMap { $0.isHeld ? $0.deadline : nil } }
        guard let held, held > now else { throw NotLeading() }
        return min(held, now + timeout)
    }
}

/// How a conditional write ended.
package enum WriteOutcome: Hashable, Sendable {
    case done
    /// The object is in another state than the one that was judged, or gone. The stores will tell.
    case overtaken
}

/// The controller's writes: each on condition of the state that was judged.
package struct LedgerWriter: Sendable {
    let client: AsyncClient
    private let gate: LeaderGate
    private let timeout: Duration
    /// RFC 3339, for people.
    private let wallTime: @Sendable () -> String

    package init(
        _ client: AsyncClient, gate: LeaderGate, timeout: Duration, wallTime: @escaping @Sendable () -> String
    ) {
        self.client = client
        self.gate = gate
        self.timeout = timeout
        self.wallTime = wallTime
    }

    package var timestamp: String { wallTime() }

    package func deadline() throws(NotLeading) -> Moment {
        try gate.deadline(now: client.clock.now(), within: timeout)
    }

    /// Takes the address from its holder: into cooldown, back to its claim, or at once where there is no cooldown.
    package func release(_ object: StoredObject<AllocationRecord>) async throws -> WriteOutcome {
        let record = object.value
        if !record.isClaimed, record.cooldownSeconds == 0 { return try await delete(object) }
        var patch = IPAllocation.releasePatch(
            at: timestamp, to: record.isClaimed ? .held : .cooling, uid: object.uid,
            resourceVersion: object.resourceVersion)
        patch["metadata"]?["annotations"] = [AnnotationKey.reclaim: .null, AnnotationKey.fencedNodeUID: .null]
        return try await self.patch(object, patch)
    }

    /// Takes a kept address from its claim: into cooldown, or at once where there is none.
    package func abandon(_ object: StoredObject<AllocationRecord>) async throws -> WriteOutcome {
        if object.value.cooldownSeconds == 0 { return try await delete(object) }
        return try await patch(
            object, IPAllocation.abandonPatch(uid: object.uid, resourceVersion: object.resourceVersion))
    }

    /// Keeps an address for a claim before anybody uses it.
    ///
    /// - Returns: `.overtaken` where the allocation exists, whoever has it.
    func hold(_ spec: IPAllocation.Spec) async throws -> WriteOutcome {
        let deadline = try deadline()
        do throws(APIError) {
            _ = try await client.create(
                .ipAllocations, name: spec.objectName, object: spec.newObject(), deadline: deadline)
            return .done
        } catch {
            if error.isAlreadyExists { return .overtaken }
            throw error
        }
    }

    /// Keeps an address in another pool of its network.
    func move(_ object: StoredObject<AllocationRecord>, to pool: ValidatedPool) async throws -> WriteOutcome {
        try await patch(
            object,
            [
                "metadata": ["labels": [LabelKey.pool: .string(LabelValue.fitting(pool.name))]],
                "spec": [
                    "pool": .string(pool.name), "poolUID": .string(pool.uid),
                    "cooldownSeconds": .int(Int64(pool.cooldownSeconds)),
                ],
            ])
    }

    package func delete(_ object: StoredObject<AllocationRecord>) async throws -> WriteOutcome {
        try await delete(.ipAllocations, object.metadata(object.value.name))
    }

    package func fence(_ object: StoredObject<AllocationRecord>, nodeUID: String) async throws -> WriteOutcome {
        try await setState(.fenced, object, annotation: .string(nodeUID))
    }

    package func unfence(_ object: StoredObject<AllocationRecord>) async throws -> WriteOutcome {
        try await setState(.bound, object, annotation: .null)
    }

    private func setState(
        _ state: AllocationState, _ object: StoredObject<AllocationRecord>, annotation: JSON
    ) async throws -> WriteOutcome {
        try await patch(
            object,
            [
                "metadata": [
                    "labels": [LabelKey.state: .string(state.rawValue)],
                    "annotations": [AnnotationKey.fencedNodeUID: annotation],
                ],
                "spec": ["state": .string(state.rawValue)],
            ])
    }

    /// - Parameter reason: Nil takes the mark away.
    package func mark(
        _ object: StoredObject<AllocationRecord>, _ reason: ReclaimReason?
    ) async throws -> WriteOutcome {
        let value: JSON = if let reason { .string(reason.rawValue) } else { .null }
        return try await patch(object, ["metadata": ["annotations": [AnnotationKey.reclaim: value]]])
    }

    private func patch(_ object: StoredObject<AllocationRecord>, _ patch: JSON) async throws -> WriteOutcome {
        try await self.patch(.ipAllocations, object.metadata(object.value.name), patch)
    }

    // MARK: Objects of any kind

    /// A merge patch.
    ///
    /// - Parameter judged: Name, UID and version of the object that was judged.
    func patch(
        _ type: ResourceType, namespace: String? = nil, _ judged: ObjectMetadata, _ patch: JSON,
        subresource: String? = nil
    ) async throws -> WriteOutcome {
        let deadline = try deadline()
        return try await outcome { () throws(APIError) in
            try await client.patch(
                type, namespace: namespace, name: judged.name, patch: Patch.merge(patch).conditional(on: judged),
                subresource: subresource, deadline: deadline)
        }
    }

    /// - Parameter judged: As in `patch`.
    func delete(
        _ type: ResourceType, namespace: String? = nil, _ judged: ObjectMetadata
    ) async throws -> WriteOutcome {
        let deadline = try deadline()
        return try await outcome { () throws(APIError) in
            try await client.delete(
                type, namespace: namespace, name: judged.name,
                preconditions: Preconditions(uid: judged.uid, resourceVersion: judged.resourceVersion),
                deadline: deadline)
        }
    }

    private func outcome(_ write: () async throws(APIError) -> JSON) async throws -> WriteOutcome {
        do throws(APIError) {
            _ = try await write()
            return .done
        } catch {
            if error.isConflict || error.isNotFound || error.namesAnotherObject { return .overtaken }
            throw error
        }
    }
}

extension StoredObject {
    /// What a write that is conditional on this version of the object must name.
    func metadata(_ name: String) -> ObjectMetadata {
        ObjectMetadata(name: name, uid: uid, resourceVersion: resourceVersion)
    }
}
