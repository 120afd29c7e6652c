import IPAMAPI
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

@Suite("Test support", .timeLimit(.minutes(1)))
struct TestSupportTests {
    @Test func `a run in CI has an API server`() throws {
        try ControlPlane.checkThatCIHasOne()
    }

    @Test func `a wait ends with the change that brings what is waited for`() async throws {
        let observed = Observed(0)
        async let found = observed.wait(for: "3") { $0 == 3 ? "three" : nil }
        for number in 1...5 { observed.update { $0 = number } }
        // The wait may have begun only now.
        observed.update { $0 = 3 }
        #expect(try await found == "three")
    }

    @Test func `a wait in vain says what the value was`() async throws {
        let observed = Observed(["a"])
        let error = await #expect(throws: WaitTimeout.self) {
            try await observed.wait(for: "b", within: .milliseconds(1)) { $0.contains("b") ? true : nil }
        }
        #expect(error?.description.contains(#"for b, in vain; at the end: ["a"]"#) == true)
    }

    @Test func `a wait ends with its task`() async throws {
        let observed = Observed(false)
        let task = Task { try await observed.wait(for: "the impossible") { $0 ? true : nil } }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }

    @Test func `those who arrive at a gate wait until it opens`() async throws {
        let gate = Gate()
        let passed = Observed(0)
        for _ in 0..<3 {
            gate.pass { passed.update { $0 += 1 } }
        }
        try await gate.reached(3)
        #expect(passed.value == 0)
        gate.open()
        #expect(passed.value == 3)
        await gate.pass()
        #expect(gate.arrivals == 4)
    }

    @Test func `the same seed gives the same numbers`() {
        var generator = SplitMix64(seed: 1_234_567)
        // The test vector of the reference implementation.
        let expected: [UInt64] = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        #expect((0..<3).map { _ in generator.next() } == expected)
    }

    @Test func `subnets are valid and differ`() throws {
        let subnets = (0..<300).map { _ in Subnets.next() }
        #expect(Set(subnets.map(\.subnet4)).count == 300)
        #expect(Set(subnets.map(\.subnet6)).count == 300)
        for subnet in subnets {
            _ = try IPPrefix(parsing: subnet.subnet4)
            _ = try IPPrefix(parsing: subnet.subnet6)
            _ = try IPAddress(parsing: subnet.address6(0xFFFF))
        }
        #expect(Set((0..<64).map { _ in Subnets.nextLarge() }).count == 64)
    }

    @Test func `the audit finds what is duplicate, lost and leaked`() throws {
        func attachment(_ id: String) -> IPAMAPI.Attachment {
            IPAMAPI.Attachment(networkName: "net", containerID: id, interface: "eth0")
        }
        func allocation(_ address: String, _ holder: String?) throws -> IPAllocation {
            let spec = IPAllocation.Spec(
                state: holder == nil ? .cooling : .bound, origin: .container, pool: "p", poolUID: "",
                address: try IPAddress(parsing: address), network: "", node: "n", machineID: "m",
                attachment: holder.map(attachment), pod: nil, claim: nil, cooldownSeconds: 10, claimedAt: nil,
                releasedAt: nil)
            return try IPAllocation(spec.newObject())
        }
        let address = try (1...6).map { try IPAddress(parsing: "10.0.0.\($0)") }
        let audit = LedgerAudit(
            [
                try allocation("10.0.0.1", "a"), try allocation("10.0.0.2", "b"), try allocation("10.0.0.3", "x"),
                try allocation("10.0.0.4", nil),
            ],
            believed: [
                attachment("a"): [address[0]],
                attachment("b"): [address[1], address[4]],
                attachment("c"): [address[1]],
            ])
        #expect(!audit.isClean)
        #expect(audit.agreed == 2)
        #expect(audit.cooling == 1)
        #expect(audit.duplicates.map(\.address) == [address[1]])
        #expect(
            Set(audit.lost) == [
                .init(address: address[4], attachment: attachment("b")),
                .init(address: address[1], attachment: attachment("c")),
            ])
        #expect(audit.leaked == [.init(address: address[2], attachment: attachment("x"))])
        #expect(LedgerAudit([try allocation("10.0.0.1", "a")], believed: [attachment("a"): [address[0]]]).isClean)
    }

    @Test(.controlPlane) func `a pod is made, deleted at once and made again`() async throws {
        let controlPlane = try ControlPlane.required()
        let name = Subnets.next().name
        let first = try await controlPlane.makePod(name, node: "n1", configHash: "abc")
        let second = try await controlPlane.recreate(first)
        #expect(first.uid != second.uid)
        #expect(first.name == second.name)
        // The first one's deletion comes late, and must not take the second one.
        try await controlPlane.delete(first)
        let read = try await controlPlane.withAdmin {
            try $0.get(.pods, namespace: "default", name: name, deadline: .soon)
        }
        #expect(read["metadata"]?["uid"]?.string == second.uid)
        try await controlPlane.delete(second)
        try await controlPlane.delete(second)
    }

    @Test(.controlPlane) func `blocking work for many at once blocks no task`() async throws {
        let controlPlane = try ControlPlane.required()
        let gate = Gate()
        try await withThrowingTaskGroup { group in
            for _ in 0..<8 {
                group.addTask {
                    try await controlPlane.withAdmin { client in
                        gate.pass {}
                        _ = try client.get(.namespaces, name: "default", deadline: .soon)
                    }
                }
            }
            try await gate.reached(8)
            try await group.waitForAll()
        }
    }

    @Test(.controlPlane) func `the plugin's service account has the plugin's role`() async throws {
        let controlPlane = try await ControlPlane.ready()
        let configuration = try await controlPlane.configuration(as: .plugin)
        try await controlPlane.withConnection(configuration) { connection in
            #expect(throws: APIError.self) { try connection.call(.get(.ipPools, name: "none")) }
            let error = #expect(throws: APIError.self) { try connection.call(.list(.nodes)) }
            #expect(error?.isForbidden == true)
        }
    }

    @Test(.controlPlane) func `a node runs the plugin through a proxy, and the audit agrees`() async throws {
        let controlPlane = try await ControlPlane.ready()
        let subnets = Subnets.next()
        let pool: JSON = [
            "apiVersion": .string(BerthAPI.apiVersion), "kind": "IPPool", "metadata": ["name": .string(subnets.name)],
            "spec": ["subnet": .string(subnets.subnet4), "cooldown": "0s"],
        ]
        try await controlPlane.apply(pool)
        try await controlPlane.withFaultProxy { proxy in
            try await withTestNode(controlPlane, through: proxy) { node in
                let pod = try await controlPlane.makePod(subnets.name, node: node.name)
                let sandbox = try node.newSandbox(pod: pod)
                let configuration = node.configuration(pools: [subnets.name])

                let added = try await node.add(sandbox, configuration).checked()
                let believed = [sandbox.attachment(): try added.parsedAddresses()]
                let held = try await controlPlane.audit(pool: subnets.name, believed: believed)
                #expect(held.isClean && held.agreed == 1, "\(held)")
                try await node.check(sandbox, configuration, previous: added).checked()
                #expect(proxy.log.count("create", "ipallocations.ipam.berth.dev") == 1)
                #expect(!node.log.isEmpty)

                try await node.del(sandbox, configuration, previous: added).checked()
                try await node.delAgain(sandbox, configuration).checked()
                let lost = try await controlPlane.audit(pool: subnets.name, believed: believed)
                #expect(lost.lost.count == 1)
                #expect(try await controlPlane.allocations(pool: subnets.name).isEmpty)
                try await controlPlane.delete(pod)
            }
        }
        try await controlPlane.kubectl(["delete", "ippool", subnets.name, "--wait=false"])
    }
}
