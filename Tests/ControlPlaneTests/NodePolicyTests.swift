import JSONText
import KubernetesCore
import TestSupport
import Testing

/// The policies of config/policy at an API server that has ValidatingAdmissionPolicy, on the table of writes that
/// hack/policy-check.sh evaluates without one.
@Suite("Policies for nodes", .controlPlane, .timeLimit(.minutes(10)), .serialized)
struct NodePolicyTests {
    /// Where the server is older than Kubernetes 1.30 there is nothing to test, and that is no failure of the set-up.
    private static let needsPolicies = ConditionTrait.enabled(
        "the API server has no ValidatingAdmissionPolicy of admissionregistration.k8s.io/v1 (Kubernetes 1.30)"
    ) {
        let kinds = try await ControlPlane.required().kubectl(
            ["api-resources", "--api-group=admissionregistration.k8s.io", "--no-headers"])
        return kinds.split(separator: "\n").contains { line in
            line.hasPrefix("validatingadmissionpolicies ") && line.contains("admissionregistration.k8s.io/v1 ")
        }
    }

    @Test(needsPolicies) func `each write of the table is allowed or denied as the table says`() async throws {
        let rig = try await PolicyRig()
        try await rig.install()
        for write in rig.table.cases { try await rig.check(write) }
        try await rig.remove()
    }

    @Test func `the table has writes that are allowed and denied, for every resource`() throws {
        let table = try PolicyTable()
        for resource in PolicyTable.policies.values {
            let writes = table.cases.filter { $0.resource == resource }
            #expect(writes.contains { $0.denied == nil } && writes.contains { $0.denied != nil }, "\(resource)")
            #expect(Set(writes.map(\.operation)).isSuperset(of: ["CREATE", "UPDATE", "DELETE"]), "\(resource)")
        }
        #expect(Set(table.cases.map(\.name)).count == table.cases.count)
    }
}

/// hack/policy-check/table.json, whose member `about` explains it.
struct PolicyTable {
    struct Write {
        let name: String
        let operation: String
        let resource: String
        let subresource: String?
        let user: String
        /// What the token names.
        let node: String?
        let old: JSON?
        let new: JSON?
        /// Messages of rules, one of which the server shows; nil: the write is allowed.
        let denied: [String]?
        /// The custom resource's own rules refuse it before the policies are asked.
        let isRefusedBySchema: Bool
        /// Of a field that the custom resource may not have yet.
        let isOfUnknownField: Bool
    }

    /// The policies of config/policy, and of which resource each is.
    static let policies = [
        "allocations": "ipallocations", "pools": "ippools", "leases": "leases", "claims": "ipclaims",
        "blocks": "ipblocks",
    ]

    let user: String
    let cases: [Write]

    init() throws {
        let json = try JSON(parsing: try Files.read("\(Repository.root)/hack/policy-check/table.json"))
        let user = try #require(json["user"]?.string)
        let node = try #require(json["node"]?.string)
        self.user = user
        cases = try (json["cases"]?.array ?? []).map { item in
            let resource = try #require(item["resource"]?.string)
            let operation = try #require(item["operation"]?.string)
            let base = try #require(json["resources"]?[resource]?["object"])
            let old = item["old"].map { base.merged(with: $0) }
            let others = item["alsoDenied"]?.array?.compactMap(\.string) ?? []
            return Write(
                name: try #require(item["name"]?.string), operation: operation, resource: resource,
                subresource: item["subresource"]?.string, user: item["user"]?.string ?? user,
                node: item["node"].map(\.string) ?? node, old: old,
                new: operation == "DELETE" ? nil : (old ?? base).merged(with: item["new"] ?? [:]),
                denied: item["denied"]?.string.map { [$0] + others },
                isRefusedBySchema: item["schema"] == false, isOfUnknownField: item["unknownField"] == true)
        }
    }
}

/// The policies under names of their own, for a service account of a namespace of its own that RBAC allows everything
/// that the table is about. So they concern nothing else on the server.
private struct PolicyRig {
    let table: PolicyTable
    let controlPlane: ControlPlane
    let namespace: String
    private let admin: JSON

    init() async throws {
        table = try PolicyTable()
        controlPlane = try await ControlPlane.ready()
        namespace = "policy-\(UInt32.random(in: 0...UInt32.max))"
        admin = try JSON(parsing: try Files.read("\(controlPlane.folder)/admin.kubeconfig.json"))
    }

    private func renamed(_ text: String) -> String {
        text.replacing("berth-system", with: namespace).replacing(": berth-node-", with: ": \(namespace)-")
    }

    func install() async throws {
        try await controlPlane.kubectl(["create", "namespace", namespace])
        let account = "{kind: ServiceAccount, name: berth-node, namespace: \(namespace)}"
        let controller = "{kind: ServiceAccount, name: berth-controller, namespace: \(namespace)}"
        let plugin = "{kind: ServiceAccount, name: berth-plugin, namespace: \(namespace)}"
        try await controlPlane.apply(
            """
            apiVersion: rbac.authorization.k8s.io/v1
            kind: ClusterRole
            metadata: {name: \(namespace)}
            rules:
            - {apiGroups: [ipam.berth.dev], resources: ['*'], verbs: ['*']}
            - {apiGroups: [coordination.k8s.io], resources: [leases], verbs: ['*']}
            ---
            apiVersion: rbac.authorization.k8s.io/v1
            kind: ClusterRoleBinding
            metadata: {name: \(namespace)}
            roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: \(namespace)}
            subjects: [\(account), \(controller), \(plugin)]
            """)
        for policy in PolicyTable.policies.keys {
            let file = "\(Repository.root)/config/policy/node_\(policy).yaml"
            try await controlPlane.apply(renamed(try Files.text(file)))
        }
        // The API server takes a moment to heed them: until each denies what it must.
        for resource in PolicyTable.policies.values {
            let write = try #require(table.cases.first { $0.resource == resource && $0.denied != nil && $0.old == nil })
            let deadline = ContinuousClock.now + .seconds(60)
            while try await attempt(write, ["--dry-run=server"]).succeeded {
                guard ContinuousClock.now < deadline else { throw TestSetUpError("the policies are not heeded") }
            }
        }
    }

    func remove() async throws {
        for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
            let names = PolicyTable.policies.keys.map { "\(namespace)-\($0)" }
            try await controlPlane.kubectl(["delete", kind] + names)
        }
        try await controlPlane.kubectl(["delete", "clusterrolebinding,clusterrole", namespace])
        try await controlPlane.kubectl(["delete", "namespace", namespace, "--wait=false"])
    }

    /// Makes the object that is there before, and the write, and removes what is left.
    func check(_ write: PolicyTable.Write) async throws {
        var write = write
        if let old = write.old {
            func make(_ verb: [String], _ object: JSON) async throws -> JSON {
                try JSON(
                    parsing: await controlPlane.kubectl(
                        verb + ["-f", "-", "-o", "json"], stdin: object.description))
            }
            var made = try await make(["create"], placed(old))
            // A server drops the status of what is made.
            if let status = old["status"] {
                made["status"] = status
                made = try await make(["replace", "--subresource=status"], made)
            }
            write = write.following(made)
        }
        let outcome = try await attempt(write)
        let name = try #require((write.old ?? write.new)?["metadata"]?["name"]?.string)
        let place = ["\(write.resource)/\(name)", "--namespace", namespace]
        if write.isOfUnknownField, outcome.succeeded {
            // The custom resource does not have the field, and dropped it.
            let made = try JSON(parsing: await controlPlane.kubectl(["get", "-o", "json"] + place))
            let given = write.new?["spec"]?.object?.members.map(\.name) ?? []
            #expect(given.filter { made["spec"]?[$0] != nil } == ["subnet"], "\(write.name): \(made)")
        } else if let denied = write.denied {
            #expect(!outcome.succeeded, "\(write.name): \(outcome)")
            #expect(
                write.isRefusedBySchema || denied.contains { outcome.errorText.contains($0) },
                "\(write.name): \(outcome)")
        } else {
            #expect(outcome.succeeded, "\(write.name): \(outcome)")
        }
        // Also what was made although it should have been denied.
        if [write.old, write.new].contains(where: { $0?["metadata"]?["finalizers"] != nil }) {
            let patch = ["--type=merge", "-p", #"{"metadata":{"finalizers":null}}"#]
            _ = try await run("kubectl", ["--kubeconfig", controlPlane.kubeconfig, "patch"] + place + patch)
        }
        try await controlPlane.kubectl(["delete", "--ignore-not-found"] + place)
    }

    private func placed(_ object: JSON) -> JSON {
        guard object["metadata"]?["namespace"] != nil else { return object }
        var object = object
        object["metadata"]?["namespace"] = .string(namespace)
        return object
    }

    /// The write, by whom the table says.
    private func attempt(_ write: PolicyTable.Write, _ options: [String] = []) async throws -> ProcessOutcome {
        var user = admin["users"]?.array?.first?["user"] ?? [:]
        if write.user != "admin" {
            user["as"] = .string(renamed(write.user))
            if let node = write.node {
                user["as-user-extra"] = ["authentication.kubernetes.io/node-name": .strings([node])]
            }
        }
        var kubeconfig = admin
        kubeconfig["users"] = [["name": admin["users"]?.array?.first?["name"] ?? "", "user": user]]
        return try await Files.withTemporaryFolder("policy") { folder in
            try Files.write("\(folder)/kubeconfig", kubeconfig.description)
            let verb = ["CREATE": "create", "UPDATE": "replace", "DELETE": "delete"][write.operation] ?? ""
            let validation = verb == "delete" ? [] : ["--validate=false"]
            return try await run(
                "kubectl",
                ["--kubeconfig", "\(folder)/kubeconfig", verb, "-f", "-"] + validation
                    + (write.subresource.map { ["--subresource=\($0)"] } ?? []) + options,
                stdin: Array(placed((write.new ?? write.old) ?? [:]).description.utf8))
        }
    }
}

extension PolicyTable.Write {
    /// The write on condition of the version that the object before it got.
    fileprivate func following(_ made: JSON) -> PolicyTable.Write {
        var changed = new
        if changed != nil {
            changed?["metadata"]?["resourceVersion"] = made["metadata"]?["resourceVersion"]
        }
        return PolicyTable.Write(
            name: name, operation: operation, resource: resource, subresource: subresource, user: user, node: node,
            old: old, new: changed,
            denied: denied, isRefusedBySchema: isRefusedBySchema, isOfUnknownField: isOfUnknownField)
    }
}

extension JSON {
    /// JSON merge patch (RFC 7386).
    fileprivate func merged(with patch: JSON) -> JSON {
        guard let members = patch.object?.members else { return patch }
        var result: JSON = object == nil ? [:] : self
        for member in members {
            let changed = (result[member.name] ?? .null).merged(with: member.value)
            // Of type `JSON?`: a plain nil would be JSON's null.
            result[member.name] = member.value.isNull ? JSON?.none : changed
        }
        return result
    }
}
