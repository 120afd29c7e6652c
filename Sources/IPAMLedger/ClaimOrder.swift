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
    /// The families to give; nil: all that the pools of the deciding level have.
    package var families: [IPFamily]?
    /// The interface of the node that the main plugin works on, where the configuration names one.
    package var master: String?
    /// Whether annotations of the pod's namespace are looked at. Without them an ADD that names its pools makes one request
    /// less.
    package var heedsNamespace: Bool
    /// Addresses that the configuration gives to every attachment, beside those of the demand.
    package var staticAddresses: [StaticAddress]
    /// Addresses that were asked for by name, each to be given from one of the demand's slots.
    package var requested: [IPAddress]
    /// When the process that asks began: a DEL from then on is meant for this claim.
    package var startedAt: Moment

    package init(
        attachment: Attachment, pod: PodArguments?, netns: SandboxNamespace?, demand: PoolDemand,
        families: [IPFamily]? = nil, master: String? = nil, heedsNamespace: Bool = true,
        staticAddresses: [StaticAddress] = [], requested: [IPAddress] = [], startedAt: Moment
    ) {
        self.attachment = attachment
        self.pod = pod
        self.netns = netns
        self.demand = demand
        self.families = families
        self.master = master
        self.heedsNamespace = heedsNamespace
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

    /// Exact names of pools that the configuration lists, each once, in order; nil where only a LIST of all pools tells.
    var listedPools: [String]? {
        guard case .named(let patterns) = demand else { return demand == .defaults ? nil : [] }
        guard patterns.allSatisfy(\.isExact) else { return nil }
        var seen: Set<String> = []
        return patterns.map(\.text).filter { seen.insert($0).inserted }
    }

    /// The slots of the order.
    ///
    /// - Parameters:
    ///   - chosen: Those of the pools that were selected; nil where the configuration's own ranges serve.
    ///   - inline: The pools of the configuration's ranges, by name.
    ///   - asked: What the pod asks for by annotation.
    func slots(
        _ chosen: [SlotPlan]?, inline: [String: ValidatedPool], asked: [IPAddress] = []
    ) throws(LedgerError) -> [SlotPlan] {
        do throws(SlotPlanError) {
            var slots = chosen ?? []
            if chosen == nil, case .inline(let elements) = demand {
                for element in elements {
                    slots.append(try SlotPlan.slot(from: element.compactMap { inline[$0.poolName] }))
                }
            }
            slots = try SlotPlan.assign(requested(orElse: asked), to: slots)
            for fixed in staticAddresses {
                var slot = try SlotPlan.slot(from: [inline[fixed.pool.poolName]].compactMap { $0 })
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

    /// The addresses that must be given: what the runtime asks for counts before what the pod does by annotation.
    func requested(orElse asked: [IPAddress]) -> [IPAddress] { requested.isEmpty ? asked : requested }

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
