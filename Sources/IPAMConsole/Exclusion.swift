import IPAMAPI
import IPAddressing

extension PoolEntry {
    /// What keeps an address of the subnet, which is not the gateway, out of the pool, by the rules of
    /// `usableAddresses(subnet:ranges:exclude:gateway:)`: a predicate of the pool. Nil where nothing does.
    func exclusion(of address: IPAddress) -> String? {
        guard let subnet = valid?.subnet, subnet.contains(address) else { return nil }
        if !usableAddresses(subnet: subnet).contains(address) {
            if let role = address.role(in: subnet) { return "has it as its \(role) address" }
            return address.kind.map { "gives no \($0)" }
        }
        if let index = firstRange(in: pool.spec.exclude, with: address) {
            return "leaves it out (spec.exclude[\(index)]: \(pool.spec.exclude[index]))"
        }
        if !pool.spec.ranges.isEmpty, firstRange(in: pool.spec.ranges, with: address) == nil {
            return "has it outside of spec.ranges"
        }
        return nil
    }

    private func firstRange(in texts: [String], with address: IPAddress) -> Int? {
        texts.firstIndex { (try? IPRange(parsing: $0))?.contains(address) ?? false }
    }
}

extension IPAddress {
    /// What it is to the subnet in the place of the address of a host.
    fileprivate func role(in subnet: IPPrefix) -> String? {
        switch family {
        case .v4 where subnet.length < 31:
            return self == subnet.first ? "network" : self == subnet.last ? "broadcast" : nil
        case .v6 where subnet.length < 127: return self == subnet.first ? "subnet-router anycast" : nil
        case .v4, .v6: return nil
        }
    }

    /// What it is in every subnet, in the place of the address of a host.
    fileprivate var kind: String? {
        switch family {
        case .v4:
            switch value >> 24 {
            case 0: return "address of \"this host\" (0.0.0.0/8)"
            case 127: return "loopback address"
            case 224...239: return "multicast address"
            default: return value == 0xFFFF_FFFF ? "limited broadcast address" : nil
            }
        case .v6:
            if value >> 120 == 0xFF { return "multicast address" }
            if value >> 32 == 0xFFFF { return "IPv4-mapped address" }
            return value == 0 ? "unspecified address" : value == 1 ? "loopback address" : nil
        }
    }
}
