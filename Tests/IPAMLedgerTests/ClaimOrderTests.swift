import IPAMAPI
import IPAMEngine
import IPAddressing
import KubernetesCore
import Testing

@testable import IPAMLedger

@Suite struct ClaimOrderTests {
    private func order(
        _ demand: PoolDemand, fixed: [StaticAddress] = [], requested: String = ""
    ) throws -> ClaimOrder {
        ClaimOrder(
            attachment: attachment, pod: nil, netns: nil, demand: demand, staticAddresses: fixed,
            requested: try addresses(requested), startedAt: moment(0))
    }

    private func inline(_ subnet: String, network: String = "") throws -> InlinePoolDefinition {
        InlinePoolDefinition(subnet: try IPPrefix(parsing: subnet), network: network)
    }

    private func fixed(_ text: String) throws -> StaticAddress {
        let parsed = try IPInterfaceAddress(parsing: text)
        return StaticAddress(address: parsed.address, pool: InlinePoolDefinition(subnet: parsed.prefix))
    }

    /// The pools of an order as they are once they were read.
    private func read(_ order: ClaimOrder, _ named: [ValidatedPool] = []) throws -> [String: ValidatedPool] {
        var pools = Dictionary(uniqueKeysWithValues: named.map { ($0.name, $0) })
        for definition in order.inlinePools { pools[definition.poolName] = try ValidatedPool(definition.pool) }
        return pools
    }

    // MARK: Which pools are read

    @Test func `each pool is read once, in the order of the configuration`() throws {
        let order = try order(.named(["b", "a", "b"]), fixed: [fixed("10.0.0.5/24"), fixed("10.0.0.6/24")])
        #expect(try order.poolNames == ["b", "a", inline("10.0.0.0/24").poolName])
        #expect(try order.inlinePools == [inline("10.0.0.0/24")])
    }

    @Test func `inline pools are those of every element and of the static addresses`() throws {
        let (a, b, c) = (try inline("10.0.0.0/24"), try inline("10.1.0.0/24"), try inline("10.2.0.0/24"))
        let order = try order(.inline([[a, b], [b]]), fixed: [fixed("10.2.0.5/24")])
        #expect(order.inlinePools == [a, b, c])
        #expect(order.poolNames == [a, b, c].map(\.poolName))
    }

    @Test func `ranges of different networks are different pools`() throws {
        let order = try order(.inline([[inline("10.0.0.0/24")], [inline("10.0.0.0/24", network: "wire")]]))
        #expect(Set(order.poolNames).count == 2)
    }

    // MARK: Slots

    @Test func `named pools make a slot for each family`() throws {
        let order = try order(.named(["six", "four", "gone"]))
        let pools = try read(order, [pool("10.0.0.0/24", named: "four"), pool("fd00::/64", named: "six")])
        #expect(try order.slots(pools).map { $0.pools.map(\.name) } == [["six"], ["four"]])
    }

    @Test func `each element of inline ranges is a slot, one of the same range too`() throws {
        let (a, b) = (try inline("10.0.0.0/24"), try inline("10.1.0.0/24"))
        let order = try order(.inline([[a, b], [a]]))
        let slots = try order.slots(read(order))
        #expect(slots.map { $0.pools.map(\.name) } == [[a.poolName, b.poolName], [a.poolName]])
    }

    @Test func `static addresses come after what is chosen, each with its own slot`() throws {
        let order = try order(.inline([[inline("10.0.0.0/24")]]), fixed: [fixed("10.0.0.5/24"), fixed("fd00::5/64")])
        let slots = try order.slots(read(order))
        #expect(try slots.map(\.exact) == [nil, address("10.0.0.5"), address("fd00::5")])
    }

    @Test func `static addresses may be all there is`() throws {
        let order = try order(.inline([]), fixed: [fixed("10.0.0.5/24")])
        #expect(try order.slots(read(order)).map(\.exact) == [address("10.0.0.5")])
    }

    @Test func `a requested address takes a slot of the demand`() throws {
        let order = try order(.named(["four"]), fixed: [fixed("10.9.0.5/24")], requested: "10.0.0.7")
        let slots = try order.slots(read(order, [pool("10.0.0.0/24", named: "four")]))
        #expect(try slots.map(\.exact) == [address("10.0.0.7"), address("10.9.0.5")])
    }

    // MARK: Refusals

    @Test func `an address that is asked for twice is refused`() throws {
        let twice = "the requested address 10.0.0.5 cannot be given: it is asked for twice"
        var order = try order(.inline([]), fixed: [fixed("10.0.0.5/24"), fixed("10.0.0.5/24")])
        #expect(try refusal(order, read(order)) == "refused: \(twice)")
        // Another prefix makes another pool, and the same name.
        order = try self.order(.inline([]), fixed: [fixed("10.0.0.5/24"), fixed("10.0.0.5/16")])
        #expect(try refusal(order, read(order)) == "refused: \(twice)")
        order = try self.order(.named(["four"]), fixed: [fixed("10.0.0.5/24")], requested: "10.0.0.5")
        #expect(try refusal(order, read(order, [pool("10.0.0.0/24", named: "four")])) == "refused: \(twice)")
    }

    @Test func `one address in two networks is two addresses`() throws {
        let wire = InlinePoolDefinition(subnet: try IPPrefix(parsing: "10.0.0.0/24"), network: "wire")
        let order = try order(
            .inline([]), fixed: [fixed("10.0.0.5/24"), StaticAddress(address: address("10.0.0.5"), pool: wire)])
        #expect(try order.slots(read(order)).count == 2)
    }

    @Test func `a static address that no host may have is refused`() throws {
        let order = try order(.inline([]), fixed: [fixed("10.0.0.0/24")])
        #expect(try refusal(order, read(order))?.hasPrefix("refused: the requested address 10.0.0.0 cannot") == true)
    }

    @Test func `a surplus request is refused, and static addresses leave no room for it`() throws {
        let order = try order(.inline([]), fixed: [fixed("10.0.0.5/24")], requested: "10.0.0.6")
        #expect(
            try refusal(order, read(order))
                == "refused: the requested address 10.0.0.6 cannot be given: the network configuration names no pool")
    }

    @Test func `a family whose pools are all disabled is an unusable pool`() throws {
        let order = try order(.named(["four"]))
        #expect(
            try refusal(order, read(order, [pool("10.0.0.0/24", named: "four", disabled: true)]))
                == "unusable: no IPv4 pool can serve: IPPool \"four\" is disabled (spec.disabled)")
    }

    private func refusal(_ order: ClaimOrder, _ pools: [String: ValidatedPool]) -> String? {
        do throws(LedgerError) {
            _ = try order.slots(pools)
            return nil
        } catch {
            switch error {
            case .addressRefused(let text): return "refused: \(text)"
            case .poolUnusable(let text): return "unusable: \(text)"
            default: return "\(error)"
            }
        }
    }
}
