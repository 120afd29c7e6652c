import JSONText
import KubernetesClient
import KubernetesCore
import Testing

@testable import KubernetesClientYAML

@Suite struct KubeconfigChainTests {
    private static let none = ExecCredential.Runner(isTerminal: false) { _ throws(ExecCredential.Runner.Failure) in
        throw ExecCredential.Runner.Failure(problem: "not to be run")
    }

    @Test func `Files are found in kubectl's order`() throws {
        func source(
            _ option: String?, _ environment: [String: String], _ existing: Set<String> = []
        ) throws -> KubeconfigChain.Source {
            try KubeconfigChain(option: option, environment: environment, exists: existing.contains).source
        }
        let all = ["KUBECONFIG": "/a::/b", "HOME": "/h", "KUBERNETES_SERVICE_HOST": "10.0.0.1"]
        let existing: Set = ["/b", "/h/.kube/config"]
        #expect(try source("/o", all, existing) == .file("/o"))
        #expect(try source(nil, all, existing) == .list(["/b"]))
        #expect(try source(nil, all.filter { $0.key != "KUBECONFIG" }, existing) == .list(["/h/.kube/config"]))
        #expect(try source(nil, ["KUBECONFIG": "", "KUBERNETES_SERVICE_HOST": "10.0.0.1"]) == .inCluster)
        #expect(throws: ConfigurationError.self) { try source(nil, ["HOME": "/h"]) }
        #expect(throws: ConfigurationError.self) { try source(nil, all) }
    }

    @Test func `Of what two files have, the first one's counts`() throws {
        var merged: JSON = [:]
        try KubeconfigChain.merge(
            ["users": [["name": "u", "user": ["token": "first"]]], "current-context": ""], into: &merged)
        try KubeconfigChain.merge(
            [
                "users": [["name": "u", "user": ["token": "second"]], ["name": "v", "user": [:]]],
                "current-context": "x",
            ], into: &merged)
        #expect(merged["current-context"]?.string == "x")
        #expect(merged["users"]?.array?.map { $0["name"]?.string } == ["u", "v"])
        #expect(merged["users"]?.array?.first?["user"]?["token"]?.string == "first")
    }

    @Test func `Relative names start from the folder of their own file`() {
        let file: JSON = [
            "clusters": [["name": "c", "cluster": ["certificate-authority": "ca.crt"]]],
            "users": [
                [
                    "name": "u",
                    "user": [
                        "client-key": "/abs/key", "tokenFile": "t", "exec": ["command": "./login"],
                    ],
                ],
                ["name": "v", "user": ["exec": ["command": "login"]]],
            ],
        ]
        let absolute = KubeconfigChain.absolute(file, "/etc/k/config")
        #expect(
            absolute["clusters"]?.array?.first?["cluster"]?["certificate-authority"]?.string == "/etc/k/ca.crt")
        let user = absolute["users"]?.array?.first?["user"]
        #expect(user?["client-key"]?.string == "/abs/key")
        #expect(user?["tokenFile"]?.string == "/etc/k/t")
        #expect(user?["exec"]?["command"]?.string == "/etc/k/./login")
        #expect(absolute["users"]?.array?.last?["user"]?["exec"]?["command"]?.string == "login")
    }
}

@Suite struct ExecCredentialTests {
    private func plugin(_ changes: JSON = [:], cluster: JSON? = nil) throws -> ExecCredential {
        var exec: JSON = [
            "apiVersion": "client.authentication.k8s.io/v1", "command": "login", "args": ["--fast"],
            "env": [["name": "A", "value": "b"]], "interactiveMode": "IfAvailable",
            "installHint": "install it",
        ]
        for member in changes.object?.members ?? [] { exec[member.name] = member.value }
        return try ExecCredential(exec, cluster: cluster, source: "k: user \"u\": exec")
    }

    private func answer(_ status: String, version: String = "v1") -> [UInt8] {
        Array(
            """
            {"apiVersion": "client.authentication.k8s.io/\(version)", "kind": "ExecCredential", "status": \(status)}
            """.utf8)
    }

    private func runner(isTerminal: Bool = false, _ output: [UInt8]) -> ExecCredential.Runner {
        ExecCredential.Runner(isTerminal: isTerminal) { _ throws(ExecCredential.Runner.Failure) in output }
    }

    @Test func `A program is told what it needs, and its token is used`() throws {
        let cluster: JSON = [
            "server": "https://10.0.0.1", "certificate-authority-data": "QQ==",
            "extensions": [["name": "client.authentication.k8s.io/exec", "extension": ["audience": "x"]]],
        ]
        let runner = ExecCredential.Runner(isTerminal: true) { command throws(ExecCredential.Runner.Failure) in
            guard command.executable == "login", command.arguments == ["--fast"], command.isInteractive,
                command.environment["A"] == "b", command.environment["HOME"] == "/h",
                command.environment["KUBERNETES_EXEC_INFO"]
                    == #"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":"#
                    + #"{"interactive":true,"cluster":{"server":"https://10.0.0.1","#
                    + #""certificate-authority-data":"QQ==","config":{"audience":"x"}}}}"#
            else { throw ExecCredential.Runner.Failure(problem: "\(command)") }
            return self.answer(#"{"token": "t", "expirationTimestamp": "2026-01-01T00:00:00Z"}"#)
        }
        let user = try plugin(["provideClusterInfo": true], cluster: cluster).run(environment: ["HOME": "/h"], runner)
        #expect(user == ["token": "t"])
    }

    @Test func `A client certificate needs its key`() throws {
        let user = try plugin().run(
            environment: [:], runner(answer(#"{"clientCertificateData": "c", "clientKeyData": "k"}"#)))
        #expect(user == ["client-certificate-data": "Yw==", "client-key-data": "aw=="])
        #expect(throws: ConfigurationError.self) {
            try plugin().run(environment: [:], runner(answer(#"{"clientCertificateData": "c"}"#)))
        }
    }

    @Test func `v1beta1 is spoken too, and versions must agree`() throws {
        let old = try plugin(["apiVersion": "client.authentication.k8s.io/v1beta1"])
        #expect(
            try old.run(environment: [:], runner(answer(#"{"token": "t"}"#, version: "v1beta1"))) == ["token": "t"])
        #expect(throws: ConfigurationError.self) {
            try old.run(environment: [:], runner(answer(#"{"token": "t"}"#)))
        }
        #expect(throws: ConfigurationError.self) {
            try plugin(["apiVersion": "client.authentication.k8s.io/v1alpha1"])
        }
    }

    @Test(arguments: ["", "{}", "nonsense", #"{"kind": "ExecCredential"}"#])
    func `What is no credential is refused`(_ output: String) {
        #expect(throws: ConfigurationError.self) {
            try plugin().run(environment: [:], runner(Array(output.utf8)))
        }
    }

    @Test func `A program that must talk to a person needs a terminal`() throws {
        let plugin = try plugin(["interactiveMode": "Always"])
        #expect(throws: ConfigurationError.self) {
            try plugin.run(environment: [:], runner(answer(#"{"token": "t"}"#)))
        }
        #expect(
            try plugin.run(environment: [:], runner(isTerminal: true, answer(#"{"token": "t"}"#))) == ["token": "t"])
        #expect(throws: ConfigurationError.self) { try self.plugin(["interactiveMode": "Sometimes"]) }
        #expect(throws: ConfigurationError.self) { try self.plugin(["command": ""]) }
    }

    @Test func `Processes are run, and their failures told`() throws {
        let process = ExecCredential.Runner.process
        func output(_ executable: String, _ arguments: [String]) throws -> String {
            let command = ExecCredential.Command(
                executable: executable, arguments: arguments, environment: ["PATH": "/usr/bin:/bin", "V": "w"],
                isInteractive: false)
            return String(decoding: try process.run(command), as: UTF8.self)
        }
        #expect(try output("sh", ["-c", "echo $V; cat"]) == "w\n")
        #expect {
            try output("sh", ["-c", "exit 3"])
        } throws: { ($0 as? ExecCredential.Runner.Failure)?.problem == "it failed with exit status 3" }
        #expect {
            try output("no-such-program-of-berth", [])
        } throws: { ($0 as? ExecCredential.Runner.Failure)?.isMissing == true }
        let missing = ExecCredential.Runner(isTerminal: false) { _ throws(ExecCredential.Runner.Failure) in
            throw ExecCredential.Runner.Failure(problem: "there is no such program", isMissing: true)
        }
        #expect {
            try plugin().run(environment: [:], missing)
        } throws: {
            "\($0)" == "k: user \"u\": exec: login: there is no such program\ninstall it"
        }
    }
}
