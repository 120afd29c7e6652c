package import IPAMAPI
package import IPAMLedger
package import KubernetesCore

/// When the ledger is asked about an address that a live sandbox uses, as a state machine without I/O.
///
/// - Flow: the watch says that the ledger lacks it, or gives it to another. When it still does so after a moment, the
///   ledger is asked, and the address entered again where nobody holds it. Where an attachment of this node holds it that
///   is dead, that must be found twice, with the confirmation time in between, before the address is taken from it.
/// - Caveats: a conflict that lasts is looked at again now and then.
package struct LossTracker: Hashable, Sendable {
    package enum Action: Hashable, Sendable {
        case nothing
        case wait(until: Moment)
        /// Ask the ledger. `taking`: the dead attachment that the address may be taken from.
        case ask(taking: Attachment?)
    }

    private enum Phase: Hashable {
        case kept
        /// The watch says so.
        case missed(since: Moment)
        /// The ledger said that a dead attachment holds it.
        case heldByDead(Attachment, since: Moment)
        case conflict(with: String, next: Moment)
        /// The ledger said something else than the watch, or it was put right.
        case answered(next: Moment)
    }

    /// Between two looks at a conflict that lasts.
    package static let conflictInterval: Duration = .seconds(30)

    package static let answerInterval: Duration = .seconds(5)

    private var phase: Phase = .kept

    package init() {}

    /// Who has the address, of a conflict that lasts.
    package var conflict: String? {
        if case .conflict(let holder, _) = phase { holder } else { nil }
    }

    /// Takes in what the watch says.
    package mutating func observe(isMissing: Bool, settings: JudgementSettings, now: Moment) -> Action {
        guard isMissing else {
            phase = .kept
            return .nothing
        }
        let (due, holder): (Moment, Attachment?) =
            switch phase {
            case .kept: (now + settings.watchLag, nil)
            case .missed(let since): (since + settings.watchLag, nil)
            case .heldByDead(let holder, let since): (since + settings.confirmation, holder)
            case .conflict(_, let next), .answered(let next): (next, nil)
            }
        if phase == .kept { phase = .missed(since: now) }
        return now >= due ? .ask(taking: holder) : .wait(until: due)
    }

    /// Takes in what the ledger said. Returns whether there is a conflict that was not known before.
    package mutating func learned(_ finding: HoldingFinding, now: Moment) -> Bool {
        switch finding {
        case .heldByDead(let holder):
            if case .heldByDead(holder, _) = phase { return false }
            phase = .heldByDead(holder, since: now)
            return false
        case .conflict(let holder):
            let isNew = conflict != holder
            phase = .conflict(with: holder, next: now + Self.conflictInterval)
            return isNew
        case .restored, .intact, .notWanted, .busy, .unsettled, .migrated:
            // The watch will say so too; should it not, it is looked at again.
            phase = .answered(next: now + Self.answerInterval)
            return false
        }
    }
}
