package import JSONText
package import KubernetesCore

/// The verbs of the API, one request at a time, with retries.
///
/// Flow: what fails in a way that may pass is tried again, after a pause, until the deadline. A request that changes
/// something is tried again only when the failed attempt cannot have changed anything, or when a second success is
/// impossible because the request names the state that it applies to.
///
/// Errors: after more than one attempt `APIError.gaveUp`, which says how many there were, for how long, and whether the
/// change may have been made all the same. So a conditional request whose first answer was lost can end as a conflict
/// although its change was made.
package struct Client {
    package let transport: any Transport
    let backoff: Backoff

    package init(_ transport: any Transport, backoff: Backoff = Backoff()) {
        self.transport = transport
        self.backoff = backoff
    }

    /// Performs one request with the retries described above. One that changes something gets a `?timeout=` below the
    /// time that is left.
    package func perform(_ request: APIRequest, deadline: Moment) throws(APIError) -> JSON {
        var retries = Retries(start: transport.now(), deadline: deadline, backoff: backoff)
        var generator = SystemRandomNumberGenerator()
        while true {
            let remaining = deadline - transport.now()
            let reply = transport.perform([request.limited(to: remaining)], deadline: deadline)[0]
            switch interpret(reply, to: request) {
            case .success(let object): return object
            case .failure(let failure):
                let resumption = try retries.next(
                    after: failure, of: request, now: transport.now(), using: &generator)
                transport.sleep(until: resumption)
            }
        }
    }

    package func get(
        _ type: ResourceType, namespace: String? = nil, name: String, metadataOnly: Bool = false, deadline: Moment
    ) throws(APIError) -> JSON {
        try perform(
            .get(type, namespace: namespace, name: name, metadataOnly: metadataOnly), deadline: deadline)
    }

    /// `name` as in `APIRequest.create`.
    package func create(
        _ type: ResourceType, namespace: String? = nil, name: String?, object: JSON, subresource: String? = nil,
        options: WriteOptions = WriteOptions(), deadline: Moment
    ) throws(APIError) -> JSON {
        try perform(
            .create(
                type, namespace: namespace, name: name, object: object, subresource: subresource, options: options),
            deadline: deadline)
    }

    package func update(
        _ type: ResourceType, namespace: String? = nil, name: String, object: JSON, subresource: String? = nil,
        options: WriteOptions = WriteOptions(), deadline: Moment
    ) throws(APIError) -> JSON {
        try perform(
            .update(
                type, namespace: namespace, name: name, object: object, subresource: subresource, options: options),
            deadline: deadline)
    }

    package func updateStatus(
        _ type: ResourceType, namespace: String? = nil, name: String, object: JSON,
        options: WriteOptions = WriteOptions(), deadline: Moment
    ) throws(APIError) -> JSON {
        try update(
            type, namespace: namespace, name: name, object: object, subresource: "status", options: options,
            deadline: deadline)
    }

    package func patch(
        _ type: ResourceType, namespace: String? = nil, name: String, patch: Patch, subresource: String? = nil,
        options: WriteOptions = WriteOptions(), deadline: Moment
    ) throws(APIError) -> JSON {
        try perform(
            .patch(type, namespace: namespace, name: name, patch: patch, subresource: subresource, options: options),
            deadline: deadline)
    }

    /// The answer is the object while finalizers keep it, otherwise a Status or the object as it was.
    @discardableResult
    package func delete(
        _ type: ResourceType, namespace: String? = nil, name: String, preconditions: Preconditions?,
        options: WriteOptions = WriteOptions(), deadline: Moment
    ) throws(APIError) -> JSON {
        try perform(
            .delete(type, namespace: namespace, name: name, preconditions: preconditions, options: options),
            deadline: deadline)
    }
}
