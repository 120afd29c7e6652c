package import ControllerHTTP
import IPAMAPI
import IPAMEngine
import JSONText
package import KubernetesClient
import KubernetesCore
import KubernetesRuntime

/// Answers the API server about edits of pools, reservations, claims and blocks.
///
/// Everything is decided by what the stores know, except for one thing that refuses nobody: nobody watches namespaces,
/// so that they are listed when a pool is written that selects by them.
package struct PoolAdmission: Sendable {
    /// The most time for a list of namespaces, of the few seconds that an answer may take.
    private static let listTimeout: Duration = .seconds(1)

    private let view: ClusterView
    private let client: AsyncClient

    package init(_ view: ClusterView, _ client: AsyncClient) {
        self.view = view
        self.client = client
    }

    package func decide(_ request: AdmissionRequest) async -> AdmissionAnswer {
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
        case .allowed(let warnings):
            guard request.resource.resource == ResourceType.ipPools.plural,
                let selectors = PoolEdit.selectors(old: old, new: new), selectors.looksAtNamespaces
            else { return .allowed(warnings: warnings) }
            return .allowed(warnings: warnings + selectors.warnings(namespaces: await namespaces()))
        case .refused(let message): return .refused(request.operation == .delete ? .forbidden : .invalid, message)
        }
    }

    /// From the API server's cache, metadata alone. None where they cannot be had in time, or one cannot be read.
    private func namespaces() async -> [NamespaceTraits] {
        let options = ListOptions(resourceVersion: "0", form: .metadata)
        do {
            let deadline = client.clock.now() + Self.listTimeout
            return try await client.list(.namespaces, options: options, deadline: deadline).items.map {
                let metadata = try ObjectMetadata(try JSONFields($0))
                return NamespaceTraits(name: metadata.name, labels: metadata.labels)
            }
        } catch {
            return []
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
            return ClaimEdit.decide(
                old: old, new: new, pools: pools, blocks: view.validBlocks, others: others, purposes: purposes
            ) {
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
