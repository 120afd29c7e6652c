package import IPAMAPI
internal import JSONText
internal import KubernetesClient
internal import KubernetesCore

extension ControlPlane {
    /// Installed once for all tests: two at once who make one definition hinder each other.
    package static let ipamClaims = Task { try await ControlPlane.ready().installIPAMClaims() }

    /// The networks that Multus attaches pods to, installed once for all tests.
    package static let networkAttachmentDefinitions = Task {
        try await ControlPlane.ready().installNetworkAttachmentDefinitions()
    }

    package func installNetworkAttachmentDefinitions() async throws {
        let (plural, group) = ("network-attachment-definitions", IPAMClaim.group)
        try await apply(
            definition(group: group, version: "v1", plural: plural, kind: "NetworkAttachmentDefinition"))
        try await kubectl(["wait", "--for=condition=Established", "--timeout=60s", "crd/\(plural).\(group)"])
    }

    /// Lets the API server serve IPAMClaims, as strict about their status as the original is.
    ///
    /// - Parameter ownerPod: How the definition describes the pod.
    package func installIPAMClaims(ownerPod form: IPAMClaim.OwnerPodForm = .object) async throws {
        let text: JSON = ["type": "string"]
        let pod: JSON =
            switch form {
            case .object: ["type": "object", "required": ["name"], "properties": ["name": text]]
            case .text: text
            }
        let texts: JSON = ["type": "array", "items": text]
        let schema: JSON = [
            "type": "object",
            "properties": [
                "spec": [
                    "type": "object", "required": ["interface", "network"],
                    "properties": ["interface": text, "network": text, "ipRequests": texts],
                ],
                "status": [
                    "type": "object", "required": ["ips", "ownerPod"],
                    "properties": ["ips": texts, "ownerPod": pod],
                ],
            ],
        ]
        try await apply(
            definition(
                group: IPAMClaim.group, version: "v1alpha1", plural: "ipamclaims", kind: "IPAMClaim", schema: schema))
        try await kubectl(
            ["wait", "--for=condition=Established", "--timeout=60s", "crd/ipamclaims.\(IPAMClaim.group)"])
    }

    @discardableResult
    package func makeIPAMClaim(
        _ name: String, namespace: String = "default", network: String = "net", requests: [String] = [],
        ips: [String] = []
    ) async throws -> IPAMClaim {
        var object: JSON = [
            "apiVersion": "\(IPAMClaim.group)/v1alpha1", "kind": "IPAMClaim",
            "metadata": ["name": .string(name), "namespace": .string(namespace)],
            "spec": ["network": .string(network), "interface": "net1"],
        ]
        if !requests.isEmpty { object["spec"]?["ipRequests"] = .strings(requests) }
        let made = object
        return try await withAdmin { client in
            let json = try client.create(
                .ipamClaims, namespace: namespace, name: name, object: made, deadline: .soon)
            guard !ips.isEmpty else { return try IPAMClaim(json) }
            return try IPAMClaim(
                client.patch(
                    .ipamClaims, namespace: namespace, name: name,
                    patch: .merge(["status": ["ips": .strings(ips), "ownerPod": ["name": "earlier"]]]),
                    subresource: "status",
                    deadline: .soon))
        }
    }

    package func ipamClaim(_ name: String, namespace: String = "default") async throws -> IPAMClaim {
        try await withAdmin {
            try IPAMClaim($0.get(.ipamClaims, namespace: namespace, name: name, deadline: .soon))
        }
    }

    package func deleteIPAMClaim(_ name: String, namespace: String = "default") async throws {
        _ = try await withAdmin {
            try $0.delete(.ipamClaims, namespace: namespace, name: name, preconditions: nil, deadline: .soon)
        }
    }
}
