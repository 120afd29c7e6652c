import IPAMAPI
import IPAddressing
import Testing

@testable import IPAMEngine

@Suite struct ClaimPlanTests {
    private func serve(
        _ spec: IPClaim.Spec, requested: [String] = [], wishes: [String] = []
    ) throws -> [[String]] {
        let plans = [
            SlotPlan(pools: [try pool("10.0.0.0/24", named: "a"), try pool("10.0.1.0/24", named: "b")]),
            SlotPlan(pools: [try pool("fd00::/64", named: "c")]),
        ]
        return try SlotPlan.serving(
            ipClaim(spec: spec), plans, requested: requested.map { try IPAddress(parsing: $0) },
            wishes: wishes.map { try IPAddress(parsing: $0) }
        ).map { plan in plan.pools.map(\.name) + (plan.exact.map { ["\($0)"] } ?? []) }
    }

    @Test func `a claim is served from its pools, with what it asks for`() throws {
        #expect(try serve(IPClaim.Spec()) == [["a", "b"], ["c"]])
        #expect(try serve(IPClaim.Spec(pools: ["b", "c"])) == [["b"], ["c"]])
        #expect(try serve(IPClaim.Spec(addresses: ["10.0.1.7"])).first?.last == "10.0.1.7")
    }

    @Test func `what it stands for wishes counts beside what it asks for, and each address once`() throws {
        let served = try serve(IPClaim.Spec(addresses: ["10.0.0.7"]), wishes: ["10.0.0.7", "fd00::7", "fd00::7"])
        #expect(served.map(\.last) == ["10.0.0.7", "fd00::7"])
        // The slot has it already.
        #expect(try serve(IPClaim.Spec(), requested: ["10.0.0.9"], wishes: ["10.0.0.9"]) == [["a", "b"], ["c"]])
    }

    @Test(arguments: [
        (IPClaim.Spec(pools: ["a"]), [], "IPPool \"c\""), (IPClaim.Spec(addresses: ["no"]), [], "spec.addresses"),
        (IPClaim.Spec(addresses: ["10.9.9.9"]), [], "10.9.9.9"), (IPClaim.Spec(), ["10.9.9.9"], "10.9.9.9"),
    ])
    func `what cannot be is a problem that names the claim`(spec: IPClaim.Spec, wishes: [String], text: String) {
        let problem = #expect(throws: ClaimPlanProblem.self) { try serve(spec, wishes: wishes) }
        let said = problem?.description ?? ""
        #expect(said.contains("IPClaim \"shop/vip\"") && said.contains(text), "\(said)")
    }
}
