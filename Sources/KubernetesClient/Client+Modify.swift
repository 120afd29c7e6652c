package import JSONText
package import KubernetesCore

extension Client {
    /// Changes one object, on condition that nobody else does at the same time; see `CompareAndSwap`.
    ///
    /// - Parameters:
    ///   - starting: The object as read before; nil to begin with a read.
    ///   - decide: Asked with each state that was read. It must recognise a change that it made before.
    /// - Throws: What `decide` throws, or an APIError; at the deadline the error of the last attempt.
    package func modify(
        _ type: ResourceType, namespace: String? = nil, name: String, starting: JSON? = nil,
        subresource: String? = nil, deadline: Moment, decide: (JSON) throws -> Change
    ) throws -> ChangeOutcome {
        try withoutActuallyEscaping(decide) { decide in
            let start = transport.now()
            var conversations = [
                CompareAndSwap(
                    type, namespace: namespace, name: name, starting: starting, subresource: subresource,
                    backoff: backoff, decide: decide)
            ]
            transport.drive(&conversations, deadline: deadline) { _ in }
            let conversation = conversations[0]
            conversations = []
            if case .success(let outcome) = conversation.result { return outcome }
            if case .failure(let error) = conversation.result, !(error is APIError) { throw error }
            throw conversation.failure(elapsed: transport.now() - start)
        }
    }
}

extension CompareAndSwap {
    /// Why there is no outcome, where the reason is not what `decide` threw. `elapsed` is how long it was driven.
    package func failure(elapsed: Duration) -> APIError {
        let last: APIError =
            if case .failure(let error as APIError) = result {
                error
            } else {
                lastError
                    ?? .transport(
                        TransportFailure(
                            kind: .timeout, message: "the deadline had passed before anything was sent",
                            mayHaveBeenSent: false), subject)
            }
        guard attempts > 1 else { return last }
        return .gaveUp(
            APIError.Attempts(count: attempts, elapsed: elapsed, mayHaveCommitted: mayHaveCommitted), last: last)
    }
}
