import JSONText
import KubernetesCore
import Testing

@Suite struct ObjectMetadataTests {
    @Test func `Every member is read`() throws {
        let json: JSON = [
            "metadata": [
                "name": "a", "namespace": "d", "uid": "u", "resourceVersion": "7", "generation": 3,
                "labels": ["x": "y"], "annotations": ["n": "1"], "finalizers": ["f"],
                "creationTimestamp": "2025-11-20T09:07:05Z", "deletionTimestamp": "2025-11-20T09:08:05Z",
                "ownerReferences": [
                    ["apiVersion": "v1", "kind": "Node", "name": "n", "uid": "nu", "controller": true],
                    ["apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "pu"],
                ],
            ]
        ]
        let metadata = try ObjectMetadata(JSONFields(json))
        #expect(
            metadata
                == ObjectMetadata(
                    name: "a", namespace: "d", uid: "u", resourceVersion: "7", generation: 3, labels: ["x": "y"],
                    annotations: ["n": "1"], finalizers: ["f"], deletionTimestamp: "2025-11-20T09:08:05Z",
                    creationTimestamp: "2025-11-20T09:07:05Z",
                    ownerReferences: [
                        OwnerReference(apiVersion: "v1", kind: "Node", name: "n", uid: "nu", isController: true),
                        OwnerReference(apiVersion: "v1", kind: "Pod", name: "p", uid: "pu"),
                    ]))
        #expect(metadata.isBeingDeleted)
    }

    @Test func `Only the name is required`() throws {
        let metadata = try ObjectMetadata(JSONFields(["metadata": ["name": "a", "labels": nil]]))
        #expect(metadata == ObjectMetadata(name: "a"))
        #expect(!metadata.isBeingDeleted)
    }

    static let broken: [(JSON, String)] = [
        ([:], "metadata: missing"),
        (["metadata": []], "metadata: expected an object, found a list"),
        (["metadata": [:]], "metadata.name: missing"),
        (["metadata": ["name": "a", "labels": ["x": 1]]], "metadata.labels.x: expected a string, found a number"),
        (
            ["metadata": ["name": "a", "ownerReferences": [["kind": "x"]]]],
            "metadata.ownerReferences[0].apiVersion: missing"
        ),
    ]

    @Test(arguments: broken)
    func `An error names the member`(json: JSON, message: String) {
        let error = #expect(throws: JSONDecodingError.self) { try ObjectMetadata(JSONFields(json)) }
        #expect(error.map { "\($0)" } == message)
    }

    @Test func `A list has items, a version and perhaps a continue token`() throws {
        let page = try ObjectList(["metadata": ["resourceVersion": "9", "continue": "t"], "items": [1, 2]])
        #expect(page.items == [1, 2])
        #expect(page.resourceVersion == "9")
        #expect(page.continueToken == "t")
        let last = try ObjectList(["metadata": ["resourceVersion": "9", "continue": ""], "items": nil])
        #expect(last.items.isEmpty)
        #expect(last.continueToken == nil)
    }
}
