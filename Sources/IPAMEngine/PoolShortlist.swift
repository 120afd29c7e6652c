package import IPAMAPI
package import IPAddressing
import KubernetesCore

/// The pools that may serve an attachment, of all that are known by their outlines, in order of preference.
///
/// Guarantees: ``PoolSelection`` over these alone gives the same open pools in the same order as over all of them, as
/// far as they were read whole. What it says of the others is missing, so that an error wants all.
package struct PoolShortlist: Hashable, Sendable {
    package let outlines: [PoolOutline]
    /// Pools that are named as they are stand for their families even when they are for somebody else.
    private let named: Set<String>

    /// - Parameter list: The pools that the deciding level names; nil: the default pools.
    package init(
        _ list: PoolList?, _ request: PoolRequest, outlines: some Sequence<PoolOutline>, facts: SelectionFacts
    ) {
        named = Set(list?.patterns.filter(\.isExact).map(\.text) ?? [])
        let fitting = outlines.filter { outline in
            !outline.isInline && request.families.map { $0.contains(outline.family) } ?? true
                && outline.selectors.mismatch(facts) == nil
        }
        guard let list else {
            self.outlines = fitting.filter(\.selectors.isDefault).sorted {
                PoolSelection.precedes(($0.name, $0.selectors), ($1.name, $1.selectors))
            }
            return
        }
        var seen: Set<String> = []
        self.outlines = list.patterns.flatMap { pattern in
            if pattern.isExact { return outlines.filter { $0.name == pattern.text } }
            return fitting.filter {
                pattern.matches($0.name) && PoolSelection.mayPick($0.name, $0.selectors, list, request)
            }.sorted { $0.name < $1.name }
        }.filter { seen.insert($0.name).inserted }
    }

    /// The most open pools of a family that are read before the first of them is known to be full.
    private static let maximumOpen = 8

    /// Of the pools that may serve.
    package var families: Set<IPFamily> { Set(outlines.filter { !named.contains($0.name) }.map(\.family)) }

    /// The names of the first pools of each family, of one that keeps its family from being left out although it takes no
    /// claims, and of those that are named; and whether more pools may serve.
    package var first: (names: [String], isCut: Bool) {
        var counts: [IPFamily: (open: Int, closed: Int)] = [:]
        var isCut = false
        let first = outlines.filter { outline in
            if named.contains(outline.name) { return true }
            var count = counts[outline.family, default: (0, 0)]
            if outline.isClosed { count.closed += 1 } else { count.open += 1 }
            counts[outline.family] = count
            if outline.isClosed { return count.closed == 1 }
            if count.open > Self.maximumOpen { isCut = true }
            return count.open <= Self.maximumOpen
        }
        return (first.map(\.name), isCut)
    }
}
