import IPAMAPI
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// Claims whose ADD fails or is killed, claims that ask for addresses, and claims that cannot serve.
@Suite("Identity under faults", .controlPlane, .timeLimit(.minutes(10)))
struct IdentityFaultTests {
    typealias Step = FaultKillTests.Step

    static let steps = [
        Step("before the binding", .bindClaim, isAfter: false),
        Step("between the binding and the addresses", .bindClaim, isAfter: true),
        Step("before the take-over is carried out", .takeOver, isAfter: false),
        Step("after the take-over", .takeOver, isAfter: true),
        Step("after the first family's take-over", .takeOver && .body(contains: "-v4"), isAfter: true),
    ]

    @Test(arguments: steps, [true, false])
    func `an ADD that is killed loses neither family, and leaves nothing`(step: Step, isSamePod: Bool) async throws {
        try await IdentityBench.run { identity in
            let bench = identity.bench
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6))
            let first = try await identity.pod()
            let sandbox = try identity.sandbox(of: first)
            let added = try await identity.add(sandbox, v4, v6).checked()
            try await identity.del(sandbox, v4, v6)
            try await bench.controlPlane.delete(first)

            let pod = try await identity.pod()
            let killed = try identity.sandbox(of: pod)
            let gate = Gate()
            let rule = bench.proxy.when(step.matcher, .always, step.action(gate))
            let call = try bench.start("ADD", killed, v4, v6)
            try await gate.reached()
            call.kill()
            _ = await call.outcome()
            rule.remove()
            let waiting = gate.arrivals
            gate.open()
            try await bench.proxy.waitFor("what was held") { log in
                log.count { step.matcher.matches($0.request) && $0.fate.serverStatus != nil } >= waiting
            }
            try await bench.delUntilDone(killed, v4, v6)
            var next = pod
            if !isSamePod {
                try await bench.controlPlane.delete(pod)
                next = try await identity.pod()
            }
            // What may still be committed makes the first ones wait.
            let again = try await identity.add(try identity.sandbox(of: next), v4, v6).checked()
            #expect(again.addresses == added.addresses)
            #expect(try await bench.allocations(v4).count == 1)
            #expect(try await bench.allocations(v6).count == 1)
        }
    }

    @Test func `when one family cannot be had the other one goes back to the claim`() async throws {
        try await IdentityBench.run { identity in
            let bench = identity.bench
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6, size: 1, cooldown: "0s"))
            let pod = try await identity.pod()
            let sandbox = try identity.sandbox(of: pod)
            let address = try #require(try await identity.add(sandbox, v4).checked().addresses.first)
            try await identity.del(sandbox, v4)
            // Of the second family everything is somebody else's.
            let stranger = try bench.node.newSandbox()
            try await bench.add(stranger, v6).checked()
            let failed = try await identity.add(try identity.sandbox(of: pod), v4, v6)
            #expect(failed.code == PluginCode.exhausted)
            #expect(try await identity.allocation(address)?.spec.state == .held)
            try await bench.del(stranger, v6)
            let both = try await identity.add(try identity.sandbox(of: pod), v4, v6).checked()
            #expect(both.addresses == [address] + v6.addresses)
        }
    }

    @Test func `an address that was never returned goes when its ADD fails, though it was for a claim`() async throws {
        try await IdentityBench.run { identity in
            let bench = identity.bench
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6, size: 1))
            try await bench.enter(v6.addresses[0], of: v6)
            let failed = try await identity.add(try identity.sandbox(of: try await identity.pod()), v4, v6)
            #expect(failed.code == PluginCode.exhausted)
            #expect(try await bench.allocations(v4).isEmpty)
        }
    }

    @Test func `a lost answer to the binding or the take-over changes nothing`() async throws {
        try await IdentityBench.run { identity in
            let bench = identity.bench
            let pool = try await bench.makePool()
            let pod = try await identity.pod()
            let sandbox = try identity.sandbox(of: pod)
            let added = try await identity.add(sandbox, pool).checked()
            try await identity.del(sandbox, pool)
            bench.proxy.when(.bindClaim, .first(1), .dropAnswer())
            bench.proxy.when(.takeOver, .first(1), .dropAnswer())
            let again = try await identity.add(try identity.sandbox(of: pod), pool).checked()
            #expect(again.addresses == added.addresses)
            #expect(try await bench.allocations(pool).count == 1)
        }
    }

    @Test func `what a configuration gives to every pod is kept for none`() async throws {
        try await IdentityBench.run { identity in
            let bench = identity.bench
            let pool = try await bench.makePool()
            let subnets = Subnets.next()
            let fixed = subnets.address4(9)
            let configuration = bench.configuration(
                [pool], ipam: ["addresses": [["address": .string("\(fixed)/24")]]])
            let sandbox = try identity.sandbox(of: try await identity.pod())
            let added = try await bench.node.add(sandbox, configuration).checked()
            #expect(added.addresses.contains(fixed) && added.addresses.count == 2)
            #expect(try await identity.allocation(fixed)?.spec.claim == nil)
            try await bench.node.del(sandbox, configuration).checked()
            #expect(try await identity.allocation(fixed)?.spec.state == .cooling)
            let own = try #require(added.addresses.first { $0 != fixed })
            #expect(try await identity.allocation(own)?.spec.state == .held)
        }
    }

    // MARK: Claims that ask for addresses

    @Test func `K4: a pod gets the address that its claim asks for`() async throws {
        try await IdentityBench.run { identity in
            let pool = try await identity.bench.makePool()
            try await identity.makeClaim(
                "vip", ["addresses": [.string(pool.addresses[7])], "pools": [.string(pool.name)]])
            let pod = try await identity.pod("a", isOwned: false, annotations: ["\(AnnotationKey.claim).eth0": "vip"])
            let sandbox = try identity.sandbox(of: pod)
            #expect(try await identity.add(sandbox, pool).checked().addresses == [pool.addresses[7]])
            try await identity.del(sandbox, pool)
            #expect(try await identity.allocation(pool.addresses[7])?.spec.state == .held)
            #expect(
                try await identity.add(try identity.sandbox(of: pod), pool).checked().addresses == [pool.addresses[7]])
        }
    }

    @Test func `a pod takes what the controller has entered for its claim, on no node`() async throws {
        try await IdentityBench.run { identity in
            let bench = identity.bench
            let pool = try await bench.makePool()
            try await identity.makeClaim("vip", ["addresses": [.string(pool.addresses[7])]])
            let claim = try #require(try await identity.claims().first)
            let spec = IPAllocation.Spec(
                state: .held, origin: .pod, pool: pool.name, poolUID: "",
                address: try IPAddress(parsing: pool.addresses[7]),
                network: "", node: "", machineID: "", attachment: nil, pod: nil, claim: claim.reference,
                cooldownSeconds: 10, claimedAt: nil, releasedAt: nil)
            _ = try await bench.controlPlane.withAdmin {
                try $0.create(.ipAllocations, name: spec.objectName, object: spec.newObject(), deadline: .soon)
            }
            let pod = try await identity.pod("a", isOwned: false, annotations: [AnnotationKey.claim: "vip"])
            let added = try await identity.add(try identity.sandbox(of: pod), pool).checked()
            #expect(added.addresses == [pool.addresses[7]])
            #expect(try await identity.allocation(pool.addresses[7])?.spec.node == bench.node.name)
        }
    }

    @Test func `K5: a claim for an address that another holds is an error that names both`() async throws {
        try await IdentityBench.run { identity in
            let bench = identity.bench
            let pool = try await bench.makePool()
            let holder = try await bench.enter(pool.addresses[3], of: pool)
            try await identity.makeClaim("vip", ["addresses": [.string(pool.addresses[3])]])
            let pod = try await identity.pod("a", isOwned: false, annotations: [AnnotationKey.claim: "vip"])
            let refused = try await identity.add(try identity.sandbox(of: pod), pool)
            #expect(refused.code == PluginCode.addressRefused)
            let container = try #require(holder.spec.attachment?.containerID)
            #expect("\(refused)".contains("/vip") && "\(refused)".contains(container), "\(refused)")
            #expect(try await bench.allocations(pool).count == 1)
        }
    }

    /// What a claim says, and what the error quotes.
    struct Misfit: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let spec: JSON
        let quoted: [String]

        init(_ description: String, _ spec: JSON, _ quoted: [String]) {
            testDescription = description
            self.spec = spec
            self.quoted = quoted
        }
    }

    static let misfits = [
        Misfit("an address outside of its pools", ["addresses": ["192.0.2.7"]], ["192.0.2.7", "/vip"]),
        Misfit("another pool", ["pools": ["nowhere"]], ["nowhere", "/vip"]),
        Misfit("another interface", ["interface": "net1"], ["net1", "eth0", "/vip"]),
        Misfit("another network", ["networkName": "storage"], ["storage", "/vip"]),
        Misfit("another pod", ["pod": "b"], ["spec.pod", "/vip"]),
    ]

    @Test(arguments: misfits)
    func `a claim that cannot serve the pod is an error that says why`(misfit: Misfit) async throws {
        try await IdentityBench.run { identity in
            let pool = try await identity.bench.makePool()
            try await identity.makeClaim("vip", misfit.spec)
            let pod = try await identity.pod("a", isOwned: false, annotations: [AnnotationKey.claim: "vip"])
            let refused = try await identity.add(try identity.sandbox(of: pod), pool)
            #expect(refused.code == PluginCode.addressRefused)
            for text in misfit.quoted { #expect("\(refused)".contains(text), "\(refused)") }
            #expect(try await identity.bench.allocations(pool).isEmpty)
        }
    }

    @Test(arguments: [("none", PluginCode.addressRefused), ("Not A Name", PluginCode.annotationRefused)])
    func `a claim that does not exist, or cannot, is an error that quotes it`(name: String, code: Int) async throws {
        try await IdentityBench.run { identity in
            let pool = try await identity.bench.makePool()
            let pod = try await identity.pod(annotations: [AnnotationKey.claim: name])
            let refused = try await identity.add(try identity.sandbox(of: pod), pool)
            #expect(refused.code == code)
            #expect("\(refused)".contains(name), "\(refused)")
        }
    }

    @Test func `two interfaces of one pod have two claims, and cannot share one`() async throws {
        try await IdentityBench.run { identity in
            let pool = try await identity.bench.makePool()
            let pod = try await identity.pod()
            let first = try identity.sandbox(of: pod)
            let second = first.with(interface: "Net_1")
            let (a, b) = (try await identity.add(first, pool).checked(), try await identity.add(second, pool).checked())
            #expect(try await identity.claims().count == 2)
            try await identity.del(second, pool)
            try await identity.del(first, pool)
            let next = try identity.sandbox(of: pod)
            #expect(try await identity.add(next.with(interface: "Net_1"), pool).checked().addresses == b.addresses)
            #expect(try await identity.add(next, pool).checked().addresses == a.addresses)

            try await identity.makeClaim("vip")
            let other = try await identity.pod("x", isOwned: false, annotations: [AnnotationKey.claim: "vip"])
            let sandbox = try identity.sandbox(of: other)
            try await identity.add(sandbox, pool).checked()
            let refused = try await identity.add(sandbox.with(interface: "net1"), pool)
            #expect(refused.code == PluginCode.addressRefused)
            #expect("\(refused)".contains("net1") && "\(refused)".contains("eth0"), "\(refused)")
        }
    }
}
