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
///   came is repeated under the same name: whichever of the two is committed first wins, and the other one is refused
///   for as long as the name exists. Creates are bounded by ``maximumCreates``, take-overs by ``maximumTakeOvers``.
/// - Assumptions: the caller writes ``journalRecords`` down before it sends what ``next(now:remaining:)`` returned.
/// - Caveats: unfinished at the caller's deadline, the slot may still come to hold any of ``journalRecords``. A create
///   that nothing was heard of may be committed when the name is free again, so a held record may say until when.
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
    /// Those to choose from, and after them those of which only what is held already stays held.
    private(set) var sources: [CandidateSource]
    private let openSources: Range<Int>
    private(set) var lastError: APIError?
    private(set) var creates = 0
    private var takeOvers = 0
    private var failures = 0
    private var pausedUntil: Moment?
    /// The candidate that a write was sent for, and until when one may be committed that no answer told the fate of.
    private var unsettled: (candidate: Candidate, until: Moment)?
    /// How many creates of the candidate were sent of which no answer told what became of them.
    private var unknownCreates = 0
    /// Whether a take-over was sent of which no answer told what became of it. It can be committed only while the
    /// allocation is in the version that was read.
    private var isTakeOverUnknown = false
    /// As good as any greater number: the object that shows up tells the fate of one create, and not of the others.
    private static let uncountable = 2
    /// Names given up although a create of them may yet be committed, once their present holder is gone.
    private var abandoned: [JournalEntry.Record] = []
    /// Names whose release is under way.
    private var released: Set<String> = []
    /// The candidate was kept for the claimant's IPClaim before, and goes back to it.
    private var isKept = false
    /// What an earlier ADD took it for.
    private var resumedClaim: ClaimReference?

    init(_ plan: SlotPlan, claimant: Claimant, claimedAt: String, isDryRun: Bool = false) {
        self.claimant = claimant
        self.claimedAt = claimedAt
        self.isDryRun = isDryRun
        exact = plan.exact
        sources = (plan.pools + plan.closed).map { CandidateSource(pool: $0) }
        openSources = plan.pools.indices
    }

    /// Starts from what an earlier ADD of the same attachment left behind, if that fits the slot.
    ///
    /// With a version the attachment was read in the allocation just now, so it is held already, and may be in use: it
    /// stays held whatever the pool's ranges have become since, and though the pool takes no new claims. Without one a
    /// create of that name may still be committed, and creating it again is what finds out.
    mutating func resume(_ record: JournalEntry.Record) -> Bool {
        let isHeld = record.version != nil
        guard case .choosing = state, exact == nil || exact == record.address,
            let source = (isHeld ? sources.indices : openSources).first(where: { index in
                let pool = sources[index].pool
                return pool.uid == record.poolUID
                    && (isHeld ? pool.spans(record.address) : pool.usable.contains(record.address))
            })
        else { return false }
        let candidate = Candidate(source: source, address: record.address)
        if let until = record.mayCommitUntil {
            unsettled = (candidate, until)
            unknownCreates = Self.uncountable
        }
        isKept = record.isKept
        if let version = record.version {
            resumedClaim = record.claim
            state = .held(HeldAddress(pool: sources[source].pool, address: record.address, version: version))
        } else {
            state = .creating(candidate, mayExist: true)
        }
        return true
    }

    /// Nothing was chosen for it yet.
    var isUndecided: Bool {
        if case .choosing = state { true } else { false }
    }

    /// What an allocation of an address would be called that the slot can give.
    func names(of address: IPAddress) -> [String] {
        guard exact == nil || exact == address else { return [] }
        return sources[openSources].filter { $0.pool.usable.contains(address) }.map {
            $0.pool.allocationName(of: address)
        }
    }

    /// Starts from an address that is kept for the claimant's IPClaim and that nobody uses, if that fits the slot: it is
    /// still one that its pool gives, and the pool serves the slot.
    mutating func adopt(_ allocation: IPAllocation) -> Bool {
        let (name, address) = (allocation.metadata.name, allocation.spec.address)
        // What a guest has it has, whatever the pool's ranges have become since.
        let migrates = claimant.source.map { allocation.isRunning(in: $0) } ?? false
        guard case .choosing = state, exact == nil || exact == address, !released.contains(name),
            let source = (migrates ? sources.indices : openSources).first(where: { index in
                let pool = sources[index].pool
                return pool.name == allocation.spec.pool && pool.allocationName(of: address) == name
                    && (migrates ? pool.spans(address) : pool.usable.contains(address))
            })
        else { return false }
        let candidate = Candidate(source: source, address: address)
        if allocation.spec.state == .held || migrates {
            isKept = true
            state = .takingOver(candidate, allocation)
        } else {
            state = .reading(candidate, mayBeOurs: false)
        }
        return true
    }

    /// Names that must not be chosen, for their release is under way.
    mutating func leave(_ released: Set<String>) { self.released = released }

    /// Whether the release of a name is under way.
    func isLeaving(_ name: String) -> Bool { released.contains(name) }

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
                    cooldownSeconds: held.pool.cooldownSeconds, version: held.version,
                    mayCommitUntil: unsettled?.until, claim: resumedClaim ?? claimant.claim, isKept: isKept)
            ] + abandoned
        case .choosing, .needsScan:
            abandoned
        case .failed:
            abandoned + (unsettled.map { [record(of: $0.candidate)] } ?? [])
        }
    }

    /// The names that no other slot of the attachment may choose, so that one address is not given for two.
    var names: Set<String> {
        var names = Set(journalRecords.map(\.name))
        if let exact { names.insert(name(Candidate(source: 0, address: exact))) }
        return names
    }

    private func record(of candidate: Candidate) -> JournalEntry.Record {
        let pool = sources[candidate.source].pool
        return JournalEntry.Record(
            name: name(candidate), address: candidate.address, pool: pool.name, poolUID: pool.uid,
            cooldownSeconds: pool.cooldownSeconds, mayCommitUntil: unsettled?.until, claim: claimant.claim,
            isKept: isKept)
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
            unsettled = (candidate, commitLimit(now + remaining))
            let spec = claimant.spec(candidate.address, of: sources[candidate.source].pool, claimedAt: claimedAt)
            return .send(
                .create(
                    .ipAllocations, name: name(candidate), object: spec.newObject(of: claimant.mark), options: options
                )
                .limited(to: remaining))
        case .reading(let candidate, _):
            return .send(.get(.ipAllocations, name: name(candidate)))
        case .cooling(let candidate, let allocation, let until):
            guard until <= now else { return .wait(until: until) }
            state = .takingOver(candidate, allocation)
            return next(now: now, remaining: remaining)
        case .takingOver(let candidate, let allocation):
            unsettled = (candidate, commitLimit(now + remaining))
            let spec = claimant.spec(candidate.address, of: sources[candidate.source].pool, claimedAt: claimedAt)
            return .send(
                .update(
                    .ipAllocations, name: name(candidate), object: allocation.takenOver(by: spec, of: claimant.mark),
                    options: options
                ).limited(to: remaining))
        case .choosing, .needsScan, .held, .failed:
            return .finished
        }
    }

    /// Until when a write that is given up at `deadline`, or one that was sent before it, may be committed.
    private func commitLimit(_ deadline: Moment) -> Moment {
        max(deadline + JournalEntry.commitSlack, unsettled?.until ?? deadline)
    }

    /// Picks a candidate where the slot has none; may fail, and may leave the slot in need of a scan.
    ///
    /// - Parameter others: The ``names`` of the attachment's other slots.
    mutating func choose(avoiding others: Set<String> = [], using generator: inout some RandomNumberGenerator) {
        guard case .choosing = state else { return }
        guard creates < Self.maximumCreates else { return fail() }
        if let exact {
            let candidate = Candidate(source: 0, address: exact)
            guard !released.contains(name(candidate)) else {
                state = .failed(.deadline("the release of IPAllocation \"\(name(candidate))\" is still under way"))
                return
            }
            state = .creating(candidate, mayExist: false)
            return
        }
        let taken = others.union(names).union(released)
        for index in openSources {
            switch candidate(from: index, avoiding: taken, using: &generator) {
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
        chooseTakeOver(avoiding: taken, using: &generator)
    }

    private mutating func candidate(
        from source: Int, avoiding taken: Set<String>, using generator: inout some RandomNumberGenerator
    ) -> CandidateSource.Choice {
        while true {
            let choice = sources[source].next(using: &generator)
            guard case .address(let address) = choice, taken.contains(sources[source].pool.allocationName(of: address))
            else { return choice }
            sources[source].strike(address)
        }
    }

    /// Nothing is free in any pool of the slot: looks for an address in cooldown.
    private mutating func chooseTakeOver(
        avoiding taken: Set<String>, using generator: inout some RandomNumberGenerator
    ) {
        guard takeOvers < Self.maximumTakeOvers else { return fail() }
        for index in openSources where !sources[index].pool.usable.isEmpty {
            guard sources[index].scan != nil else {
                state = .needsScan(source: index, .cooling)
                return
            }
            let pool = sources[index].pool
            let cooling = sources[index].coolingAddresses.filter { !taken.contains(pool.allocationName(of: $0)) }
            if let address = cooling.randomElement(using: &generator) {
                takeOvers += 1
                state = .reading(Candidate(source: index, address: address), mayBeOurs: false)
                return
            }
        }
        fail()
    }

    private mutating func fail() {
        state = .failed(
            .exhausted(
                sources[openSources].map { source in
                    LedgerError.PoolFill(
                        pool: source.pool.name, poolUID: source.pool.uid, counts: source.counts, own: source.ownCount,
                        purpose: source.pool.purpose, slice: source.pool.slice)
                }))
    }

    /// The address that was chosen and that nothing was written for yet.
    var freshCandidate: IPAddress? {
        guard unsettled == nil else { return nil }
        switch state {
        case .creating(let candidate, mayExist: false), .reading(let candidate, mayBeOurs: false):
            return candidate.address
        case .choosing, .creating, .reading, .cooling, .takingOver, .needsScan, .held, .failed:
            return nil
        }
    }

    /// Gives up the fresh candidate, for it is an address of the node itself.
    mutating func avoid(_ address: IPAddress) {
        switch state {
        case .creating(let candidate, _), .reading(let candidate, _):
            guard exact == nil else {
                state = .failed(.addressRefused("the requested address \(address) is one of this node's own"))
                return
            }
            sources[candidate.source].avoid(address)
            state = .choosing
        case .choosing, .cooling, .takingOver, .needsScan, .held, .failed:
            break
        }
    }

    /// Takes in addresses that this node released a moment ago.
    mutating func offer(_ freed: [FreedAddress]) {
        for freed in freed {
            for index in openSources where sources[index].pool.uid == freed.poolUID {
                sources[index].offer(freed.address, isFree: freed.isFree)
            }
        }
    }

    /// Takes in what this node knows of its pools from a moment ago.
    mutating func recall(_ memory: (ValidatedPool) -> PoolScan?) {
        for index in openSources where sources[index].pool.occupancy == nil {
            if let scan = memory(sources[index].pool) { sources[index].recall(scan) }
        }
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
        case (.creating(let candidate, _), .success(let json)):
            if wasSentTwice { unknownCreates += 1 }
            hold(candidate, json)
        case (.takingOver(let candidate, _), .success(let json)):
            hold(candidate, json)
        case (.creating(let candidate, let mayExist), .failure(let error)):
            if wasSentTwice { unknownCreates += 1 }
            if error.mayHaveCommitted { unknownCreates += 1 }
            let mayBeOurs = mayExist || unknownCreates > 0
            settle()
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
                guard creates < Self.maximumCreates else { return fail() }
                state = .creating(candidate, mayExist: mayBeOurs || unknownCreates > 0)
            } else {
                retry(error, as: state, now: now, using: &generator)
            }
        case (.takingOver(let candidate, let allocation), .failure(let error)):
            let mayBeOurs = isTakeOverUnknown || wasSentTwice || error.mayHaveCommitted
            if error.isConflict || error.isNotFound {
                // In another version by now: no take-over is open any more, and an earlier one may have been made.
                isTakeOverUnknown = false
                settle()
                state = .reading(candidate, mayBeOurs: mayBeOurs)
            } else {
                isTakeOverUnknown = mayBeOurs
                settle()
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
            isTakeOverUnknown = false
            settle()
            state = .held(
                HeldAddress(
                    pool: sources[candidate.source].pool, address: candidate.address,
                    version: ObjectVersion(uid: metadata.uid, resourceVersion: metadata.resourceVersion)))
        } catch {
            state = .failed(.malformed(name: name(candidate), problem: "\(error)"))
        }
    }

    /// Every write of the candidate is accounted for, but for creates of which no answer told what became of them. They
    /// are refused while the name exists, and may succeed when it is gone: they must not be forgotten.
    private mutating func settle() {
        if unknownCreates == 0, !isTakeOverUnknown { unsettled = nil }
    }

    private mutating func strike(_ candidate: Candidate) {
        if isKept, let source = claimant.source {
            settle()
            state = .failed(
                .claimBusy(
                    "\(candidate.address), which a virtual machine migrates with from pod \"\(source.pod)\", was taken by"
                        + " another meanwhile"))
            return
        }
        sources[candidate.source].strike(candidate.address)
        isTakeOverUnknown = false
        settle()
        if unsettled != nil { abandoned.append(record(of: candidate)) }
        isKept = false
        unsettled = nil
        unknownCreates = 0
        state = .choosing
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
            unknownCreates = max(unknownCreates - 1, 0)
            hold(candidate, json)
        } else if mayTakeOver(allocation, for: candidate) {
            if isDryRun { return hold(candidate, json) }
            let isHeld = allocation.spec.state == .held || allocation.spec.state == .bound
            if exact != nil || isHeld {
                guard takeOvers < Self.maximumTakeOvers else {
                    return exact != nil ? refuse(allocation) : strike(candidate)
                }
                takeOvers += 1
            }
            // When it is ours the next time, that may be the doing of the take-over.
            if unknownCreates > 0 { unknownCreates = Self.uncountable }
            if isHeld { isKept = true }
            // What is kept for the claim has been nobody's since its release was made.
            state = .cooling(candidate, allocation, until: isHeld ? now : now + Self.takeOverWait)
        } else if exact != nil {
            refuse(allocation)
        } else {
            strike(candidate)
        }
    }

    /// What another node released is taken over for the pool that it is of, and no other: more a node may not write (the
    /// policies of config/policy). Where pools overlap, such an address is passed over.
    ///
    /// What is kept for an IPClaim only its holder takes.
    private func mayTakeOver(_ allocation: IPAllocation, for candidate: Candidate) -> Bool {
        let isOfPool = allocation.spec.pool == sources[candidate.source].pool.name
        guard !allocation.metadata.isBeingDeleted else { return false }
        switch allocation.spec.state {
        case .cooling: return allocation.spec.node == claimant.node || isOfPool
        case .held: return isOfPool && claimant.claim != nil && allocation.spec.claim?.uid == claimant.claim?.uid
        case .bound:
            // Its guest is about to run here.
            guard let source = claimant.source, let claim = claimant.claim else { return false }
            return isOfPool && allocation.spec.claim?.uid == claim.uid && allocation.isRunning(in: source)
        case .fenced: return false
        }
    }

    private mutating func refuse(_ allocation: IPAllocation) {
        if allocation.spec.state != .cooling { isTakeOverUnknown = false }
        settle()
        let wanting = claimant.claim.map { " (for IPClaim \"\($0.namespace)/\($0.name)\")" } ?? ""
        state = .failed(
            .addressRefused(
                "the requested address \(allocation.spec.address)\(wanting) is taken: \(allocation.holderDescription)"))
    }

    /// Goes on as `next` after a pause where the failure may pass, else fails.
    private mutating func retry(
        _ error: APIError, as next: State, now: Moment, using generator: inout some RandomNumberGenerator
    ) {
        lastError = error.orEarlier(lastError)
        failures += 1
        guard case .transient(let retryAfter) = error.disposition, creates < Self.maximumCreates else {
            state = .failed(.api(error, attempts: failures))
            return
        }
        let backoff = Backoff()
        pausedUntil =
            now + max(backoff.bounded(retryAfter), backoff.delay(attempt: failures, using: &generator))
        state = next
    }
}
