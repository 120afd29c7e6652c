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
    static let maximumCreates = 256
    static let maximumTakeOvers = 3
    /// How long a cooling address is left alone after this claimant first saw it, on the claimant's own clock: longer
    /// than a main plugin needs between the IPAM DEL and the removal of the link.
    static let takeOverWait: Duration = .seconds(2)

    private(set) var claimant: Claimant
    let exact: IPAddress?
    /// RFC 3339 time for people.
    let claimedAt: String
    /// Ask the server whether it would, and change nothing.
    let isDryRun: Bool
    private(set) var state: State = .choosing
    private(set) var sources: SlotSources
    /// See ``SlotPlan/hasMore``.
    private let hasMore: Bool
    private(set) var lastError: APIError?
    private(set) var creates = 0
    private var takeOvers = 0
    private var failures = 0
    private var pausedUntil: Moment?
    /// What was sent for the candidate.
    private var writes = WriteAccount()
    /// The candidate that something was sent for.
    private var written: Candidate?
    /// Names given up although a create of them may yet be committed, once their present holder is gone.
    private var abandoned: [JournalEntry.Record] = []
    /// Names whose release is under way.
    private var released: Set<String> = []
    /// The candidate was kept for the claimant's IPClaim before, and goes back to it.
    private var isKept = false
    /// What is held, where it was read and not written: it may be for another claim, or none.
    private var found: JournalEntry.Record?

    init(_ plan: SlotPlan, claimant: Claimant, claimedAt: String, isDryRun: Bool = false) {
        self.claimant = claimant
        self.claimedAt = claimedAt
        self.isDryRun = isDryRun
        exact = plan.exact
        hasMore = plan.hasMore
        sources = SlotSources(plan, namespace: claimant.pod?.namespace)
    }

    /// Starts from what an earlier ADD of the same attachment left behind, if that fits the slot.
    ///
    /// With a version the attachment was read in the allocation just now, so it is held already, and may be in use: it
    /// stays held whatever the pool's ranges have become since, and though the pool takes no new claims. Without one a
    /// create of that name may still be committed, and creating it again is what finds out.
    mutating func resume(_ record: JournalEntry.Record) -> Bool {
        guard case .choosing = state, exact == nil || exact == record.address, let source = sources.place(of: record)
        else { return false }
        let candidate = Candidate(source: source, address: record.address)
        if let until = record.mayCommitUntil {
            writes = WriteAccount(resuming: until)
            written = candidate
        }
        isKept = record.isKept
        if let version = record.version {
            found = record
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
        exact == nil || exact == address ? sources.names(of: address) : []
    }

    /// Starts from an address that is kept for the claimant's IPClaim and that nobody uses, if that fits the slot: it is
    /// still one that its pool gives, and the pool serves the slot.
    mutating func adopt(_ allocation: IPAllocation) -> Bool {
        let (name, address) = (allocation.metadata.name, allocation.spec.address)
        let migrates = claimant.source.map { allocation.isRunning(in: $0) } ?? false
        guard case .choosing = state, exact == nil || exact == address, !released.contains(name),
            let source = sources.place(of: allocation, isGuests: migrates)
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

    /// What is bound to this pod, in which the guest runs, is the slot's to take.
    mutating func migrate(from source: PodName) { claimant.source = source }

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
        case .held(let held): [record(of: held)] + abandoned
        case .choosing, .needsScan:
            abandoned
        case .failed:
            abandoned + (writes.until == nil ? [] : [written].compactMap { $0.map { record(of: $0) } })
        }
    }

    /// The names that no other slot of the attachment may choose, so that one address is not given for two.
    var names: Set<String> {
        var names = Set(journalRecords.map(\.name))
        if let exact { names.insert(name(Candidate(source: sources.open.first ?? 0, address: exact))) }
        return names
    }

    private func record(of candidate: Candidate) -> JournalEntry.Record {
        let pool = sources[candidate.source].pool
        return JournalEntry.Record(
            name: name(candidate), address: candidate.address, pool: pool.name, poolUID: pool.uid,
            cooldownSeconds: pool.cooldownSeconds, mayCommitUntil: writes.until, claim: claimant.claim,
            isKept: isKept)
    }

    private func record(of held: HeldAddress) -> JournalEntry.Record {
        JournalEntry.Record(
            name: held.name, address: held.address, pool: held.pool.name, poolUID: held.pool.uid,
            cooldownSeconds: held.pool.cooldownSeconds, version: held.version, mayCommitUntil: writes.until,
            claim: found == nil ? claimant.claim : found?.claim, isKept: isKept, isManual: found?.isManual ?? false)
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
            account(candidate, deadline: now + remaining)
            let spec = claimant.spec(candidate.address, of: sources[candidate.source].pool, claimedAt: claimedAt)
            return .send(
                .create(
                    .ipAllocations, name: name(candidate), object: claimant.newObject(spec), options: options
                ).limited(to: remaining))
        case .reading(let candidate, _):
            return .send(.get(.ipAllocations, name: name(candidate)))
        case .cooling(let candidate, let allocation, let until):
            guard until <= now else { return .wait(until: until) }
            state = .takingOver(candidate, allocation)
            return next(now: now, remaining: remaining)
        case .takingOver(let candidate, let allocation):
            account(candidate, deadline: now + remaining)
            let spec = claimant.spec(candidate.address, of: sources[candidate.source].pool, claimedAt: claimedAt)
            return .send(
                .update(
                    .ipAllocations, name: name(candidate), object: claimant.takingOver(allocation, spec),
                    options: options
                ).limited(to: remaining))
        case .choosing, .needsScan, .held, .failed:
            return .finished
        }
    }

    private mutating func account(_ candidate: Candidate, deadline: Moment) {
        writes.send(deadline: deadline)
        written = candidate
    }

    /// Picks a candidate where the slot has none; may fail, and may leave the slot in need of a scan.
    ///
    /// - Parameter others: The ``names`` of the attachment's other slots.
    mutating func choose(avoiding others: Set<String> = [], using generator: inout some RandomNumberGenerator) {
        guard case .choosing = state else { return }
        guard creates < Self.maximumCreates else { return fail() }
        if let exact {
            guard let source = sources.open.first else { return fail() }
            let candidate = Candidate(source: source, address: exact)
            guard !released.contains(name(candidate)) else {
                state = .failed(.deadline("the release of IPAllocation \"\(name(candidate))\" is still under way"))
                return
            }
            state = .creating(candidate, mayExist: false)
            return
        }
        let taken = others.union(names).union(released)
        for index in sources.open {
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
        for index in sources.open where !sources[index].pool.usable.isEmpty {
            let pool = sources[index].pool
            guard sources[index].scan != nil else {
                // What was released without a cooldown is free, and only the controller would say so in the hint.
                let isDoubtful = sources[index].mayDoubtHint
                if hasMore, !isDoubtful { continue }
                if isDoubtful { sources[index].doubtHint() }
                state = .needsScan(source: index, isDoubtful ? .everything : .cooling)
                return
            }
            // What cools rests while something else may serve.
            guard !hasMore else { continue }
            let cooling = sources[index].coolingAddresses.filter { !taken.contains(pool.allocationName(of: $0)) }
            if let address = cooling.randomElement(using: &generator) {
                takeOvers += 1
                state = .reading(Candidate(source: index, address: address), mayBeOurs: false)
                return
            }
        }
        fail()
    }

    private mutating func fail() { state = .failed(.exhausted(sources.fills)) }

    /// The address that was chosen and that nothing was written for yet.
    var freshCandidate: IPAddress? {
        guard writes.until == nil else { return nil }
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
    mutating func offer(_ freed: [FreedAddress]) { sources.offer(freed) }

    /// Takes in what this node knows of its pools from a moment ago.
    mutating func recall(_ memory: (ValidatedPool) -> PoolScan?) { sources.recall(memory) }

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
            hold(candidate, json) { $0.createWasMade(wasSentTwice: wasSentTwice) }
        case (.takingOver(let candidate, _), .success(let json)):
            hold(candidate, json) { $0.takeOverWasMade() }
        case (.creating(let candidate, let mayExist), .failure(let error)):
            writes.createFailed(error, wasSentTwice: wasSentTwice)
            let mayBeOurs = mayExist || writes.hasOpenCreates
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
                let mayExist = mayBeOurs || writes.hasOpenCreates
                // What was kept is gone, and nothing new is given in its place.
                guard mayExist || sources.open.contains(candidate.source) else { return strike(candidate) }
                state = .creating(candidate, mayExist: mayExist)
            } else {
                retry(error, as: state, now: now, using: &generator)
            }
        case (.takingOver(let candidate, let allocation), .failure(let error)):
            let mayBeOurs = writes.takeOverFailed(error, wasSentTwice: wasSentTwice)
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

    private mutating func hold(_ candidate: Candidate, _ json: JSON, _ settle: (inout WriteAccount) -> Void) {
        do {
            let metadata = try ObjectMetadata(try JSONFields(json))
            settle(&writes)
            state = .held(
                HeldAddress(
                    pool: sources[candidate.source].pool, address: candidate.address,
                    version: ObjectVersion(uid: metadata.uid, resourceVersion: metadata.resourceVersion)))
        } catch {
            state = .failed(.malformed(name: name(candidate), problem: "\(error)"))
        }
    }

    /// Gives the candidate up. Creates of it that may yet be committed must not be forgotten.
    private mutating func strike(_ candidate: Candidate) {
        writes.foundOthers(mayBeInVersion: false)
        if isKept, let source = claimant.source { return state = .failed(.guestLost(candidate.address, from: source)) }
        sources[candidate.source].strike(candidate.address)
        if writes.until != nil { abandoned.append(record(of: candidate)) }
        isKept = false
        writes = WriteAccount()
        written = nil
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
            found = JournalEntry.Record(allocation)
            hold(candidate, json) { $0.foundOurs() }
        } else if claimant.mayTakeOver(allocation, forPool: sources[candidate.source].pool.name) {
            if isDryRun { return hold(candidate, json) { $0.takeOverWasMade() } }
            let isHeld = allocation.spec.state == .held || allocation.spec.state == .bound
            if exact != nil || isHeld {
                guard takeOvers < Self.maximumTakeOvers else {
                    return exact != nil ? refuse(allocation) : strike(candidate)
                }
                takeOvers += 1
            }
            writes.willTakeOver()
            if isHeld { isKept = true }
            // What is kept for the claim has been nobody's since its release was made.
            state = .cooling(candidate, allocation, until: isHeld ? now : now + Self.takeOverWait)
        } else if let busy = claimant.busy(allocation) {
            // Another attachment is taking what the claim keeps: of the two none goes on with a part of it.
            giveUp(allocation, busy)
        } else if exact != nil {
            refuse(allocation)
        } else {
            strike(candidate)
        }
    }

    private mutating func refuse(_ allocation: IPAllocation) {
        let own = sources[sources.open.first ?? 0].pool
        if let claim = claimant.claim, allocation.spec.claim?.uid == claim.uid, allocation.spec.state == .held,
            allocation.spec.pool != own.name
        {
            return giveUp(
                allocation,
                .addressRefused(
                    "\(allocation.spec.address) is kept for \(claim.subject) as an address of IPPool"
                        + " \"\(allocation.spec.pool)\", and this interface is served by IPPool \"\(own.name)\": name the pool"
                        + " that is to give it in spec.pools of the claim"))
        }
        let wanting = claimant.claim.map { " (for \($0.subject))" } ?? ""
        giveUp(
            allocation,
            .addressRefused(
                "the requested address \(allocation.spec.address)\(wanting) is taken: \(allocation.holderDescription)"))
    }

    private mutating func giveUp(_ allocation: IPAllocation, _ error: LedgerError) {
        writes.foundOthers(mayBeInVersion: allocation.spec.state == .cooling)
        state = .failed(error)
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
