import JSONText
package import KubernetesClient
import KubernetesCore

/// Which files make up the kubeconfig of a person, found as kubectl finds them (client-go, `clientcmd.loader`).
package struct KubeconfigChain: Sendable {
    /// The rules' order: the option, `KUBECONFIG`, `~/.kube/config`, the service account of a pod.
    package enum Source: Hashable, Sendable {
        /// Must exist.
        case file(String)
        /// Those that exist count; of what two have, the first one's.
        case list([String])
        case inCluster
    }

    package var source: Source
    private let environment: [String: String]

    /// - Parameter exists: Whether there is a file of that name.
    package init(
        option: String?, environment: [String: String], exists: (String) -> Bool
    ) throws(ConfigurationError) {
        self.environment = environment
        if let option {
            source = .file(option)
            return
        }
        if let list = environment["KUBECONFIG"], !list.isEmpty {
            let paths = list.split(separator: ":").map(String.init)
            let existing = paths.filter(exists)
            guard !existing.isEmpty else {
                throw ConfigurationError(
                    .unreadable, "none of the files that KUBECONFIG names exists: \(paths.joined(separator: ", "))")
            }
            source = .list(existing)
            return
        }
        if let home = environment["HOME"], exists("\(home)/.kube/config") {
            source = .list(["\(home)/.kube/config"])
            return
        }
        guard environment["KUBERNETES_SERVICE_HOST"] != nil else {
            throw ConfigurationError(
                .unreadable,
                "no kubeconfig: there is no ~/.kube/config; give one with --kubeconfig or the variable KUBECONFIG")
        }
        source = .inCluster
    }

    /// The configuration of one context.
    package struct Selection: Sendable {
        package var configuration: ClientConfiguration
        /// What the context names; nil where it names none.
        package var namespace: String?
    }

    /// - Parameters:
    ///   - context: Nil for the current one.
    ///   - runner: Runs the credential plugin of a user that has one.
    package func load(
        context: String?, runner: ExecCredential.Runner
    ) throws(ConfigurationError) -> Selection {
        let paths: [String]
        switch source {
        case .inCluster:
            let namespace = try? FileContents.read("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
            return Selection(
                configuration: try .inCluster(environment: environment),
                namespace: namespace.map { String(decoding: $0, as: UTF8.self) })
        case .file(let path): paths = [path]
        case .list(let list): paths = list
        }
        var merged: JSON = [:]
        for path in paths {
            try Self.merge(try Self.absolute(Self.parse(FileContents.read(path), path), path), into: &merged)
        }
        let name = paths.joined(separator: ":")
        let namespace = try Self.resolve(&merged, context: context, path: name, environment, runner)
        return Selection(
            configuration: try .load(kubeconfigJSON: merged.serialized(), path: name, context: context),
            namespace: namespace)
    }

    private static func parse(_ bytes: [UInt8], _ path: String) throws(ConfigurationError) -> JSON {
        let json = try YAMLText.json(bytes, path: path)
        guard json.object != nil else { throw ConfigurationError(.invalid, "\(path): not a kubeconfig") }
        return json
    }

    static let lists = ["clusters", "contexts", "users"]

    /// Adds what another file has and the earlier ones have not.
    static func merge(_ file: JSON, into merged: inout JSON) throws(ConfigurationError) {
        if (merged["current-context"]?.string ?? "").isEmpty { merged["current-context"] = file["current-context"] }
        for list in lists {
            var entries = merged[list]?.array ?? []
            let known = Set(entries.compactMap { $0["name"]?.string })
            for entry in file[list]?.array ?? [] {
                if let name = entry["name"]?.string, known.contains(name) { continue }
                entries.append(entry)
            }
            merged[list] = .array(entries)
        }
    }

    /// Relative file names start from the folder of the file that has them.
    static func absolute(_ file: JSON, _ path: String) -> JSON {
        guard let slash = path.lastIndex(of: "/") else { return file }
        let folder = path[...slash]
        func resolved(_ json: JSON?) -> JSON? {
            guard let name = json?.string, !name.isEmpty, !name.hasPrefix("/") else { return json }
            return .string("\(folder)\(name)")
        }
        var file = file
        for (list, body, members) in [
            ("clusters", "cluster", ["certificate-authority"]),
            ("users", "user", ["client-certificate", "client-key", "tokenFile"]),
        ] {
            guard let entries = file[list]?.array else { continue }
            file[list] = .array(
                entries.map { entry in
                    guard var inner = entry[body], inner.object != nil else { return entry }
                    for member in members { inner[member] = resolved(inner[member]) }
                    // A command without a slash is looked up in PATH.
                    if let command = inner["exec"]?["command"]?.string, command.contains("/") {
                        inner["exec"]?["command"] = resolved(.string(command))
                    }
                    var entry = entry
                    entry[body] = inner
                    return entry
                })
        }
        return file
    }

    /// Puts what a credential plugin gives in its place, and tells the namespace of the context.
    private static func resolve(
        _ merged: inout JSON, context: String?, path: String, _ environment: [String: String],
        _ runner: ExecCredential.Runner
    ) throws(ConfigurationError) -> String? {
        func body(_ list: String, _ member: String, _ name: String?) -> JSON? {
            guard let name else { return nil }
            return (merged[list]?.array ?? []).first { $0["name"]?.string == name }?[member]
        }
        // What is missing is the parser's to report.
        guard let selected = body("contexts", "context", context ?? merged["current-context"]?.string) else {
            return nil
        }
        let namespace = selected["namespace"]?.string.flatMap { $0.isEmpty ? nil : $0 }
        let userName = selected["user"]?.string
        guard let userName, let user = body("users", "user", userName), let exec = user["exec"], !exec.isNull else {
            return namespace
        }
        let plugin = try ExecCredential(
            exec, cluster: body("clusters", "cluster", selected["cluster"]?.string),
            source: "\(path): user \"\(userName)\": exec")
        let credential = try plugin.run(environment: environment, runner)
        merged["users"] = .array(
            (merged["users"]?.array ?? []).map { entry in
                guard entry["name"]?.string == userName else { return entry }
                return ["name": .string(userName), "user": credential]
            })
        return namespace
    }
}
