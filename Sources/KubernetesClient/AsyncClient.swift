package import JSONText
package import KubernetesCore

/// The verbs of the API for long-lived programs, with the retries and errors of `Client`.
///
/// A cancelled task ends a request, or the pause before the next attempt, with a transport failure `.cancelled`. Whether
/// the server carries out what it had been sent is then open, as `APIError.mayHaveCommitted` says.
package struct AsyncClient: Sendable {
    package let transport: any AsyncTransport
    package let clock: any AsyncClock
    let backoff: Backoff

    package init(_ transport: any AsyncTransport, clock: any AsyncClock = BootClock(), backoff: Backoff = Backoff()) {
        self.transport = transport
        self.clock = clock
        self.backoff = backoff
    }

    package func perform(_ request: APIRequest, deadline: Moment) async throws(APIError) -> JSON {
        var retries = Retries(start: clock.now(), deadline: deadline, backoff: backoff)
        var generator = SystemRandomNumberGenerator()
        while true {
            let remaining = deadline - clock.now()
            let reply = await transport.perform(request.limited(to: remaining), deadline: deadline)
            switch interpret(reply, to: request) {
            case .success(let object): return object
            case .failure(let failure):
                let resumption = try retries.next(
                    after: failure, of: request, now: clock.now(), using: &generator)
                do {
                    try await clock.sleep(until: resumption)
                } catch {
                    throw retries.ended(by: failure.cancelled, now: clock.now())
                }
            }
        }
    }

    package func get(
        _ type: ResourceType, namespace: String? = nil, name: String, metadataOnly: Bool = false, deadline: Moment
    ) async throws(APIError) -> JSON {
        try await perform(
            .get(type, namespace: namespace, name: name, metadataOnly: metadataOnly), deadline: deadline)
    }

    /// `name` as in `APIRequest.create`.
    package func create(
        _ type: ResourceType, namespace: String? = nil, name: String?, object: JSON, subresource: String? = nil,
        options: WriteOptions = WriteOptions(), deadline: Moment
    ) async throws(APIError) -> JSON {
        try await perform(
            .create(
                type, namespace: namespace, name: name, object: object, subresource: subresource, options: options),
            deadline: deadline)
    }

    package func patch(
        _ type: ResourceType, namespace: String? = nil, name: String, patch: Patch, subresource: String? = nil,
        options: WriteOptions = WriteOptions(), deadline: Moment
    ) async throws(APIError) -> JSON {
        try await perform(
            .patch(type, namespace: namespace, name: name, patch: patch, subresource: subresource, options: options),
            deadline: deadline)
    }

    /// The answer is the object while finalizers keep it, otherwise a Status or the object as it was.
    @discardableResult
    package func delete(
        _ type: ResourceType, namespace: String? = nil, name: String, preconditions: Preconditions?,
        options: WriteOptions = WriteOptions(), deadline: Moment
    ) async throws(APIError) -> JSON {
        try await perform(
            .delete(type, namespace: namespace, name: name, preconditions: preconditions, options: options),
            deadline: deadline)
    }

    /// One answer to a list: everything, or one page when `options` has a limit.
    package func list(
        _ type: ResourceType, namespace: String? = nil, options: ListOptions = ListOptions(), deadline: Moment
    ) async throws(APIError) -> ObjectList {
        let request = APIRequest.list(type, namespace: namespace, options: options)
        let json = try await perform(request, deadline: deadline)
        do {
            return try ObjectList(json)
        } catch {
            throw .undecodable("\(error)", request.subject)
        }
    }

    /// Changes one object, on condition that nobody else does at the same time; see `CompareAndSwap`.
    ///
    /// - Parameters:
    ///   - starting: The object as read before; nil to begin with a read.
    ///   - decide: Asked with each state that was read. It must recognise a change that it made before.
    /// - Throws: What `decide` throws, or an APIError; at the deadline the error of the last attempt.
    package func modify(
        _ type: ResourceType, namespace: String? = nil, name: String, starting: JSON? = nil,
        subresource: String? = nil, deadline: Moment, decide: @escaping (JSON) throws -> Change
    ) async throws -> ChangeOutcome {
        let start = clock.now()
        var conversation = CompareAndSwap(
            type, namespace: namespace, name: name, starting: starting, subresource: subresource, backoff: backoff,
            decide: decide)
        await drive(&conversation, deadline: deadline)
        if case .success(let outcome) = conversation.result { return outcome }
        if case .failure(let error) = conversation.result, !(error is APIError) { throw error }
        throw conversation.failure(elapsed: clock.now() - start)
    }

    /// Drives one conversation; the counterpart of `Transport.drive`. It may be unfinished at the deadline, and when the
    /// task is cancelled.
    package func drive(_ conversation: inout some Conversation, deadline: Moment) async {
        while !Task.isCancelled {
            let remaining = deadline - clock.now()
            guard remaining > .zero else { return }
            switch conversation.next(remaining: remaining) {
            case .finished: return
            case .pause(let duration): try? await clock.sleep(until: min(clock.now() + duration, deadline))
            case .send(let request):
                let reply = await transport.perform(request, deadline: deadline)
                conversation.receive(
                    interpret(reply, to: request), wasSentTwice: (try? reply.get())?.wasSentTwice ?? false)
            }
        }
    }
}

extension APIError {
    /// The task that waited for the answer was cancelled.
    package var isCancellation: Bool {
        switch self {
        case .transport(let failure, _): failure.kind == .cancelled
        case .gaveUp(_, let last): last.isCancellation
        case .status, .notKubernetes, .undecodable: false
        }
    }

    /// The pause after this failure was cut short.
    fileprivate var cancelled: APIError {
        .transport(
            TransportFailure(kind: .cancelled, message: "cancelled after: \(self)", mayHaveBeenSent: mayHaveCommitted),
            subject)
    }
}
