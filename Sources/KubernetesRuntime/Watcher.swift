import JSONText
package import KubernetesClient
package import KubernetesCore

/// What a watcher tells whoever runs it, for logs and metrics.
package enum WatcherReport: Sendable {
    /// A list was complete and is in the store.
    case listed(count: Int, resourceVersion: String)
    /// A watch is open. True when it goes on from an earlier one.
    case watching(resumes: Bool)
    /// It will try again at the moment.
    case failed(APIError, until: Moment)
    /// The watch can go on only by a new list.
    case relisting(APIError)
    /// An object without a name: it is left out. Other unreadable objects are reported by the store.
    case unreadable(ObjectProblem)
}

/// Keeps a store equal to what the API server has: the shell of `WatcherStateMachine`, which decides everything.
///
/// Flow: `run` performs the machine's actions one after the other: streams a list and stages its items as they arrive,
/// reads a watch line by line, pauses.
///
/// Guarantees: in memory stands at most one unfinished object and one megabyte of bytes beside the store. The store is
/// never cleared: while the server cannot be reached it keeps what was known. A watch that stays silent longer than
/// `WatcherLimits.stall` is given up, and so is a connection whose other end is gone.
///
/// Assumptions: nobody else writes to the store.
///
/// Caveats: `run` returns only when its task is cancelled.
///
/// Errors: reported and waited out, none is thrown.
package struct Watcher<Value: Sendable>: Sendable {
    private let scope: WatchScope
    private let limits: WatcherLimits
    private let connection: AsyncConnection
    private let store: ObjectStore<Value>
    private let clock: any AsyncClock
    private let generator: any RandomNumberGenerator & Sendable
    private let report: @Sendable (WatcherReport) -> Void

    package init(
        _ scope: WatchScope, on connection: AsyncConnection, into store: ObjectStore<Value>,
        limits: WatcherLimits = WatcherLimits(), clock: any AsyncClock = BootClock(),
        generator: any RandomNumberGenerator & Sendable = SystemRandomNumberGenerator(),
        report: @escaping @Sendable (WatcherReport) -> Void = { _ in }
    ) {
        self.scope = scope
        self.limits = limits
        self.connection = connection
        self.store = store
        self.clock = clock
        self.generator = generator
        self.report = report
    }

    package func run() async throws {
        var machine = WatcherStateMachine(scope, limits: limits)
        var generator = generator
        var reader: WatchReader?
        var event: WatchEvent?
        var hasWatched = false
        var input = WatcherStateMachine.Input.start
        while true {
            if Task.isCancelled { input = .stop }
            let action = machine.handle(input, now: clock.now(), using: &generator)
            if case .failed(let error) = input { tell(error, action) }
            switch action {
            case .list(let options, let begins):
                reader = nil
                if begins { store.beginResync() }
                input = await list(options)
            case .commit(let version):
                store.commitResync(resourceVersion: version)
                hasWatched = false
                report(.listed(count: store.count, resourceVersion: version))
                input = .committed
            case .watch(let options):
                reader = nil
                (reader, input) = await open(options)
                if reader != nil {
                    report(.watching(resumes: hasWatched))
                    hasWatched = true
                }
            case .apply, .read:
                if action == .apply, let event, let problem = store.apply(event) { report(.unreadable(problem)) }
                (event, input) = await reader?.next() ?? (nil, .ended)
            case .pause(let moment):
                reader = nil
                try? await clock.sleep(until: moment)
                input = .resumed
            case .stop: return
            case .ignore: preconditionFailure("an input that answers no action: \(input)")
            }
        }
    }

    private func tell(_ error: APIError, _ action: WatcherStateMachine.Action) {
        switch action {
        case .pause(let until): report(.failed(error, until: until))
        case .list: report(.relisting(error))
        case .commit, .watch, .apply, .read, .stop, .ignore: break
        }
    }

    private func list(_ options: ListOptions) async -> WatcherStateMachine.Input {
        let request = APIRequest.list(scope.type, namespace: scope.namespace, options: options)
        do {
            let stream = try await opened(request, StreamLimits())
            var framing = ListFraming()
            var chunks = stream.body.makeAsyncIterator()
            while let chunk = try await chunks.next(isolation: nil) {
                for problem in store.stage(try framing.append(chunk)) { report(.unreadable(problem)) }
            }
            let envelope = try framing.finish()
            if let status = APIStatus(envelope) { return .failed(.status(status, request.subject)) }
            let list = try ObjectList(envelope)
            return .page(resourceVersion: list.resourceVersion, continueToken: list.continueToken)
        } catch {
            return .failed(APIError(error, request.subject))
        }
    }

    private func open(_ options: WatchOptions) async -> (WatchReader?, WatcherStateMachine.Input) {
        let request = APIRequest.watch(scope.type, namespace: scope.namespace, options: options)
        do {
            let head = min(StreamLimits().head, limits.stall)
            let stream = try await opened(request, StreamLimits(head: head, stall: limits.stall))
            return (WatchReader(stream.body, request.subject), .opened)
        } catch {
            return (nil, .failed(APIError(error, request.subject)))
        }
    }

    /// The answer, once its head says that it is the one that was asked for.
    private func opened(_ request: APIRequest, _ limits: StreamLimits) async throws -> ResponseStream {
        let stream = try await connection.stream(request, limits: limits)
        if stream.head.status == 200 { return stream }
        switch interpret(.success(try await stream.collected()), to: request) {
        case .failure(let error): throw error
        case .success: throw APIError.undecodable("an object where a list or watch was asked for", request.subject)
        }
    }
}

/// Reads a watch line by line.
private struct WatchReader {
    private var chunks: ResponseBody.Iterator
    private var framing = LineFraming()
    private let subject: APIRequest.Subject

    init(_ body: ResponseBody, _ subject: APIRequest.Subject) {
        chunks = body.makeAsyncIterator()
        self.subject = subject
    }

    mutating func next() async -> (WatchEvent?, WatcherStateMachine.Input) {
        do {
            while true {
                if let line = try framing.next() { return try input(WatchEvent(parsing: line)) }
                // A server that stops cuts a line; what it began to say it will say again.
                guard let chunk = try await chunks.next(isolation: nil) else { return (nil, .ended) }
                framing.append(chunk)
            }
        } catch {
            return (nil, .failed(APIError(error, subject)))
        }
    }

    private func input(_ event: WatchEvent) throws -> (WatchEvent?, WatcherStateMachine.Input) {
        switch event {
        case .error(let status): return (nil, .failed(.status(status, subject)))
        case .bookmark(let version): return (nil, .bookmark(resourceVersion: version))
        case .added, .modified, .deleted:
            guard let version = event.resourceVersion else {
                throw WatchEventError("an object without a resourceVersion")
            }
            return (event, .event(resourceVersion: version))
        }
    }
}

extension APIError {
    /// What reading an answer threw.
    fileprivate init(_ error: any Error, _ subject: APIRequest.Subject) {
        self =
            switch error {
            case let error as APIError: error
            case let failure as TransportFailure: .transport(failure, subject)
            default: .undecodable("\(error)", subject)
            }
    }
}
