package import IPAddressing
package import JSONText
package import KubernetesCore

/// Whether a node claims from its block.
package enum BlockState: String, Hashable, Sendable, CaseIterable {
    case active = "Active"
    /// It is empty and goes back to the pool, unless its node takes it back first.
    case releasing = "Releasing"
}

/// A part of a pool that is one node's, as it is written down. Whether it makes sense is for ``ValidatedBlock`` to say.
package struct IPBlock: Hashable, Sendable {
    package var metadata: ObjectMetadata
    package var spec: Spec

    package init(metadata: ObjectMetadata, spec: Spec) {
        self.metadata = metadata
        self.spec = spec
    }

    package init(_ json: JSON) throws(JSONDecodingError) {
        let fields = try JSONFields(json)
        metadata = try ObjectMetadata(fields)
        spec = try Spec(try fields.requiredFields("spec"))
    }

    package struct Spec: Hashable, Sendable {
        package var pool: String
        /// Empty: whichever pool has the name.
        package var poolUID: String
        package var cidr: String
        /// The isolation domain; empty for the default one.
        package var network: String
        package var node: String
        /// Empty in a block that somebody assigned by hand: it is any machine's of that name, and stays until somebody
        /// deletes it.
        package var machineID: String
        package var state: BlockState

        package init(
            pool: String, poolUID: String = "", cidr: String, network: String = "", node: String,
            machineID: String = "", state: BlockState = .active
        ) {
            self.pool = pool
            self.poolUID = poolUID
            self.cidr = cidr
            self.network = network
            self.node = node
            self.machineID = machineID
            self.state = state
        }
    }

    /// The name of the block of a CIDR, which is the lock on it.
    ///
    /// `10.0.1.0-24`, `fd00-1---64`, or `red.10.0.1.0-24` in the network `red`. The pool is no part of it: pools of one
    /// network may overlap, and of their blocks, too, each CIDR must be there once.
    package static func objectName(network: String, _ cidr: IPPrefix) -> String {
        var text = String("\(cidr)".map { $0 == ":" || $0 == "/" ? "-" : $0 })
        if text.hasPrefix("-") { text = "0" + text }
        return network.isEmpty ? text : "\(network).\(text)"
    }
}

extension IPBlock.Spec {
    init(_ fields: JSONFields) throws(JSONDecodingError) {
        pool = try fields.requiredString("pool")
        poolUID = try fields.string("poolUID") ?? ""
        cidr = try fields.requiredString("cidr")
        network = try fields.string("network") ?? ""
        node = try fields.requiredString("node")
        machineID = try fields.string("machineID") ?? ""
        state = try fields.choice("state") ?? .active
    }

    /// The member `spec` of an object.
    package var json: JSON {
        var json: JSON = ["pool": .string(pool), "cidr": .string(cidr), "node": .string(node)]
        if !poolUID.isEmpty { json["poolUID"] = .string(poolUID) }
        if !network.isEmpty { json["network"] = .string(network) }
        if !machineID.isEmpty { json["machineID"] = .string(machineID) }
        json["state"] = .string(state.rawValue)
        return json
    }

    /// What LISTs and the webhook select by.
    package var labels: [String: String] {
        var labels = [LabelKey.pool: LabelValue.fitting(pool), LabelKey.node: LabelValue.fitting(node)]
        if !machineID.isEmpty { labels[LabelKey.claimed] = "true" }
        return labels
    }
}

/// A block that makes sense.
package struct ValidatedBlock: Hashable, Sendable {
    package let metadata: ObjectMetadata
    package let spec: IPBlock.Spec
    package let cidr: IPPrefix

    package var name: String { metadata.name }

    package init(_ block: IPBlock) throws(PoolProblem) {
        metadata = block.metadata
        spec = block.spec
        cidr = try PoolText.prefix(block.spec.cidr, field: "spec.cidr")
        let name = IPBlock.objectName(network: spec.network, cidr)
        guard metadata.name == name else {
            throw PoolProblem(
                field: "metadata.name", message: "\"\(metadata.name)\" is not \"\(name)\", after its network and CIDR")
        }
    }

    /// A block that is about to be made.
    package init(
        _ cidr: IPPrefix, of pool: ValidatedPool, node: String, machineID: String, state: BlockState = .active
    ) {
        self.cidr = cidr
        metadata = ObjectMetadata(name: IPBlock.objectName(network: pool.network, cidr))
        spec = IPBlock.Spec(
            pool: pool.name, poolUID: pool.uid, cidr: "\(cidr)", network: pool.network, node: node,
            machineID: machineID, state: state)
    }

    /// The object to create.
    package func newObject() -> JSON {
        var labels: JSON = [:]
        for (key, value) in spec.labels.sorted(by: { $0.key < $1.key }) { labels[key] = .string(value) }
        return [
            "apiVersion": .string(BerthAPI.apiVersion), "kind": "IPBlock",
            "metadata": ["name": .string(name), "labels": labels], "spec": spec.json,
        ]
    }

    /// Whether it is a part of a pool.
    package func isPart(of pool: ValidatedPool) -> Bool {
        spec.pool == pool.name && (spec.poolUID.isEmpty || spec.poolUID == pool.uid) && spec.network == pool.network
            && cidr.family == pool.family && pool.subnet.contains(cidr)
    }

    /// Whether a node claims from it. Two machines of one name never act for each other.
    package func belongs(toNode node: String, machineID: String) -> Bool {
        spec.node == node && (spec.machineID.isEmpty || spec.machineID == machineID) && !metadata.isBeingDeleted
    }

    /// Whether both are of one network and share an address.
    package func overlaps(_ other: ValidatedBlock) -> Bool {
        spec.network == other.spec.network && cidr.family == other.cidr.family && cidr.overlaps(other.cidr)
    }

    /// `IPBlock "10.0.1.0-24" of node "n1"`
    package var reference: String { "IPBlock \"\(name)\" of node \"\(spec.node)\"" }
}
