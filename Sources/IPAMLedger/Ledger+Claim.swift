package import IPAMAPI
import IPAMEngine
import JSONText
package import KubernetesCore

/// How an ADD shares out its time.
package struct ClaimDeadlines: Sendable {
    /// When the caller must have its answer.
    package let answer: Moment
    /// When to stop claiming, so that what was claimed can still be given back before the answer is due.
    let claims: Moment

    package init(answer: Moment, startedAt: Moment) {
        self.answer = answer
        claims = answer - (answer - startedAt) / 5
    }
}

/// What an ADD returns.
package struct ClaimedAddresses: Sendable {
    /// In the order of the slots.
    package var held: [HeldAddress]
    /// What the pod adds to those of the pools.
    package var routes: [Route]
    /// An earlier ADD of the attachment has returned some of them: a sandbox may use these already.
    package var isRepeated: Bool

    package init(held: [HeldAddress], routes: [Route] = [], isRepeated: Bool = false) {
        self.held = held
        self.routes = routes
        self.isRepeated = isRepeated
    }
}

extension Ledger {
    /// Claims every address of an order, or none.
    ///
    /// - Flow: under the attachment's lock, read the pod, the pools and what an earlier ADD left behind (one round
    ///   trip), write down the names, create the allocations side by side (one more), write down their versions, look for a
    ///   tombstone, return. Where the pod has an IPClaim that was there before, it is bound first, and what it keeps read
    ///   beside that (one more); one that is new is made first (one more) and bound beside the creates.
    /// - Guarantees: a second ADD of one attachment returns what the first one holds. A failure leaves nothing claimed;
    ///   what could not be settled at once stays in the journal for the DEL that follows. A process killed anywhere in
    ///   between leaves its names in the journal.
    /// - Caveats: releases that DELs of this node could only write down are the business of later DELs and not of an ADD,
    ///   with one exception: where every pool is full, what fills it may be just these, and on a node without other pods
    ///   no DEL would come before an ADD succeeds. So they are made then, and the claim is tried once more.
    /// - Errors: every one means that nothing was returned.
    package mutating func claim(
        _ order: ClaimOrder, deadlines: ClaimDeadlines
    ) throws(LedgerError) -> ClaimedAddresses {
        try ensureWhole(deadline: deadlines.claims)
        return try withMoreRoom(deadline: deadlines.claims) { ledger, freed throws(LedgerError) in
            try ledger.claimLocked(order, freed: freed, deadlines: deadlines)
        }
    }

    /// Runs `body`, and where it finds its pools exhausted, runs it again with whatever else there may be: another block for
    /// this node, what this node owes, and the pools that it passed over because others seemed to do.
    private mutating func withMoreRoom<Value>(
        deadline: Moment, _ body: (inout Ledger, [FreedAddress]) throws(LedgerError) -> Value
    ) throws(LedgerError) -> Value {
        readsAllPools = false
        var freed: [FreedAddress] = []
        while true {
            (hasPassedOver, verification) = (false, nil)
            do throws(LedgerError) {
                return try withMoreBlocks(deadline: deadline) { ledger throws(LedgerError) in
                    try ledger.withOwedReleases(&freed, deadline: deadline, body)
                }
            } catch {
                guard !readsAllPools, transport.now() < deadline else { throw error }
                switch error {
                case .poolsChanged: if verification?.isUntelling == true { rememberUntelling() }
                case .exhausted where hasPassedOver || verification != nil: break
                default: throw error
                }
                readsAllPools = true
            }
        }
    }

    /// What is still open of the choice of the pools.
    private mutating func note(_ situation: Situation) {
        hasPassedOver = situation.isCut
        verification = situation.unverified.map { PoolVerification($0) }
    }

    /// The most of the node's own pending releases that one ADD makes.
    private static var owedReleaseLimit: Int { 16 }

    /// Runs `body`, and where it finds its pools exhausted makes releases that this node owes them, within half of the
    /// time that is left, and runs it once more with what these freed. Makes no request where nothing is owed.
    private mutating func withOwedReleases<Value>(
        _ freed: inout [FreedAddress], deadline: Moment,
        _ body: (inout Ledger, [FreedAddress]) throws(LedgerError) -> Value
    ) throws(LedgerError) -> Value {
        let exhaustion: LedgerError
        do throws(LedgerError) {
            return try body(&self, freed)
        } catch {
            exhaustion = error
        }
        guard case .exhausted(let fills) = exhaustion else { throw exhaustion }
        let now = transport.now()
        let more = carryOutReleases(
            ofPools: Set(fills.map(\.poolUID)), limit: Self.owedReleaseLimit, deadline: now + (deadline - now) / 2)
        guard !more.isEmpty else { throw exhaustion }
        freed += more
        return try body(&self, freed)
    }

    private mutating func claimLocked(
        _ order: ClaimOrder, freed: [FreedAddress], deadlines: ClaimDeadlines
    ) throws(LedgerError) -> ClaimedAddresses {
        let scope = JournalLock.Scope.attachment(digest: order.attachment.digest)
        let held = try journal.withLock(scope, until: deadlines.claims) { () throws(LedgerError) in
            try claimAlone(order, freed: freed, deadlines: deadlines)
        }
        guard let held else { throw .busy(order.attachment) }
        return held
    }

    /// The claim proper, while no other ADD or DEL of the attachment is under way.
    private mutating func claimAlone(
        _ order: ClaimOrder, freed: [FreedAddress], deadlines: ClaimDeadlines
    ) throws(LedgerError) -> ClaimedAddresses {
        try refuseIfDeleted(order)
        let earlier = try earlierEntry(order.attachment.digest)
        let wasReleasing = journal.isReleasing(order.attachment.digest)
        let leftover = earlier?.records ?? []
        var situation = try survey(order, leftover: leftover, deadline: deadlines.claims)
        let identity = try findClaim(order, situation, deadline: deadlines.claims)
        situation = try self.situation(
            situation, for: identity, order, leftover: leftover, deadline: deadlines.claims)
        note(situation)
        let plans = try plans(order, situation, identity, deadline: deadlines.claims)
        var claimant = situation.claimant
        claimant.claim = identity?.reference
        var slots = plans.map { plan in
            ClaimSlot(plan, claimant: plan.isStatic ? situation.claimant : claimant, claimedAt: timestamp)
        }
        // What an earlier ADD returned may be in use, and must cool whatever becomes of this one.
        let held = Set(situation.leftover.filter { $0.version != nil }.map(\.name))
        let entry = JournalEntry(
            attachment: order.attachment, phase: held.isEmpty ? .claiming : earlier?.phase ?? .claiming,
            since: order.startedAt, bootID: journal.bootID, pod: situation.claimant.pod, netns: order.netns,
            records: [])
        // What an earlier ADD left behind and the slots cannot use is given back before anything new is claimed.
        let isIntact = try isIntact(earlier)
        let surplus = slots.resume(situation.leftover, isIntact: isIntact)
        var binding: HolderWrite?
        var kept: KeptReading?
        if let identity, identity.isNew {
            binding = firstBinding(identity, claimant)
        } else if let identity {
            kept = try bind(identity, claimant, slots, deadline: deadlines.claims)
        }
        let carried = release(
            surplus, of: order.attachment, mode: earlier?.releaseMode ?? .delete, deadline: deadlines.claims
        ).map(\.record)
        slots.leave(Set(carried.map(\.name)))
        for index in slots.indices {
            slots[index].offer(freed)
            slots[index].recall { rememberedScan($0, .everything, maximumAge: PoolScanner.memory) }
        }
        do throws(LedgerError) {
            if let identity, let kept {
                try adopt(&slots, identity, kept, claimant, deadline: deadlines.claims)
            }
            let held = try commit(
                &slots, beside: &binding, entry: entry, carried: carried, wasReleasing: wasReleasing, order,
                deadlines: deadlines)
            return ClaimedAddresses(held: held, routes: situation.routes, isRepeated: isIntact && entry.phase == .bound)
        } catch {
            // What is in use only a DEL takes away.
            rollBack(
                (slots.flatMap(\.journalRecords) + carried).merged,
                keeping: isIntact && entry.phase == .bound && !error.isDeletion ? held : [], entry: entry,
                deadline: deadlines.answer)
            throw error
        }
    }

    /// Asks the server whether a claim would be served now. Of the ledger it changes nothing but what the claim would
    /// change before it is tried once more: releases that are owed.
    package mutating func rehearse(_ order: ClaimOrder, deadline: Moment) throws(LedgerError) {
        try journaled { () throws(JournalError) in try journal.prepare() }
        try withMoreRoom(deadline: deadline) { ledger, freed throws(LedgerError) in
            try ledger.rehearse(order, freed: freed, deadline: deadline)
        }
    }

    private mutating func rehearse(
        _ order: ClaimOrder, freed: [FreedAddress], deadline: Moment
    ) throws(LedgerError) {
        let situation = try survey(order, leftover: [], deadline: deadline, isDryRun: true)
        note(situation)
        let plans = try plans(order, situation, nil, isDryRun: true, deadline: deadline)
        var slots = plans.map { plan in
            ClaimSlot(plan, claimant: situation.claimant, claimedAt: timestamp, isDryRun: true)
        }
        for index in slots.indices { slots[index].offer(freed) }
        var none: HolderWrite?
        try run(&slots, beside: &none, deadline: deadline) { _ throws(LedgerError) in }
    }

    // MARK: Steps

    private func refuseIfDeleted(_ order: ClaimOrder) throws(LedgerError) {
        let wasDeleted = try journaled { () throws(JournalError) in
            try journal.wasDeleted(order.attachment.digest, since: order.startedAt)
        }
        if wasDeleted { throw .deleted(order.attachment) }
    }

    private func earlierEntry(_ digest: String) throws(LedgerError) -> JournalEntry? {
        try journaled { () throws(JournalError) in
            switch try journal.entry(for: digest) {
            case .absent: return nil
            case .entry(let entry): return entry
            case .torn(let problem):
                try journal.markTorn()
                throw JournalError(path: "\(journal.folder)/entries/\(digest)", problem: problem)
            }
        }
    }

    /// Whether an ADD returned what the entry names, and no DEL of it was begun since.
    private func isIntact(_ earlier: JournalEntry?) throws(LedgerError) -> Bool {
        guard let earlier, earlier.phase == .bound else { return false }
        let digest = earlier.attachment.digest
        return try journaled { () throws(JournalError) in
            try !journal.wasDeleted(digest, since: earlier.since) && !journal.isReleasing(digest)
        }
    }

    /// Claims, and makes sure that what is returned is written down and still wanted.
    ///
    /// - Parameter wasReleasing: A release of the attachment was still to be made when the ADD began.
    private mutating func commit(
        _ slots: inout [ClaimSlot], beside binding: inout HolderWrite?, entry: JournalEntry,
        carried: [JournalEntry.Record], wasReleasing: Bool, _ order: ClaimOrder, deadlines: ClaimDeadlines
    ) throws(LedgerError) -> [HeldAddress] {
        let journal = journal
        var draft = entry
        try run(&slots, beside: &binding, deadline: deadlines.claims) { slots throws(LedgerError) in
            draft.records = (slots.flatMap(\.journalRecords) + carried).merged
            try journaled { () throws(JournalError) in try journal.write(draft) }
        }
        draft.records = (slots.flatMap(\.journalRecords) + carried).merged
        draft.phase = .bound
        try journaled { () throws(JournalError) in try journal.write(draft) }
        try refuseIfDeleted(order)
        if wasReleasing {
            // The attachment has what it wanted: a release that could not be made is not to be made any more. The mark of
            // a DEL that came meanwhile is.
            try journaled { () throws(JournalError) in try journal.unmarkReleasing(draft.attachment.digest) }
            do throws(LedgerError) {
                try refuseIfDeleted(order)
            } catch {
                try journaled { () throws(JournalError) in try journal.markReleasing(draft.attachment.digest) }
                throw error
            }
        }
        return slots.compactMap(\.held)
    }

    /// Drives the slots in rounds, the requests of one round side by side, until each one is held.
    ///
    /// As soon as one has failed no other one is asked for: a family that cannot be had must not drain the other one. The
    /// same where the claim that they are taken for cannot be bound.
    ///
    /// - Parameter binding: The binding of a claim of which nobody can have anything yet.
    mutating func run(
        _ slots: inout [ClaimSlot], beside binding: inout HolderWrite?, deadline: Moment,
        beforeSending: (borrowing [ClaimSlot]) throws(LedgerError) -> Void
    ) throws(LedgerError) {
        while true {
            if let failure = binding?.failure ?? verification?.failure { throw failure }
            guard transport.now() < deadline else { throw timeout(slots, binding) }
            // What a scan tells may be that nothing is free: every slot has its candidate before any request goes out.
            for index in slots.indices {
                let taken = slots.names(besides: index)
                try chooseCandidate(of: &slots[index], avoiding: taken, deadline: deadline)
            }
            let now = transport.now()
            guard now < deadline else { throw timeout(slots, binding) }
            var requests: [(recipient: Recipient, request: APIRequest)] = []
            var wakeUp: Moment?
            for index in slots.indices {
                switch slots[index].next(now: now, remaining: deadline - now) {
                case .send(let request): requests.append((.slot(index), request))
                case .wait(let until): wakeUp = min(wakeUp ?? until, until)
                case .finished: break
                }
            }
            let isAccompanied = !requests.isEmpty
            if isAccompanied { try beforeSending(slots) }
            switch verification?.next(now: now, remaining: deadline - now, isAccompanied: isAccompanied) {
            case .send(let request): requests.append((.verification, request))
            case .wait(let until): wakeUp = min(wakeUp ?? until, until)
            case .finished, nil: break
            }
            switch binding?.next(now: now, remaining: deadline - now) {
            case .send(let request): requests.append((.binding, request))
            case .wait(let until): wakeUp = min(wakeUp ?? until, until)
            case .finished, nil: break
            }
            if requests.isEmpty {
                guard let wakeUp else { return }
                transport.sleep(until: min(wakeUp, deadline))
                continue
            }
            let replies = transport.perform(requests.map(\.request), deadline: deadline)
            for ((recipient, request), reply) in zip(requests, replies) {
                let wasSentTwice = (try? reply.get())?.wasSentTwice ?? false
                let answer = interpret(reply, to: request)
                switch recipient {
                case .slot(let index):
                    slots[index].receive(
                        answer, wasSentTwice: wasSentTwice, now: transport.now(), using: &generator)
                case .binding: binding?.receive(answer, wasSentTwice: wasSentTwice)
                case .verification: verification?.receive(answer, wasSentTwice: wasSentTwice)
                }
            }
        }
    }

    /// Whom an answer is for.
    private enum Recipient {
        case slot(Int)
        case binding
        case verification
    }

    private mutating func chooseCandidate(
        of slot: inout ClaimSlot, avoiding taken: Set<String>, deadline: Moment
    ) throws(LedgerError) {
        slot.choose(avoiding: taken, using: &generator)
        while true {
            if case .needsScan(let source, let scope) = slot.state {
                slot.learn(try scan(slot.sources[source].pool, scope, deadline: deadline), source: source)
            } else if let address = slot.freshCandidate, isHostAddress(address) {
                slot.avoid(address)
            } else {
                break
            }
            slot.choose(avoiding: taken, using: &generator)
        }
        if let failure = slot.failure { throw failure }
    }

    private func timeout(_ slots: [ClaimSlot], _ binding: HolderWrite?) -> LedgerError {
        for slot in slots {
            if let failure = slot.failure { return failure }
            if let error = slot.lastError { return .api(error, attempts: slot.creates) }
        }
        if let binding, binding.ending == nil { return binding.delay }
        return .deadline("\(slots.reduce(0) { $0 + $1.creates }) creates were tried")
    }
}
