import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// Reserved addresses as a node sees them, without a controller: either the status of the pool says what is reserved, as
/// a controller wrote it, or it does not, and the node reads the reservations.
@Suite("Reservations", .controlPlane, .timeLimit(.minutes(10)))
struct ReservationTests {
    /// Where a node gets the rule from.
    enum Source: CaseIterable, Sendable {
        case status, list
    }

    private static let reservations = "ipreservations.ipam.berth.dev"

    // MARK: Nobody is given a reserved address

    @Test(arguments: PoolStrategy.allCases, Source.allCases)
    func `reserved and excluded are not assigned`(strategy: PoolStrategy, source: Source) async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(size: 10, cooldown: "0s", strategy: strategy, isCompiled: false)
            try await bench.change(pool, ["exclude": [.string(pool.addresses[0])]])
            try await bench.reserve(["\(pool.addresses[1])-\(pool.addresses[4])"])
            if source == .status { try await bench.compile(pool) }
            let free = Set(pool.addresses[5...])
            var given: Set<String> = []
            for _ in free {
                given.formUnion(try await bench.add(try bench.node.newSandbox(), pool).checked().addresses)
            }
            #expect(given == free)
            let refused = try await bench.add(try bench.node.newSandbox(), pool)
            #expect(refused.code == PluginCode.exhausted, "\(refused)")
            #expect(refused.failure?.message.contains("5 usable addresses") == true, "\(refused)")
        }
    }

    @Test(arguments: Source.allCases)
    func `K8: a reserved address is never allocated, not on request either`(source: Source) async throws {
        try await ClaimBench.run { bench in
            let (v4, v6) = (
                try await bench.makePool(.v4, isCompiled: false), try await bench.makePool(.v6, isCompiled: false)
            )
            try await bench.reserve([v4.addresses[3], v6.addresses[3]])
            if source == .status {
                try await bench.compile(v4)
                try await bench.compile(v6)
            }
            for pool in [v4, v6] {
                let configuration = bench.configuration(
                    [v4, v6], members: ["runtimeConfig": ["ips": [.string(pool.addresses[3])]]])
                let refused = try await bench.node.add(try bench.node.newSandbox(), configuration)
                #expect(refused.code == PluginCode.addressRefused, "\(refused)")
                #expect(refused.failure?.message.contains("keeps it for a reservation") == true, "\(refused)")
            }
            #expect(try await bench.areFree(v4, v6))
        }
    }

    @Test
    func `F2: reserved ranges in full and shorthand form are never allocated; one added later blocks only new ADDs`()
        async throws
    {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(size: 9, cooldown: "0s", isCompiled: false)
            let (full, short) = ("\(pool.addresses[0])-\(pool.addresses[2])", "\(pool.addresses[3])-15")
            try await bench.reserve([full, short])
            let early = try bench.node.newSandbox()
            let added = try await bench.add(early, pool).checked()
            #expect(pool.addresses[6...].contains(try #require(added.addresses.first)))
            // Added later, over the address that is in use.
            try await bench.reserve([try #require(added.addresses.first)])
            try await bench.add(early, pool).checked(addresses: added.addresses)
            // Another node, for this one remembers for a few seconds what it read.
            try await bench.withNode { node in
                var given: Set<String> = []
                for _ in 0..<2 {
                    given.formUnion(
                        try await node.add(try node.newSandbox(), bench.configuration([pool], on: node)).checked()
                            .addresses)
                }
                #expect(given == Set(pool.addresses[6...]).subtracting(added.addresses))
                let refused = try await node.add(try node.newSandbox(), bench.configuration([pool], on: node))
                #expect(refused.code == PluginCode.exhausted, "\(refused)")
            }
        }
    }

    @Test func `an address in use cannot be taken away silently, and is not given again once it is free`() async throws
    {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(size: 1, cooldown: "0s")
            let (sandbox, configuration) = (try bench.node.newSandbox(), bench.configuration([pool]))
            let added = try await bench.add(sandbox, pool).checked()
            try await bench.reserve(pool.addresses)
            try await bench.compile(pool)
            // It stays its holder's, through CHECK and another ADD of the same sandbox.
            try await bench.node.check(sandbox, configuration, previous: added).checked()
            try await bench.add(sandbox, pool).checked(addresses: added.addresses)
            #expect(try await bench.holders(pool) == [pool.addresses[0]: sandbox.attachment()])
            try await bench.del(sandbox, pool, previous: added)
            #expect(try await bench.areFree(pool))
            let refused = try await bench.add(try bench.node.newSandbox(), pool)
            #expect(refused.code == PluginCode.exhausted)
            #expect(refused.failure?.message.contains("every address is reserved") == true, "\(refused)")
        }
    }

    @Test(arguments: [true, false])
    func `a reserved address that cools is not taken over`(isPublished: Bool) async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(size: 3, cooldown: "300s")
            try await bench.enter(pool.addresses[0], of: pool)
            for address in pool.addresses[1...] { try await bench.enter(address, of: pool, .cooling, cooldown: 300) }
            try await bench.reserve([pool.addresses[1]])
            if isPublished { try await bench.publish(pool, free: [], cooling: 2) }
            try await bench.compile(pool)
            let added = try await bench.add(try bench.node.newSandbox(), pool).checked()
            #expect(added.addresses == [pool.addresses[2]])
            let refused = try await bench.add(try bench.node.newSandbox(), pool)
            #expect(refused.code == PluginCode.exhausted, "\(refused)")
        }
    }

    @Test func `a hint that shows a reserved address as free does not get it allocated`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            try await bench.publish(pool, free: [pool.addresses[3], pool.addresses[7]])
            try await bench.reserve([pool.addresses[3]])
            try await bench.compile(pool)
            let added = try await bench.add(try bench.node.newSandbox(), pool).checked()
            #expect(added.addresses == [pool.addresses[7]])
            let refused = try await bench.add(try bench.node.newSandbox(), pool)
            #expect(refused.succeeded == false || !refused.addresses.contains(pool.addresses[3]), "\(refused)")
        }
    }

    @Test func `a range in the network configuration obeys reservations from its first address on`() async throws {
        try await ClaimBench.run { bench in
            let subnets = Subnets.next()
            let addresses = (8...11).map { subnets.address4($0) }
            let ipam: JSON = [
                "range": .string(subnets.subnet4), "range_start": .string(addresses[0]),
                "range_end": .string(addresses[3]),
            ]
            try await bench.reserve([addresses[0], addresses[2], addresses[3]])
            let added = try await bench.node.add(
                try bench.node.newSandbox(), bench.node.configuration(ipam: ipam)
            ).checked()
            #expect(added.addresses == [addresses[1]])
            let refused = try await bench.node.add(try bench.node.newSandbox(), bench.node.configuration(ipam: ipam))
            #expect(refused.code == PluginCode.exhausted, "\(refused)")
        }
    }

    @Test func `a reservation for some pools, or of another network, leaves the others alone`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(size: 1, cooldown: "0s", isCompiled: false)
            let other = try await bench.makePool()
            try await bench.reserve(pool.addresses, ["pools": [.string(other.name)]])
            try await bench.reserve(pool.addresses, ["network": "red"])
            #expect(try await bench.add(try bench.node.newSandbox(), pool).checked().addresses == pool.addresses)
        }
    }

    // MARK: Purposes

    @Test(arguments: Source.allCases)
    func `C17: addresses reserved for a named use go only to that use`(source: Source) async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(size: 4, cooldown: "0s", isCompiled: false)
            let own = Set(pool.addresses[..<2])
            try await bench.reserve(Array(own), ["purpose": "egress"])
            if source == .status { try await bench.compile(pool) }

            var given: Set<String> = []
            for _ in own {
                let pod = try await bench.newPod(purpose: "egress")
                given.formUnion(try await bench.add(try bench.node.newSandbox(pod: pod), pool).checked().addresses)
            }
            #expect(given == own)
            // Its addresses are exhausted, and others are none of its.
            let pod = try await bench.newPod(purpose: "egress")
            let exhausted = try await bench.add(try bench.node.newSandbox(pod: pod), pool)
            #expect(exhausted.code == PluginCode.exhausted, "\(exhausted)")
            #expect(
                exhausted.failure?.message.contains("2 usable addresses reserved for the purpose \"egress\"") == true,
                "\(exhausted)")

            // Everybody else gets the others: who names nothing, who names something else, and what is no pod.
            let pods = [try await bench.newPod(), try await bench.newPod(purpose: "other")]
            given = []
            for pod in pods {
                given.formUnion(try await bench.add(try bench.node.newSandbox(pod: pod), pool).checked().addresses)
            }
            #expect(given == Set(pool.addresses[2...]))
            #expect(try await bench.add(try bench.node.newSandbox(), pool).code == PluginCode.exhausted)
        }
    }

    @Test func `C17: a pod whose claim names the purpose gets its addresses, and keeps them`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(size: 4, cooldown: "0s", isCompiled: false)
            try await bench.reserve([pool.addresses[2]], ["purpose": "egress"])
            let claim = Subnets.next().name
            let object: JSON = [
                "apiVersion": .string(BerthAPI.apiVersion), "kind": "IPClaim",
                "metadata": ["name": .string(claim), "namespace": "default"], "spec": ["purpose": "egress"],
            ]
            _ = try await bench.controlPlane.withAdmin {
                try $0.create(.ipClaims, namespace: "default", name: claim, object: object, deadline: .soon)
            }
            for _ in 0..<2 {
                let pod = try await bench.controlPlane.makePod(
                    Subnets.next().name, node: bench.node.name, labels: [ControlPlane.testLabel: bench.label],
                    annotations: [AnnotationKey.claim: claim])
                let sandbox = try bench.node.newSandbox(pod: pod)
                #expect(try await bench.add(sandbox, pool).checked().addresses == [pool.addresses[2]])
                #expect(try await bench.add(sandbox, pool).checked().addresses == [pool.addresses[2]])
                try await bench.del(sandbox, pool)
                try await bench.controlPlane.delete(pod)
            }
            // Asked for by name, too.
            let asking = try await bench.controlPlane.makePod(
                Subnets.next().name, node: bench.node.name, labels: [ControlPlane.testLabel: bench.label],
                annotations: [AnnotationKey.claim: claim, AnnotationKey.addresses: pool.addresses[2]])
            let sandbox = try bench.node.newSandbox(pod: asking)
            #expect(try await bench.add(sandbox, pool).checked().addresses == [pool.addresses[2]])
            try await bench.del(sandbox, pool)
            try await bench.controlPlane.delete(asking)
            let greedy = try await bench.controlPlane.makePod(
                Subnets.next().name, node: bench.node.name, labels: [ControlPlane.testLabel: bench.label],
                annotations: [AnnotationKey.claim: claim, AnnotationKey.addresses: pool.addresses[1]])
            #expect(
                try await bench.add(try bench.node.newSandbox(pod: greedy), pool).code == PluginCode.addressRefused)
            let confused = try await bench.controlPlane.makePod(
                Subnets.next().name, node: bench.node.name, labels: [ControlPlane.testLabel: bench.label],
                annotations: [AnnotationKey.claim: claim, AnnotationKey.purpose: "dns"])
            let refused = try await bench.add(try bench.node.newSandbox(pod: confused), pool)
            #expect(refused.code == PluginCode.addressRefused, "\(refused)")
            #expect(refused.failure?.message.contains("names \"dns\"") == true, "\(refused)")
            _ = try await bench.controlPlane.withAdmin {
                try $0.delete(.ipClaims, namespace: "default", name: claim, preconditions: nil, deadline: .soon)
            }
        }
    }

    @Test func `C17: an address of a purpose is given on request to who names it, and to nobody else`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(cooldown: "0s")
            try await bench.reserve(Array(pool.addresses[..<3]), ["purpose": "egress"])
            try await bench.compile(pool)
            func ask(_ purpose: String?, _ address: String) async throws -> PluginOutcome {
                let pod = try await bench.newPod(purpose: purpose)
                return try await bench.node.add(
                    try bench.node.newSandbox(pod: pod),
                    bench.configuration([pool], members: ["runtimeConfig": ["ips": [.string(address)]]]))
            }
            #expect(try await ask(nil, pool.addresses[1]).code == PluginCode.addressRefused)
            #expect(try await ask("other", pool.addresses[1]).code == PluginCode.addressRefused)
            #expect(try await ask("egress", pool.addresses[1]).checked().addresses == [pool.addresses[1]])
            let outside = try await ask("egress", pool.addresses[5])
            #expect(outside.code == PluginCode.addressRefused)
            #expect(outside.failure?.message.contains("for the purpose \"egress\"") == true, "\(outside)")
        }
    }

    @Test func `a purpose that no label can be fails the ADD with a message that quotes it`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let pod = try await bench.newPod(purpose: "E gress")
            let refused = try await bench.add(try bench.node.newSandbox(pod: pod), pool)
            #expect(refused.code == PluginCode.annotationRefused)
            #expect(
                refused.failure?.message.contains("annotation ipam.berth.dev/purpose: \"E gress\"") == true,
                "\(refused)")
        }
    }

    // MARK: Without a controller

    @Test func `without a controller a reservation is obeyed, for one list that all ADDs of a node share`() async throws
    {
        try await ClaimBench.run { bench in
            let (v4, v6) = (
                try await bench.makePool(.v4, isCompiled: false), try await bench.makePool(.v6, isCompiled: false)
            )
            let usable = Set(v4.addresses[5...])
            try await bench.reserve(Array(v4.addresses[..<5]))
            let start = ContinuousClock.now
            let outcomes = try await bench.sideBySide(8) { _ in
                try await bench.add(try bench.node.newSandbox(), v4, v6).checked()
            }
            let elapsed = ContinuousClock.now - start
            #expect(outcomes.allSatisfy { !usable.isDisjoint(with: $0.addresses) })
            let lists = bench.proxy.log.filter("list", Self.reservations)
            // What is read serves for five seconds.
            #expect((1...1 + Int(elapsed / .seconds(5))).contains(lists.count), "\(lists.count) in \(elapsed)")
            let list = try #require(lists.first).request
            // From etcd, not from a cache that may lag.
            #expect(list.queryValue("resourceVersion") == nil)
        }
    }

    @Test func `what a node remembers of a pool says nothing of another one or of a later generation`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(size: 2, cooldown: "0s", isCompiled: false)
            let first = try await bench.add(try bench.node.newSandbox(), pool).checked().addresses[0]
            let left = try #require(pool.addresses.first { $0 != first })
            let other = try await bench.makePool(size: 1, isCompiled: false)
            try await bench.reserve([left, other.addresses[0]])
            #expect(try await bench.add(try bench.node.newSandbox(), other).code == PluginCode.exhausted)
            try await bench.change(pool, ["cooldown": "11s"])
            #expect(try await bench.add(try bench.node.newSandbox(), pool).code == PluginCode.exhausted)
        }
    }

    @Test func `a rule of an older generation is read anew, and one of the present generation is not`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(size: 2, cooldown: "0s")
            try await bench.reserve([pool.addresses[0]])
            try await bench.compile(pool)
            #expect(
                try await bench.add(try bench.node.newSandbox(), pool).checked().addresses == [pool.addresses[1]])
            #expect(bench.proxy.log.count("list", Self.reservations) == 0)
            try await bench.change(pool, ["ranges": [.string("\(pool.addresses[0])-12")]])
            let added = try await bench.add(try bench.node.newSandbox(), pool).checked()
            #expect(!pool.addresses.contains(try #require(added.addresses.first)))
            #expect(bench.proxy.log.count("list", Self.reservations) == 1)
        }
    }

    @Test func `a server that does not serve reservations has none, and one that refuses to say fails the ADD`()
        async throws
    {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(isCompiled: false)
            let list = RequestMatcher.verb("list", Self.reservations)
            let refusal = bench.proxy.when(list, .always, .forbidden)
            let refused = try await bench.add(try bench.node.newSandbox(), pool)
            #expect(refused.failure?.message.contains("list ipreservations.ipam.berth.dev") == true, "\(refused)")
            #expect(try await bench.areFree(pool))
            refusal.remove()
            bench.proxy.when(
                list, .always,
                .respond(
                    status: 404, headers: [("content-type", "text/plain; charset=utf-8")],
                    body: Array("404 page not found\n".utf8)))
            try await bench.add(try bench.node.newSandbox(), pool).checked()
        }
    }
}

extension ClaimBench {
    /// Reserves ranges in every pool, or where the other members of the spec say.
    func reserve(_ ranges: [String], _ members: JSON = [:]) async throws {
        let name = Subnets.next().name
        var spec: JSON = ["ranges": .strings(ranges), "reason": "a test"]
        for member in members.object?.members ?? [] { spec[member.name] = member.value }
        let object: JSON = [
            "apiVersion": .string(BerthAPI.apiVersion), "kind": "IPReservation",
            "metadata": ["name": .string(name), "labels": [ControlPlane.testLabel: .string(label)]], "spec": spec,
        ]
        _ = try await controlPlane.withAdmin {
            try $0.create(.ipReservations, name: name, object: object, deadline: .soon)
        }
    }

    /// Writes what is reserved into the status of a pool, as the controller does, and leaves the rest of the status.
    func compile(_ pool: ClaimPool) async throws {
        try await controlPlane.withAdmin { client in
            let list = try client.list(.ipReservations, deadline: .soon)
            let reservations = try list.items.map { ValidatedReservation(reading: try IPReservation($0)) }
            let outcome = try client.modify(.ipPools, name: pool.name, subresource: "status", deadline: .soon) { json in
                let read = try IPPool(json)
                var object = json
                object["status"] = ReservationRule(reservations, pool: read).applied(to: read).status?.json
                return .update(object)
            }
            guard case .done = outcome else { throw TestSetUpError("the status was not written: \(outcome)") }
        }
    }

    /// A pod that names a purpose in its annotations.
    func newPod(purpose: String?) async throws -> TestPod {
        try await controlPlane.makePod(
            Subnets.next().name, node: node.name, labels: [ControlPlane.testLabel: label],
            annotations: purpose.map { [AnnotationKey.purpose: $0] } ?? [:])
    }
}

extension PluginOutcome {
    /// Fails the test unless it succeeded with these addresses.
    fileprivate func checked(addresses expected: [String]) throws {
        #expect(try checked().addresses == expected)
    }
}
