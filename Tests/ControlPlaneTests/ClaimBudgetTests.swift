import IPAMAPI
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// How many requests the plugin makes, and which of them side by side.
@Suite("The request budget", .controlPlane, .timeLimit(.minutes(10)))
struct ClaimBudgetTests {
    @Test(arguments: [false, true])
    func `an ADD reads the pod beside the pool, and the namespace where it counts, and then creates`(
        heedsNamespaces: Bool
    ) async throws {
        try await ClaimBench.run(settings: ["namespaceAnnotations": .bool(heedsNamespaces)]) { bench in
            let reads = ["get ippools"] + (heedsNamespaces ? ["get namespaces"] : []) + ["get pods"]
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox(pod: try await bench.newPod())
            let gate = Gate()
            bench.proxy.when(.method("GET"), .always, .hold(gate))
            let call = try bench.start("ADD", sandbox, pool)
            try await gate.reached(reads.count)
            #expect(bench.proxy.log.verbs.sorted() == reads)
            gate.open()
            let added = try await call.outcome().checked()
            #expect(Array(bench.proxy.log.verbs.dropFirst(reads.count)) == ["create ipallocations"])
            #expect(added.addresses == bench.proxy.log.allocationNames("create"))
            #expect(Set(bench.proxy.log.map(\.request.connection)).count == 1)
        }
    }

    @Test(arguments: [false, true])
    func `an ADD that leaves the choice open lists the pools in the same round`(isPattern: Bool) async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            var configuration = bench.configuration([pool])
            if isPattern {
                configuration["ipam"]?["pools"] = .strings([pool.name + "*"])
            } else {
                configuration["ipam"]?["pools"] = nil
                let (name, node) = (pool.name, bench.node.name)
                _ = try await bench.controlPlane.withAdmin {
                    try $0.patch(
                        .ipPools, name: name, patch: .merge(["spec": ["default": true, "nodes": [.string(node)]]]),
                        deadline: .soon)
                }
                try await bench.controlPlane.compileNothing(into: pool.name)
            }
            let sandbox = try bench.node.newSandbox(pod: try await bench.newPod())
            let gate = Gate()
            bench.proxy.when(.method("GET"), .always, .hold(gate))
            let call = try bench.node.runner.start(bench.node.call("ADD", sandbox, configuration))
            try await gate.reached(3)
            #expect(bench.proxy.log.verbs.sorted() == ["get namespaces", "get pods", "list ippools"])
            gate.open()
            try await call.outcome().checked()
            #expect(Array(bench.proxy.log.verbs.dropFirst(3)) == ["create ipallocations"])
            // From the server's cache.
            let list = bench.proxy.log.first { $0.request.description.hasPrefix("list ippools") }
            #expect(list?.request.queryValue("resourceVersion") == "0")
        }
    }

    @Test
    func `labels of the node cost a round once, nothing while remembered, and then a read beside the others`()
        async throws
    {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let (name, node) = (pool.name, bench.node.name)
            let labels: JSON = ["zone": .string(node)]
            let object: JSON = [
                "apiVersion": "v1", "kind": "Node", "metadata": ["name": .string(node), "labels": labels],
            ]
            _ = try await bench.controlPlane.withAdmin { client in
                _ = try client.create(.nodes, name: node, object: object, deadline: .soon)
                return try client.patch(
                    .ipPools, name: name, patch: .merge(["spec": ["nodeSelector": ["matchLabels": labels]]]),
                    deadline: .soon)
            }
            try await bench.controlPlane.compileNothing(into: name)
            let reading = ["get ippools", "get namespaces", "get pods"]
            let readingAll = ["get ippools", "get namespaces", "get nodes", "get pods"]
            let rounds: [(first: [String], later: [String])] = [
                (reading, ["get nodes"]), (reading, []), (readingAll, []), (reading, []),
            ]
            for (turn, round) in rounds.enumerated() {
                if turn == 2 { try bench.node.ageLabels(seconds: 61) }
                bench.proxy.clearLog()
                let sandbox = try bench.node.newSandbox(pod: try await bench.newPod())
                try await bench.node.add(sandbox, bench.configuration([pool])).checked()
                // A create may meet an address that is taken.
                let reads = bench.proxy.log.verbs.filter { $0 != "create ipallocations" }
                #expect(reads.prefix(round.first.count).sorted() == round.first)
                #expect(Array(reads.dropFirst(round.first.count)) == round.later)
            }
            // Nobody has wanted them for an hour.
            try bench.node.ageLabels(seconds: 3601)
            let other = try await bench.makePool()
            bench.proxy.clearLog()
            try await bench.add(try bench.node.newSandbox(pod: try await bench.newPod()), other).checked()
            #expect(!bench.proxy.log.verbs.contains("get nodes"))
            _ = try await bench.controlPlane.withAdmin {
                try $0.delete(.nodes, name: node, preconditions: nil, deadline: .soon)
            }
        }
    }

    @Test func `pools of an annotation that were not read cost one round more`() async throws {
        try await ClaimBench.run { bench in
            let (listed, other) = (try await bench.makePool(), try await bench.makePool())
            let pod = try await bench.controlPlane.makePod(
                Subnets.next().name("pod"), node: bench.node.name, labels: [ControlPlane.testLabel: bench.label],
                annotations: [AnnotationKey.pools: other.name])
            let name = other.name
            _ = try await bench.controlPlane.withAdmin {
                try $0.patch(
                    .ipPools, name: name, patch: .merge(["spec": ["allowPodSelection": true]]), deadline: .soon)
            }
            try await bench.controlPlane.compileNothing(into: other.name)
            try await bench.add(try bench.node.newSandbox(pod: pod), listed).checked()
            #expect(
                bench.proxy.log.verbs.suffix(2) == ["get ippools", "create ipallocations"] && bench.proxy.log.count == 5
            )
        }
    }

    @Test func `a dual-stack ADD reads four objects at once and creates two at once`() async throws {
        try await ClaimBench.run { bench in
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6))
            let sandbox = try bench.node.newSandbox(pod: try await bench.newPod())
            let (reads, creates) = (Gate("reads"), Gate("creates"))
            bench.proxy.when(.method("GET"), .always, .hold(reads))
            bench.proxy.when(.create, .always, .hold(creates))
            let call = try bench.start("ADD", sandbox, v4, v6)
            try await reads.reached(4)
            #expect(bench.proxy.log.verbs.sorted() == ["get ippools", "get ippools", "get namespaces", "get pods"])
            reads.open()
            try await creates.reached(2)
            creates.open()
            let added = try await call.outcome().checked()
            #expect(bench.proxy.log.count == 6)
            #expect(added.addresses.count == 2)
            #expect(Set(bench.proxy.log.map(\.request.connection)).count == 1)
        }
    }

    @Test func `an ADD without a pod reads the pool alone`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            try await bench.add(try bench.node.newSandbox(), pool).checked()
            #expect(bench.proxy.log.verbs == ["get ippools", "create ipallocations"])
        }
    }

    @Test func `the first call of a node lists what the node holds, once, and later ones never`() async throws {
        try await ClaimBench.run(isWhole: false) { bench in
            let pool = try await bench.makePool()
            var sandboxes: [(TestSandbox, PluginOutcome)] = []
            for _ in 0..<5 {
                let sandbox = try bench.node.newSandbox()
                sandboxes.append((sandbox, try await bench.add(sandbox, pool).checked()))
            }
            for (sandbox, added) in sandboxes { try await bench.del(sandbox, pool, previous: added) }
            let lists = bench.proxy.log.lists
            #expect(lists.map(\.request.number) == [bench.proxy.log.first?.request.number])
            let list = try #require(lists.first).request
            #expect(list.queryValue("labelSelector") == "\(LabelKey.node)=\(bench.node.name)")
            // From etcd, not from a cache that may lag.
            #expect(list.queryValue("resourceVersion") == nil)
            // That list, two requests an ADD and one a DEL; and the addresses that an ADD tried and an earlier one had.
            let refused = bench.proxy.log.statuses("create").count { $0 == 409 }
            #expect(bench.proxy.log.count == 16 + refused)
        }
    }

    @Test func `the first DEL is one conditional patch, and later ones make no request`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox(pod: try await bench.newPod())
            let added = try await bench.add(sandbox, pool).checked()
            let address = try #require(added.addresses.first)
            let version = try #require(try await bench.controlPlane.allocation(address)).metadata
            bench.proxy.clearLog()

            try await bench.del(sandbox, pool, previous: added)
            #expect(bench.proxy.log.map { "\($0.request)" } == ["patch ipallocations.ipam.berth.dev \(address)"])
            let body = try #require(bench.proxy.log.first?.request.json)
            #expect(body["metadata"]?["uid"]?.string == version.uid)
            #expect(body["metadata"]?["resourceVersion"]?.string == version.resourceVersion)
            let released = try #require(try await bench.controlPlane.allocation(address))
            #expect(released.spec.state == .cooling)
            #expect(released.spec.attachment == nil)

            bench.proxy.clearLog()
            for _ in 2...4 { try await bench.node.delAgain(sandbox, bench.configuration([pool])).checked() }
            #expect(bench.proxy.log.isEmpty)
            #expect(bench.proxy.connectionCount == 0)
        }
    }

    @Test func `without a cooldown a release is a delete of this very version`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool(cooldown: "0s")
            let sandbox = try bench.node.newSandbox()
            let address = try #require(try await bench.add(sandbox, pool).checked().addresses.first)
            let version = try #require(try await bench.controlPlane.allocation(address)).metadata
            bench.proxy.clearLog()
            try await bench.del(sandbox, pool)
            #expect(bench.proxy.log.map { "\($0.request)" } == ["delete ipallocations.ipam.berth.dev \(address)"])
            let preconditions = bench.proxy.log.first?.request.json?["preconditions"]
            #expect(preconditions?["uid"]?.string == version.uid)
            #expect(preconditions?["resourceVersion"]?.string == version.resourceVersion)
            #expect(try await bench.allocations(pool).isEmpty)
        }
    }

    @Test func `the two addresses of a sandbox are released at once`() async throws {
        try await ClaimBench.run { bench in
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6))
            let sandbox = try bench.node.newSandbox()
            try await bench.add(sandbox, v4, v6).checked()
            bench.proxy.clearLog()
            let gate = Gate()
            bench.proxy.when(.any, .always, .hold(gate))
            let call = try bench.start("DEL", sandbox, v4, v6)
            try await gate.reached(2)
            gate.open()
            try await call.outcome().checked()
            #expect(bench.proxy.log.verbs == ["patch ipallocations", "patch ipallocations"])
            #expect(try await bench.holders(v4).isEmpty)
            #expect(try await bench.holders(v6).isEmpty)
        }
    }

    @Test func `a DEL of what was never added makes no request`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            try await bench.del(try bench.node.newSandbox(), pool)
            #expect(bench.proxy.log.isEmpty)
        }
    }

    @Test func `a CHECK reads the addresses and the pools at once and changes nothing`() async throws {
        try await ClaimBench.run { bench in
            let (v4, v6) = (try await bench.makePool(.v4), try await bench.makePool(.v6))
            let sandbox = try bench.node.newSandbox()
            let added = try await bench.add(sandbox, v4, v6).checked()
            bench.proxy.clearLog()
            let gate = Gate()
            bench.proxy.when(.any, .always, .hold(gate))
            var configuration = bench.configuration([v4, v6])
            configuration["prevResult"] = added.result
            let call = try bench.node.runner.start(bench.node.call("CHECK", sandbox, configuration))
            try await gate.reached(4)
            gate.open()
            try await call.outcome().checked()
            #expect(Set(bench.proxy.log.allocationNames("get")) == Set(try added.parsedAddresses().map(\.objectName)))
            #expect(bench.proxy.log.count("get", "ippools.ipam.berth.dev") == 2)
            #expect(bench.proxy.log.count == 4)
        }
    }

    @Test func `the requests of an ADD carry the token of the node and no time-out beyond its own`() async throws {
        try await ClaimBench.run(settings: ["timeoutSeconds": 20]) { bench in
            let pool = try await bench.makePool()
            try await bench.add(try bench.node.newSandbox(), pool).checked()
            let create = try #require(bench.proxy.log.first { $0.request.method == "POST" }).request
            let timeout = try #require(create.queryValue("timeout"))
            let seconds = try #require(Int(timeout.dropLast()))
            #expect((1...14).contains(seconds), "0.9 of what is left of four fifths of 20 s: \(timeout)")
            let token = try Files.text(bench.node.tokenFile)
            #expect(bench.proxy.log.allSatisfy { $0.request.header("authorization") == "Bearer \(token)" })
        }
    }
}
