package import ControllerHTTP
import IPAMAPI
import IPAMEngine
import JSONText
import KubernetesCore
import KubernetesRuntime

/// Answers the API server about edits of pools, reservations, claims and blocks.
package struct PoolAdmission: Sendable {
    private let view: ClusterView

    package init(_ view: ClusterView) { self.view = view }

    package func decide(_ request: AdmissionRequest) -> AdmissionAnswer {
        let kinds = [ResourceType.ipPools, .ipReservations, .ipClaims, .ipBlocks].map(\.plural)
        guard request.resource.group == BerthAPI.group, kinds.contains(request.resource.resource),
            request.resource.subresource == nil
        else { return .allowed() }
        guard view.allocations.hasSynced, view.pools.hasSynced else {
            return .refused(.forbidden, "berth-controller has not read the ledger yet; try again in a few seconds")
        }
        let old = request.operation == .create ? nil : request.oldObject
        let new = request.operation == .delete ? nil : request.object
        switch decision(request.resource.resource, old: old, new: new) {
        case .allowed(let warnings): return .allowed(warnings: warnings)
        case .refused(let message): return .refused(request.operation == .delete ? .forbidden : .invalid, message)
        }
    }

    private func decision(_ resource: String, old: JSON?, new: JSON?) -> PoolEdit.Decision {
        if resource == ResourceType.ipBlocks.plural {
            return BlockEdit.decide(
                old: old, new: new, pools: view.validPools, blocks: view.validBlocks,
                nodes: Set(view.nodes.keys.map(\.name)))
        }
        if resource == ResourceType.ipClaims.plural {
            let others = view.claims.objects.map(\.object.value)
            let pools = view.validPools(purpose: new?["spec"]?["purpose"]?.string ?? "")
            let purposes = Set(view.validReservations.compactMap(\.purpose))
            return ClaimEdit.decide(old: old, new: new, pools: pools, others: others, purposes: purposes) {
                view.allocations.value(ObjectKey(name: $0))
            }
        }
        guard resource == ResourceType.ipReservations.plural else {
            let (pools, blocks, nodes) = (view.validPools, view.validBlocks, view.nodeTraits)
            return view.withIndex {
                PoolEdit.decide(old: old, new: new, otherPools: pools, blocks: blocks, nodes: nodes, index: $0)
            }
        }
        let (pools, others) = (view.pools.objects.map(\.object.value), view.validReservations)
        return view.withIndex {
            ReservationEdit.decide(old: old, new: new, pools: pools, others: others, index: $0)
        }
    }
}
