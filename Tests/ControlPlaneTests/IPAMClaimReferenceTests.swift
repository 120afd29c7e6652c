import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesCore
import TestSupport
import Testing

/// Pods that refer to IPAMClaims, while no controller runs.
@Suite("IPAMClaims", .controlPlane, .timeLimit(.minutes(10)))
struct IPAMClaimReferenceTests {
    private static func run(
        annotations: [String: String] = [:], isolation: isolated (any Actor)? = #isolation,
        _ body: (IdentityBench) async throws -> Void
    ) async throws {
        try await ControlPlane.ipamClaims.value
        try await IdentityBench.run(annotations: annotations) { try await body($0) }
    }

    @Test func `what refers to one IPAMClaim keeps its addresses, under any pod's name`() async throws {
        // The switch of pods that ask for nothing.
        try await Self.run(annotations: [AnnotationKey.sticky: "false"]) { identity in
            let bench = identity.bench
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6))
            try await bench.change(v4, ["stickiness": "None"])
            let object = try await bench.controlPlane.makeIPAMClaim("vm1.blue", namespace: identity.namespace)
            let pod = try await identity.pod("a", referringTo: "vm1.blue")
            let sandbox = try identity.sandbox(of: pod, interface: "net1")
            let added = try await identity.add(sandbox, v4, v6).checked()
            let claim = try #require(try await identity.claims().first)
            #expect(claim.metadata.ownerReferences.map(\.uid) == [object.metadata.uid])
            #expect(claim.metadata.name.hasPrefix("vm1.blue.") && claim.isAutomatic)

            // One interface at a time.
            let other = try await identity.pod("b", referringTo: "vm1.blue")
            let waiting = try identity.sandbox(of: other, interface: "net1")
            let refused = try await identity.add(waiting, v4, v6)
            #expect(refused.code == PluginCode.tryAgainLater && "\(refused)".contains(pod.uid), "\(refused)")
            try await identity.del(sandbox, v4, v6)
            try await bench.controlPlane.delete(pod)
            bench.proxy.clearLog()
            #expect(try await identity.add(waiting, v4, v6).checked().addresses == added.addresses)
            #expect(bench.proxy.log.verbs.count { $0 == "get ipamclaims" } == 1)
        }
    }

    @Test func `an IPAMClaim is read beside the claim that stands for it`() async throws {
        try await Self.run { identity in
            let pool = try await identity.bench.makePool()
            try await identity.bench.controlPlane.makeIPAMClaim("vm1.blue", namespace: identity.namespace)
            let pod = try await identity.pod("a", referringTo: "vm1.blue")
            let added = try await identity.add(
                try identity.sandbox(of: pod, interface: "net1"), [pool],
                inRounds: [
                    ["get ippools", "get namespaces", "get pods"], ["get ipamclaims", "get ipclaims"],
                    ["create ipclaims"], ["create ipallocations", "patch ipclaims"],
                ])
            #expect(added.addresses.count == 1)
        }
    }

    @Test func `only the interface of the reference has it, and the others cost nothing`() async throws {
        try await Self.run { identity in
            let bench = identity.bench
            let pool = try await bench.makePool()
            try await bench.controlPlane.makeIPAMClaim("vm1.blue", namespace: identity.namespace)
            let pod = try await identity.pod("a", referringTo: "vm1.blue")
            bench.proxy.clearLog()
            try await identity.add(try identity.sandbox(of: pod), pool).checked()
            #expect(
                bench.proxy.log.verbs.sorted() == [
                    "create ipallocations", "get ippools", "get namespaces", "get pods",
                ])
            #expect(try await identity.claims().isEmpty)
        }
    }

    @Test func `what the IPAMClaim says already is what the interface gets, and nothing else`() async throws {
        try await Self.run { identity in
            let bench = identity.bench
            let pool = try await bench.makePool(cooldown: "0s")
            let (wish, taken) = (pool.addresses[7], pool.addresses[8])
            let namespace = identity.namespace
            try await bench.enter(taken, of: pool)
            for (name, ips, requests) in [
                ("restored", ["\(wish)/24"], ["\(taken)/24"]), ("wishing", [], ["\(wish)/24"]),
            ] {
                try await bench.controlPlane.makeIPAMClaim(
                    name, namespace: namespace, requests: requests, ips: ips)
                let pod = try await identity.pod("of-\(name)", referringTo: name)
                let sandbox = try identity.sandbox(of: pod, interface: "net1")
                #expect(try await identity.add(sandbox, pool).checked().addresses == [wish])
                try await identity.del(sandbox, pool)
                try await bench.deleteAllocation(wish)
            }
            for (name, address) in [("occupied", taken), ("elsewhere", "203.0.113.9"), ("odd", "nowhere")] {
                try await bench.controlPlane.makeIPAMClaim(name, namespace: namespace, ips: ["\(address)/24"])
                let pod = try await identity.pod("of-\(name)", referringTo: name)
                let refused = try await identity.add(try identity.sandbox(of: pod, interface: "net1"), pool)
                #expect(refused.code == PluginCode.addressRefused, "\(refused)")
                #expect("\(refused)".contains(address), "\(refused)")
            }
        }
    }

    @Test func `a reference that cannot be followed gives no address`() async throws {
        try await Self.run { identity in
            let bench = identity.bench
            let pool = try await bench.makePool()
            let pod = try await identity.pod("a", referringTo: "missing")
            let sandbox = try identity.sandbox(of: pod, interface: "net1")
            let read = RequestMatcher.verb("get", "ipamclaims.\(IPAMClaim.group)")
            let unserved = FaultAction.respond(
                status: 404, headers: [("content-type", "text/plain")], body: Array("404 page not found\n".utf8))
            for (action, code, text) in [
                (FaultAction?.none, PluginCode.tryAgainLater, "does not exist"),
                (unserved, PluginCode.tryAgainLater, "does not serve"),
                (.forbidden, PluginCode.forbidden, "missing permission"),
            ] {
                let rule = action.map { bench.proxy.when(read, .always, $0) }
                let refused = try await identity.add(sandbox, pool)
                rule?.remove()
                #expect(refused.code == code && "\(refused)".contains(text), "\(refused)")
                #expect("\(refused)".contains("missing"), "\(refused)")
                if code == PluginCode.tryAgainLater {
                    #expect("\(refused)".contains("element 2") && "\(refused)".contains("\(pod.name)"), "\(refused)")
                }
            }
            #expect(try await identity.claims().isEmpty)
            #expect(try await bench.allocations(pool).isEmpty)
        }
    }

    @Test func `an IPAMClaim that is made anew inherits nothing`() async throws {
        try await Self.run { identity in
            let bench = identity.bench
            let pool = try await bench.makePool(size: 2)
            let first = try await bench.controlPlane.makeIPAMClaim("vm1.blue", namespace: identity.namespace)
            let pod = try await identity.pod("a", referringTo: "vm1.blue")
            let sandbox = try identity.sandbox(of: pod, interface: "net1")
            let address = try #require(try await identity.add(sandbox, pool).checked().addresses.first)
            try await identity.del(sandbox, pool)
            try await bench.controlPlane.deleteIPAMClaim("vm1.blue", namespace: identity.namespace)
            try await bench.controlPlane.makeIPAMClaim("vm1.blue", namespace: identity.namespace)
            let early = try await identity.add(sandbox, pool)
            #expect(early.code == PluginCode.tryAgainLater && "\(early)".contains(first.metadata.uid), "\(early)")
            // What the garbage collector does.
            try await identity.deleteClaim(try #require(try await identity.claims().first).metadata.name)
            let added = try await identity.add(sandbox, pool).checked()
            #expect(added.addresses == pool.addresses.filter { $0 != address })
        }
    }

    @Test func `the claim of an IPAMClaim serves nobody who only names it`() async throws {
        try await Self.run { identity in
            let pool = try await identity.bench.makePool()
            try await identity.bench.controlPlane.makeIPAMClaim("vm1.blue", namespace: identity.namespace)
            let pod = try await identity.pod("a", referringTo: "vm1.blue")
            try await identity.add(try identity.sandbox(of: pod, interface: "net1"), pool).checked()
            let name = try #require(try await identity.claims().first).metadata.name
            let thief = try await identity.pod("thief", isOwned: false, annotations: [AnnotationKey.claim: name])
            let refused = try await identity.add(try identity.sandbox(of: thief), pool)
            #expect(refused.code == PluginCode.addressRefused && "\(refused)".contains("vm1.blue"), "\(refused)")
        }
    }
}

extension IdentityBench {
    /// A pod whose second network is that of the interface net1, and refers to an IPAMClaim.
    fileprivate func pod(_ name: String, referringTo claim: String) async throws -> TestPod {
        let list: JSON = [
            ["name": "first", "interface": "net0"],
            ["name": "blue", "interface": "net1", "ipam-claim-reference": .string(claim)],
        ]
        return try await pod(name, isOwned: false, annotations: [IPAMClaimReference.annotation: list.description])
    }
}
