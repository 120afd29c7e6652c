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
        let name = "IPAMClaim \"\(demand.namespace)/\(demand.reference.name)\""
        let place = demand.reference.place
        let answers = ask(
            [
                .get(.ipamClaims, namespace: demand.namespace, name: demand.reference.name),
                .get(.ipClaims, namespace: demand.namespace, name: demand.claimName),
            ], deadline: deadline)
        let found: JSON?
        do throws(LedgerError) {
            found = try answers[0].unlessNotFound()
        } catch {
            guard case .api(let failure, _) = error, failure.isUnserved else { throw error }
            throw .claimBusy(
                "\(place) refers to \(name), and the API server does not serve \(ResourceType.ipamClaims.groupResource)"
            )
        }
        guard let found else { throw .claimBusy("\(place) refers to \(name), which does not exist") }
        let object: IPAMClaim
        do throws(JSONDecodingError) {
            object = try IPAMClaim(found)
        } catch {
            throw .addressRefused("\(place) refers to \(name), which cannot be understood: \(error)")
        }
        guard !object.metadata.isBeingDeleted else {
            throw .claimBusy("\(place) refers to \(name), which is being deleted")
        }
        var wishes: [IPAddress] = []
        for text in object.wishes {
            guard let address = IPAddress(IPAMClaim.address(text)) else {
                throw .addressRefused("\(place) refers to \(name), whose \(text.debugDescription) is no address")
            }
            wishes.append(address)
        }
        return ResolvedIPAMClaim(claim: demand.claim(object), found: answers[1], wishes: wishes)
    }
}
