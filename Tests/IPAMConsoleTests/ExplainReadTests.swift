import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesCore
import Testing

@testable import IPAMConsole

/// What `explain` reads, and makes of it.
@Suite struct ExplainReadTests {
    private let pools: [JSON] = [
        .object("IPPool", "blue", spec: ["subnet": "10.0.0.0/29", "strategy": "Sequential"]),
        .object("IPPool", "red", spec: ["subnet": "10.1.0.0/29", "strategy": "Sequential"]),
    ]

    private func explain(
        _ source: ExplainSource, pod annotations: JSON = [:], namespace: JSON = [:], interface: String? = nil,
        pools: [JSON]? = nil, reservations: [JSON] = []
    ) throws -> ExplainReport {
        let objects: [String: [JSON]] = [
            "pods": [
                .object("Pod", "web-0", namespace: "shop", spec: ["nodeName": "n1"], annotations: annotations)
            ],
            "namespaces": [.object("Namespace", "shop", labels: ["team": "a"], annotations: namespace)],
            "nodes": [.object("Node", "n1")], "ippools": pools ?? self.pools, "ipreservations": reservations,
        ]
        return try StoredObjects(objects).reader.explanation(of: .web0, source, interface: interface)
    }

    private func given(_ report: ExplainReport) -> [String] {
        report.parts.flatMap(\.reasoning.slots).map { slot in
            if case .address(let address, _, _) = slot.outcome { "\(address)" } else { "\(slot.outcome)" }
        }
    }

    private func document(_ ipam: JSON) -> ExplainSource {
        .document(["name": "n", "cniVersion": "1.0.0", "type": "macvlan", "ipam": ipam], name: "n.conf")
    }

    @Test func `The purpose of an interface counts before that of the pod, and each is told once`() throws {
        let reservations: [JSON] = [
            .object("IPReservation", "a", spec: ["ranges": ["10.0.0.5"], "purpose": "egress"]),
            .object("IPReservation", "b", spec: ["ranges": ["10.0.0.6"], "purpose": "dns"]),
        ]
        let annotations: JSON = ["ipam.berth.dev/purpose": "egress", "ipam.berth.dev/purpose.net1": "dns"]
        let first = try explain(.pools(["blue"]), pod: annotations, reservations: reservations)
        #expect(given(first) == ["10.0.0.5"])
        #expect(
            first.notes == ["It names the purpose \"egress\", and gets what is reserved for it where there is any."])
        let other = try explain(.pools(["blue"]), pod: annotations, interface: "net1", reservations: reservations)
        #expect(given(other) == ["10.0.0.6"])
        #expect(other.notes == ["It names the purpose \"dns\", and gets what is reserved for it where there is any."])
        let vain = try explain(.pools(["blue"]), pod: ["ipam.berth.dev/purpose.eth0": "x"], reservations: reservations)
        #expect(given(vain) == ["10.0.0.1"])
        #expect(
            vain.notes
                == ["It names the purpose \"x\", for which nothing is reserved: ordinary addresses are given."])
    }

    @Test func `A range whose pool does not exist yet obeys the reservations, and has what is for a purpose`() throws {
        let range = document([
            "type": "berth", "range": "10.2.0.0/29", "range_start": "10.2.0.1", "range_end": "10.2.0.2",
        ])
        let reservations: [JSON] = [
            .object("IPReservation", "a", spec: ["ranges": ["10.2.0.1"]]),
            .object("IPReservation", "b", spec: ["ranges": ["10.2.0.2"], "purpose": "dns"]),
        ]
        let closed = try explain(range, pools: [], reservations: reservations)
        #expect(!closed.isServed)
        let open = try explain(
            range, pod: ["ipam.berth.dev/purpose": "dns"], pools: [], reservations: reservations)
        #expect(given(open) == ["10.2.0.2"])
        #expect(open.notes == ["It names the purpose \"dns\", and gets what is reserved for it where there is any."])
    }

    @Test func `Where the configuration says so, annotations of the namespace count for nothing, and its labels do`()
        throws
    {
        let namespace: JSON = ["ipam.berth.dev/pools": "red"]
        let listed: JSON = ["type": "berth", "pools": ["blue", "red"]]
        #expect(given(try explain(document(listed), namespace: namespace)) == ["10.1.0.1"])
        var deaf = listed
        deaf["namespaceAnnotations"] = false
        #expect(given(try explain(document(deaf), namespace: namespace)) == ["10.0.0.1"])
        #expect(given(try explain(document(deaf), namespace: ["ipam.berth.dev/pool": "red"])) == ["10.0.0.1"])
        let selecting: JSON = .object(
            "IPPool", "blue",
            spec: [
                "subnet": "10.0.0.0/29", "strategy": "Sequential",
                "namespaceSelector": ["matchLabels": ["team": "a"]],
            ])
        #expect(
            given(try explain(document(deaf), namespace: namespace, pools: [selecting, pools[1]])) == ["10.0.0.1"])
        deaf["namespaceAnnotations"] = "no"
        #expect(throws: ConsoleError.self) { try explain(document(deaf)) }
    }
}
