import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesClient
import KubernetesCore

extension ClusterReader {
    /// The claim of a virtual machine, whose object says which one it is.
    func claim(
        _ machine: VirtualMachineDemand, of pod: ExplainedPod, _ source: NetworkSource
    ) throws -> ClaimFinding {
        let origin = ClaimFinding.Origin.automatic("virtual machine \"\(machine.instance.name)\"")
        let key = PodKey(namespace: machine.namespace, name: source.network.isEmpty ? "" : machine.claimName)
        let wanted: AutomaticClaim
        do {
            let found = try find(
                .get(
                    .virtualMachineInstances, namespace: machine.namespace, name: machine.instance.name,
                    metadataOnly: true))
            let metadata = try found.map { try ObjectMetadata(try JSONFields($0)) }
            wanted = try machine.claim(metadata)
        } catch let error as APIError {
            guard error.isUnserved else { throw ConsoleError(error) }
            return ClaimFinding(
                origin, key: key,
                obstacle: "the API server does not serve \(ResourceType.virtualMachineInstances.groupResource)")
        } catch let problem as VirtualMachineProblem {
            return ClaimFinding(origin, key: key, obstacle: "\(problem)")
        }
        return try claim(wanted, of: pod, source)
    }

    /// The claim that stands for an IPAMClaim.
    func claim(_ demand: IPAMClaimDemand, of pod: ExplainedPod, _ source: NetworkSource) throws -> ClaimFinding {
        let origin = ClaimFinding.Origin.automatic("IPAMClaim \"\(demand.reference.name)\"")
        let key = PodKey(namespace: demand.namespace, name: source.network.isEmpty ? "" : demand.claimName)
        let request = APIRequest.get(.ipamClaims, namespace: demand.namespace, name: demand.reference.name)
        do {
            let found: JSON?
            do throws(APIError) {
                found = try find(request)
            } catch {
                throw error.isUnserved ? demand.unserved : ConsoleError(error)
            }
            let (wanted, wishes) = try demand.resolve(found)
            return try claim(wanted, of: pod, source, wishes: wishes)
        } catch let problem as IPAMClaimProblem {
            switch problem {
            case .wait(let text), .refuse(let text): return ClaimFinding(origin, key: key, obstacle: text)
            }
        }
    }

    /// Nil where there is no such object.
    private func find(_ request: APIRequest) throws(APIError) -> JSON? {
        do throws(APIError) {
            return try perform(request)
        } catch {
            guard error.isNotFound, !error.isUnserved else { throw error }
            return nil
        }
    }
}
