import IPAMAPI
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// Selection where a node remembers all pools, and reads few of them.
@Suite("Many pools", .controlPlane, .timeLimit(.minutes(10)))
struct ManyPoolsTests {
    private static let count = 20

    /// Default pools of the rig's node, each for pods of one tier.
    private func makePools(_ rig: PluginRig) async throws -> [String] {
        var names: [String] = []
        for index in 0..<Self.count {
            names.append(
                try await rig.makePool(
                    "p\(index)",
                    [
                        "ranges": [rig.range4((10 * index + 1)...(10 * index + 9))], "default": true, "cooldown": "0s",
                        "nodes": [.string(rig.node.name)], "podSelector": Self.tier("t\(index)"),
                    ]))
        }
        return names
    }

    private static func tier(_ name: String) -> JSON { ["matchLabels": ["tier": .string(name)]] }

    /// The pool that an ADD for a pod takes an address of, by the address, which is given back.
    private func pool(_ rig: PluginRig, _ pod: TestPod) async throws -> Int {
        let sandbox = try rig.node.newSandbox(pod: pod)
        let added = try await rig.node.add(sandbox, rig.node.configuration())
        let host = try #require(Int(try added.checked().addresses[0].split(separator: ".")[3]))
        try await rig.node.del(sandbox, rig.node.configuration(), previous: added).checked()
        return host / 10
    }

    @Test func `what was edited, deleted or made since the last ADD counts in the next one`() async throws {
        try await PluginRig.run { rig in
            let pools = try await makePools(rig)
            let pod = try await rig.makePod(labels: ["tier": "t3"])
            for _ in 0..<3 { #expect(try await pool(rig, pod) == 3) }

            try await rig.changePool(pools[3], ["podSelector": Self.tier("other")])
            try await rig.changePool(pools[5], ["podSelector": Self.tier("t3")])
            try await rig.controlPlane.compileNothing(into: pools[5])
            for _ in 0..<2 { #expect(try await pool(rig, pod) == 5) }

            // A more specific one that nothing was known of.
            _ = try await rig.makePool(
                "more",
                [
                    "ranges": [rig.range4(201...209)], "default": true, "cooldown": "0s",
                    "nodes": [.string(rig.node.name)], "podSelector": ["matchLabels": ["tier": "t3", "size": "xl"]],
                ])
            let large = try await rig.makePod("large", labels: ["tier": "t3", "size": "xl"])
            #expect(try await pool(rig, large) == 20)
            #expect(try await pool(rig, pod) == 5)

            try await rig.changePool(pools[5], ["disabled": true])
            try await rig.changePool(pools[7], ["podSelector": Self.tier("t3")])
            try await rig.controlPlane.compileNothing(into: pools[7])
            #expect(try await pool(rig, pod) == 7)
            try await rig.deletePool(pools[7])
            let refused = try await rig.node.add(try rig.node.newSandbox(pod: pod), rig.node.configuration())
            try expectFailure(refused, code: 100, says: [pools[5], "spec.disabled"])
        }
    }

    @Test func `pools that were passed over serve when the first ones are full`() async throws {
        try await PluginRig.run { rig in
            for index in 0..<Self.count {
                let host = rig.range4((index + 1)...(index + 1))
                _ = try await rig.makePool(
                    "p\(index < 10 ? "0" : "")\(index)",
                    ["ranges": [host], "default": true, "cooldown": "0s", "nodes": [.string(rig.node.name)]])
            }
            var given: Set<String> = []
            for index in 0..<Self.count {
                let pod = try await rig.makePod("pod-\(index)")
                let added = try await rig.node.add(try rig.node.newSandbox(pod: pod), rig.node.configuration())
                given.formUnion(try added.checked().addresses)
            }
            #expect(given.count == Self.count)
            let pod = try await rig.makePod("last")
            let full = try await rig.node.add(try rig.node.newSandbox(pod: pod), rig.node.configuration())
            try expectFailure(full, code: 101, says: [rig.subnets.name("p00"), rig.subnets.name("p19")])
        }
    }

    @Test func `what cools in the first pools rests while one that was passed over has a free address`() async throws {
        try await PluginRig.run { rig in
            let last = Self.count - 1
            for index in 0...last {
                _ = try await rig.makePool(
                    "p\(index < 10 ? "0" : "")\(index)",
                    [
                        "ranges": [rig.range4((index + 1)...(index + 1))], "default": true, "cooldown": "300s",
                        "nodes": [.string(rig.node.name)],
                    ])
            }
            var given: [(sandbox: TestSandbox, address: String)] = []
            for index in 0..<last {
                let sandbox = try rig.node.newSandbox(pod: try await rig.makePod("pod-\(index)"))
                let added = try await rig.node.add(sandbox, rig.node.configuration()).checked()
                given.append((sandbox, added.addresses[0]))
            }
            let first = try #require(given.first { $0.address == rig.subnets.address4(1) })
            try await rig.node.del(first.sandbox, rig.node.configuration()).checked()
            let pod = try await rig.makePod("last")
            let added = try await rig.node.add(try rig.node.newSandbox(pod: pod), rig.node.configuration()).checked()
            #expect(added.addresses == [rig.subnets.address4(last + 1)])
        }
    }

    @Test func `a family whose first pools give nothing more is served by a later one`() async throws {
        try await PluginRig.run { rig in
            let node: JSON = [.string(rig.node.name)]
            for index in 0..<Self.count {
                let isFree = index == 0 || index > Self.count / 2
                var spec: JSON = ["default": true, "cooldown": "0s", "nodes": node]
                if index == 0 {
                    spec["ranges"] = [rig.range4(1...99)]
                } else {
                    let first = rig.subnets.address6(16 * index)
                    spec["subnet"] = .string(rig.subnets.subnet6)
                    spec["ranges"] = [.string("\(first)-\(rig.subnets.address6(16 * index + 9))")]
                    spec["namespaceQuota"] = 1
                }
                let name = try await rig.makePool("p\(index < 10 ? "0" : "")\(index)", spec)
                guard !isFree else { continue }
                let full: JSON = ["namespacesAtQuota": [["namespace": "default", "used": 1]]]
                _ = try await rig.controlPlane.withAdmin {
                    try $0.patch(
                        .ipPools, name: name, patch: .merge(["status": full]), subresource: "status", deadline: .soon)
                }
            }
            for suffix in ["a", "b", "c"] {
                let pod = try await rig.makePod(suffix)
                let added = try await rig.node.add(try rig.node.newSandbox(pod: pod), rig.node.configuration())
                #expect(try added.checked().addresses.count == 2)
            }
        }
    }

    // MARK: What is asked

    @Test func `an ADD reads the pool that serves, and asks whether it is still the right one beside the create`()
        async throws
    {
        try await run { bench, configuration in
            try await add(bench, try await bench.newPod(), configuration)
            #expect(bench.proxy.log.verbs.prefix(3).sorted() == ["get ippools", "get namespaces", "get pods"])
            // A create may meet the address that the first ADD has.
            #expect(Set(bench.proxy.log.verbs.dropFirst(3)) == ["create ipallocations", "list ippools"])
            #expect(bench.proxy.log.count("list", "ippools.ipam.berth.dev") == 1)
            #expect(isVerifying(bench))
        }
    }

    @Test func `a pod that may have a claim is served only after that was asked`() async throws {
        try await run { bench, configuration in
            let pod = try await bench.controlPlane.makePod(
                "\(Subnets.next().name("set"))-0", node: bench.node.name, labels: [ControlPlane.testLabel: bench.label])
            try await add(bench, pod, configuration)
            #expect(
                bench.proxy.log.verbs.prefix(5).sorted()
                    == ["get ipclaims", "get ippools", "get namespaces", "get pods", "list ippools"])
            #expect(Set(bench.proxy.log.verbs.dropFirst(5)) == ["create ipallocations"])
            #expect(isVerifying(bench))
        }
    }

    private func add(_ bench: ClaimBench, _ pod: TestPod, _ configuration: JSON) async throws {
        let added = try await bench.node.add(try bench.node.newSandbox(pod: pod), configuration)
        #expect(try added.checked().addresses.count == 1)
    }

    private func isVerifying(_ bench: ClaimBench) -> Bool {
        let list = bench.proxy.log.first { $0.request.description.hasPrefix("list ippools") }
        return list?.request.queryValue("includeObject") == "None"
    }

    /// Runs a body with a configuration that names none of many pools, one of which serves, on a node that has read them all.
    private func run(
        isolation: isolated (any Actor)? = #isolation, _ body: (ClaimBench, JSON) async throws -> Void
    ) async throws {
        try await ClaimBench.run { bench in
            // Other tests make pools all the time, and each one would be a change.
            bench.proxy.when(
                .verb("list", "ippools.ipam.berth.dev"), .always,
                .ask("labelSelector=\(ControlPlane.testLabel)%3D\(bench.label)"))
            var pools: [ClaimPool] = []
            for _ in 0..<Self.count { pools.append(try await bench.makePool()) }
            let (name, node) = (pools[0].name, bench.node.name)
            _ = try await bench.controlPlane.withAdmin {
                try $0.patch(
                    .ipPools, name: name, patch: .merge(["spec": ["default": true, "nodes": [.string(node)]]]),
                    deadline: .soon)
            }
            try await bench.controlPlane.compileNothing(into: name)
            var configuration = bench.configuration([pools[0]])
            configuration["ipam"]?["pools"] = nil
            try await add(bench, try await bench.newPod(), configuration)
            #expect(!isVerifying(bench))
            bench.proxy.clearLog()
            try await body(bench, configuration)
        }
    }
}
