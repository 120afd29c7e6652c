package import IPAMAPI
package import IPAMEngine
package import IPAddressing
package import KubernetesCore

/// Everything that an ADD asks of the ledger.
package struct ClaimOrder: Sendable {
    package var attachment: Attachment
    /// nil for a container that is no pod of this cluster.
    package var pod: PodArguments?
    package var netns: SandboxNamespace?
    package var demand: PoolDemand
    /// Addresses that the configuration gives to every attachment, beside those of the demand.
    package var staticAddresses: [StaticAddress]
    /// Addresses that were asked for by name, each to be given from one of the demand's slots.
    package var requested: [IPAddress]
    /// When the process that asks began: a DEL from then on is meant for this claim.
    package var startedAt: Moment

    package init(
        attachment: Attachment, pod: PodArguments?, netns: SandboxNamespace?, demand: PoolDemand,
        staticAddresses: [StaticAddress] = [], requested: [IPAddress] = [], startedAt: Moment
    ) {
        self.attachment = attachment
        self.pod = pod
        self.netns = netns
        self.demand = demand
        self.staticAddresses = staticAddresses
        self.requested = requested
        self.startedAt = startedAt
    }

    /// The inline pools that the order needs, each once.
    var inlinePools: [InlinePoolDefinition] {
        var pools: [InlinePoolDefinition] = []
        if case .inline(let elements) = demand { pools = elements.flatMap { $0 } }
        pools += staticAddresses.map(\.pool)
        var seen: Set<InlinePoolDefinition> = []
        return pools.filter { seen.insert($0).inserted }
    }

    /// The names of all pools that the order needs, each once, in order.
    var poolNames: [String] {
        var names: [String] = []
        if case .named(let named) = demand { names = named }
        names += inlinePools.map(\.poolName)
        var seen: Set<String> = []
        return names.filter { seen.insert($0).inserted }
    }

    /// The slots of the order, once its pools are read.
    func slots(_ pools: [String: ValidatedPool]) throws(LedgerError) -> [SlotPlan] {
        do throws(SlotPlanError) {
            var slots: [SlotPlan] = []
            switch demand {
            case .named(let names):
                slots = try SlotPlan.slots(forNamed: names.compactMap { pools[$0] })
            case .inline(let elements):
                for element in elements {
                    slots.append(try SlotPlan.slot(from: element.compactMap { pools[$0.poolName] }))
                }
            }
            slots = try SlotPlan.assign(requested, to: slots)
            for fixed in staticAddresses {
                var slot = try SlotPlan.slot(from: [pools[fixed.pool.poolName]].compactMap { $0 })
                slot.isStatic = true
                slots += try SlotPlan.assign([fixed.address], to: [slot])
            }
            try checkDistinct(slots)
            return slots
        } catch {
            switch error {
            case .noUsablePool: throw .poolUnusable("\(error)")
            case .addressRefused: throw .addressRefused("\(error)")
            }
        }
    }

    /// Two slots that must have one name would both be held by it.
    private func checkDistinct(_ slots: [SlotPlan]) throws(SlotPlanError) {
        var names: Set<String> = []
        for slot in slots {
            guard let exact = slot.exact, let pool = slot.pools.first else { continue }
            guard names.insert(pool.allocationName(of: exact)).inserted else {
                throw .addressRefused(exact, reason: "it is asked for twice")
            }
        }
    }
}
