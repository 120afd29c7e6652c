import IPAMAPI
import JSONText
import KubernetesCore
import TestSupport
import Testing

/// API servers, kubeconfigs and tokens that are not what they should be: the error names the thing, the cause and what
/// to do, and nothing is claimed.
@Suite("Bad input: API server and credentials", .controlPlane, .timeLimit(.minutes(10)))
struct BadInputServerTests {
    // MARK: The kubeconfig

    @Test func `an unreadable kubeconfig is code 5`() async throws {
        try await expectRefusal(code: 5, says: ["No such file"]) { try Files.remove($0.kubeconfig) }
        try await expectRefusal(code: 5, says: ["directory"]) {
            try Files.remove($0.kubeconfig)
            try Files.makeFolder($0.kubeconfig)
        }
    }

    @Test func `a kubeconfig in YAML is code 6 and says how to convert it`() async throws {
        try await expectRefusal(code: 6, says: ["YAML", "kubectl config view --raw", "-o json"]) {
            try Files.write($0.kubeconfig, "apiVersion: v1\nkind: Config\nclusters: []\n")
        }
    }

    @Test func `a kubeconfig that is broken JSON is code 6, an empty one code 7`() async throws {
        try await expectRefusal(code: 6, says: ["kubectl config view"]) {
            try Files.write($0.kubeconfig, "{\"apiVersion\": \"v1\",")
        }
        try await expectRefusal(code: 7, says: ["empty"]) { try Files.write($0.kubeconfig, "\n") }
    }

    @Test func `a kubeconfig that lacks something, or asks for what is not supported, is code 7`() async throws {
        func change(_ says: [String], _ change: @escaping @Sendable (inout JSON) -> Void) async throws {
            try await expectRefusal(code: 7, says: says) { node in
                var json = try JSON(parsing: Files.read(node.kubeconfig))
                change(&json)
                try Files.write(node.kubeconfig, json.description)
            }
        }
        try await change(["current-context"]) { $0["current-context"] = nil }
        try await change(["context", "\"other\"", "\"berth\""]) { $0["current-context"] = "other" }
        try await change(["clusters", "\"berth\""]) { $0["clusters"] = [] }
        try await change(["server"]) { $0["clusters"] = [["name": "berth", "cluster": [:]]] }
        try await change(["insecure-skip-tls-verify", "certificate-authority-data"]) {
            $0["clusters"] = [
                [
                    "name": "berth",
                    "cluster": ["server": "https://127.0.0.1:1", "insecure-skip-tls-verify": true],
                ]
            ]
        }
        try await change(["exec", "tokenFile"]) {
            $0["users"] = [["name": "berth", "user": ["exec": ["command": "aws"]]]]
        }
    }

    private func expectRefusal(
        code: Int, says: [String], sourceLocation: SourceLocation = #_sourceLocation,
        after change: @escaping @Sendable (TestNode) throws -> Void
    ) async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            let sandbox = try rig.node.newSandbox()
            try change(rig.node)
            try expectFailure(
                try await rig.node.add(sandbox, configuration), code: code,
                says: ["kubeconfig", rig.node.folder] + says,
                sourceLocation: sourceLocation)
            // It is no reason to keep a pod from ending.
            expectSilentSuccess(try await rig.node.del(sandbox, configuration), sourceLocation: sourceLocation)
            try await rig.expectNothingHeld(sourceLocation: sourceLocation)
        }
    }

    // MARK: Credentials

    @Test func `an expired token is a 401, which says so`() async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            try Files.write(rig.node.tokenFile, try await expiredToken(rig.controlPlane))
            let failure = try expectFailure(
                try await rig.node.add(try rig.node.newSandbox(), configuration), code: 11,
                says: ["401", "token", "expired", "tokenFile", "replace it"])
            let token = try Files.text(rig.node.tokenFile)
            #expect(!"\(failure)".contains(token))
            #expect(!rig.node.log.contains(token))
            try await rig.expectNothingHeld()
            // The plugin reads the file anew each time, so a renewed token is all that it needs.
            try Files.write(rig.node.tokenFile, try await rig.controlPlane.token(of: .plugin))
            try await rig.node.add(try rig.node.newSandbox(), configuration).checked()
        }
    }

    /// A token as the API server would sign it, with an expiry in the past. It has none shorter than ten minutes.
    private func expiredToken(_ controlPlane: ControlPlane) async throws -> String {
        func base64URL(_ bytes: [UInt8]) -> String {
            var text = Base64.encode(bytes).replacing("+", with: "-").replacing("/", with: "_")
            while text.hasSuffix("=") { text.removeLast() }
            return text
        }
        let parts = try await controlPlane.token(of: .plugin).split(separator: ".").map(String.init)
        var payload = parts[1].replacing("-", with: "+").replacing("_", with: "/")
        while payload.utf8.count % 4 != 0 { payload += "=" }
        var claims = try JSON(parsing: try #require(Base64.decode(payload)))
        let expiry = try #require(claims["exp"]?.int)
        for (name, earlier) in [("exp", 200_000), ("iat", 300_000), ("nbf", 300_000)] {
            claims[name] = .int(expiry - earlier)
        }
        let signed = parts[0] + "." + base64URL(claims.serialized())
        let signature = try await run(
            "openssl", ["dgst", "-sha256", "-sign", "\(controlPlane.folder)/pki/service-account.key"],
            stdin: Array(signed.utf8))
        #expect(signature.succeeded)
        return signed + "." + base64URL(signature.output)
    }

    @Test func `a token that is refused is a 401, and an unusable one is code 7`() async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            for (token, code, says) in [
                ("no-token-of-this-cluster", 11, ["401", "replace it"]), ("", 7, ["empty"]),
                ("a b", 7, ["white space"]),
            ] {
                try Files.write(rig.node.tokenFile, token)
                try expectFailure(
                    try await rig.node.add(try rig.node.newSandbox(), configuration), code: code, says: says)
            }
            try Files.remove(rig.node.tokenFile)
            try expectFailure(
                try await rig.node.add(try rig.node.newSandbox(), configuration), code: 5,
                says: [rig.node.tokenFile, "No such file"])
            try await rig.expectNothingHeld()
        }
    }

    /// What an account may do, and what the error says that it lacks.
    static let accounts: [(rules: String, says: [String])] = [
        ("[]", ["403", "missing permission: get ippools.ipam.berth.dev", "config/rbac"]),
        (
            "[{apiGroups: [ipam.berth.dev], resources: [ippools], verbs: [get]}]",
            ["403", "missing permission: list ipallocations.ipam.berth.dev"]
        ),
        (
            """
            [{apiGroups: [ipam.berth.dev], resources: [ippools], verbs: [get]},
             {apiGroups: [ipam.berth.dev], resources: [ipallocations], verbs: [list, get]}]
            """,
            ["403", "missing permission: create ipallocations.ipam.berth.dev"]
        ),
    ]

    @Test(arguments: accounts.indices)
    func `an account without the role is a 403 that names the missing permission`(index: Int) async throws {
        let (rules, says) = Self.accounts[index]
        try await PluginRig.run { rig in
            try await withAccount(rig, rules) {
                let pools = [try await rig.makePool(hosts: 7...7), try await rig.makePool6(hosts: 7...7)]
                // Of a journal that is whole the first one to be read is a pool; of a new one, the ledger.
                if index == 0 { try await warmUpJournal(rig, pools) }
                try Files.write(rig.node.tokenFile, $0)
                try expectFailure(
                    try await rig.node.add(try rig.node.newSandbox(), rig.node.configuration(pools: pools)), code: 104,
                    says: says)
            }
            try await rig.expectNothingHeld()
        }
    }

    private func warmUpJournal(_ rig: PluginRig, _ pools: [String]) async throws {
        let sandbox = try rig.node.newSandbox()
        let configuration = rig.node.configuration(pools: pools)
        try await rig.node.add(sandbox, configuration).checked()
        expectSilentSuccess(try await rig.node.del(sandbox, configuration))
    }

    @Test func `an account without the role for ranges in a configuration is told of it`() async throws {
        try await PluginRig.run { rig in
            let rules = """
                [{apiGroups: [ipam.berth.dev], resources: [ippools], verbs: [get, list]},
                 {apiGroups: [ipam.berth.dev], resources: [ipallocations], verbs: ['*']}]
                """
            try await withAccount(rig, rules) {
                try Files.write(rig.node.tokenFile, $0)
                let configuration = rig.node.configuration(ipam: ["range": .string(rig.subnets.subnet4)])
                try expectFailure(
                    try await rig.node.add(try rig.node.newSandbox(), configuration), code: 104,
                    says: ["403", "missing permission: create ippools.ipam.berth.dev"])
            }
            #expect(try await rig.inlinePools().isEmpty)
            try await rig.expectNothingHeld()
        }
    }

    /// Lends the token of a service account with such rules.
    private func withAccount(_ rig: PluginRig, _ rules: String, _ body: (String) async throws -> Void) async throws {
        let name = rig.subnets.name("account")
        let manifest = """
            apiVersion: v1
            kind: ServiceAccount
            metadata: {name: \(name), namespace: default}
            ---
            apiVersion: rbac.authorization.k8s.io/v1
            kind: ClusterRole
            metadata: {name: \(name)}
            rules: \(rules)
            ---
            apiVersion: rbac.authorization.k8s.io/v1
            kind: ClusterRoleBinding
            metadata: {name: \(name)}
            roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: \(name)}
            subjects: [{kind: ServiceAccount, name: \(name), namespace: default}]
            """
        try await rig.controlPlane.apply(manifest)
        let result: Result<Void, any Error>
        do {
            let account = ServiceAccount(namespace: "default", name: name)
            if rules.contains(BerthAPI.group) {
                try await rig.controlPlane.waitForPermission(of: account, resource: BerthAPI.group)
            }
            result = .success(
                try await body(try await rig.controlPlane.newToken(of: account, lifetime: .seconds(3600))))
        } catch {
            result = .failure(error)
        }
        try await rig.controlPlane.kubectl(["delete", "--ignore-not-found", "-f", "-"], stdin: manifest)
        try result.get()
    }

    // MARK: The API server

    @Test func `a certificate of an unknown CA is code 105`() async throws {
        try await PluginRig.run { rig in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            let target = try rig.controlPlane.target()
            try rig.node.writeKubeconfig(
                server: "https://\(target.host):\(target.port)", caPEM: try await TestAuthority.shared().caPEM)
            try expectFailure(
                try await rig.node.add(try rig.node.newSandbox(), configuration), code: 105,
                says: ["\(target.host):\(target.port)", "certificate", "certificate-authority"])
            try await rig.expectNothingHeld()
        }
    }

    enum Trouble: String, CaseIterable, Sendable {
        case hangs, refuses, resets, answersHTML, answersHTMLWith404, answersNothing

        func begin(_ proxy: FaultProxy) async {
            switch self {
            case .hangs: proxy.when(.any, .always, .hang)
            case .refuses: await proxy.suspend()
            case .resets: proxy.when(.any, .always, .dropBeforeForward())
            case .answersHTML: proxy.when(.any, .always, .html(status: 200))
            case .answersHTMLWith404: proxy.when(.any, .always, .html(status: 404))
            case .answersNothing: proxy.when(.any, .always, .respond(status: 200))
            }
        }

        var says: [String] {
            switch self {
            case .hangs: ["no answer in time", "timed out"]
            case .refuses: ["cannot connect to the API server at 127.0.0.1"]
            case .resets: ["the connection to the API server", "broke"]
            case .answersHTML: ["HTTP 200", "This is no API server"]
            case .answersHTMLWith404: ["HTTP 404", "This is no API server"]
            case .answersNothing: ["HTTP 200", "without a body"]
            }
        }
    }

    @Test(arguments: Trouble.allCases, [true, false])
    func `an API server that hangs, refuses or answers HTML is code 11`(
        trouble: Trouble, isJournalWhole: Bool
    ) async throws {
        try await PluginRig.runThroughProxy { rig, proxy in
            let pool = try await rig.makePool(hosts: 7...7)
            if isJournalWhole { try await warmUpJournal(rig, [pool]) }
            await trouble.begin(proxy)
            let sandbox = try rig.node.newSandbox()
            let configuration = rig.node.configuration(pools: [pool])
            let impatient = rig.node.configuration(pools: [pool], ipam: ["timeoutSeconds": 3])
            let outcome = try await rig.node.add(sandbox, impatient)
            try expectFailure(outcome, code: 11, says: trouble.says)
            try await rig.expectNothingHeld()
            // A DEL does not wait for better days, and an ADD succeeds in them.
            expectSilentSuccess(try await rig.node.del(sandbox, configuration))
            proxy.removeRules()
            if trouble == .refuses { try await proxy.resume() }
            try await rig.node.add(try rig.node.newSandbox(), configuration).checked()
        }
    }

    @Test func `a pod that the API server does not prove absent is not taken for gone`() async throws {
        try await PluginRig.runThroughProxy(settings: ["timeoutSeconds": 5]) { rig, proxy in
            let configuration = rig.node.configuration(pools: [try await rig.makePool(hosts: 7...7)])
            let sandbox = try rig.node.newSandbox(pod: try await rig.makePod())
            proxy.when(.verb("get", "pods"), .always, .html(status: 404))
            let failure = try expectFailure(
                try await rig.node.add(sandbox, configuration), code: 11, says: ["get pods", "HTTP 404"])
            #expect(!failure.message.contains("does not exist"))
            try await rig.expectNothingHeld()
        }
    }
}
