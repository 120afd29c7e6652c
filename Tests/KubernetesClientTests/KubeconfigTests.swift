import JSONText
import KubernetesClient
import KubernetesCore
import Testing

@Suite struct KubeconfigTests {
    @Test func `Cluster and user of the current context make the configuration`() throws {
        var fixture = KubeconfigFixture()
        fixture.cluster["tls-server-name"] = "kubernetes.default.svc"
        fixture.cluster["proxy-url"] = "http://proxy:3128"
        fixture.user["client-certificate-data"] = base64(certificatePEM)
        fixture.user["client-key-data"] = base64(keyPEM)
        let configuration = try fixture.load()
        #expect(configuration.server == ServerAddress(host: "10.0.0.1", port: 6443))
        #expect(configuration.caPEM == Array(certificatePEM.utf8))
        #expect(configuration.clientCertificatePEM == Array(certificatePEM.utf8))
        #expect(configuration.clientKeyPEM == Array(keyPEM.utf8))
        #expect(configuration.token == secretToken)
        #expect(configuration.tlsServerName == "kubernetes.default.svc")
        #expect(configuration.proxyURL == "http://proxy:3128")
        #expect(configuration.userAgent == "berth")
    }

    @Test func `A context may be chosen, and may have no user`() throws {
        var json = KubeconfigFixture(context: ["cluster": "none"]).json
        json["contexts"] = .array(
            (json["contexts"]?.array ?? []) + [["name": "y", "context": ["cluster": "c", "user": ""]]])
        let configuration = try ClientConfiguration.load(
            kubeconfigJSON: json.serialized(), path: "/etc/k.json", context: "y")
        #expect(configuration.server.host == "10.0.0.1")
        #expect(configuration.token == nil)
    }

    @Test func `Files are read, relative ones from the folder of the kubeconfig`() throws {
        let folder = try Folder()
        try folder.write("ca.crt", certificatePEM)
        let certificate = try folder.write("me.crt", certificatePEM + "#me")
        try folder.write("me.key", keyPEM)
        try folder.write("token", "\n  \(secretToken)\r\n")
        let fixture = KubeconfigFixture(
            cluster: ["server": "https://h", "certificate-authority": "ca.crt"],
            user: [
                "client-certificate": .string(certificate), "client-key": "./me.key", "token": "other",
                "tokenFile": "token",
            ])
        let path = try folder.write("k.json", "\(fixture.json)")
        let configuration = try ClientConfiguration.load(kubeconfigFile: path)
        #expect(configuration.caPEM == Array(certificatePEM.utf8))
        #expect(configuration.clientCertificatePEM == Array((certificatePEM + "#me").utf8))
        #expect(configuration.clientKeyPEM == Array(keyPEM.utf8))
        // As in client-go the file wins.
        #expect(configuration.token == secretToken)
    }

    @Test func `Data wins over a file, and an empty string is absent`() throws {
        var fixture = KubeconfigFixture()
        fixture.cluster["certificate-authority"] = "/no/such/file"
        fixture.cluster["tls-server-name"] = ""
        fixture.cluster["proxy-url"] = ""
        fixture.user["tokenFile"] = ""
        fixture.user["username"] = ""
        fixture.user["exec"] = nil
        let configuration = try fixture.load()
        #expect(configuration.caPEM == Array(certificatePEM.utf8))
        #expect(configuration.tlsServerName == nil)
        #expect(configuration.proxyURL == nil)
        #expect(configuration.token == secretToken)
    }

    @Test func `Plain http needs no CA`() throws {
        let configuration = try KubeconfigFixture(cluster: ["server": "http://127.0.0.1:8001"], user: [:]).load()
        #expect(configuration.server.url == "http://127.0.0.1:8001")
        #expect(configuration.caPEM == nil)
    }

    struct Mistake: Sendable, CustomTestStringConvertible {
        let kind: ConfigurationError.Kind
        let message: String
        let fixture: KubeconfigFixture

        init(_ kind: ConfigurationError.Kind, _ message: String, _ spoil: (inout KubeconfigFixture) -> Void) {
            self.kind = kind
            self.message = message
            var fixture = KubeconfigFixture()
            spoil(&fixture)
            self.fixture = fixture
        }

        var testDescription: String { message }
    }

    static let remedyForUser = "not supported: give the user a token, a tokenFile or a client certificate"

    static let clusterMistakes: [Mistake] = [
        Mistake(.invalid, "current-context: not set, and no context was asked for") { $0.current = "" },
        Mistake(.invalid, #"contexts: no context is called "y"; there is "x""#) { $0.current = "y" },
        Mistake(.invalid, #"context "x": cluster: missing"#) { $0.context = [:] },
        Mistake(.invalid, #"clusters: no cluster is called "d"; there is "c""#) { $0.context["cluster"] = "d" },
        Mistake(.invalid, #"users: no user is called "v"; there is "u""#) { $0.context["user"] = "v" },
        Mistake(.invalid, "clusters[0].cluster: expected an object, found a string") { $0.cluster = "x" },
        Mistake(.invalid, #"cluster "c": server: missing: the URL of the API server"#) { $0.cluster["server"] = "" },
        Mistake(.invalid, #"cluster "c": server: "10.0.0.1:6443" is no URL such as https://10.0.0.1:6443"#) {
            $0.cluster["server"] = "10.0.0.1:6443"
        },
        Mistake(
            .invalid,
            #"cluster "c": certificate-authority-data: missing: the machine's own CAs are not trusted, so the "#
                + "server's CA must be given"
        ) { $0.cluster["certificate-authority-data"] = "" },
        Mistake(.invalid, #"cluster "c": certificate-authority-data: not base 64"#) {
            $0.cluster["certificate-authority-data"] = "*"
        },
        Mistake(.invalid, #"cluster "c": certificate-authority-data: no certificate in PEM form"#) {
            $0.cluster["certificate-authority-data"] = base64(keyPEM)
        },
        Mistake(
            .unsupported,
            #"cluster "c": insecure-skip-tls-verify: refused: give the server's CA as certificate-authority-data instead"#
        ) { $0.cluster["insecure-skip-tls-verify"] = true },
        Mistake(.invalid, #"cluster "c": tls-server-name: "a/b" is neither a host name nor an address"#) {
            $0.cluster["tls-server-name"] = "a/b"
        },
        Mistake(.invalid, #"cluster "c": proxy-url: no URL with the scheme http, https or socks5"#) {
            $0.cluster["proxy-url"] = "ftp://x"
        },
    ]

    static let userMistakes: [Mistake] = [
        Mistake(.unsupported, "user \"u\": exec: \(remedyForUser)") { $0.user = ["exec": ["command": "aws"]] },
        Mistake(.unsupported, "user \"u\": auth-provider: \(remedyForUser)") {
            $0.user = ["auth-provider": ["name": "gcp"]]
        },
        Mistake(.unsupported, "user \"u\": username: \(remedyForUser)") { $0.user = ["username": "me"] },
        Mistake(.unsupported, "user \"u\": as: \(remedyForUser)") { $0.user["as"] = "system:admin" },
        Mistake(.invalid, #"user "u": client-key-data: missing: the client certificate needs it"#) {
            $0.user["client-certificate-data"] = base64(certificatePEM)
        },
        Mistake(.invalid, #"user "u": client-certificate-data: missing: the client key is of no use without it"#) {
            $0.user["client-key-data"] = base64(keyPEM)
        },
        Mistake(.invalid, #"user "u": client-key-data: no private key in PEM form"#) {
            $0.user["client-key-data"] = base64(certificatePEM)
        },
        Mistake(
            .unsupported, #"user "u": client-key-data: the private key is encrypted; give it without a pass phrase"#
        ) {
            $0.user["client-key-data"] = base64("-----BEGIN ENCRYPTED PRIVATE KEY-----")
        },
        Mistake(.invalid, #"user "u": token: the token is empty"#) { $0.user["token"] = " \n" },
        Mistake(.invalid, #"user "u": token: the token contains white space, control or non-ASCII characters"#) {
            $0.user["token"] = "a\r\nX-Injected: b"
        },
        Mistake(.invalid, #"user "u": token: the token contains white space, control or non-ASCII characters"#) {
            $0.user["token"] = "a\u{0}b"
        },
        Mistake(.invalid, #"user "u": token: the token contains white space, control or non-ASCII characters"#) {
            $0.user["token"] = "tökén"
        },
        Mistake(.invalid, "users[0].user.token: expected a string, found a number") { $0.user["token"] = 5 },
    ]

    @Test(arguments: clusterMistakes + userMistakes)
    func `A mistake is named with its entry and its remedy`(mistake: Mistake) throws {
        let error = #expect(throws: ConfigurationError.self) { try mistake.fixture.load() }
        #expect(error == ConfigurationError(mistake.kind, "/etc/k.json: \(mistake.message)"))
        #expect(error?.message.contains(secretToken) == false)
    }

    @Test func `A list without entries says so`() throws {
        let error = #expect(throws: ConfigurationError.self) {
            try ClientConfiguration.load(kubeconfigJSON: Array("{}".utf8), path: "k", context: "x")
        }
        #expect(error?.message == #"k: contexts: no context is called "x"; there is none"#)
    }

    static let remedy = "kubectl config view --raw --minify --flatten -o json --kubeconfig k"

    static let texts: [(String, ConfigurationError.Kind, String)] = [
        ("", .invalid, "k: the file is empty"),
        (" \n", .invalid, "k: the file is empty"),
        (
            "apiVersion: v1\nkind: Config\n", .yaml,
            "k: this is YAML, and the kubeconfig must be JSON; to convert it: \(remedy)"
        ),
        ("# made by hand\n", .yaml, "k: this is YAML, and the kubeconfig must be JSON; to convert it: \(remedy)"),
        ("{\"a\":", .notJSON, "k: not JSON: unexpected end at byte 5; to write it anew: \(remedy)"),
        ("[]", .invalid, "k: expected an object, found a list"),
    ]

    @Test(arguments: texts)
    func `A file that is no JSON object is told apart`(text: String, kind: ConfigurationError.Kind, message: String) {
        let error = #expect(throws: ConfigurationError.self) {
            try ClientConfiguration.load(kubeconfigJSON: Array(text.utf8), path: "k")
        }
        #expect(error == ConfigurationError(kind, message))
    }

    @Test func `A file that cannot be read is named`() throws {
        let folder = try Folder()
        for (path, problem) in [
            ("\(folder.path)/none", "No such file or directory"), (folder.path, "Is a directory"),
        ] {
            let error = #expect(throws: ConfigurationError.self) { try ClientConfiguration.load(kubeconfigFile: path) }
            #expect(error == ConfigurationError(.unreadable, "\(path): cannot be read: \(problem)"))
        }
    }

    @Test func `A token file that is missing or empty is named`() throws {
        let folder = try Folder()
        let empty = try folder.write("empty", "\n")
        func error(_ file: String) -> ConfigurationError? {
            #expect(throws: ConfigurationError.self) {
                try KubeconfigFixture(user: ["tokenFile": .string(file)]).load(path: "\(folder.path)/k")
            }
        }
        let names = ", named in kubeconfig \(folder.path)/k: "
        #expect(
            error("empty")
                == ConfigurationError(.invalid, "\(empty)\(names)the token is empty", subject: "token file"))
        #expect(error("none")?.kind == .unreadable)
        #expect(error("none")?.message.hasPrefix("\(folder.path)/none\(names)") == true)
        #expect(error("none")?.subject == "token file")
    }
}
