package import ControllerHTTP
package import KubernetesClient
package import KubernetesCore

/// Counts the requests to the API server, but for watches and lists of the stores.
package struct APIRequestMetrics: Sendable {
    private let requests: MetricFamily<Counter>

    package init(_ registry: MetricsRegistry) {
        requests = registry.counters(
            "berth_api_requests_total", help: "Requests to the API server, but for those of the watches.",
            labels: [
                .oneOf("verb", ["get", "list", "create", "update", "patch", "delete"]), .first(40, "code"),
            ])
    }

    func count(_ request: APIRequest, _ reply: Reply) {
        let code =
            switch reply {
            case .success(let response): "\(response.status)"
            case .failure(let failure): failure.kind.rawValue
            }
        requests[request.subject.verb.rawValue, code].increment()
    }
}

package struct CountingTransport: AsyncTransport {
    private let base: any AsyncTransport
    private let metrics: APIRequestMetrics

    package init(_ base: any AsyncTransport, _ metrics: APIRequestMetrics) {
        self.base = base
        self.metrics = metrics
    }

    package func perform(_ request: APIRequest, deadline: Moment) async -> Reply {
        let reply = await base.perform(request, deadline: deadline)
        metrics.count(request, reply)
        return reply
    }
}
