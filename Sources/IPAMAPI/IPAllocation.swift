package import IPAddressing
package import JSONText
package import KubernetesCore

/// Where an address is in its life.
package enum AllocationState: String, Hashable, Sendable, CaseIterable {
    /// An attachment holds it.
    case bound = "Bound"
    /// Released; not handed out again before the cooldown is over, unless nothing else is free.
    case cooling = "Cooling"
    /// Kept for a claim, while no attachment holds it.
    case held = "Held"
    /// Its node does not report, and may still use it.
    case fenced = "Fenced"
}

/// For whom an address was allocated, which decides who may free it.
package enum AllocationOrigin: String, Hashable, Sendable, CaseIterable {
    case pod = "Pod"
    /// A static pod, which runs without the API server.
    case `static` = "Static"
    /// A container that is no pod of this cluster.
    case container = "Container"
    /// Entered by hand; never reclaimed.
    case manual = "Manual"
}

/// One address and who holds it. The name of the object is the address, so no address can be given twice.
package struct IPAllocation: Hashable, Sendable {
    package let metadata: ObjectMetadata
    package let spec: Spec
    /// As it was read, so that a write keeps the fields of newer versions.
    package let json: JSON

    /// - Throws: Also when the name of the object is not that of the address in its spec.
    package init(_ json: JSON) throws(JSONDecodingError) {
        let fields = try JSONFields(json)
        metadata = try ObjectMetadata(fields)
        let specFields = try fields.requiredFields("spec")
        spec = try Spec(specFields)
        guard metadata.name == spec.objectName else {
            throw specFields.error(
                "address",
                "\"\(spec.address)\" in network \"\(spec.network)\" is not what the object's name"
                    + " \"\(metadata.name)\" stands for")
        }
        self.json = json
    }
}

extension IPAllocation {
    package struct Spec: Hashable, Sendable {
        package var state: AllocationState
        package var origin: AllocationOrigin
        package var pool: String
        package var poolUID: String
        package var address: IPAddress
        /// The isolation domain; empty for the default one.
        package var network: String
        package var node: String
        package var machineID: String
        /// The holder; nil while there is none.
        package var attachment: Attachment?
        /// The holder's pod, or the last one's.
        package var pod: PodReference?
        package var claim: ClaimReference?
        package var cooldownSeconds: Int
        /// RFC 3339, like ``releasedAt``. For people: no decision compares another machine's clock.
        package var claimedAt: String?
        package var releasedAt: String?

        package init(
            state: AllocationState, origin: AllocationOrigin, pool: String, poolUID: String, address: IPAddress,
            network: String, node: String, machineID: String, attachment: Attachment?, pod: PodReference?,
            claim: ClaimReference?, cooldownSeconds: Int, claimedAt: String?, releasedAt: String?
        ) {
            self.state = state
            self.origin = origin
            self.pool = pool
            self.poolUID = poolUID
            self.address = address
            self.network = network
            self.node = node
            self.machineID = machineID
            self.attachment = attachment
            self.pod = pod
            self.claim = claim
            self.cooldownSeconds = cooldownSeconds
            self.claimedAt = claimedAt
            self.releasedAt = releasedAt
        }

        /// The name of the object: the address, after the network and a dot where there is one.
        package var objectName: String {
            network.isEmpty ? address.objectName : "\(network).\(address.objectName)"
        }
    }
}

extension IPAllocation.Spec {
    init(_ fields: JSONFields) throws(JSONDecodingError) {
        state = try fields.requiredChoice("state")
        origin = try fields.requiredChoice("origin")
        pool = try fields.requiredString("pool")
        poolUID = try fields.string("poolUID") ?? ""
        let address = try fields.requiredString("address")
        do {
            self.address = try IPAddress(parsing: address)
        } catch {
            throw fields.error("address", error.description)
        }
        network = try fields.string("network") ?? ""
        node = try fields.string("node") ?? ""
        machineID = try fields.string("machineID") ?? ""
        attachment = try fields.fields("attachment").map { fields throws(JSONDecodingError) in
            try Attachment(fields)
        }
        pod = try fields.fields("pod").map { fields throws(JSONDecodingError) in try PodReference(fields) }
        claim = try fields.fields("claim").map { fields throws(JSONDecodingError) in try ClaimReference(fields) }
        cooldownSeconds = try fields.int("cooldownSeconds") ?? IPPool.Spec.defaultCooldownSeconds
        claimedAt = try fields.string("claimedAt")
        releasedAt = try fields.string("releasedAt")
    }

    /// Every member that ``json`` may have.
    static let memberNames = [
        "state", "origin", "pool", "poolUID", "address", "network", "node", "machineID", "attachment", "pod", "claim",
        "cooldownSeconds", "claimedAt", "releasedAt",
    ]

    /// The member `spec` of an object, without what is empty.
    package var json: JSON {
        var json: JSON = [
            "state": .string(state.rawValue), "origin": .string(origin.rawValue), "pool": .string(pool),
        ]
        if !poolUID.isEmpty { json["poolUID"] = .string(poolUID) }
        json["address"] = .string("\(address)")
        if !network.isEmpty { json["network"] = .string(network) }
        if !node.isEmpty { json["node"] = .string(node) }
        if !machineID.isEmpty { json["machineID"] = .string(machineID) }
        json["attachment"] = attachment?.json
        json["pod"] = pod?.json
        json["claim"] = claim?.json
        json["cooldownSeconds"] = .int(cooldownSeconds)
        json["claimedAt"] = claimedAt.map { .string($0) }
        json["releasedAt"] = releasedAt.map { .string($0) }
        return json
    }

    /// The labels that repeat the spec. Nil: there must be no such label.
    package var labels: [(key: String, value: String?)] {
        [
            (LabelKey.pool, LabelValue.fitting(pool)),
            (LabelKey.node, node.isEmpty ? nil : LabelValue.fitting(node)),
            (LabelKey.attachment, attachment?.digest),
            (LabelKey.state, state.rawValue),
            (LabelKey.network, network.isEmpty ? nil : LabelValue.fitting(network)),
            (LabelKey.claim, claim.map { LabelValue.fitting($0.uid) }),
        ]
    }
}
