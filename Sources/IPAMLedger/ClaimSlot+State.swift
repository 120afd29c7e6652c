import IPAMAPI
import IPAddressing
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
