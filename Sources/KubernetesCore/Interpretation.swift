package import JSONText

/// What a reply means for the request that it answers: the object, or why there is none.
///
/// Only JSON that is an object of the API counts as an answer; the answer to a delete may be a Status that reports
/// success. The header `Retry-After` is taken over into the Status.
package func interpret(_ reply: Reply, to request: APIRequest) -> Result<JSON, APIError> {
    let subject = request.subject
    switch reply {
    case .failure(let failure): return .failure(.transport(failure, subject))
    case .success(let response):
        if (200..<300).contains(response.status) { return object(of: response, subject) }
        return .failure(failure(of: response, subject))
    }
}

private func object(of response: HTTPResponse, _ subject: APIRequest.Subject) -> Result<JSON, APIError> {
    guard response.isJSON else { return .failure(response.notKubernetes(subject)) }
    do {
        // Who set which field is often half of an object, and nobody here asks. A write without it leaves it as it is.
        let json = try JSON(parsing: response.body, leavingOut: "managedFields")
        if let status = APIStatus(json) {
            guard status.code >= 400 else { return .failure(.undecodable("a Status that reports no success", subject)) }
            return .failure(.status(status, subject))
        }
        guard let kind = json["kind"]?.string, !kind.isEmpty, json["apiVersion"]?.string != nil else {
            return .failure(response.notKubernetes(subject))
        }
        return .success(json)
    } catch {
        return .failure(.undecodable("\(error)", subject))
    }
}

private func failure(of response: HTTPResponse, _ subject: APIRequest.Subject) -> APIError {
    let retryAfterSeconds = response.retryAfter.map { Int($0.components.seconds) }
    if response.isJSON, let json = try? JSON(parsing: response.body), var status = APIStatus(json) {
        status.code = response.status
        status.details.retryAfterSeconds = status.details.retryAfterSeconds ?? retryAfterSeconds
        return .status(status, subject)
    }
    if response.status == 429 {
        // The server's own overload and shutdown filters answer with plain text. Whoever says it, nothing was done.
        let details = APIStatus.Details(retryAfterSeconds: retryAfterSeconds)
        return .status(
            APIStatus(code: 429, reason: "TooManyRequests", message: response.excerpt, details: details), subject)
    }
    return response.notKubernetes(subject)
}

extension HTTPResponse {
    fileprivate var isJSON: Bool {
        guard let contentType else { return false }
        let type = contentType.prefix { $0 != ";" && $0 != " " }
        return type.lowercased() == "application/json"
    }

    fileprivate func notKubernetes(_ subject: APIRequest.Subject) -> APIError {
        .notKubernetes(httpStatus: status, excerpt: excerpt, subject)
    }

    /// The beginning of the body, fit for one line of a message.
    fileprivate var excerpt: String {
        let limit = 200
        var text = ""
        var isAfterSpace = true
        for scalar in String(decoding: body.prefix(4 * limit), as: UTF8.self).unicodeScalars {
            let isSpace = scalar.value <= 0x20 || scalar.value == 0x7F
            if isSpace, isAfterSpace { continue }
            guard text.unicodeScalars.count < limit else { return text + "…" }
            text.unicodeScalars.append(isSpace ? " " : scalar)
            isAfterSpace = isSpace
        }
        if text.last == " " { text.removeLast() }
        return text
    }
}
