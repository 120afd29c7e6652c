import IPAMAPI
import IPAddressing
import JSONText
import KubernetesCore
import Testing

@testable import IPAMEngine

@Suite struct IPAMClaimReferenceTests {
    private static let pod = PodReference(namespace: "shop", name: "web-0", uid: "u1")

    private func reference(_ text: String?, interface: String = "net1") throws -> String? {
        let metadata = ObjectMetadata(
            name: "web-0", annotations: text.map { [IPAMClaimReference.annotation: $0] } ?? [:])
        return try IPAMClaimReference(metadata, of: Self.pod, interface: interface)?.name
    }

    @Test func `the element is that of the interface, by its name or by its place`() throws {
        let list = """
            [{"name": "a"}, {"name": "b", "ipam-claim-reference": "second"},
             {"name": "c", "interface": "pod16367aacb67", "ipam-claim-reference": "named"},
             {"name": "d", "namespace": "other", "ipam-claim-reference": "fourth"}]
            """
        #expect(try reference(list) == nil)
        #expect(try reference(list, interface: "net2") == "second")
        #expect(try reference(list, interface: "pod16367aacb67") == "named")
        #expect(try reference(list, interface: "net3") == nil, "the third has another name")
        #expect(try reference(list, interface: "net4") == "fourth")
        #expect(try reference(list, interface: "eth0") == nil)
        #expect(try reference(list, interface: "net5") == nil)
    }

    @Test(arguments: [nil, "", "a,b@eth1", "[{\"name\": \"a\"}]", "not JSON at all"])
    func `a pod without a reference has none, however its list is written`(text: String?) throws {
        #expect(try reference(text) == nil)
    }

    @Test(arguments: [
        ("[{\"name\": \"a\", \"ipam-claim-reference\": \"x\"", "not a list"),
        ("{\"name\": \"a\", \"ipam-claim-reference\": \"x\"}", "not a list"),
        ("[{\"name\": \"a\", \"ipam-claim-reference\": \"No Name\"}]", "element 1 (\"a\")"),
        ("[{\"name\": \"a\", \"ipam-claim-reference\": 7}]", "element 1 (\"a\")"),
        ("[{\"name\": \"a\", \"ipam-claim-reference\": \"\"}]", "element 1 (\"a\")"),
    ])
    func `a reference that cannot be understood is not passed over`(text: String, quoted: String) {
        let problem = #expect(throws: ClaimDemandProblem.self) { try reference(text) }
        #expect(problem?.description.contains(quoted) == true, "\(String(describing: problem))")
        #expect(problem?.description.contains("shop/web-0") == true)
    }

    @Test func `a reference comes before pools and the pod's claim, and not beside the interface's`() throws {
        func demand(_ annotations: [String: String], isStatic: Bool = false) throws -> ClaimDemand {
            var annotations = annotations
            annotations[IPAMClaimReference.annotation] = "[{\"name\": \"a\", \"ipam-claim-reference\": \"x\"}]"
            return try ClaimDemand(
                identity: Self.pod, isStatic: isStatic,
                metadata: ObjectMetadata(name: "web-0", annotations: annotations),
                interface: "net1", networkName: "net", pools: [])
        }
        for annotations in [[:], [AnnotationKey.claim: "vip"], [AnnotationKey.sticky: "false"]] {
            guard case .ofIPAMClaim(let found) = try demand(annotations) else {
                Issue.record("\(try demand(annotations))")
                continue
            }
            #expect(found.reference.name == "x" && found.claimName.hasPrefix("x."))
        }
        #expect(throws: ClaimDemandProblem.self) { try demand([AnnotationKey.claim(interface: "net1"): "vip"]) }
        #expect(throws: ClaimDemandProblem.self) { try demand([:], isStatic: true) }
    }
}

@Suite struct IPAMClaimTests {
    private func object(_ spec: JSON = [:], status: JSON? = nil) throws -> IPAMClaim {
        var json: JSON = ["metadata": ["name": "vm1.blue", "namespace": "shop", "uid": "i1"], "spec": spec]
        json["status"] = status
        return try IPAMClaim(json)
    }

    @Test func `what was given counts before what was asked for`() throws {
        #expect(try object().wishes.isEmpty)
        #expect(try object(["ipRequests": ["10.0.0.7/24"]]).wishes == ["10.0.0.7/24"])
        let status: JSON = ["ips": ["10.0.0.8/24", "fd00::8/64"], "ownerPod": "p"]
        #expect(try object(["ipRequests": ["10.0.0.7/24"]], status: status).wishes == ["10.0.0.8/24", "fd00::8/64"])
        #expect(IPAMClaim.address("fd00::8/64") == "fd00::8" && IPAMClaim.address("10.0.0.8") == "10.0.0.8")
    }

    @Test func `its pod is an object, a text, or nothing that is known`() throws {
        let forms: [(JSON, String, IPAMClaim.OwnerPodForm?)] = [
            (["name": "p"], "p", .object), ("p", "p", .text), (7, "", nil), (.null, "", nil),
        ]
        for (ownerPod, name, form) in forms {
            let claim = try object(status: ["ips": ["10.0.0.8/24"], "ownerPod": ownerPod])
            #expect(claim.ownerPod == name && claim.ownerPodForm == form && claim.ips == ["10.0.0.8/24"])
        }
        #expect(try object(status: ["ips": []]).ownerPodForm == nil)
    }

    @Test func `the claim that stands for it goes with it, one for each network`() throws {
        let demand = IPAMClaimDemand(
            namespace: "shop",
            reference: try #require(
                try IPAMClaimReference(
                    ObjectMetadata(
                        name: "p",
                        annotations: [
                            IPAMClaimReference.annotation: "[{\"name\": \"a\", \"ipam-claim-reference\": \"vm1.blue\"}]"
                        ]), of: PodReference(namespace: "shop", name: "p", uid: "u"), interface: "net1")),
            networkName: "blue")
        let claim = demand.claim(try object())
        #expect(claim.name == demand.claimName && claim.isAskedFor && claim.owner?.isIPAMClaim == true)
        #expect(claim.owner?.uid == "i1" && claim.spec.interface.isEmpty && claim.spec.pod.isEmpty)
        #expect(claim.spec.networkName == "blue" && claim.spec.retention.policy == .untilOwnerDeleted)
        #expect(BerthAPI.isSubdomain(claim.name))
        #expect(claim.name != AutomaticClaim.name(ipamClaim: "vm1.blue", networkName: "red"))
        #expect(claim.name != AutomaticClaim.name(pod: "vm1.blue", interface: "", networkName: "blue"))
    }
}
