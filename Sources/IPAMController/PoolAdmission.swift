package import ControllerHTTP
import IPAMAPI
import IPAMEngine
import KubernetesCore
import KubernetesRuntime

/// Answers the API server about edits of pools and claims.
package struct PoolAdmission: Sendable {
    private let view: ClusterView

    package init(_ view: ClusterView) { self.view = view }

    package func decide(_ request: AdmissionRequest) -> AdmissionAnswer {
        guard request.resource.group == BerthAPI.group, request.resource.subresource == nil else { return .allowed() }
        let isClaim = request.resource.resource == ResourceType.ipClaims.plural
        guard isClaim || request.resource.resource == ResourceType.ipPools.plural else { return .allowed() }
        guard view.allocations.hasSynced, view.pools.hasSynced else {
            return .refused(.forbidden, "berth-controller has not read the ledger yet; try again in a few seconds")
        }
        let old = request.operation == .create ? nil : request.oldObject
        let new = request.operation == .delete ? nil : request.object
        let pools = view.validPools
        let decision =
            isClaim
            ? ClaimEdit.decide(old: old, new: new, pools: pools) { view.allocations.value(ObjectKey(name: $0)) }
            : view.withIndex { PoolEdit.decide(old: old, new: new, otherPools: pools, index: $0) }
        switch decision {
        case .allowed(let warnings): return .allowed(warnings: warnings)
        case .refused(let message): return .refused(request.operation == .delete ? .forbidden : .invalid, message)
        }
    }
}
