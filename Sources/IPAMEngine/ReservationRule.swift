package import IPAMAPI
import IPAddressing
package import JSONText
import KubernetesCore

/// What reservations keep of one pool: the rule that every claim obeys, in the form in which the pool's status has it.
///
/// | Address | In `reserved` | In `reservedFor` |
/// |---|---|---|
/// | of a reservation without a purpose | yes | no |
/// | of reservations for one purpose alone | yes | of that purpose |
/// | of reservations for several purposes | yes | no: each of them says "nobody else" |
///
/// So whoever knows `reserved` alone gives nothing that is reserved, and an entry of `reservedFor` that is missing takes
/// nothing from anybody but its purpose.
///
/// - Guarantees: equal reservations, in any order, make equal rules, whatever else the pool's spec says: a rule depends
///   on the pool's name, network and subnet, which never change. A rule that the status cannot hold reserves the whole
///   subnet, so that nothing that is reserved is ever given for want of room.
package struct ReservationRule: Hashable, Sendable {
    /// The most ranges of `reserved`, and of `reservedFor` in all.
    package static let maximumRanges = 1024
    package static let maximumPurposes = 64

    package private(set) var reserved: [String] = []
    package private(set) var reservedFor: [IPPool.PurposeRanges] = []
    /// Why the whole subnet is reserved in place of what should be; nil where it is not.
    package private(set) var excess: String?

    package init(_ reservations: some Sequence<ValidatedReservation>, pool: IPPool) {
        guard let subnet = try? IPPrefix(parsing: pool.spec.subnet) else { return }
        let empty = IPSet(family: subnet.family)
        // Nobody's, and of each purpose what is reserved for it.
        var (closed, purposes) = (empty, [String: IPSet]())
        for reservation in reservations
        where reservation.isAbout(pool: pool.metadata.name, network: pool.spec.network) {
            let inside = reservation.addresses(subnet.family).intersection(subnet.range)
            guard !inside.isEmpty else { continue }
            if let purpose = reservation.purpose {
                purposes[purpose] = (purposes[purpose] ?? empty).union(inside)
            } else {
                closed.insert(inside)
            }
        }
        var (whole, shared) = (empty, closed)
        for set in purposes.values {
            shared.insert(whole.intersection(set))
            whole.insert(set)
        }
        whole.insert(closed)
        let open = purposes.sorted { $0.key < $1.key }.compactMap { purpose, set -> (String, [IPRange])? in
            let own = set.subtracting(shared)
            return own.isEmpty ? nil : (purpose, own.ranges)
        }
        let ranges = whole.ranges
        excess = Self.excess(ranges.count, open.map(\.1.count))
        guard excess == nil else {
            reserved = ["\(subnet)"]
            return
        }
        reserved = ranges.map(\.description)
        reservedFor = open.map { IPPool.PurposeRanges(purpose: $0, ranges: $1.map(\.description)) }
    }

    private static func excess(_ ranges: Int, _ ofPurposes: [Int]) -> String? {
        let inPurposes = ofPurposes.reduce(0, +)
        if max(ranges, inPurposes) > maximumRanges {
            return "reservations make \(max(ranges, inPurposes)) ranges in the pool, and its status holds"
                + " \(maximumRanges): nothing is allocated until they are fewer"
        }
        if ofPurposes.count > maximumPurposes {
            return "the pool has reservations for \(ofPurposes.count) purposes, and its status holds"
                + " \(maximumPurposes): nothing is allocated until they are fewer"
        }
        return nil
    }

    /// As the members `reserved` and `reservedFor` of a status.
    package var json: JSON { IPPool.Status(reserved: reserved, reservedFor: reservedFor).json }

    /// What ``json`` wrote; nil where it is something else. Why all of a subnet is reserved is not kept.
    package init?(_ json: JSON) {
        guard let fields = try? JSONFields(json), let status = try? IPPool.Status(fields) else { return nil }
        reserved = status.reserved
        reservedFor = status.reservedFor
    }

    /// The pool with this rule in its status, compiled for the generation that it has.
    package func applied(to pool: IPPool) -> IPPool {
        var pool = pool
        var status = pool.status ?? IPPool.Status()
        status.reserved = reserved
        status.reservedFor = reservedFor
        status.reservedGeneration = pool.metadata.generation
        pool.status = status
        return pool
    }

    /// Whether the status of a pool has this rule, for the generation that the pool has.
    package func isIn(_ pool: IPPool) -> Bool {
        pool.hasCompiledReservations && pool.status?.reserved == reserved && pool.status?.reservedFor == reservedFor
    }
}

extension IPPool {
    /// Whether the reservations in the status are those of the pool's present generation. Where they are not, as in a
    /// pool that was made a moment ago or that no controller looks after, they say nothing.
    package var hasCompiledReservations: Bool {
        metadata.generation > 0 && status?.reservedGeneration == metadata.generation
    }
}
