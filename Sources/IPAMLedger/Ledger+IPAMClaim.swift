import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesCore

extension Ledger {
    /// What an ADD needs of the IPAMClaim that its pod refers to.
    struct ResolvedIPAMClaim {
        var claim: AutomaticClaim
        /// What the API server has under the claim's name.
        var found: Result<JSON, LedgerError>
        /// The addresses that the interface must get.
        var wishes: [IPAddress]
    }

    /// Reads the IPAMClaim that a pod refers to, and the IPClaim that stands for it, side by side.
    ///
    /// - Errors: a reference that cannot be followed is no reason to give any address: `claimBusy` where the object may
    ///   come yet, `addressRefused` where what it says cannot be understood. Both name the pod, the element and the object.
    func resolve(_ demand: IPAMClaimDemand, deadline: Moment) throws(LedgerError) -> ResolvedIPAMClaim {
        let answers = ask(
            [
                .get(.ipamClaims, namespace: demand.namespace, name: demand.reference.name),
                .get(.ipClaims, namespace: demand.namespace, name: demand.claimName),
            ], deadline: deadline)
        var object: JSON?
        var problem: IPAMClaimProblem?
        do throws(LedgerError) {
            object = try answers[0].unlessNotFound()
        } catch {
            guard case .api(let failure, _) = error, failure.isUnserved else { throw error }
            problem = demand.unserved
        }
        do throws(IPAMClaimProblem) {
            if let problem { throw problem }
            let (claim, wishes) = try demand.resolve(object)
            return ResolvedIPAMClaim(claim: claim, found: answers[1], wishes: wishes)
        } catch {
            switch error {
            case .wait(let text): throw .claimBusy(text)
            case .refuse(let text): throw .addressRefused(text)
            }
        }
    }
}
