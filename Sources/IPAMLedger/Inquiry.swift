import JSONText
import KubernetesClient
import KubernetesCore

/// One request that may be made twice without harm, repeated while its failures may pass.
///
/// A server that does not know the kind of object is asked ``maximumUnserved`` times: one that is starting soon knows it,
/// and one that lacks it makes nobody wait.
struct Inquiry: Conversation {
    static let maximumUnserved = 4

    let request: APIRequest
    /// It can do without: a server that does not know the kind is asked once.
    private let isOptional: Bool
    private(set) var result: Result<JSON, LedgerError>?
    private var attempts = 0
    private var unserved = 0
    private var lastError: APIError?
    private var pause: Duration?

    init(_ request: APIRequest, isOptional: Bool = false) {
        self.request = request
        self.isOptional = isOptional
    }

    mutating func next(remaining: Duration) -> ConversationStep {
        if result != nil { return .finished }
        if let pause {
            self.pause = nil
            return .pause(pause)
        }
        return .send(request.limited(to: remaining))
    }

    mutating func receive(_ answer: Result<JSON, APIError>, wasSentTwice: Bool) {
        attempts += 1
        switch answer {
        case .success(let json):
            result = .success(json)
        case .failure(let error):
            lastError = error.orEarlier(lastError)
            if error.isUnserved { unserved += 1 }
            let limit = isOptional ? 1 : Self.maximumUnserved
            guard case .transient(let retryAfter) = error.disposition, unserved < limit else {
                result = .failure(.api(error, attempts: attempts))
                return
            }
            var generator = SystemRandomNumberGenerator()
            let backoff = Backoff()
            pause = max(backoff.bounded(retryAfter), backoff.delay(attempt: attempts, using: &generator))
        }
    }

    /// The server did not know the kind of object, at first or for good.
    var wasUnserved: Bool { unserved > 0 }

    /// The result, or, when the deadline came first, what was tried until then.
    var outcome: Result<JSON, LedgerError> {
        if let result { return result }
        guard let lastError else { return .failure(.deadline("\(request.subject) was not answered")) }
        return .failure(.api(lastError, attempts: attempts))
    }
}

extension Result where Failure == LedgerError {
    func orThrow() throws(LedgerError) -> Success {
        switch self {
        case .success(let value): value
        case .failure(let error): throw error
        }
    }

    /// The value, or nil where the API server has proved that there is no such object.
    func unlessNotFound() throws(LedgerError) -> Success? {
        switch self {
        case .success(let value): return value
        case .failure(.api(let error, _)) where error.isNotFound: return nil
        case .failure(let error): throw error
        }
    }
}

extension Ledger {
    /// Makes requests side by side, over one connection, until every one is settled or the deadline passes.
    func ask(_ requests: [APIRequest], deadline: Moment) -> [Result<JSON, LedgerError>] {
        inquire(requests, deadline: deadline) { _ in false }.map(\.outcome)
    }

    /// The same, where some requests can do without an answer from a server that does not know the kind.
    func inquire(
        _ requests: [APIRequest], deadline: Moment, isOptional: (APIRequest) -> Bool
    ) -> [Inquiry] {
        var inquiries = requests.map { Inquiry($0, isOptional: isOptional($0)) }
        transport.drive(&inquiries, deadline: deadline) { _ in }
        return inquiries
    }
}

/// Runs an operation of the journal; its failure is one of the ledger.
func journaled<Value: ~Copyable>(_ operation: () throws(JournalError) -> Value) throws(LedgerError) -> Value {
    do throws(JournalError) {
        return try operation()
    } catch {
        throw .journal(error)
    }
}
