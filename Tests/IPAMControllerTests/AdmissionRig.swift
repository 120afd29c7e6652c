import ControllerHTTP
import IPAMAPI
import IPAMController
import JSONText
import KubernetesClient
import KubernetesCore
import Logging
import TestSupport
import Testing

/// A controller whose webhook the API server asks.
struct AdmissionRig: Sendable {
    static let secret = "berth-controller-webhook"
    static let configuration = "berth-controller"
    /// As long as by default: on two busy cores the API server may need more than 5 s to learn of an authority.
    static let trustDelay: Duration = .seconds(20)

    let rig: ControllerRig
    let source: CertificateSource
    /// Ends the server alone, as if no replica answered.
    let stopServer: @Sendable () async -> Void

    static func run(_ body: @Sendable @escaping (AdmissionRig) async throws -> Void) async throws {
        try await ControllerRig.idle { rig in
            try await cleanedUp(rig) {
                let source = CertificateSource()
                // The API server is on this machine, and looks for the name that it was told.
                var settings = WebhookSettings(
                    namespace: "berth-system", secret: secret, configuration: configuration, names: ["localhost"])
                settings.trustDelay = trustDelay
                try await rig.withController(webhook: (settings, source)) { running in
                    try await withServer(rig, running, source, body)
                }
            }
        }
    }

    private static func withServer(
        _ rig: ControllerRig, _ running: RunningController, _ source: CertificateSource,
        _ body: @Sendable @escaping (AdmissionRig) async throws -> Void
    ) async throws {
        let port = Observed<Int?>(nil)
        let admission = running.controller.admission
        let local = ListenAddress(host: "127.0.0.1", port: 0)
        let server = ControllerServer(
            ControllerServer.Configuration(probes: local, webhook: local),
            probes: ProbeEndpoint(metrics: running.metrics) { [] },
            admission: AdmissionEndpoint { await admission.decide($0) }, certificates: source,
            logger: Logger(label: "server") { _ in SwiftLogNoOpLogHandler() },
            onListening: { listener, number in
                if listener == .webhook { port.update { $0 = number } }
            })
        let serving = Task { try await server.run() }
        let admissionRig = AdmissionRig(rig: rig, source: source) {
            serving.cancel()
            _ = await serving.result
        }
        do {
            try await register(rig, try await port.wait(for: "the port of the webhook") { $0 })
            try await admissionRig.waitUntilAsked()
            try await body(admissionRig)
        } catch {
            await admissionRig.stopServer()
            throw error
        }
        await admissionRig.stopServer()
    }

    /// What config/controller says, with the address of this process in place of the Service.
    private static func register(_ rig: ControllerRig, _ port: Int) async throws {
        var object = try #require(
            try ConfigFile.documents("controller/webhook.yaml").first {
                $0["kind"] == "ValidatingWebhookConfiguration"
            })
        var webhooks = object["webhooks"]?.array ?? []
        for index in webhooks.indices {
            let path = webhooks[index]["clientConfig"]?["service"]?["path"]?.string ?? ""
            webhooks[index]["clientConfig"] = ["url": .string("https://localhost:\(port)\(path)")]
        }
        object["webhooks"] = .array(webhooks)
        try await rig.controlPlane.apply(object)
    }

    /// Without the configuration, so that edits of pools are free again.
    private static func cleanedUp(_ rig: ControllerRig, _ body: () async throws -> Void) async throws {
        func cleanUp() async throws {
            try await Task.detached {
                try await rig.controlPlane.kubectl(
                    ["delete", "--ignore-not-found", "validatingwebhookconfiguration", configuration])
                try await rig.controlPlane.kubectl(
                    ["delete", "--ignore-not-found", "-n", "berth-system", "secret", secret])
                // The API server goes on asking for a moment.
                try await until("edits are free again") {
                    try await refusal(rig, dryRunOf: invalidPool)?.contains("webhook") != true
                }
            }.value
        }
        try await cleanUp()
        do {
            try await body()
        } catch {
            try? await cleanUp()
            throw error
        }
        try await cleanUp()
    }

    /// A pool that only the webhook refuses.
    static let invalidPool: JSON = [
        "apiVersion": "ipam.berth.dev/v1alpha1", "kind": "IPPool", "metadata": ["name": "never-made"],
        "spec": ["subnet": "192.0.2.0/24", "gateway": "198.51.100.1"],
    ]

    /// What the API server says against a pool that would be made; nil when it would be.
    static func refusal(_ rig: ControllerRig, dryRunOf object: JSON) async throws -> String? {
        var request = APIRequest.create(.ipPools, name: object["metadata"]?["name"]?.string, object: object)
        request.query.append(.init("dryRun", "All"))
        let dryRun = request
        return try await rig.controlPlane.withAdmin { client in
            do throws(APIError) {
                _ = try client.perform(dryRun, deadline: .soon)
                return nil
            } catch {
                return "\(error)"
            }
        }
    }

    /// Waits until the API server asks the webhook, believes it, and hears what it says.
    func waitUntilAsked() async throws {
        try await Self.until("the webhook is asked") {
            try await Self.refusal(rig, dryRunOf: Self.invalidPool)?.contains("denied the request") == true
        }
    }

    /// What the API server's cache of webhook configurations has learnt can only be tried.
    static func until(_ what: String, _ isSo: () async throws -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while try await !isSo() {
            guard ContinuousClock.now < deadline else { throw TestSetUpError("in vain: \(what)") }
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    /// `kubectl` with these arguments, whatever its exit status.
    func kubectl(_ arguments: [String], stdin: JSON? = nil) async throws -> ProcessOutcome {
        try await TestSupport.run(
            "kubectl", ["--kubeconfig", rig.controlPlane.kubeconfig] + arguments,
            stdin: stdin?.serialized() ?? [])
    }

    func apply(_ name: String, _ spec: JSON, labels: JSON = [:]) async throws -> ProcessOutcome {
        let object: JSON = [
            "apiVersion": "ipam.berth.dev/v1alpha1", "kind": "IPPool",
            "metadata": ["name": .string(name), "labels": labels], "spec": spec,
        ]
        return try await kubectl(["apply", "--validate=false", "-f", "-"], stdin: object)
    }

    /// The certificates that the Secret holds now, when they are what it should hold.
    func waitForCertificates(
        _ what: String, _ isRight: @escaping @Sendable (CertificateSecret) -> Bool
    ) async throws -> CertificateSecret {
        try await rig.ledger.secrets.wait(for: what, within: .seconds(120)) { secrets -> CertificateSecret? in
            secrets[Self.secret].map { CertificateSecret(secretData: $0["data"]) }.flatMap { isRight($0) ? $0 : nil }
        }
    }

    func waitForTrust(in secret: CertificateSecret) async throws {
        try await waitForTrust { $0 == secret.caBundle }
    }

    func waitForTrust(inOtherThan secret: CertificateSecret) async throws {
        try await waitForTrust { $0 != secret.caBundle }
    }

    private func waitForTrust(_ isRight: @escaping @Sendable (String) -> Bool) async throws {
        _ = try await rig.ledger.webhooks.wait(for: "the caBundle", within: .seconds(120)) { webhooks -> Bool? in
            let client = webhooks[Self.configuration]?["webhooks"]?.array?.first?["clientConfig"]
            return client?["caBundle"]?.string.map(isRight) == true ? true : nil
        }
    }
}

extension ProcessOutcome {
    /// Whether the webhook refused the write and said so, or a rule of the custom resource did: from Kubernetes 1.25 on the
    /// API server asks the rules first, and not the webhook when one of them is broken.
    func isRefused(saying message: String, orByRule rule: String?) -> Bool {
        guard !succeeded else { return false }
        if errorText.contains("denied the request: ") && errorText.contains(message) { return true }
        return rule.map { errorText.contains("is invalid: ") && errorText.contains($0) } ?? false
    }
}
