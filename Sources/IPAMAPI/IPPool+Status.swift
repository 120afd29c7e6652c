package import JSONText
import KubernetesCore

extension IPPool {
    /// What the controller says of a pool. Counts are hints; what is reserved is a rule.
    package struct Status: Hashable, Sendable {
        /// The number of usable addresses. Like ``free``, 2^63-1 stands for that many or more.
        package var capacity: Int?
        /// Allocations in the states Bound and Fenced.
        package var allocated: Int?
        package var cooling: Int?
        package var held: Int?
        package var free: Int?
        package var occupancy: OccupancyWindow?
        /// Ranges of the pool that reservations keep from being allocated, those for a purpose among them.
        package var reserved: [String]
        /// Those of them that who names a purpose may be given all the same.
        package var reservedFor: [PurposeRanges]
        /// Namespaces that use as much of the pool as `spec.namespaceQuota` allows, or more.
        package var namespacesAtQuota: [NamespaceUse]
        /// The generation of the pool for which the reservations were compiled into the two last; 0 for none.
        package var reservedGeneration: Int
        /// The generation of the pool that all of this is about; 0 for none.
        package var observedGeneration: Int
        package var conditions: [Condition]

        package init(
            capacity: Int? = nil, allocated: Int? = nil, cooling: Int? = nil, held: Int? = nil, free: Int? = nil,
            occupancy: OccupancyWindow? = nil, reserved: [String] = [], reservedFor: [PurposeRanges] = [],
            namespacesAtQuota: [NamespaceUse] = [],
            reservedGeneration: Int = 0, observedGeneration: Int = 0, conditions: [Condition] = []
        ) {
            self.capacity = capacity
            self.allocated = allocated
            self.cooling = cooling
            self.held = held
            self.free = free
            self.occupancy = occupancy
            self.reserved = reserved
            self.reservedFor = reservedFor
            self.namespacesAtQuota = namespacesAtQuota
            self.reservedGeneration = reservedGeneration
            self.observedGeneration = observedGeneration
            self.conditions = conditions
        }
    }

    /// What is reserved for one purpose.
    package struct PurposeRanges: Hashable, Sendable {
        package var purpose: String
        package var ranges: [String]

        package init(purpose: String, ranges: [String]) {
            self.purpose = purpose
            self.ranges = ranges
        }
    }

    /// How many addresses of a pool the pods of a namespace have.
    package struct NamespaceUse: Hashable, Sendable {
        package var namespace: String
        package var used: Int

        package init(namespace: String, used: Int) {
            self.namespace = namespace
            self.used = used
        }
    }

    /// ``Occupancy`` as it is written down.
    package struct OccupancyWindow: Hashable, Sendable {
        package var first: String
        /// Written in base 64.
        package var bitmap: [UInt8]

        package init(first: String, bitmap: [UInt8]) {
            self.first = first
            self.bitmap = bitmap
        }

        package init(_ occupancy: Occupancy) {
            self.init(first: "\(occupancy.first)", bitmap: occupancy.bitmap)
        }
    }
}

/// One aspect of an object's state (metav1.Condition).
package struct Condition: Hashable, Sendable {
    package enum Status: String, Hashable, Sendable, CaseIterable {
        case `true` = "True"
        case `false` = "False"
        case unknown = "Unknown"
    }

    package var type: String
    package var status: Status
    /// One word in CamelCase.
    package var reason: String
    package var message: String
    /// RFC 3339
    package var lastTransitionTime: String
    package var observedGeneration: Int?

    package init(
        type: String, status: Status, reason: String, message: String, lastTransitionTime: String,
        observedGeneration: Int? = nil
    ) {
        self.type = type
        self.status = status
        self.reason = reason
        self.message = message
        self.lastTransitionTime = lastTransitionTime
        self.observedGeneration = observedGeneration
    }
}

extension Condition {
    /// With the time of the condition that it follows, where that has the same status.
    package func keepingTime(of previous: [Condition]) -> Condition {
        var condition = self
        if let known = previous.first(where: { $0.type == type && $0.status == status }) {
            condition.lastTransitionTime = known.lastTransitionTime
        }
        return condition
    }
}

extension IPPool.Status {
    package init(_ fields: JSONFields) throws(JSONDecodingError) {
        capacity = try fields.int("capacity")
        allocated = try fields.count("allocated")
        cooling = try fields.count("cooling")
        held = try fields.count("held")
        free = try fields.int("free")
        occupancy = try fields.fields("occupancy").map { fields throws(JSONDecodingError) in
            try IPPool.OccupancyWindow(fields)
        }
        reserved = try fields.strings("reserved") ?? []
        reservedFor = []
        for ranges in try fields.list("reservedFor") ?? [] { reservedFor.append(try IPPool.PurposeRanges(ranges)) }
        namespacesAtQuota = []
        for use in try fields.list("namespacesAtQuota") ?? [] { namespacesAtQuota.append(try IPPool.NamespaceUse(use)) }
        reservedGeneration = try fields.int("reservedGeneration") ?? 0
        observedGeneration = try fields.int("observedGeneration") ?? 0
        conditions = []
        for condition in try fields.list("conditions") ?? [] { conditions.append(try Condition(condition)) }
    }

    /// The member `status` of an object.
    package var json: JSON {
        var json: JSON = [:]
        json["capacity"] = capacity.map { .int($0) }
        json["allocated"] = allocated.map { .int($0) }
        json["cooling"] = cooling.map { .int($0) }
        json["held"] = held.map { .int($0) }
        json["free"] = free.map { .int($0) }
        json["occupancy"] = occupancy?.json
        if !reserved.isEmpty { json["reserved"] = .strings(reserved) }
        if !reservedFor.isEmpty { json["reservedFor"] = .array(reservedFor.map(\.json)) }
        if !namespacesAtQuota.isEmpty { json["namespacesAtQuota"] = .array(namespacesAtQuota.map(\.json)) }
        if reservedGeneration != 0 { json["reservedGeneration"] = .int(reservedGeneration) }
        if observedGeneration != 0 { json["observedGeneration"] = .int(observedGeneration) }
        if !conditions.isEmpty { json["conditions"] = .array(conditions.map(\.json)) }
        return json
    }
}

extension IPPool.NamespaceUse {
    init(_ fields: JSONFields) throws(JSONDecodingError) {
        namespace = try fields.requiredString("namespace")
        used = try fields.requiredInt("used")
    }

    var json: JSON { ["namespace": .string(namespace), "used": .int(used)] }
}

extension IPPool.PurposeRanges {
    init(_ fields: JSONFields) throws(JSONDecodingError) {
        purpose = try fields.requiredString("purpose")
        guard let ranges = try fields.strings("ranges") else { throw fields.error("ranges", "missing") }
        self.ranges = ranges
    }

    var json: JSON { ["purpose": .string(purpose), "ranges": .strings(ranges)] }
}

extension IPPool.OccupancyWindow {
    init(_ fields: JSONFields) throws(JSONDecodingError) {
        first = try fields.requiredString("first")
        guard let bitmap = Base64.decode(try fields.requiredString("bitmap")) else {
            throw fields.error("bitmap", "not base 64")
        }
        self.bitmap = bitmap
    }

    var json: JSON { ["first": .string(first), "bitmap": .string(Base64.encode(bitmap))] }
}

extension Condition {
    init(_ fields: JSONFields) throws(JSONDecodingError) {
        type = try fields.requiredString("type")
        status = try fields.requiredChoice("status")
        reason = try fields.requiredString("reason")
        message = try fields.requiredString("message")
        lastTransitionTime = try fields.requiredString("lastTransitionTime")
        observedGeneration = try fields.int("observedGeneration")
    }

    package var json: JSON {
        var json: JSON = [
            "type": .string(type), "status": .string(status.rawValue), "reason": .string(reason),
            "message": .string(message), "lastTransitionTime": .string(lastTransitionTime),
        ]
        json["observedGeneration"] = observedGeneration.map { .int($0) }
        return json
    }
}

extension JSONFields {
    /// A number of objects: what nobody can have written of real ones is not counted with.
    fileprivate func count(_ name: String) throws(JSONDecodingError) -> Int? {
        try int(name).map { min(max($0, 0), 1 << 40) }
    }
}
