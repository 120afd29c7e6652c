package import IPAMAPI
import IPAMEngine
package import IPAddressing
package import JSONText
import KubernetesClient

/// What `free` shows: where a pool has room.
package struct FreeReport: Hashable, Sendable, Report {
    package var pool: String
    package var capacity: UInt128
    package var free: UInt128
    /// How many of the pool's addresses are reserved, and no part of the other figures.
    package var reserved: UInt128
    /// Ascending; the first ones.
    package var ranges: [IPRange]
    package var rangeCount: Int
    /// Why the pool gives none of them, or empty.
    package var refusal: String

    /// - Parameter taken: Addresses of the pool's network that have an allocation, of whichever pool.
    package init(_ pool: ValidatedPool, taken: some Sequence<IPAddress>, limit: Int) {
        let inside = taken.filter { $0.family == pool.family }.map { IPRange($0) }
        let free = pool.usable.subtracting(IPSet(family: pool.family, ranges: inside))
        self.pool = pool.name
        capacity = pool.usable.count
        self.free = free.count
        reserved = pool.reservedCount
        ranges = Array(free.ranges.prefix(limit))
        rangeCount = free.ranges.count
        refusal = pool.refusal ?? ""
    }

    package func text(_ style: Style, isWide: Bool) -> String {
        var text = ""
        if !ranges.isEmpty {
            let columns: [Table.Column] = [.init("FROM"), .init("TO"), .init("COUNT", .right)]
            text += Table(columns, rows: ranges.map { ["\($0.lower)", "\($0.upper)", "\($0.count)"] }).rendered(style)
            text += "\n"
        }
        if rangeCount > ranges.count {
            text += "… and \(Figures.count(rangeCount - ranges.count, "more range", "more ranges")); see --limit\n"
        }
        text += "\(free) of \(capacity) addresses of IPPool \(pool) are free"
        text += reserved > 0 ? "; \(reserved) more are reserved\n" : "\n"
        if !refusal.isEmpty { text += "but none is given: the pool \(refusal)\n" }
        return text
    }

    package var json: JSON {
        var json: JSON = [
            "pool": .string(pool), "capacity": .int(capacity), "free": .int(free),
            "ranges": .array(
                ranges.map {
                    ["from": .string("\($0.lower)"), "to": .string("\($0.upper)"), "count": .int($0.count)]
                }),
            "rangeCount": .int(rangeCount), "reserved": .int(reserved),
        ]
        if !refusal.isEmpty { json["refusal"] = .string(refusal) }
        return json
    }

    /// The ranges themselves, in the form that `spec.ranges` has.
    package var names: [String] { ranges.map(\.description) }
}

extension ClusterReader {
    /// A pool that is there and makes sense.
    package func validPool(_ name: String) throws -> ValidatedPool {
        guard let json = try read(.ipPools, name: name) else {
            throw ConsoleError.noPool(name, known: try pools().map(\.name))
        }
        var entry = try PoolEntry(json)
        if !entry.pool.hasCompiledReservations { entry = entry.ruled(by: try reservations()) }
        switch entry.validated {
        case .success(let pool): return pool
        case .failure(let problem):
            throw ConsoleError(
                "IPPool \"\(name)\" is not valid: \(problem)", remedy: "kubectl edit ippools.ipam.berth.dev \(name)")
        }
    }

    package func free(pool name: String, limit: Int) throws -> FreeReport {
        let pool = try validPool(name)
        return FreeReport(pool, taken: try taken(network: pool.network).map(\.address), limit: limit)
    }
}
