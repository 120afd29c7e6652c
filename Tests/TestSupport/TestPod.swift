package import IPAMAPI
package import JSONText
internal import KubernetesClient
internal import KubernetesCore

/// A pod in the API of which nothing runs.
package struct TestPod: Hashable, Sendable {
    package let namespace: String
    package let name: String
    package let uid: String
    package let node: String

    package init(namespace: String, name: String, uid: String, node: String) {
        self.namespace = namespace
        self.name = name
        self.uid = uid
        self.node = node
    }

    package var reference: PodReference { PodReference(namespace: namespace, name: name, uid: uid) }

    /// CNI_ARGS as containerd writes them, but for their order, which there is random.
    ///
    /// - Parameter uid: Another UID than that in the API, as of a static pod; empty leaves the key out.
    package func arguments(containerID: String, uid: String? = nil) -> String {
        var arguments = [
            "IgnoreUnknown=1", "K8S_POD_NAMESPACE=\(namespace)", "K8S_POD_NAME=\(name)",
            "K8S_POD_INFRA_CONTAINER_ID=\(containerID)",
        ]
        let uid = uid ?? self.uid
        if !uid.isEmpty { arguments.append("K8S_POD_UID=\(uid)") }
        return arguments.joined(separator: ";")
    }
}

/// A StatefulSet, or another object that owns pods or claims, of which no controller knows.
package struct TestOwner: Hashable, Sendable {
    package let apiVersion: String
    package let kind: String
    package let namespace: String
    package let name: String
    package let uid: String

    package init(apiVersion: String = "apps/v1", kind: String, namespace: String, name: String, uid: String) {
        self.apiVersion = apiVersion
        self.kind = kind
        self.namespace = namespace
        self.name = name
        self.uid = uid
    }
}

extension ControlPlane {
    /// Makes a StatefulSet. Nothing makes its pods, and nothing deletes what it owns.
    package func makeStatefulSet(
        _ name: String, namespace: String = "default", replicas: Int = 3
    ) async throws -> TestOwner {
        let labels: JSON = ["set": .string(name)]
        let object: JSON = [
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": ["name": .string(name), "namespace": .string(namespace)],
            "spec": [
                "replicas": .int(replicas), "serviceName": .string(name), "selector": ["matchLabels": labels],
                "template": [
                    "metadata": ["labels": labels], "spec": ["containers": [["name": "none", "image": "none"]]],
                ],
            ],
        ]
        let set = try await withAdmin {
            try ObjectMetadata(
                JSONFields(
                    $0.create(.statefulSets, namespace: namespace, name: name, object: object, deadline: .soon)))
        }
        return TestOwner(kind: "StatefulSet", namespace: namespace, name: name, uid: set.uid)
    }

    /// Makes a pod that is bound to a node, which need not exist.
    ///
    /// - Parameters:
    ///   - configHash: Makes it the mirror of a static pod, whose own UID that is.
    ///   - owner: Its controller.
    package func makePod(
        _ name: String, namespace: String = "default", node: String, labels: [String: String] = [:],
        annotations: [String: String] = [:], configHash: String? = nil, owner: TestOwner? = nil
    ) async throws -> TestPod {
        var annotations = annotations
        if let configHash {
            for key in ["hash", "mirror"] { annotations["kubernetes.io/config.\(key)"] = configHash }
            annotations["kubernetes.io/config.source"] = "file"
        }
        var object: JSON = [
            "apiVersion": "v1", "kind": "Pod",
            "metadata": [
                "name": .string(name), "namespace": .string(namespace), "labels": JSON(strings: labels),
                "annotations": JSON(strings: annotations),
            ],
            "spec": [
                "nodeName": .string(node), "automountServiceAccountToken": false,
                "containers": [["name": "none", "image": "none"]],
            ],
        ]
        if let owner {
            object["metadata"]?["ownerReferences"] = [
                [
                    "apiVersion": .string(owner.apiVersion), "kind": .string(owner.kind), "name": .string(owner.name),
                    "uid": .string(owner.uid), "controller": true,
                ]
            ]
        }
        let request = APIRequest.create(.pods, namespace: namespace, name: name, object: object)
        let pod = try await withAdmin { try ObjectMetadata(JSONFields($0.perform(request, deadline: .soon))) }
        return TestPod(namespace: namespace, name: name, uid: pod.uid, node: node)
    }

    /// Deletes a pod at once, without a grace period. One that has gone, or that is another of the name, is no error.
    package func delete(_ pod: TestPod) async throws {
        var request = APIRequest.delete(
            .pods, namespace: pod.namespace, name: pod.name, preconditions: Preconditions(uid: pod.uid))
        request.query.removeAll()
        let options: JSON = [
            "kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0,
            "preconditions": ["uid": .string(pod.uid)],
        ]
        request.body = options.serialized()
        let immediate = request
        try await withAdmin { client in
            do throws(APIError) {
                _ = try client.perform(immediate, deadline: .soon)
            } catch {
                guard error.isNotFound || error.isConflict else { throw error }
            }
        }
    }

    /// Deletes a pod and makes another of the same name, as a StatefulSet does.
    package func recreate(_ pod: TestPod, node: String? = nil) async throws -> TestPod {
        try await delete(pod)
        return try await makePod(pod.name, namespace: pod.namespace, node: node ?? pod.node)
    }

    /// Makes a namespace unless there is one of the name. It cannot be deleted again: that takes a controller manager.
    package func makeNamespace(
        _ name: String, labels: [String: String] = [:], annotations: [String: String] = [:]
    ) async throws {
        let object: JSON = [
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": [
                "name": .string(name), "labels": JSON(strings: labels), "annotations": JSON(strings: annotations),
            ],
        ]
        try await withAdmin { client in
            do throws(APIError) {
                _ = try client.create(.namespaces, name: name, object: object, deadline: .soon)
            } catch {
                guard error.isAlreadyExists else { throw error }
            }
        }
    }
}

extension JSON {
    /// A map of strings, its keys in order.
    package init(strings: [String: String]) {
        var json: JSON = [:]
        for (key, value) in strings.sorted(by: { $0.key < $1.key }) { json[key] = .string(value) }
        self = json
    }
}
