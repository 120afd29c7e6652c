package import JSONText
package import KubernetesClient
internal import KubernetesClientYAML
package import KubernetesCore
internal import Synchronization

/// A real API server with its etcd, which a script has started for the tests.
package final class ControlPlane: Sendable {
    static let variable = "BERTH_TEST_CONTROL_PLANE"
    static let remedy = """
        it needs a real API server: run hack/test.sh, or start one with `hack/control-plane.sh start DIR` \
        and set \(variable)=DIR
        """

    /// The control plane in the folder that BERTH_TEST_CONTROL_PLANE names; nil when the variable is not set.
    package static let shared = Environment.value(variable).map(ControlPlane.init(folder:))

    /// The shared control plane.
    package static func required() throws -> ControlPlane {
        guard let shared else { throw TestSetUpError("\(variable) is not set: \(remedy)") }
        return shared
    }

    /// The shared control plane with the CRDs and the roles of config/ installed.
    package static func ready() async throws -> ControlPlane {
        let shared = try required()
        try await shared.install()
        return shared
    }

    package let folder: String
    /// An administrator's, in YAML.
    package var kubeconfig: String { "\(folder)/admin.kubeconfig" }

    private let loaded: Result<ClientConfiguration, any Error>
    private let workers: WorkerPool<Client>
    private let installation = OnceAsync<Void>()
    private let tokens = Mutex<[ServiceAccount: OnceAsync<String>]>([:])

    package init(folder: String) {
        self.folder = folder
        let loaded = Result<ClientConfiguration, any Error> {
            try ClientConfiguration.load(yamlOrJSONKubeconfigFile: "\(folder)/admin.kubeconfig")
        }
        self.loaded = loaded
        workers = WorkerPool { Client(try Connection(loaded.get())) }
    }

    /// How the administrator reaches the API server, with a client certificate.
    package func adminConfiguration() throws -> ClientConfiguration { try loaded.get() }

    /// What a `FaultProxy` is put in front of.
    package func target() throws -> FaultProxy.Target {
        let configuration = try loaded.get()
        guard let caPEM = configuration.caPEM else { throw TestSetUpError("\(kubeconfig): no CA") }
        return FaultProxy.Target(
            host: configuration.server.host, port: Int(configuration.server.port),
            caPEM: String(decoding: caPEM, as: UTF8.self))
    }

    // MARK: Talking to it

    /// Calls `body` as the administrator, on a thread where it may block.
    ///
    ///     let pod = try await controlPlane.withAdmin { try $0.get(.pods, namespace: "a", name: "b", deadline: .soon) }
    package func withAdmin<Answer: Sendable>(
        _ body: @escaping @Sendable (Client) throws -> Answer
    ) async throws -> Answer {
        try await workers.run(body)
    }

    /// Calls `body` with a new connection of its own, on a thread where it may block. `Client(connection)` has retries.
    package func withConnection<Answer: Sendable>(
        _ configuration: ClientConfiguration, _ body: @escaping @Sendable (Connection) throws -> Answer
    ) async throws -> Answer {
        try await onThread { try body(try Connection(configuration)) }
    }

    /// The configuration of one who shows only a token: a service account's own, straight or through a proxy.
    package func configuration(
        as account: ServiceAccount, through proxy: FaultProxy? = nil
    ) async throws -> ClientConfiguration {
        var configuration = try loaded.get()
        configuration.clientCertificatePEM = nil
        configuration.clientKeyPEM = nil
        configuration.token = try await token(of: account)
        if let proxy {
            configuration.server = ServerAddress(host: "127.0.0.1", port: UInt16(proxy.port))
            configuration.caPEM = Array(proxy.caPEM.utf8)
            configuration.tlsServerName = nil
        }
        return configuration
    }

    /// Lends a `FaultProxy` in front of the API server.
    package func withFaultProxy<Answer>(
        speaksHTTP2: Bool = true, isolation: isolated (any Actor)? = #isolation,
        _ body: (FaultProxy) async throws -> Answer
    ) async throws -> Answer {
        try await TestSupport.withFaultProxy(
            to: try target(), speaksHTTP2: speaksHTTP2, isolation: isolation, body)
    }

    /// Runs `kubectl` as the administrator; it must succeed.
    @discardableResult
    package func kubectl(_ arguments: [String], stdin: String = "") async throws -> String {
        try await runChecked("kubectl", ["--kubeconfig", kubeconfig] + arguments, stdin: Array(stdin.utf8))
    }

    /// `kubectl apply` of a manifest in YAML or JSON.
    ///
    /// Without validation by the client: a server older than 1.25 does not know all fields of our CRDs.
    package func apply(_ manifest: String) async throws {
        try await kubectl(["apply", "--validate=false", "-f", "-"], stdin: manifest)
    }

    package func apply(_ object: JSON) async throws { try await apply(object.description) }

    // MARK: What is installed

    /// Installs config/crd and config/rbac, once in a process, and waits until the kinds are served.
    package func install() async throws {
        try await installation.value { [self] in
            for part in ["crd", "rbac"] {
                try await kubectl(["apply", "--validate=false", "-k", "\(Repository.root)/config/\(part)"])
            }
            let kinds = ["ippools", "ipallocations", "ipreservations", "ipclaims", "ipblocks"].map {
                "crd/\($0).ipam.berth.dev"
            }
            try await kubectl(["wait", "--for=condition=Established", "--timeout=30s"] + kinds)
        }
    }

    /// The token of a service account, which lives for a day.
    package func token(of account: ServiceAccount) async throws -> String {
        let token = tokens.withLock { tokens in
            if let token = tokens[account] { return token }
            let token = OnceAsync<String>()
            tokens[account] = token
            return token
        }
        return try await token.value { [self] in
            if account == .admin { try await makeAdmin() }
            return try await newToken(of: account, lifetime: .seconds(86_400))
        }
    }

    /// A new token.
    ///
    /// - Parameter lifetime: At least ten minutes, or the API server refuses it.
    package func newToken(of account: ServiceAccount, lifetime: Duration) async throws -> String {
        let request = APIRequest.create(
            .serviceAccounts, namespace: account.namespace, name: account.name,
            object: [
                "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                "spec": ["expirationSeconds": .int(lifetime.components.seconds)],
            ],
            subresource: "token")
        let answer = try await withAdmin { try $0.perform(request, deadline: .soon) }
        guard let token = answer["status"]?["token"]?.string else {
            throw TestSetUpError("the API server's answer to a TokenRequest holds no token")
        }
        return token
    }

    /// Waits until the API server, which learns of new roles by a watch, lets an account do something with a resource.
    ///
    /// - Parameter resource: As `kubectl auth can-i --list` writes it.
    package func waitForPermission(of account: ServiceAccount, resource: String) async throws {
        let user = "--as=system:serviceaccount:\(account.namespace):\(account.name)"
        let end = ContinuousClock.now + .seconds(60)
        while try await !kubectl(["auth", "can-i", "--list", user]).contains(resource) {
            guard ContinuousClock.now < end else {
                throw TestSetUpError("\(account.name) may do nothing with \(resource)")
            }
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    private func makeAdmin() async throws {
        let account = ServiceAccount.admin
        try await apply(
            """
            apiVersion: v1
            kind: ServiceAccount
            metadata: {name: \(account.name), namespace: \(account.namespace)}
            ---
            apiVersion: rbac.authorization.k8s.io/v1
            kind: ClusterRoleBinding
            metadata: {name: \(account.name)}
            roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
            subjects: [{kind: ServiceAccount, name: \(account.name), namespace: \(account.namespace)}]
            """)
        try await waitForPermission(of: account, resource: "*.*")
    }
}

/// A service account that tests act as.
package struct ServiceAccount: Hashable, Sendable {
    package let namespace: String
    package let name: String

    package init(namespace: String, name: String) {
        self.namespace = namespace
        self.name = name
    }

    /// The plugin's, with the role of config/rbac.
    package static let plugin = ServiceAccount(namespace: "berth-system", name: "berth-plugin")
    /// One that may do everything and, unlike the administrator with the certificate, can pass a proxy.
    package static let admin = ServiceAccount(namespace: "default", name: "berth-test-admin")
}

/// Makes an edit that a rule of the custom resources forbids. Servers before Kubernetes 1.25 do not know the rules and take
/// it; newer ones answer 422 with the message of the rule.
///
/// - Returns: Whether it was taken.
package func isTaken(
    against rule: String, isolation: isolated (any Actor)? = #isolation, _ edit: () async throws -> Void
) async throws -> Bool {
    do {
        try await edit()
        return true
    } catch let error as APIError {
        guard let status = error.status, status.code == 422, status.message.contains(rule) else { throw error }
        return false
    }
}

extension Transport {
    /// Performs one request, once, and gives the object of the answer.
    @discardableResult
    package func call(_ request: APIRequest, within limit: Duration = .seconds(30)) throws(APIError) -> JSON {
        let replies = perform([request], deadline: now() + limit)
        return try interpret(replies[0], to: request).get()
    }

    /// Performs one request, once, and gives the failure; nil when it succeeded.
    package func failure(of request: APIRequest, within limit: Duration = .seconds(30)) -> APIError? {
        do throws(APIError) {
            try call(request, within: limit)
            return nil
        } catch {
            return error
        }
    }
}

extension APIError {
    /// Why there was no answer; nil for a failure that is an answer.
    package var transportKind: TransportFailure.Kind? {
        switch self {
        case .transport(let failure, _): failure.kind
        case .gaveUp(_, let last): last.transportKind
        case .status, .notKubernetes, .undecodable: nil
        }
    }
}

extension ResourceType {
    /// For tests that need some object of which the API server has no opinion.
    package static let configMaps = ResourceType(
        group: "", version: "v1", plural: "configmaps", kind: "ConfigMap", isNamespaced: true)
}

extension Moment {
    /// A deadline that only a fault reaches: in 60 s.
    package static var soon: Moment { .now() + .seconds(60) }
}
