import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesCore

/// What of the ledger is looked at to find what a claim keeps.
struct KeptQuery: Hashable, Sendable {
    /// The most allocations that are looked at for one claim.
    static let maximumCount = 64

    /// Allocations that the claim's status or its slots name.
    private(set) var names: [String] = []
    /// A LIST by the claim's label, where no controller has looked at the claim and something may be kept. One that has
    /// looked names what is kept: that there is nothing else a LIST after the binding has to say.
    private(set) var isList = false
    private let selector: String
    /// Something may be kept for the claim that `names` do not tell. Of a claim that people made and that never had a
    /// holder nothing is but what it asks for.
    let mayFindMore: Bool

    /// - Parameter migrates: What a guest has in another pod is to be found, and whatever the claim's status says of it may
    ///   be old.
    init(_ claim: IPClaim, _ slots: [ClaimSlot], migrates: Bool = false) {
        selector = "\(LabelKey.claim)=\(LabelValue.fitting(claim.metadata.uid))"
        guard !migrates else {
            (isList, mayFindMore) = (true, true)
            return
        }
        let undecided = slots.filter { $0.isUndecided && $0.claimant.claim != nil }
        let isUnused = claim.status.holder == nil && claim.status.addresses.isEmpty && !claim.isAutomatic
        // An exact address has one name, which is asked for.
        mayFindMore = !isUnused && undecided.contains { $0.exact == nil }
        let known = claim.status.addresses.prefix(Self.maximumCount).compactMap { IPAddress($0) }
        for slot in undecided {
            for address in slot.exact.map({ [$0] }) ?? known {
                for name in slot.names(of: address) where !names.contains(name) { names.append(name) }
            }
        }
        isList = mayFindMore && claim.status.addresses.isEmpty && claim.status.observedGeneration == 0
    }

    var list: APIRequest {
        .list(.ipAllocations, options: ListOptions(labelSelector: selector, limit: Self.maximumCount))
    }

    var requests: [APIRequest] { names.map { .get(.ipAllocations, name: $0) } + (isList ? [list] : []) }
}

/// A query, and what it told.
struct KeptReading {
    var query: KeptQuery
    /// May be older than the binding of the claim; nil where the query is still to be made.
    var answers: [Result<JSON, LedgerError>]?
    /// The pod that the guest of a virtual machine migrates from, by the claim as it was bound.
    var source: PodName?
}

extension KeptReading {
    /// The reading for the claim as it was read last. What was read for another query says nothing of this one.
    ///
    /// - Parameter source: Of no weight where the claimant is of no virtual machine.
    fileprivate func migrating(
        from source: PodName?, _ claim: IPClaim, _ slots: [ClaimSlot], _ machine: VirtualMachinePod?
    ) -> KeptReading {
        let source = machine == nil ? nil : source
        let query = KeptQuery(claim, slots, migrates: source != nil)
        return KeptReading(
            query: query, answers: query.requests == self.query.requests ? answers : nil, source: source)
    }
}

/// What a request beside the binding of a claim is for.
private enum BindingTalk: Conversation {
    case holder(HolderWrite)
    case inquiry(Inquiry)

    var write: HolderWrite? {
        if case .holder(let write) = self { write } else { nil }
    }

    var outcome: Result<JSON, LedgerError>? {
        if case .inquiry(let inquiry) = self { inquiry.outcome } else { nil }
    }

    mutating func next(remaining: Duration) -> ConversationStep {
        switch self {
        case .holder(var write):
            let step = write.next(remaining: remaining)
            self = .holder(write)
            return step
        case .inquiry(var inquiry):
            let step = inquiry.next(remaining: remaining)
            self = .inquiry(inquiry)
            return step
        }
    }

    mutating func receive(_ result: Result<JSON, APIError>, wasSentTwice: Bool) {
        switch self {
        case .holder(var write):
            write.receive(result, wasSentTwice: wasSentTwice)
            self = .holder(write)
        case .inquiry(var inquiry):
            inquiry.receive(result, wasSentTwice: wasSentTwice)
            self = .inquiry(inquiry)
        }
    }
}

extension Ledger {
    /// How often a claim is bound anew that others keep writing.
    private static var maximumBindings: Int { 8 }

    /// Makes the attachment the holder of a claim that was there before, and reads beside that what the claim keeps.
    ///
    /// - Flow: write the holder on condition of the version that was read; side by side with it read what is kept that the
    ///   slots could use, and the pod where another one of its name is overruled. Another holder's pod is read before that,
    ///   and gives way only when it is gone or has finished, or when the guest of its virtual machine migrates here.
    /// - Guarantees: no address is taken for the claim before this is done. A pod that is the predecessor of the holder
    ///   fails here: it is read after the claim was, and the write is on condition that the claim is the same still. A
    ///   successor that shows up later overrules this binding, and not the other way round.
    /// - Returns: Without answers where the attachment was the holder before, and where the claim was changed meanwhile so
    ///   that something else is to be asked.
    /// - Errors: `claimBusy` where another pod has it; `addressRefused` where the claim cannot serve this interface.
    func bind(
        _ identity: Identity, _ claimant: Claimant, _ slots: [ClaimSlot], deadline: Moment
    ) throws(LedgerError) -> KeptReading {
        let pod = identity.pod
        let candidate = claimant.holder(pod)
        let networkName = claimant.attachment.networkName
        let machine = claimant.machine
        var claim = identity.claim
        var reading = KeptReading(query: KeptQuery(claim, slots))
        var (gone, sources): (Set<String>, Set<String>) = ([], [])
        for _ in 0..<Self.maximumBindings {
            var source: PodName?
            switch ClaimBinding(
                claim, candidate: candidate, networkName: networkName, machine: machine, gone: gone, sources: sources)
            {
            case .bound: return reading.migrating(from: claim.status.holder?.migratedFrom, claim, slots, machine)
            case .bind: break
            case .handOver(let pod): source = pod
            case .wait(let text): throw .claimBusy(text)
            case .refuse(let text): throw .addressRefused(text)
            case .prove(let holder):
                let place = claim.status.holder.flatMap { $0.podUID == holder.podUID ? $0.node : nil }
                switch try see(holder, on: place, of: machine, namespace: pod.namespace, deadline: deadline) {
                case .gone: gone.insert(holder.podUID)
                case .ofSameMachine where machine?.isMigrationTarget == true:
                    if sources.insert(holder.podUID).inserted { continue }
                    fallthrough
                case .ofSameMachine, .present: throw .claimBusy(ClaimBinding.contention(claim, candidate))
                }
                continue
            }
            reading = reading.migrating(from: source, claim, slots, machine)
            let isNamesake = claim.status.holder.map { HolderWrite.isNamesake($0, of: candidate) } ?? false
            let podRequests = isNamesake ? [Self.presence(of: pod)] : []
            var talks = [
                BindingTalk.holder(
                    HolderWrite(
                        claim, candidate: candidate, networkName: networkName, machine: machine, gone: gone,
                        sources: sources))
            ]
            let reads = reading.answers == nil ? reading.query.requests : []
            talks += (podRequests + reads).map { .inquiry(Inquiry($0)) }
            transport.drive(&talks, deadline: deadline) { _ in }
            guard let write = talks.first?.write else { break }
            var answers = talks.dropFirst().compactMap(\.outcome)
            talks = []
            let podAnswer = isNamesake ? answers.removeFirst() : nil
            if reading.answers == nil { reading.answers = answers }
            claim = write.claim
            reading = reading.migrating(from: write.source, claim, slots, machine)
            switch write.ending {
            case .needsProof: continue
            case .failed(let error): throw error
            case nil: throw write.delay
            case .bound:
                if write.hasInherited {
                    // A claim that was read again may have another holder, and the pod must be read after that.
                    let answer = write.wasUndisturbed ? podAnswer : nil
                    try refuseIfReplaced(pod, answer, deadline: deadline)
                }
                return reading
            }
        }
        throw .claimBusy("\(identity.description) changes hands again and again")
    }

    /// The binding of a claim that this ADD has made, to be driven beside the creates of its first addresses.
    ///
    /// Whoever else finds the claim before that finds it without a holder, may bind it, and then takes addresses of its
    /// own: the binding fails here, and what was created beside it was never returned and is deleted. So of two that
    /// meet one has all its addresses, or none has any.
    func firstBinding(_ identity: Identity, _ claimant: Claimant) -> HolderWrite {
        HolderWrite(
            identity.claim, candidate: claimant.holder(identity.pod), networkName: claimant.attachment.networkName,
            machine: claimant.machine, isFirst: true)
    }

    private static func presence(of pod: PodReference) -> APIRequest {
        .get(.pods, namespace: pod.namespace, name: pod.name, metadataOnly: true)
    }

    /// - Parameter known: The answer, where it was asked for already.
    private func refuseIfReplaced(
        _ pod: PodReference, _ known: Result<JSON, LedgerError>?, deadline: Moment
    ) throws(LedgerError) {
        let answer = known ?? ask([Self.presence(of: pod)], deadline: deadline)[0]
        guard try answer.unlessNotFound()?["metadata"]?["uid"]?.string == pod.uid else {
            throw .podChanged("pod \"\(pod.namespace)/\(pod.name)\" does not exist any more")
        }
    }

    // MARK: What is kept

    /// Lets slots that have no address yet take what is kept for the claim, before anything new is taken.
    ///
    /// - Flow: take what was read beside the binding. Where that would make the ADD fail, or take something new although
    ///   something may be kept, it is too old to be relied upon: read again, once each.
    /// - Guarantees: what another attachment still has makes the ADD wait. What is kept in pools that do not serve this
    ///   interface here, or that reserve or exclude it by now, is left alone, and the controller frees it later: the
    ///   gateway of another subnet would be wrong.
    /// - Errors: `claimBusy` names both sides.
    func adopt(
        _ slots: inout [ClaimSlot], _ identity: Identity, _ reading: KeptReading, _ claimant: Claimant,
        deadline: Moment
    ) throws(LedgerError) {
        if let source = reading.source {
            return try adopt(&slots, identity, reading, claimant, migratingFrom: source, deadline: deadline)
        }
        let query = reading.query
        var isFresh = reading.answers == nil
        var inventory = try inventory(reading.answers ?? ask(query.requests, deadline: deadline), claimant)
        if inventory.occupied != nil, !isFresh {
            inventory = try self.inventory(ask(query.requests, deadline: deadline), claimant)
            isFresh = true
        }
        try take(inventory, &slots, claimant)
        guard query.mayFindMore, slots.contains(where: { $0.isUndecided && $0.exact == nil }),
            !(isFresh && query.isList)
        else { return }
        try take(try self.inventory(ask([query.list], deadline: deadline), claimant), &slots, claimant)
    }

    private func inventory(
        _ answers: [Result<JSON, LedgerError>], _ claimant: Claimant
    ) throws(LedgerError) -> ClaimInventory {
        ClaimInventory(try allocations(answers), of: claimant.claim, attachment: claimant.attachment)
    }

    /// What a query found.
    func allocations(_ answers: [Result<JSON, LedgerError>]) throws(LedgerError) -> [IPAllocation] {
        var found: [IPAllocation] = []
        for answer in answers {
            guard let json = try answer.unlessNotFound() else { continue }
            for object in json["items"]?.array ?? [json] {
                do {
                    found.append(try IPAllocation(object))
                } catch {
                    log.log(
                        .warning, "allocation does not decode",
                        [("allocation", object["metadata"]?["name"]?.string ?? ""), ("problem", "\(error)")])
                }
            }
        }
        return found
    }

    private func take(
        _ inventory: ClaimInventory, _ slots: inout [ClaimSlot], _ claimant: Claimant
    ) throws(LedgerError) {
        if let error = inventory.occupied.flatMap({ claimant.busy($0) }) { throw error }
        slots.adopt(inventory.kept)
    }
}
