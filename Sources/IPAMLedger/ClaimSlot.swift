import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesCore

/// The claim of one address, as a state machine without I/O.
///
/// - Flow: choose a candidate, create its allocation. 201: held. 409: strike it and choose again. When no pool of the
///   slot has a free address, read an allocation in cooldown, wait, and replace it on condition of the
///   `resourceVersion` that was read.
/// - Guarantees: an address is held only after the server said so for this attachment. A create whose answer never
///   came is repeated under the same name until it is settled: whichever of the two is committed first wins, and the
///   other one is refused. Creates are bounded by ``maximumCreates``, take-overs by ``maximumTakeOvers``.
/// - Assumptions: the caller writes ``journalRecord`` down before it sends what ``next(now:remaining:)`` returned.
/// - Caveats: unfinished at the caller's deadline, the slot may still come to hold ``journalRecord``.
/// - Errors: ``State/failed(_:)`` carries the reason.
struct ClaimSlot: Sendable {
    static let maximumCreates = 64
    static let maximumTakeOvers = 3
    /// How long a cooling address is left alone after this claimant first saw it, on the claimant's own clock: longer
    /// than a main plugin needs between the IPAM DEL and the removal of the link.
    static let takeOverWait: Duration = .seconds(2)

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

    let claimant: Claimant
    let exact: IPAddress?
    /// RFC 3339 time for people.
    let claimedAt: String
    /// Ask the server whether it would, and change nothing.
    let isDryRun: Bool
    private(set) var state: State = .choosing
    private(set) var sources: [CandidateSource]
    private(set) var lastError: APIError?
    private(set) var creates = 0
    private var takeOvers = 0
    private var failures = 0
    private var pausedUntil: Moment?
    /// The write that was sent last, until an answer proves what became of it, and until when it may be committed.
    private var unsettled: (candidate: Candidate, until: Moment)?
    /// Names given up although a create of them may yet be committed, once their present holder is gone.
    private var abandoned: [JournalEntry.Record] = []

    init(_ plan: SlotPlan, claimant: Claimant, claimedAt: String, isDryRun: Bool = false) {
        self.claimant = claimant
        self.claimedAt = claimedAt
        self.isDryRun = isDryRun
        exact = plan.exact
        sources = plan.pools.map { CandidateSource(pool: $0) }
    }

    /// Starts from what an earlier ADD of the same attachment left behind, if that fits the slot.
    ///
    /// With a version the attachment was read in the allocation just now, so it is held already. Without one a create
    /// of that name may still be committed, and creating it again is what finds out.
    mutating func resume(_ record: JournalEntry.Record) -> Bool {
        guard case .choosing = state, exact == nil || exact == record.address,
            let source = sources.firstIndex(where: {
                $0.pool.uid == record.poolUID && $0.pool.usable.contains(record.address)
            })
        else { return false }
        let candidate = Candidate(source: source, address: record.address)
        if let version = record.version {
            state = .held(HeldAddress(pool: sources[source].pool, address: record.address, version: version))
        } else {
            state = .creating(candidate, mayExist: true)
        }
        return true
    }

    var held: HeldAddress? {
        if case .held(let held) = state { held } else { nil }
    }

    var failure: LedgerError? {
        if case .failed(let error) = state { error } else { nil }
    }

    /// What must be on disk before the next request is sent: every name that this slot holds or may come to hold.
    var journalRecords: [JournalEntry.Record] {
        switch state {
        case .creating(let candidate, _), .reading(let candidate, _), .takingOver(let candidate, _),
            .cooling(let candidate, _, _):
            [record(of: candidate)] + abandoned
        case .held(let held):
            [
                JournalEntry.Record(
                    name: held.name, address: held.address, pool: held.pool.name, poolUID: held.pool.uid,
                    cooldownSeconds: held.pool.cooldownSeconds, version: held.version)
            ] + abandoned
        case .choosing, .needsScan:
            abandoned
        case .failed:
            abandoned + (unsettled.map { [record(of: $0.candidate)] } ?? [])
        }
    }

    private func record(of candidate: Candidate) -> JournalEntry.Record {
        let pool = sources[candidate.source].pool
        return JournalEntry.Record(
            name: name(candidate), address: candidate.address, pool: pool.name, poolUID: pool.uid,
            cooldownSeconds: pool.cooldownSeconds, mayCommitUntil: unsettled?.until)
    }

    private func name(_ candidate: Candidate) -> String {
        sources[candidate.source].pool.allocationName(of: candidate.address)
    }

    // MARK: Asking

    /// What the slot wants done next, once ``choose(using:)`` has given it a candidate. `remaining` is the time until
    /// the caller gives up.
    mutating func next(now: Moment, remaining: Duration) -> Step {
        if let pausedUntil {
            guard pausedUntil <= now else { return .wait(until: pausedUntil) }
            self.pausedUntil = nil
        }
        let options = WriteOptions(dryRun: isDryRun)
        switch state {
        case .creating(let candidate, _):
            creates += 1
            unsettled = (candidate, now + remaining + JournalEntry.commitSlack)
            let spec = claimant.spec(candidate.address, of: sources[candidate.source].pool, claimedAt: claimedAt)
            return .send(
                .create(.ipAllocations, name: name(candidate), object: spec.newObject(), options: options)
                    .limited(to: remaining))
        case .reading(let candidate, _):
            return .send(.get(.ipAllocations, name: name(candidate)))
        case .cooling(let candidate, let allocation, let until):
            guard until <= now else { return .wait(until: until) }
            state = .takingOver(candidate, allocation)
            return next(now: now, remaining: remaining)
        case .takingOver(let candidate, let allocation):
            unsettled = (candidate, now + remaining + JournalEntry.commitSlack)
            let spec = claimant.spec(candidate.address, of: sources[candidate.source].pool, claimedAt: claimedAt)
            return .send(
                .update(
                    .ipAllocations, name: name(candidate), object: allocation.takenOver(by: spec), options: options
                ).limited(to: remaining))
        case .choosing, .needsScan, .held, .failed:
            return .finished
        }
    }

    /// Picks a candidate where the slot has none; may fail, and may leave the slot in need of a scan.
    mutating func choose(using generator: inout some RandomNumberGenerator) {
        guard case .choosing = state else { return }
        guard creates < Self.maximumCreates else { return fail() }
        if let exact {
            state = .creating(Candidate(source: 0, address: exact), mayExist: false)
            return
        }
        for index in sources.indices {
            switch sources[index].next(using: &generator) {
            case .address(let address):
                state = .creating(Candidate(source: index, address: address), mayExist: false)
                return
            case .needsScan:
                state = .needsScan(source: index, .everything)
                return
            case .exhausted:
                continue
            }
        }
        chooseTakeOver(using: &generator)
    }

    /// Nothing is free in any pool of the slot: looks for an address in cooldown.
    private mutating func chooseTakeOver(using generator: inout some RandomNumberGenerator) {
        guard takeOvers < Self.maximumTakeOvers else { return fail() }
        for index in sources.indices {
            guard sources[index].scan != nil else {
                state = .needsScan(source: index, .cooling)
                return
            }
            if let address = sources[index].coolingAddresses.randomElement(using: &generator) {
                takeOvers += 1
                state = .reading(Candidate(source: index, address: address), mayBeOurs: false)
                return
            }
        }
        fail()
    }

    private mutating func fail() {
        state = .failed(.exhausted(sources.map { LedgerError.PoolFill(pool: $0.pool.name, counts: $0.counts) }))
    }

    /// The address that was chosen and that no request was made for yet.
    var freshCandidate: IPAddress? {
        if case .creating(let candidate, mayExist: false) = state, unsettled == nil { candidate.address } else { nil }
    }

    /// Gives up the fresh candidate, for it is an address of the node itself.
    mutating func avoid(_ address: IPAddress) {
        guard case .creating(let candidate, _) = state else { return }
        guard exact == nil else {
            state = .failed(.addressRefused("the requested address \(address) is one of this node's own"))
            return
        }
        strike(candidate)
    }

    /// Takes in what a LIST of a source's pool told.
    mutating func learn(_ scan: PoolScan, source: Int) {
        sources[source].learn(scan)
        if case .needsScan = state { state = .choosing }
    }

    // MARK: Answers

    /// Takes in the answer to the request that ``next(now:remaining:)`` returned.
    mutating func receive(
        _ answer: Result<JSON, APIError>, wasSentTwice: Bool, now: Moment,
        using generator: inout some RandomNumberGenerator
    ) {
        switch (state, answer) {
        case (.creating(let candidate, _), .success(let json)), (.takingOver(let candidate, _), .success(let json)):
            unsettled = nil
            hold(candidate, json)
        case (.creating(let candidate, let mayExist), .failure(let error)):
            let mayBeOurs = mayExist || wasSentTwice || error.mayHaveCommitted
            if !mayBeOurs { unsettled = nil }
            if !error.isAlreadyExists {
                retry(error, as: .creating(candidate, mayExist: mayBeOurs), now: now, using: &generator)
            } else if mayBeOurs || exact != nil {
                state = .reading(candidate, mayBeOurs: mayBeOurs)
            } else {
                strike(candidate)
            }
        case (.reading(let candidate, let mayBeOurs), .success(let json)):
            afterRead(candidate, json, now: now, mayBeOurs: mayBeOurs)
        case (.reading(let candidate, let mayBeOurs), .failure(let error)):
            if error.isNotFound {
                // Free by now, or an unsettled create of ours is not committed yet: create it (again).
                state = .creating(candidate, mayExist: mayBeOurs)
            } else {
                retry(error, as: state, now: now, using: &generator)
            }
        case (.takingOver(let candidate, let allocation), .failure(let error)):
            let mayBeOurs = wasSentTwice || error.mayHaveCommitted
            if !mayBeOurs { unsettled = nil }
            if error.isConflict || error.isNotFound {
                state = .reading(candidate, mayBeOurs: mayBeOurs)
            } else {
                let next: State =
                    mayBeOurs ? .reading(candidate, mayBeOurs: true) : .takingOver(candidate, allocation)
                retry(error, as: next, now: now, using: &generator)
            }
        case (.choosing, _), (.cooling, _), (.needsScan, _), (.held, _), (.failed, _):
            break
        }
    }

    private mutating func hold(_ candidate: Candidate, _ json: JSON) {
        do {
            let metadata = try ObjectMetadata(try JSONFields(json))
            state = .held(
                HeldAddress(
                    pool: sources[candidate.source].pool, address: candidate.address,
                    version: ObjectVersion(uid: metadata.uid, resourceVersion: metadata.resourceVersion)))
        } catch {
            state = .failed(.malformed(name: name(candidate), problem: "\(error)"))
        }
    }

    private mutating func strike(_ candidate: Candidate) {
        sources[candidate.source].strike(candidate.address)
        giveUpName()
        state = .choosing
    }

    /// A create that is still under way may succeed when the present holder is gone: it must not be forgotten.
    private mutating func giveUpName() {
        if let unsettled { abandoned.append(record(of: unsettled.candidate)) }
        unsettled = nil
    }

    private mutating func afterRead(_ candidate: Candidate, _ json: JSON, now: Moment, mayBeOurs: Bool) {
        let allocation: IPAllocation
        do {
            allocation = try IPAllocation(json)
        } catch {
            guard exact != nil else { return strike(candidate) }
            return state = .failed(.malformed(name: name(candidate), problem: "\(error)"))
        }
        if claimant.holds(allocation) {
            unsettled = nil
            hold(candidate, json)
        } else if allocation.spec.state == .cooling, !allocation.metadata.isBeingDeleted {
            if isDryRun { return hold(candidate, json) }
            if exact != nil {
                guard takeOvers < Self.maximumTakeOvers else { return refuse(allocation) }
                takeOvers += 1
            }
            state = .cooling(candidate, allocation, until: now + Self.takeOverWait)
        } else if exact != nil {
            refuse(allocation)
        } else {
            strike(candidate)
        }
    }

    private mutating func refuse(_ allocation: IPAllocation) {
        state = .failed(
            .addressRefused(
                "the requested address \(allocation.spec.address) is taken: \(allocation.holderDescription)"))
    }

    /// Goes on as `next` after a pause where the failure may pass, else fails.
    private mutating func retry(
        _ error: APIError, as next: State, now: Moment, using generator: inout some RandomNumberGenerator
    ) {
        lastError = error
        failures += 1
        guard case .transient(let retryAfter) = error.disposition else {
            state = .failed(.api(error, attempts: failures))
            return
        }
        pausedUntil = now + max(retryAfter ?? .zero, Backoff().delay(attempt: failures, using: &generator))
        state = next
    }
}
