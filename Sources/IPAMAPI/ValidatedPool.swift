package import IPAddressing
import KubernetesCore

/// A pool that makes sense: addresses can be chosen and results made from it without another check.
///
/// What a reviewer must check when a rule changes: the schema in `config/crd` says the same as far as patterns and CEL
/// can, and the address of an allocation that exists stays valid.
package struct ValidatedPool: Hashable, Sendable {
    package let name: String
    package let uid: String
    package let generation: Int
    /// Made from a range in a network configuration.
    package let isInline: Bool
    /// The on-link prefix of the results; in a slice it may be that of a block.
    package internal(set) var subnet: IPPrefix
    /// What the spec allows to be allocated; never empty.
    package let configured: IPSet
    /// What a claim may be given: ``configured`` without what is reserved, or what is reserved for ``purpose``; may be
    /// empty.
    package internal(set) var usable: IPSet
    /// The purpose of the claim, where the pool has addresses that are reserved for it. Otherwise nil.
    package let purpose: String?
    package internal(set) var gateway: IPAddress?
    package let routes: [Route]
    /// The isolation domain; empty for the default one.
    package let network: String
    package let cooldownSeconds: Int
    package let strategy: PoolStrategy
    package let stickiness: PoolStickiness
    /// Takes no new claims.
    package let isDisabled: Bool
    /// Takes no new claims either: it is to become empty.
    package let isDraining: Bool
    package let selectors: PoolSelectors
    /// The most addresses that the pods of one namespace may have of the pool; nil for no limit.
    package let namespaceQuota: Int?
    package let isBeingDeleted: Bool
    /// Hints, of whichever generation.
    package let status: IPPool.Status?
    /// A hint. Nil when there is none for the pool's present generation.
    package internal(set) var occupancy: Occupancy?
    /// How the pool is sliced into blocks, if it is.
    package let nodeBlocks: NodeBlocks?
    /// What of a sliced pool this is; nil for a whole one.
    package internal(set) var slice: Slice?

    package var family: IPFamily { subnet.family }

    /// The longest cooldown, a day.
    package static let maximumCooldownSeconds = 86_400
    /// The longest name, for it is the value of a label.
    package static let maximumNameLength = LabelValue.maximumLength

    /// - Parameter purpose: What the claimant names, if anything.
    package init(_ pool: IPPool, purpose: String? = nil) throws(PoolProblem) {
        let spec = pool.spec
        name = pool.metadata.name
        uid = pool.metadata.uid
        generation = pool.metadata.generation
        isInline = pool.metadata.labels[LabelKey.inline] == "true"
        isBeingDeleted = pool.metadata.isBeingDeleted
        network = spec.network
        cooldownSeconds = spec.cooldownSeconds
        strategy = spec.strategy
        stickiness = spec.stickiness
        isDisabled = spec.disabled
        isDraining = spec.draining
        selectors = try PoolSelectors(spec.selection)
        namespaceQuota = spec.namespaceQuota
        if let quota = spec.namespaceQuota, quota < 1 {
            throw PoolProblem(
                field: "spec.namespaceQuota", message: "\(quota) would serve nobody; leave it out, or use spec.disabled"
            )
        }
        status = pool.status
        try Self.checkNames(pool)

        let subnet = try PoolText.prefix(spec.subnet, field: "spec.subnet")
        let ranges = try Self.ranges(spec.ranges, field: "spec.ranges", subnet: subnet)
        let exclude = try Self.ranges(spec.exclude, field: "spec.exclude", subnet: subnet)
        let reserved = try Self.ranges(pool.status?.reserved ?? [], field: "status.reserved", subnet: subnet)
        let reservedFor = try Self.ranges(of: pool.status?.reservedFor ?? [], for: purpose, subnet: subnet)
        self.subnet = subnet
        gateway = try spec.gateway.map { text throws(PoolProblem) in try Self.gateway(text, subnet: subnet) }
        var routes: [Route] = []
        for (index, route) in spec.routes.enumerated() {
            routes.append(try Route(route, field: "spec.routes[\(index)]", subnet: subnet))
        }
        self.routes = routes
        nodeBlocks = spec.nodeBlocks
        try nodeBlocks?.check(subnet: subnet, gateway: gateway, routes: routes)
        configured = usableAddresses(subnet: subnet, ranges: ranges, exclude: exclude, gateway: gateway)
        guard !configured.isEmpty else {
            throw PoolProblem(
                field: "spec",
                message: "no address of \"\(subnet)\" is usable: ranges, exclude, gateway, and the addresses that no"
                    + " host may have, leave none")
        }
        let own =
            reservedFor.isEmpty
            ? IPSet(family: subnet.family)
            : configured.intersection(IPSet(family: subnet.family, ranges: reservedFor))
        if own.isEmpty {
            self.purpose = nil
            usable =
                reserved.isEmpty ? configured : configured.subtracting(IPSet(family: subnet.family, ranges: reserved))
            occupancy = Self.occupancy(pool, subnet: subnet)
        } else {
            self.purpose = purpose
            usable = own
            // The hint shows what is reserved as taken.
            occupancy = nil
        }
    }

    private static func checkNames(_ pool: IPPool) throws(PoolProblem) {
        let (name, network, cooldown) = (pool.metadata.name, pool.spec.network, pool.spec.cooldownSeconds)
        guard name.utf8.count <= maximumNameLength else {
            throw PoolProblem(
                field: "metadata.name", message: "\"\(name)\" is longer than \(maximumNameLength) characters")
        }
        guard network.isEmpty || AllocationName.isValidNetworkName(network) else {
            throw PoolProblem(
                field: "spec.network",
                message: "\(network.debugDescription) is not a network: lower-case letters, digits and '-', a letter"
                    + " first, no '-' last, at most 63")
        }
        guard cooldown <= maximumCooldownSeconds else {
            throw PoolProblem(
                field: "spec.cooldown", message: "\"\(DurationText.text(seconds: cooldown))\" is longer than 24h")
        }
    }

    private static func ranges(
        _ texts: [String], field: String, subnet: IPPrefix
    ) throws(PoolProblem) -> [IPRange] {
        var ranges: [IPRange] = []
        for (index, text) in texts.enumerated() {
            ranges.append(try PoolText.range(text, field: "\(field)[\(index)]", subnet: subnet))
        }
        return ranges
    }

    private static func ranges(
        of reserved: [IPPool.PurposeRanges], for purpose: String?, subnet: IPPrefix
    ) throws(PoolProblem) -> [IPRange] {
        guard let purpose, let index = reserved.firstIndex(where: { $0.purpose == purpose }) else { return [] }
        return try ranges(reserved[index].ranges, field: "status.reservedFor[\(index)].ranges", subnet: subnet)
    }

    private static func gateway(_ text: String, subnet: IPPrefix) throws(PoolProblem) -> IPAddress {
        let field = "spec.gateway"
        let gateway = try PoolText.address(text, field: field)
        try PoolText.check(gateway.family, of: text, field: field, subnet: subnet)
        guard subnet.contains(gateway) else { throw PoolText.outside(text, field: field, subnet: subnet) }
        // In IPv6 a subnet has no broadcast address, and its routers do answer to its lowest one (RFC 4291 §2.6.1).
        if subnet.family == .v4, subnet.length < 31, gateway == subnet.first || gateway == subnet.last {
            let role = gateway == subnet.first ? "network" : "broadcast"
            throw PoolProblem(field: field, message: "\"\(text)\" is the \(role) address of the subnet \(subnet)")
        }
        return gateway
    }

    /// A hint that cannot be understood is as good as none.
    private static func occupancy(_ pool: IPPool, subnet: IPPrefix) -> Occupancy? {
        guard let status = pool.status, status.observedGeneration == pool.metadata.generation,
            let window = status.occupancy, let first = IPAddress(window.first), subnet.contains(first)
        else { return nil }
        return Occupancy(first: first, bitmap: window.bitmap)
    }
}
