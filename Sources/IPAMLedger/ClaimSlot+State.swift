import IPAMAPI
import IPAddressing
import KubernetesClient
import KubernetesCore

extension ClaimSlot {
    struct Candidate: Hashable, Sendable {
        var source: Int
        var address: IPAddress
    }

    enum State: Sendable {
        case choosing
        /// About to create, or waiting for the answer. `mayExist`: an earlier create of this name is not settled.
        case creating(Candidate, mayExist: Bool)
        /// Reading who holds the name.
        case reading(Candidate, mayBeOurs: Bool)
        /// Waiting until the cooling allocation may be taken over.
        case cooling(Candidate, IPAllocation, until: Moment)
        case takingOver(Candidate, IPAllocation)
        case needsScan(source: Int, PoolScanner.Scope)
        case held(HeldAddress)
        case failed(LedgerError)
    }

    enum Step: Sendable {
        case send(APIRequest)
        case wait(until: Moment)
        case finished
    }
}

extension ClaimSlot.Step {
    /// The next step of a conversation that is held beside slots.
    ///
    /// - Parameter pausedUntil: Where it is kept that the conversation makes a pause.
    init(
        _ conversation: inout some Conversation, _ pausedUntil: inout Moment?, now: Moment, remaining: Duration
    ) {
        if let until = pausedUntil {
            guard until <= now else {
                self = .wait(until: until)
                return
            }
            pausedUntil = nil
        }
        switch conversation.next(remaining: remaining) {
        case .send(let request): self = .send(request)
        case .pause(let duration):
            pausedUntil = now + duration
            self = .wait(until: now + duration)
        case .finished: self = .finished
        }
    }
}
