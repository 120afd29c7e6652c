package import IPAMAPI
package import IPAMEngine
import IPAddressing
package import JSONText
package import KubernetesCore

/// Whether a person may take an address from its holder.
package enum ReleaseDecision: Hashable, Sendable {
    /// Nobody can use it any more, or it is the person's own to tell.
    case allowed(String)
    /// Somebody may use it. The remedy: what else there is to do, and that force overrides.
    case needsForce(String, remedy: String = "--force overrides")
    /// It would not be free, whoever insists: what would free it is the remedy.
    case refused(String, remedy: String)

    /// One look tells nothing of when a pod ended, and its sandbox may outlive it: where no more than the kubelet's word
    /// stands for the node, what the controller frees after its grace period needs force.
    ///
    /// - Parameters:
    ///   - blindness: Why it is not known which nodes have an agent; nil where it is.
    ///   - claim: Of what is kept for a claim, the one of its name; nil where it is proven that there is none.
    ///   - source: Of what is kept for a claim, the pod of the name from which a virtual machine migrated; nil where there
    ///     is none.
    package init(
        _ entry: LedgerEntry, _ facts: ReclaimFacts, blindness: ConsoleError? = nil, claim: IPClaim?,
        source: PodEntry?, now: Moment
    ) {
        let record = entry.record
        switch record.state {
        case .cooling:
            self = .allowed("it was released, and rests")
            return
        case .held:
            self = Self.kept(entry, claim, source)
            return
        case .bound, .fenced: break
        }
        if record.origin == .manual {
            self = .allowed("it was entered by hand")
            return
        }
        var judge = LeakJudge(gracePeriod: .zero)
        switch judge.judge(record, facts, now: now) {
        case .releasable(let reason): self = Self.afterOneLook(reason, blindness)
        case .some(let verdict): self = .needsForce(verdict.message)
        case nil:
            if case .present = facts.pod {
                self = .needsForce("\(entry.holderText) is there and may use it")
            } else {
                self = .needsForce("nothing proves that \(entry.holderText) is gone")
            }
        }
    }

    private static func afterOneLook(_ reason: ReclaimReason, _ blindness: ConsoleError?) -> ReleaseDecision {
        if let blindness {
            return .needsForce(
                "\(reason.explanation), but \(blindness.problem)", remedy: "\(blindness.remedy); --force overrides")
        }
        switch reason {
        case .nodeDeleted, .nodeOutOfService: return .allowed(reason.explanation)
        case .podDeleted, .podReplaced, .podFinished, .nodeLost:
            return .needsForce(
                "\(reason.explanation), for all that is known since a moment ago, and its sandbox may still run:"
                    + " berth-controller frees it after its grace period",
                remedy: "wait for that, or run `kubectl berth check --fix`, which looks twice; --force overrides")
        }
    }

    /// As the controller judges what is kept: by the claim, and by the guest that may run in another pod.
    private static func kept(_ entry: LedgerEntry, _ claim: IPClaim?, _ source: PodEntry?) -> ReleaseDecision {
        guard let reference = entry.claim else {
            return .allowed(entry.record.origin == .manual ? "it was entered by hand" : "it is kept for no claim")
        }
        if let claim, claim.metadata.uid == reference.uid {
            let isAskedFor = claim.spec.addresses.contains { IPAddress($0) == entry.record.address }
            return .refused(
                "it is kept for \(entry.holderText)\(isAskedFor ? ", which asks for it (spec.addresses)" : "")",
                remedy: remedy(claim, isAskedFor: isAskedFor))
        }
        if let source, let guest = entry.record.migratedFrom, source.fact == .present(uid: guest.podUID) {
            return .needsForce("pod \(source.key), from which a virtual machine migrated, is there and may use it")
        }
        return .allowed(
            claim == nil
                ? "it is kept for \(reference.subject), which does not exist"
                : "it is kept for an earlier \(reference.subject) of another UID")
    }

    /// What is no more in `spec.addresses` is kept like anything else of the claim, by its retention.
    private static func remedy(_ claim: IPClaim, isAskedFor: Bool) -> String {
        let place = "-n \(claim.namespace) \(claim.metadata.name)"
        let deletion = "kubectl delete ipclaim \(place)"
        guard isAskedFor else { return deletion }
        guard let seconds = claim.secondsUnused else {
            return "\(deletion), and take it out of spec.addresses of the claim if you make that anew"
        }
        return "take it out of spec.addresses of the claim (kubectl edit ipclaim \(place)), which frees it"
            + " \(DurationText.text(seconds: seconds)) later, or at once: \(deletion)"
    }
}

extension ClusterReader {
    /// An allocation with what may be done to it, by reads of its pod and node; nil when there is none.
    package func releaseDecision(
        _ name: String, systemNamespace: String
    ) throws -> (LedgerEntry, ReleaseDecision)? {
        switch try allocation(name) {
        case nil: return nil
        case .unreadable(let allocation):
            throw ConsoleError(
                "allocation \(name) cannot be understood: \(allocation.problem)",
                remedy: "see what it is, then: kubectl delete ipallocation \(name)")
        case .entry(let entry):
            var picture = ClusterPicture()
            if let key = entry.podKey { picture.pods[key] = try pod(key) }
            if !entry.record.node.isEmpty { picture.nodes[entry.record.node] = try node(entry.record.node) }
            picture.agents = try agents(systemNamespace: systemNamespace)
            let isKept = entry.record.state == .held
            let claim = isKept ? try entry.claim.flatMap { try keeper($0) } : nil
            let source = isKept ? try entry.migrationSource.flatMap { try pod($0) } : nil
            let now = now()
            let facts = picture.facts(about: entry.record, now: now)
            let decision = ReleaseDecision(
                entry, facts, blindness: picture.agents.blindness, claim: claim, source: source, now: now)
            return (entry, decision)
        }
    }

    /// The claim of that name, whose UID may be another one; nil when that proves that there is none. A server that does
    /// not know the kind proves nothing.
    private func keeper(_ reference: ClaimReference) throws(ConsoleError) -> IPClaim? {
        guard let json = try read(.ipClaims, namespace: reference.namespace, name: reference.name) else { return nil }
        do throws(JSONDecodingError) {
            return try IPClaim(json)
        } catch {
            throw ConsoleError(
                "\(reference.subject) cannot be read: \(error)",
                remedy: "use the version of kubectl-berth that belongs to the installed custom resources")
        }
    }
}

/// What `release` shows.
package struct ReleaseReport: Hashable, Sendable, Report {
    package var entry: LedgerEntry

    package init(_ entry: LedgerEntry) { self.entry = entry }

    private var outcome: String {
        if entry.goesAtOnce { return "is free" }
        return entry.claim == nil || entry.isKept
            ? "rests for \(DurationText.text(seconds: entry.record.cooldownSeconds))" : "is kept for its claim"
    }

    package func text(_ style: Style, isWide: Bool) -> String { "released \(entry.name): it \(outcome)\n" }
    package var json: JSON {
        ["allocation": .string(entry.name), "result": "Released", "message": .string("it \(outcome)")]
    }
    package var names: [String] { [ObjectText.allocation(entry.name)] }
}
