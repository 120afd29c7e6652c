package import JSONText
package import KubernetesCore

/// How a claimant chooses among the free addresses of a pool.
package enum PoolStrategy: String, Hashable, Sendable, CaseIterable {
    /// At random, so that concurrent claimants rarely meet.
    case random = "Random"
    /// The lowest first, for dense or predictable addresses.
    case sequential = "Sequential"
}

/// Which pods keep their addresses without naming an IPClaim.
package enum PoolStickiness: String, Hashable, Sendable, CaseIterable {
    /// Those of StatefulSets.
    case statefulSets = "StatefulSets"
    /// Every pod, by its namespace and name.
    case pods = "Pods"
    case none = "None"
}

/// A pool as it is written down. Whether it makes sense is for ``ValidatedPool`` to say.
package struct IPPool: Hashable, Sendable {
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

    /// The object to create. Of the metadata it has the name, labels and annotations; the status is the server's.
    package func newObject() -> JSON {
        var metadata: JSON = ["name": .string(self.metadata.name)]
        for (name, map) in [("labels", self.metadata.labels), ("annotations", self.metadata.annotations)]
        where !map.isEmpty {
            var json: JSON = [:]
            for (key, value) in map.sorted(by: { $0.key < $1.key }) { json[key] = .string(value) }
            metadata[name] = json
        }
        return [
            "apiVersion": .string(BerthAPI.apiVersion), "kind": "IPPool", "metadata": metadata, "spec": spec.json,
        ]
    }
}

extension IPPool {
    package struct Spec: Hashable, Sendable {
        package static let defaultCooldownSeconds = 10

        /// The on-link prefix of the results, for example `10.19.120.0/22`.
        package var subnet: String
        /// Where to allocate; empty: every usable address of the subnet.
        package var ranges: [String]
        /// Where not to.
        package var exclude: [String]
        package var gateway: String?
        package var routes: [RouteSpec]
        /// The isolation domain; empty for the default one.
        package var network: String
        /// Written as a duration, `spec.cooldown`.
        package var cooldownSeconds: Int
        package var strategy: PoolStrategy
        package var stickiness: PoolStickiness
        package var disabled: Bool
        /// No new claims, until the last holder is gone and the pool can be removed.
        package var draining: Bool
        /// The most addresses that the pods of one namespace may have of the pool; nil for no limit.
        package var namespaceQuota: Int?
        /// Into which blocks the pool is sliced, if it is.
        package var nodeBlocks: NodeBlocks?
        /// Written as members of `spec` themselves.
        package var selection: Selection

        package init(
            subnet: String, ranges: [String] = [], exclude: [String] = [], gateway: String? = nil,
            routes: [RouteSpec] = [], network: String = "", cooldownSeconds: Int = defaultCooldownSeconds,
            strategy: PoolStrategy = .random, stickiness: PoolStickiness = .statefulSets, disabled: Bool = false,
            draining: Bool = false, namespaceQuota: Int? = nil, nodeBlocks: NodeBlocks? = nil,
            selection: Selection = Selection()
        ) {
            self.subnet = subnet
            self.ranges = ranges
            self.exclude = exclude
            self.gateway = gateway
            self.routes = routes
            self.network = network
            self.cooldownSeconds = cooldownSeconds
            self.strategy = strategy
            self.stickiness = stickiness
            self.disabled = disabled
            self.draining = draining
            self.namespaceQuota = namespaceQuota
            self.nodeBlocks = nodeBlocks
            self.selection = selection
        }
    }

    /// A route as it is written down.
    package struct RouteSpec: Hashable, Sendable {
        package var dst: String
        package var gw: String?
        package var mtu: Int?
        package var advmss: Int?
        package var priority: Int?
        package var table: Int?
        package var scope: Int?

        package init(
            dst: String, gw: String? = nil, mtu: Int? = nil, advmss: Int? = nil, priority: Int? = nil,
            table: Int? = nil, scope: Int? = nil
        ) {
            self.dst = dst
            self.gw = gw
            self.mtu = mtu
            self.advmss = advmss
            self.priority = priority
            self.table = table
            self.scope = scope
        }
    }
}

extension IPPool.Spec {
    init(_ fields: JSONFields) throws(JSONDecodingError) {
        subnet = try fields.requiredString("subnet")
        ranges = try fields.strings("ranges") ?? []
        exclude = try fields.strings("exclude") ?? []
        gateway = try fields.string("gateway")
        routes = []
        for route in try fields.list("routes") ?? [] { routes.append(try IPPool.RouteSpec(route)) }
        network = try fields.string("network") ?? ""
        cooldownSeconds = Self.defaultCooldownSeconds
        if let text = try fields.string("cooldown") {
            guard let seconds = DurationText.seconds(text) else {
                throw fields.error("cooldown", "\(text.debugDescription) is not a duration such as 10s, 1m30s or 0s")
            }
            cooldownSeconds = seconds
        }
        strategy = try fields.choice("strategy") ?? .random
        stickiness = try fields.choice("stickiness") ?? .statefulSets
        disabled = try fields.bool("disabled") ?? false
        draining = try fields.bool("draining") ?? false
        namespaceQuota = try fields.int("namespaceQuota")
        nodeBlocks = try fields.fields("nodeBlocks").map { fields throws(JSONDecodingError) in try NodeBlocks(fields) }
        selection = try IPPool.Selection(fields)
    }

    /// The member `spec` of an object. What has its default value is written, what is empty is not.
    package var json: JSON {
        var json: JSON = ["subnet": .string(subnet)]
        if !ranges.isEmpty { json["ranges"] = .strings(ranges) }
        if !exclude.isEmpty { json["exclude"] = .strings(exclude) }
        if let gateway { json["gateway"] = .string(gateway) }
        if !routes.isEmpty { json["routes"] = .array(routes.map(\.json)) }
        if !network.isEmpty { json["network"] = .string(network) }
        json["cooldown"] = .string(DurationText.text(seconds: cooldownSeconds))
        json["strategy"] = .string(strategy.rawValue)
        json["stickiness"] = .string(stickiness.rawValue)
        json["disabled"] = .bool(disabled)
        if draining { json["draining"] = true }
        json["namespaceQuota"] = namespaceQuota.map { .int($0) }
        json["nodeBlocks"] = nodeBlocks?.json
        selection.add(to: &json)
        return json
    }
}

extension IPPool.RouteSpec {
    package init(_ fields: JSONFields) throws(JSONDecodingError) {
        dst = try fields.requiredString("dst")
        gw = try fields.string("gw")
        mtu = try fields.int("mtu")
        advmss = try fields.int("advmss")
        priority = try fields.int("priority")
        table = try fields.int("table")
        scope = try fields.int("scope")
    }

    var json: JSON {
        var json: JSON = ["dst": .string(dst)]
        json["gw"] = gw.map { .string($0) }
        json["mtu"] = mtu.map { .int($0) }
        json["advmss"] = advmss.map { .int($0) }
        json["priority"] = priority.map { .int($0) }
        json["table"] = table.map { .int($0) }
        json["scope"] = scope.map { .int($0) }
        return json
    }
}

extension JSONFields {
    /// One of the values that an enumeration lists.
    func choice<Choice>(_ name: String) throws(JSONDecodingError) -> Choice?
    where Choice: RawRepresentable<String> & CaseIterable {
        guard let text = try string(name) else { return nil }
        guard let choice = Choice(rawValue: text) else {
            let known = Choice.allCases.map(\.rawValue).joined(separator: ", ")
            throw error(name, "\(text.debugDescription) is none of \(known)")
        }
        return choice
    }

    func requiredChoice<Choice>(_ name: String) throws(JSONDecodingError) -> Choice
    where Choice: RawRepresentable<String> & CaseIterable {
        guard let choice: Choice = try choice(name) else { throw error(name, "missing") }
        return choice
    }
}
