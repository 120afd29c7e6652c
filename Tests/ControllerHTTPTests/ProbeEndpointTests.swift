import ControllerHTTP
import Testing

@Suite struct ProbeEndpointTests {
    static func endpoint(_ checks: [ReadinessCheck] = []) -> ProbeEndpoint {
        let metrics = MetricsRegistry()
        metrics.counter("c", help: "C.").increment()
        return ProbeEndpoint(metrics: metrics) { checks }
    }

    static func get(_ path: String, _ checks: [ReadinessCheck] = []) async -> HTTPReply {
        await endpoint(checks).reply(to: RequestHead(method: "GET", path: path), body: [])
    }

    @Test(arguments: [
        ("GET", "/healthz", 200), ("HEAD", "/readyz", 200), ("GET", "/metrics", 200), ("POST", "/metrics", 405),
        ("DELETE", "/healthz", 405), ("get", "/healthz", 405), ("GET", "/", 404), ("GET", "/healthz/", 404),
        ("GET", "//healthz", 404), ("POST", "/validate-ippools", 404),
    ])
    func `Only three paths are served, to be read`(method: String, path: String, status: Int) {
        let admittance = Self.endpoint().admit(RequestHead(method: method, path: path))
        guard case .reply(let reply) = admittance else {
            #expect(admittance == .withoutBody && status == 200)
            return
        }
        #expect(reply.status == status)
        #expect(reply.allowedMethods == (status == 405 ? ["GET", "HEAD"] : []))
    }

    @Test func `The process is healthy while it answers, ready or not`() async {
        #expect(await Self.get("/healthz", [ReadinessCheck("stores", problem: "not synced")]) == .text(200, "ok"))
    }

    @Test func `Readiness lists its checks`() async {
        let ready = [ReadinessCheck("stores"), ReadinessCheck("certificate")]
        #expect(
            await Self.get("/readyz", ready) == .text(200, "[+]stores ok\n[+]certificate ok\nreadyz check passed\n"))
        let waiting = [ReadinessCheck("stores", problem: "pods not synced"), ReadinessCheck("certificate")]
        #expect(
            await Self.get("/readyz", waiting)
                == .text(503, "[-]stores not ready: pods not synced\n[+]certificate ok\nreadyz check failed\n"))
        #expect(await Self.get("/readyz") == .text(200, "readyz check passed\n"))
    }

    @Test func `Metrics come in the format that they name`() async {
        let expected = HTTPReply.text(
            200, "# HELP c C.\n# TYPE c counter\nc 1\n", contentType: "text/plain; version=0.0.4; charset=utf-8")
        #expect(await Self.get("/metrics") == expected)
    }
}
