import IPAMAPI
import IPAddressing
import JSONText
import KubernetesCore
import TestSupport
import Testing

/// Whose address it is: what an allocation says of the pod, and what makes an ADD give up.
@Suite("The holder of an address", .controlPlane, .timeLimit(.minutes(10)))
struct ClaimHolderTests {
    @Test(arguments: [true, false])
    func `an allocation names pod, UID, node, machine and attachment`(runtimeSaysUID: Bool) async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let pod = try await bench.newPod()
            var sandbox = try bench.node.newSandbox(pod: pod)
            if !runtimeSaysUID {
                sandbox.ownArguments = pod.arguments(containerID: sandbox.containerID, uid: "")
                #expect(sandbox.arguments?.contains("K8S_POD_UID") == false)
            }
            let added = try await bench.add(sandbox, pool).checked()
            let allocation = try #require(try await bench.controlPlane.allocation(added.addresses[0]))
            #expect(allocation.spec.origin == .pod)
            #expect(allocation.spec.state == .bound)
            #expect(allocation.spec.pod == pod.reference)
            #expect(allocation.spec.node == bench.node.name)
            #expect(allocation.spec.machineID == bench.node.machineID)
            #expect(allocation.spec.attachment == sandbox.attachment())
            #expect(allocation.spec.pool == pool.name)
            #expect(!allocation.spec.poolUID.isEmpty)
            #expect(allocation.metadata.labels[LabelKey.node] == bench.node.name)
        }
    }

    @Test func `an ADD for a pod that was replaced is refused, and nothing is created`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let pod = try await bench.newPod()
            let sandbox = try bench.node.newSandbox(pod: pod)
            let successor = try await bench.controlPlane.recreate(pod)
            let outcome = try await bench.add(sandbox, pool)
            #expect(outcome.code == PluginCode.tryAgainLater)
            #expect(outcome.failure?.message.contains(successor.uid) == true)
            #expect(bench.proxy.log.count("create", "ipallocations.ipam.berth.dev") == 0)
            try await bench.controlPlane.delete(successor)
        }
    }

    @Test(arguments: [true, false])
    func `an ADD for a pod that is gone is refused, and nothing is created`(runtimeSaysUID: Bool) async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let pod = try await bench.newPod()
            var sandbox = try bench.node.newSandbox(pod: pod)
            if !runtimeSaysUID { sandbox.ownArguments = pod.arguments(containerID: sandbox.containerID, uid: "") }
            try await bench.controlPlane.delete(pod)
            let outcome = try await bench.add(sandbox, pool)
            #expect(outcome.code == PluginCode.tryAgainLater)
            #expect(outcome.failure?.message.contains("default/\(pod.name)") == true)
            #expect(bench.proxy.log.count("create", "ipallocations.ipam.berth.dev") == 0)
        }
    }

    /// 404 answers that do not prove that the pod is gone.
    static let doubtful404s: [FaultAction] = [
        .html(status: 404),
        .answer { request in
            ProxyAnswer(
                status: 404,
                json: ["kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404])
        },
    ]

    @Test(arguments: doubtful404s.indices)
    func `a 404 that does not name the pod is asked again`(index: Int) async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox(pod: try await bench.newPod())
            let doubt = bench.proxy.when(.verb("get", "pods"), .first(2), Self.doubtful404s[index])
            try await bench.add(sandbox, pool).checked()
            #expect(doubt.hits == 2)
            #expect(bench.proxy.log.count("get", "pods") == 3)
        }
    }

    @Test(arguments: [true, false])
    func `a static pod is known by its hash, with a mirror in the API and without`(hasMirror: Bool) async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let hash = "0123456789abcdef0123456789abcdef"
            let mirror = try await bench.newPod(configHash: hash)
            if !hasMirror { try await bench.controlPlane.delete(mirror) }
            var sandbox = try bench.node.newSandbox(pod: mirror)
            sandbox.ownArguments = mirror.arguments(containerID: sandbox.containerID, uid: hash)
            let added = try await bench.add(sandbox, pool).checked()
            let allocation = try #require(try await bench.controlPlane.allocation(added.addresses[0]))
            #expect(allocation.spec.origin == .static)
            #expect(allocation.spec.pod == PodReference(namespace: "default", name: mirror.name, uid: hash))
        }
    }

    @Test func `a static pod whose manifest changed is a successor`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let mirror = try await bench.newPod(configHash: "fedcba9876543210fedcba9876543210")
            var sandbox = try bench.node.newSandbox(pod: mirror)
            sandbox.ownArguments = mirror.arguments(
                containerID: sandbox.containerID, uid: "0123456789abcdef0123456789abcdef")
            #expect(try await bench.add(sandbox, pool).code == PluginCode.tryAgainLater)
            #expect(try await bench.allocations(pool).isEmpty)
        }
    }

    @Test func `a container that is no pod has an allocation without one`() async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            var sandbox = try bench.node.newSandbox()
            sandbox.ownArguments = "IgnoreUnknown=1"
            let added = try await bench.add(sandbox, pool).checked()
            let allocation = try #require(try await bench.controlPlane.allocation(added.addresses[0]))
            #expect(allocation.spec.origin == .container)
            #expect(allocation.spec.pod == nil)
            #expect(bench.proxy.log.count("get", "pods") == 0)
            try await bench.del(sandbox, pool)
            #expect(try await bench.holders(pool).isEmpty)
        }
    }

    // MARK: Two machines of one name

    @Test(arguments: ["DEL", "GC"])
    func `a machine of the same node name never frees what the other one holds`(verb: String) async throws {
        try await ClaimBench.run { bench in
            let pool = try await bench.makePool()
            let sandbox = try bench.node.newSandbox()
            let added = try await bench.add(sandbox, pool).checked()
            try await bench.withNode(name: bench.node.name) { twin in
                #expect(twin.machineID != bench.node.machineID)
                let configuration = bench.configuration([pool], on: twin)
                let own = try twin.newSandbox()
                let ownAddress = try await twin.add(own, configuration).checked().addresses[0]
                if verb == "DEL" {
                    // Of the very same attachment, once with a journal and once without.
                    try await twin.del(sandbox, configuration, previous: added).checked()
                    try Files.removeTree(twin.journal)
                    try await twin.delAgain(sandbox, configuration).checked()
                } else {
                    try await twin.gc(configuration, valid: [own]).checked()
                }
                #expect(
                    try await bench.holders(pool)
                        == [added.addresses[0]: sandbox.attachment(), ownAddress: own.attachment()])
                try await twin.gc(configuration, valid: []).checked()
                #expect(try await bench.holders(pool) == [added.addresses[0]: sandbox.attachment()])
            }
            try await bench.del(sandbox, pool, previous: added)
            #expect(try await bench.holders(pool).isEmpty)
        }
    }
}
