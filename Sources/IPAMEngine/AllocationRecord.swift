package import IPAMAPI
package import IPAddressing
package import JSONText
import KubernetesCore

/// What the controller keeps of an IPAllocation: a reference to a few hundred bytes, without the object's JSON.
@dynamicMemberLookup
package struct AllocationRecord: Hashable, Sendable {
    package struct Fields: Hashable, Sendable {
        package var address: IPAddress
        /// The isolation domain; empty for the default one.
        package var network: String
        package var state: AllocationState
        package var origin: AllocationOrigin
        package var pool: String
        /// Empty where it is not known.
        package var poolUID: String
        /// Empty where it is not known.
        package var node: String
        /// Empty where it is not known.
        package var machineID: String
        /// The holder's pod, or the last one's.
        package var pod: PodReference?
        /// ``Attachment/digest`` of the holder; nil while there is none.
        package var attachmentDigest: String?
        /// The IPClaim that keeps the address, also while no attachment holds it.
        package var claim: ClaimReference?
        package var cooldownSeconds: Int
        package var isBeingDeleted: Bool
        /// The value of ``AnnotationKey/reclaim``.
        package var reclaimMark: String?
        /// The value of ``AnnotationKey/fencedNodeUID``. Left over from an earlier holder unless the state is Fenced.
        package var fencedNodeUID: String?
        /// Of the holder, or the last one.
        package var migratedFrom: PodName?

        package init(
            address: IPAddress, network: String = "", state: AllocationState = .bound,
            origin: AllocationOrigin = .pod, pool: String, poolUID: String = "", node: String = "",
            machineID: String = "", pod: PodReference? = nil, attachmentDigest: String? = nil,
            claim: ClaimReference? = nil, cooldownSeconds: Int = IPPool.Spec.defaultCooldownSeconds,
            isBeingDeleted: Bool = false, reclaimMark: String? = nil, fencedNodeUID: String? = nil,
            migratedFrom: PodName? = nil
        ) {
            self.address = address
            self.network = network
            self.state = state
            self.origin = origin
            self.pool = pool
            self.poolUID = poolUID
            self.node = node
            self.machineID = machineID
            self.pod = pod
            self.attachmentDigest = attachmentDigest
            self.claim = claim
            self.cooldownSeconds = cooldownSeconds
            self.isBeingDeleted = isBeingDeleted
            self.reclaimMark = reclaimMark
            self.fencedNodeUID = fencedNodeUID
            self.migratedFrom = migratedFrom
        }
    }

    /// A store keeps its values in tables with room to spare, so the fields are beside the table.
    private final class Storage: Hashable, Sendable {
        let fields: Fields

        init(_ fields: Fields) { self.fields = fields }

        static func == (a: Storage, b: Storage) -> Bool { a === b || a.fields == b.fields }
        func hash(into hasher: inout Hasher) { hasher.combine(fields) }
    }

    private let storage: Storage

    package init(_ fields: Fields) { storage = Storage(fields) }

    package var fields: Fields { storage.fields }

    package subscript<Value>(dynamicMember member: KeyPath<Fields, Value>) -> Value { storage.fields[keyPath: member] }

    package var isClaimed: Bool { storage.fields.claim != nil }

    /// The name of the object.
    package var name: String {
        let fields = storage.fields
        return fields.network.isEmpty ? fields.address.objectName : "\(fields.network).\(fields.address.objectName)"
    }
}

extension AllocationRecord {
    /// Who holds the address and where, for messages, as ``IPAllocation/holderDescription`` says it.
    package var holderDescription: String {
        var parts = [self.state.rawValue.lowercased()]
        if let pod = self.pod { parts.append("pod \(pod.namespace)/\(pod.name) (UID \(pod.uid))") }
        if let claim = self.claim { parts.append("claim \(claim.namespace)/\(claim.name)") }
        if self.origin == .manual { parts.append("entered by hand") }
        if !self.node.isEmpty { parts.append("node \(self.node)") }
        return parts.joined(separator: ", ")
    }

    /// - Parameter strings: Where texts are kept that many allocations have in common.
    /// - Throws: For what is no IPAllocation, with the field and its problem, also when the name of the object is not
    ///   that of its address.
    package init(_ json: JSON, sharing strings: StringPool) throws(JSONDecodingError) {
        self.init(try IPAllocation(json), sharing: strings)
    }

    package init(_ allocation: IPAllocation, sharing strings: StringPool) {
        let (spec, metadata) = (allocation.spec, allocation.metadata)
        self.init(
            Fields(
                address: spec.address, network: strings.shared(spec.network), state: spec.state, origin: spec.origin,
                pool: strings.shared(spec.pool), poolUID: strings.shared(spec.poolUID),
                node: strings.shared(spec.node), machineID: strings.shared(spec.machineID),
                pod: spec.pod.map {
                    PodReference(namespace: strings.shared($0.namespace), name: $0.name, uid: $0.uid)
                },
                attachmentDigest: spec.attachment?.digest,
                claim: spec.claim.map {
                    ClaimReference(namespace: strings.shared($0.namespace), name: $0.name, uid: strings.shared($0.uid))
                },
                cooldownSeconds: spec.cooldownSeconds, isBeingDeleted: metadata.isBeingDeleted,
                reclaimMark: metadata.annotations[AnnotationKey.reclaim].map { strings.shared($0) },
                fencedNodeUID: metadata.annotations[AnnotationKey.fencedNodeUID].map { strings.shared($0) },
                migratedFrom: allocation.virtualMachine?.migratedFrom))
    }
}
