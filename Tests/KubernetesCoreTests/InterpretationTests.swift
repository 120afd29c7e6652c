import JSONText
import KubernetesCore
import Testing

@Suite struct InterpretationTests {
    static let object: JSON = ["kind": "IPAllocation", "apiVersion": "ipam.berth.dev/v1alpha1", "metadata": [:]]

    @Test(arguments: ["application/json", "application/json; charset=utf-8", "Application/JSON;as=Table"])
    func `An object of the API is the answer`(contentType: String) {
        #expect(interpret(response(200, Self.object, contentType: contentType), to: getBerth) == .success(Self.object))
        #expect(interpret(response(201, Self.object, contentType: contentType), to: getBerth) == .success(Self.object))
    }

    @Test func `A Status that reports success is an answer`() {
        let status: JSON = ["kind": "Status", "apiVersion": "v1", "status": "Success"]
        let request = APIRequest.delete(.berths, name: "10.0.0.1", preconditions: nil)
        #expect(interpret(response(200, status), to: request) == .success(status))
    }

    /// What a proxy, another server or one that is starting sends.
    static let foreign: [(Int, String, String?)] = [
        (200, "<html><body>Sign in</body></html>", "text/html"),
        (200, "{}", "application/json"),
        (200, "[]", "application/json"),
        (200, "ok", "text/plain"),
        (200, "", nil),
        (204, "", nil),
        (200, #"{"kind":"IPAllocation","apiVersion":"v1"}"#, "text/html"),
        (200, #"{"kind":"IPAllocation","apiVersion":"v1"}"#, nil),
        (200, #"{"kind":"IPAllocation"}"#, "application/json"),
        (301, "", nil),
        (404, "404 page not found\n", "text/plain; charset=utf-8"),
        (404, "<html>nginx</html>", "text/html"),
        (404, "", nil),
        (404, #"{"error":"no route"}"#, "application/json"),
        (404, #"{"kind":"Status","status":"Success"}"#, "application/json"),
        (401, "who are you", "text/plain"),
        (409, "conflict", "text/plain"),
        (500, "", nil),
        (502, "<h1>Bad Gateway</h1>", "text/html"),
        (503, "", nil),
        (503, "{", "application/json"),
    ]

    @Test(arguments: foreign)
    func `What is neither an object nor a Status is no answer of Kubernetes`(
        status: Int, body: String, contentType: String?
    ) throws {
        let error = try #require(apiError(response(status, text: body, contentType: contentType)))
        guard case .notKubernetes(let httpStatus, _, let subject) = error else {
            Issue.record("\(error)")
            return
        }
        #expect(httpStatus == status)
        #expect(subject == getBerth.subject)
        #expect(error.disposition == .transient(retryAfter: nil))
        #expect(!error.isNotFound && !error.isConflict && !error.isAlreadyExists && !error.isUnauthorized)
    }

    @Test func `A success that is not JSON although it says so is undecodable`() throws {
        let error = try #require(apiError(response(201, text: #"{"kind":"#, contentType: "application/json")))
        guard case .undecodable = error else {
            Issue.record("\(error)")
            return
        }
        #expect(error.disposition == .invalid)
    }

    @Test func `A failure in the disguise of a success is a failure`() throws {
        let error = try #require(apiError(response(200, statusBody(403, "Forbidden"))))
        #expect(error.isForbidden)
    }

    @Test func `The HTTP status overrides the one in the Status`() throws {
        let error = try #require(apiError(response(500, statusBody(404, "NotFound", details: berthDetails))))
        #expect(error.status?.code == 500)
        #expect(!error.isNotFound)
    }

    @Test(
        arguments: [
            // header, details, expected
            (nil, nil, nil),
            (3, nil, 3),
            (nil, 4, 4),
            (3, 4, 4),
        ] as [(Int?, Int?, Int?)])
    func `The time to wait comes from the Status or else from the header`(header: Int?, details: Int?, expected: Int?) {
        var json: JSON = [:]
        if let details { json["retryAfterSeconds"] = .int(details) }
        let reply = response(
            429, statusBody(429, "TooManyRequests", details: json), retryAfter: header.map { .seconds($0) })
        #expect(apiError(reply)?.disposition == .transient(retryAfter: expected.map { .seconds($0) }))
    }

    @Test func `The plain text of the server's overload filter is a 429 with its header`() throws {
        let reply = response(429, text: "Too many requests, please try again later.\n", retryAfter: .seconds(1))
        let error = try #require(apiError(reply, to: createBerth))
        #expect(error.disposition == .transient(retryAfter: .seconds(1)))
        #expect(error.status?.message == "Too many requests, please try again later.")
        #expect(!error.mayHaveCommitted)
    }

    @Test func `A transport failure keeps its subject`() {
        let failure = TransportFailure(kind: .connect, message: "m", mayHaveBeenSent: false)
        #expect(apiError(.failure(failure)) == .transport(failure, getBerth.subject))
    }

    @Test(arguments: [
        ("", ""),
        ("  a\r\n\tb\u{7F}c\0 ", "a b c"),
        ("<html>é</html>", "<html>é</html>"),
        (String(repeating: "x", count: 200), String(repeating: "x", count: 200)),
        (String(repeating: "x", count: 201), String(repeating: "x", count: 200) + "…"),
        (String(repeating: "é", count: 2000), String(repeating: "é", count: 200) + "…"),
    ])
    func `An excerpt of the body fits one line`(body: String, excerpt: String) throws {
        let error = try #require(apiError(response(500, text: body)))
        #expect(error == .notKubernetes(httpStatus: 500, excerpt: excerpt, getBerth.subject))
    }

    @Test func `A Status keeps its details and causes and survives odd ones`() throws {
        let json = try JSON(
            parsing: """
                {"kind":"Status","status":"Failure","code":422,"reason":"Invalid","message":"m","details":{"name":"a",\
                "group":"g","kind":"k","uid":"u","retryAfterSeconds":2,"causes":[{"reason":"r","message":"cm",\
                "field":"spec.x"},{"message":"only"},7]}}
                """)
        let causes = [
            APIStatus.Cause(field: "spec.x", message: "cm", reason: "r"), APIStatus.Cause(field: "", message: "only"),
            APIStatus.Cause(field: "", message: ""),
        ]
        #expect(
            APIStatus(json)
                == APIStatus(
                    code: 422, reason: "Invalid", message: "m",
                    details: .init(name: "a", group: "g", kind: "k", uid: "u", retryAfterSeconds: 2, causes: causes)))
        #expect(APIStatus(["kind": "Status"]) == APIStatus(code: 0, reason: "", message: ""))
        #expect(
            APIStatus(["kind": "Status", "code": "x", "details": []]) == APIStatus(code: 0, reason: "", message: ""))
        #expect(APIStatus(["kind": "Pod"]) == nil)
        #expect(APIStatus("Status") == nil)
    }
}
