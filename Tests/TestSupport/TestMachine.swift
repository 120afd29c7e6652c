internal import JSONText
internal import KubernetesClient
internal import KubernetesCore

/// Virtual machines as KubeVirt has them, of which nothing runs: objects of minimal custom resources.
extension ControlPlane {
    /// Installed once for all tests: two at once who make one definition hinder each other.
    package static let kubeVirt = Task { try await ControlPlane.ready().installKubeVirt() }

    /// Lets the API server serve VirtualMachines and their instances.
    package func installKubeVirt() async throws {
        for (plural, kind) in [
            ("virtualmachines", "VirtualMachine"), ("virtualmachineinstances", "VirtualMachineInstance"),
        ] {
            try await apply(definition(group: "kubevirt.io", version: "v1", plural: plural, kind: kind))
            try await kubectl(["wait", "--for=condition=Established", "--timeout=60s", "crd/\(plural).kubevirt.io"])
        }
    }

    /// A custom resource with a status, whose objects may have any members unless a schema is given.
    func definition(
        group: String, version: String, plural: String, kind: String,
        schema: JSON = ["type": "object", "x-kubernetes-preserve-unknown-fields": true]
    ) -> JSON {
        [
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": [
                "name": .string("\(plural).\(group)"),
                // Groups of the project are protected (KEP-1111).
                "annotations": ["api-approved.kubernetes.io": "unapproved, of a test"],
            ],
            "spec": [
                "group": .string(group), "scope": "Namespaced",
                "names": [
                    "plural": .string(plural), "singular": .string(kind.lowercased()), "kind": .string(kind),
                    "listKind": .string("\(kind)List"),
                ],
                "versions": [
                    [
                        "name": .string(version), "served": true, "storage": true, "subresources": ["status": [:]],
                        "schema": ["openAPIV3Schema": schema],
                    ]
                ],
            ],
        ]
    }

    package func makeMachine(_ name: String, namespace: String) async throws -> TestOwner {
        try await makeOwner("VirtualMachine", name, namespace: namespace, owner: nil)
    }

    /// One run of a machine, or one that has none.
    package func makeInstance(_ name: String, namespace: String, of machine: TestOwner?) async throws -> TestOwner {
        try await makeOwner("VirtualMachineInstance", name, namespace: namespace, owner: machine)
    }

    private func makeOwner(
        _ kind: String, _ name: String, namespace: String, owner: TestOwner?
    ) async throws -> TestOwner {
        var metadata: JSON = ["name": .string(name), "namespace": .string(namespace)]
        if let owner {
            metadata["ownerReferences"] = [
                [
                    "apiVersion": .string(owner.apiVersion), "kind": .string(owner.kind), "name": .string(owner.name),
                    "uid": .string(owner.uid), "controller": true, "blockOwnerDeletion": true,
                ]
            ]
        }
        let object: JSON = ["apiVersion": "kubevirt.io/v1", "kind": .string(kind), "metadata": metadata]
        let made = try await withAdmin {
            try ObjectMetadata(
                JSONFields(
                    $0.create(
                        Self.type(of: kind), namespace: namespace, name: name, object: object, deadline: .soon)))
        }
        return TestOwner(apiVersion: "kubevirt.io/v1", kind: kind, namespace: namespace, name: name, uid: made.uid)
    }

    /// Deletes a machine or an instance, and nothing that it owns.
    package func delete(_ owner: TestOwner) async throws {
        _ = try await withAdmin {
            try $0.delete(
                Self.type(of: owner.kind), namespace: owner.namespace, name: owner.name, preconditions: nil,
                deadline: .soon)
        }
    }

    private static func type(of kind: String) -> ResourceType {
        ResourceType(
            group: "kubevirt.io", version: "v1", plural: "\(kind.lowercased())s", kind: kind, isNamespaced: true)
    }
}
