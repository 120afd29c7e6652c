import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesCore
import Testing

@testable import IPAMConsole

/// An allocation of the pool `blue`, held by the pod `shop/web-0` on the node `n1`.
func entry(
    _ text: String, network: String = "", state: AllocationState = .bound, origin: AllocationOrigin = .pod,
    pool: String = "blue", poolUID: String? = nil, node: String = "n1", machineID: String = "m1",
    pod: PodReference? = .web0, container: String? = "c1", interface: String = "eth0",
    claim: ClaimReference? = nil, cooldown: Int = 10, mark: String? = nil, migratedFrom: PodName? = nil,
    labels: [String] = []
) throws -> LedgerEntry {
    let isHeld = state == .bound || state == .fenced
    let attachment = container.map {
        IPAMAPI.Attachment(networkName: "net", containerID: $0, interface: interface)
    }
    let holder = isHeld && origin != .manual ? attachment : nil
    let record = AllocationRecord(
        AllocationRecord.Fields(
            address: try IPAddress(parsing: text), network: network, state: state, origin: origin, pool: pool,
            poolUID: poolUID ?? "uid-\(pool)", node: node, machineID: machineID, pod: pod,
            attachmentDigest: holder?.digest, claim: claim, cooldownSeconds: cooldown, reclaimMark: mark,
            migratedFrom: migratedFrom))
    return LedgerEntry(
        record, uid: "uid-\(record.name)", resourceVersion: "7", attachment: holder, claim: claim,
        claimedAt: "2026-01-02T03:00:00Z", releasedAt: state == .cooling ? "2026-01-02T03:04:00Z" : nil,
        labelProblems: labels)
}

/// 2026-01-02T03:04:05Z
let wallClock: Int64 = Timestamp.parse("2026-01-02T03:04:05Z") ?? 0

extension PodReference {
    static let web0 = PodReference(namespace: "shop", name: "web-0", uid: "pod-uid")
}

extension PodKey {
    static let web0 = PodKey(namespace: "shop", name: "web-0")
}

extension Moment {
    static func seconds(_ seconds: Int64) -> Moment { Moment(nanoseconds: seconds * 1_000_000_000) }
}

extension NodeFact {
    static let ready = NodeFact.present(uid: "n1-uid", machineID: "m1", isReady: true, isOutOfService: false)
    static let notReady = NodeFact.present(uid: "n1-uid", machineID: "m1", isReady: false, isOutOfService: false)
}

/// A pod with the UID of `PodReference.web0`.
func pod(
    _ addresses: [String] = [], key: PodKey = .web0, fact: PodFact = .present(uid: "pod-uid"), node: String = "n1",
    hostNetwork: Bool = false, interfaces: [String: [String]] = [:], machine: VirtualMachinePod? = nil
) throws -> PodEntry {
    PodEntry(
        key, fact, node: node, usesHostNetwork: hostNetwork,
        addresses: try addresses.map { try IPAddress(parsing: $0) },
        interfaces: try interfaces.mapValues { try $0.map { try IPAddress(parsing: $0) } }, machine: machine)
}

func pool(
    _ name: String = "blue", _ spec: IPPool.Spec = IPPool.Spec(subnet: "10.0.0.0/24"), uid: String? = nil,
    status: IPPool.Status? = nil, deleted: Bool = false
) -> PoolEntry {
    PoolEntry(
        IPPool(
            metadata: ObjectMetadata(
                name: name, uid: uid ?? "uid-\(name)", generation: 3,
                deletionTimestamp: deleted ? "2026-01-02T03:04:05Z" : nil),
            spec: spec, status: status))
}

func valid(_ entry: PoolEntry) throws -> ValidatedPool { try entry.validated.get() }

/// A cluster with the node `n1`, which is ready, and the pool `blue`, 10.0.0.0/24.
func picture(
    _ entries: [LedgerEntry] = [], unreadable: [UnreadableAllocation] = [], pods: [PodEntry] = [],
    pools: [PoolEntry] = [pool()], nodes: [String: NodeFact] = ["n1": .ready], agents: AgentRoster = AgentRoster(),
    claims: [ClaimEntry]? = nil, blocks: [BlockEntry]? = nil
) -> ClusterPicture {
    var ledger = LedgerView()
    ledger.entries = entries
    ledger.unreadable = unreadable
    return ClusterPicture(
        ledger, pools: pools, pods: pods, nodes: nodes.map { (name: $0.key, fact: $0.value) }, agents: agents,
        claims: claims, blocks: blocks)
}

/// Never random.
struct FixedGenerator: RandomNumberGenerator {
    var state: UInt64 = 1

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state
    }
}

func named(_ names: [String]) throws -> PoolDemand { .named(try names.map { try NamePattern(parsing: $0) }) }
