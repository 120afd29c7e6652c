import KubernetesClient
import KubernetesClientYAML
import Testing

@Suite struct ServerAddressTests {
    static let urls: [(String, ServerAddress)] = [
        ("https://10.0.0.1:6443", ServerAddress(host: "10.0.0.1", port: 6443)),
        ("https://api.example", ServerAddress(host: "api.example", port: 443)),
        ("HTTPS://api.example/", ServerAddress(host: "api.example", port: 443)),
        ("http://localhost", ServerAddress(scheme: .http, host: "localhost", port: 80)),
        ("https://[fd00::1]:6443", ServerAddress(host: "fd00::1", port: 6443)),
        ("https://[::ffff:10.0.0.1]", ServerAddress(host: "::ffff:10.0.0.1", port: 443)),
        (
            "https://r.example/k8s/clusters/c-1/",
            ServerAddress(host: "r.example", port: 443, basePath: "/k8s/clusters/c-1")
        ),
    ]

    @Test(arguments: urls)
    func `A URL names scheme, host, port and base path`(url: String, address: ServerAddress) {
        #expect(ServerAddress(url: url) == address)
        #expect(ServerAddress(url: address.url) == address)
    }

    @Test(arguments: [
        "", "https://", "https:///x", "10.0.0.1:6443", "ftp://h", "https://h:", "https://h:0", "https://h:65536",
        "https://h:+1", "https://h:1x", "https://u:p@h", "https://h?x", "https://h/?x", "https://h/#x", "https://h /",
        "https://h/a b", "https://fd00::1", "https://[fd00::1", "https://[fd00::1]x", "https://[host]", "https://[]",
        "https://[fe80::1%25eth0]", "https://h\n",
    ])
    func `What is no plain URL is refused`(url: String) {
        #expect(ServerAddress(url: url) == nil)
    }
}

@Suite struct InClusterConfigurationTests {
    static let environment = ["KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "444"]

    static func folder() throws -> Folder {
        let folder = try Folder()
        try folder.write("ca.crt", certificatePEM)
        try folder.write("token", secretToken)
        return folder
    }

    @Test func `Environment and service account make the configuration`() throws {
        let folder = try Self.folder()
        let configuration = try ClientConfiguration.inCluster(environment: Self.environment, root: folder.path)
        #expect(configuration.server.url == "https://10.96.0.1:444")
        #expect(configuration.caPEM == Array(certificatePEM.utf8))
        #expect(configuration.token == secretToken)
    }

    @Test(arguments: [
        (["KUBERNETES_SERVICE_HOST": "fd00::1"], "https://[fd00::1]:443"),
        (
            ["KUBERNETES_SERVICE_HOST": "h", "KUBERNETES_SERVICE_PORT": "1", "KUBERNETES_SERVICE_PORT_HTTPS": "2"],
            "https://h:2"
        ),
        (
            ["KUBERNETES_SERVICE_HOST": "h", "KUBERNETES_SERVICE_PORT": "1", "KUBERNETES_SERVICE_PORT_HTTPS": ""],
            "https://h:1"
        ),
    ])
    func `The address follows the environment`(environment: [String: String], url: String) throws {
        let folder = try Self.folder()
        #expect(try ClientConfiguration.inCluster(environment: environment, root: folder.path).server.url == url)
    }

    @Test(
        arguments: [
            [:], ["KUBERNETES_SERVICE_HOST": ""], ["KUBERNETES_SERVICE_HOST": "a/b"],
            ["KUBERNETES_SERVICE_HOST": "h", "KUBERNETES_SERVICE_PORT": "x"],
        ] as [[String: String]])
    func `A wrong environment is refused`(environment: [String: String]) throws {
        let folder = try Self.folder()
        let error = #expect(throws: ConfigurationError.self) {
            try ClientConfiguration.inCluster(environment: environment, root: folder.path)
        }
        #expect(error?.message.hasPrefix("KUBERNETES_SERVICE_") == true)
    }

    @Test func `A missing file is named`() throws {
        let folder = try Folder()
        let error = #expect(throws: ConfigurationError.self) {
            try ClientConfiguration.inCluster(environment: Self.environment, root: folder.path)
        }
        #expect(error?.message == "\(folder.path)/ca.crt: cannot be read: No such file or directory")
    }
}

@Suite struct RedactionTests {
    static let configuration = ClientConfiguration(
        server: ServerAddress(host: "h", port: 1), caPEM: Array(certificatePEM.utf8),
        clientCertificatePEM: Array(certificatePEM.utf8), clientKeyPEM: Array(keyPEM.utf8), token: secretToken,
        proxyURL: "http://user:pr0xypass@proxy:1")

    @Test func `No textual form shows token, key or the proxy's password`() {
        struct Holder { var configuration: ClientConfiguration }
        var dumped = ""
        dump(Holder(configuration: Self.configuration), to: &dumped)
        var dumpedBytes = ""
        dump(Array(keyPEM.utf8), to: &dumpedBytes)
        for text in [
            "\(Self.configuration)", String(describing: Self.configuration), String(reflecting: Self.configuration),
            String(describing: Optional(Self.configuration)), String(reflecting: [Self.configuration]),
            "\(Holder(configuration: Self.configuration))", dumped,
        ] {
            #expect(text.contains("redacted"))
            #expect(!text.contains(secretToken))
            #expect(!text.contains("pr0xypass"))
            #expect(!text.contains("PRIVATE KEY"))
            // The key's bytes, as an array prints them.
            #expect(!text.contains("45, 45, 45"))
            #expect(!text.contains(dumpedBytes.prefix(30)))
        }
    }

    @Test func `A textual form shows what is not secret`() {
        let text = "\(Self.configuration)"
        #expect(text.contains("server: https://h:1"))
        #expect(text.contains("caPEM: \(certificatePEM.utf8.count) bytes"))
        #expect("\(ClientConfiguration(server: ServerAddress(host: "h", port: 1)))".contains("token: none"))
    }
}

@Suite struct YAMLKubeconfigTests {
    static let yaml = """
        # a comment
        apiVersion: v1
        kind: Config
        clusters:
        - name: c
          cluster: {server: "http://127.0.0.1:1", insecure-skip-tls-verify: false}
        users:
        - name: u
          user:
            token: 12345
        contexts:
        - {name: x, context: {cluster: c, user: u, namespace: null}}
        current-context: x
        """

    @Test func `YAML and JSON are both read`() throws {
        let folder = try Folder()
        let yaml = try ClientConfiguration.load(yamlOrJSONKubeconfigFile: folder.write("k.yaml", Self.yaml))
        #expect(yaml.server.url == "http://127.0.0.1:1")
        // A token that looks like a number is a string all the same.
        #expect(yaml.token == "12345")
        let json = try ClientConfiguration.load(
            yamlOrJSONKubeconfigFile: folder.write("k.json", "\(KubeconfigFixture().json)"))
        #expect(json.token == secretToken)
    }

    @Test(arguments: ["", "{", "a: [", "- x"])
    func `What is neither is refused`(text: String) throws {
        let folder = try Folder()
        let path = try folder.write("k", text)
        let error = #expect(throws: ConfigurationError.self) {
            try ClientConfiguration.load(yamlOrJSONKubeconfigFile: path)
        }
        #expect(error?.kind == .invalid)
        #expect(error?.message.hasPrefix("\(path): ") == true)
    }
}
