package import JSONText

/// What a conversation wants to do next.
package enum ConversationStep: Equatable, Sendable {
    case send(APIRequest)
    /// To be asked again when this time has passed.
    case pause(Duration)
    case finished
}

/// An exchange with the API server as a pure state machine. Whoever drives it asks for the next step, and hands back
/// the answer to each request before it asks again.
///
/// A conversation may be left unfinished when the deadline passes, but never between a request and its answer.
package protocol Conversation {
    /// `remaining` is the time until the deadline: a request that changes something is built with `?timeout=` below it
    /// (`APIRequest.limited(to:)`).
    mutating func next(remaining: Duration) -> ConversationStep

    /// The answer to the request of the last step. `wasSentTwice`: see `HTTPResponse.wasSentTwice`.
    mutating func receive(_ result: Result<JSON, APIError>, wasSentTwice: Bool)
}

extension Transport {
    /// Drives conversations side by side, in lockstep rounds.
    ///
    /// Flow: a round asks every conversation that is not finished or pausing for its next step, calls `beforeSending`
    /// once with all the requests, performs them side by side, and hands back the answers. When none wants to send, it
    /// sleeps until the first pause ends.
    ///
    /// Guarantees: every request that was sent has its answer received, the timeout at the deadline included. No round
    /// begins after the deadline; then it returns, and some conversations may be unfinished.
    ///
    /// Errors: only those of `beforeSending`; the requests of that round are then not sent, and the conversations that
    /// asked for them must not be driven any further.
    package func drive<Talk: Conversation, Failure: Error>(
        _ conversations: inout [Talk], deadline: Moment,
        beforeSending: ([APIRequest]) throws(Failure) -> Void
    ) throws(Failure) {
        var pausedUntil = [Moment?](repeating: nil, count: conversations.count)
        var isFinished = [Bool](repeating: false, count: conversations.count)
        while true {
            let now = now()
            let remaining = deadline - now
            guard remaining > .zero else { return }
            var requests: [APIRequest] = []
            var senders: [Int] = []
            for index in conversations.indices where !isFinished[index] {
                if let moment = pausedUntil[index], moment > now { continue }
                pausedUntil[index] = nil
                switch conversations[index].next(remaining: remaining) {
                case .send(let request):
                    requests.append(request)
                    senders.append(index)
                case .pause(let duration): pausedUntil[index] = now + duration
                case .finished: isFinished[index] = true
                }
            }
            if requests.isEmpty {
                guard let wake = pausedUntil.compactMap(\.self).min() else { return }
                sleep(until: min(wake, deadline))
                continue
            }
            try beforeSending(requests)
            let replies = perform(requests, deadline: deadline)
            for (position, index) in senders.enumerated() {
                let reply = replies[position]
                conversations[index].receive(
                    interpret(reply, to: requests[position]), wasSentTwice: (try? reply.get())?.wasSentTwice ?? false)
            }
        }
    }
}
