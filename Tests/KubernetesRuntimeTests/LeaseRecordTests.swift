import JSONText
import KubernetesCore
import KubernetesRuntime
import Testing

@Suite struct LeaseRecordTests {
    static func lease(_ spec: String) throws -> JSON {
        try JSON(parsing: #"{"metadata":{"uid":"u","resourceVersion":"7"}\#(spec)}"#)
    }

    @Test(
        arguments: [
            (#","spec":{"holderIdentity":"a","leaseDurationSeconds":15,"leaseTransitions":3,"other":1}"#, "a", 15, 3),
            // Nobody's.
            ("", nil, 0, 0), (#","spec":{}"#, nil, 0, 0), (#","spec":{"holderIdentity":""}"#, nil, 0, 0),
            (#","spec":null"#, nil, 0, 0), (#","spec":{"holderIdentity":null,"leaseTransitions":null}"#, nil, 0, 0),
            // No server keeps such a duration.
            (#","spec":{"holderIdentity":"a","leaseDurationSeconds":-4}"#, "a", 0, 0),
        ] as [(String, String?, Int, Int)])
    func `A Lease is read as far as an election needs it`(
        spec: String, holder: String?, seconds: Int, transitions: Int
    ) throws {
        let expected = LeaseRecord(
            uid: "u", resourceVersion: "7", holder: holder, duration: .seconds(seconds), transitions: transitions)
        #expect(try LeaseRecord(Self.lease(spec)) == expected)
    }

    @Test(arguments: [
        "{}", "7", #"{"metadata":{"uid":"u"}}"#, #"{"metadata":{"resourceVersion":"7"}}"#,
        #"{"metadata":{"uid":"u","resourceVersion":"7"},"spec":{"holderIdentity":7}}"#,
        #"{"metadata":{"uid":"u","resourceVersion":"7"},"spec":{"leaseDurationSeconds":"15"}}"#,
        #"{"metadata":{"uid":"u","resourceVersion":"7"},"spec":[]}"#,
    ])
    func `What is no Lease is refused`(text: String) throws {
        let json = try JSON(parsing: text)
        #expect(throws: JSONDecodingError.self) { try LeaseRecord(json) }
    }

    static let record = LeaseRecord(
        uid: "u", resourceVersion: "7", holder: "other", duration: .seconds(15), transitions: 4)

    static func request(_ write: LeaseWrite, duration: Duration = .seconds(15)) -> APIRequest {
        write.request(namespace: "ns", name: "l", identity: "me", duration: duration, wallTime: 1_000_000)
    }

    static let time = "1970-01-01T00:00:01.000000Z"

    @Test func `A creation names the holder and leaves the rest to the server's answer`() throws {
        let request = Self.request(.create)
        #expect(request.method == .post)
        #expect(request.pathAndQuery == "/apis/coordination.k8s.io/v1/namespaces/ns/leases")
        #expect(
            try JSON(parsing: request.body ?? []) == [
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": ["name": "l", "namespace": "ns"],
                "spec": [
                    "holderIdentity": "me", "leaseDurationSeconds": 15, "acquireTime": .string(Self.time),
                    "renewTime": .string(Self.time), "leaseTransitions": 0,
                ],
            ])
    }

    static let patches: [(LeaseWrite, JSON)] = [
        (
            .take(record),
            [
                "holderIdentity": "me", "leaseDurationSeconds": 15, "acquireTime": .string(time),
                "renewTime": .string(time), "leaseTransitions": 5,
            ]
        ),
        (.renew(record), ["holderIdentity": "me", "leaseDurationSeconds": 15, "renewTime": .string(time)]),
        (.release(record), ["holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": .string(time)]),
    ]

    @Test(arguments: patches.indices) func `Every other write names the state that it was decided on`(index: Int) throws
    {
        let (write, spec) = Self.patches[index]
        let request = Self.request(write)
        #expect(request.method == .patch)
        #expect(request.pathAndQuery == "/apis/coordination.k8s.io/v1/namespaces/ns/leases/l")
        #expect(request.isConditional)
        #expect(
            try JSON(parsing: request.body ?? [])
                == ["metadata": ["uid": "u", "resourceVersion": "7"], "spec": spec])
    }

    @Test func `No duration below a second is written`() throws {
        for write in [LeaseWrite.create, .take(Self.record), .renew(Self.record)] {
            let body = try JSON(parsing: Self.request(write, duration: .milliseconds(400)).body ?? [])
            #expect(body["spec"]?["leaseDurationSeconds"] == 1)
        }
    }
}
