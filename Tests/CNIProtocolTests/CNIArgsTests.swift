import CNIProtocol
import Testing

private func args(
    _ namespace: String? = nil, _ name: String? = nil, uid: String? = nil, infra: String? = nil, ip: String? = nil,
    ignoreUnknown: Bool = false
) -> CNIArgs {
    var args = CNIArgs()
    args.podNamespace = namespace
    args.podName = name
    args.podUID = uid
    args.infraContainerID = infra
    args.ip = ip
    args.ignoreUnknown = ignoreUnknown
    return args
}

struct CNIArgsTests {
    @Test(arguments: [
        ("", args()),
        (";", args()),
        (";;;K8S_POD_NAME=a;;", args(nil, "a")),
        (
            "K8S_POD_UID=u;IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=p;K8S_POD_INFRA_CONTAINER_ID=c",
            args("ns", "p", uid: "u", infra: "c", ignoreUnknown: true)
        ),
        // A value may contain the sign, and may be empty, which is as good as absent.
        ("K8S_POD_NAME=a=b=", args(nil, "a=b=")),
        ("K8S_POD_NAME=", args()),
        ("IP=10.0.0.1,fd00::1/64", args(ip: "10.0.0.1,fd00::1/64")),
        // Multus repeats every key: the last value that is not empty counts.
        ("K8S_POD_NAME=a;K8S_POD_NAME=b", args(nil, "b")),
        ("K8S_POD_NAME=a;K8S_POD_NAME=", args(nil, "a")),
        // White space is part of a value.
        ("K8S_POD_NAME= a ", args(nil, " a ")),
    ])
    func `segments become fields`(text: String, expected: CNIArgs) throws {
        #expect(try CNIArgs(parsing: text) == expected)
        #expect(CNIArgs(tolerating: text) == expected)
    }

    @Test(arguments: [
        "IgnoreUnknown=1", "IgnoreUnknown=true", "IgnoreUnknown=True", "IgnoreUnknown=TRUE",
        "IgnoreUnknown=true;IgnoreUnknown=1", "IgnoreUnknown=1;IgnoreUnknown=0", "IgnoreUnknown=false;IgnoreUnknown=1",
    ])
    func `any repetition may say that unknown keys are ignored, before or after them`(text: String) throws {
        #expect(try CNIArgs(parsing: "MAC=00:11;\(text);FOO=1").ignoreUnknown)
        #expect(try CNIArgs(parsing: "\(text);FOO=1").ignoreUnknown)
    }

    @Test(arguments: [
        ("FOO=1", "CNI_ARGS: unknown key FOO"),
        ("FOO=1;K8S_POD_NAME=a;BAR=2;FOO=3", "CNI_ARGS: unknown key FOO, BAR"),
        ("FOO=1;IgnoreUnknown=0", "CNI_ARGS: unknown key FOO"),
        ("FOO=1;IgnoreUnknown=yes", "CNI_ARGS: unknown key FOO"),
        ("FOO=1;IgnoreUnknown=", "CNI_ARGS: unknown key FOO"),
        // Keys are taken as they are written.
        ("k8s_pod_name=a", "CNI_ARGS: unknown key k8s_pod_name"),
        (" K8S_POD_NAME=a", "CNI_ARGS: unknown key  K8S_POD_NAME"),
        // A malformed segment is an error with IgnoreUnknown too.
        ("IgnoreUnknown=1;FOO", "CNI_ARGS: not of the form KEY=VALUE: \"FOO\""),
        ("=1;IgnoreUnknown=1", "CNI_ARGS: not of the form KEY=VALUE: \"=1\""),
        (" ", "CNI_ARGS: not of the form KEY=VALUE: \" \""),
        ("A;B", "CNI_ARGS: not of the form KEY=VALUE: \"A\", \"B\""),
    ])
    func `what cannot be taken is named`(text: String, message: String) {
        let error = cniError { _ = try CNIArgs(parsing: text) }
        #expect(error?.code == CNIError.invalidEnvironment)
        #expect(error?.message == message)
    }

    @Test func `the tolerant reading keeps what it understands`() {
        #expect(CNIArgs(tolerating: "FOO=1;BAR;K8S_POD_NAME=a;=;IP=x") == args(nil, "a", ip: "x"))
    }
}
