import IPAddressing
import JSONText
import KubernetesCore
import Testing

@testable import IPAMAPI

@Suite struct IPAllocationTests {
    static let labels: JSON = [
        "ipam.berth.dev/pool": "blue", "ipam.berth.dev/node": "n1", "ipam.berth.dev/state": "Bound",
        "ipam.berth.dev/attachment": .string(
            Attachment(networkName: "net", containerID: "c1", interface: "eth0").digest),
        "ipam.berth.dev/network": "red", "ipam.berth.dev/claim": "claim-uid",
    ]

    /// As the server returns it.
    static func stored(_ spec: IPAllocation.Spec, extra: JSON = [:]) throws -> JSON {
        var object = spec.newObject()
        object["metadata"]?["uid"] = "u1"
        object["metadata"]?["resourceVersion"] = "42"
        for member in extra.object?.members ?? [] { object["spec"]?[member.name] = member.value }
        return object
    }

    @Test(
        arguments: [
            ("10.19.120.7", "", "10.19.120.7"), ("10.19.120.7", "red", "red.10.19.120.7"),
            ("fd00::1", "", "fd00-0000-0000-0000-0000-0000-0000-0001"),
            ("fd00::1", "red", "red.fd00-0000-0000-0000-0000-0000-0000-0001"),
        ])
    func `the object is named after network and address`(address: String, network: String, name: String) throws {
        let spec = try IPAllocation.Spec.full(address, network: network)
        #expect(spec.objectName == name)
        #expect(spec.objectName == AllocationName(network: network, address: spec.address)?.objectName)
        #expect(spec.newObject()["metadata"]?["name"] == .string(name))
        #expect(try IPAllocation(spec.newObject()).spec == spec)
    }

    @Test func `a new object carries labels that repeat its spec`() throws {
        let spec = try IPAllocation.Spec.full()
        #expect(
            spec.newObject() == [
                "apiVersion": "ipam.berth.dev/v1alpha1", "kind": "IPAllocation",
                "metadata": ["name": "red.10.19.120.7", "labels": Self.labels], "spec": spec.json,
            ])
    }

    @Test func `what is empty is neither a field nor a label`() throws {
        let spec = IPAllocation.Spec(
            state: .held, origin: .manual, pool: "blue", poolUID: "", address: try ip("10.0.0.1"), network: "",
            node: "",
            machineID: "", attachment: nil, pod: nil, claim: nil, cooldownSeconds: 0, claimedAt: nil, releasedAt: nil)
        #expect(
            spec.newObject() == [
                "apiVersion": "ipam.berth.dev/v1alpha1", "kind": "IPAllocation",
                "metadata": [
                    "name": "10.0.0.1", "labels": ["ipam.berth.dev/pool": "blue", "ipam.berth.dev/state": "Held"],
                ],
                "spec": [
                    "state": "Held", "origin": "Manual", "pool": "blue", "address": "10.0.0.1", "cooldownSeconds": 0,
                ],
            ])
        #expect(try IPAllocation(spec.newObject()).spec == spec)
    }

    @Test func `names that are no label values are fitted`() throws {
        var spec = try IPAllocation.Spec.full()
        spec.node = String(repeating: "n", count: 200) + ".example.com"
        let label = spec.newObject()["metadata"]?["labels"]?["ipam.berth.dev/node"]?.string
        #expect(label == LabelValue.fitting(spec.node))
        #expect(spec.newObject()["spec"]?["node"] == .string(spec.node))
    }

    @Test(
        arguments: [
            (
                "10.0.0.8", [:], "spec.address",
                "\"10.0.0.7\" in network \"\" is not what the object's name \"10.0.0.8\" stands for"
            ),
            (
                "10.0.0.7", ["network": "red"], "spec.address",
                "\"10.0.0.7\" in network \"red\" is not what the object's name \"10.0.0.7\" stands for"
            ),
            (
                "10.0.0.7", ["address": "10.0.0.07"], "spec.address",
                "\"10.0.0.07\" is not an IP address: leading zero in \"07\""
            ),
            ("10.0.0.7", ["address": nil], "spec.address", "missing"),
            ("10.0.0.7", ["state": "Lost"], "spec.state", "\"Lost\" is none of Bound, Cooling, Held, Fenced"),
            ("10.0.0.7", ["state": nil], "spec.state", "missing"),
            ("10.0.0.7", ["origin": "pod"], "spec.origin", "\"pod\" is none of Pod, Static, Container, Manual"),
            ("10.0.0.7", ["pool": 7], "spec.pool", "expected a string, found a number"),
            ("10.0.0.7", ["attachment": "c1"], "spec.attachment", "expected an object, found a string"),
            (
                "10.0.0.7", ["attachment": ["containerID": "c", "interface": "e"]], "spec.attachment.networkName",
                "missing"
            ),
            ("10.0.0.7", ["pod": ["namespace": "a", "name": "b"]], "spec.pod.uid", "missing"),
            ("10.0.0.7", ["cooldownSeconds": "10"], "spec.cooldownSeconds", "expected an integer, found a string"),
        ] as [(String, JSON, String, String)])
    func `nonsense is refused by its path`(name: String, change: JSON, path: String, problem: String) {
        var spec: JSON = ["state": "Bound", "origin": "Pod", "pool": "p", "address": "10.0.0.7"]
        for member in change.object?.members ?? [] { spec[member.name] = member.value }
        #expect(throws: JSONDecodingError(path: path, problem: problem)) {
            try IPAllocation(["metadata": ["name": .string(name)], "spec": spec])
        }
    }

    @Test func `a release touches state, attachment and time, on condition of what was read`() throws {
        let allocation = try IPAllocation(try Self.stored(.full()))
        #expect(
            allocation.released(at: "2025-11-20T12:00:00Z", to: .cooling) == [
                "metadata": [
                    "uid": "u1", "resourceVersion": "42",
                    "labels": ["ipam.berth.dev/state": "Cooling", "ipam.berth.dev/attachment": nil],
                ],
                "spec": ["state": "Cooling", "attachment": nil, "releasedAt": "2025-11-20T12:00:00Z"],
            ])
        let held = allocation.released(at: "2025-11-20T12:00:00Z", to: .held)
        #expect(held["spec"]?["state"] == "Held")
        #expect(held["metadata"]?["labels"]?["ipam.berth.dev/state"] == "Held")
        #expect(
            held
                == IPAllocation.releasePatch(at: "2025-11-20T12:00:00Z", to: .held, uid: "u1", resourceVersion: "42"))
    }

    @Test func `a take-over replaces what this version knows and keeps the rest`() throws {
        var cooling = try IPAllocation.Spec.full()
        cooling.state = .cooling
        cooling.attachment = nil
        var object = try Self.stored(cooling, extra: ["future": ["a": 1]])
        object["metadata"]?["labels"]?["example.com/team"] = "x"
        object["metadata"]?["annotations"] = ["example.com/note": "y"]
        object["extra"] = true

        // The new holder has no claim, no pod and no machine ID: nothing of the old one may stay.
        var bound = try IPAllocation.Spec.full()
        bound.pool = "green"
        bound.node = "n2"
        bound.attachment = Attachment(networkName: "net", containerID: "c2", interface: "eth0")
        bound.machineID = ""
        bound.pod = nil
        bound.claim = nil
        bound.releasedAt = nil
        let taken = try IPAllocation(object).takenOver(by: bound)

        var expected = try Self.stored(bound, extra: ["future": ["a": 1]])
        expected["metadata"]?["labels"]?["example.com/team"] = "x"
        expected["metadata"]?["annotations"] = ["example.com/note": "y"]
        expected["extra"] = true
        #expect(taken == expected)
        #expect(taken["metadata"]?["resourceVersion"] == "42")
        #expect(try IPAllocation(taken).spec == bound)
    }

    @Test func `a take-over knows every member of the spec`() throws {
        #expect(Set(IPAllocation.Spec.memberNames) == Set(try IPAllocation.Spec.full().json.object?.names ?? []))
    }

    @Test func `labels that no longer apply go`() throws {
        let allocation = try IPAllocation(try Self.stored(.full()))
        var spec = allocation.spec
        spec.state = .held
        spec.attachment = nil
        spec.node = ""
        #expect(
            allocation.takenOver(by: spec)["metadata"]?["labels"] == [
                "ipam.berth.dev/pool": "blue", "ipam.berth.dev/state": "Held", "ipam.berth.dev/network": "red",
                "ipam.berth.dev/claim": "claim-uid",
            ])
    }

    @Test func `an object without labels can be taken over`() throws {
        let spec: JSON = [
            "state": "Cooling", "origin": "Manual", "pool": "p", "address": "10.19.120.7", "network": "red",
        ]
        let allocation = try IPAllocation(["metadata": ["name": "red.10.19.120.7"], "spec": spec])
        #expect(allocation.takenOver(by: try .full())["metadata"]?["labels"] == Self.labels)
    }

    @Test func `the object as it was read is kept`() throws {
        let object = try Self.stored(.full(), extra: ["future": 1])
        #expect(try IPAllocation(object).json == object)
    }

    @Test func `the holder is described for people`() throws {
        let allocation = try IPAllocation(try Self.stored(.full()))
        #expect(
            allocation.holderDescription
                == "bound, pod default/web-0 (UID pod-uid), interface eth0 of container c1 in network net,"
                + " claim default/web, node n1")
    }
}
