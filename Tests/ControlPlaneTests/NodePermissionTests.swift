import JSONText
import KubernetesClient
import KubernetesCore
import TestSupport
import Testing

/// What the roles of config/rbac let a node do, whatever the server's version. Below Kubernetes 1.30 this is all that
/// limits it.
@Suite("Permissions of a node", .controlPlane, .timeLimit(.minutes(2)))
struct NodePermissionTests {
    /// A group, a resource with its subresource, and a namespace; none for what has no namespace.
    private struct Target: Hashable, CustomStringConvertible {
        var group = ""
        var resource: String
        var namespace: String?

        var description: String {
            "\(resource)\(group.isEmpty ? "" : ".\(group)")\(namespace.map { " in \($0)" } ?? "")"
        }
    }

    private static func berth(_ resource: String) -> Target { Target(group: "ipam.berth.dev", resource: resource) }
    private static func role(_ resource: String, _ namespace: String? = nil) -> Target {
        Target(group: "rbac.authorization.k8s.io", resource: resource, namespace: namespace)
    }
    private static func lease(_ namespace: String) -> Target {
        Target(group: "coordination.k8s.io", resource: "leases", namespace: namespace)
    }

    private static let all = [
        "get", "list", "watch", "create", "update", "patch", "delete", "deletecollection",
    ]

    /// What is allowed; all other verbs are not. In brackets: what may be.
    private static let table: [(target: Target, allowed: String)] = [
        // The ledger: where the server has no ValidatingAdmissionPolicy, that of other nodes too.
        (berth("ipallocations"), "get list watch create update patch delete"),
        // Pools: to read one, and to make those of ranges in network configurations.
        (berth("ippools"), "get list create"),
        (berth("ipreservations"), "list"),
        (berth("ipblocks"), "list create patch delete"),
        (berth("ippools/status"), ""),
        (berth("ipallocations/status"), ""),
        // Claims: to make those that are made by themselves, and to say who holds one.
        (Target(group: "ipam.berth.dev", resource: "ipclaims", namespace: "shop"), "get create"),
        (Target(group: "ipam.berth.dev", resource: "ipclaims/status", namespace: "shop"), "patch"),
        // Pods: to read.
        (Target(resource: "pods", namespace: "shop"), "get list watch"),
        (Target(resource: "pods/exec", namespace: "shop"), ""),
        (Target(resource: "pods/status", namespace: "shop"), ""),
        (Target(resource: "pods/eviction", namespace: "shop"), ""),
        (Target(resource: "events", namespace: "shop"), "create"),
        // Reports, in its own namespace.
        (lease("berth-system"), "get create patch"),
        (lease("kube-system"), ""),
        (lease("kube-node-lease"), ""),
        // Nothing else.
        (Target(resource: "namespaces"), "get"),
        (Target(resource: "nodes"), "get"),
        // What pods refer to.
        (Target(group: "k8s.cni.cncf.io", resource: "ipamclaims", namespace: "shop"), "get"),
        (Target(group: "k8s.cni.cncf.io", resource: "ipamclaims/status", namespace: "shop"), ""),
        // The machine that a claim goes with.
        (Target(group: "kubevirt.io", resource: "virtualmachineinstances", namespace: "shop"), "get"),
        (Target(group: "kubevirt.io", resource: "virtualmachines", namespace: "shop"), ""),
        (Target(resource: "nodes/status"), ""),
        (Target(resource: "secrets", namespace: "berth-system"), ""),
        (Target(resource: "secrets", namespace: "kube-system"), ""),
        (Target(resource: "configmaps", namespace: "berth-system"), ""),
        (Target(resource: "serviceaccounts", namespace: "berth-system"), ""),
        (Target(resource: "serviceaccounts/token", namespace: "berth-system"), ""),
        (Target(resource: "services", namespace: "berth-system"), ""),
        (Target(group: "apps", resource: "daemonsets", namespace: "berth-system"), ""),
        (Target(group: "apps", resource: "deployments", namespace: "berth-system"), ""),
        (role("roles", "berth-system"), ""),
        (role("rolebindings", "berth-system"), ""),
        (role("clusterroles"), ""),
        (role("clusterrolebindings"), ""),
        (Target(group: "apiextensions.k8s.io", resource: "customresourcedefinitions"), ""),
        (Target(group: "admissionregistration.k8s.io", resource: "validatingwebhookconfigurations"), ""),
        (Target(group: "admissionregistration.k8s.io", resource: "validatingadmissionpolicies"), ""),
        (Target(group: "admissionregistration.k8s.io", resource: "validatingadmissionpolicybindings"), ""),
        (Target(group: "certificates.k8s.io", resource: "certificatesigningrequests"), ""),
    ]

    @Test(arguments: ["berth-node", "berth-plugin"])
    func `the roles allow a node what it needs and nothing else`(account: String) async throws {
        let controlPlane = try await ControlPlane.ready()
        for (target, allowed) in Self.table {
            let expected = Set(account == "berth-node" ? Self.words(allowed) : Self.pluginVerbs(target, allowed))
            for verb in Self.all {
                guard !expected.contains("[\(verb)]") else { continue }
                let isAllowed = try await Self.isAllowed(verb, target, as: account, controlPlane)
                #expect(isAllowed == expected.contains(verb), "\(account): \(verb) \(target)")
            }
        }
        for verb in ["impersonate", "bind", "escalate"] {
            for target in [Self.role("clusterroles"), Target(resource: "users"), Target(resource: "serviceaccounts")] {
                #expect(try await !Self.isAllowed(verb, target, as: account, controlPlane), "\(verb) \(target)")
            }
        }
    }

    private static func words(_ text: String) -> [String] { text.split(separator: " ").map(String.init) }

    /// The plugin alone watches nothing, writes no events and does not report.
    private static func pluginVerbs(_ target: Target, _ allowed: String) -> [String] {
        switch target.resource {
        case "ipallocations": words(allowed).filter { $0 != "watch" }
        case "ippools", "ipreservations", "ipblocks", "ipclaims", "ipclaims/status", "namespaces", "nodes",
            "virtualmachineinstances", "ipamclaims":
            words(allowed)
        case "pods": ["get"]
        default: []
        }
    }

    private static func isAllowed(
        _ verb: String, _ target: Target, as account: String, _ controlPlane: ControlPlane
    ) async throws -> Bool {
        let parts = target.resource.split(separator: "/").map(String.init)
        var attributes: JSON = [
            "verb": .string(verb), "group": .string(target.group), "resource": .string(parts[0]), "version": "*",
        ]
        if parts.count > 1 { attributes["subresource"] = .string(parts[1]) }
        attributes["namespace"] = target.namespace.map { .string($0) }
        let review: JSON = [
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": [
                "user": .string("system:serviceaccount:berth-system:\(account)"),
                "groups": ["system:serviceaccounts", "system:serviceaccounts:berth-system", "system:authenticated"],
                "resourceAttributes": attributes,
            ],
        ]
        let request = APIRequest.create(.subjectAccessReviews, name: nil, object: review)
        let answer = try await controlPlane.withAdmin { try $0.perform(request, deadline: .soon) }
        return try #require(answer["status"]?["allowed"]?.bool as Bool?)
    }
}

extension ResourceType {
    fileprivate static let subjectAccessReviews = ResourceType(
        group: "authorization.k8s.io", version: "v1", plural: "subjectaccessreviews", kind: "SubjectAccessReview",
        isNamespaced: false)
}
