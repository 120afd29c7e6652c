import IPAMEngine
import KubernetesCore

extension Ledger {
    /// The situation as it is for the purpose that the claim names, where the pod names none.
    ///
    /// The claim is known only after the pools were read without its purpose, so that they are looked at once more: a
    /// round trip that nobody else makes.
    func situation(
        _ situation: Situation, for identity: Identity?, _ order: ClaimOrder, leftover: [JournalEntry.Record],
        deadline: Moment
    ) throws(LedgerError) -> Situation {
        guard let identity else { return situation }
        switch ClaimPurpose(identity.claim, named: situation.purpose) {
        case .asPod: return situation
        case .conflict(let text): throw .addressRefused(text)
        case .instead(let purpose):
            return try survey(order, leftover: leftover, purpose: purpose, deadline: deadline)
        }
    }
}
