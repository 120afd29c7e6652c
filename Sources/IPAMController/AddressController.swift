package import ControllerHTTP
import IPAMAPI
import IPAMEngine
import IPAMOperation
import IPAddressing
package import KubernetesClient
import KubernetesCore
package import KubernetesRuntime
package import Logging

/// Everything that berth-controller does besides answering HTTP.
///
/// Flow: watchers keep a view of the cluster on every replica. The one that leads runs the reconcilers on it.
///
/// Guarantees: no write begins when the leadership is over. Watches, the webhook and metrics go on without it.
///
/// Caveats: `run` returns only when its task is cancelled, after it has given the leadership back.
package final class AddressController: Sendable {
    package struct Election: Sendable {
        package var namespace: String
        package var lease: String
        /// Of this process alone.
        package var identity: String
        package var limits: LeaderElectionLimits

        package init(
            namespace: String, lease: String, identity: String,
            limits: LeaderElectionLimits = LeaderElectionLimits()
        ) {
            self.namespace = namespace
            self.lease = lease
            self.identity = identity
            self.limits = limits
        }
    }

    package let view: ClusterView
    /// What the webhook answers, on every replica.
    package let admission: PoolAdmission
    private let watch: ClusterWatch
    private let gate = LeaderGate()
    private let reclaim: ReclaimReconciler
    private let reclaiming: Controller<ReclaimReconciler>
    private let cooldown: CooldownReconciler
    private let cooling: Controller<CooldownReconciler>
    private let counting: Controller<PoolStatusReconciler>
    private let life: PoolLifeReconciler
    private let living: Controller<PoolLifeReconciler>
    private let reserving: Controller<ReservationReconciler>
    private let blocks: BlockReconciler
    private let returning: Controller<BlockReconciler>
    private let claims: ClaimReconciler
    private let claiming: Controller<ClaimReconciler>
    private let certificates: WebhookCertificates?
    private let certifying: Controller<WebhookCertificates>?
    private let events: EventRecorder
    private let metrics: ControllerMetrics
    private let elector: LeaderElector
    private let watchConnection: AsyncConnection
    private let logger: Logger

    /// - Parameters:
    ///   - configuration: How to reach the API server.
    ///   - webhook: Nil where the certificates are somebody else's, or where there is no webhook.
    ///   - wallTime: Microseconds since 1970, for people and for the life of certificates.
    package init(
        _ configuration: ClientConfiguration, settings: ControllerSettings, election: Election,
        webhook: (settings: WebhookSettings, source: CertificateSource)?, registry: MetricsRegistry, logger: Logger,
        wallTime: @escaping @Sendable () -> Int64 = microsecondsSince1970
    ) throws {
        self.logger = logger
        let metrics = ControllerMetrics(registry)
        self.metrics = metrics
        watchConnection = try AsyncConnection(configuration)
        let client = AsyncClient(
            CountingTransport(try AsyncConnection(configuration), APIRequestMetrics(registry)))
        let timestamp = { @Sendable in Timestamp.rfc3339(secondsSince1970: wallTime() / 1_000_000) }
        let view = ClusterView()
        self.view = view
        admission = PoolAdmission(view, client)
        let report = Self.report(logger, metrics)
        watch = ClusterWatch(
            view, on: watchConnection, agentNamespace: settings.agentNamespace, report: report)
        let writer = LedgerWriter(client, gate: gate, timeout: settings.requestTimeout, wallTime: timestamp)
        events = EventRecorder(client, component: "berth-controller", logger: logger, wallTime: timestamp)

        let queue = KeySink<ReclaimKey>()
        let journal = ReclaimJournal(logger, events, metrics) { queue.send($0) }
        reclaim = ReclaimReconciler(view, writer, settings: settings, journal: journal)
        reclaiming = Controller(
            reclaim, limits: WorkLimits(concurrency: 16), report: Self.report("reclaim", logger, metrics))
        cooldown = CooldownReconciler(view, writer) { metrics.cooled() }
        cooling = Controller(
            cooldown, limits: WorkLimits(concurrency: 16), report: Self.report("cooldown", logger, metrics))
        counting = Controller(
            PoolStatusReconciler(view, writer, interval: settings.statusInterval), limits: WorkLimits(concurrency: 4),
            report: Self.report("status", logger, metrics))
        life = PoolLifeReconciler(view, writer, inlineLifetime: settings.inlinePoolLifetime, logger: logger)
        living = Controller(
            life, limits: WorkLimits(concurrency: 4), report: Self.report("pools", logger, metrics))
        reserving = Controller(
            ReservationReconciler(view, writer, interval: settings.statusInterval),
            limits: WorkLimits(concurrency: 2), report: Self.report("reservations", logger, metrics))
        blocks = BlockReconciler(view, writer, delay: settings.blockReturnDelay, logger: logger)
        returning = Controller(
            blocks, limits: WorkLimits(concurrency: 2), report: Self.report("blocks", logger, metrics))
        claims = ClaimReconciler(view, writer, logger: logger)
        claiming = Controller(
            claims, limits: WorkLimits(concurrency: 16), report: Self.report("claims", logger, metrics))
        certificates = webhook.map {
            WebhookCertificates(
                $0.settings, source: $0.source, writer: writer, logger: logger, now: { wallTime() / 1_000_000 })
        }
        certifying = certificates.map {
            Controller(
                $0, limits: WorkLimits(concurrency: 1), report: Self.report("certificates", logger, metrics))
        }
        elector = LeaderElector(
            namespace: election.namespace, name: election.lease, identity: election.identity,
            on: try AsyncConnection(configuration), limits: election.limits,
            report: Self.report(leader: logger, metrics))
        queue.open { [reclaiming] keys in
            for key in keys { reclaiming.enqueue(key) }
        }
        observe()
        let reclaim = reclaim
        metrics.collect(
            in: registry, view, candidates: { reclaim.candidates },
            depths: { [reclaiming, cooling, counting, living, reserving, claiming, returning] in
                [
                    ("reclaim", reclaiming.depth), ("cooldown", cooling.depth), ("status", counting.depth),
                    ("pools", living.depth), ("reservations", reserving.depth), ("claims", claiming.depth),
                    ("blocks", returning.depth),
                ]
            })
    }

    /// The stores by name, and whether each has been filled once.
    package var synced: [(name: StaticString, isSynced: Bool)] { watch.synced }

    package func run() async throws {
        try await withThrowingTaskGroup { group in
            group.addTask { try await self.watch.run() }
            if let certificates {
                let report = Self.report(logger, metrics)
                group.addTask { try await certificates.watch(on: self.watchConnection, report: report) }
            }
            group.addTask { await self.events.run() }
            group.addTask {
                try await self.elector.run { leadership in
                    self.gate.open(leadership)
                    defer { self.gate.close() }
                    try await self.lead()
                }
            }
            try await group.waitForAll()
        }
    }

    /// One term.
    private func lead() async throws {
        metrics.leads(true)
        defer { metrics.leads(false) }
        forget()
        // What is remembered of a term must not show in metrics after it.
        defer { forget() }
        for key in view.agents.keys { reclaiming.enqueue(.node(key.name)) }
        for key in view.allocations.keys {
            reclaiming.enqueue(.allocation(key.name))
            cooling.enqueue(key.name)
        }
        for key in view.pools.keys {
            counting.enqueue(key.name)
            living.enqueue(key.name)
        }
        for key in view.reservations.keys { reserving.enqueue(key.name) }
        for key in view.blocks.keys { returning.enqueue(key.name) }
        for (_, object) in view.claims.objects { claiming.enqueue(object.value.reference) }
        for (_, object) in view.allocations.objects {
            if let claim = object.value.claim { claiming.enqueue(claim) }
        }
        certifying?.enqueue(.certificates)
        try await withThrowingTaskGroup { group in
            group.addTask { try await self.reclaiming.run() }
            group.addTask { try await self.cooling.run() }
            group.addTask { try await self.counting.run() }
            group.addTask { try await self.living.run() }
            group.addTask { try await self.reserving.run() }
            group.addTask { try await self.returning.run() }
            group.addTask {
                // Until then nothing is compiled; an empty list brings no difference that would tell.
                do { try await self.view.reservations.waitUntilSynced() } catch { return }
                for key in self.view.pools.keys { self.counting.enqueue(key.name) }
            }
            group.addTask { try await self.claiming.run() }
            if let certifying { group.addTask { try await certifying.run() } }
            try await group.waitForAll()
        }
    }

    private func forget() {
        reclaim.forget()
        cooldown.forget()
        life.forget()
        blocks.forget()
        claims.forget()
    }

    // MARK: What concerns what

    /// A term begins with everything that there is. What changes while another replica leads is not kept, or the queues
    /// of one that never leads would grow with every address that was ever in use.
    private func observe() {
        let (view, metrics, gate) = (view, metrics, gate)
        reclaiming.observe(view.allocations) { gate.isInTerm ? [.allocation($0.key.name)] : [] }
        reclaiming.observe(view.nodes) { delta in
            guard gate.isInTerm else { return [] }
            // A Node's heartbeat changes nothing that matters here, nor do its labels.
            if case .changed(_, let old, let new) = delta,
                NodeFact(old.value, uid: old.uid) == NodeFact(new.value, uid: new.uid)
            {
                return []
            }
            return view.allocations(onNode: delta.key.name).map { .allocation($0.name) }
        }
        for store in [view.pods, view.succeeded, view.failed] {
            reclaiming.observe(store) { delta in
                guard gate.isInTerm else { return [] }
                if case .changed(_, let old, let new) = delta, old.value == new.value { return [] }
                return view.allocations(ofPod: delta.key).map { .allocation($0) }
            }
        }
        reclaiming.observe(view.agents) { delta in
            guard gate.isInTerm else { return [] }
            guard case .changed = delta else {
                return [.node(delta.key.name)]
                    + view.allocations(onNode: delta.key.name).map { .allocation($0.name) }
            }
            return [.node(delta.key.name)]
        }
        cooling.observe(view.allocations) { gate.isInTerm ? [$0.key.name] : [] }
        counting.observe(view.pools) { gate.isInTerm ? [$0.key.name] : [] }
        living.observe(view.pools) { gate.isInTerm ? [$0.key.name] : [] }
        observeReservations()
        observeBlocks()
        claiming.observe(view.allocations) { delta in
            gate.isInTerm ? Set(delta.records.compactMap(\.claim)).sorted { $0.uid < $1.uid } : []
        }
        claiming.observe(view.claims) { delta in
            guard gate.isInTerm else { return [] }
            switch delta {
            case .added(_, let object): return [object.value.reference]
            case .changed(_, let old, let new): return [old.value.reference, new.value.reference]
            case .deleted(let key, let old):
                // What could not be read told of no UID.
                return old.map { [$0.value.reference] } ?? view.claims(named: key)
            case .unreadable(_, _, let old): return old.map { [$0.value.reference] } ?? []
            }
        }
        observeUnreadableClaims()
        claiming.observe(view.pools) { delta in
            gate.isInTerm && delta.mayChangeRule ? view.claimsThatAsk(pool: delta.key.name) : []
        }
        claiming.observe(view.statefulSets) { delta in
            guard gate.isInTerm else { return [] }
            switch delta {
            case .added: return []
            case .changed(_, let old, let new):
                return old.value == new.value ? [] : view.claims(ofStatefulSet: old.value.uid)
            case .deleted(_, let old), .unreadable(_, _, let old):
                return old.map { view.claims(ofStatefulSet: $0.value.uid) } ?? []
            }
        }
        let (counting, living, reserving, events, logger) = (counting, living, reserving, events, logger)
        view.allocations.observe { deltas in
            if gate.isInTerm {
                let records = deltas.flatMap(\.records)
                for name in view.pools(concernedBy: records) {
                    counting.enqueue(name)
                    living.enqueue(name)
                }
                for name in view.reservations(concernedBy: records) { reserving.enqueue(name) }
            }
            metrics.claimed(deltas.count(where: \.isClaim))
            for case .unreadable(let key, let problem, _) in deltas {
                metrics.unreadable("allocations")
                logger.warning(
                    "an allocation cannot be read",
                    metadata: ["allocation": "\(key)", "problem": "\(problem.problem)"])
                events.record(
                    EventRecorder.Subject(kind: "IPAllocation", name: key.name, uid: ""), reason: "Unreadable",
                    message: problem.problem, isWarning: true)
            }
        }
        view.pools.observe { deltas in
            for case .unreadable(let key, let problem, _) in deltas {
                metrics.unreadable("pools")
                logger.warning(
                    "a pool cannot be read", metadata: ["pool": "\(key)", "problem": "\(problem.problem)"])
                events.record(
                    EventRecorder.Subject(kind: "IPPool", name: key.name, uid: ""), reason: "Unreadable",
                    message: problem.problem, isWarning: true)
            }
        }
        if let certificates {
            certifying?.observe(certificates.secrets) { _ in [.certificates] }
            certifying?.observe(certificates.bundles) { _ in [.certificates] }
        }
    }
}

extension AddressController {
    /// A pool's status does not wait for reservations to be served, and so its queue does not observe their store.
    private func observeReservations() {
        let (view, gate, counting, metrics, logger) = (view, gate, counting, metrics, logger)
        reserving.observe(view.reservations) { gate.isInTerm ? [$0.key.name] : [] }
        reserving.observe(view.pools) { delta in
            guard gate.isInTerm, delta.mayChangeRule else { return [] }
            return view.reservations.keys.map(\.name)
        }
        view.reservations.observe { deltas in
            for case .unreadable(let key, let problem, _) in deltas {
                metrics.unreadable("reservations")
                logger.warning(
                    "a reservation cannot be read",
                    metadata: ["reservation": "\(key)", "problem": "\(problem.problem)"])
            }
            guard gate.isInTerm, deltas.contains(where: \.mayChangeRules) else { return }
            for key in view.pools.keys { counting.enqueue(key.name) }
        }
    }
}

extension AddressController {
    private func observeUnreadableClaims() {
        let (metrics, logger) = (metrics, logger)
        view.claims.observe { deltas in
            for case .unreadable(let key, let problem, _) in deltas {
                metrics.unreadable("claims")
                logger.warning(
                    "a claim cannot be read", metadata: ["claim": "\(key)", "problem": "\(problem.problem)"])
            }
        }
    }

    private func observeBlocks() {
        let (view, gate, counting, metrics, logger) = (view, gate, counting, metrics, logger)
        returning.observe(view.blocks) { gate.isInTerm ? [$0.key.name] : [] }
        returning.observe(view.pools) { delta in
            guard gate.isInTerm, delta.mayChangeRule else { return [] }
            return view.blocks.objects.filter { $0.object.value.spec.pool == delta.key.name }.map(\.key.name)
        }
        view.blocks.observe { deltas in
            for case .unreadable(let key, let problem, _) in deltas {
                metrics.unreadable("blocks")
                logger.warning(
                    "a block cannot be read", metadata: ["block": "\(key)", "problem": "\(problem.problem)"])
            }
            guard gate.isInTerm else { return }
            // Pools of one network may overlap.
            for pool in view.validPools where pool.nodeBlocks != nil { counting.enqueue(pool.name) }
        }
    }
}

extension ObjectDelta<IPReservation> {
    fileprivate var mayChangeRules: Bool {
        guard case .changed(_, let old, let new) = self else { return true }
        return old.value.spec != new.value.spec
    }
}

extension ObjectDelta<IPPool> {
    /// Whether more has changed than counts.
    fileprivate var mayChangeRule: Bool {
        guard case .changed(_, let old, let new) = self else { return true }
        func rule(_ pool: IPPool) -> [String] {
            let status = pool.status ?? IPPool.Status()
            return ["\(pool.metadata.generation)", "\(status.reservedGeneration)"] + status.reserved
                + status.reservedFor.flatMap { [$0.purpose] + $0.ranges }
        }
        return rule(old.value) != rule(new.value)
    }
}

extension ObjectDelta<AllocationRecord> {
    fileprivate var records: [AllocationRecord] {
        switch self {
        case .added(_, let object): [object.value]
        case .changed(_, let old, let new): [old.value, new.value]
        case .deleted(_, let old), .unreadable(_, _, let old): old.map { [$0.value] } ?? []
        }
    }

    /// An address came to a holder.
    fileprivate var isClaim: Bool {
        switch self {
        case .added(_, let object): object.value.state == .bound
        case .changed(_, let old, let new):
            new.value.state == .bound && old.value.attachmentDigest != new.value.attachmentDigest
        case .deleted, .unreadable: false
        }
    }
}
