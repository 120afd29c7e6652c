import IPAMAPI
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

extension ControllerTests {
    /// Addresses that IPClaims ask for.
    @Suite("What claims ask for") struct ClaimWishTests {
        @Test func `K4: an address that a claim asks for is kept for it before any pod uses it`() async throws {
            try await ControllerRig.run { rig in
                let pool = try await rig.makePool()
                let address = rig.subnets.address4(77)
                let claim = try await rig.makeClaim("vip", ["addresses": [.string(address)]])
                try await rig.ledger.waitForState(address, "Held")
                let held = rig.ledger.allocations.value[address]
                #expect(held?["spec"]?["claim"]?["uid"]?.string == claim.uid)
                #expect(held?["spec"]?["pool"]?.string == pool)
                try await rig.waitForClaim(claim, "Ready") { $0.status.conditions.first?.status == .true }
                try await rig.deleteClaim(claim)
                try await rig.ledger.waitUntilGone(address)
            }
        }

        @Test func `what a claim asks for stays in its pool until the claim names another, or the pool goes`()
            async throws
        {
            try await ControllerRig.run { rig in
                let (first, address) = (try await rig.makePool("a"), rig.subnets.address4(77))
                let claim = try await rig.makeClaim("vip", ["addresses": [.string(address)]])
                try await rig.ledger.waitForState(address, "Held")
                let second = try await rig.makePool("b", ["cooldown": "7s"])
                let third = try await rig.makePool("c", ["network": "red"])
                func pool() -> String? { rig.ledger.allocations.value[address]?["spec"]?["pool"]?.string }
                func waitFor(pool: String) async throws {
                    _ = try await rig.ledger.wait("\(pool) has \(address)") { allocations -> Bool? in
                        allocations[address]?["spec"]?["pool"]?.string == pool ? true : nil
                    }
                }
                // For a while, and back.
                try await rig.patch(.ipPools, first, ["spec": ["draining": true]])
                try await rig.waitForClaim(claim, "not Ready") { claim in
                    claim.status.conditions.first?.message.contains("is being drained (spec.draining)") == true
                }
                #expect(pool() == first)
                try await rig.patch(.ipPools, first, ["spec": ["draining": false]])
                try await rig.waitForClaim(claim, "Ready") { $0.status.conditions.first?.status == .true }
                // Where the claim says so.
                try await rig.patch(.ipClaims, claim.name, ["spec": ["pools": [.string(second)]]], namespace: "default")
                try await waitFor(pool: second)
                let moved = rig.ledger.allocations.value[address]
                #expect(moved?["metadata"]?["labels"]?[LabelKey.pool]?.string == second)
                #expect(moved?["spec"]?["cooldownSeconds"]?.int == 7)
                #expect(moved?["spec"]?["state"] == "Held" && moved?["spec"]?["claim"]?["uid"]?.string == claim.uid)
                // When its pool goes.
                try await rig.patch(.ipClaims, claim.name, ["spec": ["pools": .null]], namespace: "default")
                try await rig.controlPlane.kubectl(["delete", "ippool", second, "--wait=false"])
                try await waitFor(pool: first)
                // Never to another network.
                try await rig.controlPlane.kubectl(["delete", "ippool", first, "--wait=false"])
                try await rig.waitForClaim(claim, "not Ready") { claim in
                    claim.status.conditions.first?.message.contains("is being deleted") == true
                }
                try await rig.waitForSentinel(pool: third)
                #expect(rig.ledger.state("red.\(address)") == nil)
                try await rig.deleteClaim(claim)
                try await rig.ledger.waitUntilGone(address)
            }
        }

        @Test func `nothing is kept before it is known what of a pool is reserved`() async throws {
            try await ControllerRig.idle { rig in
                _ = try await rig.makePool()
                let address = rig.subnets.address4(77)
                _ = try await rig.reserve([address])
                let claim = try await rig.makeClaim("vip", ["addresses": [.string(address)]])
                try await rig.withController { _ in
                    try await rig.waitForClaim(claim, "not Ready") {
                        $0.status.conditions.first?.reason == "NotInPool"
                    }
                    #expect(rig.ledger.state(address) == nil)
                }
            }
        }

        @Test func `what is reserved for a purpose is kept for a claim that names it, and for no other`() async throws {
            try await ControllerRig.run { rig in
                let pool = try await rig.makePool()
                let reservation = try await rig.reserve(
                    [rig.subnets.address4(76) + "-" + rig.subnets.address4(78)], "egress", ["purpose": "egress"])
                try await rig.ledger.waitForReservation(reservation, "is in force") {
                    condition($0, "Enforced")?["status"] == "True"
                }
                try await rig.ledger.waitForPool(pool, "has it") { $0["status"]?["reservedFor"]?.array?.count == 1 }
                let own = rig.subnets.address4(77)
                _ = try await rig.makeClaim("own", ["addresses": [.string(own)], "purpose": "egress"])
                try await rig.ledger.waitForState(own, "Held")
                let other = try await rig.makeClaim("other", ["addresses": [.string(rig.subnets.address4(76))]])
                try await rig.waitForClaim(other, "not Ready") { $0.status.conditions.first?.reason == "NotInPool" }
                #expect(rig.ledger.state(rig.subnets.address4(76)) == nil)
            }
        }

        @Test func `what a pool gives to namespaces by their labels it keeps for claims of these alone`() async throws {
            try await ControllerRig.run { rig in
                let label = rig.subnets.name("team")
                _ = try await rig.makePool(
                    "pool", ["namespaceSelector": ["matchLabels": ["berth-test": .string(label)]]])
                let address = rig.subnets.address4(77)
                let claim = try await rig.makeClaim("vip", ["addresses": [.string(address)]])
                try await rig.waitForClaim(claim, "not Ready") { claim in
                    let condition = claim.status.conditions.first
                    return condition?.reason == "NotInPool"
                        && condition?.message.contains("spec.namespaceSelector") == true
                }
                #expect(rig.ledger.state(address) == nil)
                try await rig.controlPlane.kubectl(["label", "namespace", "default", "berth-test=\(label)"])
                try await rig.ledger.waitForState(address, "Held")
                try await rig.controlPlane.kubectl(["label", "namespace", "default", "berth-test-"])
            }
        }

        @Test func `K5: a claim for an address that another holds says so, and gets it when it is free`() async throws {
            try await ControllerRig.run(throughProxy: true) { rig in
                let proxy = try #require(rig.proxy)
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                let pod = try await rig.makePod("holder", on: node)
                let name = try await rig.enter(20, pool: pool, node: node, pod: pod)
                try await rig.waitForSentinel(pool: pool)
                let claim = try await rig.makeClaim("vip", ["addresses": [.string(name)]])
                let taken = try await rig.waitForClaim(claim, "not Ready") {
                    $0.status.conditions.first?.reason == "AddressTaken"
                }
                let condition = try #require(taken.status.conditions.first)
                // Both sides: the address and who wants it, and who has it.
                let wish = "\(name), which claim \"default/\(claim.name)\" asks for, is taken: "
                #expect(condition.message.hasPrefix(wish), "\(condition.message)")
                #expect(condition.message.contains("pod default/\(pod.name) (UID \(pod.uid))"), "\(condition.message)")
                #expect(rig.ledger.state(name) == "Bound")
                try await rig.waitForSentinel(251, pool: pool)
                #expect(proxy.log.count("create", "ipallocations.ipam.berth.dev") == 0, "the store knows the holder")
                try await rig.controlPlane.delete(pod)
                try await rig.ledger.waitForState(name, "Held")
                try await rig.waitForClaim(claim, "Ready") { $0.status.conditions.first?.status == .true }
            }
        }

        @Test(arguments: ["203.0.113.9", "1.2.3"])
        func `a claim for an address that no pool has says so`(address: String) async throws {
            try await ControllerRig.run { rig in
                let object: JSON = ["addresses": [.string(address)]]
                guard let claim = try? await rig.makeClaim("vip", object) else {
                    // The schema knows the formats.
                    #expect(address == "1.2.3")
                    return
                }
                let refused = try await rig.waitForClaim(claim, "not Ready") {
                    $0.status.conditions.first?.status == .false
                }
                #expect(refused.status.conditions.first?.message.contains(address) == true)
            }
        }

        @Test func `a claim for an address outside of its pools says what it wants and what each pool has`()
            async throws
        {
            try await ControllerRig.run { rig in
                let range = "\(rig.subnets.address4(10))-\(rig.subnets.address4(19))"
                let pool = try await rig.makePool("pool", ["ranges": [.string(range)]])
                for (index, (wish, reason)) in [
                    ("203.0.113.9", "does not contain it"),
                    (
                        rig.subnets.address4(20),
                        "does not allow it (ranges, exclude, or a network, broadcast, multicast or loopback address)"
                    ),
                ].enumerated() {
                    let claim = try await rig.makeClaim(
                        "vip-\(index)", ["addresses": [.string(wish)], "pools": [.string(pool)]])
                    let refused = try await rig.waitForClaim(claim, "not Ready") {
                        $0.status.conditions.first?.reason == "NotInPool"
                    }
                    #expect(
                        refused.status.conditions.first?.message
                            == "\(wish) cannot be kept: IPPool \"\(pool)\" (\(rig.subnets.subnet4)) \(reason)")
                }
            }
        }

        @Test func `an allocation that cannot be read is named by the claim that asks for its address`() async throws {
            try await ControllerRig.run { rig in
                let pool = try await rig.makePool("six", ["subnet": .string(rig.subnets.subnet6)])
                let read = try await rig.controlPlane.withAdmin { try $0.get(.ipPools, name: pool, deadline: .soon) }
                let wish = try IPAddress(parsing: rig.subnets.address6(10))
                var spec = IPAllocation.Spec(
                    state: .bound, origin: .manual, pool: pool, poolUID: read["metadata"]?["uid"]?.string ?? "",
                    address: wish, network: "", node: "n", machineID: "n",
                    attachment: IPAMAPI.Attachment(networkName: "net", containerID: "c", interface: "eth0"), pod: nil,
                    claim: nil, cooldownSeconds: 0, claimedAt: nil, releasedAt: nil)
                let name = spec.objectName
                spec.address = try IPAddress(parsing: rig.subnets.address6(11))
                var object = spec.newObject()
                object["metadata"]?["name"] = .string(name)
                let wrong = object
                try await rig.controlPlane.withAdmin {
                    _ = try $0.create(.ipAllocations, name: name, object: wrong, deadline: .soon)
                }
                let claim = try await rig.makeClaim("vip", ["addresses": [.string("\(wish)")]])
                let refused = try await rig.waitForClaim(claim, "not Ready") {
                    $0.status.conditions.first?.reason == "AddressTaken"
                }
                let message = try #require(refused.status.conditions.first?.message)
                #expect(message.contains(name) && message.contains("cannot be read"), "\(message)")
                try await rig.controlPlane.withAdmin {
                    _ = try $0.delete(.ipAllocations, name: name, preconditions: nil, deadline: .soon)
                }
            }
        }
    }
}
