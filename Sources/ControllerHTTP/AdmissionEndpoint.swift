import KubernetesCore

/// The validating webhook for pools, reservations, claims and blocks: `POST` to one of ``paths`` with an AdmissionReview of
/// admission.k8s.io/v1, which says itself what it is about.
///
/// Whatever is not such a question is answered with 400 and the reason in plain text, which the API server shows in its
/// own error; a body over the limit with 413, another path with 404, another method with 405. A question that could not
/// be decided in time is answered with 503.
package struct AdmissionEndpoint: Endpoint {
    package static let path = "/validate-ippools"
    package static let paths = [path, "/validate-ipreservations", "/validate-ipclaims", "/validate-ipblocks"]
    /// An object in etcd has at most 1.5 MiB, and a review holds two.
    package static let maximumBody = 3 << 20

    private let timeout: Duration
    private let decide: @Sendable (AdmissionRequest) async -> AdmissionAnswer

    /// - Parameters:
    ///   - timeout: Less than the `timeoutSeconds` of the webhook configuration, so that the API server hears why.
    ///   - decide: Ends soon after its task is cancelled, which happens after `timeout`.
    package init(
        within timeout: Duration = .seconds(4),
        decide: @escaping @Sendable (AdmissionRequest) async -> AdmissionAnswer
    ) {
        self.timeout = timeout
        self.decide = decide
    }

    package func admit(_ head: RequestHead) -> Admittance {
        guard Self.paths.contains(head.path) else { return .reply(.notFound) }
        guard head.method == "POST" else { return .reply(.methodNotAllowed(["POST"])) }
        guard Self.isJSON(head.contentType) else {
            let found = head.contentType.map { $0.debugDescription } ?? "none"
            return .reply(.text(400, "expected Content-Type application/json, found \(found)\n"))
        }
        return .withBody(limit: Self.maximumBody)
    }

    package func reply(to head: RequestHead, body: [UInt8]) async -> HTTPReply {
        do {
            let request = try AdmissionReview.request(body)
            guard let answer = await answer(to: request) else {
                return .text(503, "no decision within \(timeout.briefDescription)\n")
            }
            return .json(AdmissionReview.response(to: request, answer))
        } catch {
            return .text(400, "\(error)\n")
        }
    }

    private func answer(to request: AdmissionRequest) async -> AdmissionAnswer? {
        await withTaskGroup(of: AdmissionAnswer?.self) { group in
            group.addTask { await decide(request) }
            group.addTask {
                try? await Task.sleep(for: timeout)
                return nil
            }
            defer { group.cancelAll() }
            return await group.next() ?? nil
        }
    }

    /// With or without parameters such as `charset=utf-8` (RFC 9110, section 8.3.1).
    private static func isJSON(_ contentType: String?) -> Bool {
        let type = contentType?.prefix { $0 != ";" && $0 != " " && $0 != "\t" }
        return type?.lowercased() == "application/json"
    }
}
