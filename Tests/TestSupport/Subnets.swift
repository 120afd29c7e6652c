internal import Glibc
internal import Synchronization

/// Names and address ranges of one test, which no other test of this process has, nor, as far as the process ID can
/// tell them apart, one of another run against the same control plane.
package struct TestSubnets: Hashable, Sendable {
    /// A valid name for a pool, a namespace or a node; ends in a number.
    package let name: String
    /// The first three octets, for example `10.1.2`.
    package let prefix4: String
    /// The first four groups, for example `fd00:1:2:3`.
    package let prefix6: String

    /// A /24.
    package var subnet4: String { "\(prefix4).0/24" }
    /// A /64.
    package var subnet6: String { "\(prefix6)::/64" }

    /// The name of a pool, for tests that need more than one.
    package func name(_ suffix: String) -> String { "\(name)-\(suffix)" }
    /// An address of `subnet4`.
    package func address4(_ host: Int) -> String { "\(prefix4).\(host)" }
    /// An address of `subnet6`, `host` being at most 0xffff.
    package func address6(_ host: Int) -> String { "\(prefix6)::\(String(host, radix: 16))" }
}

package enum Subnets {
    private static let counter = Atomic(0)
    private static let largeCounter = Atomic(0)

    package static func next() -> TestSubnets {
        let number = counter.add(1, ordering: .relaxed).oldValue
        let process = Int(getpid())
        // Consecutive processes are 257 subnets apart in the 65,536 of 10.0.0.0/8.
        let index = (process * 257 + number) & 0xFFFF
        // The last group is never 0, which would have to be a part of the `::` after it.
        let groups = [process >> 16, process & 0xFFFF, 1 + number % 0xFFFF].map { String($0, radix: 16) }
        return TestSubnets(
            name: "t\(process)-\(number)",
            prefix4: "10.\(index >> 8).\(index & 0xFF)",
            prefix6: "fd00:\(groups.joined(separator: ":"))"
        )
    }

    /// One of the 64 /16s of 100.64.0.0/10, for tests with tens of thousands of addresses.
    package static func nextLarge() -> String {
        let number = largeCounter.add(1, ordering: .relaxed).oldValue
        return "100.\(64 + (Int(getpid()) + number) & 0x3F).0.0/16"
    }
}
