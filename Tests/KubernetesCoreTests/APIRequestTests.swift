import JSONText
import KubernetesCore
import Testing

@Suite struct APIRequestTests {
    struct Example: Sendable, CustomTestStringConvertible {
        let request: APIRequest
        let method: String
        let target: String
        let headers: [String]
        let body: String?
        let subject: String

        init(
            _ request: APIRequest, _ method: String, _ target: String, _ headers: [String], body: String? = nil,
            _ subject: String
        ) {
            self.request = request
            self.method = method
            self.target = target
            self.headers = headers
            self.body = body
            self.subject = subject
        }

        var testDescription: String { "\(method) \(target)" }
    }

    static let accept = "Accept: application/json"
    static let json = "Content-Type: application/json"
    static let object: JSON = ["metadata": ["name": "a"]]

    static let reads: [Example] = [
        Example(
            .get(.pods, namespace: "default", name: "web-0"), "GET", "/api/v1/namespaces/default/pods/web-0",
            [accept], "get pods \"default/web-0\""),
        Example(.get(.nodes, name: "n1"), "GET", "/api/v1/nodes/n1", [accept], "get nodes \"n1\""),
        Example(
            .get(.berths, name: "10.0.0.1", metadataOnly: true), "GET",
            "/apis/ipam.berth.dev/v1alpha1/ipallocations/10.0.0.1",
            ["Accept: application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"],
            "get ipallocations.ipam.berth.dev \"10.0.0.1\""),
        Example(
            .get(.leases, namespace: "kube-system", name: "a b/c"), "GET",
            "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/a%20b%2Fc", [accept],
            "get leases.coordination.k8s.io \"kube-system/a b/c\""),
        Example(.list(.pods), "GET", "/api/v1/pods", [accept], "list pods"),
        Example(
            .list(.pods, namespace: "default"), "GET", "/api/v1/namespaces/default/pods", [accept],
            "list pods in namespace \"default\""),
        Example(
            .list(
                .berths,
                options: ListOptions(
                    labelSelector: "a=b,c in (d,é)", fieldSelector: "spec.nodeName=n1", limit: 10,
                    continueToken: "x+y=", resourceVersion: "0", form: .metadata)), "GET",
            "/apis/ipam.berth.dev/v1alpha1/ipallocations?labelSelector=a%3Db%2Cc%20in%20%28d%2C%C3%A9%29"
                + "&fieldSelector=spec.nodeName%3Dn1&limit=10&continue=x%2By%3D&resourceVersion=0",
            ["Accept: application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"],
            "list ipallocations.ipam.berth.dev"),
        Example(
            .list(.berths, options: ListOptions(resourceVersion: "0", form: .table)), "GET",
            "/apis/ipam.berth.dev/v1alpha1/ipallocations?resourceVersion=0&includeObject=None",
            ["Accept: application/json;as=Table;g=meta.k8s.io;v=v1,application/json"],
            "list ipallocations.ipam.berth.dev"),
    ]

    static let writes: [Example] = [
        Example(
            .create(.berths, name: "10.0.0.1", object: object), "POST", "/apis/ipam.berth.dev/v1alpha1/ipallocations",
            [accept, json], body: #"{"metadata":{"name":"a"}}"#,
            "create ipallocations.ipam.berth.dev \"10.0.0.1\""),
        Example(
            .create(.events, namespace: "d", name: nil, object: object), "POST", "/api/v1/namespaces/d/events",
            [accept, json], body: #"{"metadata":{"name":"a"}}"#, "create events in namespace \"d\""),
        // With a subresource the name belongs to the path.
        Example(
            .create(.serviceAccounts, namespace: "d", name: "sa", object: [:], subresource: "token"), "POST",
            "/api/v1/namespaces/d/serviceaccounts/sa/token", [accept, json], body: "{}",
            "create serviceaccounts/token \"d/sa\""),
        Example(
            .update(
                .berths, name: "a", object: object, subresource: "status",
                options: WriteOptions(dryRun: true, timeout: .milliseconds(8999), fieldManager: "berth")), "PUT",
            "/apis/ipam.berth.dev/v1alpha1/ipallocations/a/status?dryRun=All&fieldManager=berth&timeout=8s",
            [accept, json], body: #"{"metadata":{"name":"a"}}"#,
            "update ipallocations.ipam.berth.dev/status \"a\""),
        Example(
            .patch(.nodes, name: "n", patch: .merge(["a": nil])), "PATCH", "/api/v1/nodes/n",
            [accept, "Content-Type: application/merge-patch+json"], body: #"{"a":null}"#, "patch nodes \"n\""),
        Example(
            .patch(.nodes, name: "n", patch: .json([["op": "remove", "path": "/a"]])), "PATCH", "/api/v1/nodes/n",
            [accept, "Content-Type: application/json-patch+json"], body: #"[{"op":"remove","path":"/a"}]"#,
            "patch nodes \"n\""),
        Example(
            .patch(.nodes, name: "n", patch: .apply(object, fieldManager: "me", force: true)), "PATCH",
            "/api/v1/nodes/n?fieldManager=me&force=true",
            [accept, "Content-Type: application/apply-patch+yaml"], body: #"{"metadata":{"name":"a"}}"#,
            "patch nodes \"n\""),
        // The server reads no options of a delete from the query when there is a body, but for the timeout.
        Example(
            .delete(
                .berths, name: "a", preconditions: Preconditions(uid: "u", resourceVersion: "7"),
                options: WriteOptions(dryRun: true, timeout: .seconds(2))), "DELETE",
            "/apis/ipam.berth.dev/v1alpha1/ipallocations/a?timeout=2s", [accept, json],
            body: #"{"kind":"DeleteOptions","apiVersion":"v1","preconditions":{"uid":"u","resourceVersion":"7"},"#
                + #""dryRun":["All"]}"#,
            "delete ipallocations.ipam.berth.dev \"a\""),
        Example(
            .delete(.pods, namespace: "d", name: "a", preconditions: nil), "DELETE", "/api/v1/namespaces/d/pods/a",
            [accept, json], body: #"{"kind":"DeleteOptions","apiVersion":"v1"}"#, "delete pods \"d/a\""),
    ]

    @Test(arguments: reads + writes)
    func `A request has the method, target, headers and body that the server expects`(_ example: Example) {
        let request = example.request
        #expect(request.method.rawValue == example.method)
        #expect(request.pathAndQuery == example.target)
        #expect(request.headers.map { "\($0.name): \($0.value)" } == example.headers)
        #expect(request.body.map { String(decoding: $0, as: UTF8.self) } == example.body)
        #expect("\(request.subject)" == example.subject)
    }

    @Test func `Only writes are mutations`() {
        #expect(Self.reads.allSatisfy { !$0.request.isMutation })
        #expect(Self.writes.allSatisfy { $0.request.isMutation })
    }

    @Test(arguments: [
        // Nine tenths, in whole seconds; below one second in milliseconds, never zero.
        (10_000, "9s"), (9_000, "8s"), (1_200, "1s"), (1_000, "900ms"), (100, "90ms"), (1, "1ms"), (0, "1ms"),
        (-500, "1ms"),
    ])
    func `A limited write carries a timeout below the time that is left`(milliseconds: Int, value: String) {
        let request = createBerth.limited(to: .milliseconds(milliseconds))
        #expect(request.query == [APIRequest.QueryItem("timeout", value)])
        #expect(request.limited(to: .milliseconds(milliseconds)) == request)
    }

    @Test func `A shorter timeout stays, a longer one does not`() {
        func request(_ timeout: Duration) -> APIRequest {
            .create(.berths, name: "a", object: [:], options: WriteOptions(timeout: timeout))
        }
        #expect(request(.seconds(2)).limited(to: .seconds(10)).pathAndQuery.hasSuffix("?timeout=2s"))
        #expect(request(.milliseconds(200)).limited(to: .seconds(10)).pathAndQuery.hasSuffix("?timeout=200ms"))
        #expect(request(.seconds(60)).limited(to: .seconds(10)).pathAndQuery.hasSuffix("?timeout=9s"))
    }

    @Test func `A read carries no timeout`() {
        #expect(getBerth.limited(to: .seconds(5)) == getBerth)
    }

    static let versioned: JSON = ["metadata": ["resourceVersion": "1"]]

    static let conditionalRequests: [APIRequest] = [
        .update(.nodes, name: "n", object: versioned),
        .patch(.nodes, name: "n", patch: .merge(versioned)),
        .patch(.nodes, name: "n", patch: .json([["op": "test", "path": "/metadata/resourceVersion", "value": "1"]])),
        .delete(.nodes, name: "n", preconditions: Preconditions(uid: "u")),
    ]

    static let unconditionalRequests: [APIRequest] = [
        .create(.nodes, name: "n", object: versioned),
        .update(.nodes, name: "n", object: ["metadata": ["resourceVersion": ""]]),
        .patch(.nodes, name: "n", patch: .merge(["metadata": ["uid": "u"]])),
        .delete(.nodes, name: "n", preconditions: nil),
        .delete(.nodes, name: "n", preconditions: Preconditions()),
    ]

    @Test(arguments: conditionalRequests)
    func `A request is conditional when it names the state that it applies to`(_ request: APIRequest) {
        #expect(request.isConditional)
    }

    @Test(arguments: unconditionalRequests)
    func `Other requests are not conditional`(_ request: APIRequest) {
        #expect(!request.isConditional)
    }

    @Test func `A conditional patch writes the uid and the resourceVersion that were read`() {
        let metadata = ObjectMetadata(name: "a", uid: "u", resourceVersion: "7")
        let pin: JSON = ["labels": ["x": "y"], "uid": "u", "resourceVersion": "7"]
        #expect(
            Patch.merge(["metadata": ["labels": ["x": "y"], "uid": "other"]]).conditional(on: metadata)
                == .merge(["metadata": pin]))
        #expect(
            Patch.apply(["metadata": ["labels": ["x": "y"]]], fieldManager: "m", force: false)
                .conditional(on: metadata) == .apply(["metadata": pin], fieldManager: "m", force: false))
        #expect(
            Patch.json([["op": "remove", "path": "/a"]]).conditional(on: metadata)
                == .json([
                    ["op": "remove", "path": "/a"],
                    ["op": "add", "path": "/metadata/uid", "value": "u"],
                    ["op": "add", "path": "/metadata/resourceVersion", "value": "7"],
                ]))
    }
}
