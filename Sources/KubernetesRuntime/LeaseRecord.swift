package import JSONText
package import KubernetesCore

/// A coordination.k8s.io/v1 Lease, as far as an election needs it.
package struct LeaseRecord: Hashable, Sendable {
    package var uid: String
    package var resourceVersion: String
    /// Nil when nobody holds it.
    package var holder: String?
    /// For how long its holder wants to be believed after each renewal.
    package var duration: Duration
    /// How often the holder has changed.
    package var transitions: Int

    package init(uid: String, resourceVersion: String, holder: String?, duration: Duration, transitions: Int = 0) {
        self.uid = uid
        self.resourceVersion = resourceVersion
        self.holder = holder
        self.duration = duration
        self.transitions = transitions
    }

    package init(_ json: JSON) throws(JSONDecodingError) {
        let object = try JSONFields(json)
        let metadata = try object.requiredFields("metadata")
        uid = try metadata.requiredString("uid")
        resourceVersion = try metadata.requiredString("resourceVersion")
        let spec = try object.fields("spec")
        let name = try spec?.string("holderIdentity") ?? ""
        holder = name.isEmpty ? nil : name
        duration = .seconds(max(try spec?.int("leaseDurationSeconds") ?? 0, 0))
        transitions = try spec?.int("leaseTransitions") ?? 0
    }
}

/// What a candidate writes to the Lease. But for the creation, each names the state that it was decided on, so that it
/// fails when somebody else has written meanwhile.
package enum LeaseWrite: Hashable, Sendable {
    case create
    case take(LeaseRecord)
    case renew(LeaseRecord)
    case release(LeaseRecord)

    /// - Parameter wallTime: Microseconds since 1970, for people and for other implementations; Berth never reads it.
    package func request(
        namespace: String, name: String, identity: String, duration: Duration, wallTime: Int64
    ) -> APIRequest {
        let time = JSON.string(Timestamp.rfc3339(microsecondsSince1970: wallTime))
        // Zero is no valid duration; a lease that nobody holds is free whatever it says.
        let seconds = JSON.int(max(duration.components.seconds, 1))
        switch self {
        case .create:
            return .create(
                .leases, namespace: namespace, name: name,
                object: [
                    "apiVersion": .string(ResourceType.leases.apiVersion), "kind": .string(ResourceType.leases.kind),
                    "metadata": ["name": .string(name), "namespace": .string(namespace)],
                    "spec": [
                        "holderIdentity": .string(identity), "leaseDurationSeconds": seconds, "acquireTime": time,
                        "renewTime": time, "leaseTransitions": 0,
                    ],
                ])
        case .take(let record):
            return patch(
                record, namespace, name,
                [
                    "holderIdentity": .string(identity), "leaseDurationSeconds": seconds, "acquireTime": time,
                    "renewTime": time, "leaseTransitions": .int(record.transitions + 1),
                ])
        case .renew(let record):
            return patch(
                record, namespace, name,
                ["holderIdentity": .string(identity), "leaseDurationSeconds": seconds, "renewTime": time])
        case .release(let record):
            return patch(
                record, namespace, name, ["holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": time])
        }
    }

    /// A merge patch leaves what a newer version may have added.
    private func patch(_ record: LeaseRecord, _ namespace: String, _ name: String, _ spec: JSON) -> APIRequest {
        let metadata = ObjectMetadata(name: name, uid: record.uid, resourceVersion: record.resourceVersion)
        return .patch(
            .leases, namespace: namespace, name: name,
            patch: Patch.merge(["spec": spec]).conditional(on: metadata))
    }
}
