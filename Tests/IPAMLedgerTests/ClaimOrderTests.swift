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

    private func named(_ names: String...) throws -> PoolDemand {
        .named(try names.map { try NamePattern(parsing: $0) })
    }

    /// The pools of the order's ranges as they are once they were read.
    private func ranges(_ order: ClaimOrder) throws -> [String: ValidatedPool] {
        var pools: [String: ValidatedPool] = [:]
        for definition in order.inlinePools { pools[definition.poolName] = try ValidatedPool(definition.pool) }
        return pools
    }

    private func slots(_ order: ClaimOrder, chosen: [SlotPlan]? = nil, asked: String = "") throws -> [SlotPlan] {
        try order.slots(chosen, inline: ranges(order), asked: addresses(asked))
    }

    // MARK: Which pools are read

    @Test func `each listed pool is read once, in the order of the configuration`() throws {
        let order = try order(named("b", "a", "b"), fixed: [fixed("10.0.0.5/24"), fixed("10.0.0.6/24")])
        #expect(order.listedPools == ["b", "a"])
        #expect(try order.inlinePools == [inline("10.0.0.0/24")])
    }

    @Test func `patterns and default pools are found among all that there are`() throws {
        #expect(try order(named("b", "a-*")).listedPools == nil)
        #expect(try order(.defaults).listedPools == nil)
        #expect(try order(.inline([[inline("10.0.0.0/24")]])).listedPools == [])
    }

    @Test func `the namespace is read where it may matter`() throws {
        var order = try order(named("a"))
        #expect(!order.readsNamespace)
        order.pod = PodArguments(namespace: "shop", name: "web", uid: nil)
        #expect(order.readsNamespace)
        order.heedsNamespace = false
        #expect(!order.readsNamespace)
        order.demand = .defaults
        #expect(order.readsNamespace)
    }

    @Test func `inline pools are those of every element and of the static addresses`() throws {
        let (a, b, c) = (try inline("10.0.0.0/24"), try inline("10.1.0.0/24"), try inline("10.2.0.0/24"))
        let order = try order(.inline([[a, b], [b]]), fixed: [fixed("10.2.0.5/24")])
        #expect(order.inlinePools == [a, b, c])
    }

    @Test func `ranges of different networks are different pools`() throws {
        let order = try order(.inline([[inline("10.0.0.0/24")], [inline("10.0.0.0/24", network: "wire")]]))
        #expect(Set(order.inlinePools.map(\.poolName)).count == 2)
    }

    // MARK: Slots

    @Test func `each element of inline ranges is a slot, one of the same range too`() throws {
        let (a, b) = (try inline("10.0.0.0/24"), try inline("10.1.0.0/24"))
        let order = try order(.inline([[a, b], [a]]))
        let slots = try self.slots(order)
        #expect(slots.map { $0.pools.map(\.name) } == [[a.poolName, b.poolName], [a.poolName]])
    }

    @Test func `static addresses come after what is chosen, each with its own slot`() throws {
        let order = try order(.inline([[inline("10.0.0.0/24")]]), fixed: [fixed("10.0.0.5/24"), fixed("fd00::5/64")])
        let slots = try self.slots(order)
        #expect(try slots.map(\.exact) == [nil, address("10.0.0.5"), address("fd00::5")])
    }

    @Test func `static addresses may be all there is`() throws {
        let order = try order(.inline([]), fixed: [fixed("10.0.0.5/24")])
        #expect(try slots(order).map(\.exact) == [address("10.0.0.5")])
    }

    @Test func `a requested address takes a slot of the selected pools`() throws {
        let order = try order(named("four"), fixed: [fixed("10.9.0.5/24")], requested: "10.0.0.7")
        let chosen = [SlotPlan(pools: [try pool("10.0.0.0/24", named: "four")])]
        let slots = try slots(order, chosen: chosen, asked: "10.0.0.9")
        // What the runtime asks for counts before what an annotation asks for.
        #expect(try slots.map(\.exact) == [address("10.0.0.7"), address("10.9.0.5")])
        let plain = try self.order(named("four"))
        #expect(try self.slots(plain, chosen: chosen, asked: "10.0.0.9").map(\.exact) == [address("10.0.0.9")])
    }

    @Test func `selected pools come in place of the configuration's own ranges`() throws {
        let order = try order(.inline([[inline("10.0.0.0/24")]]))
        let chosen = [SlotPlan(pools: [try pool("10.1.0.0/24", named: "four")])]
        #expect(try slots(order, chosen: chosen).map { $0.pools.map(\.name) } == [["four"]])
    }

    // MARK: Refusals

    @Test func `an address that is asked for twice is refused`() throws {
        let twice = "the requested address 10.0.0.5 cannot be given: it is asked for twice"
        var order = try order(.inline([]), fixed: [fixed("10.0.0.5/24"), fixed("10.0.0.5/24")])
        #expect(refusal(order) == "refused: \(twice)")
        // Another prefix makes another pool, and the same name.
        order = try self.order(.inline([]), fixed: [fixed("10.0.0.5/24"), fixed("10.0.0.5/16")])
        #expect(refusal(order) == "refused: \(twice)")
        order = try self.order(named("four"), fixed: [fixed("10.0.0.5/24")], requested: "10.0.0.5")
        #expect(try refusal(order, [SlotPlan(pools: [pool("10.0.0.0/24", named: "four")])]) == "refused: \(twice)")
    }

    @Test func `one address in two networks is two addresses`() throws {
        let wire = InlinePoolDefinition(subnet: try IPPrefix(parsing: "10.0.0.0/24"), network: "wire")
        let order = try order(
            .inline([]), fixed: [fixed("10.0.0.5/24"), StaticAddress(address: address("10.0.0.5"), pool: wire)])
        #expect(try slots(order).count == 2)
    }

    @Test func `a static address that no host may have is refused`() throws {
        let order = try order(.inline([]), fixed: [fixed("10.0.0.0/24")])
        #expect(refusal(order)?.hasPrefix("refused: the requested address 10.0.0.0 cannot") == true)
    }

    @Test func `a surplus request is refused, and static addresses leave no room for it`() throws {
        let order = try order(.inline([]), fixed: [fixed("10.0.0.5/24")], requested: "10.0.0.6")
        #expect(
            refusal(order)
                == "refused: the requested address 10.0.0.6 cannot be given: there is no pool to take it from")
    }

    private func refusal(_ order: ClaimOrder, _ chosen: [SlotPlan]? = nil) -> String? {
        do {
            _ = try slots(order, chosen: chosen)
            return nil
        } catch let error as LedgerError {
            switch error {
            case .addressRefused(let text): return "refused: \(text)"
            case .poolUnusable(let text): return "unusable: \(text)"
            default: return "\(error)"
            }
        } catch {
            return "\(error)"
        }
    }
}
