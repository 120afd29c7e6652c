import IPAMAPI
import IPAddressing
import JSONText
import KubernetesCore
import Testing

@testable import IPAMEngine

@Suite struct ClaimWishTests {
    @Test func `an address comes from a pool that has it, by name where networks differ`() throws {
        let blue = try pool("10.0.0.0/24", named: "blue")
        let red = try pool("10.0.0.0/24", named: "red", network: "red")
        let closed = try pool("10.0.1.0/24", named: "closed", disabled: true)
        let wanted = try address("10.0.0.9")
        #expect(ClaimWish(wanted, of: ipClaim(), pools: [blue, closed]) == .from(blue))
        let named = ipClaim(spec: IPClaim.Spec(pools: ["red"]))
        #expect(ClaimWish(wanted, of: named, pools: [blue, red]) == .from(red))
        for (claim, pools, text) in [
            (ipClaim(), [blue, red], "several networks"), (ipClaim(), [closed], "no IPPool has it"),
            (ipClaim(spec: IPClaim.Spec(pools: ["gone"])), [blue], "does not exist"),
        ] {
            guard case .refused(let problem) = ClaimWish(wanted, of: claim, pools: pools) else {
                Issue.record("\(text)")
                continue
            }
            #expect(problem.contains(text), "\(problem)")
        }
    }
}
