import IPAMAPI
import JSONText
import KubernetesCore
import Testing

@Suite struct IPPoolTests {
    @Test func `defaults are those of the schema`() throws {
        let pool = try IPPool(poolObject(["subnet": "10.0.0.0/24"]))
        #expect(pool.spec == IPPool.Spec(subnet: "10.0.0.0/24"))
        #expect(pool.spec.cooldownSeconds == 10)
        #expect(pool.spec.strategy == .random)
        #expect(!pool.spec.disabled)
        #expect(pool.status == nil)
    }

    @Test func `a full pool survives writing and reading`() throws {
        let status = try #require(IPPool.full.status)
        let json = poolObject(IPPool.full.spec.json, status: status.json)
        #expect(try IPPool(try JSON(parsing: json.serialized())) == IPPool.full)
    }

    @Test(
        arguments: [
            ([:], "spec.subnet", "missing"), (["subnet": 1], "spec.subnet", "expected a string, found a number"),
            (["subnet": "x", "ranges": "a"], "spec.ranges", "expected a list, found a string"),
            (["subnet": "x", "ranges": [1]], "spec.ranges[0]", "expected a string, found a number"),
            (["subnet": "x", "routes": [["gw": "a"]]], "spec.routes[0].dst", "missing"),
            (
                ["subnet": "x", "routes": [["dst": "a", "mtu": "1"]]], "spec.routes[0].mtu",
                "expected an integer, found a string"
            ),
            (["subnet": "x", "strategy": "Fast"], "spec.strategy", "\"Fast\" is none of Random, Sequential"),
            (["subnet": "x", "cooldown": "10"], "spec.cooldown", "\"10\" is not a duration such as 10s, 1m30s or 0s"),
            (["subnet": "x", "cooldown": 10], "spec.cooldown", "expected a string, found a number"),
            (["subnet": "x", "disabled": "no"], "spec.disabled", "expected true or false, found a string"),
        ] as [(JSON, String, String)])
    func `a field of the wrong type is refused by its path`(spec: JSON, path: String, problem: String) {
        #expect(throws: JSONDecodingError(path: path, problem: problem)) { try IPPool(poolObject(spec)) }
    }

    @Test func `a pool without a spec is refused`() {
        #expect(throws: JSONDecodingError(path: "spec", problem: "missing")) {
            try IPPool(["metadata": ["name": "p"]])
        }
    }

    @Test(
        arguments: [
            (["occupancy": ["first": "10.0.0.0", "bitmap": "###"]], "status.occupancy.bitmap", "not base 64"),
            (["occupancy": ["bitmap": ""]], "status.occupancy.first", "missing"),
            (["conditions": [["type": "Ready"]]], "status.conditions[0].status", "missing"),
            (["free": "1"], "status.free", "expected an integer, found a string"),
        ] as [(JSON, String, String)])
    func `a status of the wrong type is refused by its path`(status: JSON, path: String, problem: String) {
        #expect(throws: JSONDecodingError(path: path, problem: problem)) {
            try IPPool(poolObject(["subnet": "10.0.0.0/24"], status: status))
        }
    }

    @Test func `fields of newer versions do no harm`() throws {
        let json = poolObject(["subnet": "10.0.0.0/24", "colour": "blue"], status: ["mood": "fine"])
        #expect(try IPPool(json).spec == IPPool.Spec(subnet: "10.0.0.0/24"))
    }

    @Test func `a new object has what a person would write`() throws {
        let pool = IPPool(
            metadata: ObjectMetadata(
                name: "blue", uid: "u", resourceVersion: "7", labels: ["a": "b"], annotations: ["c": "d"]),
            spec: .init(subnet: "10.0.0.0/24"), status: .init(capacity: 1))
        #expect(
            pool.newObject() == [
                "apiVersion": "ipam.berth.dev/v1alpha1", "kind": "IPPool",
                "metadata": ["name": "blue", "labels": ["a": "b"], "annotations": ["c": "d"]],
                "spec": [
                    "subnet": "10.0.0.0/24", "cooldown": "10s", "strategy": "Random", "stickiness": "StatefulSets",
                    "disabled": false,
                ],
            ])
    }

    @Test func `resource types are those that the API server serves`() {
        #expect(ResourceType.ipPools.path(namespace: nil, name: "blue") == "/apis/ipam.berth.dev/v1alpha1/ippools/blue")
        #expect(
            ResourceType.ipAllocations.path(namespace: nil, name: "10.0.0.1")
                == "/apis/ipam.berth.dev/v1alpha1/ipallocations/10.0.0.1")
        #expect(ResourceType.ipAllocations.groupResource == "ipallocations.ipam.berth.dev")
    }
}
