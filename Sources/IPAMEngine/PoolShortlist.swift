package import IPAMAPI
import IPAddressing
import KubernetesCore

/// The pools that may serve an attachment, of all that are known by their outlines, in order of preference.
///
/// Guarantees: ``PoolSelection`` over these alone gives the same open pools in the same order as over all of them, as
/// far as they were read whole. What it says of the others is missing, so that an error wants all.
package struct PoolShortlist: Hashable, Sendable {
    package let outlines: [PoolOutline]

    /// - Parameter list: The pools that the deciding level names; nil: the default pools.
    package init(
        _ list: PoolList?, _ request: PoolRequest, outlines: some Sequence<PoolOutline>, facts: SelectionFacts
    ) {
        let fitting = outlines.filter { outline in
            !outline.isInline && request.families.map { $0.contains(outline.family) } ?? true
                && outline.selectors.mismatch(facts) == nil
        }
        if let list {
            var seen: Set<String> = []
            self.outlines = list.patterns.flatMap { pattern in
                fitting.filter { pattern.matches($0.name) }.sorted { $0.name < $1.name }
            }.filter { PoolSelection.mayPick($0.name, $0.selectors, list, request) && seen.insert($0.name).inserted }
        } else {
            self.outlines = fitting.filter(\.selectors.isDefault).sorted {
                PoolSelection.precedes(($0.name, $0.selectors), ($1.name, $1.selectors))
            }
        }
    }

    /// The most open pools of a family that are read before the first of them is known to be full.
    private static let maximumOpen = 8

    /// The names of the first pools of each family and of those that take no new claims, but keep their family from being
    /// left out; and whether there are more.
    package var first: (names: [String], isCut: Bool) {
        var counts: [IPFamily: Int] = [:]
        let first = outlines.filter { outline in
            guard !outline.isClosed else { return true }
            counts[outline.family, default: 0] += 1
            return counts[outline.family, default: 0] <= Self.maximumOpen
        }
        return (first.map(\.name), first.count < outlines.count)
    }
}
