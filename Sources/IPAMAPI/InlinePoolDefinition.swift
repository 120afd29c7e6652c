package import IPAddressing
package import JSONText
import KubernetesCore

/// A range that a network configuration spells out, instead of naming a pool.
///
/// Its pool is named after everything that defines it. So the nodes that read the same configuration arrive at the same
/// pool, however it is spelled, and configurations that differ get pools of their own, which may overlap: the names of
/// the allocations keep them apart.
package struct InlinePoolDefinition: Hashable, Sendable {
    package let subnet: IPPrefix
    /// Nil: the whole subnet.
    package let range: IPRange?
    /// Ascending, disjoint, and within the subnet.
    package let exclude: [IPRange]
    package let gateway: IPAddress?
    /// The isolation domain; empty for the default one.
    package let network: String

    /// What of `exclude` is not in the subnet excludes nothing and is dropped.
    package init(
        subnet: IPPrefix, range: IPRange? = nil, exclude: [IPRange] = [], gateway: IPAddress? = nil,
        network: String = ""
    ) {
        self.subnet = subnet
        self.range = range == subnet.range ? nil : range
        self.exclude = IPSet(family: subnet.family, ranges: exclude).intersection(subnet.range).ranges
        self.gateway = gateway
        self.network = network
    }

    /// `inline-10.19.120.0-22-` or `inline-fd00-0000-…-0000-64-`, and ten hexadecimal digits of the SHA-256 of the
    /// whole definition. 61 bytes at most.
    package var poolName: String {
        let definition = [
            "\(subnet)", range.map { "\($0)" } ?? "", exclude.map { "\($0)" }.joined(separator: ","),
            gateway.map { "\($0)" } ?? "", network,
        ]
        return "inline-\(subnet.address.objectName)-\(subnet.length)-\(SHA256.hex(of: definition, digits: 10))"
    }

    /// The pool, as it would be read back. To validate it before it is created: `try ValidatedPool(definition.pool)`.
    package var pool: IPPool {
        IPPool(
            metadata: ObjectMetadata(name: poolName, labels: [LabelKey.inline: "true"]),
            spec: IPPool.Spec(
                subnet: "\(subnet)", ranges: range.map { ["\($0)"] } ?? [], exclude: exclude.map { "\($0)" },
                gateway: gateway.map { "\($0)" }, network: network))
    }

    /// The object to create.
    package func newObject() -> JSON { pool.newObject() }

    /// Whether a pool gives the addresses that are described here. Its other settings are the administrator's.
    package func matches(_ pool: IPPool) -> Bool {
        guard let found = try? ValidatedPool(pool), let wanted = try? ValidatedPool(self.pool) else { return false }
        return found.subnet == wanted.subnet && found.network == wanted.network && found.gateway == wanted.gateway
            && found.configured == wanted.configured
    }
}
