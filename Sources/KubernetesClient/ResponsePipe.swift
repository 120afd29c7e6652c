import KubernetesCore
import Synchronization

/// Hands a whole reply from the transfer thread to the task that waits for it.
final class ReplyBox: Sendable {
    private enum State {
        case empty
        case waiting(CheckedContinuation<Reply, Never>)
        case full(Reply)
    }

    private let state = Mutex(State.empty)

    /// Called once, by one task.
    func reply() async -> Reply {
        await withCheckedContinuation { continuation in
            let reply: Reply? = state.withLock { state in
                if case .full(let reply) = state { return reply }
                state = .waiting(continuation)
                return nil
            }
            if let reply { continuation.resume(returning: reply) }
        }
    }

    /// Called once.
    func fill(_ reply: Reply) {
        let waiter: CheckedContinuation<Reply, Never>? = state.withLock { state in
            if case .waiting(let continuation) = state {
                state = .empty
                return continuation
            }
            state = .full(reply)
            return nil
        }
        waiter?.resume(returning: reply)
    }
}

/// Hands an answer from the transfer thread, which fills it, to the one task that reads it.
///
/// Above the mark `receive` refuses, which pauses the transfer; the reader takes everything at once and has it go on.
/// Continuations are resumed outside the lock.
final class ResponsePipe: ResponseReceiver, Sendable {
    typealias Head = Result<HTTPResponse, TransportFailure>
    /// Nil at the end of the body.
    typealias Piece = Result<[UInt8]?, TransportFailure>

    private struct State {
        var head: Head?
        var headWaiter: CheckedContinuation<Head, Never>?
        var waiting: [UInt8] = []
        var isPaused = false
        /// Nil while more may come.
        var end: Piece?
        var waiter: CheckedContinuation<Piece, Never>?
    }

    private let state = Mutex(State())
    /// In bytes.
    private let mark: Int

    init(mark: Int) { self.mark = mark }

    // The transfer thread.

    func receiveHead(_ head: HTTPResponse) { settle(.success(head)) }

    private func settle(_ head: Head) {
        let waiter: CheckedContinuation<Head, Never>? = state.withLock { state in
            guard state.head == nil else { return nil }
            state.head = head
            defer { state.headWaiter = nil }
            return state.headWaiter
        }
        waiter?.resume(returning: head)
    }

    func receive(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var waiter: CheckedContinuation<Piece, Never>?
        let isTaken = state.withLock { state in
            if let continuation = state.waiter {
                waiter = continuation
                state.waiter = nil
                return true
            }
            guard state.waiting.count < mark else {
                state.isPaused = true
                return false
            }
            state.waiting.append(contentsOf: bytes)
            return true
        }
        waiter?.resume(returning: .success(Array(bytes)))
        return isTaken
    }

    /// Of the answer, once its head is there.
    var status: Int? { state.withLock { (try? $0.head?.get())?.status } }

    var hasHead: Bool { state.withLock { $0.head != nil } }

    /// Nothing comes after it. Nil when the body is complete.
    func finish(_ failure: TransportFailure?) {
        let end: Piece = failure.map { .failure($0) } ?? .success(nil)
        let unanswered = TransportFailure(
            kind: .interrupted, message: "an answer without a head", mayHaveBeenSent: true)
        settle(.failure(failure ?? unanswered))
        let waiter: CheckedContinuation<Piece, Never>? = state.withLock { state in
            state.end = end
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume(returning: end)
    }

    // The reader.

    func head() async -> Head {
        await withCheckedContinuation { continuation in
            let head: Head? = state.withLock { state in
                if state.head == nil { state.headWaiter = continuation }
                return state.head
            }
            if let head { continuation.resume(returning: head) }
        }
    }

    /// `unpause` is called when a paused transfer is to go on.
    func next(unpause: () -> Void) async -> Piece {
        await withCheckedContinuation { continuation in
            var isToGoOn = false
            let piece: Piece? = state.withLock { state in
                isToGoOn = state.isPaused
                state.isPaused = false
                if !state.waiting.isEmpty {
                    defer { state.waiting = [] }
                    return .success(state.waiting)
                }
                if let end = state.end { return end }
                state.waiter = continuation
                return nil
            }
            if isToGoOn { unpause() }
            if let piece { continuation.resume(returning: piece) }
        }
    }
}
