import IPAMAPI
import IPAMEngine
import IPAddressing
import JSONText
import KubernetesCore

/// The pools that an ADD has read.
struct PoolShelf {
    /// Without the rules of reservations.
    private(set) var readings: [String: PoolSelection.Reading] = [:]
    private var objects: [String: IPPool] = [:]
    /// Whether it has every pool there is, so that one it lacks does not exist.
    private(set) var isComplete = false
    private var absent: Set<String> = []

    /// How to read pools: by their names, or, where nil, all of them, from the server's cache.
    static func requests(_ names: [String]?) -> [APIRequest] {
        guard let names else { return [.list(.ipPools, options: ListOptions(resourceVersion: "0"))] }
        return names.map { .get(.ipPools, name: $0) }
    }

    /// Takes in the answers to ``requests(_:)``, in their order.
    mutating func add(_ names: [String]?, _ answer: () throws(LedgerError) -> JSON?) throws(LedgerError) {
        guard let names else {
            for item in try answer()?["items"]?.array ?? [] {
                guard let name = item["metadata"]?["name"]?.string else { continue }
                put(item, name)
            }
            isComplete = true
            return
        }
        for name in names {
            if let found = try answer() { put(found, name) } else { absent.insert(name) }
        }
    }

    func knows(_ name: String) -> Bool { isComplete || readings[name] != nil || absent.contains(name) }

    /// The pools of these names that make sense.
    func objects(_ names: [String]) -> [IPPool] { names.compactMap { objects[$0] } }

    /// Takes in pools as a claim may use them.
    mutating func replace(_ pools: [ValidatedPool]) {
        for pool in pools { readings[pool.name] = .success(pool) }
    }

    private mutating func put(_ json: JSON, _ name: String) {
        do {
            let pool = try IPPool(json)
            readings[name] = .success(try ValidatedPool(pool))
            objects[name] = pool
        } catch let error as PoolProblem {
            readings[name] = .failure(error)
        } catch let error as JSONDecodingError {
            readings[name] = .failure(PoolProblem(field: error.path, message: error.problem))
        } catch {
            readings[name] = .failure(PoolProblem(field: "", message: "\(error)"))
        }
    }
}

extension Ledger {
    /// How long labels of the node are good for that this node read before.
    private static var labelMemory: Duration { .seconds(60) }

    /// The slots of the pools that are selected; nil where the configuration's own ranges serve.
    func choose(
        _ request: PoolRequest, _ facts: inout SelectionFacts, _ shelf: inout PoolShelf, deadline: Moment
    ) throws(LedgerError) -> [SlotPlan]? {
        let list: PoolList?
        switch request.pools {
        case .inline: return nil
        case .listed(let listed): list = listed
        case .defaults: list = nil
        }
        try fill(&shelf, for: list, deadline: deadline)
        let pools = shelf.readings.values.compactMap { try? $0.get() }.filter { pool in
            list.map { $0.patterns.contains { $0.matches(pool.name) } } ?? pool.selectors.isDefault
        }
        // No pool for everybody says nothing of the pods that name theirs.
        if facts.isRehearsal, list == nil, pools.isEmpty { return [] }
        try complete(&facts, for: pools.map(\.selectors), deadline: deadline)
        // What the shelf has is right already where the rule is compiled and no purpose opens it.
        let wanted = shelf.objects(pools.filter { $0.selectors.mismatch(facts) == nil }.map(\.name)).filter {
            request.purpose != nil || !$0.hasCompiledReservations
        }
        shelf.replace(try enforceReservations(on: wanted, purpose: request.purpose, deadline: deadline))
        let selection = PoolSelection(list, request, pools: shelf.readings, facts: facts)
        return try selecting { () throws(SelectionError) in try selection.plans() }
    }

    /// Reads pools that the deciding level names and the first round did not read.
    private func fill(_ shelf: inout PoolShelf, for list: PoolList?, deadline: Moment) throws(LedgerError) {
        var missing: [String]?
        if let list, list.patterns.allSatisfy(\.isExact) {
            var seen: Set<String> = []
            let names = list.patterns.map(\.text).filter { !shelf.knows($0) && seen.insert($0).inserted }
            guard !names.isEmpty else { return }
            missing = names
        } else if shelf.isComplete {
            return
        }
        var answers = ask(PoolShelf.requests(missing), deadline: deadline)[...]
        try shelf.add(missing) { () throws(LedgerError) in try answers.removeFirst().unlessNotFound() }
    }

    /// Finds out what pools select by and nobody has asked for yet.
    private func complete(
        _ facts: inout SelectionFacts, for selectors: [PoolSelectors], deadline: Moment
    ) throws(LedgerError) {
        if selectors.contains(where: { !$0.nodeSubnets.isEmpty }) { facts.nodeAddresses = nodeAddresses() }
        if facts.nodeLabels == nil, selectors.contains(where: { $0.nodeSelector != nil }) {
            facts.nodeLabels = rememberedLabels
        }
        let needsNode = facts.nodeLabels == nil && selectors.contains { $0.nodeSelector != nil }
        let namespace = facts.namespace == nil ? facts.pod?.namespace : nil
        let needsNamespace = namespace != nil && selectors.contains { $0.namespaceSelector != nil }
        var requests: [APIRequest] = []
        if needsNode { requests.append(.get(.nodes, name: node, metadataOnly: true)) }
        if needsNamespace, let namespace {
            requests.append(.get(.namespaces, name: namespace, metadataOnly: true))
        }
        guard !requests.isEmpty else { return }
        var answers = ask(requests, deadline: deadline)[...]
        if needsNode, let found = try answers.removeFirst().unlessNotFound() {
            let labels = SelectionFacts.Marks(try? ObjectMetadata(try JSONFields(found))).labels
            facts.nodeLabels = labels
            remember(labels)
        }
        if needsNamespace, let found = try answers.removeFirst().unlessNotFound() {
            facts.namespace = SelectionFacts.Marks(try? ObjectMetadata(try JSONFields(found)))
        }
    }

    // MARK: Memory of the node's labels

    private var labelKey: String { "node-\(node)" }

    private var rememberedLabels: [String: String]? {
        guard let record = journal.scanRecord(pool: labelKey), let at = record["at"]?.int,
            transport.now() - Moment(nanoseconds: Int64(at)) < Self.labelMemory,
            let fields = try? JSONFields(record)
        else { return nil }
        return try? fields.stringMap("labels")
    }

    private func remember(_ labels: [String: String]) {
        var json: JSON = [:]
        for (key, value) in labels.sorted(by: { $0.key < $1.key }) { json[key] = .string(value) }
        journal.writeScanRecord(["at": .int(transport.now().nanoseconds), "labels": json], pool: labelKey)
    }
}

/// Runs a part of the selection; its failure is one of the ledger.
func selecting<Value>(_ body: () throws(SelectionError) -> Value) throws(LedgerError) -> Value {
    do throws(SelectionError) {
        return try body()
    } catch {
        switch error {
        case .annotation(let text): throw .annotation(text)
        case .noPool(let text): throw .poolUnusable(text)
        }
    }
}
