import Glibc
import JSONText
import KubernetesClient
import KubernetesCore

let certificatePEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
let keyPEM = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
/// A CA that has signed nothing, for connections that do not get as far as a certificate.
let authorityPEM = """
    -----BEGIN CERTIFICATE-----
    MIIBdTCCARugAwIBAgIUIeWA2JAkUC/fGbNAchQcl8NQBrgwCgYIKoZIzj0EAwIw
    EDEOMAwGA1UEAwwFb3RoZXIwHhcNMjYxMTIxMDY0NTM3WhcNMjYxMjIxMDY0NTM3
    WjAQMQ4wDAYDVQQDDAVvdGhlcjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABIRu
    dIiWqDIY3Fopyp1YWmivC0RCH0uitWDoF5vFy257swm5rEHRT2fJeA53ywQsmpDh
    ugS1xfp8vmmLAIXqv62jUzBRMB0GA1UdDgQWBBTfly5rP1Pt6GkbP13Ho28o7+DP
    mTAfBgNVHSMEGDAWgBTfly5rP1Pt6GkbP13Ho28o7+DPmTAPBgNVHRMBAf8EBTAD
    AQH/MAoGCCqGSM49BAMCA0gAMEUCIDYqqdtZme6v9AGCQ+/zEfQ+2cgDKs/xBAX9
    JMySj4QjAiEAr2QzFlWAYMA6W0Z0espvd82yffwwvF9Mwxe5KULHQHc=
    -----END CERTIFICATE-----
    """

let secretToken = "s3cr3t-t0ken.abc"

func base64(_ text: String) -> JSON { .string(Base64.encode(Array(text.utf8))) }

/// A folder of its own, removed when the last reference goes.
final class Folder {
    let path: String

    init() throws {
        guard let template = strdup("/tmp/berth-client-XXXXXX") else {
            throw ConfigurationError(.unreadable, "strdup: \(errno)")
        }
        defer { free(template) }
        guard let made = mkdtemp(template) else { throw ConfigurationError(.unreadable, "mkdtemp: \(errno)") }
        path = String(cString: made)
    }

    deinit {
        for name in names { unlink("\(path)/\(name)") }
        rmdir(path)
    }

    private var names: [String] = []

    @discardableResult
    func write(_ name: String, _ text: String) throws -> String {
        let file = "\(path)/\(name)"
        guard let stream = fopen(file, "w") else { throw ConfigurationError(.unreadable, "\(file): \(errno)") }
        defer { fclose(stream) }
        fputs(text, stream)
        names.append(name)
        return file
    }
}

/// A kubeconfig with one cluster, one user and one context, to be spoiled by a test.
struct KubeconfigFixture {
    var cluster: JSON = [
        "server": "https://10.0.0.1:6443", "certificate-authority-data": base64(certificatePEM),
    ]
    var user: JSON = ["token": .string(secretToken)]
    var context: JSON = ["cluster": "c", "user": "u"]
    var current: JSON = "x"

    var json: JSON {
        [
            "kind": "Config", "apiVersion": "v1", "preferences": [:],
            "clusters": [["name": "c", "cluster": cluster]],
            "users": [["name": "u", "user": user]],
            "contexts": [["name": "x", "context": context]],
            "current-context": current,
        ]
    }

    func load(path: String = "/etc/k.json", context: String? = nil) throws(ConfigurationError) -> ClientConfiguration {
        try .load(kubeconfigJSON: json.serialized(), path: path, context: context)
    }
}

/// A transport whose clock moves only when it is told to. It answers from a list and then repeats the last reply.
final class ScriptedTransport: Transport {
    private(set) var time = Moment(nanoseconds: 0)
    private(set) var requests: [APIRequest] = []
    private(set) var sleeps: [Duration] = []
    private var replies: [Reply]

    init(_ replies: Reply...) { self.replies = replies }

    func perform(_ requests: [APIRequest], deadline: Moment) -> [Reply] {
        self.requests += requests
        time = min(time + .milliseconds(1), deadline)
        return requests.map { _ in replies.count > 1 ? replies.removeFirst() : replies[0] }
    }

    func now() -> Moment { time }

    func sleep(until moment: Moment) {
        sleeps.append(moment - time)
        time = max(time, moment)
    }
}

func reply(_ status: Int, _ body: JSON) -> Reply {
    .success(HTTPResponse(status: status, body: body.serialized(), contentType: "application/json"))
}

func status(_ code: Int, _ reason: String, details: JSON = [:]) -> Reply {
    reply(
        code,
        [
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "m", "reason": .string(reason),
            "code": .int(code), "details": details,
        ])
}

func failed(_ kind: TransportFailure.Kind, sent: Bool) -> Reply {
    .failure(TransportFailure(kind: kind, message: "m", mayHaveBeenSent: sent))
}
