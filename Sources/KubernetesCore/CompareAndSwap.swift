package import JSONText

/// What to do with an object in the state in which it was read.
package enum Change: Equatable, Sendable {
    case leave
    /// The object as it shall be. Its `metadata.uid` and `metadata.resourceVersion` are set to those that were read.
    case update(JSON)
    /// Made conditional on the state that was read.
    case patch(Patch)
    case delete
}

/// How a conditional change ended.
package enum ChangeOutcome: Equatable, Sendable {
    /// The change was made. Holds the object after it, or nil after a delete.
    case done(JSON?)
    /// The decision was to leave the object as it is.
    case left
    /// The object is not there, whoever deleted it.
    case gone
}

/// Changes one object on condition that nobody else does at the same time: the one way in which Berth writes to an
/// object that exists.
///
/// Flow: read (unless a state is known already), decide, write on condition of the `uid` and `resourceVersion` that
/// were read. A conflict leads back to reading, at once the first time and then after a growing pause.
///
/// Guarantees: a change is made only to the state that `decide` saw. No write is sent twice by this machine: after a
/// failure that leaves open whether a write was committed it reads again and decides anew. At most `maximumConflicts`
/// conflicts are answered by another attempt; failures that may pass are repeated for as long as it is driven.
///
/// Assumptions: `decide` has no side effects and recognises its own work: when a write was committed but its answer was
/// lost, it sees the outcome and returns `.leave`.
///
/// Caveats: a delete whose answer was lost ends as `.gone`. For an object with finalizers `.done` after a delete means
/// that the deletion has begun.
///
/// Errors: `result` holds what `decide` threw, or the APIError that nothing can be done about.
package struct CompareAndSwap: Conversation {
    private enum State {
        case read
        case write(Change, ObjectMetadata)
        case pause(Duration)
        case finished
    }

    private let type: ResourceType
    private let namespace: String?
    private let name: String
    private let subresource: String?
    private let maximumConflicts: Int
    private let backoff: Backoff
    private let decide: (JSON) throws -> Change
    private var generator: any RandomNumberGenerator

    private var state = State.read
    private var conflicts = 0
    private var failuresInARow = 0

    /// Nil until it is finished.
    package private(set) var result: Result<ChangeOutcome, any Error>?

    /// How the latest request failed, also when that was answered by another attempt: what to report when the deadline
    /// ends the conversation.
    package private(set) var lastError: APIError?

    /// A write was sent, how it ended is not known, and the object was not seen to have changed since: the write may
    /// have been made, or may yet be.
    package var mayHaveCommitted: Bool { unresolvedWrite != nil }

    /// The `resourceVersion` on whose condition that write was sent. Once the object has another one, it is settled.
    private var unresolvedWrite: String?

    /// How many requests were answered.
    package private(set) var attempts = 0

    /// - Parameters:
    ///   - starting: The object as read before; nil to begin with a read. When it is stale, that costs one request.
    ///   - subresource: For updates and patches, for example `status`.
    package init(
        _ type: ResourceType, namespace: String? = nil, name: String, starting: JSON? = nil,
        subresource: String? = nil, maximumConflicts: Int = 10, backoff: Backoff = Backoff(),
        generator: any RandomNumberGenerator = SystemRandomNumberGenerator(),
        decide: @escaping (JSON) throws -> Change
    ) {
        self.type = type
        self.namespace = namespace
        self.name = name
        self.subresource = subresource
        self.maximumConflicts = maximumConflicts
        self.backoff = backoff
        self.generator = generator
        self.decide = decide
        if let starting { consider(starting) }
    }

    /// The read with which it begins, for messages about the whole.
    package var subject: APIRequest.Subject { readRequest.subject }

    private var readRequest: APIRequest { .get(type, namespace: namespace, name: name) }

    package mutating func next(remaining: Duration) -> ConversationStep {
        switch state {
        case .read: return .send(readRequest)
        case .write(let change, let metadata):
            guard let request = request(for: change, metadata) else { return .finished }
            return .send(request.limited(to: remaining))
        case .pause(let duration):
            state = .read
            return .pause(duration)
        case .finished: return .finished
        }
    }

    private func request(for change: Change, _ metadata: ObjectMetadata) -> APIRequest? {
        switch change {
        case .leave: return nil
        case .update(var object):
            var pinned = object["metadata"] ?? [:]
            pinned["uid"] = .string(metadata.uid)
            pinned["resourceVersion"] = .string(metadata.resourceVersion)
            object["metadata"] = pinned
            return .update(type, namespace: namespace, name: name, object: object, subresource: subresource)
        case .patch(let patch):
            return .patch(
                type, namespace: namespace, name: name, patch: patch.conditional(on: metadata),
                subresource: subresource)
        case .delete:
            let preconditions = Preconditions(uid: metadata.uid, resourceVersion: metadata.resourceVersion)
            return .delete(type, namespace: namespace, name: name, preconditions: preconditions)
        }
    }

    package mutating func receive(_ result: Result<JSON, APIError>, wasSentTwice: Bool) {
        attempts += 1
        switch (state, result) {
        case (.read, .success(let object)):
            failuresInARow = 0
            consider(object)
        case (.write(let change, _), .success(let object)):
            unresolvedWrite = nil
            finish(.success(.done(change == .delete ? Optional.none : object)))
        case (.read, .failure(let error)): recover(from: error)
        case (.write(_, let metadata), .failure(let error)):
            if error.mayHaveCommitted { unresolvedWrite = metadata.resourceVersion }
            recover(from: error)
        case (.pause, _), (.finished, _): preconditionFailure("an answer without a request")
        }
    }

    private mutating func consider(_ object: JSON) {
        do throws(JSONDecodingError) {
            let metadata = try ObjectMetadata(JSONFields(object))
            guard !metadata.uid.isEmpty, !metadata.resourceVersion.isEmpty else {
                throw JSONDecodingError(path: "metadata", problem: "without uid or resourceVersion")
            }
            if metadata.resourceVersion != unresolvedWrite { unresolvedWrite = nil }
            decide(about: object, metadata)
        } catch {
            finish(.failure(APIError.undecodable("\(error)", subject)))
        }
    }

    private mutating func decide(about object: JSON, _ metadata: ObjectMetadata) {
        do {
            let change = try decide(object)
            if change == .leave { finish(.success(.left)) } else { state = .write(change, metadata) }
        } catch {
            finish(.failure(error))
        }
    }

    private mutating func recover(from error: APIError) {
        lastError = error
        switch error.disposition {
        case .notFound:
            unresolvedWrite = nil
            finish(.success(.gone))
        case .conflict, .alreadyExists:
            conflicts += 1
            guard conflicts <= maximumConflicts else { return finish(.failure(error)) }
            failuresInARow = 0
            state = conflicts == 1 ? .read : .pause(backoff.delay(attempt: conflicts - 2, using: &generator))
        case .transient(let retryAfter):
            let delay = backoff.delay(attempt: failuresInARow, using: &generator)
            failuresInARow += 1
            state = .pause(max(delay, backoff.bounded(retryAfter)))
        case .expired, .invalid, .stop: finish(.failure(error))
        }
    }

    private mutating func finish(_ result: Result<ChangeOutcome, any Error>) {
        state = .finished
        self.result = result
    }
}
