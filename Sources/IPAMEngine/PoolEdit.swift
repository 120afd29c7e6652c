package import IPAMAPI
import IPAddressing
package import JSONText
import KubernetesCore

/// Whether an administrator may create, change or delete a pool.
///
/// - Guarantees: what leaves the spec as it is, is always allowed, whatever else is wrong: metadata, finalizers and
///   status never wait for a spec to be repaired.
/// - Assumptions: the index may lag by what was claimed just now. An edit that slips through costs no duplicate; the
///   pool's condition `Consistent` then names what it left outside.
package enum PoolEdit {
    package enum Decision: Hashable, Sendable {
        case allowed(warnings: [String] = [])
        case refused(String)
    }

    /// The most overlapping pools that are warned of.
    static let maximumWarnings = 5
    /// The most ranges that one warning names.
    static let maximumRanges = 3

    /// - Parameters:
    ///   - old: The IPPool as it is; nil when it is created.
    ///   - new: The IPPool as it shall be; nil when it is deleted.
    ///   - otherPools: May contain the pool itself.
    ///   - blocks: Of nodes, of this and of other pools.
    ///   - nodes: Every node there is; empty where they are not known.
    package static func decide(
        old: JSON?, new: JSON?, otherPools: [ValidatedPool], blocks: [ValidatedBlock] = [], nodes: [NodeTraits] = [],
        index: LedgerIndex
    ) -> Decision {
        guard let new else { return old.map { deletion(of: $0, index) } ?? .allowed() }
        if let old, old["spec"] == new["spec"] { return .allowed() }
        do {
            let pool = try decoded(new)
            if let problem = change(ofFixedFieldsFrom: old, to: pool) { return .refused(problem) }
            let valid = try ValidatedPool(pool)
            if let problem = selectorProblem(from: old, to: valid) { return .refused(problem.description) }
            if let old, let problem = reslicing(of: old, to: valid, blocks, index) { return .refused(problem) }
            if let old, let problem = drop(from: old, to: valid, index) { return .refused(problem) }
            return .allowed(warnings: warnings(valid, otherPools) + valid.selectors.warnings(nodes: nodes))
        } catch let error as JSONDecodingError {
            return .refused(error.description)
        } catch let error as PoolProblem {
            return .refused(error.description)
        } catch {
            return .refused("\(error)")
        }
    }

    /// What an edit asks of those whom the pool serves; nil where it leaves the spec as it is, or makes no sense.
    package static func selectors(old: JSON?, new: JSON?) -> PoolSelectors? {
        guard let new, old?["spec"] != new["spec"] else { return nil }
        return validated(new)?.selectors
    }

    /// The status is the controller's to repair, and must not stand in the way of an edit.
    private static func decoded(_ json: JSON) throws(JSONDecodingError) -> IPPool {
        var json = json
        json["status"] = nil
        return try IPPool(json)
    }

    private static func validated(_ json: JSON) -> ValidatedPool? {
        (try? decoded(json)).flatMap { try? ValidatedPool($0) }
    }

    /// What is wrong was never in force, and may be repaired.
    private static func change(ofFixedFieldsFrom old: JSON?, to pool: IPPool) -> String? {
        let spec = old?["spec"]
        if let subnet = spec?["subnet"]?.string, subnet != pool.spec.subnet,
            (try? IPPrefix(parsing: subnet))?.description == subnet
        {
            return "spec.subnet: immutable, it is \"\(subnet)\"; make another pool for \"\(pool.spec.subnet)\""
        }
        guard old != nil else { return nil }
        let network = spec?["network"]?.string ?? ""
        if network != pool.spec.network, network.isEmpty || AllocationName.isValidNetworkName(network) {
            return "spec.network: immutable, it is \"\(network)\"; make another pool for \"\(pool.spec.network)\""
        }
        return nil
    }

    /// Labels that can never be. Those that are there already stand in the way of no other edit.
    private static func selectorProblem(from old: JSON?, to new: ValidatedPool) -> PoolProblem? {
        let problems = new.selectors.labelProblems
        guard !problems.isEmpty else { return nil }
        let known = old.flatMap(validated)?.selectors.labelProblems ?? []
        return problems.first { !known.contains($0) }
    }

    /// Blocks of another size would overlap those that nodes have, and addresses that are in use be in the blocks of others.
    private static func reslicing(
        of old: JSON, to new: ValidatedPool, _ blocks: [ValidatedBlock], _ index: LedgerIndex
    ) -> String? {
        guard let former = validated(old), former.nodeBlocks != new.nodeBlocks else { return nil }
        let (length, newLength) = (former.nodeBlocks?.prefixLength, new.nodeBlocks?.prefixLength)
        let used = index.records(ofPool: new.name)
        let own = blocks.filter { $0.spec.pool == new.name }.sorted { $0.name < $1.name }
        if length != newLength, !used.isEmpty || !own.isEmpty {
            let was = length.map { "it is \($0)" } ?? "the pool is not sliced"
            let because =
                own.isEmpty
                ? "the pool has allocations: \(PoolCensus.list(used.map(\.name).sorted()))"
                : "nodes have blocks: \(PoolCensus.list(own.map { "\($0.name) (\($0.spec.node))" }))"
            return "spec.nodeBlocks.prefixLength: immutable while allocations or blocks exist, \(was); \(because)"
        }
        let gateways = Set(own.compactMap { new.gateway(ofBlock: $0.cidr) })
        if let holder = used.first(where: { $0.isInUse && gateways.contains($0.address) }) {
            return "spec.nodeBlocks.gateway: FirstAddress would make an address in use the gateway of a block:"
                + " \(holder.holderText)"
        }
        return nil
    }

    /// Addresses in use that the pool had and would have no more. Of an old pool that makes no sense nobody can say
    /// what it had, so that everything counts which names it.
    private static func drop(from old: JSON, to new: ValidatedPool, _ index: LedgerIndex) -> String? {
        let former = validated(old)
        func isIn(_ pool: ValidatedPool, _ record: AllocationRecord) -> Bool {
            record.network == pool.network && pool.configured.contains(record.address)
        }
        var dropped = index.records(ofPool: new.name).filter { record in
            record.isInUse && !isIn(new, record) && (former.map { isIn($0, record) } ?? true)
        }
        var problems: [String] = []
        if let gateway = dropped.firstIndex(where: { $0.network == new.network && $0.address == new.gateway }) {
            let record = dropped.remove(at: gateway)
            problems.append(
                "spec.gateway: \(record.address) is in use (\(record.holder)): choose an address that is free"
                    + " (kubectl berth free \(new.name)), or \(record.wayOut)")
        }
        if !dropped.isEmpty {
            problems.append(
                "spec: the pool would lose \(addresses(dropped.count)) in use: \(holders(dropped)); drain them first"
                    + " (spec.draining, or end these pods), or reserve them with an IPReservation")
        }
        return problems.isEmpty ? nil : problems.joined(separator: "; ")
    }

    private static func deletion(of old: JSON, _ index: LedgerIndex) -> Decision {
        let metadata = old["metadata"]
        guard let name = metadata?["name"]?.string else { return .allowed() }
        let used = index.records(ofPool: name).filter(\.isInUse)
        guard !used.isEmpty, metadata?["deletionTimestamp"]?.string == nil else { return .allowed() }
        if metadata?["annotations"]?[AnnotationKey.forceDelete]?.string == "true" {
            return .allowed(warnings: [
                "pool \"\(name)\" still has \(addresses(used.count)) in use, and stays until they are released"
            ])
        }
        return .refused(
            "the pool has \(addresses(used.count)) in use: \(holders(used)); to delete it all the same:"
                + " kubectl annotate ippool \(name) \(AnnotationKey.forceDelete)=true")
    }

    private static func addresses(_ count: Int) -> String { count == 1 ? "1 address" : "\(count) addresses" }

    private static func holders(_ records: [AllocationRecord]) -> String {
        PoolCensus.list(records.sorted { $0.address < $1.address }.map(\.holderText))
    }

    /// Pools of one network may overlap: an address is given once all the same. But who wrote it may not know.
    private static func warnings(_ pool: ValidatedPool, _ others: [ValidatedPool]) -> [String] {
        let overlaps = others.sorted { $0.name < $1.name }.compactMap { other -> String? in
            guard other.name != pool.name, other.network == pool.network else { return nil }
            let ranges = pool.configured.intersection(other.configured).ranges
            guard !ranges.isEmpty else { return nil }
            let named = ranges.prefix(maximumRanges).map { "\($0)" }.joined(separator: ", ")
            let rest = ranges.count - maximumRanges
            return "overlaps pool \"\(other.name)\" (\(named)\(rest > 0 ? " and \(rest) more" : ""))"
        }
        let rest = overlaps.count - maximumWarnings
        return overlaps.prefix(maximumWarnings) + (rest > 0 ? ["more pools that overlap: \(rest)"] : [])
    }
}

extension AllocationRecord {
    /// Somebody has the address, or it is kept for somebody. In cooldown nobody does.
    var isInUse: Bool { self.state != .cooling }

    /// `10.0.0.1 (shop/web-0 on n1)`
    var holderText: String { "\(self.address) (\(holder))" }

    /// `shop/web-0 on n1`
    fileprivate var holder: String {
        // The pod and the node are those of its last holder.
        if self.state == .held, let claim = self.claim { return "kept for claim \(claim.namespace)/\(claim.name)" }
        let holder: String =
            if let pod = self.pod {
                "\(pod.namespace)/\(pod.name)"
            } else if self.state == .held {
                "kept for a claim"
            } else if self.origin == .manual {
                "entered by hand"
            } else {
                "a container"
            }
        return "\(holder)\(self.node.isEmpty ? "" : " on \(self.node)")"
    }

    /// What somebody can do who wants the address for something else.
    fileprivate var wayOut: String {
        if self.state == .held, self.isClaimed { return "delete the claim" }
        if self.origin == .manual { return "delete its entry (kubectl delete ipallocation \(name))" }
        return self.pod == nil ? "end the container" : "end the pod"
    }
}
