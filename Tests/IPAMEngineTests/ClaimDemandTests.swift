import IPAMAPI
import IPAddressing
import JSONText
import KubernetesCore
import Testing

@testable import IPAMEngine

@Suite struct ClaimDemandTests {
    private static let set = OwnerReference(
        apiVersion: "apps/v1", kind: "StatefulSet", name: "web", uid: "s1", isController: true)
    private static let replicas = OwnerReference(
        apiVersion: "apps/v1", kind: "ReplicaSet", name: "web", uid: "r1", isController: true)

    private func demand(
        _ annotations: [String: String] = [:], owner: OwnerReference? = Self.set,
        stickiness: [PoolStickiness] = [.statefulSets], isStatic: Bool = false
    ) throws -> ClaimDemand {
        let pools = try stickiness.enumerated().map { index, stickiness in
            try ValidatedPool(
                IPPool(
                    metadata: ObjectMetadata(name: "p\(index)", uid: "u\(index)"),
                    spec: IPPool.Spec(subnet: "10.0.\(index).0/24", stickiness: stickiness)))
        }
        return try ClaimDemand(
            identity: PodReference(namespace: "shop", name: "web-0", uid: "u1"), isStatic: isStatic,
            metadata: ObjectMetadata(
                name: "web-0", annotations: annotations, ownerReferences: owner.map { [$0] } ?? []),
            interface: "net1", networkName: "net", pools: pools)
    }

    private func isAutomatic(_ demand: ClaimDemand) -> Bool {
        if case .automatic = demand { true } else { false }
    }

    @Test func `a StatefulSet's pod has a claim by itself, and one of a Deployment none`() throws {
        #expect(isAutomatic(try demand()))
        #expect(try demand(owner: Self.replicas) == .none)
        #expect(try demand(owner: nil) == .none)
        var foreign = Self.set
        foreign.apiVersion = "apps.kruise.io/v1"
        #expect(try demand(owner: foreign) == .none)
    }

    @Test func `a virtual machine's pod has its machine's claim, by the same switch`() throws {
        let instance = OwnerReference(
            apiVersion: "kubevirt.io/v1", kind: "VirtualMachineInstance", name: "vm1", uid: "v1", isController: true)
        let expected = ClaimDemand.ofVirtualMachine(
            VirtualMachineDemand(namespace: "shop", instance: instance, interface: "net1", networkName: "net"))
        #expect(try demand(owner: instance) == expected)
        #expect(try demand(owner: instance, stickiness: [.pods]) == expected)
        #expect(try demand(owner: instance, stickiness: [.none]) == .none)
        #expect(try demand([AnnotationKey.sticky: "false"], owner: instance) == .none)
        #expect(try demand([AnnotationKey.claim: "vip"], owner: instance) == .named("vip"))
        var other = instance
        other.isController = false
        #expect(try demand(owner: other) == .none)
    }

    @Test func `pools decide who is sticky`() throws {
        #expect(try demand(stickiness: [.none]) == .none)
        #expect(isAutomatic(try demand(owner: nil, stickiness: [.pods])))
        #expect(isAutomatic(try demand(stickiness: [.none, .statefulSets])))
    }

    @Test func `annotations decide before pools, that of the interface first`() throws {
        #expect(try demand([AnnotationKey.claim: "vip"], owner: nil, stickiness: [.none]) == .named("vip"))
        #expect(try demand([AnnotationKey.claim: "vip", "\(AnnotationKey.claim).net1": "b"]) == .named("b"))
        #expect(isAutomatic(try demand(["\(AnnotationKey.claim).net2": "b"])))
        #expect(try demand([AnnotationKey.sticky: "false"]) == .none)
        #expect(isAutomatic(try demand([AnnotationKey.sticky: "true"])))
    }

    @Test(arguments: [(AnnotationKey.claim, "No Name"), (AnnotationKey.sticky, "maybe")])
    func `an annotation that cannot be obeyed is quoted`(key: String, value: String) {
        let problem = #expect(throws: ClaimDemandProblem.self) { try demand([key: value]) }
        #expect(problem?.description.contains(value) == true && problem?.description.contains(key) == true)
    }

    @Test func `a static pod has no claim, and cannot name one`() throws {
        #expect(try demand(isStatic: true) == .none)
        #expect(throws: ClaimDemandProblem.self) { try demand([AnnotationKey.claim: "vip"], isStatic: true) }
    }
}

@Suite struct AutomaticClaimTests {
    @Test func `names are valid, show pod and interface, and never meet`() {
        let long = String(repeating: "a", count: 250)
        let cases = [
            ("web-0", "eth0", "net"), ("web-0", "Eth0", "net"), ("web-0", "Net_1", "net"), ("web-0", "net.1", "net"),
            ("web-0", "eth0", "net2"), ("web", "0-eth0", "net"), ("web-0.eth0", "eth0", "net"), (long, "eth0", "net"),
            ("\(long)b", "eth0", "net"), ("web-0", "__", "net"), (String(repeating: "a", count: 199) + ".b", "x", "n"),
        ]
        let names = cases.map { AutomaticClaim.name(pod: $0.0, interface: $0.1, networkName: $0.2) }
        #expect(Set(names).count == cases.count)
        for name in names { #expect(BerthAPI.isSubdomain(name), "\(name)") }
        #expect(names[0].hasPrefix("web-0.eth0-"))
        #expect(names[2].hasPrefix("web-0.net-1-"))
    }
}
