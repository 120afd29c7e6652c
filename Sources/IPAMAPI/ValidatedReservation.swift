package import IPAddressing
import KubernetesCore

/// A reservation in a form that can be compiled into the rules of pools.
///
/// One that does not make sense in every part still reserves what can be read of it: an address that somebody wanted
/// kept must not be given because of a mistake beside it.
package struct ValidatedReservation: Hashable, Sendable {
    package let name: String
    package let generation: Int
    package let v4: IPSet
    package let v6: IPSet
    /// Names of IPPools; empty for all of them.
    package let pools: Set<String>
    /// The isolation domain, empty for the default one; nil for all of them.
    package let network: String?
    package let reason: String?
    /// Nil also where it is not a purpose: then nobody can name it.
    package let purpose: String?
    /// The first thing that is wrong with it, if any.
    package let problem: PoolProblem?

    /// The most ranges of one reservation, as in the schema.
    package static let maximumRanges = 256

    /// Takes what makes sense, and keeps what is wrong in ``problem``.
    package init(reading reservation: IPReservation) {
        let spec = reservation.spec
        name = reservation.metadata.name
        generation = reservation.metadata.generation
        pools = Set(spec.pools)
        network = spec.network
        reason = spec.reason
        var problems: [PoolProblem] = []
        var ranges: [IPRange] = []
        for (index, text) in spec.ranges.enumerated() {
            do throws(IPParseError) {
                ranges.append(try IPRange(parsing: text))
            } catch {
                problems.append(PoolProblem(field: "spec.ranges[\(index)]", message: error.description))
            }
        }
        v4 = IPSet(family: .v4, ranges: ranges)
        v6 = IPSet(family: .v6, ranges: ranges)
        if spec.ranges.isEmpty {
            problems.append(PoolProblem(field: "spec.ranges", message: "no range is given: nothing is reserved"))
        }
        for (index, pool) in spec.pools.enumerated() where !BerthAPI.isValidPoolName(pool) {
            problems.append(
                PoolProblem(
                    field: "spec.pools[\(index)]", message: "\(pool.debugDescription) cannot be the name of an IPPool"))
        }
        if let network, !network.isEmpty, !AllocationName.isValidNetworkName(network) {
            problems.append(
                PoolProblem(
                    field: "spec.network",
                    message: "\(network.debugDescription) is not a network: lower-case letters, digits and '-', a"
                        + " letter first, no '-' last, at most 63"))
        }
        if let text = spec.purpose, !Self.isPurpose(text) {
            problems.append(PoolProblem(field: "spec.purpose", message: Self.purposeProblem(text)))
        }
        purpose = spec.purpose.flatMap { Self.isPurpose($0) ? $0 : nil }
        problem = problems.first
    }

    package init(_ reservation: IPReservation) throws(PoolProblem) {
        self.init(reading: reservation)
        if let problem { throw problem }
    }

    /// The addresses of one family, in whichever pool.
    package func addresses(_ family: IPFamily) -> IPSet {
        switch family {
        case .v4: v4
        case .v6: v6
        }
    }

    /// Whether the reservation is about a pool of this name in this network.
    package func isAbout(pool: String, network: String) -> Bool {
        (pools.isEmpty || pools.contains(pool)) && (self.network ?? network) == network
    }

    /// Whether a text can name a purpose: a DNS-1123 label.
    package static func isPurpose(_ text: String) -> Bool {
        text.utf8.count <= LabelValue.maximumLength && !text.utf8.contains(UInt8(ascii: "."))
            && BerthAPI.isSubdomain(text)
    }

    /// What is wrong with a text that is no purpose.
    package static func purposeProblem(_ text: String) -> String {
        "\(text.debugDescription) is not a purpose: lower-case letters, digits and '-', no '-' at an end, at most 63"
    }
}
