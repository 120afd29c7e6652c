import IPAMAPI
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

extension ControllerTests {
    /// What the status of a pool says is what the ledger holds.
    @Suite("The status of pools") struct PoolStatusTests {
        @Test(arguments: [IPFamily.v4, .v6], [UInt64.random(in: 0 ... .max)])
        func `counts and occupancy are those of a count by hand after random changes`(family: IPFamily, seed: UInt64)
            async throws
        {
            try await ControllerRig.run { rig in
                var generator = SplitMix64(seed: seed)
                let count = CountByHand(rig, family)
                let spec: JSON = [
                    "subnet": .string(count.subnet), "ranges": [.string("\(count.text(20))-\(count.text(200))")],
                    "exclude": [.string("\(count.text(60))-\(count.text(69))")],
                    "gateway": .string(count.text(100)),
                ]
                let pool = try await rig.makePool("pool", spec)
                var taken: [Int: AllocationState] = [:]
                for _ in 0..<3 {
                    for host in (20...200).shuffled(using: &generator).prefix(25) {
                        if taken[host] != nil {
                            let name = try IPAddress(parsing: count.text(host)).objectName
                            _ = try await rig.controlPlane.withAdmin {
                                try $0.delete(.ipAllocations, name: name, preconditions: nil, deadline: .soon)
                            }
                            taken[host] = nil
                        } else if !(60...69).contains(host), host != 100 {
                            let state = AllocationState.allCases.randomElement(using: &generator) ?? .bound
                            try await rig.enter(
                                host, address: count.text(host), pool: pool, node: "n", origin: .manual, state: state,
                                cooldown: 3600)
                            taken[host] = state
                        }
                    }
                    let now = taken
                    try await rig.ledger.waitForPool(pool, "seed \(seed)") { pool in
                        count.agrees(
                            with: pool["status"], taken: now,
                            usable: { host in
                                (20...200).contains(host) && !(60...69).contains(host) && host != 100
                            })
                    }
                }
            }
        }

        @Test func `C21: an edit of ranges, exclude or gateway shows in the status and touches no allocation`()
            async throws
        {
            try await ControllerRig.run { rig in
                let pool = try await rig.makePool("pool", ["ranges": [.string(rig.subnets.address4(10) + "/31")]])
                let name = try await rig.enter(10, pool: pool, node: "n", origin: .manual)
                try await rig.ledger.waitForPool(pool, "is counted") {
                    $0["status"]?["capacity"]?.int == 2 && $0["status"]?["free"]?.int == 1
                }
                let before = rig.ledger.allocations.value[name]
                try await rig.patch(
                    .ipPools, pool, ["spec": ["ranges": .null, "gateway": .string(rig.subnets.address4(254))]])
                try await rig.ledger.waitForPool(pool, "has 253 addresses") {
                    $0["status"]?["capacity"]?.int == 253 && $0["status"]?["free"]?.int == 252 && isCurrent($0)
                }
                try await rig.patch(
                    .ipPools, pool, ["spec": ["exclude": [.string(rig.subnets.address4(0) + "/25")]]])
                try await rig.ledger.waitForPool(pool, "says what is outside now") { object in
                    object["status"]?["capacity"]?.int == 126 && object["status"]?["free"]?.int == 126
                        && condition(object, "Consistent")?["message"]?.string?.contains(name) == true
                        && isCurrent(object)
                }
                #expect(rig.ledger.allocations.value[name] == before)
            }
        }

        @Test func `C18: pools of one network that overlap see each other's addresses, those of another do not`()
            async throws
        {
            try await ControllerRig.run { rig in
                let range: JSON = [.string(rig.subnets.address4(8) + "/29")]
                let (a, b) = (
                    try await rig.makePool("a", ["ranges": range]), try await rig.makePool("b", ["ranges": range])
                )
                let other = try await rig.makePool("other", ["ranges": range, "network": "other"])
                try await rig.enter(8, pool: a, node: "n", origin: .manual)
                try await rig.enter(9, pool: b, node: "n", origin: .manual)
                try await rig.enter(10, pool: b, node: "n", origin: .manual)
                for (pool, allocated, free) in [(a, 1, 5), (b, 2, 5), (other, 0, 8)] {
                    try await rig.ledger.waitForPool(pool, "\(allocated) allocated, \(free) free") {
                        $0["status"]?["allocated"]?.int == allocated && $0["status"]?["free"]?.int == free
                    }
                }
                // The API server is the judge: the name exists once.
                await #expect(throws: (any Error).self) {
                    try await rig.enter(9, pool: a, node: "n", origin: .manual)
                }
            }
        }

        @Test func `rubbish that a stranger writes into the status is repaired, and what is theirs is kept`()
            async throws
        {
            try await ControllerRig.run { rig in
                let pool = try await rig.makePool("pool", ["ranges": [.string(rig.subnets.address4(8) + "/29")]])
                try await rig.ledger.waitForPool(pool, "is counted") { $0["status"]?["free"]?.int == 8 }
                let theirs: JSON = [
                    "type": "Theirs", "status": "True", "reason": "Theirs", "message": "a stranger's",
                    "lastTransitionTime": "2025-11-20T10:00:00Z",
                ]
                try await rig.patch(
                    .ipPools, pool,
                    [
                        "status": [
                            "allocated": 77, "free": 0, "occupancy": ["first": "ff.ff", "bitmap": "//8="],
                            "observedGeneration": 99, "conditions": [theirs],
                        ]
                    ], subresource: "status")
                try await rig.ledger.waitForPool(pool, "is repaired") { object in
                    object["status"]?["allocated"]?.int == 0 && object["status"]?["free"]?.int == 8
                        && object["status"]?["occupancy"]?["first"] == .string(rig.subnets.address4(8))
                        && isCurrent(object) && condition(object, "Theirs")?["message"] == "a stranger's"
                        && condition(object, "Ready")?["status"] == "True"
                }
            }
        }

        @Test func `K9: a pool that was edited into nonsense says which field is wrong, and other pools go on`()
            async throws
        {
            try await ControllerRig.run { rig in
                let (pool, other) = (try await rig.makePool(), try await rig.makePool("other"))
                let name = try await rig.enter(10, pool: pool, node: "n", origin: .manual)
                try await rig.ledger.waitForPool(pool, "is ready") { condition($0, "Ready")?["status"] == "True" }
                try await rig.patch(.ipPools, pool, ["spec": ["ranges": ["192.0.2.0/25"]]])
                try await rig.ledger.waitForPool(pool, "is invalid") { object in
                    condition(object, "Ready")?["status"] == "False"
                        && condition(object, "Ready")?["reason"] == "Invalid"
                        && condition(object, "Ready")?["message"]?.string?.contains("spec.ranges[0]") == true
                        && object["status"]?["allocated"]?.int == 1 && object["status"]?["occupancy"] == nil
                }
                try await rig.waitForSentinel(pool: other)
                #expect(rig.ledger.state(name) == "Bound")
                try await rig.patch(.ipPools, pool, ["spec": ["ranges": .null]])
                try await rig.ledger.waitForPool(pool, "is ready again") {
                    condition($0, "Ready")?["status"] == "True" && $0["status"]?["free"]?.int == 253
                }
            }
        }

        @Test func `an allocation outside of its pool, or of an earlier pool of the name, is named in a condition`()
            async throws
        {
            try await ControllerRig.run { rig in
                let pool = try await rig.makePool("pool", ["ranges": [.string(rig.subnets.address4(8) + "/29")]])
                let outside = try await rig.enter(100, pool: pool, node: "n", origin: .manual)
                let earlier = try await rig.enter(9, pool: pool, node: "n", origin: .manual)
                try await rig.patch(.ipAllocations, earlier, ["spec": ["poolUID": "another"]])
                try await rig.ledger.waitForPool(pool, "names both") { object in
                    let message = condition(object, "Consistent")?["message"]?.string ?? ""
                    return condition(object, "Consistent")?["status"] == "False"
                        && message.contains("\(outside) (outside of the pool)")
                        && message.contains("\(earlier) (of an earlier pool of this name)")
                        && object["status"]?["free"]?.int == 7
                }
                for name in [outside, earlier] {
                    _ = try await rig.controlPlane.withAdmin {
                        try $0.delete(.ipAllocations, name: name, preconditions: nil, deadline: .soon)
                    }
                }
                try await rig.ledger.waitForPool(pool, "is consistent") {
                    condition($0, "Consistent")?["status"] == "True" && $0["status"]?["free"]?.int == 8
                }
            }
        }

        @Test func `an allocation that cannot be read is told of in an event, its address taken, and the rest goes on`()
            async throws
        {
            try await ControllerRig.idle { rig in
                try await rig.withController { running in
                    let pool = try await rig.makePool("pool", ["ranges": [.string(rig.subnets.address4(8) + "/29")]])
                    let name = try await rig.enter(9, pool: pool, node: "n", origin: .manual)
                    // Only servers without CEL take an address that is not that of the name.
                    let rule = "the address of an allocation never changes"
                    guard
                        try await isTaken(
                            against: rule,
                            { try await rig.patch(.ipAllocations, name, ["spec": ["address": "203.0.113.1"]]) })
                    else { return }
                    let message = try await rig.ledger.waitForEvent(about: name, reason: "Unreadable")
                    #expect(message.contains("203.0.113.1") || message.contains("name"), "\(message)")
                    try await rig.ledger.waitForPool(pool, "counts it for nobody and leaves it out of what is free") {
                        $0["status"]?["allocated"]?.int == 0 && $0["status"]?["free"]?.int == 7
                    }
                    try await running.waitForMetric("berth_unreadable_objects_total{store=\"allocations\"}", 1)
                    try await rig.waitForSentinel(10, pool: pool)
                    try await rig.patch(.ipAllocations, name, ["spec": ["address": .string(name)]])
                    try await rig.ledger.waitForPool(pool, "counts it again") { $0["status"]?["allocated"]?.int == 1 }
                }
            }
        }

        @Test func `K6: a pool full of addresses whose pods are gone is exhausted, and then free again`() async throws {
            try await ControllerRig.run { rig in
                let pool = try await rig.makePool("pool", ["ranges": [.string(rig.subnets.address4(8) + "/31")]])
                let node = try await rig.makeNode()
                let pods = try await rig.makePods("pod", 2, on: node)
                let addresses = [8, 9].map { rig.subnets.address4($0) }
                _ = try await rig.enter(addresses: addresses, pool: pool, node: node, pods: pods)
                try await rig.ledger.waitForPool(pool, "is exhausted") { object in
                    condition(object, "Exhausted")?["status"] == "True" && object["status"]?["free"]?.int == 0
                        && condition(object, "Exhausted")?["message"]?.string?.contains("2 allocated") == true
                }
                try await rig.delete(pods)
                try await rig.ledger.waitForPool(pool, "is free") {
                    condition($0, "Exhausted")?["status"] == "False" && $0["status"]?["free"]?.int == 2
                }
            }
        }

        @Test func `a pool that is drained names who is left in it, and says when nobody is`() async throws {
            try await ControllerRig.run { rig in
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                let pod = try await rig.makePod("web-0", on: node)
                let name = try await rig.enter(10, pool: pool, node: node, pod: pod)
                let other = try await rig.enter(11, pool: pool, node: node, origin: .manual)
                try await rig.ledger.waitForPool(pool, "serves") {
                    condition($0, "Ready")?["status"] == "True" && condition($0, "Drained") == nil
                }
                try await rig.patch(.ipPools, pool, ["spec": ["draining": true]])
                let first = "\(name) (default/\(pod.name) on \(node))"
                let second = "\(other) (entered by hand on \(node))"
                try await rig.ledger.waitForPool(pool, "names both") { object in
                    condition(object, "Ready")?["reason"] == "Draining"
                        && condition(object, "Drained")?["status"] == "False"
                        && condition(object, "Drained")?["reason"] == "HoldersLeft"
                        && condition(object, "Drained")?["message"]?.string
                            == "2 holders are left: \(first), \(second)"
                }
                try await rig.controlPlane.kubectl(["delete", "ipa", other])
                try await rig.ledger.waitForPool(pool, "names the other one") { object in
                    condition(object, "Drained")?["message"]?.string == "1 holder is left: \(first)"
                }
                try await rig.controlPlane.delete(pod)
                try await rig.ledger.waitForPool(pool, "is drained") { object in
                    condition(object, "Drained")?["status"] == "True"
                        && condition(object, "Drained")?["reason"] == "Empty"
                }
                #expect(rig.ledger.allocations.value[name] == nil)
                try await rig.patch(.ipPools, pool, ["spec": ["draining": false]])
                try await rig.ledger.waitForPool(pool, "serves again") {
                    condition($0, "Ready")?["status"] == "True" && condition($0, "Drained") == nil
                }
            }
        }

        @Test func `C20 K14: metrics agree with kubectl, which shows who holds each address`() async throws {
            try await ControllerRig.idle { rig in
                try await rig.withController { running in
                    let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                    let pod = try await rig.makePod("web-0", on: node)
                    let name = try await rig.enter(10, pool: pool, node: node, pod: pod)
                    try await rig.enter(11, pool: pool, node: node, state: .cooling, cooldown: 3600)
                    try await rig.enter(12, pool: pool, node: node, origin: .manual, state: .held)
                    try await rig.ledger.waitForPool(pool, "is counted") {
                        $0["status"]?["held"]?.int == 1 && $0["status"]?["cooling"]?.int == 1
                            && $0["status"]?["allocated"]?.int == 1
                    }
                    let printed = try await rig.controlPlane.kubectl(["get", "ipp", pool, "-o", "json"])
                    let status = try JSON(parsing: Array(printed.utf8))["status"]
                    for member in ["capacity", "allocated", "cooling", "held", "free"] {
                        let value = try #require(status?[member]?.int)
                        try await running.waitForMetric("berth_pool_\(member){pool=\"\(pool)\"}", value)
                    }
                    #expect(status?["capacity"]?.int == 254 && status?["free"]?.int == 251)
                    let row = try await rig.controlPlane.kubectl(["get", "ipa", name, "--no-headers"])
                        .split(whereSeparator: \.isWhitespace).map(String.init)
                    #expect(row.starts(with: [name, name, pool, "default", pod.name, node, "eth0", "Bound"]), "\(row)")
                    let wide = try await rig.controlPlane.kubectl(["get", "ipp", pool, "--no-headers"])
                        .split(whereSeparator: \.isWhitespace).map(String.init)
                    #expect(wide.starts(with: [pool, rig.subnets.subnet4, "1", "1", "251", "True"]), "\(wide)")
                    #expect(running.metric("berth_claims_seen_total") == 1)
                }
            }
        }
    }
}

/// The status is about the pool as it is now.
func isCurrent(_ pool: JSON) -> Bool {
    pool["status"]?["observedGeneration"]?.int == pool["metadata"]?["generation"]?.int
}

/// Counts a pool one address after the other.
private struct CountByHand: Sendable {
    let subnet: String
    private let prefix: String
    private let isSix: Bool

    init(_ rig: ControllerRig, _ family: IPFamily) {
        isSix = family == .v6
        subnet = isSix ? rig.subnets.subnet6 : rig.subnets.subnet4
        prefix = isSix ? "\(rig.subnets.prefix6)::" : "\(rig.subnets.prefix4)."
    }

    func text(_ host: Int) -> String { prefix + (isSix ? String(host, radix: 16) : "\(host)") }

    func agrees(with status: JSON?, taken: [Int: AllocationState], usable: (Int) -> Bool) -> Bool {
        func count(_ states: AllocationState...) -> Int { taken.values.count(where: { states.contains($0) }) }
        let all = (0...255).filter(usable)
        guard status?["capacity"]?.int == all.count, status?["allocated"]?.int == count(.bound, .fenced),
            status?["cooling"]?.int == count(.cooling), status?["held"]?.int == count(.held),
            status?["free"]?.int == all.count - taken.count,
            let first = status?["occupancy"]?["first"]?.string,
            let start = (0...255).first(where: { text($0) == first }),
            let bitmap = status?["occupancy"]?["bitmap"]?.string.flatMap({ Base64.decode($0) })
        else { return false }
        return (0...255).allSatisfy { host in
            let bit = host - start
            let isShownFree = bit >= 0 && bit < bitmap.count * 8 && bitmap[bit / 8] & 1 << (bit % 8) == 0
            return isShownFree == (usable(host) && taken[host] == nil)
        }
    }
}
