package import JSONText
package import KubernetesCore

/// Ranges that no one is newly given, as they are written down. Whether they make sense is for ``ValidatedReservation``
/// to say.
package struct IPReservation: Hashable, Sendable {
    package var metadata: ObjectMetadata
    package var spec: Spec
    package var status: Status?

    package init(metadata: ObjectMetadata, spec: Spec, status: Status? = nil) {
        self.metadata = metadata
        self.spec = spec
        self.status = status
    }

    package init(_ json: JSON) throws(JSONDecodingError) {
        let fields = try JSONFields(json)
        metadata = try ObjectMetadata(fields)
        spec = try Spec(try fields.requiredFields("spec"))
        if let fields = try fields.fields("status") { status = try Status(fields) }
    }
}

extension IPReservation {
    package struct Spec: Hashable, Sendable {
        /// Of any family, in every form of `IPRange(parsing:in:)`.
        package var ranges: [String]
        /// Names of IPPools; empty for all of them.
        package var pools: [String]
        /// The isolation domain, empty for the default one; nil for all of them.
        package var network: String?
        /// For people.
        package var reason: String?
        /// Who names it may be given the addresses all the same.
        package var purpose: String?

        package init(
            ranges: [String], pools: [String] = [], network: String? = nil, reason: String? = nil,
            purpose: String? = nil
        ) {
            self.ranges = ranges
            self.pools = pools
            self.network = network
            self.reason = reason
            self.purpose = purpose
        }
    }

    /// What the controller says of a reservation.
    package struct Status: Hashable, Sendable {
        /// The most holders that are listed.
        package static let maximumHolders = 16

        /// The generation of the reservation that all of this is about; 0 for none.
        package var observedGeneration: Int
        /// How many addresses inside somebody holds.
        package var holderCount: Int?
        /// The lowest of them.
        package var holders: [Holder]
        package var conditions: [Condition]

        package init(
            observedGeneration: Int = 0, holderCount: Int? = nil, holders: [Holder] = [], conditions: [Condition] = []
        ) {
            self.observedGeneration = observedGeneration
            self.holderCount = holderCount
            self.holders = holders
            self.conditions = conditions
        }
    }

    /// Who holds an address inside of a reservation.
    package struct Holder: Hashable, Sendable {
        /// Of the IPAllocation.
        package var allocation: String
        package var pool: String
        /// `namespace/name`; nil for what is no pod.
        package var pod: String?
        package var node: String?

        package init(allocation: String, pool: String, pod: String? = nil, node: String? = nil) {
            self.allocation = allocation
            self.pool = pool
            self.pod = pod
            self.node = node
        }
    }
}

extension IPReservation.Spec {
    init(_ fields: JSONFields) throws(JSONDecodingError) {
        guard let ranges = try fields.strings("ranges") else { throw fields.error("ranges", "missing") }
        self.ranges = ranges
        pools = try fields.strings("pools") ?? []
        network = try fields.string("network")
        reason = try fields.string("reason")
        purpose = try fields.string("purpose")
    }

    /// The member `spec` of an object.
    package var json: JSON {
        var json: JSON = ["ranges": .strings(ranges)]
        if !pools.isEmpty { json["pools"] = .strings(pools) }
        json["network"] = network.map { .string($0) }
        json["reason"] = reason.map { .string($0) }
        json["purpose"] = purpose.map { .string($0) }
        return json
    }
}

extension IPReservation.Status {
    init(_ fields: JSONFields) throws(JSONDecodingError) {
        observedGeneration = try fields.int("observedGeneration") ?? 0
        holderCount = try fields.int("holderCount")
        holders = []
        for holder in try fields.list("holders") ?? [] { holders.append(try IPReservation.Holder(holder)) }
        conditions = []
        for condition in try fields.list("conditions") ?? [] { conditions.append(try Condition(condition)) }
    }

    /// The member `status` of an object.
    package var json: JSON {
        var json: JSON = [:]
        if observedGeneration != 0 { json["observedGeneration"] = .int(observedGeneration) }
        json["holderCount"] = holderCount.map { .int($0) }
        if !holders.isEmpty { json["holders"] = .array(holders.map(\.json)) }
        if !conditions.isEmpty { json["conditions"] = .array(conditions.map(\.json)) }
        return json
    }
}

extension IPReservation.Holder {
    init(_ fields: JSONFields) throws(JSONDecodingError) {
        allocation = try fields.requiredString("allocation")
        pool = try fields.requiredString("pool")
        pod = try fields.string("pod")
        node = try fields.string("node")
    }

    var json: JSON {
        var json: JSON = ["allocation": .string(allocation), "pool": .string(pool)]
        json["pod"] = pod.map { .string($0) }
        json["node"] = node.map { .string($0) }
        return json
    }
}
