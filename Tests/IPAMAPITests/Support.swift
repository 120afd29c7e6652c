import IPAMAPI
import IPAddressing
import JSONText
import KubernetesCore

/// Testing has an Attachment too.
typealias Attachment = IPAMAPI.Attachment

func ip(_ text: String) throws -> IPAddress { try IPAddress(parsing: text) }

func prefix(_ text: String) throws -> IPPrefix { try IPPrefix(parsing: text) }

func range(_ text: String) throws -> IPRange { try IPRange(parsing: text) }

func poolObject(name: String = "blue", _ spec: JSON, metadata: JSON = [:], status: JSON? = nil) -> JSON {
    var json: JSON = ["apiVersion": "ipam.berth.dev/v1alpha1", "kind": "IPPool", "metadata": metadata, "spec": spec]
    json["metadata"]?["name"] = .string(name)
    json["status"] = status
    return json
}

/// What is wrong with a pool, or nil.
func problem(with pool: IPPool) -> PoolProblem? {
    do {
        _ = try ValidatedPool(pool)
        return nil
    } catch {
        return error
    }
}

extension IPAllocation.Spec {
    /// Every field has a value that is not its default.
    static func full(_ address: String = "10.19.120.7", network: String = "red") throws -> Self {
        Self(
            state: .bound, origin: .static, pool: "blue", poolUID: "pool-uid", address: try ip(address),
            network: network, node: "n1", machineID: "machine",
            attachment: Attachment(networkName: "net", containerID: "c1", interface: "eth0"),
            pod: PodReference(namespace: "default", name: "web-0", uid: "pod-uid"),
            claim: ClaimReference(namespace: "default", name: "web", uid: "claim-uid"), cooldownSeconds: 30,
            claimedAt: "2025-11-20T10:00:00Z", releasedAt: "2025-11-20T11:00:00Z")
    }
}

extension LabelSelector {
    /// Every field has a value. Of the members of a map the schema knows none by name: see `schemaFields`.
    static let full = LabelSelector(
        matchLabels: ["key": "value"], matchExpressions: [Requirement("tier", .isIn, ["web"])])
}

extension IPClaim {
    /// Every field has a value that is not its default.
    static let full = IPClaim(
        metadata: ObjectMetadata(name: "web", namespace: "shop"),
        spec: Spec(
            addresses: ["10.19.120.7"], pools: ["blue"], purpose: "egress",
            retention: Retention(.period, seconds: 7200),
            interface: "eth0", networkName: "net", pod: "web-0"),
        status: Status(
            holder: Holder(
                pod: "web-0", podUID: "pod-uid", interface: "eth0", attachment: "digest", node: "n1", machineID: "m1",
                migratedFrom: PodName(pod: "web-1", podUID: "source-uid")),
            addresses: ["10.19.120.7"], observedGeneration: 4,
            conditions: [
                Condition(
                    type: "Ready", status: .true, reason: "Kept", message: "kept",
                    lastTransitionTime: "2025-11-20T10:00:00Z", observedGeneration: 4)
            ]))
}

extension IPPool {
    /// Every field has a value that is not its default.
    static let full = IPPool(
        metadata: ObjectMetadata(name: "blue"),
        spec: Spec(
            subnet: "10.19.120.0/22", ranges: ["10.19.120.10-10.19.123.250"], exclude: ["10.19.122.0/24"],
            gateway: "10.19.123.254",
            routes: [
                RouteSpec(
                    dst: "10.0.0.0/8", gw: "10.19.123.253", mtu: 1400, advmss: 1360, priority: 7, table: 100, scope: 253
                )
            ], network: "red", cooldownSeconds: 90, strategy: .sequential, stickiness: .pods, disabled: true,
            draining: true, namespaceQuota: 7,
            selection: Selection(
                isDefault: true, allowPodSelection: true, podSelector: .full, namespaceSelector: .full,
                nodeSelector: .full, namespaces: ["shop"], nodes: ["n[1-3]"], interfaces: ["net*"], networks: ["blue"],
                masters: ["eth1"], nodeSubnets: ["10.1.0.0/16"])),
        status: Status(
            capacity: 1000, allocated: 10, cooling: 3, held: 2, free: 985,
            occupancy: OccupancyWindow(first: "10.19.120.0", bitmap: [0xff, 0x03]), reserved: ["10.19.120.16/30"],
            reservedFor: [PurposeRanges(purpose: "dns", ranges: ["10.19.120.16"])],
            namespacesAtQuota: [NamespaceUse(namespace: "shop", used: 9)], reservedGeneration: 4,
            observedGeneration: 4,
            conditions: [
                Condition(
                    type: "Ready", status: .true, reason: "Valid", message: "serves",
                    lastTransitionTime: "2025-11-20T10:00:00Z", observedGeneration: 4)
            ]))
}

extension IPBlock {
    /// Every field has a value that is not its default.
    static let full = IPBlock(
        metadata: ObjectMetadata(name: "red.10.19.120.64-26"),
        spec: Spec(
            pool: "blue", poolUID: "pool-uid", cidr: "10.19.120.64/26", network: "red", node: "n1",
            machineID: "machine", state: .releasing))
}

extension IPReservation {
    /// Every field has a value that is not its default.
    static let full = IPReservation(
        metadata: ObjectMetadata(name: "gateways"),
        spec: Spec(
            ranges: ["10.19.120.1-9", "fd00::/120"], pools: ["blue"], network: "red", reason: "routers", purpose: "dns"),
        status: Status(
            observedGeneration: 4, holderCount: 1,
            holders: [Holder(allocation: "10.19.120.7", pool: "blue", pod: "default/web-0", node: "n1")],
            conditions: [
                Condition(
                    type: "Enforced", status: .true, reason: "Compiled", message: "in force",
                    lastTransitionTime: "2025-11-20T10:00:00Z", observedGeneration: 4)
            ]))
}
