import Glibc
import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesCore
import Synchronization
import Testing

@testable import IPAMLedger

/// A small generator with a seed (Steele, Lea and Flood 2014), so that a failing property can be run again.
struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &self) < percent }
}

func address(_ text: String) throws -> IPAddress { try IPAddress(parsing: text) }

/// Addresses with spaces between them.
func addresses(_ text: String) throws -> [IPAddress] {
    try text.split(separator: " ").map { try IPAddress(parsing: $0) }
}

/// So many seconds since boot.
func moment(_ seconds: Int) -> Moment { Moment(nanoseconds: 0) + .seconds(seconds) }

let attachment = Attachment(networkName: "net", containerID: "c1", interface: "eth0")
let otherAttachment = Attachment(networkName: "net", containerID: "c2", interface: "eth0")

let claimant = Claimant(
    attachment: attachment, origin: .pod, pod: PodReference(namespace: "shop", name: "web-0", uid: "p1"), node: "n1",
    machineID: "m1")

/// A pool of generation 3; `free` makes an occupancy hint of 16 addresses from the subnet's first one on. Of one at the
/// quota the claimant's namespace has all that it gives.
func pool(
    _ subnet: String, named name: String = "blue", ranges: [String] = [], exclude: [String] = [],
    gateway: String? = nil, network: String = "", cooldown: Int = 10, strategy: PoolStrategy = .random,
    disabled: Bool = false, free: String? = nil, isAtQuota: Bool = false
) throws -> ValidatedPool {
    var status = isAtQuota ? IPPool.Status(namespacesAtQuota: [.init(namespace: "shop", used: 1)]) : nil
    if let free {
        let first = try IPPrefix(parsing: subnet).first
        var occupancy = try #require(Occupancy(first: first, bitmap: [0xff, 0xff]))
        for address in try addresses(free) {
            occupancy.set(try #require(occupancy.index(of: address)), taken: false)
        }
        status = IPPool.Status(occupancy: IPPool.OccupancyWindow(occupancy), observedGeneration: 3)
    }
    return try ValidatedPool(
        IPPool(
            metadata: ObjectMetadata(name: name, uid: "uid-\(name)", resourceVersion: "1", generation: 3),
            spec: IPPool.Spec(
                subnet: subnet, ranges: ranges, exclude: exclude, gateway: gateway, network: network,
                cooldownSeconds: cooldown, strategy: strategy, disabled: disabled, namespaceQuota: isAtQuota ? 1 : nil),
            status: status))
}

func record(
    _ text: String, pool: String = "blue", cooldown: Int = 10, version: String? = nil, until: Moment? = nil
) throws -> JournalEntry.Record {
    JournalEntry.Record(
        name: text, address: try #require(AllocationName(objectName: text)).address, pool: pool,
        poolUID: "uid-\(pool)", cooldownSeconds: cooldown,
        version: version.map { ObjectVersion(uid: "u1", resourceVersion: $0) }, mayCommitUntil: until)
}

/// Who an allocation names.
enum Holder: Hashable, Sendable {
    case ours
    case other
    case cooling
    /// Cooling, released by another node.
    case coolingElsewhere
    /// Cooling, released by another node, and of another pool that has the address too.
    case coolingInOtherPool
    /// Cooling, released by this node, and of another pool.
    case ownCoolingInOtherPool
    /// Cooling, and being deleted.
    case deleting
    /// Ours, and being deleted.
    case oursDeleting
    /// Ours by attachment, on another machine of the node's name.
    case otherMachine
    /// Ours, and edited by hand into something that does not decode.
    case malformed
}

/// An allocation as the API server has it.
func allocation(
    _ text: String, _ holder: Holder, version: String = "7", uid: String = "u1", pool: String = "blue"
) throws -> JSON {
    let name = try #require(AllocationName(objectName: text))
    let isElsewhere = holder == .coolingElsewhere || holder == .coolingInOtherPool
    let isOfOtherPool = holder == .coolingInOtherPool || holder == .ownCoolingInOtherPool
    let isCooling = holder == .cooling || holder == .deleting || isElsewhere || isOfOtherPool
    let pool = isOfOtherPool ? "overlapping" : pool
    let spec = IPAllocation.Spec(
        state: isCooling ? .cooling : .bound, origin: .pod, pool: pool, poolUID: "uid-\(pool)", address: name.address,
        network: name.network, node: isElsewhere ? "n2" : "n1", machineID: holder == .otherMachine ? "m2" : "m1",
        attachment: isCooling ? nil : holder == .other ? otherAttachment : attachment, pod: nil, claim: nil,
        cooldownSeconds: 10, claimedAt: nil, releasedAt: nil)
    var json = spec.newObject()
    json["metadata"]?["uid"] = .string(uid)
    json["metadata"]?["resourceVersion"] = .string(version)
    if holder == .deleting || holder == .oursDeleting {
        json["metadata"]?["deletionTimestamp"] = "2025-11-20T09:07:05Z"
    }
    if holder == .malformed { json["spec"]?["state"] = "Confused" }
    return json
}

extension JournalEntry.Record {
    /// For example `10.0.0.5 v7 late`: the version where there is one, and whether a create may still be committed.
    var brief: String {
        name + (version.map { " v\($0.resourceVersion)" } ?? "") + (mayCommitUntil == nil ? "" : " late")
    }
}

/// A folder that is gone, with what is in it, when the closure ends.
func withFolder<Value>(_ body: (String) throws -> Value) throws -> Value {
    var template = Array("/tmp/berth-ledger.XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw JournalError(operation: "make", path: "/tmp", errorNumber: errno) }
    let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { removeTree(path) }
    return try body(path)
}

private func removeTree(_ path: String) {
    guard unlink(path) != 0, let stream = opendir(path) else { return }
    while let item = readdir(stream) {
        let name = withUnsafeBytes(of: &item.pointee.d_name) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        if name != ".", name != ".." { removeTree("\(path)/\(name)") }
    }
    closedir(stream)
    rmdir(path)
}

/// A clock that a test moves.
final class TestClock: Sendable {
    private let moment: Mutex<Moment>

    init(_ start: Moment) { moment = Mutex(start) }

    var now: Moment { moment.withLock(\.self) }

    func advance(by duration: Duration) { moment.withLock { $0 = $0 + duration } }
}
