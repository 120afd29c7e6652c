import JSONText
import KubernetesClient
import KubernetesCore

/// A credential plugin (`users[].user.exec`): a program that prints a token or a client certificate
/// (kubernetes.io/docs, "client-go credential plugins").
///
/// Knows `client.authentication.k8s.io/v1` and `v1beta1`. What it prints is used by this process alone, and not kept.
package struct ExecCredential: Hashable, Sendable {
    package struct Command: Hashable, Sendable {
        /// Without a slash it is looked up in PATH.
        package var executable: String
        package var arguments: [String]
        /// All of it.
        package var environment: [String: String]
        /// The program may ask the person at the terminal.
        package var isInteractive: Bool
    }

    /// Runs a command to its end and gives what it printed. The error says why there is nothing, as half a sentence.
    package struct Runner: Sendable {
        package struct Failure: Error {
            package var problem: String
            /// The program is not there.
            package var isMissing: Bool

            package init(problem: String, isMissing: Bool = false) {
                self.problem = problem
                self.isMissing = isMissing
            }
        }

        /// Whether standard input is a terminal.
        package var isTerminal: Bool
        package var run: @Sendable (Command) throws(Failure) -> [UInt8]

        package init(isTerminal: Bool, run: @escaping @Sendable (Command) throws(Failure) -> [UInt8]) {
            self.isTerminal = isTerminal
            self.run = run
        }
    }

    private enum Interaction: String {
        case never = "Never"
        case ifAvailable = "IfAvailable"
        case always = "Always"
    }

    static let versions = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"]

    private let apiVersion: String
    private let command: String
    private let arguments: [String]
    private let variables: [String: String]
    private let installHint: String?
    private let interaction: Interaction
    /// What the plugin is told of the cluster, where it wants to be.
    private let cluster: JSON?
    /// Where it is written, for messages.
    private let source: String

    /// - Parameter cluster: The entry of the context's cluster, for plugins that ask for it.
    init(_ exec: JSON, cluster: JSON?, source: String) throws(ConfigurationError) {
        func failure(_ kind: ConfigurationError.Kind, _ problem: String) -> ConfigurationError {
            ConfigurationError(kind, "\(source): \(problem)")
        }
        let version = exec["apiVersion"]?.string ?? ""
        guard Self.versions.contains(version) else {
            throw failure(
                .unsupported,
                "apiVersion \"\(version)\" is not supported; known are \(Self.versions.joined(separator: ", "))")
        }
        guard let command = exec["command"]?.string, !command.isEmpty else {
            throw failure(.invalid, "command is missing")
        }
        let mode = exec["interactiveMode"]?.string ?? Interaction.ifAvailable.rawValue
        guard let interaction = Interaction(rawValue: mode) else {
            throw failure(.invalid, "interactiveMode \"\(mode)\" is none of Never, IfAvailable, Always")
        }
        self.source = source
        self.interaction = interaction
        self.command = command
        apiVersion = version
        arguments = (exec["args"]?.array ?? []).compactMap(\.string)
        variables = Dictionary(
            (exec["env"]?.array ?? []).compactMap { variable in
                variable["name"]?.string.map { ($0, variable["value"]?.string ?? "") }
            }
        ) { $1 }
        installHint = exec["installHint"]?.string.flatMap { $0.isEmpty ? nil : $0 }
        self.cluster =
            exec["provideClusterInfo"]?.bool == true
            ? try cluster.map { json throws(ConfigurationError) in
                try Self.clusterInformation(json, source: source)
            } : nil
    }

    private static func clusterInformation(_ cluster: JSON, source: String) throws(ConfigurationError) -> JSON {
        var information: JSON = [:]
        for member in [
            "server", "tls-server-name", "insecure-skip-tls-verify", "certificate-authority-data", "proxy-url",
        ] { information[member] = cluster[member] }
        if information["certificate-authority-data"] == nil,
            let file = cluster["certificate-authority"]?.string, !file.isEmpty
        {
            information["certificate-authority-data"] = .string(Base64.encode(try FileContents.read(file)))
        }
        for entry in cluster["extensions"]?.array ?? []
        where entry["name"]?.string == "client.authentication.k8s.io/exec" {
            information["config"] = entry["extension"]
        }
        return information
    }

    /// The credentials in the form of a kubeconfig's user.
    func run(environment: [String: String], _ runner: Runner) throws(ConfigurationError) -> JSON {
        let isInteractive = runner.isTerminal && interaction != .never
        guard isInteractive || interaction != .always else {
            throw ConfigurationError(
                .invalid, "\(source): \(command) must talk to a person, and standard input is no terminal")
        }
        var spec: JSON = ["interactive": .bool(isInteractive)]
        spec["cluster"] = cluster
        let information: JSON = ["apiVersion": .string(apiVersion), "kind": "ExecCredential", "spec": spec]
        var all = environment.merging(variables) { $1 }
        all["KUBERNETES_EXEC_INFO"] = information.description
        do throws(Runner.Failure) {
            return try decode(
                try runner.run(
                    Command(
                        executable: command, arguments: arguments, environment: all, isInteractive: isInteractive)))
        } catch {
            let hint = error.isMissing ? installHint.map { "\n\($0)" } ?? "" : ""
            throw ConfigurationError(.unreadable, "\(source): \(command): \(error.problem)\(hint)")
        }
    }

    private func decode(_ output: [UInt8]) throws(Runner.Failure) -> JSON {
        guard let json = try? JSON(parsing: output), json["kind"]?.string == "ExecCredential" else {
            throw Runner.Failure(problem: "what it printed is no ExecCredential in JSON")
        }
        guard json["apiVersion"]?.string == apiVersion else {
            throw Runner.Failure(
                problem: "it answered in \(json["apiVersion"]?.string ?? "no version"), and the kubeconfig asks for"
                    + " \(apiVersion)")
        }
        let status = json["status"]
        var user: JSON = [:]
        if let token = status?["token"]?.string, !token.isEmpty { user["token"] = .string(token) }
        if let certificate = status?["clientCertificateData"]?.string, !certificate.isEmpty {
            guard let key = status?["clientKeyData"]?.string, !key.isEmpty else {
                throw Runner.Failure(problem: "it gave a client certificate without its key")
            }
            user["client-certificate-data"] = .string(Base64.encode(Array(certificate.utf8)))
            user["client-key-data"] = .string(Base64.encode(Array(key.utf8)))
        }
        guard user.object?.isEmpty == false else {
            throw Runner.Failure(problem: "it gave neither a token nor a client certificate")
        }
        return user
    }
}
