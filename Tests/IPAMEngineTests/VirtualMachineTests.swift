import IPAMAPI
import KubernetesCore
import Testing

@testable import IPAMEngine

/// Who may be the holder of a virtual machine's claim, of whose pods two live while it migrates.
@Suite struct VirtualMachineBindingTests {
    private static let source = claimHolder("virt-launcher-vm1-a", uid: "a", attachment: "aa")
    private static let target = claimHolder("virt-launcher-vm1-b", uid: "b", attachment: "bb")
    private static let third = claimHolder("virt-launcher-vm1-c", uid: "c", attachment: "cc")

    private func decide(
        _ holder: IPClaim.Holder?, from: IPClaim.Holder? = nil, candidate: IPClaim.Holder = Self.target,
        isTarget: Bool = true, gone: Set<String> = [], sources: Set<String> = []
    ) -> ClaimBinding {
        var holder = holder
        holder?.migratedFrom = from?.podName
        let machine = VirtualMachinePod(instance: instance(), isMigrationTarget: isTarget)
        return ClaimBinding(
            ipClaim(holder: holder), candidate: candidate, networkName: "net", machine: machine, gone: gone,
            sources: sources)
    }

    @Test func `the pod that a guest migrates to takes over from one that is proved to be of the same instance`() {
        #expect(decide(Self.source) == .prove(Self.source.podName))
        #expect(decide(Self.source, sources: ["a"]) == .handOver(from: Self.source.podName))
        #expect(decide(Self.source, gone: ["a"]) == .bind)
        // What is proved there is asked for again, which is the end.
        #expect(decide(Self.source, isTarget: false, sources: ["a"]) == .prove(Self.source.podName))
    }

    @Test func `the holder that was migrated to keeps saying where from`() {
        #expect(decide(Self.target, from: Self.source) == .bound)
        var other = Self.target
        other.attachment = "b2"
        #expect(decide(other, from: Self.source) == .handOver(from: Self.source.podName))
    }

    @Test func `while a guest migrates no third pod takes over, of the same instance or not`() {
        func decide(gone: Set<String> = [], sources: Set<String> = []) -> ClaimBinding {
            self.decide(Self.target, from: Self.source, candidate: Self.third, gone: gone, sources: sources)
        }
        #expect(decide() == .prove(Self.target.podName))
        #expect(decide(sources: ["b"]) == .prove(Self.source.podName))
        #expect(decide(sources: ["a", "b"]) == .prove(Self.source.podName))
        // The first migration is over, or has failed.
        #expect(decide(gone: ["a"], sources: ["b"]) == .handOver(from: Self.target.podName))
        #expect(decide(gone: ["b"], sources: ["a"]) == .handOver(from: Self.source.podName))
        #expect(decide(gone: ["a", "b"]) == .bind)
        // Of no virtual machine: both must be gone.
        func plain(_ gone: Set<String>) -> ClaimBinding {
            self.decide(Self.target, from: Self.source, candidate: Self.third, isTarget: false, gone: gone)
        }
        #expect(plain(["b"]) == .prove(Self.source.podName))
        #expect(plain(["a"]) == .prove(Self.target.podName))
        #expect(plain(["a", "b"]) == .bind)
    }

    @Test func `a pod that was migrated from does not take back what its heir has`() {
        #expect(
            decide(Self.target, from: Self.source, candidate: Self.source, sources: ["b"])
                == .prove(Self.target.podName))
        #expect(decide(Self.target, from: Self.source, candidate: Self.source, gone: ["b"]) == .bind)
    }

    @Test func `a claim that was made for a machine serves its pods alone`() {
        var claim = ipClaim(owner: machine())
        claim.metadata.labels[LabelKey.automatic] = "true"
        func decide(_ pod: VirtualMachinePod?) -> ClaimBinding {
            ClaimBinding(claim, candidate: Self.target, networkName: "net", machine: pod, gone: [])
        }
        #expect(decide(VirtualMachinePod(instance: instance())) == .bind)
        for pod in [nil, VirtualMachinePod(instance: instance("vm2"))] {
            guard case .refuse(let text) = decide(pod) else {
                Issue.record("\(decide(pod))")
                continue
            }
            #expect(text.contains("VirtualMachine \"vm1\""))
        }
    }
}

@Suite struct VirtualMachineDemandTests {
    private static let demand = VirtualMachineDemand(
        namespace: "shop", instance: instance(), interface: "net1", networkName: "net")

    private func found(_ uid: String = "v1", owner: OwnerReference? = machine()) -> ObjectMetadata {
        ObjectMetadata(name: "vm1", uid: uid, ownerReferences: owner.map { [$0] } ?? [])
    }

    @Test func `the claim goes with the machine, or with an instance that has none`() throws {
        let claim = try Self.demand.claim(found())
        #expect(claim.owner?.uid == "m1" && claim.name == Self.demand.claimName && claim.namespace == "shop")
        #expect(claim.spec.pod.isEmpty && claim.spec.interface == "net1" && claim.spec.networkName == "net")
        #expect(claim.spec.retention == IPClaim.Retention(.untilOwnerDeleted))
        #expect(claim.name.hasPrefix("vm1.net1-") && BerthAPI.isSubdomain(claim.name))
        // Never that of a pod of the same name.
        #expect(claim.name != AutomaticClaim.name(pod: "vm1", interface: "net1", networkName: "net"))
        #expect(try Self.demand.claim(found(owner: nil)).owner?.uid == "v1")
        var replicas = machine()
        replicas.kind = "VirtualMachineInstanceReplicaSet"
        #expect(try Self.demand.claim(found(owner: replicas)).owner?.uid == "v1")
    }

    @Test func `what was made for an earlier machine serves no other one, unless its instance lives on`() throws {
        let pod = VirtualMachinePod(instance: instance())
        let ofMachine = try Self.demand.claim(found())
        var earlier = machine()
        earlier.uid = "m0"
        #expect(ipClaim(owner: machine()).earlierKeeper(than: ofMachine, pod) == nil)
        #expect(ipClaim(owner: earlier).earlierKeeper(than: ofMachine, pod)?.uid == "m0")
        // It was made while the instance had no machine.
        #expect(ipClaim(owner: instance()).earlierKeeper(than: ofMachine, pod) == nil)
        #expect(ipClaim(owner: instance()).earlierKeeper(than: ofMachine, nil)?.uid == "v1")
        #expect(ipClaim().earlierKeeper(than: ofMachine, pod) == nil)
    }

    @Test func `an instance that is gone or another one is no machine's`() {
        #expect(throws: VirtualMachineProblem.self) { try Self.demand.claim(nil) }
        let problem = #expect(throws: VirtualMachineProblem.self) { try Self.demand.claim(found("v2")) }
        #expect(problem?.description.contains("v1") == true && problem?.description.contains("v2") == true)
    }

    @Test func `a pod is of the instance that controls it`() {
        func pod(_ owner: OwnerReference, label: String? = nil) -> VirtualMachinePod? {
            VirtualMachinePod(
                ObjectMetadata(
                    name: "p", labels: label.map { [KubeVirt.migrationLabel: $0] } ?? [:], ownerReferences: [owner]))
        }
        #expect(pod(instance())?.isMigrationTarget == false)
        #expect(pod(instance(), label: "j1")?.isMigrationTarget == true)
        #expect(pod(instance(), label: "")?.isMigrationTarget == false)
        var other = instance()
        other.isController = false
        #expect(pod(other, label: "j1") == nil)
        other = instance()
        other.apiVersion = "example.org/v1"
        #expect(pod(other, label: "j1") == nil)
        #expect(pod(machine(), label: "j1") == nil)
    }
}

@Suite struct MigrationInventoryTests {
    private static let source = PodName(pod: "virt-launcher-vm1-a", podUID: "a")

    private func allocation(
        _ text: String, _ state: AllocationState, pod uid: String, claim: String = "c1", from: PodName? = nil
    ) throws -> IPAllocation {
        let holder = IPAMAPI.Attachment(networkName: "net", containerID: uid, interface: "eth0")
        let spec = IPAllocation.Spec(
            state: state, origin: .pod, pool: "blue", poolUID: "p", address: try address(text), network: "", node: "n1",
            machineID: "m1", attachment: state == .bound || state == .fenced ? holder : nil,
            pod: PodReference(namespace: "shop", name: "virt-launcher-vm1-\(uid)", uid: uid),
            claim: ClaimReference(namespace: "shop", name: "vip", uid: claim), cooldownSeconds: 10, claimedAt: nil,
            releasedAt: nil)
        return try IPAllocation(spec.newObject(of: VirtualMachineMark(instanceUID: "v1", migratedFrom: from)))
    }

    @Test func `a guest has what its pod has, and what a migration that failed gave back`() throws {
        let allocations = [
            try allocation("10.0.0.1", .bound, pod: "a"),
            try allocation("10.0.0.2", .held, pod: "b", from: Self.source),
            try allocation("10.0.0.3", .held, pod: "a"), try allocation("10.0.0.4", .held, pod: "z"),
            try allocation("10.0.0.5", .bound, pod: "b", from: Self.source),
            try allocation("10.0.0.6", .fenced, pod: "a"), try allocation("10.0.0.7", .cooling, pod: "a"),
            try allocation("10.0.0.8", .bound, pod: "a", claim: "c2"),
        ]
        let inventory = MigrationInventory(allocations, of: ipClaim().reference, from: Self.source)
        #expect(inventory.running.map(\.metadata.name) == ["10.0.0.1", "10.0.0.2", "10.0.0.3"])
    }

    @Test func `a sandbox knows by its instance who has its address, and by its pod who got it from there`() throws {
        let pod = PodReference(namespace: "shop", name: "virt-launcher-vm1-a", uid: "a")
        let claim = ipClaim().reference
        let handed = try allocation("10.0.0.1", .bound, pod: "b", from: Self.source)
        let machine = VirtualMachinePod(instance: instance())
        #expect(handed.isHandedOver(from: pod, of: machine, claim: claim))
        #expect(!handed.isHandedOver(from: pod, of: VirtualMachinePod(instance: instance(uid: "v2")), claim: claim))
        #expect(!handed.isHandedOver(from: pod, of: machine, claim: nil))
        #expect(!handed.isHandedOver(from: pod, of: nil, claim: claim))
        #expect(!(try allocation("10.0.0.1", .bound, pod: "a")).isHandedOver(from: pod, of: machine, claim: claim))
        #expect(handed.isMigrating(from: pod, claim: claim))
        #expect(!handed.isMigrating(from: PodReference(namespace: "shop", name: "x", uid: "x"), claim: claim))
    }

    @Test func `whoever takes an allocation writes his own mark or none`() throws {
        let held = try allocation("10.0.0.1", .held, pod: "b", from: Self.source)
        #expect(held.virtualMachine == VirtualMachineMark(instanceUID: "v1", migratedFrom: Self.source))
        #expect(try IPAllocation(held.takenOver(by: held.spec)).virtualMachine == nil)
        let next = VirtualMachineMark(instanceUID: "v2")
        #expect(try IPAllocation(held.takenOver(by: held.spec, of: next)).virtualMachine == next)
        let plain = try IPAllocation(held.spec.newObject())
        #expect(plain.metadata.annotations.isEmpty)
        #expect(try IPAllocation(plain.takenOver(by: plain.spec, of: next)).virtualMachine == next)
    }

    @Test(arguments: ["", "a", "a/", "/b", "a/b/c"])
    func `a mark that does not name a pod is none`(text: String) { #expect(PodName(mark: text) == nil) }
}

private func instance(_ name: String = "vm1", uid: String = "v1") -> OwnerReference {
    OwnerReference(
        apiVersion: "kubevirt.io/v1", kind: "VirtualMachineInstance", name: name, uid: uid, isController: true)
}

private func machine() -> OwnerReference {
    OwnerReference(apiVersion: "kubevirt.io/v1", kind: "VirtualMachine", name: "vm1", uid: "m1", isController: true)
}
