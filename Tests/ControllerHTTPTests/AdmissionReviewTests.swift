import ControllerHTTP
import JSONText
import Synchronization
import Testing

/// What kube-apiserver 1.30 sends for an update, shortened.
let reviewText = """
    {"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{
    "uid":"705ab4f5-6393-11e8-b7cc-42010a800002",
    "kind":{"group":"ipam.berth.dev","version":"v1alpha1","kind":"IPPool"},
    "resource":{"group":"ipam.berth.dev","version":"v1alpha1","resource":"ippools"},
    "requestKind":{"group":"ipam.berth.dev","version":"v1alpha1","kind":"IPPool"},
    "requestResource":{"group":"ipam.berth.dev","version":"v1alpha1","resource":"ippools"},
    "name":"blue","operation":"UPDATE",
    "userInfo":{"username":"alice","uid":"u1","groups":["system:authenticated"],"extra":{"a":["b"]}},
    "object":{"metadata":{"name":"blue"},"spec":{"subnet":"10.0.0.0/24"}},
    "oldObject":{"metadata":{"name":"blue"},"spec":{"subnet":"10.0.0.0/23"}},
    "dryRun":true,"options":{"kind":"UpdateOptions","apiVersion":"meta.k8s.io/v1"}}}
    """

@Suite struct AdmissionReviewTests {
    /// The review with one member of its request set to a JSON text, or removed.
    static func review(_ member: String, _ text: String?) throws -> [UInt8] {
        var review = try JSON(parsing: reviewText)
        var request = try #require(review["request"])
        if let text { request[member] = try JSON(parsing: text) } else { request[member] = nil }
        review["request"] = request
        return review.serialized()
    }

    static func problem(_ body: [UInt8]) -> String? {
        do {
            _ = try AdmissionReview.request(body)
            return nil
        } catch {
            return error.description
        }
    }

    @Test func `A question is read whole`() throws {
        let request = try AdmissionReview.request(Array(reviewText.utf8))
        #expect(
            request
                == AdmissionRequest(
                    uid: "705ab4f5-6393-11e8-b7cc-42010a800002", operation: .update,
                    kind: .init(group: "ipam.berth.dev", version: "v1alpha1", kind: "IPPool"),
                    resource: .init(group: "ipam.berth.dev", version: "v1alpha1", resource: "ippools"), name: "blue",
                    isDryRun: true,
                    object: ["metadata": ["name": "blue"], "spec": ["subnet": "10.0.0.0/24"]],
                    oldObject: ["metadata": ["name": "blue"], "spec": ["subnet": "10.0.0.0/23"]], username: "alice"))
    }

    @Test(arguments: [
        // What may be missing or null.
        ("name", nil), ("dryRun", nil), ("userInfo", nil), ("userInfo", "{}"), ("namespace", #""a""#),
        ("subResource", #""status""#), ("subResource", #""""#), ("dryRun", "null"), ("somethingNew", "[1]"),
        ("operation", #""CREATE""#), ("operation", #""DELETE""#), ("operation", #""CONNECT""#),
    ])
    func `What the API server may leave out or add is no error`(member: String, text: String?) throws {
        #expect(Self.problem(try Self.review(member, text)) == nil)
    }

    @Test(arguments: [
        ("uid", nil, "request.uid: missing"), ("uid", #""""#, "request.uid: empty"),
        ("uid", "7", "request.uid: expected a string, found a number"),
        ("operation", nil, "request.operation: missing"),
        ("operation", #""PATCH""#, #"request.operation: unknown: "PATCH""#),
        ("operation", #""update""#, #"request.operation: unknown: "update""#),
        ("kind", nil, "request.kind: missing"),
        ("kind", #""IPPool""#, "request.kind: expected an object, found a string"),
        ("kind", #"{"version":"v1"}"#, "request.kind.kind: missing"),
        ("resource", "{}", "request.resource.version: missing"),
        ("dryRun", #""yes""#, "request.dryRun: expected true or false, found a string"),
        ("userInfo", "[]", "request.userInfo: expected an object, found a list"),
        ("name", "{}", "request.name: expected a string, found an object"),
        // An update has both objects.
        ("object", nil, "request.object: missing"), ("object", "null", "request.object: missing"),
        ("object", "[]", "request.object: expected an object, found a list"),
        ("oldObject", nil, "request.oldObject: missing"),
    ])
    func `A question that lacks something is refused with what it lacks`(
        member: String, text: String?, problem: String
    ) throws {
        #expect(Self.problem(try Self.review(member, text)) == problem)
    }

    @Test(arguments: [
        ("", "not JSON: "), ("{", "not JSON: "), ("{} {}", "not JSON: "), ("\0", "not JSON: "),
        (String(repeating: "[", count: 100_000), "not JSON: "),
        ("null", "expected an object, found null"), ("[]", "expected an object, found a list"),
        ("{}", "expected AdmissionReview of admission.k8s.io/v1, found no kind of no apiVersion"),
        (
            #"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1","request":{}}"#,
            "expected AdmissionReview of admission.k8s.io/v1, found AdmissionReview of admission.k8s.io/v1beta1"
        ),
        (
            #"{"kind":"ConversionReview","apiVersion":"admission.k8s.io/v1"}"#,
            "expected AdmissionReview of admission.k8s.io/v1, found ConversionReview of admission.k8s.io/v1"
        ),
        (#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}"#, "request: missing"),
        (#"{"kind":"AdmissionReview","apiVersion":1}"#, "apiVersion: expected a string, found a number"),
    ])
    func `What is no question is refused with what it is`(body: String, problem: String) throws {
        let found = try #require(Self.problem(Array(body.utf8)))
        #expect(found.hasPrefix(problem), "\(found)")
    }

    @Test func `An answer has the identifier of its question`() throws {
        let request = try AdmissionReview.request(Array(reviewText.utf8))
        let uid = JSON.string(request.uid)
        #expect(
            AdmissionReview.response(to: request, .allowed()) == [
                "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
                "response": ["uid": uid, "allowed": true],
            ])
        let refused = AdmissionReview.response(to: request, .refused(.forbidden, "in use", warnings: ["w"]))
        #expect(
            refused["response"] == [
                "uid": uid, "allowed": false, "warnings": ["w"],
                "status": ["status": "Failure", "message": "in use", "reason": "Forbidden", "code": 403],
            ])
        let invalid = AdmissionReview.response(to: request, .refused(.invalid, "no subnet"))
        #expect(invalid["response"]?["status"]?["code"] == 422)
        #expect(invalid["response"]?["status"]?["reason"] == "Invalid")
    }

    @Test(arguments: [
        ("short", "short"), ("", ""), ("two\nlines\u{7F}\u{85}\0", "two lines   "),
        (String(repeating: "a", count: 256), String(repeating: "a", count: 256)),
        (String(repeating: "a", count: 257), String(repeating: "a", count: 253) + "…"),
        // Cut between characters, not within one.
        (String(repeating: "é", count: 200), String(repeating: "é", count: 126) + "…"),
        (String(repeating: "👩‍👩‍👧", count: 20), String(repeating: "👩‍👩‍👧", count: 14) + "…"),
    ])
    func `A warning is made to fit a header`(warning: String, expected: String) throws {
        let request = try AdmissionReview.request(Array(reviewText.utf8))
        let response = AdmissionReview.response(to: request, .allowed(warnings: [warning]))
        #expect(response["response"]?["warnings"] == [.string(expected)])
        #expect(expected.utf8.count <= 256)
    }

    @Test func `No more warnings are sent than are passed on`() throws {
        let request = try AdmissionReview.request(Array(reviewText.utf8))
        let many = AdmissionAnswer.allowed(warnings: (0..<100).map { "w\($0)" })
        #expect(AdmissionReview.response(to: request, many)["response"]?["warnings"]?.array?.count == 16)
    }
}

@Suite struct AdmissionEndpointTests {
    static let head = RequestHead(method: "POST", path: "/validate-ippools", contentType: "application/json")

    @Test(arguments: [
        ("POST", "/validate-ippools", "application/json", 200), ("POST", "/validate-ippools", "Application/JSON", 200),
        ("POST", "/validate-ippools", "application/json; charset=utf-8", 200),
        ("POST", "/validate-ippools", "application/json;charset=utf-8", 200),
        ("POST", "/validate-ippools", "application/jsonp", 400), ("POST", "/validate-ippools", "text/plain", 400),
        ("POST", "/validate-ippools", "application/vnd.kubernetes.protobuf", 400),
        ("POST", "/validate-ippools", "", 400), ("POST", "/validate-ippools", nil, 400),
        ("GET", "/validate-ippools", nil, 405), ("PUT", "/validate-ippools", "application/json", 405),
        ("POST", "/validate-ippools/", "application/json", 404), ("POST", "/", "application/json", 404),
        ("GET", "/healthz", nil, 404),
    ])
    func `Only JSON posted to one path is read`(method: String, path: String, contentType: String?, status: Int) {
        let endpoint = AdmissionEndpoint { _ in .allowed() }
        switch endpoint.admit(RequestHead(method: method, path: path, contentType: contentType)) {
        case .reply(let reply):
            #expect(reply.status == status)
            #expect(reply.allowedMethods == (status == 405 ? ["POST"] : []))
        case let other:
            #expect(other == .withBody(limit: 3 << 20) && status == 200)
        }
    }

    @Test func `The decision gets the question and its answer is sent`() async throws {
        let asked = Mutex<[AdmissionRequest]>([])
        let endpoint = AdmissionEndpoint { request in
            asked.withLock { $0.append(request) }
            return .refused(.forbidden, "no")
        }
        let reply = await endpoint.reply(to: Self.head, body: Array(reviewText.utf8))
        let question = asked.withLock { $0.first }
        let request = try #require(question)
        #expect(request.name == "blue")
        #expect(reply == .json(AdmissionReview.response(to: request, .refused(.forbidden, "no"))))
        #expect(reply.contentType == "application/json")
    }

    @Test func `The decision is not asked about what is no question`() async {
        let endpoint = AdmissionEndpoint { _ in
            Issue.record("asked")
            return .allowed()
        }
        #expect(
            await endpoint.reply(to: Self.head, body: Array("[]".utf8))
                == .text(400, "expected an object, found a list\n"))
    }

    @Test(arguments: 1...6 as ClosedRange<UInt64>)
    func `A spoiled question is answered, whatever it holds`(seed: UInt64) async {
        var generator = SeededGenerator(seed)
        let endpoint = AdmissionEndpoint { _ in .allowed() }
        let whole = Array(reviewText.utf8)
        for _ in 0..<200 {
            var body = whole
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let index = Int.random(in: 0..<body.count, using: &generator)
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: body[index] = UInt8.random(in: 0...255, using: &generator)
                case 1: body.removeSubrange(index..<min(index + 9, body.count - 1))
                case 2: body.insert(contentsOf: Array("{[\"\\u0000".utf8), at: index)
                default: body = Array(body.prefix(index + 1))
                }
            }
            let reply = await endpoint.reply(to: Self.head, body: body)
            #expect([200, 400].contains(reply.status))
            #expect(reply.body.isEmpty == false)
        }
    }
}
