import IPAMAPI
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore
import Synchronization
import TestSupport
import Testing

extension ControllerTests {
    /// Addresses that are kept for IPClaims, and the end of that.
    @Suite("Claims") struct ClaimTests {
        @Test func `F4: what a claim keeps begins to cool when the claim is deleted`() async throws {
            try await ControllerRig.run { rig in
                let pool = try await rig.makePool("pool", ["cooldown": "300s"])
                let claim = try await rig.makeClaim("vip")
                let name = try await rig.keep(10, for: claim, pool: pool)
                let other = try await rig.keep(11, for: try await rig.makeClaim("other"), pool: pool)
                try await rig.waitForClaim(claim, "its address is shown") { $0.status.addresses.count == 1 }
                try await rig.deleteClaim(claim)
                try await rig.ledger.waitForState(name, "Cooling")
                let freed = rig.ledger.allocations.value[name]
                #expect(freed?["spec"]?["claim"] == nil && freed?["metadata"]?["labels"]?[LabelKey.claim] == nil)
                #expect(rig.ledger.state(other) == "Held")
            }
        }

        @Test func `of a claim that is deleted while a pod uses the address only its release frees it`() async throws {
            try await ControllerRig.run { rig in
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                let pod = try await rig.makePod("web-0", on: node)
                let claim = try await rig.makeClaim("vip")
                let name = try await rig.keep(10, for: claim, pool: pool, by: pod)
                try await rig.deleteClaim(claim)
                try await rig.waitForSentinel(pool: pool)
                #expect(rig.ledger.state(name) == "Bound")
                // The pod's end: the release gives it to the claim, and that is gone.
                try await rig.controlPlane.delete(pod)
                try await rig.ledger.waitUntilGone(name)
            }
        }

        @Test(arguments: IPAMClaim.OwnerPodForm.allCases)
        func `an IPAMClaim is told what the claim that stands for it has`(form: IPAMClaim.OwnerPodForm) async throws {
            try await ControllerRig.run { rig in
                try await rig.controlPlane.installIPAMClaims(ownerPod: form)
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                let name = rig.subnets.name("ipam")
                let object = try await rig.controlPlane.makeIPAMClaim(name)
                let claim = try await rig.makeClaim(for: object)
                let pod = try await rig.makePod("vm", on: node)
                _ = try await rig.keep(10, for: claim, pool: pool, by: pod)
                try await rig.patch(
                    .ipClaims, claim.name,
                    [
                        "status": [
                            "holder": IPClaim.Holder(
                                pod: pod.name, podUID: pod.uid, interface: "net1", attachment: "a", node: node,
                                machineID: node
                            ).json
                        ]
                    ], namespace: "default", subresource: "status")
                try await rig.waitForClaim(claim, "its address is shown") { $0.status.addresses.count == 1 }
                try await rig.waitForSentinel(pool: pool)
                // The claim's own status is written before, and nothing else would come after it.
                let address = rig.subnets.address4(10)
                let told = try await rig.waitForIPAMClaim(name) { !$0.ips.isEmpty && !$0.ownerPod.isEmpty }
                #expect(told.ips == ["\(address)/24"] && told.ownerPod == pod.name && told.ownerPodForm == form)
                try await rig.deleteClaim(claim)
                try await rig.controlPlane.delete(pod)
                try await rig.ledger.waitUntilGone(address)
                #expect(try await rig.controlPlane.ipamClaim(name).ips == told.ips)
                try await rig.controlPlane.deleteIPAMClaim(name)
            }
        }

        @Test func `what a migration that failed gave back is not freed while the guest may run in its source`()
            async throws
        {
            try await ControllerRig.run { rig in
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                let source = try await rig.makePod("source", on: node)
                let claim = try await rig.makeClaim("vm")
                let mark = VirtualMachineMark(
                    instanceUID: "v1", migratedFrom: PodName(pod: source.name, podUID: source.uid))
                let name = try await rig.keep(10, for: claim, pool: pool, mark: mark)
                let other = try await rig.keep(11, for: claim, pool: pool)
                try await rig.deleteClaim(claim)
                try await rig.ledger.waitUntilGone(other)
                try await rig.waitForSentinel(pool: pool)
                #expect(rig.ledger.state(name) == "Held")
                try await rig.setPhase(source, "Succeeded")
                try await rig.ledger.waitUntilGone(name)
            }
        }

        @Test func `what the controller takes from a pod that is gone stays kept for the claim`() async throws {
            try await ControllerRig.run { rig in
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                let pod = try await rig.makePod("web-0", on: node)
                let name = try await rig.keep(10, for: try await rig.makeClaim("vip"), pool: pool, by: pod)
                try await rig.controlPlane.delete(pod)
                try await rig.ledger.waitForState(name, "Held")
                try await rig.waitForSentinel(pool: pool)
                #expect(rig.ledger.state(name) == "Held")
            }
        }

        @Test func `a claim that is made anew under its name keeps nothing of the first one`() async throws {
            try await ControllerRig.run { rig in
                let pool = try await rig.makePool()
                let claim = try await rig.makeClaim("vip")
                let name = try await rig.keep(10, for: claim, pool: pool)
                try await rig.deleteClaim(claim)
                let second = try await rig.makeClaim("vip")
                #expect(second.uid != claim.uid)
                try await rig.ledger.waitUntilGone(name)
            }
        }

        @Test func `F4: a StatefulSet that is scaled down frees what is above, and one that is deleted everything`()
            async throws
        {
            try await ControllerRig.run { rig in
                let pool = try await rig.makePool()
                let set = try await rig.controlPlane.makeStatefulSet(rig.subnets.name("web"), replicas: 3)
                var names: [String] = []
                for ordinal in 0..<3 {
                    let claim = try await rig.makeAutomaticClaim("\(set.name)-\(ordinal)", of: set)
                    names.append(try await rig.keep(10 + ordinal, for: claim, pool: pool))
                }
                try await rig.patch(.statefulSets, set.name, ["spec": ["replicas": 1]], namespace: "default")
                try await rig.ledger.waitUntilGone(names[1])
                try await rig.ledger.waitUntilGone(names[2])
                #expect(rig.ledger.state(names[0]) == "Held")
                try await rig.deleteStatefulSet(set)
                try await rig.ledger.waitUntilGone(names[0])
            }
        }

        /// `kubectl delete statefulset --cascade=orphan` takes the owner from claims too, and the set that is made next
        /// adopts the pods.
        @Test func `a claim that has lost its StatefulSet goes with the one that has adopted its pod`() async throws {
            try await ControllerRig.run { rig in
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                let name = rig.subnets.name("web")
                let first = try await rig.controlPlane.makeStatefulSet(name, replicas: 2)
                let claim = try await rig.makeAutomaticClaim("\(name)-1", of: first)
                let lost = try await rig.makeAutomaticClaim("\(name)-0", of: first)
                let other = try await rig.keep(11, for: lost, pool: pool)
                let pod = try await rig.controlPlane.makePod("\(name)-1", node: node, owner: first)
                let kept = try await rig.keep(10, for: claim, pool: pool, by: pod)
                // Nobody collects garbage here: the test does what the garbage collector does, in its order.
                try await rig.controlPlane.kubectl(
                    ["delete", "statefulset", name, "--cascade=orphan", "--wait=false"])
                for orphan in [claim, lost] {
                    try await rig.patch(
                        .ipClaims, orphan.name, ["metadata": ["ownerReferences": .null]], namespace: "default")
                }
                try await rig.waitForSentinel(pool: pool)
                let orphan = try #require(rig.ledger.claims.value[claim.name])
                #expect(try IPClaim(orphan).metadata.ownerReferences.isEmpty, "its set is going")
                let set = try await rig.controlPlane.withAdmin {
                    try $0.get(.statefulSets, namespace: "default", name: name, deadline: .soon)
                }
                #expect(set["metadata"]?["deletionTimestamp"] != nil)
                try await rig.patch(.statefulSets, name, ["metadata": ["finalizers": .null]], namespace: "default")
                let second = try await rig.controlPlane.makeStatefulSet(name, replicas: 2)
                let owner: JSON = [
                    "apiVersion": "apps/v1", "kind": "StatefulSet", "name": .string(name), "uid": .string(second.uid),
                    "controller": true,
                ]
                try await rig.patch(.pods, pod.name, ["metadata": ["ownerReferences": [owner]]], namespace: "default")
                // It is looked at again in half a minute, or when it changes.
                try await rig.patch(
                    .ipClaims, claim.name, ["metadata": ["annotations": ["touched": "true"]]], namespace: "default")
                let adopted = try await rig.waitForClaim(claim, "is adopted") {
                    $0.metadata.ownerReferences.first?.uid == second.uid
                }
                #expect(adopted.metadata.ownerReferences.count == 1)
                #expect(rig.ledger.state(kept) == "Bound")
                // It goes with its new owner; the other one has no pod that tells of one, and stays for a day.
                try await rig.controlPlane.delete(pod)
                try await rig.patch(.statefulSets, name, ["spec": ["replicas": 1]], namespace: "default")
                try await rig.ledger.waitUntilGone(kept)
                #expect(rig.ledger.state(other) == "Held")
                try await rig.deleteStatefulSet(second)
                try await rig.deleteClaim(lost)
            }
        }

        @Test func `a claim that is to outlive its ordinal does`() async throws {
            try await ControllerRig.run { rig in
                let pool = try await rig.makePool()
                let set = try await rig.controlPlane.makeStatefulSet(rig.subnets.name("web"), replicas: 1)
                let claim = try await rig.makeAutomaticClaim(
                    "\(set.name)-5", of: set, spec: ["retention": ["policy": "UntilClaimDeleted"]])
                let name = try await rig.keep(10, for: claim, pool: pool)
                try await rig.waitForSentinel(pool: pool)
                #expect(rig.ledger.state(name) == "Held")
                try await rig.deleteStatefulSet(set)
            }
        }

        @Test func `what is kept for a time is freed after it, and not before`() async throws {
            try await ControllerRig.run { rig in
                let pool = try await rig.makePool()
                let retention: JSON = ["policy": "For", "for": "3s"]
                let short = try await rig.makeClaim("short", ["retention": retention])
                let long = try await rig.makeClaim("long", ["retention": ["policy": "For", "for": "2h"]])
                let begin = ContinuousClock.now
                let name = try await rig.keep(10, for: short, pool: pool)
                let other = try await rig.keep(11, for: long, pool: pool)
                try await rig.ledger.waitUntilGone(name)
                #expect(ContinuousClock.now - begin >= .seconds(3))
                #expect(rig.ledger.state(other) == "Held")
            }
        }

        @Test func `the claim of a pod that ended without an address goes with it, whoever leads`() async throws {
            try await ControllerRig.run { rig in
                let (pool, node) = (try await rig.makePool(), try await rig.makeNode())
                let pod = try await rig.makePod("web", on: node)
                let object = AutomaticClaim(
                    pod: PodReference(namespace: "default", name: pod.name, uid: pod.uid), interface: "eth0",
                    networkName: "net", owner: nil
                ).newObject()
                let claim = try await rig.makeClaim(object, retention: ["policy": "For", "for": "1s"])
                try await rig.waitForClaim(claim, "is looked at") { $0.status.observedGeneration > 0 }
                try await rig.waitForSentinel(pool: pool)
                #expect(rig.ledger.claims.value[claim.name] != nil)
                try await rig.controlPlane.delete(pod)
                _ = try await rig.ledger.claims.wait(for: "it is deleted", within: .seconds(120)) { claims -> Bool? in
                    claims[claim.name] == nil ? true : nil
                }
            }
        }

        @Test func `what a claim that could not be read kept is freed when that is deleted`() async throws {
            try await ControllerRig.idle { rig in
                try await rig.withController { running in
                    let claim = try await rig.makeClaim("vip")
                    let name = try await rig.keep(10, for: claim, pool: try await rig.makePool())
                    let endless: JSON = ["spec": ["retention": ["policy": "For", "for": "99999999999h"]]]
                    do {
                        try await rig.patch(.ipClaims, claim.name, endless, namespace: "default")
                    } catch let error as APIError where error.status?.code == 422 {
                        // From 1.25 on the server knows the bound.
                        return
                    }
                    try await running.waitForMetric("berth_unreadable_objects_total{store=\"claims\"}", 1)
                    try await rig.deleteClaim(claim)
                    try await rig.ledger.waitUntilGone(name)
                }
            }
        }

        @Test func `a claim by itself whose name is not that of its pod, interface and network is deleted`()
            async throws
        {
            try await ControllerRig.run { rig in
                let set = try await rig.controlPlane.makeStatefulSet(rig.subnets.name("web"), replicas: 2)
                let own = try await rig.makeAutomaticClaim("\(set.name)-0", of: set)
                let squatter = try await rig.makeAutomaticClaim(
                    "\(set.name)-1", of: set, spec: ["networkName": "another"])
                _ = try await rig.ledger.claims.wait(for: "it is deleted", within: .seconds(120)) { claims -> Bool? in
                    claims[squatter.name] == nil && claims[own.name] != nil ? true : nil
                }
                try await rig.deleteStatefulSet(set)
            }
        }
    }
}

extension ControllerRig {
    @discardableResult
    func makeClaim(_ suffix: String, _ spec: JSON = [:]) async throws -> ClaimReference {
        try await makeClaim(
            ["metadata": ["name": .string(subnets.name(suffix)), "namespace": "default"], "spec": spec])
    }

    func makeAutomaticClaim(_ pod: String, of set: TestOwner, spec: JSON = [:]) async throws -> ClaimReference {
        let owner = OwnerReference(apiVersion: "apps/v1", kind: "StatefulSet", name: set.name, uid: set.uid)
        var object = AutomaticClaim(
            pod: PodReference(namespace: set.namespace, name: pod, uid: ""), interface: "eth0", networkName: "net",
            owner: owner
        ).newObject()
        for member in spec.object?.members ?? [] { object["spec"]?[member.name] = member.value }
        return try await makeClaim(object)
    }

    fileprivate func makeClaim(for object: IPAMClaim) async throws -> ClaimReference {
        try await makeClaim(AutomaticClaim(object, namespace: "default", networkName: "net").newObject())
    }

    /// No watch tells of it.
    fileprivate func waitForIPAMClaim(
        _ name: String, _ isRight: (IPAMClaim) -> Bool
    ) async throws -> IPAMClaim {
        let end = ContinuousClock.now + .seconds(120)
        while ContinuousClock.now < end {
            let found = try await controlPlane.ipamClaim(name)
            if isRight(found) { return found }
            try await controlPlane.kubectl(["get", "--raw", "/readyz"])
        }
        throw TestSetUpError("IPAMClaim \(name) was not told anything")
    }

    fileprivate func makeClaim(_ object: JSON, retention: JSON? = nil) async throws -> ClaimReference {
        var object = object
        if let retention { object["spec"]?["retention"] = retention }
        object["apiVersion"] = .string(BerthAPI.apiVersion)
        object["kind"] = "IPClaim"
        let whole = object
        let name = object["metadata"]?["name"]?.string ?? ""
        let claim = try await controlPlane.withAdmin {
            try IPClaim($0.create(.ipClaims, namespace: "default", name: name, object: whole, deadline: .soon))
        }
        made.withLock { $0.claims.append(claim.reference) }
        return claim.reference
    }

    func deleteClaim(_ claim: ClaimReference) async throws {
        _ = try await controlPlane.withAdmin {
            try $0.delete(
                .ipClaims, namespace: claim.namespace, name: claim.name, preconditions: nil, deadline: .soon)
        }
    }

    func deleteStatefulSet(_ set: TestOwner) async throws {
        _ = try await controlPlane.withAdmin {
            try $0.delete(
                .statefulSets, namespace: set.namespace, name: set.name, preconditions: nil, deadline: .soon)
        }
    }

    /// Enters an allocation for a claim as a plugin leaves it: held by a pod, or by nobody.
    func keep(
        _ host: Int, for claim: ClaimReference, pool: String, by pod: TestPod? = nil, mark: VirtualMachineMark? = nil
    ) async throws -> String {
        let node = pod?.node ?? "n"
        let read = try await controlPlane.withAdmin { try $0.get(.ipPools, name: pool, deadline: .soon) }
        let holder = IPAMAPI.Attachment(
            networkName: "net", containerID: "c-\(subnets.name)-\(host)", interface: "eth0")
        let spec = IPAllocation.Spec(
            state: pod == nil ? .held : .bound, origin: .pod, pool: pool,
            poolUID: read["metadata"]?["uid"]?.string ?? "", address: try IPAddress(parsing: subnets.address4(host)),
            network: "", node: node, machineID: node, attachment: pod == nil ? nil : holder, pod: pod?.reference,
            claim: claim, cooldownSeconds: DurationText.seconds(read["spec"]?["cooldown"]?.string ?? "") ?? 0,
            claimedAt: nil, releasedAt: nil)
        try await ledger.waitUntilSeen(
            try await controlPlane.withAdmin {
                try $0.create(.ipAllocations, name: spec.objectName, object: spec.newObject(of: mark), deadline: .soon)
            })
        return spec.objectName
    }

    @discardableResult
    func waitForClaim(
        _ claim: ClaimReference, _ what: String, _ isRight: @escaping @Sendable (IPClaim) -> Bool
    ) async throws -> IPClaim {
        try await ledger.claims.wait(for: "\(claim.name): \(what)", within: .seconds(120)) { claims in
            claims[claim.name].flatMap { try? IPClaim($0) }.flatMap { isRight($0) ? $0 : nil }
        }
    }
}
