package import JSONText
package import KubernetesCore

/// An identity that keeps its addresses while no pod uses them: one interface of one pod at a time.
///
/// Which addresses are kept for it, `spec.claim` of the allocations says, by the claim's UID. ``Status/holder`` decides
/// who may take them: it is written on condition of the `resourceVersion` that was read. It is in the status, so that
/// whoever binds a claim needs no right to write what its owner asks for.
package struct IPClaim: Hashable, Sendable {
    package var metadata: ObjectMetadata
    package var spec: Spec
    package var status: Status

    package init(metadata: ObjectMetadata, spec: Spec, status: Status = Status()) {
        self.metadata = metadata
        self.spec = spec
        self.status = status
    }

    package init(_ json: JSON) throws(JSONDecodingError) {
        let fields = try JSONFields(json)
        metadata = try ObjectMetadata(fields)
        spec = try Spec(try fields.requiredFields("spec"))
        status = try fields.fields("status").map { fields throws(JSONDecodingError) in try Status(fields) } ?? Status()
    }

    package var namespace: String { metadata.namespace ?? "" }
    /// What it is called in messages.
    package var subject: String { reference.subject }

    /// The object with what a conditional write is decided by.
    package var versionObject: JSON {
        var pin: JSON = [
            "name": .string(metadata.name), "namespace": .string(namespace), "uid": .string(metadata.uid),
            "resourceVersion": .string(metadata.resourceVersion),
        ]
        pin["deletionTimestamp"] = metadata.deletionTimestamp.map { .string($0) }
        return ["metadata": pin, "spec": spec.json, "status": status.json]
    }

    package var reference: ClaimReference {
        ClaimReference(namespace: namespace, name: metadata.name, uid: metadata.uid)
    }

    /// The plugin made it for a pod that asked for none.
    package var isAutomatic: Bool { metadata.labels[LabelKey.automatic] == "true" }
}

/// When the addresses of a claim become free.
package enum RetentionPolicy: String, Hashable, Sendable, CaseIterable {
    /// With the claim, which goes with its owner: a StatefulSet that is deleted, or scaled below the pod's ordinal.
    case untilOwnerDeleted = "UntilOwnerDeleted"
    /// With the claim.
    case untilClaimDeleted = "UntilClaimDeleted"
    /// When nobody has used them for some time.
    case period = "For"
}

extension IPClaim {
    package struct Retention: Hashable, Sendable {
        package var policy: RetentionPolicy
        /// Written as a duration, `for`; of ``RetentionPolicy/period`` alone.
        package var seconds: Int?

        package init(_ policy: RetentionPolicy = .untilClaimDeleted, seconds: Int? = nil) {
            self.policy = policy
            self.seconds = seconds
        }
    }

    package struct Spec: Hashable, Sendable {
        /// Addresses that the claim wants, and that are kept for it from when it is made.
        package var addresses: [String]
        /// The pools that its addresses may come from; empty: whichever serve the pod.
        package var pools: [String]
        /// The reserved addresses that its pods may be given, see ``IPReservation``; empty for none.
        package var purpose: String
        package var retention: Retention
        /// The interface, the network and the pod that it is for; empty: whichever name it.
        package var interface: String
        package var networkName: String
        package var pod: String

        package init(
            addresses: [String] = [], pools: [String] = [], purpose: String = "", retention: Retention = Retention(),
            interface: String = "", networkName: String = "", pod: String = ""
        ) {
            self.addresses = addresses
            self.pools = pools
            self.purpose = purpose
            self.retention = retention
            self.interface = interface
            self.networkName = networkName
            self.pod = pod
        }
    }

    /// Who may take the claim's addresses: a pod of the claim's namespace, and one interface of one sandbox of it.
    package struct Holder: Hashable, Sendable {
        package var pod: String
        package var podUID: String
        package var interface: String
        /// ``Attachment/digest``
        package var attachment: String
        package var node: String
        package var machineID: String
        /// The pod that a virtual machine migrates from, or migrated from last: until it is gone, its guest may run there.
        package var migratedFrom: PodName?

        package init(
            pod: String, podUID: String, interface: String, attachment: String, node: String, machineID: String,
            migratedFrom: PodName? = nil
        ) {
            self.pod = pod
            self.podUID = podUID
            self.interface = interface
            self.attachment = attachment
            self.node = node
            self.machineID = machineID
            self.migratedFrom = migratedFrom
        }

        package var podName: PodName { PodName(pod: pod, podUID: podUID) }
    }

    package struct Status: Hashable, Sendable {
        /// A rule: nobody else takes the claim's addresses.
        package var holder: Holder?
        /// A hint: what is kept for the claim.
        package var addresses: [String]
        package var observedGeneration: Int
        package var conditions: [Condition]

        package init(
            holder: Holder? = nil, addresses: [String] = [], observedGeneration: Int = 0, conditions: [Condition] = []
        ) {
            self.holder = holder
            self.addresses = addresses
            self.observedGeneration = observedGeneration
            self.conditions = conditions
        }
    }
}

extension IPClaim.Retention {
    init(_ fields: JSONFields) throws(JSONDecodingError) {
        policy = try fields.choice("policy") ?? .untilClaimDeleted
        if let text = try fields.string("for") {
            guard let seconds = DurationText.seconds(text) else {
                throw fields.error("for", "\(text.debugDescription) is not a duration such as 2h or 30m")
            }
            self.seconds = seconds
        }
    }

    var json: JSON {
        var json: JSON = ["policy": .string(policy.rawValue)]
        json["for"] = seconds.map { .string(DurationText.text(seconds: $0)) }
        return json
    }
}

extension IPClaim.Spec {
    init(_ fields: JSONFields) throws(JSONDecodingError) {
        addresses = try fields.strings("addresses") ?? []
        pools = try fields.strings("pools") ?? []
        purpose = try fields.string("purpose") ?? ""
        retention =
            try fields.fields("retention").map { fields throws(JSONDecodingError) in try IPClaim.Retention(fields) }
            ?? IPClaim.Retention()
        interface = try fields.string("interface") ?? ""
        networkName = try fields.string("networkName") ?? ""
        pod = try fields.string("pod") ?? ""
    }

    /// The member `spec` of an object, without what is empty.
    package var json: JSON {
        var json: JSON = [:]
        if !addresses.isEmpty { json["addresses"] = .strings(addresses) }
        if !pools.isEmpty { json["pools"] = .strings(pools) }
        if !purpose.isEmpty { json["purpose"] = .string(purpose) }
        json["retention"] = retention.json
        if !interface.isEmpty { json["interface"] = .string(interface) }
        if !networkName.isEmpty { json["networkName"] = .string(networkName) }
        if !pod.isEmpty { json["pod"] = .string(pod) }
        return json
    }
}

extension IPClaim.Holder {
    init(_ fields: JSONFields) throws(JSONDecodingError) {
        pod = try fields.requiredString("pod")
        podUID = try fields.requiredString("podUID")
        interface = try fields.requiredString("interface")
        attachment = try fields.requiredString("attachment")
        node = try fields.requiredString("node")
        machineID = try fields.requiredString("machineID")
        migratedFrom = try fields.fields("migratedFrom").map { fields throws(JSONDecodingError) in
            try PodName(fields)
        }
    }

    package var json: JSON {
        var json: JSON = [
            "pod": .string(pod), "podUID": .string(podUID), "interface": .string(interface),
            "attachment": .string(attachment), "node": .string(node), "machineID": .string(machineID),
        ]
        json["migratedFrom"] = migratedFrom?.json
        return json
    }

    /// What makes it the holder in the place of another one, as the member `holder` of a merge patch.
    package func replacing(_ earlier: IPClaim.Holder?) -> JSON {
        var json = json
        if migratedFrom == nil, earlier?.migratedFrom != nil { json["migratedFrom"] = .null }
        return json
    }
}

extension IPClaim.Status {
    init(_ fields: JSONFields) throws(JSONDecodingError) {
        holder = try fields.fields("holder").map { fields throws(JSONDecodingError) in try IPClaim.Holder(fields) }
        addresses = try fields.strings("addresses") ?? []
        observedGeneration = try fields.int("observedGeneration") ?? 0
        conditions = []
        for condition in try fields.list("conditions") ?? [] { conditions.append(try Condition(condition)) }
    }

    /// The member `status` of an object.
    package var json: JSON {
        var json: JSON = [:]
        json["holder"] = holder?.json
        if !addresses.isEmpty { json["addresses"] = .strings(addresses) }
        if observedGeneration != 0 { json["observedGeneration"] = .int(observedGeneration) }
        if !conditions.isEmpty { json["conditions"] = .array(conditions.map(\.json)) }
        return json
    }
}
