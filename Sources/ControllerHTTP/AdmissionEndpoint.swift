/// The validating webhook for pools: `POST /validate-ippools` with an AdmissionReview of admission.k8s.io/v1.
///
/// Whatever is not such a question is answered with 400 and the reason in plain text, which the API server shows in its
/// own error; a body over the limit with 413, another path with 404, another method with 405.
package struct AdmissionEndpoint: Endpoint {
    package static let path = "/validate-ippools"
    /// An object in etcd has at most 1.5 MiB, and a review holds two.
    package static let maximumBody = 3 << 20

    private let decide: @Sendable (AdmissionRequest) async -> AdmissionAnswer

    package init(decide: @escaping @Sendable (AdmissionRequest) async -> AdmissionAnswer) { self.decide = decide }

    package func admit(_ head: RequestHead) -> Admittance {
        guard head.path == Self.path else { return .reply(.notFound) }
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
            return .json(AdmissionReview.response(to: request, await decide(request)))
        } catch {
            return .text(400, "\(error)\n")
        }
    }

    /// With or without parameters such as `charset=utf-8` (RFC 9110, section 8.3.1).
    private static func isJSON(_ contentType: String?) -> Bool {
        let type = contentType?.prefix { $0 != ";" && $0 != " " && $0 != "\t" }
        return type?.lowercased() == "application/json"
    }
}
