import JSONText
import KubernetesCore

extension ClientConfiguration {
    /// Reads a kubeconfig file in JSON. The YAML form is recognised and refused with a message that says how to convert
    /// it: the plugin carries no YAML parser.
    ///
    /// Follows client-go (tools/clientcmd): an empty string counts as absent, `…-data` wins over a file, `tokenFile`
    /// wins over `token`, and relative file names start from the folder of the kubeconfig. What Berth cannot do is an
    /// error: it is never left out in silence.
    ///
    /// - Parameter context: The context to use; nil for the file's `current-context`.
    package static func load(
        kubeconfigFile path: String, context: String? = nil
    ) throws(ConfigurationError) -> ClientConfiguration {
        try load(kubeconfigJSON: FileContents.read(path), path: path, context: context)
    }

    /// - Parameter path: Where the bytes come from: for messages, and as the place that relative file names start from.
    package static func load(
        kubeconfigJSON bytes: [UInt8], path: String, context: String? = nil
    ) throws(ConfigurationError) -> ClientConfiguration {
        let json: JSON
        do {
            json = try JSON(parsing: bytes)
        } catch {
            throw notJSON(bytes, error, path: path)
        }
        let file = try KubeconfigEntry(file: json, path: path)
        let contextName = if let context { context } else { try file.string("current-context") }
        guard let contextName else {
            throw file.error(.invalid, "current-context", "not set, and no context was asked for")
        }
        let selected = try file.entry(contextName, in: "contexts", "context")
        guard let clusterName = try selected.string("cluster") else {
            throw selected.error(.invalid, "cluster", "missing")
        }
        var configuration = try clusterConfiguration(file.entry(clusterName, in: "clusters", "cluster"))
        if let userName = try selected.string("user") {
            try configuration.apply(user: file.entry(userName, in: "users", "user"))
        }
        return configuration
    }

    private static func notJSON(_ bytes: [UInt8], _ error: JSONSyntaxError, path: String) -> ConfigurationError {
        guard let first = bytes.first(where: { $0 > 0x20 }) else {
            return ConfigurationError(.invalid, "\(path): the file is empty")
        }
        let remedy = "kubectl config view --raw --minify --flatten -o json --kubeconfig \(path)"
        if first == UInt8(ascii: "{") {
            return ConfigurationError(.notJSON, "\(path): \(error); to write it anew: \(remedy)")
        }
        return ConfigurationError(
            .yaml, "\(path): this is YAML, and the kubeconfig must be JSON; to convert it: \(remedy)")
    }

    private static func clusterConfiguration(
        _ cluster: KubeconfigEntry
    ) throws(ConfigurationError) -> ClientConfiguration {
        guard let url = try cluster.string("server") else {
            throw cluster.error(.invalid, "server", "missing: the URL of the API server")
        }
        guard let server = ServerAddress(url: url) else {
            throw cluster.error(.invalid, "server", "\"\(url)\" is no URL such as https://10.0.0.1:6443")
        }
        if try cluster.bool("insecure-skip-tls-verify") {
            throw cluster.error(
                .unsupported, "insecure-skip-tls-verify",
                "refused: give the server's CA as certificate-authority-data instead")
        }
        var configuration = ClientConfiguration(server: server)
        configuration.caPEM = try cluster.bytes("certificate-authority", Credentials.certificates)
        if server.scheme == .https, configuration.caPEM == nil {
            throw cluster.error(
                .invalid, "certificate-authority-data",
                "missing: the machine's own CAs are not trusted, so the server's CA must be given")
        }
        configuration.tlsServerName = try cluster.string("tls-server-name")
        if let name = configuration.tlsServerName, !ServerAddress.isHostName(name), !ServerAddress.isIPv6(name) {
            throw cluster.error(.invalid, "tls-server-name", "\"\(name)\" is neither a host name nor an address")
        }
        configuration.proxyURL = try cluster.string("proxy-url")
        if let proxy = configuration.proxyURL, !isProxyURL(proxy) {
            throw cluster.error(.invalid, "proxy-url", "no URL with the scheme http, https or socks5")
        }
        return configuration
    }

    private static func isProxyURL(_ url: String) -> Bool {
        guard let (scheme, rest) = ServerAddress.schemeAndRest(url) else { return false }
        return ["http", "https", "socks5"].contains(scheme) && rest.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }
    }

    private mutating func apply(user: KubeconfigEntry) throws(ConfigurationError) {
        let unsupported = [
            "exec", "auth-provider", "username", "password", "as", "as-uid", "as-groups", "as-user-extra",
        ]
        if let member = unsupported.first(where: user.has) {
            throw user.error(
                .unsupported, member, "not supported: give the user a token, a tokenFile or a client certificate")
        }
        clientCertificatePEM = try user.bytes("client-certificate", Credentials.certificates)
        clientKeyPEM = try user.bytes("client-key", Credentials.privateKey)
        if clientCertificatePEM != nil, clientKeyPEM == nil {
            throw user.error(.invalid, "client-key-data", "missing: the client certificate needs it")
        }
        if clientCertificatePEM == nil, clientKeyPEM != nil {
            throw user.error(.invalid, "client-certificate-data", "missing: the client key is of no use without it")
        }
        if let file = try user.file("tokenFile") {
            token = try user.naming("token file", file) { () throws(ConfigurationError) in
                try Credentials.token(FileContents.read(file), source: file)
            }
            tokenFile = file
        } else if let text = try user.string("token") {
            token = try Credentials.token(Array(text.utf8), source: user.source("token"))
        }
    }
}

/// The file itself, or the body of one of its named entries.
private struct KubeconfigEntry {
    private let fields: JSONFields
    private let path: String
    /// For example `user "admin"`; nil for the file itself.
    private let owner: String?

    init(file json: JSON, path: String) throws(ConfigurationError) {
        fields = try Self.decoding(path) { () throws(JSONDecodingError) in try JSONFields(json) }
        self.path = path
        owner = nil
    }

    private init(_ fields: JSONFields, path: String, owner: String) {
        self.fields = fields
        self.path = path
        self.owner = owner
    }

    private static func decoding<Value>(
        _ path: String, _ body: () throws(JSONDecodingError) -> Value
    ) throws(ConfigurationError) -> Value {
        do { return try body() } catch { throw ConfigurationError(.invalid, "\(path): \(error)") }
    }

    /// Where a member stands, for messages.
    func source(_ member: String) -> String { owner.map { "\(path): \($0): \(member)" } ?? "\(path): \(member)" }

    func error(_ kind: ConfigurationError.Kind, _ member: String, _ problem: String) -> ConfigurationError {
        ConfigurationError(kind, "\(source(member)): \(problem)")
    }

    /// The body of the entry of that name in one of the file's lists; the first of a name counts.
    func entry(_ name: String, in list: String, _ member: String) throws(ConfigurationError) -> KubeconfigEntry {
        let entries = try Self.decoding(path) { () throws(JSONDecodingError) in
            var entries: [(name: String, body: JSONFields?)] = []
            for entry in try fields.list(list) ?? [] {
                entries.append((try entry.requiredString("name"), try entry.fields(member)))
            }
            return entries
        }
        guard let found = entries.first(where: { $0.name == name }) else {
            let names = entries.map { "\"\($0.name)\"" }.joined(separator: ", ")
            throw error(
                .invalid, list,
                "no \(member) is called \"\(name)\"; " + (names.isEmpty ? "there is none" : "there is \(names)"))
        }
        let owner = "\(member) \"\(name)\""
        guard let body = found.body else { throw ConfigurationError(.invalid, "\(path): \(owner): it is empty") }
        return KubeconfigEntry(body, path: path, owner: owner)
    }

    /// Runs what reads a file that this one names; an error says which file is which.
    func naming<Value>(
        _ subject: String, _ file: String, _ body: () throws(ConfigurationError) -> Value
    ) throws(ConfigurationError) -> Value {
        do throws(ConfigurationError) {
            return try body()
        } catch {
            // The messages of a file begin with its name.
            let problem = error.message.dropFirst(file.count)
            throw ConfigurationError(
                error.kind, "\(file), named in kubeconfig \(path)\(problem)", subject: subject)
        }
    }

    func has(_ member: String) -> Bool { fields.value(member).map { $0.string != "" } ?? false }

    func string(_ member: String) throws(ConfigurationError) -> String? {
        let value = try Self.decoding(path) { () throws(JSONDecodingError) in try fields.string(member) }
        return value?.isEmpty == true ? nil : value
    }

    func bool(_ member: String) throws(ConfigurationError) -> Bool {
        try Self.decoding(path) { () throws(JSONDecodingError) in try fields.bool(member) ?? false }
    }

    func file(_ member: String) throws(ConfigurationError) -> String? {
        guard let name = try string(member) else { return nil }
        guard !name.hasPrefix("/"), let slash = path.lastIndex(of: "/") else { return name }
        return path[...slash] + name
    }

    /// `member-data` in base 64, or else the contents of the file that `member` names.
    func bytes(
        _ member: String,
        _ validate: ([UInt8], _ source: @autoclosure () -> String) throws(ConfigurationError) -> [UInt8]
    ) throws(ConfigurationError) -> [UInt8]? {
        let data = "\(member)-data"
        if let text = try string(data) {
            guard let bytes = Base64.decode(text) else { throw error(.invalid, data, "not base 64") }
            return try validate(bytes, source(data))
        }
        guard let file = try file(member) else { return nil }
        return try naming("\(member) file", file) { () throws(ConfigurationError) in
            try validate(FileContents.read(file), file)
        }
    }
}
