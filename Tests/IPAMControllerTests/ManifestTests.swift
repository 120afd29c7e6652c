import ControllerHTTP
import IPAMAPI
import IPAMController
import JSONText
import TestSupport
import Testing

extension ControllerTests {
    /// The manifests of config/ against the API server, and against what the controller expects.
    @Suite("Manifests") struct ManifestTests {
        @Test(arguments: ["crd", "rbac", "everything"])
        func `the API server takes all of it`(part: String) async throws {
            let controlPlane = try await ControlPlane.controlled()
            // Kubernetes 1.20 and 1.21 have another budget, and updates of a DaemonSet without a surge.
            let version = try JSON(parsing: await controlPlane.kubectl(["get", "--raw", "/version"]))
            let minor = version["minor"]?.string.flatMap { Int($0.prefix { $0.isNumber }) } ?? 0
            let folder = part == "everything" ? (minor < 22 ? "legacy" : "default") : part
            let outcome = try await run(
                "kubectl",
                [
                    "--kubeconfig", controlPlane.kubeconfig, "apply", "--validate=false", "--dry-run=server", "-k",
                    "\(Repository.root)/config/\(folder)",
                ])
            #expect(outcome.succeeded, "\(outcome)")
            let accepted = outcome.outputText.split(separator: "\n").filter { $0.contains("(server dry run)") }
            #expect(try await accepted.count == objects(folder).count, "\(outcome)")
        }

        /// What kustomize makes of a folder.
        private func objects(_ part: String) async throws -> [Substring] {
            let text = try await runChecked("kubectl", ["kustomize", "\(Repository.root)/config/\(part)"])
            return text.split(separator: "\n").filter { $0.hasPrefix("kind: ") }
        }

        private static func document(_ path: String, _ kind: String) throws -> JSON {
            try #require(try ConfigFile.documents(path).first { $0["kind"] == .string(kind) })
        }

        private static func container() throws -> JSON {
            let deployment = try document("controller/deployment.yaml", "Deployment")
            return try #require(
                deployment["spec"]?["template"]?["spec"]?["containers"]?.array?.first { $0["name"] == "controller" })
        }

        /// The names of its options, and their defaults, in the sources of the executable.
        private static func sources() throws -> String {
            try ["Options", "OptionNames"]
                .map { try Files.text("\(Repository.root)/Sources/BerthController/\($0).swift") }.joined()
        }

        @Test func `the arguments of the Deployment are options of berth-controller`() throws {
            let arguments = try Self.container()["args"]?.array?.compactMap(\.string) ?? []
            let sources = try Self.sources()
            #expect(!arguments.isEmpty)
            for argument in arguments {
                let name = argument.dropFirst(2).prefix { $0 != "=" }
                #expect(argument.hasPrefix("--") && sources.contains("\"\(name)\""), "\(argument)")
            }
        }

        @Test func `ports and names agree between Deployment, Service, webhook and defaults`() throws {
            let sources = try Self.sources()
            let container = try Self.container()
            let ports = Dictionary(
                uniqueKeysWithValues: (container["ports"]?.array ?? []).map {
                    ($0["name"]?.string ?? "", $0["containerPort"]?.int ?? 0)
                })
            #expect(Set(ports.keys) == ["probes", "webhook"])
            #expect(sources.contains("var probePort = \(ports["probes"] ?? 0)\n"))
            #expect(sources.contains("var webhookPort = \(ports["webhook"] ?? 0)\n"))
            for probe in ["livenessProbe", "readinessProbe"] {
                #expect(container[probe]?["httpGet"]?["port"] == "probes")
            }

            let service = try Self.document("controller/service.yaml", "Service")
            let name = try #require(service["metadata"]?["name"]?.string)
            #expect(sources.contains("var webhookService = \"\(name)\"\n"))
            let servicePort = try #require(service["spec"]?["ports"]?.array?.first)
            #expect(servicePort["targetPort"] == "webhook")
            let deployment = try Self.document("controller/deployment.yaml", "Deployment")
            let labels = deployment["spec"]?["template"]?["metadata"]?["labels"]
            #expect(service["spec"]?["selector"] == labels)
            #expect(deployment["spec"]?["selector"]?["matchLabels"] == labels)
            let budget = try Self.document("controller/pod_disruption_budget.yaml", "PodDisruptionBudget")
            #expect(budget["spec"]?["selector"]?["matchLabels"] == labels)

            let webhook = try Self.document("controller/webhook.yaml", "ValidatingWebhookConfiguration")
            #expect(
                sources.contains("var webhookConfiguration = \"\(webhook["metadata"]?["name"]?.string ?? "")\"\n"))
            for hook in webhook["webhooks"]?.array ?? [] {
                let client = hook["clientConfig"]?["service"]
                #expect(client?["name"]?.string == name)
                #expect(client?["namespace"] == "berth-system")
                let plural = hook["rules"]?.array?.first?["resources"]?.array?.first?.string ?? ""
                #expect(client?["path"]?.string == "/validate-\(plural)")
                #expect(AdmissionEndpoint.paths.contains("/validate-\(plural)"))
                #expect(client?["port"] == servicePort["port"])
                // A reservation takes nothing from anybody, and of a claim that slipped through a condition says the same:
                // neither waits for the controller.
                #expect(hook["failurePolicy"]?.string == (plural == "ippools" ? "Fail" : "Ignore"))
                let spared = hook["objectSelector"]?["matchExpressions"]?.array?.first
                let labels = [
                    "ippools": LabelKey.inline, "ipclaims": LabelKey.automatic, "ipblocks": LabelKey.claimed,
                ]
                #expect(spared?["key"]?.string == labels[plural])
                #expect(spared?["operator"]?.string == (labels[plural] == nil ? nil : "DoesNotExist"))
                // The endpoint gives up before, so that the API server hears why.
                #expect((hook["timeoutSeconds"]?.int ?? 0) > 4)
            }
            #expect(sources.contains("var namespace = \"berth-system\"\n"))
        }

        @Test func `the role of the controller names the Lease, the Secret and the webhook that are its defaults`()
            throws
        {
            let sources = try Self.sources()
            let rules = try ConfigFile.documents("rbac/controller.yaml").flatMap { $0["rules"]?.array ?? [] }
            for (resource, option) in [
                ("leases", "leaseName"), ("secrets", "webhookSecret"),
                ("validatingwebhookconfigurations", "webhookConfiguration"),
            ] {
                let names = rules.filter { $0["resources"]?.array?.contains(.string(resource)) == true }
                    .flatMap { $0["resourceNames"]?.array ?? [] }.compactMap(\.string)
                #expect(names.count == 1, "\(resource): \(names)")
                #expect(sources.contains("var \(option) = \"\(names.first ?? "")\"\n"), "\(resource): \(names)")
            }
            let account = try Self.document("rbac/controller.yaml", "ServiceAccount")["metadata"]?["name"]
            let deployment = try Self.document("controller/deployment.yaml", "Deployment")
            #expect(deployment["spec"]?["template"]?["spec"]?["serviceAccountName"] == account)
        }
    }
}
